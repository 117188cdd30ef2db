# -*- test-case-name: tests.transport.test_iroh,tests.transport.test_iroh_streams -*-
"""
A QUIC stream as a Twisted transport. Lives on the reactor's side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.errors import LocalProtocolError, RemoteProtocolError
from p2panda_tw.interfaces import IStream
from p2panda_tw.transport.iroh.binding import Ending
from p2panda_tw.transport.iroh.producing import Producing
from p2panda_tw.transport.iroh.reading import ABORTED, NOT_WANTED, ReadingHalf
from p2panda_tw.transport.iroh.writing import WritingHalf
from p2panda_tw.transport.limits import ReceiveBudget
from p2panda_tw.transport.node_address import NodeAddress

if TYPE_CHECKING:
    from p2panda_tw.transport.iroh.connection import IrohConnection

__all__ = ["IrohStream"]


@implementer(IStream)
class IrohStream:
    """
    @ivar connection: The connection that it belongs to.
    @ivar one_way: Data goes only from the node that opened the stream to the one that accepted it.
    @ivar disconnecting: We have ended our direction, or are about to.
    """

    _log = Logger()

    def __init__(
        self,
        connection: IrohConnection,
        reading: ReadingHalf | None,
        writing: WritingHalf | None,
        reactor: Any,
        budget: ReceiveBudget,
    ) -> None:
        self.connection = connection
        self.one_way = reading is None or writing is None
        self.disconnecting = False
        self._reactor = reactor
        self._budget = budget
        self._reading = reading
        self._writing = writing
        self._protocol: IProtocol | None = None
        self._paused = False
        self._held: deque[bytes] = deque()
        self._held_end: Ending | None = None
        self._later: list[IDelayedCall] = []
        self._read_over = reading is None
        self._write_over = writing is None
        self._write_lost = False
        self._producing = Producing(self._guarded, self._call_later)
        self._ending = False
        self._lost = False

    def connect(self, protocol: IProtocol) -> None:
        """
        Begin, with a protocol: on the side that opened the stream.
        """
        self._protocol = protocol
        self._guarded(protocol.makeConnection, self)
        self._start()

    def await_first_byte(self) -> None:
        """
        Begin, on the side that accepted the stream. QUIC announces an unused stream together with later ones, so the
        protocol comes with the first byte.
        """
        self._start()

    def part(self, reason: str) -> None:
        """
        The connection is about to be closed in order. The protocol is told now; what it wrote is on its way.
        """
        if not self._lost and not self._ending:
            self._ending = True
            if self._reading is not None and not self._read_over:
                self._reading.detach()
            self._call_later(self._lose, ConnectionLost(reason))

    def drop(self, reason: str) -> None:
        """
        The connection is gone; stop whatever is under way.
        """
        if not self._lost:
            self._reset()
            self._lose(ConnectionLost(reason))

    # ITransport and its like.

    def write(self, data: bytes) -> None:
        """
        Queue some bytes.

        @raise LocalProtocolError: This is a one-way stream of the other node.
        """
        if not isinstance(data, bytes):
            if isinstance(data, str):
                raise TypeError("Data must be bytes, not str.")
            data = bytes(data)
        if self._writing is None:
            raise LocalProtocolError("Nothing can be written into a one-way stream that the other node opened.")
        if not data or self._write_over or self._lost or self._ending:
            return
        if self.disconnecting and not self._producing.registered:
            return
        self._writing.write(data)
        self._producing.wrote()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Queue all of it.
        """
        for piece in data:
            self.write(piece)

    def loseWriteConnection(self) -> None:
        """
        End our direction after everything that was written, and after a producer has unregistered.
        """
        self.disconnecting = True
        if not self._producing.registered and self._writing is not None and not self._write_over and not self._ending:
            self._writing.finish()

    def loseConnection(self) -> None:
        """
        The same, and read no more.
        """
        if self._lost or self._ending:
            return
        if not self._read_over and self._reading is not None:
            self._read_over = True
            self._forget_held()
            self._held_end = None
            self._reading.give_up(NOT_WANTED)
        self.loseWriteConnection()
        if self._write_over:
            self._call_later(self._lose, ConnectionDone())

    def abortConnection(self) -> None:
        """
        Reset the stream at once, in both directions. What was not yet sent is dropped.
        """
        if not self._lost and not self._ending:
            self._reset()
            self._call_later(self._lose, ConnectionAborted())

    def getPeer(self) -> NodeAddress:
        """
        @return: The other node.
        """
        return self.connection.peer

    def getHost(self) -> NodeAddress:
        """
        @return: Our own node.
        """
        return self.connection.host

    # IPushProducer, towards the protocol.

    def pauseProducing(self) -> None:
        """
        Deliver nothing for a while.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Deliver again, first what has come meanwhile.
        """
        self._paused = False
        if (self._held or self._held_end is not None) and not self._ending:
            self._call_later(self._release)

    def stopProducing(self) -> None:
        """
        The protocol wants nothing more.
        """
        self.loseConnection()

    # IConsumer.

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Tell C{producer} when to wait.
        """
        if self._lost or self._write_over or self._ending or self._writing is None:
            producer.stopProducing()
        else:
            self._producing.register(producer, streaming, self._writing)

    def unregisterProducer(self) -> None:
        """
        Tell the producer nothing more; end our direction if that waited for it.
        """
        self._producing.unregister()
        if self.disconnecting:
            self.loseWriteConnection()

    # What the halves report.

    def _start(self) -> None:
        if self._reading is not None:
            self._reading.start(self._received, self._reading_ended)
        if self._writing is not None:
            self._writing.start(self._producing.drained, self._writing_ended)

    def _received(self, data: bytes) -> None:
        if self._lost or self._read_over or self._ending:
            return
        if self._protocol is None and not self._build():
            return
        if self._paused or self._held:
            self._held.append(data)
            self._budget.add(self, len(data))
        else:
            self._give(data)

    def _reading_ended(self, ending: Ending) -> None:
        if self._lost or self._read_over or self._ending:
            return
        if ending is Ending.RESET:
            self._reset()
            self._lose(ConnectionAborted())
        elif self._paused or self._held:
            self._held_end = ending
        else:
            self._end_reading(ending)

    def _writing_ended(self, ending: Ending) -> None:
        if self._lost or self._ending or self._write_over:
            return
        if ending is Ending.RESET:
            self._reset()
            self._lose(ConnectionAborted())
            return
        self._write_over = True
        self._write_lost = ending is Ending.LOST
        if ending is not Ending.FINISHED:
            self._producing.stop()
        if not self._write_lost and IHalfCloseableProtocol.providedBy(self._protocol):
            self._guarded(cast(IHalfCloseableProtocol, self._protocol).writeConnectionLost)
        if self._read_over:
            self._lose_in_order()

    # Inner steps.

    def _build(self) -> bool:
        """
        Make the protocol for a stream that has shown its first byte.

        @return: Whether the factory wants it.
        """
        try:
            protocol = self.connection.build_protocol()
        except Exception:
            self._log.failure("The factory for streams of the other node failed.")
            protocol = None
        if protocol is None:
            self._reset()
            self._lose(ConnectionAborted())
            return False
        self._protocol = protocol
        self._guarded(protocol.makeConnection, self)
        return not self._lost

    def overspent(self, sentence: str) -> None:
        """
        All streams of the process together hold too much, and this one most.
        """
        self.connection.complain("too much unread", sentence)
        self._held.clear()
        self.abortConnection()

    def _forget_held(self) -> None:
        if self._held:
            self._budget.remove(self, sum(map(len, self._held)))
            self._held.clear()

    def _give(self, data: bytes) -> None:
        if self._protocol is not None:
            self._guarded(self._protocol.dataReceived, data)
        if self._reading is not None:
            self._reading.consumed(len(data))

    def _release(self) -> None:
        while self._held and not self._paused and not self._lost and not self._ending:
            data = self._held.popleft()
            self._budget.remove(self, len(data))
            self._give(data)
        if self._held_end is not None and not self._held and not self._paused and not self._lost:
            ending, self._held_end = self._held_end, None
            self._end_reading(ending)

    def _end_reading(self, ending: Ending) -> None:
        if ending is not Ending.FINISHED:
            self._lose(ConnectionLost(self.connection.end))
            return
        if self._protocol is None and not self._build():
            return
        self._read_over = True
        if IHalfCloseableProtocol.providedBy(self._protocol):
            self._guarded(cast(IHalfCloseableProtocol, self._protocol).readConnectionLost)
            if self._write_over:
                self._lose_in_order()
        else:
            self._producing.stop()
            self.loseWriteConnection()
            self._lose_in_order()

    def _lose_in_order(self) -> None:
        self._lose(ConnectionLost(self.connection.end) if self._write_lost else ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        if self._lost:
            return
        self._lost = True
        self.disconnecting = True
        self._forget_held()
        for call in self._later:
            if call.active():
                call.cancel()
        self._producing.stop()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._guarded(protocol.connectionLost, Failure(reason))
        self.connection.stream_gone(self)

    def _reset(self) -> None:
        self._ending = True
        if self._reading is not None:
            self._reading.give_up(ABORTED)
        if self._writing is not None:
            self._writing.abort()

    def _call_later(self, call: Callable[..., object], *args: object) -> None:
        self._later = [earlier for earlier in self._later if earlier.active()]
        self._later.append(self._reactor.callLater(0, call, *args))

    def _guarded(self, call: Callable[..., object], *args: object) -> None:
        """
        Call into the protocol. If it fails the stream is reset, and nothing else suffers.
        """
        try:
            call(*args)
        except Exception as error:
            if isinstance(error, RemoteProtocolError):
                self.connection.complain("protocol error", str(error))
            else:
                self._log.failure("Unhandled error in a protocol on a stream.")
            if not self._lost:
                self._reset()
                self._lose(error)
