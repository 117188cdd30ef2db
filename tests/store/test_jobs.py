"""
Who goes first to the writing thread.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.store.jobs import Job, JobQueue
from p2panda_tw.store.limits import TRANSACTION_BYTES, TRANSACTION_OPERATIONS


def nothing(_: object) -> None:
    """
    The work of these jobs.
    """


def live(**options: int) -> Job:
    """
    A live batch.
    """
    return Job(nothing, urgent=True, **options)


def catch_up(**options: int) -> Job:
    """
    A batch of a catch-up.
    """
    return Job(nothing, urgent=False, **options)


class JobQueueTests(SynchronousTestCase):
    """
    Two lanes.
    """

    def setUp(self) -> None:
        self.queue = JobQueue()

    def put(self, *jobs: Job) -> None:
        """
        Add jobs.
        """
        for job in jobs:
            self.queue.put(job)

    def test_urgent_first(self) -> None:
        """
        Whoever publishes goes before batches of a catch-up, and is joined by one of them at most.
        """
        patient = [catch_up() for _ in range(3)]
        urgent = [live() for _ in range(3)]
        self.put(*patient, *urgent)
        self.assertEqual(len(self.queue), 6)
        self.assertEqual(self.queue.begin(), [*urgent, patient[0]])

    def test_no_starving(self) -> None:
        """
        Under a flood of urgent jobs every second transaction still takes a batch.
        """
        patient = [catch_up() for _ in range(3)]
        self.put(*patient)
        taken = []
        for _ in range(6):
            self.put(live())
            taken.append(len(self.queue.begin()))
        self.assertEqual(taken, [2, 1, 2, 1, 2, 1])

    def test_join(self) -> None:
        """
        Further batches may join, unless somebody urgent waits.
        """
        patient = [catch_up() for _ in range(3)]
        self.put(*patient)
        self.assertEqual(self.queue.begin(), patient[:1])
        self.assertIs(self.queue.more(), patient[1])
        self.put(live())
        self.assertIsNone(self.queue.more())

    def test_bounds(self) -> None:
        """
        A transaction begins with so many operations or bytes at most.
        """
        by_count = [live(operations=TRANSACTION_OPERATIONS // 2) for _ in range(3)]
        by_size = [live(size=TRANSACTION_BYTES) for _ in range(2)]
        self.put(*by_count, *by_size)
        self.assertEqual(self.queue.begin(), by_count[:2])
        self.assertEqual(self.queue.begin(), [by_count[2], by_size[0]])
        self.assertEqual(self.queue.begin(), [by_size[1]])
        self.assertEqual(self.queue.begin(), [])

    def test_awake(self) -> None:
        """
        The thread is told when it sleeps, and only then.
        """
        self.assertTrue(self.queue.put(live()))
        self.assertFalse(self.queue.put(live()))
        self.assertFalse(self.queue.rest())
        self.queue.begin()
        self.assertTrue(self.queue.rest())
        self.assertTrue(self.queue.put(catch_up()))
