# -*- test-case-name: tests.store.test_feeds -*-
"""
What the reactor's side knows of each topic without asking a thread: its newest arrival number, who listens, and the
newest operations if somebody does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.logger import Logger

from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.limits import RING_TOTAL_BYTES
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.store.ring import Ring
from p2panda_tw.store.writer import TopicChange, TopicNews

__all__ = ["Callback", "Feed", "Feeds"]

Callback = Callable[[Sequence[StoredOperation]], None]
"""
Gets the new operations of a topic in the order of arrival.
"""


def _ring_size(ring: Ring) -> int:
    return ring.size


class _Listener:
    """
    Somebody who listens. (The same callback may listen twice.)

    @ivar callback: What to call; C{None} when that has ended.
    """

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback


class Feed:
    """
    One topic that is in the store.

    @ivar key: Its short name in the database.
    @ivar record: As others are told.
    @ivar log_id: The log id of all its logs.
    @ivar ring: Its newest operations; C{None} when nobody listens.
    @ivar listeners: Who listens.
    """

    def __init__(self, key: int, record: TopicRecord, listeners: list[_Listener]) -> None:
        self.key = key
        self.record = record
        self.log_id: LogId = record.form.log_id(record.topic)
        self.newest = record.newest
        self.listeners = listeners
        self.ring: Ring | None = Ring(record.newest) if listeners else None

    def recent(self, after: int, limit_operations: int, limit_bytes: int) -> StoredPage | None:
        """
        @return: A page without asking a thread, if it is known here.
        """
        if after >= self.newest:
            return StoredPage((), after, after)
        return None if self.ring is None else self.ring.page(after, limit_operations, limit_bytes)


class Feeds:
    """
    All topics, and all who listen, also to topics that are not in the store.
    """

    _log = Logger()

    def __init__(self, rings_size: int = RING_TOTAL_BYTES) -> None:
        """
        @param rings_size: Memory for the newest operations of all topics, in bytes.
        """
        self._most_rings_size = rings_size
        self._rings_size = 0  # at least what they take; what was given up meanwhile is noticed when it matters
        self._feeds: dict[Topic, Feed] = {}
        self._by_key: dict[int, Feed] = {}
        self._listeners: dict[Topic, list[_Listener]] = {}

    def get(self, topic: Topic) -> Feed:
        """
        @raise LocalProtocolError: It is not in the store.
        """
        feed = self._feeds.get(topic)
        if feed is None:
            raise LocalProtocolError(f"The store does not have the topic {topic!r}; add it first.")
        return feed

    def records(self) -> list[TopicRecord]:
        """
        @return: All topics in the store, oldest first.
        """
        return [replace(feed.record, newest=feed.newest) for feed in self._feeds.values()]

    def clear(self) -> None:
        """
        The store is closed. Who listens still does when it is opened again.
        """
        self._feeds.clear()
        self._by_key.clear()

    def change(self, change: TopicChange) -> None:
        """
        A topic was added, changed or removed.
        """
        known = self._feeds.get(change.topic)
        if change.record is None:
            if known is not None:
                del self._feeds[change.topic]
                del self._by_key[known.key]
                if not known.listeners:
                    del self._listeners[change.topic]
        elif known is not None:
            known.record = change.record
        else:
            listeners = self._listeners.setdefault(change.topic, [])
            self._feeds[change.topic] = self._by_key[change.key] = Feed(change.key, change.record, listeners)

    def note(self, news: TopicNews) -> None:
        """
        Operations were stored, and perhaps others deleted.
        """
        feed = self._by_key.get(news.key)
        if feed is not None:
            feed.newest = news.newest
            if feed.ring is not None:
                before = feed.ring.size
                feed.ring.extend(news.operations, news.newest, news.pruned)
                self._rings_size += feed.ring.size - before
                if self._rings_size > self._most_rings_size:
                    self._make_room()

    def _make_room(self) -> None:
        """
        Let the fullest rings forget something.
        """
        rings = sorted((feed.ring for feed in self._feeds.values() if feed.ring is not None), key=_ring_size)
        self._rings_size = sum(map(_ring_size, rings))
        while self._rings_size > self._most_rings_size // 2 and rings:
            fullest = rings.pop()
            self._rings_size -= fullest.size
            fullest.halve()
            self._rings_size += fullest.size

    def tell(self, news: TopicNews) -> None:
        """
        Call who listens. One that raises an exception does not keep it from the others.
        """
        feed = self._by_key.get(news.key)
        if feed is None:
            return
        for listener in feed.listeners.copy():
            try:
                if listener.callback is not None:
                    listener.callback(news.operations)
            except Exception:
                self._log.failure("Somebody who listens to {topic} stumbled.", topic=feed.record.topic)

    def listen(self, topic: Topic, callback: Callback) -> Callable[[], None]:
        """
        @return: Ends it.
        """
        listener = _Listener(callback)

        def stop() -> None:
            if listener.callback is not None:
                listener.callback = None
                self._stop(topic, listener)

        self._listeners.setdefault(topic, []).append(listener)
        feed = self._feeds.get(topic)
        if feed is not None and feed.ring is None:
            feed.ring = Ring(feed.newest)
        return stop

    def _stop(self, topic: Topic, listener: _Listener) -> None:
        listeners = self._listeners[topic]
        listeners.remove(listener)
        feed = self._feeds.get(topic)
        if not listeners:
            if feed is None:
                del self._listeners[topic]
            else:
                feed.ring = None
