# -*- test-case-name: tests.store.test_ring -*-
"""
The newest operations of one topic, for those who are right behind. It lives on the reactor's side of the store, so that
they need not wait for a thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.store.limits import OBJECT_BYTES, RING_BYTES, RING_OPERATIONS

__all__ = ["Ring"]


def _arrival(stored: StoredOperation) -> int:
    return stored.arrival


def _size(stored: StoredOperation) -> int:
    return len(stored.operation.header.raw) + len(stored.operation.body or b"")


class Ring:
    """
    Everything of a topic after some arrival number, unless it was pruned.

    @ivar floor: That arrival number. It rises as older operations make room.
    @ivar newest: The newest arrival number of the topic.
    """

    def __init__(self, newest: int, *, operations: int = RING_OPERATIONS, size: int = RING_BYTES) -> None:
        """
        @param newest: The newest arrival number so far.
        @param operations: How many operations are kept.
        @param size: How many bytes of headers and bodies are kept.
        """
        self.floor = newest
        self.newest = newest
        self._most_operations = operations
        self._most_bytes = size
        self._kept: list[StoredOperation] = []
        self._start = 0
        self._bytes = 0

    def extend(self, news: Sequence[StoredOperation], newest: int, pruned: Mapping[bytes, int]) -> None:
        """
        Take what a transaction stored, and drop what it deleted.

        @param news: In the order of arrival.
        @param newest: The newest arrival number after it.
        @param pruned: Author to the lowest C{seq_num} that stays.
        """
        self._kept.extend(news)
        self._bytes += sum(map(_size, news))
        self.newest = newest
        if pruned:
            self._prune(pruned)
        while len(self._kept) - self._start > self._most_operations or self._bytes > self._most_bytes:
            oldest = self._kept[self._start]
            self._bytes -= _size(oldest)
            self.floor = oldest.arrival
            self._start += 1
        if self._start * 2 > len(self._kept):
            # Half of the list is of no use any more. Until then it holds no more than the ring once did.
            del self._kept[: self._start]
            self._start = 0

    @property
    def size(self) -> int:
        """
        Its memory in bytes, roughly.
        """
        return self._bytes + OBJECT_BYTES * (len(self._kept) - self._start)

    def halve(self) -> None:
        """
        Give up the older half.
        """
        begin = (self._start + len(self._kept) + 1) // 2
        if begin > self._start:
            self.floor = self._kept[begin - 1].arrival
            del self._kept[:begin]
            self._start = 0
            self._bytes = sum(map(_size, self._kept))

    def _prune(self, pruned: Mapping[bytes, int]) -> None:
        stays = [
            stored
            for stored in self._kept[self._start :]
            if stored.operation.header.seq_num >= pruned.get(stored.operation.header.verifying_key.raw, 0)
        ]
        self._kept = stays
        self._start = 0
        self._bytes = sum(map(_size, stays))

    def page(self, after: int, limit_operations: int, limit_bytes: int) -> StoredPage | None:
        """
        @return: What came after an arrival number; C{None} if that is too long ago.
        """
        if after < self.floor:
            return None
        if after >= self.newest:
            return StoredPage((), after, after)
        begin = bisect_right(self._kept, after, lo=self._start, key=_arrival)
        end = begin
        size = 0
        while end < len(self._kept) and end - begin < limit_operations:
            size += _size(self._kept[end])
            if size > limit_bytes and end > begin:
                break
            end += 1
        until = self.newest if end == len(self._kept) else self._kept[end - 1].arrival
        return StoredPage(self._kept[begin:end], until, self.newest)
