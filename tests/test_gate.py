"""
Tests for L{p2panda_tw.gate}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.gate import Gate


class GateTests(SynchronousTestCase):
    """
    Waiting for what happens once.
    """

    def test_opens_for_all(self) -> None:
        """
        Everybody who waited is let through, and so is who comes later.
        """
        gate = Gate()
        first, second = gate.wait(), gate.wait()
        self.assertNoResult(first)
        gate.open()
        self.assertEqual([self.successResultOf(each) for each in (first, second, gate.wait())], [None] * 3)

    def test_fails_for_all(self) -> None:
        """
        Everybody who waited is told the failure, and so is who comes later.
        """
        gate = Gate()
        first = gate.wait()
        gate.fail(Failure(ValueError("no")))
        self.failureResultOf(first, ValueError)
        self.failureResultOf(gate.wait(), ValueError)

    def test_first_word_counts(self) -> None:
        """
        An open gate does not fail any more, and a failed one does not open.
        """
        opened, failed = Gate(), Gate()
        opened.open()
        opened.fail(Failure(ValueError("too late")))
        failed.fail(Failure(ValueError("no")))
        failed.open()
        self.successResultOf(opened.wait())
        self.failureResultOf(failed.wait(), ValueError)
        self.assertEqual((opened.is_open, failed.is_open), (True, False))

    def test_cancel_concerns_one(self) -> None:
        """
        Who no longer waits does not disturb the others.
        """
        gate = Gate()
        first, second = gate.wait(), gate.wait()
        first.cancel()
        gate.open()
        self.failureResultOf(first, CancelledError)
        self.successResultOf(second)
