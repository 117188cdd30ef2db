# -*- test-case-name: tests.endpoint.test_backoff -*-
"""
How long to wait before trying again: longer after every failure, never quite the same. Nodes that lost each other at
the same moment do not all come back at the same moment.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["FIRST_DELAY", "JITTER", "LONGEST_DELAY", "MAX_FAILING", "Backoff", "Retries"]

FIRST_DELAY: Final = 1.0
"""
The middle of the delay after one failure, in seconds. (Rust nodes wait 5 s each time, without jitter:
p2panda-net/src/sync/actors/topic_manager.rs.)
"""

LONGEST_DELAY: Final = 60.0
"""
The middle of the longest delay, in seconds. A guess: somebody who opens his laptop should not wait for minutes.
"""

JITTER: Final = 0.25
"""
How far a delay may lie from the middle, as a part of it.
"""

MAX_FAILING: Final = 4096
"""
Of so many things it is kept in mind that they failed.
"""


@dataclass(slots=True)
class Backoff:
    """
    The delays of one thing that is tried again and again.

    @ivar rng: Source of jitter.
    @ivar failures: How many failures there were in a row.
    """

    rng: Random
    failures: int = 0

    def failed(self) -> float:
        """
        Take note of a failure.

        @return: How long to wait now, in seconds.
        """
        # The exponent is bounded, too: 2.0 ** 1024 is an error.
        middle = min(FIRST_DELAY * 2.0 ** min(self.failures, 32), LONGEST_DELAY)
        self.failures += 1
        return middle * self.rng.uniform(1 - JITTER, 1 + JITTER)

    def succeeded(self) -> None:
        """
        Begin anew.
        """
        self.failures = 0


class Retries:
    """
    When it makes sense to do each thing again that failed, such as to dial a node.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failing: dict[Hashable, tuple[Backoff, float]] = {}

    def failed(self, key: Hashable, now: float) -> None:
        """
        It failed.

        @param now: Seconds of any clock.
        """
        backoff, _ = self._failing.get(key) or (Backoff(self._rng), 0.0)
        self.forget(key)
        if len(self._failing) >= MAX_FAILING:
            del self._failing[next(iter(self._failing))]
        self._failing[key] = (backoff, now + backoff.failed())

    def forget(self, key: Hashable) -> None:
        """
        It succeeded, or there is another reason to hope.
        """
        self._failing.pop(key, None)

    def delay(self, key: Hashable, now: float) -> float:
        """
        @return: How long to wait before trying, in seconds; 0 unless it failed.
        """
        _, not_before = self._failing.get(key) or (None, now)
        return max(0.0, not_before - now)
