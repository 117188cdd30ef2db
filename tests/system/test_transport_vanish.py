"""
Nodes that vanish.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.system.support import LINUX_ONLY, until
from tests.system.transport_support import TransportProcess


class VanishTests(SynchronousTestCase):
    """
    Whoever is left notices, and nothing looks finished.
    """

    if sys.platform != "linux":
        skip = LINUX_ONLY

    def setUp(self) -> None:
        self.server = TransportProcess(self, "serve")
        port = self.server.tells("port")["port"]
        self.client = TransportProcess(self, "watch", str(port))
        self.client.tells("open")

    def vanish(self, number: signal.Signals) -> float:
        """
        Send a signal to the server.

        @return: Seconds until the client knows.
        """
        begun = time.monotonic()
        os.kill(self.server.process.pid, number)
        told = self.client.tells("lost")
        took = time.monotonic() - begun
        self.assertEqual((told["lost"], told["ended"]), ("ConnectionLost", False))
        self.client.tells("closed")
        self.assertEqual(self.client.process.wait(20), 0)
        return took

    def test_killed(self) -> None:
        """
        A process that was killed is missed at once.
        """
        self.assertLess(self.vanish(signal.SIGKILL), 1)

    def test_stopped(self) -> None:
        """
        A process that stands still is missed after 10 to 15 seconds.
        """
        took = self.vanish(signal.SIGSTOP)
        self.assertTrue(9.5 < took < 15.5, took)
        os.kill(self.server.process.pid, signal.SIGCONT)

    def test_client_killed(self) -> None:
        """
        The node that was dialled forgets a killed dialler at once.
        """
        self.assertEqual(self.server.stat()["connections"], 1)
        self.client.process.kill()
        until(lambda: not self.server.stat()["connections"], "the connection is forgotten", timeout=1.0)
