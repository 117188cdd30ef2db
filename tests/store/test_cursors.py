"""
Cursors are written together.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.cursors import Cursors
from p2panda_tw.store.limits import CURSOR_DELAY
from tests.store.logs import OTHER_TOPIC, TOPIC, Log, StoreTestCase


class CursorsTests(SynchronousTestCase):
    """
    What waits to be written, and how long.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.written: list[list[tuple[int, str, int]]] = []
        self.cursors = Cursors(self.clock, lambda: self.written.append(self.cursors.take()))

    def test_together(self) -> None:
        """
        Many moves become one, after a moment.
        """
        for arrival in range(1, 50):
            self.cursors.set(1, "app", arrival)
            self.cursors.set(1, "log", 1)
        self.clock.advance(CURSOR_DELAY)
        self.assertEqual(self.written, [[(1, "app", 49), (1, "log", 1)]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_along(self) -> None:
        """
        Taken earlier, nothing waits any more.
        """
        self.cursors.set(1, "app", 3)
        self.assertEqual(self.cursors.take(), [(1, "app", 3)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.cursors.set(1, "app", 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_put_back(self) -> None:
        """
        What could not be written is tried again, unless it moved on meanwhile.
        """
        self.cursors.set(1, "app", 3)
        self.cursors.set(2, "app", 5)
        lost = self.cursors.take()
        self.cursors.set(1, "app", 4)
        self.cursors.put_back(lost)
        self.clock.advance(CURSOR_DELAY)
        self.assertEqual(self.written, [[(1, "app", 4), (2, "app", 5)]])

    def test_forget(self) -> None:
        """
        A forgotten topic has no cursors left to write.
        """
        self.cursors.set(1, "app", 3)
        self.cursors.set(2, "app", 5)
        self.cursors.forget(1)
        self.assertIsNone(self.cursors.get(1, "app"))
        self.assertEqual(self.cursors.take(), [(2, "app", 5)])


class StoreCursorTests(StoreTestCase):
    """
    The same through the store.
    """

    def cursor(self, name: str = "app") -> int:
        """
        Where a reader stands.
        """
        arrival: int = self.successResultOf(self.store.cursor(TOPIC, name))
        return arrival

    def test_unknown(self) -> None:
        """
        A reader that never was here stands at the beginning.
        """
        self.assertEqual(self.cursor(), 0)

    def test_set(self) -> None:
        """
        A cursor that was set counts at once, per topic and name, forwards and backwards.
        """
        self.successResultOf(self.store.add_topic(OTHER_TOPIC, Form.NODE))
        self.store.set_cursor(TOPIC, "app", 7)
        self.store.set_cursor(OTHER_TOPIC, "app", 8)
        self.assertEqual((self.cursor(), self.cursor("other")), (7, 0))
        self.store.set_cursor(TOPIC, "app", 2)
        self.assertEqual(self.cursor(), 2)

    def test_written(self) -> None:
        """
        It is written when something else is, after a moment, on request, and when the store closes.
        """
        path = self.mktemp()
        for number, write in enumerate(
            (
                lambda store: self.successResultOf(store.publish(TOPIC, b"x")),
                lambda store: self.clock.advance(CURSOR_DELAY),
                lambda store: self.successResultOf(store.flush()),
                lambda store: self.successResultOf(store.close()),
            ),
            1,
        ):
            store = self.open_store(path)
            self.successResultOf(store.add_topic(TOPIC, Form.NODE))
            store.set_cursor(TOPIC, "app", number)
            write(store)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.successResultOf(store.close())
            store = self.open_store(path)
            self.assertEqual(self.successResultOf(store.cursor(TOPIC, "app")), number)
            self.successResultOf(store.close())

    def test_unknown_topic(self) -> None:
        """
        Topics that are not in the store have no cursors.
        """
        self.assertRaises(LocalProtocolError, self.store.set_cursor, OTHER_TOPIC, "app", 1)
        self.failureResultOf(self.store.cursor(OTHER_TOPIC, "app"), LocalProtocolError)

    def test_forgotten(self) -> None:
        """
        A topic that was forgotten and added again begins with no cursor, also if one was about to be written.
        """
        self.ingest(Log().append())
        self.store.set_cursor(TOPIC, "app", 1)
        self.successResultOf(self.store.forget_topic(TOPIC))
        self.clock.advance(CURSOR_DELAY)
        self.successResultOf(self.store.add_topic(TOPIC, Form.NODE))
        self.assertEqual(self.cursor(), 0)
