"""
A node under attack.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.system.support import LINUX_ONLY
from tests.system.transport_support import TransportProcess

GIB = 1024 * 1024 * 1024


class FloodTests(SynchronousTestCase):
    """
    Floods cost the attacker.
    """

    if sys.platform != "linux":
        skip = LINUX_ONLY

    def test_one_gibibyte(self) -> None:
        """
        1 GiB over many streams and connections, with and without regard to the rules, costs less than 64 MiB of memory; each
        peer is warned about once for each cause, and the node goes on.
        """
        server = TransportProcess(self, "serve")
        port = server.tells("port")["port"]
        before = server.stat()
        client = TransportProcess(self, "flood", str(port), str(GIB), "10")
        written = client.tells("written", 100)["written"]
        self.assertGreaterEqual(written, GIB)
        after = server.stat()
        self.assertLess(after["peak"] - before["rss"], 64 * 1024)
        warnings = [(told["peer"], told["cause"]) for told in server.told if "cause" in told]
        self.assertEqual(sorted(warnings), sorted(set(warnings)))
        self.assertTrue({"window exceeded", "garbage", "flood"} <= {cause for _, cause in warnings}, warnings)

        honest = TransportProcess(self, "send", str(port), str(1024 * 1024))
        self.assertEqual(honest.tells("arrived")["arrived"], 1024 * 1024)
