"""
Runs a session without any network: carries out its effects against some logs at once, and notes what it sent and told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRanges
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Heights, Ingested, LogPage, StoredPage
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.events import SyncEvent
from p2panda_tw.sync.feed import LiveTurn
from p2panda_tw.sync.limits import MAX_FRAME, MAX_PAYLOAD
from p2panda_tw.sync.messages import LogIds
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.sync.receiving import Phase
from p2panda_tw.sync.session import Purpose, Session
from p2panda_tw.wire.frames import FrameDecoder
from tests.sync.logs import key


class Store(Protocol):
    """
    What the effects of a session need, answered at once.
    """

    def heights(self) -> Heights: ...
    def range_size(self, ranges: LogRanges) -> tuple[int, int]: ...
    def log_page(self, author: VerifyingKey, log_id: LogId, after: int | None, until: int, limit: int) -> LogPage: ...
    def page(self, after: int) -> StoredPage: ...
    def ingest(self, operations: Sequence[RawOperation]) -> Ingested: ...


class Bench:
    """
    One session and what came out of it.

    @ivar sent: Each write.
    @ivar events: For the application.
    @ivar others: Effects that the bench only notes.
    @ivar batches: How many operations each C{Ingest} had.
    @ivar hold: Effects of these types wait in C{held} until L{let_go}.
    """

    def __init__(
        self,
        store: Store,
        *,
        log_ids: LogIds = LogIds.HASHES,
        log_id: LogId | None = None,
        initiated: bool = True,
        purpose: Purpose = Purpose.LIVE,
        pacing: Pacing | None = None,
        turn: LiveTurn | None = None,
        number: int = 0,
        hold: tuple[type, ...] = (),
    ) -> None:
        self.store = store
        self.session = Session(
            node_id=key("peer").verifying_key,
            number=number,
            log_id=log_id,
            log_ids=log_ids,
            initiated=initiated,
            turn=turn or LiveTurn(),
            purpose=purpose,
        )
        self.pacing = pacing
        self.now = 0.0
        self.sent: list[bytes] = []
        self.events: list[SyncEvent] = []
        self.others: list[fx.Output] = []
        self.batches: list[int] = []
        self.hold = hold
        self.held: deque[fx.Output] = deque()
        self.decoder = FrameDecoder(MAX_PAYLOAD, max_discarded=MAX_FRAME)
        self.on_send: Callable[[bytes], None] = self.sent.append

    def start(self) -> None:
        """
        Begin, and say who the peer is.
        """
        self.feed(fx.PeerRecognised(self.pacing))
        self.feed(fx.Started())

    def feed(self, *inputs: fx.Input) -> None:
        """
        Give inputs, and carry out everything that follows from them.
        """
        queue = deque(inputs)
        while queue:
            for output in self.session.handle(queue.popleft(), self.now):
                if isinstance(output, self.hold):
                    self.held.append(output)
                elif (answer := self._carry_out(output)) is not None:
                    queue.append(answer)

    def let_go(self) -> None:
        """
        Carry out the effect that has been held the longest.
        """
        answer = self._carry_out(self.held.popleft())
        if answer is not None:
            self.feed(answer)

    def _carry_out(self, output: fx.Output) -> fx.Input | None:
        match output:
            case fx.Send(writes):
                for data in writes:
                    self.on_send(data)
            case fx.Notify(event):
                self.events.append(event)
            case fx.LoadHeights():
                return fx.HeightsLoaded(self.store.heights())
            case fx.LoadRangeSize(ranges):
                return fx.RangeSizeLoaded(*self.store.range_size(ranges))
            case fx.LoadLogPage(author=author, log_id=log_id, after=after, until=until, limit=limit):
                return fx.LogPageLoaded(self.store.log_page(author, log_id, after, until, limit))
            case fx.LoadStoredPage(after):
                return fx.StoredPageLoaded(self.store.page(after))
            case fx.Ingest(operations):
                self.batches.append(len(operations))
                return fx.IngestFinished(self.store.ingest(operations))
            case _:
                self.others.append(output)
        return None

    def receive(self, data: bytes) -> None:
        """
        Bytes arrive.
        """
        frames = self.decoder.receive_data(data)
        if frames:
            self.feed(fx.FramesReceived(frames))

    @property
    def frames(self) -> list[bytes]:
        """
        The payloads that were sent.
        """
        return [
            frame for frame in FrameDecoder(MAX_FRAME).receive_data(b"".join(self.sent)) if isinstance(frame, bytes)
        ]

    @property
    def over(self) -> bool:
        """
        Whether the session has ended.
        """
        return self.session.phase is Phase.OVER

    @property
    def failure(self) -> str | None:
        """
        Why it failed, if it did.
        """
        reasons = [output.reason for output in self.others if isinstance(output, fx.Abort)]
        return reasons[0] if reasons else None

    @property
    def event_names(self) -> list[str]:
        """
        What the application heard.
        """
        return [type(event).__name__ for event in self.events]


def join(alice: Bench, bob: Bench) -> None:
    """
    Connect two sessions with each other, and start both.
    """
    queue: deque[tuple[Bench, bytes]] = deque()
    alice.on_send = lambda data: queue.append((bob, data))
    bob.on_send = lambda data: queue.append((alice, data))
    alice.start()
    bob.start()
    pump(queue)


def pump(queue: deque[tuple[Bench, bytes]]) -> None:
    """
    Deliver until nothing is under way.
    """
    while queue:
        receiver, data = queue.popleft()
        receiver.receive(data)


__all__ = ["Bench", "Hash", "Store", "join", "pump"]
