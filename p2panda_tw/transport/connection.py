# -*- test-case-name: tests.transport.test_streams -*-
"""
A connection to one node: joins the L{multiplexer<p2panda_tw.transport.mux.Mux>} with a byte transport whose other end
is proven, keeps it alive, and ends it in order.

Bytes are written once per turn of the reactor, so that what several streams have to say travels together. Inside a turn
that begins with received bytes, that is at the end of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId
from p2panda_tw.errors import ConnectError, LocalProtocolError
from p2panda_tw.interfaces import IConnection
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.frames import NORMAL, PROTOCOL_ERROR
from p2panda_tw.transport.limits import CLOSE_TIMEOUT, KeepAlive, ReceiveBudget
from p2panda_tw.transport.mux import Mux
from p2panda_tw.transport.mux_stream import (
    DataReceived,
    EndReceived,
    Event,
    GoneAway,
    MuxStream,
    PongReceived,
    StreamOpened,
    StreamRefused,
    StreamReset,
    Violated,
)
from p2panda_tw.transport.node_address import NodeAddress
from p2panda_tw.transport.pulse import SILENT, Pulse
from p2panda_tw.transport.streams import Stream, lost

__all__ = ["Connection"]

PARTING_TIMEOUT: Final = 1.0
"""
Seconds that a peer which broke the rules has to read why.
"""


def _joined(events: list[Event]) -> Iterator[Event]:
    """
    What came in together on one stream is handed on together: a peer may cut everything into frames of one byte, and
    each delivery takes ten times as long as looking at a frame.
    """
    data: dict[MuxStream, list[bytes]] = {}
    for event in events:
        if type(event) is DataReceived:
            data.setdefault(event.stream, []).append(event.data)
            continue
        yield from _deliveries(data)
        data.clear()
        yield event
    yield from _deliveries(data)


def _deliveries(data: dict[MuxStream, list[bytes]]) -> list[DataReceived]:
    return [DataReceived(stream, b"".join(pieces) if len(pieces) > 1 else pieces[0]) for stream, pieces in data.items()]


@implementer(IConnection, IPushProducer)
class Connection(Protocol):
    """
    One side of a connection.

    @ivar opened: Of a dialler: fires with the connection when the other side's first frame has arrived, fails when the
        connection ends before. C{None} afterwards.
    @ivar budget: Where streams count what waits in them.
    @ivar peer: L{NodeAddress} of the other side; C{host} that of ours.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        host: NodeAddress,
        peer: NodeAddress,
        alpn: bytes,
        dialler: bool,
        keep_alive: KeepAlive,
        budget: ReceiveBudget,
        complaints: Complaints,
    ) -> None:
        self.host = host
        self.peer = peer
        self.node_id: NodeId = peer.node_id
        self.transport_name = peer.transport_name
        self.alpn = alpn
        self.budget = budget
        self.opened: Deferred[Connection] | None = None
        if dialler:
            self.opened = Deferred(lambda _: self.abort("The attempt was cancelled."))
        self.closed: Deferred[None] = Deferred()
        self._clock = clock
        self._dialler = dialler
        self._keep_alive = keep_alive
        self._complaints = complaints
        self._mux = Mux(dialler, budget)
        self._streams: dict[Stream, None] = {}
        self._unaccepted: dict[Stream, None] = {}
        self._factory: IProtocolFactory | None = None
        self._ended: str | None = None  # why, once it is over or closing
        self._draining = self._said_goodbye = False
        self._bytes: Any = None  # the transport below, while there is one
        self._connected = self._finished = False
        self._blocked = self._flushing = self._receiving = False
        self._awake: dict[Stream, None] = {}
        self._turn_call: IDelayedCall | None = None
        self._tick_call: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._pings = 0
        self._pulse = Pulse(keep_alive, clock.seconds())
        self._closers: list[Deferred[None]] = []

    # The transport below.

    @override
    def connectionMade(self) -> None:
        """
        The other side is proven. The acceptor says so at once.
        """
        self._bytes = self.transport
        self._connected = True
        self._bytes.registerProducer(self, True)
        self._tick_call = self._clock.callLater(self._keep_alive.interval, self._tick)
        if not self._dialler:
            self._ping()
            self._flush()

    @override
    def dataReceived(self, data: bytes) -> None:
        """
        Bytes have come in.
        """
        self.heard()
        self._receiving = True
        for event in _joined(self._mux.receive_data(data)):
            self._on_event(event)
        self._receiving = False
        if self.opened is not None and self._mux.frames and self._ended is None:
            opened, self.opened = self.opened, None
            opened.callback(self)
        self._flush()

    def heard(self) -> None:
        """
        There was a sign of life, be it a part of a frame.
        """
        self._pulse.heard(self._clock.seconds())

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Nothing below is left.
        """
        self._connected = False
        self._bytes = None
        self._blocked = True
        self._mux.close()
        if self._ended is None:
            self._end("The connection to the other node was lost.")
        elif not self._said_goodbye:
            self._end(self._ended)
        if self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None
        self._close_if_nothing_left()

    def pauseProducing(self) -> None:
        """
        The transport below takes no more for now.
        """
        self._blocked = True

    def resumeProducing(self) -> None:
        """
        It takes more again.
        """
        if self._connected:
            self._blocked = False
            self._flush()

    def stopProducing(self) -> None:
        """
        It will take nothing any more.
        """
        self._blocked = True

    # What the other side says.

    def _on_event(self, event: Event) -> None:
        match event:
            case DataReceived(stream, data):
                owner = cast("Stream | None", stream.owner)
                if owner is None:
                    self.consumed(stream, len(data))
                else:
                    owner.received(data)
            case StreamOpened(stream):
                self._on_opened(stream)
            case EndReceived(stream):
                if stream.owner is not None:
                    stream.owner.end_received()
            case StreamReset(stream, limit):
                if limit is not None:
                    self.complain("too much unread", limit)
                if stream.owner is not None:
                    stream.owner.reset_by_peer()
            case StreamRefused(limit):
                self.complain("too many streams", limit)
            case GoneAway(code):
                self._on_gone_away(code)
            case Violated(cause, sentence):
                self._cut_off(cause, sentence)
            case PongReceived():
                pass

    def _on_opened(self, mux_stream: MuxStream) -> None:
        if self._ended is not None:
            self._mux.release(mux_stream)
            return
        stream = Stream(self, mux_stream)
        self._streams[stream] = None
        if self._factory is None:
            self._unaccepted[stream] = None
        else:
            self._attach(stream, self._factory)

    def _on_gone_away(self, code: int) -> None:
        if code == NORMAL:
            self._said_goodbye = True
            self._end("The other node closed the connection.", patient=True)
        else:
            kind = "protocol" if code == PROTOCOL_ERROR else "internal"
            self._end(f"The other node gave up the connection: {kind} error.")
        self._part(CLOSE_TIMEOUT)

    def _cut_off(self, cause: str, sentence: str) -> None:
        self.complain(cause, sentence)
        self._end(sentence)
        self._mux.go_away(PROTOCOL_ERROR)
        self._flush()
        self._part(PARTING_TIMEOUT)

    def hand_to(self, accept: Callable[[IConnection], None]) -> None:
        """
        Give an accepted connection to whoever takes it. If that fails, the connection ends, and nothing else.
        """
        try:
            accept(cast(IConnection, self))
        except Exception:
            self._log.failure("{accept} failed to take a connection.", accept=accept)
            self.abort("The node failed to take the connection.")

    def complain(self, cause: str, sentence: str) -> None:
        """
        Tell the operator, once, what the other node did.
        """
        self._complaints.complain(str(self.node_id), cause, sentence)

    # What streams ask for.

    def write(self, stream: MuxStream, data: bytes) -> None:
        """
        Send bytes on a stream, this turn.
        """
        self._mux.write(stream, data)
        self._soon()

    def end(self, stream: MuxStream) -> None:
        """
        End our direction of a stream.
        """
        self._mux.end(stream)
        self._soon()

    def reset(self, stream: MuxStream) -> None:
        """
        Reset a stream.
        """
        self._mux.reset(stream)
        self._soon()

    def consumed(self, stream: MuxStream, count: int) -> None:
        """
        A reader is done with received bytes.
        """
        self._mux.consumed(stream, count, self.budget.window)
        if self._mux.pending:
            self._soon()

    def wake(self, stream: Stream) -> None:
        """
        Let a stream look at its state in the next turn of the reactor.
        """
        self._awake[stream] = None
        self._soon()

    def forget(self, stream: Stream, mux_stream: MuxStream) -> None:
        """
        A stream is over.
        """
        self._mux.release(mux_stream)
        self._streams.pop(stream, None)
        self._unaccepted.pop(stream, None)
        self._close_if_nothing_left()

    # Turns.

    def _soon(self) -> None:
        """
        See to it that what was said is written. While receiving or flushing that happens anyway, while the transport
        below is blocked it happens later.
        """
        if self._turn_call is not None or self._receiving or self._flushing or self._finished:
            return
        if self._awake or not self._blocked:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        awake, self._awake = self._awake, {}
        for stream in awake:
            stream.wake()
        self._flush()

    def _flush(self) -> None:
        """
        Write what there is to be said, until the transport below has enough.
        """
        if self._flushing:
            return
        self._flushing = True
        try:
            while not self._blocked and self._connected and (data := self._mux.data_to_send()):
                self._bytes.write(data)
                progressed, self._mux.progressed = self._mux.progressed, []
                for stream in dict.fromkeys(progressed):
                    if stream.owner is not None:
                        stream.owner.progressed()
        finally:
            self._flushing = False
        if self._draining and not self._blocked and self._mux.drained:
            self._draining = False
            self._mux.go_away(NORMAL)
            self._flush()
            self._lose_bytes()
        if self._awake:
            self._soon()

    def _tick(self) -> None:
        self._tick_call = None
        trouble = self._pulse.check(self._clock.seconds(), self._mux.frames, self._mux.payload)
        if trouble is not None:
            cause, sentence = trouble
            if cause == SILENT:
                self.complain(cause, sentence)
                self.abort(sentence)
            else:
                self._cut_off(cause, sentence)
            return
        self._mux.renew_allowance()
        self._ping()
        self._flush()
        self._tick_call = self._clock.callLater(self._keep_alive.interval, self._tick)

    def _ping(self) -> None:
        self._pings += 1
        self._mux.ping(self._pings & 0xFFFFFFFF)

    # The end.

    def _end(self, sentence: str, patient: bool = False) -> None:
        """
        The connection is over for all streams.

        @param patient: What has arrived may still be read.
        """
        if self._ended is None:
            self._ended = sentence
        opened, self.opened = self.opened, None
        for stream in list(self._streams):
            stream.end(lost(sentence), patient)
        if opened is not None:
            opened.errback(ConnectError(sentence))

    def _part(self, seconds: float) -> None:
        """
        End the transport below in order, within so many seconds.
        """
        self._draining = False
        self._set_deadline(seconds)
        self._lose_bytes()

    def _lose_bytes(self) -> None:
        if self._connected:
            self._blocked = True
            self._bytes.unregisterProducer()
            self._bytes.loseConnection()

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self._clock.callLater(seconds, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        self._end(self._ended or "The connection was closed.")
        if self._connected:
            self._bytes.abortConnection()

    def _close_if_nothing_left(self) -> None:
        if self._connected or self._streams or self._ended is None or self._finished:
            return
        self._finished = True
        self._awake.clear()
        for call in (self._deadline, self._tick_call, self._turn_call):
            if call is not None and call.active():
                call.cancel()
        closers, self._closers = self._closers, []
        if not self.closed.called:  # somebody may have cancelled it
            self.closed.callback(None)
        for closer in closers:
            closer.callback(None)

    # IConnection

    def open_stream(self, factory: IProtocolFactory, one_way: bool = False) -> Deferred[IProtocol]:
        """
        Open a stream.
        """
        if self._ended is not None:
            return fail(ConnectError(self._ended))
        try:
            mux_stream = self._mux.open(one_way)
        except LocalProtocolError as error:
            return fail(ConnectError(str(error)))
        stream = Stream(self, mux_stream)
        self._streams[stream] = None
        protocol = self._attach(stream, factory)
        if protocol is None:
            return fail(ConnectError("The factory made no protocol for the stream."))
        return succeed(protocol)

    def accept_streams(self, factory: IProtocolFactory) -> None:
        """
        Take streams from now on, those that wait first.
        """
        self._factory = factory
        waiting, self._unaccepted = self._unaccepted, {}
        for stream in waiting:
            self._attach(stream, factory)

    def _attach(self, stream: Stream, factory: IProtocolFactory) -> IProtocol | None:
        try:
            protocol = factory.buildProtocol(self.peer)
        except Exception:
            self._log.failure("The factory {factory} failed to make a protocol for a stream.", factory=factory)
            protocol = None
        if protocol is None:
            stream.abortConnection()
        else:
            stream.attach(protocol)
        return protocol

    def close(self, reason: str) -> Deferred[None]:
        """
        End the connection after everything written was sent.
        """
        done: Deferred[None] = Deferred()
        if self._finished:
            done.callback(None)
            return done
        self._closers.append(done)
        if self._ended is None:
            self._end(reason)
            self._draining = True
            self._set_deadline(CLOSE_TIMEOUT)
            self._soon()
        return done

    def abort(self, reason: str) -> None:
        """
        End the connection at once.
        """
        if self._finished:
            return
        self._draining = False
        self._end(reason)
        if self._connected:
            self._bytes.abortConnection()
