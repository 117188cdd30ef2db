"""
Trying several addresses.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.transport.dialling import Turns, dial


class DialTests(SynchronousTestCase):
    """
    One success is enough.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.begun: list[tuple[float, str]] = []
        self.cancelled: list[str] = []
        self.attempts: dict[str, Deferred[str]] = {}

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def attempt(self, name: str) -> Callable[[], Deferred[str]]:
        def begin() -> Deferred[str]:
            self.begun.append((self.clock.seconds(), name))
            self.attempts[name] = Deferred(lambda _: self.cancelled.append(name))
            return self.attempts[name]

        return begin

    def dial(self, *names: str) -> Deferred[str]:
        return dial(self.clock, [self.attempt(name) for name in names])

    def test_staggered(self) -> None:
        """
        A pending attempt gets company after a quarter of a second; the first success wins, the others are given up.
        """
        done = self.dial("a", "b", "c")
        self.clock.advance(0.25)
        self.clock.advance(0.25)
        self.assertEqual(self.begun, [(0, "a"), (0.25, "b"), (0.5, "c")])
        self.attempts["b"].callback("open")
        self.assertEqual(self.successResultOf(done), "open")
        self.assertEqual(self.cancelled, ["a", "c"])

    def test_failure_goes_on_at_once(self) -> None:
        """
        After a failure nobody waits.
        """
        done = self.dial("a", "b")
        self.clock.advance(0.1)
        self.attempts["a"].errback(ConnectError("Refused."))
        self.assertEqual(self.begun, [(0, "a"), (0.1, "b")])
        self.attempts["b"].callback("open")
        self.assertEqual(self.successResultOf(done), "open")

    def test_most_telling_failure(self) -> None:
        """
        Of several failures the one is reported that says most.
        """
        done = self.dial("a", "b", "c")
        self.attempts["a"].errback(ConnectError("Refused."))
        self.attempts["b"].errback(NoCommonProtocol("Not spoken."))
        self.attempts["c"].errback(WrongNode("Somebody else."))
        self.failureResultOf(done, NoCommonProtocol)

    def test_timeout(self) -> None:
        """
        After ten seconds everything is given up.
        """
        done = self.dial("a", "b")
        for _ in range(40):
            self.clock.advance(0.25)
        error = self.failureResultOf(done, ConnectError).value
        self.assertEqual(str(error), "The node did not answer within 10 seconds.")
        self.assertEqual(self.cancelled, ["a", "b"])

    def test_cancel(self) -> None:
        """
        Cancelling gives everything up.
        """
        done = self.dial("a", "b")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.cancelled, [name for _, name in self.begun]), (["a"], ["a"]))

    def test_nothing_to_try(self) -> None:
        """
        Without an address there is an error.
        """
        self.failureResultOf(self.dial(), ConnectError)


class TurnsTests(SynchronousTestCase):
    """
    Not too many attempts at one address.
    """

    def test_turns(self) -> None:
        """
        Who comes late waits until somebody is done; another address is not concerned.
        """
        turns = Turns(2)
        first, second, third, other = (turns.enter(name) for name in ("a", "a", "a", "b"))
        for granted in (first, second, other):
            self.successResultOf(granted)
        self.assertNoResult(third)
        turns.leave("a")
        self.successResultOf(third)
        turns.leave("a")
        turns.leave("a")
        turns.leave("b")
        self.assertEqual((turns._running, turns._waiting), ({}, {}))

    def test_given_up(self) -> None:
        """
        Who stops waiting takes no turn.
        """
        turns = Turns(1)
        turns.enter("a")
        waiting, patient = turns.enter("a"), turns.enter("a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        turns.leave("a")
        self.successResultOf(patient)
