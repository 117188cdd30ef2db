# -*- test-case-name: tests.sync.test_session -*-
"""
The sending half of live mode. Mirrors the second half of p2panda-sync/src/protocols/topic_log_sync.rs.

Who is right behind the newest operation gets new ones handed over as they are stored. Who is not reads pages in order
of arrival, one while the one before is being written. Nothing goes out while the transport has enough, while a batch
of the peer's own operations is in the store (which of the new ones are its own?), while it is another session's turn,
or while a receiver that is not p2panda_tw has to confirm earlier ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2panda_tw.core.operation import total_size
from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.sync.effects import LoadStoredPage, Output, Send
from p2panda_tw.sync.feed import LiveFeed, LiveTurn
from p2panda_tw.sync.limits import LARGE_PAGE
from p2panda_tw.sync.messages import CLOSE_FRAME
from p2panda_tw.sync.operation_frames import LIVE_OPERATION, encode_operations
from p2panda_tw.sync.pacing import Pacing

__all__ = ["Live"]

_UNLIMITED: Final = 1 << 62


class Live:
    """
    The machine. It counts what is stored from the beginning of the session on, but sends nothing before L{begin}.

    @ivar feed: What the peer has been served.
    @ivar operations: How many operations were sent.
    @ivar size: How many bytes of header and body were sent.
    @ivar close_sent: Whether C{Close} was sent. Nothing follows it.
    """

    __slots__ = (
        "_close_after",
        "_loading",
        "_number",
        "_pacing",
        "_page",
        "_paused",
        "_started",
        "_turn",
        "_withheld",
        "close_sent",
        "feed",
        "operations",
        "size",
    )

    def __init__(self, number: int, turn: LiveTurn) -> None:
        """
        @param number: Of the session.
        @param turn: Shared by the sessions with this peer.
        """
        self.feed = LiveFeed()
        self.operations = 0
        self.size = 0
        self.close_sent = False
        self._number = number
        self._turn = turn
        self._pacing: Pacing | None = None
        self._started = False
        self._paused = False
        self._withheld = False
        self._page: StoredPage | None = None
        self._loading = False
        self._close_after: int | None = None

    def begin(self, pacing: Pacing | None, now: float) -> list[Output]:
        """
        Catch-up is over.

        @param pacing: How to send to a peer that is not one of ours.
        """
        self._pacing = pacing
        self._started = True
        return self.go_on(now)

    def stored(self, operations: Sequence[StoredOperation], now: float) -> list[Output]:
        """
        Operations of the topic were stored, whoever they came from.
        """
        feed = self.feed
        feed.newest = max(feed.newest, operations[-1].arrival)
        outputs: list[Output] = []
        if self._may_send and not self._loading and self._page is None and operations[0].arrival <= feed.served + 1:
            # Large ones are read when their turn has come, so that not every session holds some.
            if sum([len(stored.operation.body or b"") for stored in operations]) <= LARGE_PAGE:
                outputs = self._serve(operations, now)
        return outputs + self.go_on(now)

    def page_loaded(self, page: StoredPage, now: float) -> list[Output]:
        """
        The store has answered L{LoadStoredPage}.
        """
        self._loading = False
        self._page = page
        return self.go_on(now)

    def writing_paused(self) -> None:
        """
        The transport has enough to write.
        """
        self._paused = True

    def writing_resumed(self, now: float) -> list[Output]:
        """
        The transport takes more.
        """
        self._paused = False
        return self.go_on(now)

    def withhold(self) -> None:
        """
        A batch of the peer's operations goes to the store.
        """
        self._withheld = True

    def release(self, now: float) -> list[Output]:
        """
        The store has answered, and what the peer sent was noted in the feed.
        """
        self._withheld = False
        return self.go_on(now)

    def close(self, now: float, *, drain: bool) -> list[Output]:
        """
        Send C{Close} as soon as live mode has begun.

        @param drain: What is stored already goes out before, as far as it may.
        """
        if self._close_after is None:
            self._close_after = self.feed.newest if drain else 0
        return self.go_on(now)

    def let_go(self) -> None:
        """
        The session is over; drop what was read.
        """
        self._page = None
        self.feed = LiveFeed()

    def go_on(self, now: float) -> list[Output]:
        """
        Send what is there, ask for more if the peer is still behind, and close when it is time.
        """
        if not self._may_send:
            return []
        outputs: list[Output] = []
        page, self._page = self._page, None
        if page is not None:
            outputs += self._serve(page.operations, now)
            if not page.operations or self.feed.served >= page.operations[-1].arrival:
                self.feed.reached(page.until, page.newest)
        behind = self.feed.behind
        if not behind:
            self.feed.caught_up()
        sends_more = behind > 0 and self._room() > 0
        if self._close_after is not None and (not sends_more or self.feed.served >= self._close_after):
            self.close_sent = True
            outputs.append(Send([CLOSE_FRAME]))
        elif sends_more and not self._loading:
            self._loading = True
            outputs.append(LoadStoredPage(self.feed.served))
        return outputs

    @property
    def _may_send(self) -> bool:
        return self._started and not (self._paused or self._withheld or self.close_sent)

    def _room(self) -> int:
        if self._pacing is not None:
            return self._pacing.room(self._number)
        return _UNLIMITED if self._turn.take(self._number) else 0

    def _serve(self, operations: Sequence[StoredOperation], now: float) -> list[Output]:
        room = self._room()
        picked = self.feed.pick(operations, room) if room else []
        if not picked:
            return []
        raw = [(stored.operation.header.raw, stored.operation.body) for stored in picked]
        self.operations += len(raw)
        self.size += total_size(raw)
        if self._pacing is not None:
            positions = [(stored.operation.author, stored.log_id, stored.operation.seq_num) for stored in picked]
            self._pacing.live_written(positions, now)
        return [Send(encode_operations(LIVE_OPERATION, raw))]
