# -*- test-case-name: tests.transport.test_dialling -*-
"""
Trying several addresses of one node: the next attempt begins when the last one has failed or is still pending after a
quarter of a second, the first that succeeds wins, the others are given up (RFC 8305 does the same for one host name).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.transport.limits import CONNECT_TIMEOUT

__all__ = ["Turns", "dial"]

STAGGER: Final = 0.25
"""
Seconds between attempts.
"""

MAX_AT_ONCE: Final = 16
"""
Attempts at one address that may be under way: half of what the other side allows an address of ours, because a second
node may run here.
"""

_T = TypeVar("_T")

_TELLING: Final = (NoCommonProtocol, WrongNode, ConnectError)
"""
Of several failures the first of these kinds says most.
"""


def dial(
    clock: IReactorTime,
    attempts: Sequence[Callable[[], Deferred[_T]]],
    *,
    stagger: float = STAGGER,
    timeout: float = CONNECT_TIMEOUT,
) -> Deferred[_T]:
    """
    Make attempts until one succeeds.

    @param attempts: Each begins one; cancelling the Deferred gives it up.

    @return: The first success. Fails with the L{ConnectError} that says most. Cancelling gives everything up.
    """
    if not attempts:
        failed: Deferred[_T] = Deferred()
        failed.errback(ConnectError("No address of the node is known."))
        return failed
    return _Dialling(clock, attempts, stagger, timeout).begin()


class Turns:
    """
    Lets a limited number of attempts at one address go ahead, and the others wait.
    """

    def __init__(self, limit: int = MAX_AT_ONCE) -> None:
        self._limit = limit
        self._running: dict[object, int] = {}
        self._waiting: dict[object, list[Deferred[None]]] = {}

    def enter(self, address: object) -> Deferred[None]:
        """
        @return: Fires when it is the attempt's turn, which ends with L{leave}. May be cancelled before.
        """
        turn: Deferred[None] = Deferred(lambda given_up: self._waiting[address].remove(given_up))
        if self._running.get(address, 0) < self._limit:
            self._running[address] = self._running.get(address, 0) + 1
            turn.callback(None)
        else:
            self._waiting.setdefault(address, []).append(turn)
        return turn

    def leave(self, address: object) -> None:
        """
        An attempt is over.
        """
        waiting = self._waiting.get(address)
        if waiting:
            waiting.pop(0).callback(None)
            return
        self._waiting.pop(address, None)
        self._running[address] -= 1
        if not self._running[address]:
            del self._running[address]


class _Dialling(Generic[_T]):
    """
    One call of L{dial}.
    """

    def __init__(
        self, clock: IReactorTime, attempts: Sequence[Callable[[], Deferred[_T]]], stagger: float, timeout: float
    ) -> None:
        self._clock = clock
        self._waiting = list(attempts)
        self._stagger = stagger
        self._timeout = timeout
        self._running: dict[Deferred[_T], None] = {}
        self._failures: list[Failure] = []
        self._done: Deferred[_T] = Deferred(lambda _: self._give_up())
        self._over = False
        self._next_call: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    def begin(self) -> Deferred[_T]:
        self._deadline = self._clock.callLater(self._timeout, self._too_late)
        self._next()
        return self._done

    def _next(self) -> None:
        self._next_call = None
        if self._over:
            return
        if not self._waiting:
            if not self._running:
                self._fail()
            return
        attempt = self._waiting.pop(0)()
        self._running[attempt] = None
        if self._waiting:
            self._next_call = self._clock.callLater(self._stagger, self._next)
        attempt.addCallbacks(self._succeeded, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _succeeded(self, result: _T, attempt: Deferred[_T]) -> None:
        self._running.pop(attempt, None)
        if not self._over:
            self._give_up()
            self._done.callback(result)

    def _failed(self, failure: Failure, attempt: Deferred[_T]) -> None:
        self._running.pop(attempt, None)
        if self._over:
            return
        self._failures.append(failure)
        if self._next_call is not None:
            self._next_call.cancel()
        self._next()

    def _too_late(self) -> None:
        self._deadline = None
        self._give_up()
        self._done.errback(ConnectError(f"The node did not answer within {self._timeout:g} seconds."))

    def _fail(self) -> None:
        self._give_up()
        for kind in _TELLING:
            for failure in self._failures:
                if failure.check(kind):
                    self._done.errback(failure)
                    return
        self._done.errback(self._failures[0])

    def _give_up(self) -> None:
        self._over = True
        for call in (self._next_call, self._deadline):
            if call is not None and call.active():
                call.cancel()
        for attempt in list(self._running):
            attempt.cancel()
