# -*- test-case-name: tests.transport.test_streams -*-
"""
A stream of the multiplexer as an ordinary Twisted transport, which carries an ordinary protocol.

Received bytes that the protocol does not want now wait here, counted by the L{budget
<p2panda_tw.transport.limits.ReceiveBudget>}; the window sees to it that they are few. Written bytes wait in the
L{multiplexer<p2panda_tw.transport.mux.Mux>}; the registered producer sees to that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPullProducer,
    IPushProducer,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.errors import LocalProtocolError, RemoteProtocolError
from p2panda_tw.interfaces import IConnection, IStream
from p2panda_tw.transport.mux_stream import MuxStream

if TYPE_CHECKING:
    from p2panda_tw.transport.connection import Connection

__all__ = ["Stream", "lost"]

HIGH_WATER: Final = 128 * 1024
"""
A producer pauses when so many bytes wait to be sent: two frames, one under way and one in reserve.
"""

LOW_WATER: Final = 64 * 1024
"""
It resumes when so few are left.
"""


@implementer(IStream)
class Stream:
    """
    One stream. Without a protocol until one is connected to it.

    @ivar disconnecting: We have ended our direction, or everything is over.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_delivering",
        "_discarding",
        "_end_waits",
        "_half_closeable",
        "_lose_after_producer",
        "_mux_stream",
        "_over",
        "_patient",
        "_paused",
        "_producer",
        "_producer_paused",
        "_protocol",
        "_read_done",
        "_reason",
        "_streaming",
        "_waiting",
        "_waiting_bytes",
        "_write_done",
        "connection",
        "disconnecting",
        "one_way",
    )

    _log = Logger()

    def __init__(self, connection: Connection, mux_stream: MuxStream) -> None:
        self.connection = cast(IConnection, connection)
        self.one_way = mux_stream.one_way
        self.disconnecting = False
        self._connection = connection
        self._mux_stream = mux_stream
        mux_stream.owner = self
        self._protocol: IProtocol | None = None
        self._half_closeable: IHalfCloseableProtocol | None = None
        self._waiting: deque[bytes] | None = None  # made when needed
        self._waiting_bytes = 0
        self._paused = self._delivering = self._discarding = False
        self._end_waits = False
        self._read_done = self.one_way and mux_stream.ours
        self._write_done = self.one_way and not mux_stream.ours
        self._reason: Failure | None = None  # why it is over, not yet told
        self._patient = False  # tell that after what waits has been read
        self._over = False
        self._producer: IPushProducer | IPullProducer | None = None
        self._streaming = self._producer_paused = False
        self._lose_after_producer = False

    def attach(self, protocol: IProtocol) -> None:
        """
        Connect a protocol. What waits for it is delivered in the next turn of the reactor.
        """
        self._protocol = protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            self._half_closeable = cast(IHalfCloseableProtocol, protocol)
        try:
            protocol.makeConnection(cast("IStream", self))
        except Exception:
            self._blame_protocol()
        if self._waiting or self._end_waits:
            self._connection.wake(self)

    # What the connection tells.

    def received(self, data: bytes) -> None:
        """
        Bytes have come.
        """
        if self._over or self._discarding or self._reason is not None:
            self._connection.consumed(self._mux_stream, len(data))
        elif self._protocol is None or self._paused or self._waiting or self._delivering:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._connection.budget.add(self, len(data))
        else:
            self._deliver(data)

    def end_received(self) -> None:
        """
        No more will come.
        """
        self._end_waits = True
        self.wake()

    def reset_by_peer(self) -> None:
        """
        The stream is over at once.
        """
        self.end(Failure(ConnectionAborted()))

    def progressed(self) -> None:
        """
        Something was sent.
        """
        if self._mux_stream.end_sent and not self._write_done:
            self._write_done = True
            if self._half_closeable is not None and not self._over and self._reason is None:
                self._call(self._half_closeable.writeConnectionLost)
            self._end_if_done()
        elif self._producer is not None and self._mux_stream.queued <= LOW_WATER:
            if self._producer_paused or not self._streaming:
                self._producer_paused = False
                self._call(self._producer.resumeProducing)

    def end(self, reason: Failure, patient: bool = False) -> None:
        """
        The stream is over. Its protocol is told in the next turn of the reactor.

        @param patient: Tell it only after it has read what waits.
        """
        if self._over:
            return
        if self._reason is None or not patient:
            self._reason = reason
            self._patient = patient
        self.disconnecting = True
        self._stop_producer()
        if not patient:
            self._drop()
        self._connection.wake(self)

    def overspent(self, sentence: str) -> None:
        """
        The budget is exceeded, and this stream holds most.
        """
        self._connection.complain("too much unread", sentence)
        self._reset()

    def wake(self) -> None:
        """
        Deliver what waits, as far as it is wanted, and the end.
        """
        if self._delivering or self._over:
            return
        self._delivering = True
        try:
            while self._waiting and self._reads():
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._connection.budget.remove(self, len(data))
                self._deliver(data)
            if self._end_waits and not self._waiting and self._reads():
                self._deliver_end()
        finally:
            self._delivering = False
        if self._reason is not None and not (self._patient and self._protocol and (self._waiting or self._end_waits)):
            done = self._patient and self._read_done and self._write_done
            self._finish(Failure(ConnectionDone()) if done else self._reason)

    def _reads(self) -> bool:
        """
        @return: Whether the protocol wants to hear more now.
        """
        if self._discarding:
            return True
        return not self._paused and self._protocol is not None and (self._reason is None or self._patient)

    def _deliver(self, data: bytes) -> None:
        protocol = self._protocol
        assert protocol is not None
        self._call(protocol.dataReceived, data)
        self._connection.consumed(self._mux_stream, len(data))

    def _deliver_end(self) -> None:
        self._end_waits = False
        if self._read_done:
            return
        self._read_done = True
        if self._discarding:
            pass
        elif self._half_closeable is not None:
            self._call(self._half_closeable.readConnectionLost)
        else:
            self._end_writing()
            self._finish(Failure(ConnectionDone()))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._read_done and self._write_done and not self._over and self._reason is None:
            self.end(Failure(ConnectionDone()))

    def _finish(self, reason: Failure) -> None:
        if self._over:
            return
        self._over = True
        self._reason = None
        self.disconnecting = True
        self._drop()
        self._stop_producer()
        if self._protocol is not None:
            self._call(self._protocol.connectionLost, reason)
        self._connection.forget(self, self._mux_stream)

    def _drop(self) -> None:
        """
        Nobody reads what waits.
        """
        if self._waiting_bytes:
            self._connection.budget.remove(self, self._waiting_bytes)
            self._connection.consumed(self._mux_stream, self._waiting_bytes)
        self._waiting = None
        self._waiting_bytes = 0

    def _call(self, method: object, *arguments: object) -> None:
        """
        Call the protocol or producer. An error there ends this stream alone; other than L{RemoteProtocolError} it is a
        mistake in the protocol.
        """
        try:
            method(*arguments)  # type: ignore[operator]  # bound methods of the protocol
        except RemoteProtocolError as error:
            self._connection.complain("protocol error", str(error))
            self._reset()
        except Exception:
            self._blame_protocol()

    def _blame_protocol(self) -> None:
        self._log.failure("The protocol {protocol} on a stream failed.", protocol=self._protocol)
        self._reset()

    def _reset(self) -> None:
        self._connection.reset(self._mux_stream)
        self.end(Failure(ConnectionAborted()))

    # ITransport

    def write(self, data: bytes) -> None:
        """
        Send bytes after those written before.

        @raise LocalProtocolError: The other node opened the stream one-way.
        """
        if self.one_way and not self._mux_stream.ours:
            raise LocalProtocolError("Nothing can be written into a one-way stream of the other node.")
        if self.disconnecting:
            return
        self._connection.write(self._mux_stream, data if type(data) is bytes else bytes(data))
        if self._producer is not None and self._streaming and not self._producer_paused:
            if self._mux_stream.queued > HIGH_WATER:
                self._producer_paused = True
                cast(IPushProducer, self._producer).pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send several pieces.

        @raise LocalProtocolError: As L{write}.
        """
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """
        End our direction after what was written.
        """
        if not self._write_done:
            self._end_writing()

    def loseConnection(self) -> None:
        """
        End our direction after what was written (and after a registered producer has finished), and read nothing more.
        """
        if self._over or self._discarding:
            return
        self._discarding = True
        self._drop()
        if self._producer is not None:
            self._lose_after_producer = True
        else:
            self._end_writing()
        self._connection.wake(self)

    def abortConnection(self) -> None:
        """
        Reset the stream.
        """
        if not self._over:
            self._reset()

    def getPeer(self) -> IAddress:
        """
        @return: A L{NodeAddress<p2panda_tw.transport.node_address.NodeAddress>}.
        """
        return self._connection.peer

    def getHost(self) -> IAddress:
        """
        @return: A L{NodeAddress<p2panda_tw.transport.node_address.NodeAddress>}.
        """
        return self._connection.host

    def _end_writing(self) -> None:
        self.disconnecting = True
        self._connection.end(self._mux_stream)

    # IConsumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let C{producer} be told when to write.

        @raise RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError("A producer is registered already.")
        if self._over or self._reason is not None:
            producer.stopProducing()
            return
        self._producer = cast("IPushProducer | IPullProducer", producer)
        self._streaming, self._producer_paused = streaming, False
        if not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        The producer has no more.
        """
        self._producer = None
        if self._lose_after_producer:
            self._lose_after_producer = False
            self._end_writing()

    def _stop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Deliver again, from the next turn of the reactor on.
        """
        if self._paused:
            self._paused = False
            if not self._over:
                self._connection.wake(self)

    def stopProducing(self) -> None:
        """
        The same as L{loseConnection}.
        """
        self.loseConnection()


def lost(sentence: str) -> Failure:
    """
    @return: Why the streams of a connection that is gone are over.
    """
    return Failure(ConnectionLost(sentence))
