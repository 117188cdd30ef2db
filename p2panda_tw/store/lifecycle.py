# -*- test-case-name: tests.store.test_service -*-
"""
The life of the store: opening, closing, and the way of everything in between.

Changes become jobs for the writing thread, questions go to a reading thread. What a transaction brought comes back in
one call, which first notes it in the rings, then fires the Deferreds of those who handed something over, then tells the
listeners, then fires the Deferreds of those who published.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import LocalProtocolError, P2pandaError, StoreError
from p2panda_tw.store.confirm import note_start
from p2panda_tw.store.connection import Connection
from p2panda_tw.store.cursors import Cursors
from p2panda_tw.store.feeds import Feed, Feeds
from p2panda_tw.store.jobs import Job
from p2panda_tw.store.lock import DirectoryLock
from p2panda_tw.store.schema import IN_MEMORY, open_database, schema_scripts
from p2panda_tw.store.threads import Threads
from p2panda_tw.store.workers import InlineWorkers, ThreadWorkers, Workers
from p2panda_tw.store.writer import Delivery, TopicChange, Writer

__all__ = ["FAST", "FULL", "StoreService"]

FULL = "full"
"""
Own operations are on the disk before they are reported as stored; they survive a loss of power.
"""

FAST = "fast"
"""
They are handed to the operating system; they survive the end of the process, however it ends.
"""

T = TypeVar("T")


class _State(enum.Enum):
    CLOSED = enum.auto()
    OPENING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()


class StoreService(Service):
    """
    An open or closed database, with its threads, and what the reactor's side knows of it.

    Every method that gives a Deferred fails with L{StoreError} when the database fails or is not open, and with
    L{LocalProtocolError} for a topic that was not added.

    @ivar loss: After L{open}: others may have seen longer logs of ours, see L{p2panda_tw.store.confirm}. A number that
        is greater each time that this is noticed; 0 if there is no reason to think so. Publishing works nevertheless;
        whether to wait is for the caller to say.
    @ivar upgraded_from: After L{open}: which schema version the database had, if it was brought up to date.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        path: str,
        signing_key: SigningKey,
        *,
        clock_us: Callable[[], int],
        durability: str = FULL,
        lock: DirectoryLock | None = None,
        new_identity: bool = False,
        imported: bool = False,
        workers: Workers | None = None,
        scripts: Traversable | None = None,
    ) -> None:
        """
        @param path: Of the database, or L{IN_MEMORY}.
        @param signing_key: The author of what is published.
        @param clock_us: The time in microseconds since 1970, for what is published.
        @param durability: L{FULL} or L{FAST}.
        @param lock: Of the data directory. Without one, a database that is a file has its directory locked while it is
            open.
        @param new_identity: The signing key was made just now, so that nobody has seen operations of it.
        @param imported: The signing key was in use elsewhere, and its logs were not confirmed since.
        @param workers: Where the work is done: on threads, unless the reactor has none.
        @param scripts: Directory of the schema scripts, our own by default.

        @raise LocalProtocolError: Another C{durability}.
        """
        if durability not in (FULL, FAST):
            raise LocalProtocolError(f"durability is {durability!r}; it can be 'full' or 'fast'.")
        if workers is None:
            workers = ThreadWorkers(reactor) if IReactorFromThreads.providedBy(reactor) else InlineWorkers()
        self.loss = 0
        self.upgraded_from: int | None = None
        self._backup: str | None = None
        self._reactor = reactor
        self._path = path
        self._signing_key = signing_key
        self._clock_us = clock_us
        self._durability = durability
        self._lock = lock
        self._own_lock: DirectoryLock | None = None
        self._new_identity = new_identity
        self._imported = imported
        self._workers = workers
        self._scripts = schema_scripts() if scripts is None else scripts
        self._feeds = Feeds()
        self._cursors = Cursors(reactor, self._write_cursors)
        self._threads: Threads | None = None
        self._state = _State.CLOSED
        self._unsettled: list[Deferred[None]] = []

    @property
    def must_confirm(self) -> bool:
        """
        Whether others may have seen longer logs of ours.
        """
        return self.loss != 0

    @override
    def startService(self) -> None:
        """
        Open the store, unless that was done before. A failure is logged; who wants to know it calls L{open} first.
        """
        super().startService()
        if self._state is _State.CLOSED:
            self.open().addErrback(self._not_opened)

    def _not_opened(self, failure: Failure) -> None:
        if failure.check(P2pandaError):
            self._log.error("{error}", error=failure.getErrorMessage())
        else:
            self._log.failure("The store could not be opened.", failure)

    @override
    def stopService(self) -> Deferred[None]:
        """
        Close the store.
        """
        super().stopService()
        return self.close()

    # Opening and closing

    def open(self) -> Deferred[None]:
        """
        Open the database; make it, or bring it up to date, first.

        @return: Fails with L{StoreError} in a sentence if that cannot be done. The database is left as it was.
        """
        if self._state is not _State.CLOSED:
            return fail(LocalProtocolError("The store is open already."))
        self._state = _State.OPENING
        self._threads = Threads(self._workers, self._path, self._tell)
        return self._threads.open(self._make_writer).addCallbacks(self._opened, self._failed)

    def _make_writer(self) -> Writer:
        """
        On the writing thread.
        """
        if self._lock is None and self._path != IN_MEMORY:
            self._lock = self._own_lock = DirectoryLock(os.path.dirname(self._path) or os.curdir)
        database = open_database(self._path, self._scripts)
        try:
            self.upgraded_from = database.upgraded_from
            self._backup = database.backup
            self.loss = note_start(
                database.connection,
                self._signing_key.verifying_key,
                self._lock,
                new_identity=self._new_identity,
                imported=self._imported,
            )
            synced = self._durability == FULL
            return Writer(database.connection, self._signing_key, self._reactor.seconds, synced=synced)
        except BaseException:
            database.connection.close()
            raise

    def _opened(self, writer: Writer) -> None:
        for topic in writer.topics.all():
            self._feeds.change(TopicChange(topic.key, topic.topic, topic.record))
        self._new_identity = self._imported = False
        if self._backup is not None:
            self._log.warn(
                "The database {path} has got a new layout. A copy of the old one is {backup}.",
                path=self._path,
                backup=self._backup,
                is_for_user=True,
            )
        self._settle(_State.OPEN)

    def _failed(self, failure: Failure) -> Failure:
        self._let_go()
        return failure

    def _let_go(self) -> None:
        """
        Nothing is in use any more.
        """
        if self._own_lock is not None:
            self._own_lock.release()
            self._lock = self._own_lock = None
        self._threads = None
        self._settle(_State.CLOSED)

    def _settle(self, state: _State) -> None:
        self._state = state
        waiting, self._unsettled = self._unsettled, []
        for settled in waiting:
            settled.callback(None)

    def close(self) -> Deferred[None]:
        """
        Take no more; finish and write what is there.

        @return: Fires when no thread is left. L{open} works again then.
        """
        if self._state is _State.CLOSED:
            return succeed(None)
        if self._state is _State.OPEN:
            self._write_cursors()
            self._state = _State.CLOSING
            return Deferred.fromCoroutine(self._close())
        settled: Deferred[None] = Deferred()
        self._unsettled.append(settled)
        return settled.addCallback(lambda _: self.close())

    async def _close(self) -> None:
        assert self._threads is not None  # it is open
        try:
            await self._threads.close()
        finally:
            self._cursors.clear()
            self._feeds.clear()
            self._let_go()

    def _put(self, job: Job) -> Deferred[Any]:
        """
        Hand a job to the writing thread, and cursors along with it.
        """
        if self._state is not _State.OPEN or self._threads is None:
            return fail(StoreError("The store is not open."))
        self._write_cursors()
        self._threads.put(job)
        return job.done

    def _ask(self, topic: Topic, query: Callable[[Feed], Callable[[Connection], T]]) -> Deferred[T]:
        """
        Put a question about a topic to a reading thread.
        """
        if self._state is not _State.OPEN:
            return fail(StoreError("The store is not open."))
        try:
            feed = self._feeds.get(topic)
        except LocalProtocolError:
            return fail()
        return self._read(query(feed))

    def _read(self, query: Callable[[Connection], T]) -> Deferred[T]:
        """
        Put a question to a reading thread.
        """
        if self._state is not _State.OPEN or self._threads is None:
            return fail(StoreError("The store is not open."))
        return self._threads.read(query)

    def _tell(self, delivery: Delivery) -> None:
        """
        A transaction is through.
        """
        for change in delivery.changes:
            self._feeds.change(change)
            if change.record is None:
                self._cursors.forget(change.key)
        for news in delivery.news:
            self._feeds.note(news)
        for job, result in delivery.results:
            if not job.own:
                job.done.callback(result)
        for news in delivery.news:
            self._feeds.tell(news)
        # A publisher goes on publishing. The thread that this wakes need not wait for us if it is the last thing we do.
        for job, result in delivery.results:
            if job.own:
                job.done.callback(result)

    def _write_cursors(self) -> None:
        cursors = self._cursors.take()
        if cursors and self._threads is not None and self._state is _State.OPEN:
            job = Job(lambda writer: writer.set_cursors(cursors))
            job.done.addErrback(self._cursors_not_written, cursors)
            self._threads.put(job)

    def _cursors_not_written(self, failure: Failure, cursors: list[tuple[int, str, int]]) -> None:
        failure.trap(StoreError)
        if self._state is _State.OPEN:
            self._cursors.put_back(cursors)

    def _is_open(self) -> bool:
        return self._state is _State.OPEN

    def flush(self) -> Deferred[None]:
        """
        @return: Fires when everything handed over so far, cursors included, is committed or has failed.
        """
        if self._state is not _State.OPEN or self._threads is None:
            return succeed(None)
        self._write_cursors()
        return self._threads.flush()
