"""
Those who follow a topic.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2panda_tw.core.operation import Operation
from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.store.feeds import Feeds
from p2panda_tw.store.limits import RING_OPERATIONS
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.store.service import Store
from p2panda_tw.store.workers import InlineWorkers
from p2panda_tw.store.writer import TopicChange, TopicNews
from tests.store.logs import NOW_US, OTHER_TOPIC, OWN_KEY, TOPIC, Log, StoreTestCase, decoded


class ListenTests(StoreTestCase):
    """
    Being told of new operations.
    """

    def setUp(self) -> None:
        super().setUp()
        self.told: list[list[int]] = []

    def hear(self, operations: Sequence[StoredOperation]) -> None:
        """
        Note the arrival numbers.
        """
        self.told.append([stored.arrival for stored in operations])

    def test_all_kinds(self) -> None:
        """
        A listener hears of our own operations, live ones and those of a catch-up, each once, in order of arrival.
        """
        self.store.listen(TOPIC, self.hear)
        log = Log()
        self.ingest(*log.extend(3))
        self.publish()
        self.successResultOf(self.store.ingest(TOPIC, log.extend(1), live=True))
        self.ingest(*log.operations)
        self.assertEqual(self.told, [[1, 2, 3], [4], [5]])

    def test_order(self) -> None:
        """
        Who handed operations over knows before the listeners do, so that it can tell what is missing before it hears that it
        is not. Who published knows last, and is likely to publish more.
        """
        workers = InlineWorkers(automatic=False)
        store = Store(self.clock, ":memory:", OWN_KEY, clock_us=lambda: NOW_US, workers=workers)
        order: list[str] = []
        store.open()
        workers.run()
        store.add_topic(TOPIC, Form.NODE)
        store.listen(TOPIC, lambda operations: order.append("listener"))
        store.publish(TOPIC, b"x").addCallback(lambda stored: order.append("publisher"))
        store.ingest(TOPIC, [Log().append()], live=True).addCallback(lambda ingested: order.append("receiver"))
        workers.run()
        self.assertEqual(order, ["receiver", "listener", "publisher"])
        store.close()
        workers.run()

    def test_other_topic(self) -> None:
        """
        A listener hears nothing of other topics.
        """
        self.successResultOf(self.store.add_topic(OTHER_TOPIC, Form.NODE))
        self.store.listen(OTHER_TOPIC, self.hear)
        self.publish()
        self.assertEqual(self.told, [])

    def test_stop(self) -> None:
        """
        After it has stopped, also twice, a listener hears nothing more; others do.
        """
        stop = self.store.listen(TOPIC, self.hear)
        self.store.listen(TOPIC, self.hear)
        self.publish()
        stop()
        stop()
        self.publish()
        self.assertEqual(self.told, [[1], [1], [2]])

    def test_stop_while_told(self) -> None:
        """
        A listener that is stopped by another one while both are told hears nothing more.
        """
        self.store.listen(TOPIC, lambda operations: stop())
        stop = self.store.listen(TOPIC, self.hear)
        self.publish()
        self.assertEqual(self.told, [])

    def test_stumble(self) -> None:
        """
        A listener that raises an exception is logged and does not keep the others from hearing.
        """

        def stumble(operations: Sequence[StoredOperation]) -> None:
            raise ZeroDivisionError

        self.store.listen(TOPIC, stumble)
        self.store.listen(TOPIC, self.hear)
        self.publish()
        self.assertEqual(self.told, [[1]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_before_topic(self) -> None:
        """
        One can listen to a topic before it is added, and across closing the store.
        """
        store = self.open_store(self.mktemp())
        store.listen(TOPIC, self.hear)
        self.successResultOf(store.add_topic(TOPIC, Form.NODE))
        self.successResultOf(store.publish(TOPIC, b"x"))
        self.successResultOf(store.close())
        self.successResultOf(store.open())
        self.successResultOf(store.publish(TOPIC, b"x"))
        self.assertEqual(self.told, [[1], [2]])

    def test_publish_from_listener(self) -> None:
        """
        A listener may publish.
        """

        def answer(operations: Sequence[StoredOperation]) -> None:
            self.hear(operations)
            if len(self.told) < 3:
                self.store.publish(TOPIC, b"answer")

        self.store.listen(TOPIC, answer)
        self.publish()
        self.assertEqual(self.told, [[1], [2], [3]])


class RecentTests(StoreTestCase):
    """
    What is known without asking a thread.
    """

    def test_nobody_listens(self) -> None:
        """
        As long as nobody listens nothing is kept; that there is nothing new is known nevertheless.
        """
        self.publish()
        self.assertIsNone(self.store.recent(TOPIC, 0))
        self.assertEqual(self.store.recent(TOPIC, 1), StoredPage((), 1, 1))
        self.assertIsNone(self.store.recent(OTHER_TOPIC, 0))

    def test_since_listening(self) -> None:
        """
        From then on what comes is kept, and pages after that time come from memory.
        """
        self.publish(b"before")
        stop = self.store.listen(TOPIC, lambda operations: None)
        stored = [self.publish(b"one"), self.publish(b"two")]
        self.assertIsNone(self.store.recent(TOPIC, 0))
        page = self.store.recent(TOPIC, 1)
        self.assertEqual(page, StoredPage(stored, 3, 3))
        assert page is not None
        self.assertIs(page.operations[0].operation, stored[0].operation)
        self.assertIs(self.successResultOf(self.store.page(TOPIC, 1)).operations[0].operation, stored[0].operation)
        stop()
        self.assertIsNone(self.store.recent(TOPIC, 1))

    def test_same_as_read(self) -> None:
        """
        Such a page says what a page read from the database says, limits included.
        """
        log = Log()
        self.ingest(*[log.append(body) for body in (b"one", None, b"two" * 100, b"three")])
        listening = self.open_store()
        listening.listen(TOPIC, lambda operations: None)
        self.successResultOf(listening.add_topic(TOPIC, Form.NODE))
        self.ingest(*log.operations, store=listening)
        for limits in ((256, 1 << 20), (2, 1 << 20), (256, 1), (256, 700)):
            read = self.successResultOf(self.store.page(TOPIC, 0, *limits))
            self.assertEqual(listening.recent(TOPIC, 0, *limits), read)

    def test_bounded(self) -> None:
        """
        Of many operations the newest are kept.
        """
        self.store.listen(TOPIC, lambda operations: None)
        log = Log()
        while len(log.operations) < RING_OPERATIONS + 300:
            self.ingest(*log.extend(500))
        floor = len(log.operations) - RING_OPERATIONS
        self.assertIsNone(self.store.recent(TOPIC, floor - 1))
        self.assertIsNotNone(self.store.recent(TOPIC, floor))

    def test_all_topics_bounded(self) -> None:
        """
        However many topics are listened to, their newest operations take so much memory in all; the fullest give way.
        """
        feeds = Feeds(rings_size=100_000)
        topics = [Topic(bytes([number]) * 32) for number in range(20)]
        rings = []
        for key, topic in enumerate(topics):
            record = TopicRecord(topic=topic, form=Form.NODE, name="", is_left=False, newest=0)
            feeds.listen(topic, lambda operations: None)
            feeds.change(TopicChange(key, topic, record))
            ring = feeds.get(topic).ring
            assert ring is not None
            rings.append(ring)
            log = Log(topic=topic)
            for arrival, raw in enumerate(log.extend(key + 1), 1):
                stored = StoredOperation(arrival, log.log_id, Operation(decoded(raw), raw.body))
                feeds.note(TopicNews(key, [stored], arrival, {}))
                self.assertLessEqual(sum(ring.size for ring in rings), 100_000)
        self.assertGreater(sum(ring.size for ring in rings), 25_000)
