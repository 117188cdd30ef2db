"""
A large transfer between two processes.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.system.support import LINUX_ONLY
from tests.system.transport_support import TransportProcess

GIB = 1024 * 1024 * 1024


class BulkTests(SynchronousTestCase):
    """
    Flat memory on both sides.
    """

    if sys.platform != "linux":
        skip = LINUX_ONLY

    def test_one_gibibyte(self) -> None:
        """
        1 GiB goes through one stream, and neither process grows by more than a few MiB.
        """
        server = TransportProcess(self, "serve")
        port = server.tells("port")["port"]
        before = server.stat()
        client = TransportProcess(self, "send", str(port), str(GIB))
        sent = client.tells("arrived", 100)
        after = server.stat()
        self.assertEqual(sent["arrived"], GIB)
        self.assertLess(sent["growth"], 16 * 1024)
        self.assertLess(after["peak"] - before["rss"], 16 * 1024)
        self.assertLess(sent["seconds"], 60)
        self.assertEqual(client.process.wait(20), 0)
