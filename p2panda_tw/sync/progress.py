# -*- test-case-name: tests.sync.test_limits -*-
"""
Does a peer that owes us something get on with it? A limit on time alone would cut off slow links, one on silence
would let a peer send a byte now and then for ever. So each stretch of L{PROGRESS_INTERVAL} seconds has to bring
L{PROGRESS_BYTES}, or the end of what is owed. Time in which we do not read ourselves does not count.
"""

from __future__ import annotations

from p2panda_tw.sync.limits import PROGRESS_BYTES, PROGRESS_INTERVAL

__all__ = ["ProgressWatch"]


class ProgressWatch:
    """
    Watches one stream. It is looked at about once a second.
    """

    __slots__ = ("_base", "_owed", "_seen", "_waited")

    def __init__(self) -> None:
        self._owed: object = None
        self._base = 0
        self._waited = 0.0
        self._seen = 0.0

    def is_overdue(self, now: float, received: int, owed: object, reading: bool) -> bool:
        """
        @param now: Seconds of a clock that only goes forward.
        @param received: Bytes that have come in so far.
        @param owed: What the peer owes: the same value as long as it is the same thing; C{None}: nothing.
        @param reading: Whether we read from the stream.

        @return: Whether the peer has been too slow.
        """
        elapsed, self._seen = now - self._seen, now
        if owed is None or owed != self._owed or received - self._base >= PROGRESS_BYTES:
            self._owed = owed
            self._base = received
            self._waited = 0.0
        elif reading:
            self._waited += elapsed
        return self._waited >= PROGRESS_INTERVAL
