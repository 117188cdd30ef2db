# -*- test-case-name: tests.endpoint.test_backoff -*-
"""
How long to wait before trying again: longer after every failure, never quite the same. Nodes that lost each other at
the same moment do not all come back at the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["FIRST_DELAY", "JITTER", "LONGEST_DELAY", "Backoff"]

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
