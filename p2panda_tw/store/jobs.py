# -*- test-case-name: tests.store.test_jobs -*-
"""
What waits for the writing thread. There are two lanes: publishing, live operations and small changes go first, batches
of a catch-up follow; but every second transaction takes one of those at least, so that no flood of the former starves
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from p2panda_tw.store.limits import TRANSACTION_BYTES, TRANSACTION_OPERATIONS

if TYPE_CHECKING:
    from p2panda_tw.store.writer import Writer

__all__ = ["Job", "JobQueue"]


class Job:
    """
    Something to do inside a transaction.

    @ivar work: Does it. A L{p2panda_tw.errors.LocalProtocolError} concerns this job alone and means that nothing was
        changed; anything else undoes the transaction.
    @ivar done: Fires on the reactor's thread with what C{work} returned, after the commit.
    @ivar urgent: It goes before those that are not.
    @ivar own: It makes an operation of our own.
    @ivar operations: How many operations it brings.
    @ivar size: Their bytes.
    """

    __slots__ = ("done", "operations", "own", "size", "urgent", "work")

    def __init__(
        self,
        work: Callable[[Writer], object],
        *,
        urgent: bool = True,
        own: bool = False,
        operations: int = 1,
        size: int = 0,
    ) -> None:
        self.work = work
        self.done: Deferred[Any] = Deferred()
        self.urgent = urgent
        self.own = own
        self.operations = operations
        self.size = size


class JobQueue:
    """
    Filled by the reactor's thread, emptied by the writing thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._urgent: deque[Job] = deque()
        self._patient: deque[Job] = deque()
        self._awake = False
        self._patient_turn = True

    def __len__(self) -> int:
        return len(self._urgent) + len(self._patient)

    def put(self, job: Job) -> bool:
        """
        Add a job.

        @return: The writing thread is not at work and has to be told.
        """
        with self._lock:
            (self._urgent if job.urgent else self._patient).append(job)
            asleep = not self._awake
            self._awake = True
            return asleep

    def rest(self) -> bool:
        """
        @return: Nothing is left, and L{put} will tell the next time.
        """
        with self._lock:
            if self._urgent or self._patient:
                return False
            self._awake = False
            return True

    def begin(self) -> list[Job]:
        """
        @return: What to begin a transaction with.
        """
        jobs: list[Job] = []
        operations = size = 0
        while self._urgent and operations < TRANSACTION_OPERATIONS and size < TRANSACTION_BYTES:
            job = self._urgent.popleft()
            jobs.append(job)
            operations += job.operations
            size += job.size
        if self._patient and (self._patient_turn or not jobs):
            jobs.append(self._patient.popleft())
            self._patient_turn = False
        else:
            self._patient_turn = True
        return jobs

    def more(self) -> Job | None:
        """
        @return: A batch that may join a transaction under way, as long as nobody urgent waits for its end.
        """
        if self._urgent or not self._patient:
            return None
        return self._patient.popleft()
