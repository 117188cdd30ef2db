"""
The store as others use it: topics, peers, settings, priority, closing; on real threads, too.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError, StoreError
from p2panda_tw.store.records import PeerRecord, TopicRecord, TopicStats
from p2panda_tw.store.service import FAST, Store
from p2panda_tw.store.workers import InlineWorkers
from tests.store.logs import NOW_US, OTHER_TOPIC, OWN_KEY, TOPIC, Log, StoreTestCase, seq_nums, signing_key

T = TypeVar("T")


class TopicTests(StoreTestCase):
    """
    The list of topics.
    """

    def records(self) -> list[TopicRecord]:
        """
        All topics.
        """
        records: list[TopicRecord] = self.successResultOf(self.store.topics())
        return records

    def test_listed(self) -> None:
        """
        Topics are listed with form, name and newest arrival number, oldest first.
        """
        self.successResultOf(self.store.add_topic(OTHER_TOPIC, Form.CHAT, "pub"))
        self.publish()
        self.assertEqual(
            self.records(),
            [
                TopicRecord(topic=TOPIC, form=Form.NODE, name="", is_left=False, newest=1),
                TopicRecord(topic=OTHER_TOPIC, form=Form.CHAT, name="pub", is_left=False, newest=0),
            ],
        )

    def test_form_is_fixed(self) -> None:
        """
        A topic keeps its form; asking for another one says which it has.
        """
        failure = self.failureResultOf(self.store.add_topic(TOPIC, Form.CHAT), LocalProtocolError)
        self.assertIn("node form", failure.getErrorMessage())
        self.assertNotIn(TOPIC.hex(), failure.getErrorMessage())

    def test_renamed(self) -> None:
        """
        Adding a topic again can rename it; without a name it keeps the one it has.
        """
        for name in ("garden", "", "kitchen"):
            self.successResultOf(self.store.add_topic(TOPIC, Form.NODE, name))
        self.successResultOf(self.store.add_topic(TOPIC, Form.NODE))
        self.assertEqual([record.name for record in self.records()], ["kitchen"])

    def test_left(self) -> None:
        """
        A topic that was left keeps its operations and comes back when it is added again.
        """
        self.publish()
        self.successResultOf(self.store.leave_topic(TOPIC))
        self.assertEqual([(record.is_left, record.newest) for record in self.records()], [(True, 1)])
        self.successResultOf(self.store.add_topic(TOPIC, Form.NODE))
        self.assertEqual([record.is_left for record in self.records()], [False])
        self.assertEqual(len(self.stored()), 1)

    def test_forgotten(self) -> None:
        """
        A forgotten topic is gone with everything, and can be added anew, in another form.
        """
        self.publish()
        self.successResultOf(self.store.add_topic_peer(TOPIC, Log().author))
        self.successResultOf(self.store.forget_topic(TOPIC))
        self.assertEqual(self.records(), [])
        self.failureResultOf(self.store.heights(TOPIC), LocalProtocolError)
        self.successResultOf(self.store.add_topic(TOPIC, Form.CHAT))
        self.assertEqual((self.heights(), self.stored()), ({}, []))
        self.assertEqual(self.successResultOf(self.store.topic_peers(TOPIC)), [])
        self.assertEqual(self.publish().operation.seq_num, 0)

    def test_unknown(self) -> None:
        """
        What was never added can neither be left nor forgotten.
        """
        self.failureResultOf(self.store.leave_topic(OTHER_TOPIC), LocalProtocolError)
        self.failureResultOf(self.store.forget_topic(OTHER_TOPIC), LocalProtocolError)

    def test_at_once(self) -> None:
        """
        One can publish to a topic without waiting for it to be added.
        """
        workers = InlineWorkers(automatic=False)
        store = Store(self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US, workers=workers)
        store.open()
        workers.run()
        store.add_topic(TOPIC, Form.NODE)
        published = store.publish(TOPIC, b"x")
        workers.run()
        self.assertEqual(self.successResultOf(published).arrival, 1)
        self.assertEqual([record.newest for record in self.successResultOf(store.topics())], [1])
        store.close()
        workers.run()


class MemoryTests(StoreTestCase):
    """
    What else a node remembers.
    """

    def test_peers(self) -> None:
        """
        Peers are listed with what was said of them last, those reached last first.
        """
        [one, two, three] = [signing_key(number).verifying_key for number in (5, 6, 7)]
        for node_id, addresses, last_success in (
            (one, b"a", None),
            (two, b"b", 10),
            (three, b"c", 20),
            (two, b"bb", None),
        ):
            self.successResultOf(self.store.remember_peer(node_id, addresses, last_success))
        self.assertEqual(
            self.successResultOf(self.store.peers()),
            [PeerRecord(three, b"c", 20), PeerRecord(two, b"bb", 10), PeerRecord(one, b"a", None)],
        )
        self.successResultOf(self.store.forget_peer(three))
        self.assertEqual([peer.node_id for peer in self.successResultOf(self.store.peers())], [two, one])

    def test_topic_peers(self) -> None:
        """
        Who is interested in a topic is listed once.
        """
        [one, two] = sorted(signing_key(number).verifying_key for number in (5, 6))
        for node_id in (two, one, two):
            self.successResultOf(self.store.add_topic_peer(TOPIC, node_id))
        self.assertEqual(self.successResultOf(self.store.topic_peers(TOPIC)), [one, two])
        self.successResultOf(self.store.forget_peer(one))
        self.assertEqual(self.successResultOf(self.store.topic_peers(TOPIC)), [two])
        self.failureResultOf(self.store.add_topic_peer(OTHER_TOPIC, one), LocalProtocolError)

    def test_settings(self) -> None:
        """
        Small values are remembered, replaced and removed.
        """
        values = []
        for value in ("4433", "4434", None):
            self.successResultOf(self.store.set_setting("tls_port", value))
            values.append(self.successResultOf(self.store.setting("tls_port")))
        self.assertEqual(values, ["4433", "4434", None])

    def test_stats(self) -> None:
        """
        The status tells what there is, per topic and in all.
        """
        store = self.open_store(self.mktemp())
        for topic in (TOPIC, OTHER_TOPIC):
            self.successResultOf(store.add_topic(topic, Form.NODE))
        logs = [Log(2), Log(3)]
        self.ingest(*logs[0].extend(5), *logs[1].extend(2), store=store)
        self.ingest(logs[0].append(b"rest", prune=True), store=store)
        size = sum(len(header) + len(body or b"") for header, body in [logs[0].operations[5], *logs[1].operations])
        stats = self.successResultOf(store.stats())
        self.assertGreater(stats.pop("file_bytes"), 0)
        self.assertGreater(stats.pop("wal_bytes"), 0)
        self.assertEqual(
            stats,
            {
                "operations": 3,
                "bytes": size,
                "topics": {TOPIC: TopicStats(2, 3, size), OTHER_TOPIC: TopicStats(0, 0, 0)},
                "waiting": 0,
            },
        )


class PriorityTests(StoreTestCase):
    """
    Who goes first, with the threads stepped by hand.
    """

    def test_publish_first(self) -> None:
        """
        What is published and what comes in live overtakes a catch-up that waits.
        """
        workers = InlineWorkers(automatic=False)
        store = Store(self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US, workers=workers)
        store.open()
        workers.run()
        store.add_topic(TOPIC, Form.NODE)
        workers.run()
        told: list[StoredOperation] = []
        store.listen(TOPIC, told.extend)
        for author in (2, 3, 4):
            store.ingest(TOPIC, Log(author).extend(600))
        store.ingest(TOPIC, Log(5).extend(1), live=True)
        store.publish(TOPIC, b"x")
        workers.run()
        authors = list(dict.fromkeys(stored.operation.author for stored in told))
        self.assertEqual(authors, [Log(author).author for author in (5, 1, 2, 3, 4)])
        store.close()
        workers.run()


class LifeTests(StoreTestCase):
    """
    Opening and closing.
    """

    def test_not_open(self) -> None:
        """
        A store that is not open fails every call, in a sentence.
        """
        store = Store(self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US)
        calls: list[Callable[[], Deferred[Any]]] = [
            lambda: store.add_topic(TOPIC, Form.NODE),
            lambda: store.publish(TOPIC, b"x"),
            lambda: store.ingest(TOPIC, []),
            lambda: store.heights(TOPIC),
            store.topics,
            store.peers,
            store.stats,
        ]
        for call in calls:
            self.failureResultOf(call(), StoreError)
        self.assertIsNone(store.recent(TOPIC, 0))
        self.successResultOf(store.flush())
        self.successResultOf(store.close())

    def test_twice(self) -> None:
        """
        A store cannot be opened twice.
        """
        self.failureResultOf(self.store.open(), LocalProtocolError)

    def test_wrong_durability(self) -> None:
        """
        A wrong setting is refused in a sentence.
        """
        error = self.assertRaises(
            LocalProtocolError, Store, self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US, durability="some"
        )
        self.assertIn("'full' or 'fast'", str(error))

    def test_as_service(self) -> None:
        """
        As a service it is opened and closed with its parent, again and again.
        """
        path = self.mktemp()
        store = Store(self.clock, path, OWN_KEY, clock_us=lambda: NOW_US, durability=FAST)
        for count in (1, 2):
            store.startService()
            self.successResultOf(store.add_topic(TOPIC, Form.NODE))
            self.assertEqual(self.successResultOf(store.publish(TOPIC, b"x")).arrival, count)
            self.successResultOf(store.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_service_fails(self) -> None:
        """
        A service that cannot open its database logs a sentence, not a traceback.
        """
        store = Store(self.clock, self.mktemp() + "/nowhere/p2panda.sqlite3", OWN_KEY, clock_us=lambda: NOW_US)
        store.startService()
        self.successResultOf(store.stopService())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_close_while_opening(self) -> None:
        """
        A store that is closed before it is open closes when it is.
        """
        workers = InlineWorkers(automatic=False)
        store = Store(self.clock, self.mktemp(), OWN_KEY, clock_us=lambda: NOW_US, workers=workers)
        opened, closed, again = store.open(), store.close(), store.close()
        workers.run()
        self.successResultOf(opened)
        self.successResultOf(closed)
        self.successResultOf(again)
        self.failureResultOf(store.publish(TOPIC, b"x"), StoreError)

    def test_flush(self) -> None:
        """
        Flushing waits for everything that was handed over, batches of a catch-up included.
        """
        workers = InlineWorkers(automatic=False)
        store = Store(self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US, workers=workers)
        store.open()
        workers.run()
        store.add_topic(TOPIC, Form.NODE)
        done: list[str] = []
        store.ingest(TOPIC, Log().extend(3)).addCallback(lambda _: done.append("batch"))
        store.flush().addCallback(lambda _: done.append("flush"))
        workers.run()
        self.assertEqual(done, ["batch", "flush"])
        store.close()
        workers.run()


@implementer(IReactorFromThreads)
class ThreadedClock(Clock):
    """
    A clock that takes calls from threads, and makes them when it is asked to wait for something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:  # noqa: N802  # of IReactorFromThreads
        """
        Keep it.
        """
        self.from_threads.put((call, args))

    def wait(self, deferred: Deferred[T]) -> T:
        """
        Make calls until a Deferred has fired.
        """
        results: list[T] = []
        deferred.addCallback(results.append)
        errors: list[Any] = []
        deferred.addErrback(errors.append)
        while not results and not errors:
            call, args = self.from_threads.get(timeout=30)
            call(*args)
        if errors:
            errors[0].raiseException()
        return results[0]


class ThreadedStoreTests(SynchronousTestCase):
    """
    The same store on real threads, from a file and in memory.
    """

    def open_store(self, path: str) -> tuple[ThreadedClock, Store]:
        """
        Open one.
        """
        reactor = ThreadedClock()
        store = Store(reactor, path, OWN_KEY, clock_us=lambda: NOW_US)
        reactor.wait(store.open())
        reactor.wait(store.add_topic(TOPIC, Form.NODE))
        return reactor, store

    def test_all_at_once(self) -> None:
        """
        Publishing, batches and questions at the same time: everything is answered, and agrees in the end.
        """
        for path in (":memory:", self.mktemp()):
            reactor, store = self.open_store(path)
            told: list[Any] = []
            store.listen(TOPIC, told.extend)
            logs = [Log(author) for author in (2, 3, 4)]
            calls: list[Deferred[Any]] = []
            for start in range(10):
                calls += [store.ingest(TOPIC, log.extend(20), live=start % 2 == 0) for log in logs]
                calls += [store.publish(TOPIC, b"x"), store.heights(TOPIC), store.page(TOPIC, 0), store.stats()]
            reactor.wait(gatherResults(calls))
            for log in logs:
                reactor.wait(store.ingest(TOPIC, log.operations))
            heights = reactor.wait(store.heights(TOPIC))
            self.assertEqual(heights.newest, 610)
            self.assertEqual(
                {author: height for author, logs in heights.heights.items() for height in logs.values()},
                {OWN_KEY.verifying_key: 9, **{log.author: 199 for log in logs}},
            )
            self.assertEqual([stored.arrival for stored in told], list(range(1, 611)))
            reactor.wait(store.close())
            self.assertEqual(reactor.getDelayedCalls(), [])

    def test_close_finishes(self) -> None:
        """
        What was handed over before closing is stored.
        """
        path = self.mktemp()
        reactor, store = self.open_store(path)
        batch = store.ingest(TOPIC, Log().extend(200))
        store.set_cursor(TOPIC, "app", 17)
        reactor.wait(store.close())
        self.assertEqual(len(seq_nums(self.successResultOf(batch))), 200)
        reactor, store = self.open_store(path)
        self.assertEqual(reactor.wait(store.heights(TOPIC)).newest, 200)
        self.assertEqual(reactor.wait(store.cursor(TOPIC, "app")), 17)
        reactor.wait(store.close())

    def test_failed_open(self) -> None:
        """
        A store that cannot be opened leaves no thread, and can be opened once the reason is gone.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"not a database, " * 100)
        reactor = ThreadedClock()
        store = Store(reactor, path, OWN_KEY, clock_us=lambda: NOW_US)
        with self.assertRaises(StoreError):
            reactor.wait(store.open())
        open(path, "wb").close()
        reactor.wait(store.open())
        reactor.wait(store.close())
