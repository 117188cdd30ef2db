# -*- test-case-name: tests.sync.test_service -*-
"""
Runs one session: tells the machine what happens on its stream, in the store and on the clock, and carries out what it
asks for. While the machine does not want to read, the stream is paused, so that flow control reaches the sender.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, assert_never

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.logs import LogRange
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Gap, LogPage, Refusal, StoredPage
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import DecodeError, P2pandaError
from p2panda_tw.interfaces import IConnection, IStream
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.events import SyncEvent
from p2panda_tw.sync.limits import (
    LARGE_PAGE,
    MAX_FRAME,
    MAX_HAVE,
    MAX_PAYLOAD,
    PAGE_BYTES,
    SEND_RATE,
    WRITE_PATIENCE,
)
from p2panda_tw.sync.progress import ProgressWatch
from p2panda_tw.sync.send_gate import Sender
from p2panda_tw.sync.session import Session
from p2panda_tw.sync.store import SyncStore
from p2panda_tw.wire.frames import FrameDecoder

__all__ = ["SessionHost", "SessionRunner"]

T = TypeVar("T")
P = TypeVar("P", LogPage, StoredPage)


class SessionHost(Protocol):
    """
    Who has started a session.
    """

    def session_notified(self, runner: SessionRunner, event: SyncEvent) -> None:
        """
        There is news for the application.
        """

    def session_refused(self, runner: SessionRunner, refusal: Refusal) -> None:
        """
        Something was not taken.
        """

    def session_found_gaps(self, runner: SessionRunner, gaps: Sequence[Gap]) -> None:
        """
        Something is missing.
        """

    def session_progressed(self, runner: SessionRunner) -> None:
        """
        The session has dealt with something. It may be over.
        """

    def session_over(self, runner: SessionRunner, reason: str | None, to_blame: bool) -> None:
        """
        The session has ended.

        @param reason: Why it failed, if it did.
        @param to_blame: Whether the peer did what the protocol does not allow.
        """


def _first_of(after: int | None, until: int) -> LogRange:
    return LogRange(after, min(until, 0 if after is None else after + 1))


def page_size(page: LogPage | StoredPage) -> int:
    """
    @return: Bytes of headers and bodies in it.
    """
    raw = page.operations if isinstance(page, LogPage) else [stored.operation.raw for stored in page.operations]
    return sum([len(header) if body is None else len(header) + len(body) for header, body in raw])


class SessionRunner:
    """
    One session with its surroundings. It is the owner of the session stream, as soon as there is one.

    @ivar session: The machine.
    @ivar connection: What carries it.
    @ivar over: Whether it has ended.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        session: Session,
        connection: IConnection,
        topic: Topic,
        store: SyncStore,
        clock: IReactorTime,
        held: HeldBytes,
        host: SessionHost,
        farewell: str,
    ) -> None:
        """
        @param farewell: Told to the other node when the session ends in order.
        """
        self.session = session
        self.connection = connection
        self.over = False
        self._topic = topic
        self._store = store
        self._clock = clock
        self._held = held
        self._host = host
        self._farewell = farewell
        self._inputs: deque[fx.Input] = deque()
        self._running = False
        self._stream: IStream | None = None
        self._unsent: list[bytes] = []
        self._reading = True
        self._paused_since: float | None = None
        self._decoder = FrameDecoder(MAX_PAYLOAD, max_discarded=MAX_FRAME)
        self._first = b""
        self._received = 0
        self._frames = 0
        self._watch = ProgressWatch()
        self._timers: dict[fx.Timer, IDelayedCall] = {}
        self._waiting: Callable[[], None] | None = None  # to hand a batch to the store
        self._in_store = 0
        self._waits_for_store = False
        self._sender = Sender(session.node_id, self._give_up)
        self._outstanding = 0  # bytes that were written and wait for the peer to read

    # What happens.

    def feed(self, event: fx.Input) -> None:
        """
        Tell the machine, and carry out what it asks for.
        """
        self._inputs.append(event)
        if self._running:
            return
        self._running = True
        try:
            while self._inputs:
                for output in self.session.handle(self._inputs.popleft(), self._clock.seconds()):
                    self._carry_out(output)
                if not self._inputs:
                    self._adjust_reading()
        except Exception:
            # A mistake of ours ends this session alone.
            self._log.failure("A session stumbled.")
            self._inputs.clear()
            self._end("A mistake in this program.", False, lambda: self.connection.abort("an internal error"))
        finally:
            self._running = False
        self._count()
        self._host.session_progressed(self)

    def tick(self, now: float) -> None:
        """
        Look whether the peer gets on with what it owes us. To be called about once a second.
        """
        if self._stream is None or self.over:
            return
        owed: object = None
        if self.session.expecting:
            owed = self.session.phase
        elif self._decoder.in_frame:
            owed = self._frames
        if self._watch.is_overdue(now, self._received, owed, self._reading):
            self.feed(fx.GarbageReceived("The node sends too slowly."))
        elif self._paused_since is not None and self.session.catching_up:
            if now - self._paused_since >= WRITE_PATIENCE + self._outstanding / SEND_RATE:
                self.feed(fx.ConnectionClosed("The node takes nothing of what is sent to it."))

    def _count(self) -> None:
        held = self._decoder.buffered + self.session.held - self._in_store
        self._held.update(self._evict, 0 if self.over else held)

    def _give_up(self) -> None:
        self.feed(fx.ConnectionClosed("The node reads too slowly, and others wait."))

    def _evict(self) -> None:
        self.feed(fx.GarbageReceived("More was received than there is room for."))

    # The stream.

    def stream_opened(self, stream: IStream) -> None:
        """
        Send what waits for it.
        """
        self._stream = stream
        unsent, self._unsent = self._unsent, []
        if self.over:
            return
        for data in unsent:
            stream.write(data)
        # It may have been paused before it was known whose it is.
        self._reading = False
        stream.pauseProducing()
        self._adjust_reading()

    def data_received(self, data: bytes) -> None:
        """
        Cut them into frames.
        """
        if self.over:
            return
        self._received += len(data)
        try:
            if self._frames == 0 and len(self._first) < 4:
                # The first message has a lower limit than operations.
                self._first += data[: 4 - len(self._first)]
                if len(self._first) == 4 and int.from_bytes(self._first, "big") > MAX_HAVE:
                    raise DecodeError(f"A first message of more than {MAX_HAVE} bytes.")
            frames = self._decoder.receive_data(data)
        except DecodeError as error:
            self.feed(fx.GarbageReceived(str(error)))
            return
        if frames:
            self._frames += len(frames)
            self.feed(fx.FramesReceived(frames))
        else:
            self._adjust_reading()
            self._count()

    def end_of_stream(self) -> None:
        """
        Inside a frame that is a breach.
        """
        try:
            self._decoder.receive_eof()
        except DecodeError as error:
            self.feed(fx.GarbageReceived(str(error)))
        else:
            self.feed(fx.EndOfStream())

    def stream_closed(self, reason: str) -> None:
        """
        Nothing more will happen on it.
        """
        self._stream = None
        self.feed(fx.ConnectionClosed(reason))

    def writing_paused(self) -> None:
        """
        The transport has enough to write.
        """
        self._paused_since = self._clock.seconds()
        self.feed(fx.WritingPaused())

    def writing_resumed(self) -> None:
        """
        The transport takes more.
        """
        if self._paused_since is not None:
            self._paused_since = None
            self._outstanding = 0
            self.feed(fx.WritingResumed())
            if self._paused_since is None:
                self._held.sending.drained(self._sender)

    def _adjust_reading(self) -> None:
        reading = self.session.reading
        if self._stream is None or self.over:
            return
        if reading and self._decoder.in_frame and self._held.gate.crowded:
            reading = False
            if not self._waits_for_store:
                self._waits_for_store = True
                self._held.gate.when_free(self._store_is_free)
        if reading == self._reading:
            return
        self._reading = reading
        if reading:
            self._stream.resumeProducing()
        else:
            self._stream.pauseProducing()

    def _store_is_free(self) -> None:
        self._waits_for_store = False
        self._adjust_reading()

    # What is asked for.

    def _carry_out(self, output: fx.Output) -> None:
        store, topic = self._store, self._topic
        match output:
            case fx.Send(writes):
                if self._stream is None:
                    self._unsent += writes
                else:
                    for data in writes:
                        self._stream.write(data)
                    self._written(sum(map(len, writes)))
            case fx.Ingest(operations, live):
                self._ingest(operations, live)
            case fx.LoadLogPage(author=author, log_id=log_id, after=after, until=until, limit=limit):
                self._load(
                    lambda: store.log_page(
                        topic, author, log_id, after, until, limit_ops=limit, limit_bytes=PAGE_BYTES
                    ),
                    fx.LogPageLoaded,
                    lambda: store.range_size(topic, {author: {log_id: _first_of(after, until)}}),
                )
            case fx.LoadStoredPage(after):
                recent = store.recent(topic, after)
                if recent is not None and page_size(recent) <= LARGE_PAGE:
                    self._inputs.append(fx.StoredPageLoaded(recent))
                else:
                    self._load(lambda: store.page(topic, after, limit_bytes=PAGE_BYTES), fx.StoredPageLoaded)
            case fx.LoadHeights():
                self._ask(store.heights(topic), fx.HeightsLoaded)
            case fx.LoadRangeSize(ranges):
                self._ask(store.range_size(topic, ranges), lambda size: fx.RangeSizeLoaded(*size))
            case fx.Notify(event):
                self._host.session_notified(self, event)
            case fx.Refuse(refusal):
                self._host.session_refused(self, refusal)
            case fx.GapsFound(gaps):
                self._host.session_found_gaps(self, gaps)
            case fx.Schedule(delay, timer):
                self._schedule(delay, timer)
            case fx.Finish():
                self._end(None, False, self._finish)
            case fx.Abort(reason, to_blame):
                self._end(reason, to_blame, lambda: self.connection.abort(reason))
            case _:
                assert_never(output)

    def _written(self, size: int) -> None:
        if self._paused_since is None:
            self._held.sending.drained(self._sender)
        else:
            self._outstanding += size
            self._held.sending.written(self._sender, self._outstanding, self._clock.seconds())

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
                self._ask(ask(), loaded).addBoth(answered)
            else:
                self._ask(size_of_first(), sized).addBoth(answered)

        def sized(found: tuple[int, int]) -> fx.Input | None:
            if gate.fits(self._sender, found[1], load):
                gate.enter(self._sender, read)
            return None

        def read() -> None:
            self._ask(ask(), loaded).addBoth(answered)

        def loaded(page: P) -> fx.Input | None:
            return fact(page) if self.over or gate.fits(self._sender, page_size(page), load) else None

        def answered(_: object) -> None:
            gate.answered()

        gate.enter(self._sender, load)

    def _ingest(self, operations: Sequence[RawOperation], live: bool) -> None:
        size = sum([len(header) if body is None else len(header) + len(body) for header, body in operations])

        def begin() -> None:
            self._waiting = None
            self._in_store = size
            answer = self._store.ingest(self._topic, operations, live=live)
            answer.addBoth(leave)
            self._ask(answer, fx.IngestFinished)

        def leave(result: T) -> T:
            self._in_store = 0
            self._held.gate.leave(size)
            return result

        self._waiting = begin
        self._held.gate.enter(size, begin)

    def _ask(self, answer: Deferred[T], fact: Callable[[T], fx.Input | None]) -> Deferred[None]:
        def answered(result: T) -> None:
            event = fact(result)
            if event is not None:
                self.feed(event)

        done = answer.addCallbacks(answered, self._store_failed)
        return done.addErrback(lambda failure: self._log.failure("A session stumbled.", failure))

    def _store_failed(self, failure: Failure) -> None:
        if not failure.check(P2pandaError) and not self.over:
            self._log.failure("The store failed.", failure)
        self.feed(fx.StoreFailed(failure.getErrorMessage()))

    def _schedule(self, delay: float, timer: fx.Timer) -> None:
        earlier = self._timers.pop(timer, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[timer] = self._clock.callLater(delay, self._expired, timer)

    def _expired(self, timer: fx.Timer) -> None:
        del self._timers[timer]
        self.feed(fx.TimerExpired(timer))

    # The end.

    def _finish(self) -> None:
        if self._stream is not None:
            self._stream.unregisterProducer()
            self._stream.loseWriteConnection()
        self.connection.close(self._farewell)

    def _end(self, reason: str | None, to_blame: bool, act: Callable[[], Any]) -> None:
        if self.over:
            return
        self.over = True
        self.session.stop()
        for call in self._timers.values():
            call.cancel()
        self._timers.clear()
        self._decoder = FrameDecoder(1)  # lets go of what it holds
        self._held.sending.leave(self._sender)
        if self._waiting is not None:
            self._held.gate.withdraw(self._waiting)
            self._waiting = None
        act()
        self._unsent.clear()
        self.session.let_go()
        self._host.session_over(self, reason, to_blame)
