# -*- test-case-name: tests.store.test_service -*-
"""
The store as the rest of the program sees it: methods that give Deferreds, on the reactor's thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, fail, succeed

from p2panda_tw.core.identity import NodeId, VerifyingKey
from p2panda_tw.core.logs import LogRanges
from p2panda_tw.core.operation import RawOperation, total_size
from p2panda_tw.core.stored import Heights, Ingested, LogPage, StoredOperation, StoredPage
from p2panda_tw.core.topic import Form, LogId, Topic
from p2panda_tw.errors import LocalProtocolError, StoreError
from p2panda_tw.store import log_reader, reader, small_tables
from p2panda_tw.store.feeds import Callback
from p2panda_tw.store.jobs import Job
from p2panda_tw.store.lifecycle import FAST, FULL, StoreService
from p2panda_tw.store.limits import PAGE_BYTES, PAGE_OPERATIONS
from p2panda_tw.store.records import PeerRecord, TopicRecord, TopicStats

__all__ = ["FAST", "FULL", "Store"]


class Store(StoreService):
    """
    Logs by topic, author and log id, and what else a node remembers. Use it between C{open} and C{close}.

    Every method that gives a Deferred fails with L{StoreError} when the database fails or is not open, and with
    L{LocalProtocolError} for a topic that was not added.
    """

    # Topics

    def add_topic(self, topic: Topic, form: Form, name: str = "") -> Deferred[None]:
        """
        Have a topic, or have it again after it was left.

        @param form: What its operations look like; it stays so.
        @param name: What the user calls it. An empty name leaves an earlier one.

        @return: Fails with L{LocalProtocolError} if it is known in another form.
        """
        return self._put(Job(lambda writer: writer.add_topic(topic, form, name)))

    def topics(self) -> Deferred[list[TopicRecord]]:
        """
        @return: All topics, left ones included, oldest first.
        """
        if not self._is_open():
            return fail(StoreError("The store is not open."))
        return succeed(self._feeds.records())

    def leave_topic(self, topic: Topic) -> Deferred[None]:
        """
        Note that a topic is no longer synced. Its operations stay.
        """
        return self._put(Job(lambda writer: writer.leave_topic(topic)))

    def forget_topic(self, topic: Topic) -> Deferred[None]:
        """
        Delete a topic and everything of it.
        """
        return self._put(Job(lambda writer: writer.forget_topic(topic)))

    # Operations

    def ingest(self, topic: Topic, raw_operations: Sequence[RawOperation], *, live: bool = False) -> Deferred[Ingested]:
        """
        Check and store received operations. Give at most L{p2panda_tw.store.limits.BATCH_OPERATIONS} at a time, and
        wait for the answer before giving more.

        @param live: They go before those of a catch-up.

        @return: Fires after the commit.
        """
        job = Job(
            lambda writer: writer.ingest(topic, raw_operations),
            urgent=live,
            operations=len(raw_operations),
            size=total_size(raw_operations),
        )
        return self._put(job)

    def publish(self, topic: Topic, body: bytes | None, *, prune: bool = False) -> Deferred[StoredOperation]:
        """
        Make the next operation of our own log.

        @param body: An empty one is the same as none.
        @param prune: Everything before it in our log of this topic may be deleted, here and elsewhere.

        @return: Fires after the commit. Fails with L{p2panda_tw.errors.StoreFull} if there is no room.
        """
        timestamp = self._clock_us()
        job = Job(lambda writer: writer.publish(topic, body, timestamp, prune=prune), own=True, size=len(body or b""))
        return self._put(job)

    def heights(self, topic: Topic) -> Deferred[Heights]:
        """
        @return: Where the logs of a topic stand.
        """
        return self._ask(topic, lambda feed: lambda sql: log_reader.read_heights(sql, feed.key, feed.log_id))

    def range_size(self, topic: Topic, ranges: LogRanges) -> Deferred[tuple[int, int]]:
        """
        @return: How many operations and bytes stretches of logs have, as they are announced in catch-up
            (docs/sync.md, section 4).
        """
        return self._ask(topic, lambda feed: lambda sql: log_reader.read_range_size(sql, feed.key, ranges))

    def log_page(
        self,
        topic: Topic,
        author: VerifyingKey,
        log_id: LogId,
        after: int | None,
        until: int,
        limit_ops: int = PAGE_OPERATIONS,
        limit_bytes: int = PAGE_BYTES,
    ) -> Deferred[LogPage]:
        """
        @param after: The C{seq_num} before the first; C{None}: from the beginning.
        @param until: The last C{seq_num}.
        @param limit_ops: At least one.
        @param limit_bytes: One operation comes even if it has more.

        @return: The first operations of a stretch of a log.
        """
        return self._ask(
            topic,
            lambda feed: (
                lambda sql: reader.read_log_page(sql, feed.key, author, log_id, after, until, limit_ops, limit_bytes)
            ),
        )

    def page(
        self, topic: Topic, after: int, limit_ops: int = PAGE_OPERATIONS, limit_bytes: int = PAGE_BYTES
    ) -> Deferred[StoredPage]:
        """
        @param after: The arrival number before the first.
        @param limit_ops: At least one.
        @param limit_bytes: One operation comes even if it has more.

        @return: What came next in a topic. It may be ahead of what listeners were told.
        """
        recent = self.recent(topic, after, limit_ops, limit_bytes)
        if recent is not None:
            return succeed(recent)
        return self._ask(
            topic, lambda feed: lambda sql: reader.read_page(sql, feed.key, feed.log_id, after, limit_ops, limit_bytes)
        )

    def recent(
        self, topic: Topic, after: int, limit_ops: int = PAGE_OPERATIONS, limit_bytes: int = PAGE_BYTES
    ) -> StoredPage | None:
        """
        @return: The same, if it can be told at once: for topics that somebody listens to, and what came lately.
        """
        try:
            return self._feeds.get(topic).recent(after, limit_ops, limit_bytes)
        except LocalProtocolError:
            return None

    def listen(self, topic: Topic, callback: Callback) -> Callable[[], None]:
        """
        Be told of new operations of a topic, our own and received ones alike, after each transaction. It may be a topic
        that is added later.

        @return: Ends it.
        """
        return self._feeds.listen(topic, callback)

    # Cursors

    def cursor(self, topic: Topic, name: str) -> Deferred[int]:
        """
        @return: Where the reader C{name} of a topic stands, an arrival number; 0 at the beginning.
        """
        try:
            feed = self._feeds.get(topic)
        except LocalProtocolError:
            return fail()
        known = self._cursors.get(feed.key, name)
        if known is not None:
            return succeed(known)
        read = self._ask(topic, lambda feed: lambda sql: small_tables.read_cursor(sql, feed.key, name))
        return read.addCallback(partial(self._cursors.learn, feed.key, name))

    def set_cursor(self, topic: Topic, name: str, arrival: int) -> None:
        """
        Move a reader. It is written with the next transaction, soon, or when the store closes.

        @raise LocalProtocolError: The topic is not in the store.
        """
        self._cursors.set(self._feeds.get(topic).key, name, arrival)

    # What else a node remembers

    def confirm_own_logs(self) -> Deferred[None]:
        """
        Our own logs were compared with another node's, or the user knows better: C{must_confirm} is over.
        """

        def confirmed(_: object) -> None:
            self.loss = 0

        return self._put(Job(lambda writer: writer.confirm())).addCallback(confirmed)

    def remember_peer(self, node_id: NodeId, addresses: bytes, last_success: int | None) -> Deferred[None]:
        """
        Add a peer, or replace its addresses.

        @param last_success: When it was reached; C{None} leaves what was noted before.
        """
        return self._put(Job(lambda writer: writer.remember_peer(node_id, addresses, last_success)))

    def forget_peer(self, node_id: NodeId) -> Deferred[None]:
        """
        Remove a peer, also from all topics.
        """
        return self._put(Job(lambda writer: writer.forget_peer(node_id)))

    def peers(self) -> Deferred[list[PeerRecord]]:
        """
        @return: All peers, those reached last first.
        """
        return self._read(small_tables.read_peers)

    def add_topic_peer(self, topic: Topic, node_id: NodeId) -> Deferred[None]:
        """
        Note that a node is interested in a topic.
        """
        return self._put(Job(lambda writer: writer.add_topic_peer(topic, node_id)))

    def topic_peers(self, topic: Topic) -> Deferred[list[NodeId]]:
        """
        @return: Who is interested in a topic.
        """
        return self._ask(topic, lambda feed: lambda sql: small_tables.read_topic_peers(sql, feed.key))

    def setting(self, key: str) -> Deferred[str | None]:
        """
        @return: A small value that was set before.
        """
        return self._read(lambda sql: small_tables.read_setting(sql, key))

    def set_setting(self, key: str, value: str | None) -> Deferred[None]:
        """
        @param value: C{None} removes it.
        """
        return self._put(Job(lambda writer: writer.set_setting(key, value)))

    def stats(self) -> Deferred[dict[str, object]]:
        """
        @return: For C{p2panda status}: C{operations} and C{bytes} (headers and bodies) in all, C{topics} (L{Topic} to
            L{TopicStats}), C{file_bytes} and C{wal_bytes} of the database and its write-ahead log, C{waiting} jobs.
        """
        keys = {self._feeds.get(record.topic).key: record.topic for record in self._feeds.records()}

        def collect(found: dict[int, TopicStats]) -> dict[str, object]:
            return {
                "operations": sum(stats.operations for stats in found.values()),
                "bytes": sum(stats.bytes for stats in found.values()),
                "topics": {topic: found.get(key, TopicStats(0, 0, 0)) for key, topic in keys.items()},
                "file_bytes": _file_size(self._path),
                "wal_bytes": _file_size(self._path + "-wal"),
                "waiting": 0 if self._threads is None else self._threads.waiting,
            }

        return self._read(log_reader.read_stats).addCallback(collect)


def _file_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
