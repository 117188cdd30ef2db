# -*- test-case-name: tests.sync.test_limits -*-
"""
How long to wait before a peer is dialled again: exponential back-off with full jitter, so that nodes that lost each
other at the same moment do not come back at the same moment (unlike upstream, which always waits 5 s).
"""

from __future__ import annotations

from random import Random

from p2panda_tw.sync.limits import BACKOFF_CAP, BACKOFF_START

__all__ = ["Backoff"]

_MAX_DOUBLINGS = 32


class Backoff:
    """
    The pauses of one peer.

    @ivar failures: How often in a row it went wrong.
    """

    __slots__ = ("_rng", "failures")

    def __init__(self, rng: Random) -> None:
        self.failures = 0
        self._rng = rng

    @property
    def bound(self) -> float:
        """
        The longest that the next pause can be, in seconds.
        """
        return min(BACKOFF_CAP, BACKOFF_START * 2.0 ** min(self.failures, _MAX_DOUBLINGS))

    def failed(self) -> float:
        """
        @return: How long to wait now, in seconds: anything between nothing and the bound.
        """
        pause = self._rng.uniform(0.0, self.bound)
        self.failures += 1
        return pause

    def succeeded(self) -> None:
        """
        Begin anew.
        """
        self.failures = 0
