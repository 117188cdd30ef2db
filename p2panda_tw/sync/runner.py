# -*- test-case-name: tests.sync.test_service -*-
"""
Runs one session: tells the machine what happens on its stream, in the store and on the clock, and carries out what it
asks for. While the machine does not want to read, the stream is paused, so that flow control reaches the sender.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, assert_never

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from p2panda_tw.core.stored import Gap, Refusal
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import DecodeError
from p2panda_tw.interfaces import IConnection, IStream
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.events import SyncEvent
from p2panda_tw.sync.limits import (
    MAX_FRAME,
    MAX_HAVE,
    MAX_PAYLOAD,
    SEND_RATE,
    WRITE_PATIENCE,
)
from p2panda_tw.sync.progress import ProgressWatch
from p2panda_tw.sync.send_gate import Sender
from p2panda_tw.sync.session import Session
from p2panda_tw.sync.store import SyncStore
from p2panda_tw.sync.store_access import StoreAccess
from p2panda_tw.wire.frames import FrameDecoder

__all__ = ["SessionHost", "SessionRunner"]


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
        self._waits_for_store = False
        self._sender = Sender(session.node_id, self._give_up)
        self._store = StoreAccess(store, topic, held, self._sender, self.feed, clock.seconds)
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
        if not self.session.catching_up:
            self._store.caught_up()
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
        held = self._decoder.buffered + self.session.held - self._store.in_store
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

    # What it asks for.

    def _carry_out(self, output: fx.Output) -> None:
        match output:
            case fx.Send(writes):
                if self._stream is None:
                    self._unsent += writes
                else:
                    for data in writes:
                        self._stream.write(data)
                    self._written(sum(map(len, writes)))
            case fx.Ingest(operations, live):
                self._store.ingest(operations, live)
            case fx.LoadLogPage():
                self._store.log_page(output)
            case fx.LoadStoredPage(after):
                self._store.stored_page(after)
            case fx.LoadHeights():
                self._store.heights()
            case fx.LoadRangeSize(ranges):
                self._store.range_size(ranges)
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
        self._store.leave()
        act()
        self._unsent.clear()
        self.session.let_go()
        self._host.session_over(self, reason, to_blame)
