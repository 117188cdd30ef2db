# -*- test-case-name: tests.store.test_service -*-
"""
The life of the store: opening, closing, and the way of everything in between.

Changes become jobs for the writing thread, questions go to a reading thread. What a transaction brought comes back in
one call, which first notes it in the rings, then fires the Deferreds, then tells the listeners.
"""

from __future__ import annotations

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
from p2panda_tw.store.schema import open_database, schema_scripts
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


class StoreService(Service):
    """
    An open or closed database, with its threads, and what the reactor's side knows of it.

    Every method that gives a Deferred fails with L{StoreError} when the database fails or is not open, and with
    L{LocalProtocolError} for a topic that was not added.

    @ivar must_confirm: After L{open}: others may have seen longer logs of ours, see L{p2panda_tw.store.confirm}.
        Publishing works nevertheless; whether to wait is for the caller to say.
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
        workers: Workers | None = None,
        scripts: Traversable | None = None,
    ) -> None:
        """
        @param path: Of the database, or L{IN_MEMORY}.
        @param signing_key: The author of what is published.
        @param clock_us: The time in microseconds since 1970, for what is published.
        @param durability: L{FULL} or L{FAST}.
        @param lock: Of the data directory; it remembers which database this was.
        @param new_identity: The signing key was made just now.
        @param workers: Where the work is done: on threads, unless the reactor has none.
        @param scripts: Directory of the schema scripts, our own by default.

        @raise LocalProtocolError: Another C{durability}.
        """
        if durability not in (FULL, FAST):
            raise LocalProtocolError(f"durability is {durability!r}; it can be 'full' or 'fast'.")
        if workers is None:
            workers = ThreadWorkers(reactor) if IReactorFromThreads.providedBy(reactor) else InlineWorkers()
        self.must_confirm = False
        self.upgraded_from: int | None = None
        self._reactor = reactor
        self._path = path
        self._signing_key = signing_key
        self._clock_us = clock_us
        self._durability = durability
        self._lock = lock
        self._new_identity = new_identity
        self._workers = workers
        self._scripts = schema_scripts() if scripts is None else scripts
        self._feeds = Feeds()
        self._cursors = Cursors(reactor, self._write_cursors)
        self._threads: Threads | None = None
        self._is_open = False

    @override
    def startService(self) -> None:
        """
        Open the store, unless that was done before. A failure is logged; who wants to know it calls L{open} first.
        """
        super().startService()
        if self._threads is None:
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
        if self._threads is not None:
            return fail(LocalProtocolError("The store is open already."))
        self._threads = Threads(self._workers, self._path, self._tell)
        return self._threads.open(self._make_writer).addCallbacks(self._opened, self._failed)

    def _make_writer(self) -> Writer:
        """
        On the writing thread.
        """
        database = open_database(self._path, self._scripts)
        try:
            self.upgraded_from = database.upgraded_from
            identity = self._signing_key.verifying_key
            self.must_confirm = note_start(database.connection, identity, self._lock, new_identity=self._new_identity)
            synced = self._durability == FULL
            return Writer(database.connection, self._signing_key, self._reactor.seconds, synced=synced)
        except BaseException:
            database.connection.close()
            raise

    def _opened(self, writer: Writer) -> None:
        for topic in writer.topics.all():
            self._feeds.change(TopicChange(topic.key, topic.topic, topic.record))
        self._new_identity = False
        self._is_open = True

    def _failed(self, failure: Failure) -> Failure:
        self._threads = None
        return failure

    def close(self) -> Deferred[None]:
        """
        Take no more; finish and write what is there.

        @return: Fires when no thread is left. L{open} works again then.
        """
        if not self._is_open:
            return succeed(None)
        self._write_cursors()
        self._is_open = False
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        assert self._threads is not None  # it is open
        try:
            await self._threads.close()
        finally:
            self._cursors.clear()
            self._feeds.clear()
            self._threads = None

    def _put(self, job: Job) -> Deferred[Any]:
        """
        Hand a job to the writing thread, and cursors along with it.
        """
        if not self._is_open or self._threads is None:
            return fail(StoreError("The store is not open."))
        self._write_cursors()
        self._threads.put(job)
        return job.done

    def _ask(self, topic: Topic, query: Callable[[Feed], Callable[[Connection], T]]) -> Deferred[T]:
        """
        Put a question about a topic to a reading thread.
        """
        if not self._is_open:
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
        if not self._is_open or self._threads is None:
            return fail(StoreError("The store is not open."))
        return self._threads.read(query)

    def _tell(self, delivery: Delivery) -> None:
        """
        A transaction is through.
        """
        for change in delivery.changes:
            self._feeds.change(change)
        for news in delivery.news:
            self._feeds.note(news)
        for done, result in delivery.results:
            done.callback(result)
        for news in delivery.news:
            self._feeds.tell(news)

    def _write_cursors(self) -> None:
        cursors = self._cursors.take()
        if cursors and self._threads is not None and self._is_open:
            job = Job(lambda writer: writer.set_cursors(cursors))
            job.done.addErrback(self._cursors_not_written, cursors)
            self._threads.put(job)

    def _cursors_not_written(self, failure: Failure, cursors: list[tuple[int, str, int]]) -> None:
        failure.trap(StoreError)
        if self._is_open:
            self._cursors.put_back(cursors)

    def flush(self) -> Deferred[None]:
        """
        @return: Fires when everything handed over so far, cursors included, is committed or has failed.
        """
        if not self._is_open or self._threads is None:
            return succeed(None)
        self._write_cursors()
        return self._threads.flush()
