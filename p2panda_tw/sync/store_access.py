# -*- test-case-name: tests.sync.test_store_access -*-
"""
What one session asks of the store: pages when there is room for them in memory, batches stored when there is room for
them in the store, everything else at once. Answers come back as inputs of the session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.logs import LogRange, LogRanges
from p2panda_tw.core.operation import RawOperation, total_size
from p2panda_tw.core.stored import Heights, LogPage, StoredPage
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import P2pandaError
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.limits import HEIGHT_BYTES, LARGE_PAGE, PAGE_BYTES
from p2panda_tw.sync.send_gate import Sender
from p2panda_tw.sync.store import SyncStore

__all__ = ["StoreAccess"]

T = TypeVar("T")
P = TypeVar("P", LogPage, StoredPage)


def _page_size(page: LogPage | StoredPage) -> int:
    if isinstance(page, LogPage):
        return total_size(page.operations)
    return total_size([stored.operation.raw for stored in page.operations])


class StoreAccess:
    """
    The store as one session meets it.

    @ivar in_store: Bytes of the batch that is in the store now.
    """

    _log = Logger()

    def __init__(
        self,
        store: SyncStore,
        topic: Topic,
        held: HeldBytes,
        sender: Sender,
        feed: Callable[[fx.Input], None],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param held: What all sessions hold.
        @param sender: The session, where it is counted what waits to be sent.
        @param feed: Called with each answer.
        @param seconds: A clock.
        """
        self.in_store = 0
        self._store = store
        self._topic = topic
        self._held = held
        self._sender = sender
        self._feed = feed
        self._seconds = seconds
        self._opener = Sender(sender.node_id, sender.end)
        self._over = False
        self._waiting: Callable[[], None] | None = None  # to hand a batch to the store

    def leave(self) -> None:
        """
        The session is over. It hears of no answer any more.
        """
        self._over = True
        self._held.sending.leave(self._sender)
        self._held.opening.leave(self._opener)
        if self._waiting is not None:
            self._held.gate.withdraw(self._waiting)
            self._waiting = None

    def heights(self) -> None:
        """
        Ask how far the logs of the topic reach, when there is room for the answer.
        """
        gate = self._held.opening

        def load() -> None:
            self._ask(self._store.heights(self._topic), loaded).addBoth(lambda _: gate.answered())

        def loaded(heights: Heights) -> fx.Input:
            gate.written(self._opener, HEIGHT_BYTES * len(heights.heights), self._seconds())
            return fx.HeightsLoaded(heights)

        gate.enter(self._opener, load)

    def caught_up(self) -> None:
        """
        The heights are not needed any more.
        """
        self._held.opening.drained(self._opener)

    def range_size(self, ranges: LogRanges) -> None:
        """
        Ask how much there is in some ranges.
        """
        self._ask(self._store.range_size(self._topic, ranges), lambda size: fx.RangeSizeLoaded(*size))

    def log_page(self, wanted: fx.LoadLogPage) -> None:
        """
        Read operations of one log.
        """
        first = LogRange(wanted.after, min(wanted.until, 0 if wanted.after is None else wanted.after + 1))
        self._load(
            lambda: self._store.log_page(
                self._topic,
                wanted.author,
                wanted.log_id,
                wanted.after,
                wanted.until,
                limit_ops=wanted.limit,
                limit_bytes=PAGE_BYTES,
            ),
            fx.LogPageLoaded,
            lambda: self._store.range_size(self._topic, {wanted.author: {wanted.log_id: first}}),
        )

    def stored_page(self, after: int) -> None:
        """
        Read operations of the topic in order of arrival.
        """
        recent = self._store.recent(self._topic, after)
        if recent is not None and _page_size(recent) <= LARGE_PAGE:
            self._feed(fx.StoredPageLoaded(recent))
        else:
            self._load(lambda: self._store.page(self._topic, after, limit_bytes=PAGE_BYTES), fx.StoredPageLoaded)

    def ingest(self, operations: Sequence[RawOperation], live: bool) -> None:
        """
        Hand a batch to the store when there is room for it.

        @param live: It goes before those of a catch-up.
        """
        size = total_size(operations)

        def begin() -> None:
            self._waiting = None
            self.in_store = size
            answer = self._store.ingest(self._topic, operations, live=live)
            answer.addBoth(leave)
            self._ask(answer, fx.IngestFinished)

        def leave(result: T) -> T:
            self.in_store = 0
            self._held.gate.leave(size)
            return result

        self._waiting = begin
        self._held.gate.enter(size, begin)

    def _load(
        self,
        ask: Callable[[], Deferred[P]],
        fact: Callable[[P], fx.Input],
        size_of_first: Callable[[], Deferred[tuple[int, int]]] | None = None,
    ) -> None:
        """
        Load a page when there is room for it.

        @param size_of_first: Asks how large its first operation is. That is done first while there is no room for a
            large one.
        """
        gate = self._held.sending

        def load() -> None:
            if size_of_first is None or self._sender.reserved or not gate.large:
                read()
            else:
                self._ask(size_of_first(), sized).addBoth(answered)

        def sized(found: tuple[int, int]) -> fx.Input | None:
            if gate.fits(self._sender, found[1], load):
                gate.enter(self._sender, read)
            return None

        def read() -> None:
            self._ask(ask(), loaded).addBoth(answered)

        def loaded(page: P) -> fx.Input | None:
            return fact(page) if gate.fits(self._sender, _page_size(page), load) else None

        def answered(_: object) -> None:
            gate.answered()

        gate.enter(self._sender, load)

    def _ask(self, answer: Deferred[T], fact: Callable[[T], fx.Input | None]) -> Deferred[None]:
        def answered(result: T) -> None:
            event = None if self._over else fact(result)
            if event is not None:
                self._feed(event)

        done = answer.addCallbacks(answered, self._failed)
        return done.addErrback(lambda failure: self._log.failure("A session stumbled.", failure))

    def _failed(self, failure: Failure) -> None:
        if self._over:
            return
        if not failure.check(P2pandaError):
            self._log.failure("The store failed.", failure)
        self._feed(fx.StoreFailed(failure.getErrorMessage()))
