"""
What a session asks of the store, and what becomes of answers that come too late.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.stored import LogPage
from p2panda_tw.errors import StoreError
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.limits import LARGE_PAGE
from p2panda_tw.sync.send_gate import Sender
from p2panda_tw.sync.store_access import StoreAccess
from tests.sync.logs import TOPIC, Log, key

LARGE = 2 * LARGE_PAGE


class SlowStore:
    """
    A store that answers when the test says so.

    @ivar asked: Questions and their answers, in the order in which they were asked.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Any]]] = []

    def ask(self, question: str) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.asked.append((question, answer))
        return answer

    def range_size(self, *arguments: object) -> Deferred[Any]:
        return self.ask("size")

    def log_page(self, *arguments: object, **limits: object) -> Deferred[Any]:
        return self.ask("page")

    def ingest(self, *arguments: object, **live: object) -> Deferred[Any]:
        return self.ask("ingest")


class StoreAccessTests(SynchronousTestCase):
    """
    Two sessions and a store that takes its time.
    """

    def setUp(self) -> None:
        self.store = SlowStore()
        self.held = HeldBytes()
        self.answers: list[fx.Input] = []
        self.sender, self.other = (Sender(key(name).verifying_key, lambda: None) for name in ("one", "other"))
        self.access = self.access_of(self.sender)

    def access_of(self, sender: Sender) -> StoreAccess:
        return StoreAccess(self.store, TOPIC, self.held, sender, self.answers.append, lambda: 0.0)  # type: ignore[arg-type]  # as far as it is used here

    def load(self, access: StoreAccess) -> None:
        access.log_page(
            fx.LoadLogPage(author=key("author").verifying_key, log_id=TOPIC.log_id(), after=None, until=9, limit=1)
        )

    def answer(self, question: str, result: object) -> None:
        asked, answer = self.store.asked.pop(0)
        self.assertEqual(asked, question)
        answer.callback(result)

    def test_small(self) -> None:
        """
        While nothing large is on its way a page is read at once.
        """
        page = LogPage([Log("author").write()], 0)
        self.load(self.access)
        self.answer("page", page)
        self.assertEqual(self.answers, [fx.LogPageLoaded(page)])

    def test_end_while_size_is_asked(self) -> None:
        """
        A session that ends while it is asked how large its next operation is takes no room with it.
        """
        large = LogPage([Log("author").write(bytes(LARGE))], 0)
        self.load(self.access_of(self.other))
        self.answer("page", large)
        self.load(self.access)
        self.access.leave()
        self.held.sending.leave(self.other)
        self.answer("size", (1, LARGE))
        self.assertEqual((self.held.sending.large, self.answers), (0, [fx.LogPageLoaded(large)]))
        self.load(self.access_of(self.other))
        self.answer("page", large)
        self.assertEqual(len(self.answers), 2)

    def test_failure_after_the_end(self) -> None:
        """
        A session that is over hears nothing more, and the next batch is let into the store.
        """
        self.access.ingest([Log("author").write()], live=False)
        self.access.leave()
        _, answer = self.store.asked.pop()
        answer.errback(StoreError("The disk is full."))
        self.assertEqual((self.answers, self.held.gate.inside), ([], 0))
