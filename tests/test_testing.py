"""
The test doubles that we give to others.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.testing import pump


class PumpTests(SynchronousTestCase):
    """
    Time passes as a test wishes.
    """

    def test_until(self) -> None:
        """
        The clock stops as soon as the awaited thing has happened.
        """
        clock = Clock()
        happened: list[str] = []
        clock.callLater(0.5, happened.append, "it")
        pump(clock, lambda: bool(happened))
        self.assertTrue(0.5 <= clock.seconds() < 0.52, clock.seconds())

    def test_never(self) -> None:
        """
        What does not happen ends in an error, not in waiting.
        """
        clock = Clock()
        with self.assertRaises(TimeoutError):
            pump(clock, lambda: False, longest=2.0)
        self.assertTrue(1.99 < clock.seconds() < 2.02, clock.seconds())
