"""
What C{--debug} says of long turns.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.stalls import PULSE, StallWatch


class StallWatchTests(SynchronousTestCase):
    """
    Turns of the reactor that are too long.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[float] = []
        self.watch = StallWatch(self.clock, lambda seconds, where: self.reports.append(round(seconds, 3)))
        self.addCleanup(self.watch.stop)
        self.watch.start()

    def test_quick(self) -> None:
        """
        A reactor that keeps up is not spoken of.
        """
        for _ in range(100):
            self.clock.advance(PULSE)
        self.assertEqual(self.reports, [])

    def test_slow(self) -> None:
        """
        A turn that takes long is reported once, with its length.
        """
        self.clock.advance(PULSE)
        self.clock.advance(PULSE + 0.03)
        self.clock.advance(PULSE)
        self.assertEqual(self.reports, [0.03])

    def test_stop(self) -> None:
        """
        Nothing is left behind.
        """
        self.watch.stop()
        self.clock.advance(PULSE)
        self.assertEqual(self.clock.getDelayedCalls(), [])
