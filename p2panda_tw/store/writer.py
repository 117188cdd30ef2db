# -*- test-case-name: tests.store.test_writer -*-
"""
What the writing thread does: several jobs in one transaction, and then one message to the reactor's thread with what
became of all of them. Nothing is told before the commit.

When a transaction fails, all of its jobs fail, and before anything else is done everything in memory is taken from the
database again. If the reason may lie in one of them, each is tried once more by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Ingested, StoredOperation
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError, StoreError, StoreFull
from p2panda_tw.store import small_tables
from p2panda_tw.store.connection import Connection, translated
from p2panda_tw.store.gaps import Gaps
from p2panda_tw.store.heads import SEQ_BITS, Heads
from p2panda_tw.store.ingest import Ingest
from p2panda_tw.store.jobs import Job, JobQueue
from p2panda_tw.store.limits import TRANSACTION_BYTES, TRANSACTION_OPERATIONS, TRANSACTION_SECONDS
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.store.rows import OperationRows
from p2panda_tw.store.topics import ARRIVAL_BITS, Topics

__all__ = ["Delivery", "TopicChange", "TopicNews", "Writer"]


class TopicNews(NamedTuple):
    """
    What a transaction changed in a topic.

    @ivar key: The topic's short name in the database.
    @ivar operations: What is new, in the order of arrival.
    @ivar newest: The newest arrival number.
    @ivar pruned: Author to the lowest C{seq_num} that stays.
    """

    key: int
    operations: Sequence[StoredOperation]
    newest: int
    pruned: dict[bytes, int]


class TopicChange(NamedTuple):
    """
    A topic was added, changed or removed.

    @ivar key: Its short name in the database.
    @ivar record: What it is now; C{None}: gone.
    """

    key: int
    topic: Topic
    record: TopicRecord | None


class Delivery(NamedTuple):
    """
    What a transaction came to.

    @ivar changes: What happened to topics.
    @ivar news: What happened in topics.
    @ivar results: What the Deferred of each job is to fire with.
    """

    changes: list[TopicChange]
    news: list[TopicNews]
    results: list[tuple[Job, object]]


class Writer:
    """
    The one who changes the database. Its methods other than L{run}, L{do_chore}, L{get_ready} and L{close} are for the
    jobs, inside a transaction.

    @ivar connection: To the database.
    @ivar topics: All topics.
    """

    _log = Logger()

    def __init__(
        self, connection: Connection, signing_key: SigningKey, seconds: Callable[[], float], *, synced: bool
    ) -> None:
        """
        @param connection: Nobody else writes.
        @param seconds: A clock, for differences only.
        @param synced: Our own operations are on the disk before they are reported as stored.
        """
        self.connection = connection
        self._seconds = seconds
        self._synced = synced
        self._rows = OperationRows(connection)
        self._heads = Heads(connection)
        self._gaps = Gaps()
        self._ingest = Ingest(self._heads, self._gaps, self._rows, signing_key)
        self._changes: list[TopicChange] = []
        self._is_stale = False
        self._journal_is_short = synced
        self.topics = Topics(connection)

    @property
    def has_chores(self) -> bool:
        """
        There may be something to do for L{do_chore}.
        """
        return self._rows.has_leftovers or self._journal_is_short

    def run(self, queue: JobQueue) -> Delivery | None:
        """
        Do a transaction's worth of jobs.

        @return: C{None} if there are no jobs.
        """
        jobs = queue.begin()
        if not jobs:
            return None
        try:
            return self._transaction(jobs, queue)
        except StoreFull as error:
            return self._failed(jobs, error)
        except Exception as error:
            if len(jobs) == 1:
                return self._failed(jobs, error)
        whole = Delivery([], [], [])
        for job in jobs:
            try:
                delivery = self._transaction([job], None)
            except Exception as error:
                delivery = self._failed([job], error)
            for part, addition in zip(whole, delivery, strict=True):
                part += addition  # type: ignore[operator]  # lists of the same type
        return whole

    def _failed(self, jobs: list[Job], error: Exception) -> Delivery:
        if not isinstance(error, StoreError):
            self._log.failure("A job of the store failed.", Failure(error))
        return Delivery([], [], [(job, Failure(error)) for job in jobs])

    def _transaction(self, jobs: list[Job], queue: JobQueue | None) -> Delivery:
        """
        @param jobs: Those to begin with. Those that join are added.
        """
        if self._is_stale:
            self._start_over()
        results: list[tuple[Job, object]] = []
        began = self._seconds()
        operations = size = 0
        try:
            with self.connection.transaction(synced=self._synced and any(job.own for job in jobs)):
                for job in jobs:
                    try:
                        result = job.work(self)
                    except LocalProtocolError as error:
                        result = Failure(error)
                    results.append((job, result))
                    operations += job.operations
                    size += job.size
                    if (
                        queue is not None
                        and len(results) == len(jobs)
                        and operations < TRANSACTION_OPERATIONS
                        and size < TRANSACTION_BYTES
                        and self._seconds() - began < TRANSACTION_SECONDS
                    ):
                        joining = queue.more()
                        if joining is not None:
                            jobs.append(joining)
                self._rows.write()
                self._heads.write()
        except BaseException:
            self._is_stale = True
            raise
        self._heads.trim()
        changes, self._changes = self._changes, []
        return Delivery(changes, self._news(), results)

    def _news(self) -> list[TopicNews]:
        news = []
        for topic in self._ingest.take_touched():
            if topic.news:
                news.append(TopicNews(topic.key, topic.news, topic.newest, topic.pruned))
                topic.news = []
                topic.pruned = {}
        return news

    def _start_over(self) -> None:
        """
        What is in memory may say more than the database. Operations that waited for others are fetched again.

        @raise StoreError: The database cannot be read now, so nothing can be written either.
        """
        with translated(self.connection.path):
            self._rows.forget()
            self._heads.forget()
            self._gaps.clear()
            self._ingest.take_touched()
            self._changes.clear()
            self.topics.load()
        self._is_stale = False

    def ingest(self, topic: Topic, raw_operations: Sequence[RawOperation]) -> Ingested:
        """
        Take received operations.
        """
        return self._ingest.batch(self.topics.get(topic), raw_operations)

    def publish(self, topic: Topic, body: bytes | None, timestamp: int, *, prune: bool) -> StoredOperation:
        """
        Make an operation of our own.
        """
        return self._ingest.forge(self.topics.get(topic), body, timestamp, prune=prune)

    def add_topic(self, topic: Topic, form: Form, name: str) -> None:
        """
        Add it, or come back to it.
        """
        known = self.topics.add(topic, form, name)
        self._changes.append(TopicChange(known.key, topic, known.record))

    def leave_topic(self, topic: Topic) -> None:
        """
        Note that it is no longer synced.
        """
        known = self.topics.leave(topic)
        self._changes.append(TopicChange(known.key, topic, known.record))

    def forget_topic(self, topic: Topic) -> None:
        """
        Delete it with all that was stored of it. The rows of many operations go bit by bit.
        """
        known = self.topics.remove(topic)
        self._changes.append(TopicChange(known.key, topic, None))
        self._gaps.forget(known.key)
        self._rows.write()
        self._heads.write()
        self._heads.forget()
        known.news = []
        sql = self.connection.sql
        for (log_key,) in sql.execute("SELECT log_key FROM logs WHERE topic_key = ?", (known.key,)).fetchall():
            self._rows.delete_later("operations", log_key << SEQ_BITS, (log_key + 1 << SEQ_BITS) - 1)
        sql.execute("DELETE FROM logs WHERE topic_key = ?", (known.key,))
        self._rows.delete_later("arrivals", known.places, known.places + (1 << ARRIVAL_BITS) - 1)

    def set_cursors(self, cursors: Sequence[tuple[int, str, int]]) -> None:
        """
        Write cursors: topic key, name, arrival number. Those of forgotten topics are left out.
        """
        small_tables.write_cursors(self.connection, [cursor for cursor in cursors if self.topics.has(cursor[0])])

    def set_setting(self, key: str, value: str | None) -> None:
        """
        Write a setting, or remove it.
        """
        small_tables.write_setting(self.connection, key, value)

    def remember_peer(self, node_id: NodeId, addresses: bytes, last_success: int | None) -> None:
        """
        Add a peer, or replace its addresses.
        """
        small_tables.remember_peer(self.connection, node_id, addresses, last_success)

    def forget_peer(self, node_id: NodeId) -> None:
        """
        Remove a peer.
        """
        small_tables.forget_peer(self.connection, node_id)

    def add_topic_peer(self, topic: Topic, node_id: NodeId) -> None:
        """
        Note that a peer is interested in a topic.
        """
        small_tables.add_topic_peer(self.connection, self.topics.get(topic).key, node_id)

    def confirm(self) -> None:
        """
        Note that our own logs are as long as anybody knows them.
        """
        meta = small_tables.read_meta(self.connection)
        assert meta is not None  # written when the database was opened
        meta.unconfirmed = 0
        small_tables.update_meta(self.connection, meta)

    def do_chore(self) -> None:
        """
        Do a little of what has time: delete what is left over, in a transaction of its own, or make the write-ahead log
        longer.
        """
        if not self._rows.has_leftovers:
            self._journal_is_short = not self.connection.lengthen_journal()
            return
        try:
            with self.connection.transaction():
                self._rows.tidy()
        except StoreError as error:
            self._log.warn("Deleting what is left over has to wait for the next start. {error}", error=error)
            self._rows.has_leftovers = False

    def get_ready(self) -> None:
        """
        Do now what the next transaction would begin with.
        """
        self.connection.begin_early()

    def close(self) -> None:
        """
        Let go of the database. If there is no room to move everything into the main file, it stays in the log beside
        it. What is still to be deleted is deleted after the next start.
        """
        self._rows.has_leftovers = self._journal_is_short = False
        try:
            self.connection.checkpoint()
        except sqlite3.Error as error:
            self._log.warn("The write-ahead log could not be emptied. {error}", error=error)
        self.connection.close()
