# -*- test-case-name: tests.endpoint.test_ranking -*-
"""
Which way to try first. L{rank} puts the addresses of a node in order, L{attempts} makes of them the attempts that are
worth making, and a L{Race} says when each one begins: the next when the one before has failed, or has said nothing for
a quarter of a second. The first one that succeeds wins, the others are given up.

The idea is that of "Happy Eyeballs" (RFC 8305), whose section 5 recommends the quarter of a second, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, assert_never

from p2panda_tw.endpoint.addresses import Address, IrohAddress, OnionAddress, RelayAddress, TlsAddress

__all__ = [
    "ATTEMPT_DELAY",
    "CONNECT_TIMEOUT",
    "AttemptFailed",
    "AttemptSucceeded",
    "Deadline",
    "GiveUp",
    "Input",
    "Lose",
    "NextAttempt",
    "Output",
    "Race",
    "Schedule",
    "Start",
    "Timer",
    "TimerExpired",
    "Win",
    "attempts",
    "rank",
]

ATTEMPT_DELAY: Final = 0.25
"""
How long an attempt is alone before the next one begins, in seconds.
"""

CONNECT_TIMEOUT: Final = 10.0
"""
How long all attempts together may take until a connection is open, in seconds.
"""


def _distance(address: Address) -> int:
    """
    @return: The lower, the shorter the way. What no routing leads to comes last.
    """
    match address:
        case TlsAddress():
            return 9 if address.is_link_local else 0
        case IrohAddress():
            return 9 if address.is_link_local else 1
        case RelayAddress():
            return 2
        case OnionAddress():
            return 3
        case _:
            assert_never(address)


def rank(addresses: Iterable[Address], worked: Address | None = None) -> list[Address]:
    """
    @param addresses: In the order in which the node named them.
    @param worked: What the last connection was made with.

    @return: What worked last, then direct before relayed before Tor. TLS goes before iroh: what runs over it is known
        to be one of our own nodes and needs no pacing.
    """
    return sorted(dict.fromkeys(addresses), key=lambda address: -1 if address == worked else _distance(address))


def attempts(ranked: Iterable[Address]) -> list[tuple[Address, ...]]:
    """
    @param ranked: Addresses, best first.

    @return: What to dial at once, best first. Each address is an attempt of its own, but those of iroh are one: iroh
        chooses among them by itself.
    """
    groups: dict[Address | None, list[Address]] = {}
    for address in ranked:
        key = None if isinstance(address, IrohAddress | RelayAddress) else address
        groups.setdefault(key, []).append(address)
    return [tuple(group) for group in groups.values()]


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """
    The time that attempt number C{after} has for itself.
    """

    after: int


@dataclass(frozen=True, slots=True)
class Deadline:
    """
    The time that there is for everything.
    """


Timer = NextAttempt | Deadline


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """
    Input: an attempt ended without a connection.
    """

    number: int


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """
    Input: an attempt gave a connection to the right node.
    """

    number: int


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """
    Input: the time of a L{Schedule} is over.
    """

    timer: Timer


Input = AttemptFailed | AttemptSucceeded | TimerExpired


@dataclass(frozen=True, slots=True)
class Start:
    """
    Output: begin an attempt.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Output: say L{TimerExpired} after C{delay} seconds.
    """

    delay: float
    timer: Timer


@dataclass(frozen=True, slots=True)
class GiveUp:
    """
    Output: abandon an attempt, and its connection should it have one by now.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Win:
    """
    Output: the race is over, the connection of this attempt is the result.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Lose:
    """
    Output: the race is over without a result.

    @ivar timed_out: At least one attempt was still pending.
    """

    timed_out: bool


Output = Start | Schedule | GiveUp | Win | Lose


@dataclass(slots=True)
class Race:
    """
    Attempts to reach one node, one after the other and overlapping.

    @ivar count: How many attempts there are; number 0 is the best.
    """

    count: int
    _started: int = 0
    _pending: dict[int, None] = field(default_factory=dict)
    _is_over: bool = False

    def begin(self) -> list[Output]:
        """
        Start the first attempt. Called once.
        """
        return [Schedule(CONNECT_TIMEOUT, Deadline()), *self._start_next()]

    def handle(self, event: Input) -> list[Output]:
        """
        @param event: What happened. Late news of attempts that were given up, and timers that are out of date, do
            nothing.
        """
        if self._is_over:
            return []
        match event:
            case AttemptSucceeded(number):
                return self._on_success(number)
            case AttemptFailed(number):
                return self._on_failure(number)
            case TimerExpired(timer):
                return self._on_timer(timer)
            case _:
                assert_never(event)

    def _on_success(self, number: int) -> list[Output]:
        if number not in self._pending:
            return []
        self._is_over = True
        return [*(GiveUp(other) for other in self._pending if other != number), Win(number)]

    def _on_failure(self, number: int) -> list[Output]:
        if number not in self._pending:
            return []
        del self._pending[number]
        if self._started < self.count:
            # Also when an earlier one fails while a later one is pending: there is one attempt less to wait for.
            return self._start_next()
        if self._pending:
            return []
        self._is_over = True
        return [Lose(timed_out=False)]

    def _on_timer(self, timer: Timer) -> list[Output]:
        match timer:
            case NextAttempt(after):
                return self._start_next() if after == self._started - 1 else []
            case Deadline():
                self._is_over = True
                return [*(GiveUp(other) for other in self._pending), Lose(timed_out=True)]
            case _:
                assert_never(timer)

    def _start_next(self) -> list[Output]:
        if self._started == self.count:
            return []
        number = self._started
        self._started += 1
        self._pending[number] = None
        outputs: list[Output] = [Start(number)]
        if self._started < self.count:
            outputs.append(Schedule(ATTEMPT_DELAY, NextAttempt(number)))
        return outputs
