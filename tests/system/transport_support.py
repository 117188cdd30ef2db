"""
Processes of L{tests.system.transport_process}.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.system.support import environment

PATIENCE = 60.0
"""
Seconds after which a test gives up.
"""


class TransportProcess:
    """
    One process and what it tells.
    """

    def __init__(self, case: SynchronousTestCase, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.transport_process", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        self.told: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        case.addCleanup(self._end)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None and self.process.stdin is not None
        self.process.stdout.close()
        self.process.stdin.close()

    def tells(self, key: str, patience: float = PATIENCE) -> dict[str, Any]:
        """
        @return: The next thing told that has C{key}.
        """
        while True:
            told = self._lines.get(timeout=patience)
            self.told.append(told)
            if key in told:
                return told
            if "error" in told:
                raise AssertionError(told)

    def stat(self) -> dict[str, Any]:
        """
        @return: What the process needs now.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(b"stat\n")
        self.process.stdin.flush()
        return self.tells("rss")
