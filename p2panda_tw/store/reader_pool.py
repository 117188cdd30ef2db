# -*- test-case-name: tests.store.test_service -*-
"""
The reading threads: at most so many, started when needed, each with a connection of its own. Queries that find none
free wait on the reactor's side.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from p2panda_tw.errors import DecodeError
from p2panda_tw.store.connection import Connection, store_error
from p2panda_tw.store.limits import READER_CACHE_KIB
from p2panda_tw.store.workers import Worker, Workers

__all__ = ["ReaderPool"]

T = TypeVar("T")
Query = Callable[[Connection], T]


class _Reader:
    """
    One thread.

    @ivar connection: C{None} until it has done something.
    """

    def __init__(self, worker: Worker, connection: Connection | None) -> None:
        self.worker = worker
        self.connection = connection


class ReaderPool:
    """
    Runs queries. All methods are for the reactor's thread.
    """

    def __init__(self, workers: Workers, path: str, limit: int) -> None:
        """
        @param limit: How many threads, at most.
        """
        self._workers = workers
        self._path = path
        self._limit = limit
        self._started: list[_Reader] = []
        self._idle: list[_Reader] = []
        self._waiting: deque[tuple[Query[Any], Deferred[Any]]] = deque()
        self._stopped: Deferred[None] | None = None
        self._shared = False

    @classmethod
    def sharing(cls, workers: Workers, worker: Worker, connection: Connection) -> ReaderPool:
        """
        @return: A pool whose only thread is the writing one, for a database that has one connection.
        """
        pool = cls(workers, connection.path, 1)
        pool._started = [_Reader(worker, connection)]
        pool._idle = list(pool._started)
        pool._shared = True
        return pool

    def read(self, query: Query[T]) -> Deferred[T]:
        """
        @return: Fires with what C{query} returned. Fails with L{p2panda_tw.errors.StoreError} if SQLite does.
        """
        done: Deferred[T] = Deferred()
        self._waiting.append((query, done))
        self._dispatch()
        return done

    def stop(self) -> Deferred[None]:
        """
        @return: Fires when all queries are answered and no thread is left.
        """
        self._stopped = Deferred()
        stopped = self._stopped
        self._dispatch()
        return stopped

    def _dispatch(self) -> None:
        while self._waiting:
            if not self._idle and len(self._started) < self._limit:
                reader = _Reader(self._workers.start(f"p2panda reader {len(self._started) + 1}"), None)
                self._started.append(reader)
                self._idle.append(reader)
            if not self._idle:
                return
            query, done = self._waiting.popleft()
            reader = self._idle.pop()
            reader.worker.do(partial(self._run, reader, query, done))
        if self._stopped is not None and len(self._idle) == len(self._started):
            self._finish(self._stopped)

    def _run(self, reader: _Reader, query: Query[T], done: Deferred[T]) -> None:
        """
        On the reading thread.
        """
        result: T | Failure
        try:
            if reader.connection is None:
                reader.connection = Connection(self._path, cache_kib=READER_CACHE_KIB)
                reader.connection.read_only()
            result = query(reader.connection)
        except (sqlite3.Error, DecodeError) as error:
            result = Failure(store_error(error, self._path))
        except Exception:
            result = Failure()
        self._workers.deliver(partial(self._answer, reader, result, done))

    def _answer(self, reader: _Reader, result: T | Failure, done: Deferred[T]) -> None:
        self._idle.append(reader)
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
        self._dispatch()

    def _finish(self, stopped: Deferred[None]) -> None:
        self._stopped = None
        if not self._shared:
            for reader in self._started:
                if reader.connection is not None:
                    reader.worker.do(reader.connection.close)
                reader.worker.stop()
        self._started.clear()
        self._idle.clear()
        stopped.callback(None)
