"""
Transactions: what is done together, and what happens when one fails.
"""

from __future__ import annotations

import os
import sqlite3
from itertools import pairwise

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.stored import Ingested, StoredOperation
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError, StoreError, StoreFull
from p2panda_tw.store.jobs import Job, JobQueue
from p2panda_tw.store.limits import DELETE_CHUNK, TRANSACTION_SECONDS, WAL_BYTES
from p2panda_tw.store.schema import open_database, schema_scripts
from p2panda_tw.store.writer import Delivery, Writer
from tests.store.logs import NOW_US, OTHER_TOPIC, OWN_KEY, TOPIC, Log


class WriterTestCase(SynchronousTestCase):
    """
    Has a writer on a file, with a topic.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.connection = open_database(self.mktemp(), schema_scripts()).connection
        self.writer = Writer(self.connection, OWN_KEY, self.clock.seconds, synced=True)
        self.addCleanup(self.writer.close)
        self.queue = JobQueue()
        self.log = Log()
        self.run_jobs(Job(lambda writer: writer.add_topic(TOPIC, Form.NODE, "")))

    def run_jobs(self, *jobs: Job) -> Delivery:
        """
        Do jobs in one go.
        """
        for job in jobs:
            job.done.addErrback(lambda failure: None)
            self.queue.put(job)
        delivery = self.writer.run(self.queue)
        assert delivery is not None
        return delivery

    def results(self, delivery: Delivery) -> list[object]:
        """
        What the jobs came to: values, or types of errors.
        """
        return [result.type if isinstance(result, Failure) else _short(result) for _, result in delivery.results]

    def count(self, table: str = "operations") -> int:
        """
        How many rows there are.
        """
        count: int = self.connection.sql.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        return count

    def ingest_job(self, count: int = 3, **options: bool) -> Job:
        """
        The next operations of the log.
        """
        operations = self.log.extend(count)
        return Job(lambda writer: writer.ingest(TOPIC, operations), operations=count, **options)

    def publish_job(self, body: bytes = b"mine") -> Job:
        """
        Something of our own.
        """
        return Job(lambda writer: writer.publish(TOPIC, body, NOW_US, prune=False), own=True)


def _nobody_reads_topics(action: int, first: str | None, *_: object) -> int:
    """
    Tell SQLite that a table cannot be read.
    """
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_READ and first == "topics" else sqlite3.SQLITE_OK


def _short(result: object) -> object:
    """
    Only arrival numbers.
    """
    if isinstance(result, Ingested):
        return [stored.arrival for stored in result.operations]
    return result.arrival if isinstance(result, StoredOperation) else result


class TransactionTests(WriterTestCase):
    """
    One commit for many.
    """

    def test_together(self) -> None:
        """
        All that waits is committed at once, and told at once, topic by topic.
        """
        statements: list[str] = []
        self.connection.sql.set_trace_callback(statements.append)
        delivery = self.run_jobs(self.publish_job(), self.ingest_job(), self.publish_job())
        self.assertEqual(statements.count("COMMIT"), 1)
        self.assertEqual(self.results(delivery), [1, [2, 3, 4], 5])
        [news] = delivery.news
        self.assertEqual([stored.arrival for stored in news.operations], [1, 2, 3, 4, 5])
        self.assertEqual(news.newest, 5)

    def test_nothing_to_do(self) -> None:
        """
        Without jobs there is no transaction.
        """
        self.assertIsNone(self.writer.run(self.queue))

    def test_batches_join(self) -> None:
        """
        Batches of a catch-up join a transaction until it has taken long enough.
        """
        for _ in range(5):
            job = self.ingest_job(urgent=False)
            work = job.work

            def slow(writer: Writer, work: object = work) -> object:
                self.clock.advance(TRANSACTION_SECONDS * 0.4)
                return work(writer)  # type: ignore[operator]  # a function

            job.work = slow
            self.queue.put(job)
        lengths = []
        while (delivery := self.writer.run(self.queue)) is not None:
            lengths.append(len(delivery.results))
        self.assertEqual(lengths, [3, 2])

    def test_synced(self) -> None:
        """
        A transaction with an operation of our own waits for the disk, one without does not.
        """
        chosen = []
        for jobs in ([self.ingest_job()], [self.ingest_job(), self.publish_job()], [self.ingest_job()]):
            self.run_jobs(*jobs)
            chosen.append(self.connection.sql.execute("PRAGMA synchronous").fetchone()[0])
        self.assertEqual(chosen, [1, 2, 1])

    def test_callers_mistake(self) -> None:
        """
        A mistake of one caller concerns him alone.
        """
        wrong = Job(lambda writer: writer.publish(OTHER_TOPIC, b"x", NOW_US, prune=False), own=True)
        delivery = self.run_jobs(self.publish_job(), wrong, self.publish_job())
        self.assertEqual(self.results(delivery), [1, LocalProtocolError, 2])


class FailureTests(WriterTestCase):
    """
    Transactions that fail.
    """

    def fill(self) -> None:
        """
        Let there be no more room.
        """
        pages = self.connection.sql.execute("PRAGMA page_count").fetchone()[0]
        self.connection.sql.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        """
        Let there be room again.
        """
        self.connection.sql.execute("PRAGMA max_page_count = 1000000")

    def test_full(self) -> None:
        """
        When the disk is full, all jobs of the transaction fail, nothing is stored or told, and it goes on with room.
        """
        self.run_jobs(self.publish_job(), self.ingest_job())
        self.fill()
        before = self.log.operations[:], self.log.ids[:]
        delivery = self.run_jobs(self.publish_job(b"x" * 10000), self.ingest_job(200))
        self.assertEqual((self.results(delivery), delivery.news), ([StoreFull, StoreFull], []))
        self.assertEqual((self.count(), self.count("arrivals")), (4, 4))
        self.make_room()
        self.log.operations, self.log.ids = before
        delivery = self.run_jobs(self.publish_job(), self.ingest_job())
        self.assertEqual(self.results(delivery), [5, [6, 7, 8]])
        [own, *_] = delivery.news[0].operations
        self.assertEqual(own.operation.seq_num, 1)

    def test_full_with_new_topic(self) -> None:
        """
        A topic that could not be added is not there, and can be added later.
        """
        self.fill()
        add = Job(lambda writer: writer.add_topic(OTHER_TOPIC, Form.NODE, "n" * 100000))
        delivery = self.run_jobs(add)
        self.assertEqual((self.results(delivery), delivery.changes), ([StoreFull], []))
        self.assertEqual(len(self.writer.topics.all()), 1)
        self.make_room()
        delivery = self.run_jobs(Job(lambda writer: writer.add_topic(OTHER_TOPIC, Form.CHAT, "")))
        self.assertEqual([change.topic for change in delivery.changes], [OTHER_TOPIC])

    def test_bug(self) -> None:
        """
        A job that fails in an unforeseen way is logged and takes no other with it.
        """

        def stumble(writer: Writer) -> None:
            writer.publish(TOPIC, b"never", NOW_US, prune=False)
            raise ZeroDivisionError

        delivery = self.run_jobs(self.publish_job(), Job(stumble), self.ingest_job())
        self.assertEqual(self.results(delivery), [1, ZeroDivisionError, [2, 3, 4]])
        self.assertEqual([stored.arrival for news in delivery.news for stored in news.operations], [1, 2, 3, 4])
        self.assertEqual(self.count(), 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_damage(self) -> None:
        """
        A log whose row is missing fails in a sentence; other logs go on.
        """
        self.run_jobs(self.ingest_job())
        self.connection.sql.execute("DELETE FROM operations WHERE position & 4294967295 = 1")
        again = Job(lambda writer: writer.ingest(TOPIC, self.log.operations))
        delivery = self.run_jobs(again, self.publish_job())
        self.assertEqual(self.results(delivery), [StoreError, 4])

    def test_unreadable_for_a_while(self) -> None:
        """
        When not even reading works after a failure, nothing is stored until it does; what had failed is never reported.
        """

        def fail(writer: Writer) -> None:
            self.connection.sql.set_authorizer(_nobody_reads_topics)
            raise sqlite3.OperationalError("disk I/O error")

        delivery = self.run_jobs(self.publish_job(b"lost"), Job(fail))
        self.assertEqual((self.results(delivery), delivery.news), ([StoreError, StoreError], []))
        delivery = self.run_jobs(self.publish_job(b"lost, too"))
        self.assertEqual((self.results(delivery), delivery.news), ([StoreError], []))
        self.connection.sql.set_authorizer(None)
        delivery = self.run_jobs(self.publish_job(b"kept"))
        self.assertEqual(self.results(delivery), [1])
        self.assertEqual([stored.operation.body for news in delivery.news for stored in news.operations], [b"kept"])

    def test_waiting_operations(self) -> None:
        """
        Operations that waited for a gap to close are given up with a transaction that fails, and taken again later.
        """
        operations = self.log.extend(3)
        self.run_jobs(Job(lambda writer: writer.ingest(TOPIC, operations[1:])))
        self.fill()
        self.run_jobs(self.publish_job(b"x" * 10000))
        self.make_room()
        [first] = self.results(self.run_jobs(Job(lambda writer: writer.ingest(TOPIC, operations[:1]))))
        [rest] = self.results(self.run_jobs(Job(lambda writer: writer.ingest(TOPIC, operations))))
        self.assertEqual((first, rest), ([1], [2, 3]))


class TidyTests(WriterTestCase):
    """
    Many rows are deleted bit by bit.
    """

    def test_long_log(self) -> None:
        """
        Pruning a long log takes many short steps, and what is not deleted yet is not there any more for anybody.
        """
        total = DELETE_CHUNK * 2 + 500
        for _ in range(total // 500):
            self.run_jobs(self.ingest_job(500))
        prune = self.log.append(prune=True)
        self.run_jobs(Job(lambda writer: writer.ingest(TOPIC, [prune])))
        self.assertEqual(self.count(), total - DELETE_CHUNK + 1)
        old = Job(lambda writer: writer.ingest(TOPIC, self.log.operations[total - 2 : total - 1]))
        [(_, result)] = self.run_jobs(old).results
        assert isinstance(result, Ingested)
        self.assertEqual(len(result.refused), 1)
        left = []
        while self.writer.has_chores:
            self.writer.do_chore()
            left.append(self.count())
        self.assertEqual(left[-1], 1)
        self.assertEqual(left, sorted(left, reverse=True))
        self.assertTrue(all(before - after <= DELETE_CHUNK for before, after in pairwise(left)))

    def test_forgotten_topic(self) -> None:
        """
        Of a forgotten topic nothing is left in the end; other topics stay.
        """
        self.run_jobs(Job(lambda writer: writer.add_topic(OTHER_TOPIC, Form.NODE, "")))
        keep = Log(topic=OTHER_TOPIC).extend(3)
        self.run_jobs(self.ingest_job(10), self.publish_job())
        self.run_jobs(Job(lambda writer: writer.ingest(OTHER_TOPIC, keep)))
        delivery = self.run_jobs(Job(lambda writer: writer.forget_topic(TOPIC)))
        self.assertEqual([change.record for change in delivery.changes], [None])
        while self.writer.has_chores:
            self.writer.do_chore()
        self.assertEqual([self.count(table) for table in ("topics", "logs", "operations", "arrivals")], [1, 1, 3, 3])

    def test_forgotten_in_one_go(self) -> None:
        """
        A topic that gets operations and is forgotten in the same transaction leaves nothing either.
        """
        delivery = self.run_jobs(self.ingest_job(), Job(lambda writer: writer.forget_topic(TOPIC)))
        self.assertEqual((self.results(delivery), delivery.news), ([[1, 2, 3], None], []))
        while self.writer.has_chores:
            self.writer.do_chore()
        self.assertEqual([self.count(table) for table in ("logs", "operations", "arrivals")], [0, 0, 0])

    def test_closed_in_between(self) -> None:
        """
        What is left over when the store is closed waits for the next start, and nobody tries to delete it before.
        """
        self.run_jobs(self.ingest_job(), Job(lambda writer: writer.forget_topic(TOPIC)))
        self.assertTrue(self.writer.has_chores)
        self.writer.close()
        self.assertFalse(self.writer.has_chores)
        again = open_database(self.connection.path, schema_scripts()).connection
        writer = Writer(again, OWN_KEY, self.clock.seconds, synced=True)
        self.addCleanup(writer.close)
        self.assertTrue(writer.has_chores)

    def test_long_journal(self) -> None:
        """
        Where commits wait for the disk, the write-ahead log is made as long in advance as it will be.
        """
        self.run_jobs(self.publish_job())
        while self.writer.has_chores:
            self.writer.do_chore()
        self.assertEqual(os.path.getsize(self.connection.path + "-wal"), WAL_BYTES)

    def test_short_journal(self) -> None:
        """
        Where they do not, it grows as it goes.
        """
        writer = Writer(self.connection, OWN_KEY, self.clock.seconds, synced=False)
        writer.do_chore()
        self.assertFalse(writer.has_chores)
        self.assertLess(os.path.getsize(self.connection.path + "-wal"), WAL_BYTES)
