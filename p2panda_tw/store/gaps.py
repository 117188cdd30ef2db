# -*- test-case-name: tests.store.test_gaps -*-
"""
Operations that came before their predecessor. They were verified, and wait in memory until the gap before them closes.

Room is limited, per topic and in all. A log keeps its lowest operations, because those are of use first; room for a log
that has none here yet is made by giving up the log that waits the longest. What is not kept is no loss: the session
that is told of the gap fetches it again.
"""

from __future__ import annotations

from typing import NamedTuple

from p2panda_tw.core.header import Header
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.store.limits import GAP_TOPIC_BYTES, GAP_TOPIC_OPERATIONS, GAP_TOTAL_BYTES, OBJECT_BYTES

__all__ = ["Gaps", "Waiting"]


class Waiting(NamedTuple):
    """
    An operation that waits.
    """

    header: Header
    body: bytes | None

    @property
    def size(self) -> int:
        """
        Its memory, in bytes.
        """
        return OBJECT_BYTES + len(self.header.raw) + len(self.body or b"")


class _Room:
    """
    How much of something is in use.
    """

    __slots__ = ("operations", "size")

    def __init__(self) -> None:
        self.operations = 0
        self.size = 0


class Gaps:
    """
    All that waits, by topic key and author.
    """

    def __init__(
        self,
        *,
        topic_operations: int = GAP_TOPIC_OPERATIONS,
        topic_bytes: int = GAP_TOPIC_BYTES,
        total_bytes: int = GAP_TOTAL_BYTES,
    ) -> None:
        self._topic_operations = topic_operations
        self._topic_bytes = topic_bytes
        self._total_bytes = total_bytes
        self._logs: dict[tuple[int, VerifyingKey], dict[int, Waiting]] = {}
        self._topics: dict[int, _Room] = {}
        self._total = _Room()

    def __bool__(self) -> bool:
        return bool(self._logs)

    @property
    def operations(self) -> int:
        """
        How many operations wait.
        """
        return self._total.operations

    @property
    def size(self) -> int:
        """
        How much memory they take, in bytes.
        """
        return self._total.size

    def lowest(self, topic_key: int, author: VerifyingKey) -> int | None:
        """
        @return: The lowest C{seq_num} that waits in a log.
        """
        log = self._logs.get((topic_key, author))
        return None if log is None else min(log)

    def holds(self, topic_key: int, header: Header) -> bool:
        """
        @return: Whether exactly this operation waits.
        """
        waiting = self._logs.get((topic_key, header.verifying_key), {}).get(header.seq_num)
        return waiting is not None and waiting.header.raw == header.raw

    def put(self, topic_key: int, waiting: Waiting) -> bool:
        """
        Put an operation aside. The first one for a position stays.

        @return: Whether one waits at this position now.
        """
        name = (topic_key, waiting.header.verifying_key)
        seq_num = waiting.header.seq_num
        if seq_num in self._logs.get(name, ()):
            return True
        if waiting.size > self._topic_bytes:
            return False
        while not self._fits_topic(topic_key, waiting.size) or self._total.size + waiting.size > self._total_bytes:
            if not self._make_room(name, waiting):
                return False
        self._logs.setdefault(name, {})[seq_num] = waiting
        for room in (self._topics.setdefault(topic_key, _Room()), self._total):
            room.operations += 1
            room.size += waiting.size
        return True

    def _fits_topic(self, topic_key: int, size: int) -> bool:
        used = self._topics.get(topic_key, _Room())
        return used.operations < self._topic_operations and used.size + size <= self._topic_bytes

    def _make_room(self, name: tuple[int, VerifyingKey], waiting: Waiting) -> bool:
        """
        Give something up for the sake of an operation of the log C{name}.

        @return: Something was given up.
        """
        log = self._logs.get(name)
        if log is not None:
            highest = max(log)
            if highest < waiting.header.seq_num:
                return False
            self._remove(name, highest)
            return True
        anywhere = self._fits_topic(name[0], waiting.size)
        longest = next((other for other in self._logs if anywhere or other[0] == name[0]), None)
        if longest is None:
            return False
        for seq_num in list(self._logs[longest]):
            self._remove(longest, seq_num)
        return True

    def take(self, topic_key: int, author: VerifyingKey, seq_num: int) -> Waiting | None:
        """
        @return: What waits at a position. It waits no longer.
        """
        name = (topic_key, author)
        if seq_num not in self._logs.get(name, ()):
            return None
        return self._remove(name, seq_num)

    def drop_until(self, topic_key: int, author: VerifyingKey, seq_num: int) -> None:
        """
        Give up what waits in a log at or below a position.
        """
        name = (topic_key, author)
        for waiting in [waiting for waiting in self._logs.get(name, ()) if waiting <= seq_num]:
            self._remove(name, waiting)

    def _remove(self, name: tuple[int, VerifyingKey], seq_num: int) -> Waiting:
        log = self._logs[name]
        waiting = log.pop(seq_num)
        if not log:
            del self._logs[name]
        for room in (self._topics[name[0]], self._total):
            room.operations -= 1
            room.size -= waiting.size
        if not self._topics[name[0]].operations:
            del self._topics[name[0]]
        return waiting

    def forget(self, topic_key: int) -> None:
        """
        Give up everything of a topic.
        """
        for name in [name for name in self._logs if name[0] == topic_key]:
            for seq_num in list(self._logs[name]):
                self._remove(name, seq_num)

    def clear(self) -> None:
        """
        Give up everything.
        """
        self._logs.clear()
        self._topics.clear()
        self._total = _Room()
