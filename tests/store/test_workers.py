"""
Where work is done.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.store.workers import InlineWorkers, ThreadWorkers


def stumble() -> None:
    """
    Work that fails.
    """
    raise ZeroDivisionError


class FakeReactor:
    """
    Collects what is to be called on the reactor's thread.
    """

    def __init__(self) -> None:
        self.calls: SimpleQueue[object] = SimpleQueue()

    def callFromThread(self, call: object) -> None:  # noqa: N802  # a method of IReactorFromThreads
        """
        Keep it.
        """
        self.calls.put(call)


class ThreadWorkersTests(SynchronousTestCase):
    """
    Real threads.
    """

    def test_order(self) -> None:
        """
        Work is done in order, on a thread of its own, and everything is done before it stops.
        """
        workers = ThreadWorkers(FakeReactor())  # type: ignore[arg-type]  # as much of a reactor as is used
        worker = workers.start("test")
        done: list[tuple[int, str]] = []
        for number in range(100):
            worker.do(lambda number=number: done.append((number, threading.current_thread().name)))
        worker.stop()
        self.assertEqual(done, [(number, "test") for number in range(100)])

    def test_stumble(self) -> None:
        """
        Work that raises an exception is logged and does not end the thread.
        """
        worker = ThreadWorkers(FakeReactor()).start("test")  # type: ignore[arg-type]  # as above
        done: list[int] = []
        worker.do(stumble)
        worker.do(lambda: done.append(1))
        worker.stop()
        self.assertEqual(done, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_deliver(self) -> None:
        """
        Results go to the reactor.
        """
        reactor = FakeReactor()
        call = self.mktemp
        ThreadWorkers(reactor).deliver(call)  # type: ignore[arg-type]  # as above
        self.assertEqual(reactor.calls.get_nowait(), call)


class InlineWorkersTests(SynchronousTestCase):
    """
    No threads.
    """

    def test_at_once(self) -> None:
        """
        Work is done at once; what it causes comes after it.
        """
        workers = InlineWorkers()
        done: list[str] = []

        def work() -> None:
            workers.deliver(lambda: done.append("result"))
            done.append("work")

        workers.start("any").do(work)
        self.assertEqual(done, ["work", "result"])

    def test_by_hand(self) -> None:
        """
        Or step by step.
        """
        workers = InlineWorkers(automatic=False)
        done: list[int] = []
        for number in range(3):
            workers.do(lambda number=number: done.append(number))
        self.assertEqual(done, [])
        workers.step()
        self.assertEqual(done, [0])
        workers.run()
        workers.step()
        self.assertEqual(done, [0, 1, 2])
