# -*- test-case-name: tests.store.test_service -*-
"""
The store's threads, seen from the reactor: one that writes, a few that read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from p2panda_tw.store.connection import Connection, store_error
from p2panda_tw.store.jobs import Job, JobQueue
from p2panda_tw.store.limits import READERS
from p2panda_tw.store.reader_pool import ReaderPool
from p2panda_tw.store.schema import IN_MEMORY
from p2panda_tw.store.workers import Worker, Workers
from p2panda_tw.store.writer import Delivery, Writer

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """
    An open database with its threads.
    """

    def __init__(self, workers: Workers, path: str, tell: Callable[[Delivery], None]) -> None:
        """
        @param tell: Called on the reactor's thread with what each transaction came to.
        """
        self._workers = workers
        self._path = path
        self._tell = tell
        self._worker: Worker | None = None
        self._writer: Writer | None = None
        self._readers: ReaderPool | None = None
        self._queue = JobQueue()

    @property
    def waiting(self) -> int:
        """
        How many jobs wait.
        """
        return len(self._queue)

    def open(self, make_writer: Callable[[], Writer]) -> Deferred[Writer]:
        """
        Start the writing thread and let it open the database.

        @param make_writer: Does so.

        @return: Fails with what C{make_writer} raised. Then no thread is left.
        """
        worker = self._workers.start("p2panda writer")

        def opened(writer: Writer) -> Writer:
            self._worker = worker
            self._writer = writer
            if self._path == IN_MEMORY:
                self._readers = ReaderPool.sharing(self._workers, worker, writer.connection)
            else:
                self._readers = ReaderPool(self._workers, self._path, READERS)
            if writer.has_chores:
                self.put(Job(_nothing))
            return writer

        def failed(failure: Failure) -> Failure:
            worker.stop()
            return failure

        done = self._run(worker, make_writer)
        done.addCallbacks(opened, failed)
        return done

    def _run(self, worker: Worker, work: Callable[[], T]) -> Deferred[T]:
        """
        Do something on the writing thread, apart from jobs.
        """
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                answer = partial(done.callback, work())
            except (sqlite3.Error, OSError) as error:
                answer = partial(done.errback, Failure(store_error(error, self._path)))
            except Exception:
                answer = partial(done.errback, Failure())
            self._workers.deliver(answer)

        worker.do(run)
        return done

    def put(self, job: Job) -> None:
        """
        Have a job done. Its Deferred fires after the commit.
        """
        if self._queue.put(job):
            assert self._worker is not None  # jobs come while it is open
            self._worker.do(self._step)

    def _step(self) -> None:
        """
        One transaction, on the writing thread.
        """
        assert self._worker is not None and self._writer is not None  # set before the first job
        delivery = self._writer.run(self._queue)
        if delivery is not None:
            self._workers.deliver(partial(self._tell, delivery))
        if self._writer.has_chores:
            self._writer.do_chore()
        elif self._queue.rest():
            self._writer.get_ready()
            return
        self._worker.do(self._step)

    def read(self, query: Callable[[Connection], T]) -> Deferred[T]:
        """
        Ask something on a reading thread.
        """
        assert self._readers is not None  # questions come while it is open
        return self._readers.read(query)

    def flush(self) -> Deferred[None]:
        """
        @return: Fires when all jobs so far are done, well or badly.
        """
        last = [Job(_nothing, urgent=urgent) for urgent in (True, False)]
        for job in last:
            self.put(job)
        return gatherResults([job.done for job in last]).addBoth(_nothing)

    async def close(self) -> None:
        """
        Finish everything, move what is in the write-ahead log into the database, and end the threads.
        """
        worker, writer, readers = self._worker, self._writer, self._readers
        assert worker is not None and writer is not None and readers is not None  # it is open
        await self.flush()
        await readers.stop()
        try:
            await self._run(worker, writer.close)
        finally:
            worker.stop()
            self._worker = self._writer = self._readers = None


def _nothing(_: object) -> None:
    """
    Do nothing, in a transaction.
    """
