# -*- test-case-name: tests.store.test_workers -*-
"""
Where the store's work is done: on threads of its own, or in the caller's thread.

The store hands work to a L{Worker} and gets results by L{Workers.deliver}. It never waits for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReactorFromThreads
from twisted.logger import Logger

from p2panda_tw.store.bell import Bell

__all__ = ["InlineWorkers", "ThreadWorkers", "Worker", "Workers"]

Work = Callable[[], None]


class Worker(Protocol):
    """
    Does one piece of work after the other, in the order in which it got them.
    """

    def do(self, work: Work) -> None:
        """
        Have something done soon. Any thread may call this.
        """

    def stop(self) -> None:
        """
        Take no more, and come back when everything is done. Not to be called from its own work.
        """


class Workers(Protocol):
    """
    Makes workers, and brings their results to the reactor.
    """

    def start(self, name: str) -> Worker:
        """
        @param name: For the list of threads.
        """

    def deliver(self, call: Work) -> None:
        """
        Have something called on the reactor's thread, in the order in which it was asked for. Any thread may call this.
        """


class _ThreadWorker:
    """
    A thread with a queue.
    """

    _log = Logger()

    def __init__(self, name: str, stopped: Work) -> None:
        self._stopped = stopped
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for work in iter(self._queue.get, None):
            try:
                work()
            except Exception:
                self._log.failure("A thread of the store stumbled; it goes on.")

    def do(self, work: Work) -> None:
        self._queue.put(work)

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._stopped()


class ThreadWorkers:
    """
    Each worker is a thread. Workers are started and stopped by the reactor's thread.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._running = 0
        self._bell: Bell | None = None

    def start(self, name: str) -> Worker:
        """
        Start a thread.
        """
        if not self._running and IReactorFDSet.providedBy(self._reactor):
            self._bell = Bell(self._reactor)
        self._running += 1
        return _ThreadWorker(name, self._stopped)

    def _stopped(self) -> None:
        self._running -= 1
        if not self._running and self._bell is not None:
            bell, self._bell = self._bell, None
            bell.close()

    def deliver(self, call: Work) -> None:
        """
        Call it on the reactor's thread.
        """
        if self._bell is not None:
            self._bell.ring(call)
        else:
            self._reactor.callFromThread(call)


class InlineWorkers:
    """
    All workers, and the reactor's side, take turns in the caller's thread: for tests, and for reactors without threads.
    Work that is handed over while other work is under way waits until that is done, as it would with threads.

    @ivar pending: What was not done yet, if C{automatic} is false.
    """

    def __init__(self, *, automatic: bool = True) -> None:
        """
        @param automatic: Do everything at once. Otherwise L{step} and L{run} do.
        """
        self._automatic = automatic
        self._running = False
        self.pending: deque[Work] = deque()

    def start(self, name: str) -> Worker:
        """
        Nothing is started.
        """
        return self

    def do(self, work: Work) -> None:
        """
        Do it now, or keep it.
        """
        self.pending.append(work)
        if self._automatic and not self._running:
            self.run()

    def deliver(self, call: Work) -> None:
        """
        The same.
        """
        self.do(call)

    def stop(self) -> None:
        """
        Nothing to wait for.
        """

    def step(self) -> None:
        """
        Do one piece of work, if there is some.
        """
        if self.pending:
            self._running = True
            try:
                self.pending.popleft()()
            finally:
                self._running = False

    def run(self) -> None:
        """
        Do everything.
        """
        while self.pending:
            self.step()
