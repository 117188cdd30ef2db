"""
The measurements as a user runs them: real processes, small numbers. What is checked is that they are complete and say what
they promise, not how fast this machine is.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.system.commands import environment


class BenchTests(TestCase):
    """
    C{p2panda bench}.
    """

    timeout = 180

    async def bench(self, *arguments: str) -> dict[str, Any]:
        """
        @return: The figures of one measurement.
        """
        command = ["-m", "p2panda_tw.cli", "bench", *arguments, "--json"]
        out, err, code = await getProcessOutputAndValue(sys.executable, command, env=environment())
        self.assertEqual(code, 0, err.decode())
        figures: dict[str, Any] = json.loads(out.splitlines()[-1])
        return figures

    async def test_catch_up(self) -> None:
        """
        All operations of several authors arrive, and both nodes and the application agree on them.
        """
        figures = await self.bench("catch-up", "--operations", "300", "--authors", "3", "--transport", "tls")
        self.assertEqual((figures["operations"], figures["complete"]), (300, True))
        self.assertEqual(
            sorted(figures),
            [
                "complete",
                "idle_stall_ms",
                "longest_reactor_stall_ms",
                "operations",
                "operations_per_second",
                "operations_per_second_from_first",
                "receiver_rss_growth_mib",
                "seconds",
            ],
        )

    async def test_catch_up_in_memory(self) -> None:
        """
        The same without a network, in one process.
        """
        figures = await self.bench("catch-up", "--operations", "100", "--transport", "memory")
        self.assertTrue(figures["complete"])

    async def test_publish(self) -> None:
        """
        Publishing is told beside the bare loop.
        """
        figures = await self.bench("publish", "--count", "100", "--in-flight", "10", "--durability", "fast")
        self.assertGreater(figures["per_second"], 0)
        self.assertGreater(figures["bare_sqlite_per_second"], 0)

    async def test_latency(self) -> None:
        """
        Every message arrives, and the median is not above the 99th percentile.
        """
        figures = await self.bench("latency", "--samples", "20", "--transport", "tls")
        self.assertGreaterEqual(figures["p99_ms"], figures["median_ms"])
        in_memory = await self.bench("latency", "--samples", "20", "--transport", "memory")
        self.assertEqual(in_memory["samples"], 20)

    async def test_connect(self) -> None:
        """
        Each sample connects and is answered.
        """
        figures = await self.bench("connect", "--samples", "3", "--transport", "tls")
        self.assertGreater(figures["median_ms"], 0)
