"""
Tests for L{p2panda_tw.process}.
"""

from __future__ import annotations

import gc
import sys

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.process import SWITCH_INTERVAL, prepare, settle


class ProcessTests(SynchronousTestCase):
    """
    Settings of a process.
    """

    def test_prepare(self) -> None:
        """
        Threads take turns more often than by default.
        """
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        prepare()
        self.assertAlmostEqual(sys.getswitchinterval(), SWITCH_INTERVAL)

    def test_settle(self) -> None:
        """
        What is there is not looked at any more by the garbage collector.
        """
        self.addCleanup(gc.unfreeze)
        settle()
        self.assertGreater(gc.get_freeze_count(), 1000)
