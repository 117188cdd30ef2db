"""
Signs of life.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.transport.limits import KEEP_ALIVE, KeepAlive
from p2panda_tw.transport.pulse import Pulse


def cause(trouble: tuple[str, str] | None) -> str | None:
    return None if trouble is None else trouble[0]


class PulseTests(SynchronousTestCase):
    """
    When a connection is given up.
    """

    def test_silence(self) -> None:
        """
        After ten seconds without a byte.
        """
        pulse = Pulse(KEEP_ALIVE, 100.0)
        self.assertIsNone(pulse.check(109.9, 0, 0))
        self.assertEqual(pulse.check(110.0, 0, 0), ("silent", "Nothing was heard from the other node for 10 seconds."))

    def test_any_byte(self) -> None:
        """
        A single byte is a sign of life: an answer may be queued behind a bulk transfer.
        """
        pulse = Pulse(KEEP_ALIVE, 0.0)
        pulse.heard(9.0)
        self.assertIsNone(pulse.check(15.0, 0, 0))

    def test_trickle(self) -> None:
        """
        But single bytes alone are none for long.
        """
        pulse = Pulse(KEEP_ALIVE, 0.0)
        for now in range(0, 30, 5):
            pulse.heard(now)
            self.assertIsNone(pulse.check(now, 0, now))
        pulse.heard(30)
        self.assertEqual(cause(pulse.check(30, 0, 30)), "trickle")

    def test_slow_frame(self) -> None:
        """
        A large frame over a slow line is fine as long as 16 KiB come in half a minute.
        """
        pulse = Pulse(KEEP_ALIVE, 0.0)
        for now in range(0, 300, 5):
            pulse.heard(now)
            self.assertIsNone(pulse.check(now, 1, now * 700))

    def test_slow_networks(self) -> None:
        """
        Where signs of life are rarer, patience is longer.
        """
        pulse = Pulse(KeepAlive(15.0, 45.0), 0.0)
        pulse.heard(10)
        self.assertIsNone(pulse.check(50, 0, 0))
        self.assertEqual(cause(pulse.check(55, 0, 0)), "silent")
