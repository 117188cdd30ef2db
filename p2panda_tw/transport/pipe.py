# -*- test-case-name: tests.transport.test_pipe -*-
"""
Two byte transports joined in memory, for the memory transport and for tests of the others. What one side writes reaches
the other a moment later on a clock, in order; a producer is paused as by a socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IProducer,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["PipeEnd", "join"]

CAPACITY: Final = 64 * 1024
"""
Bytes under way above which a producer is paused; also what one delivery brings.
"""


@implementer(ITransport, IConsumer, IPushProducer)
class PipeEnd:
    """
    One end of a pipe. Protocols are connected by L{join}.

    @ivar piece: Deliver at most so many bytes at once.
    @ivar frozen: Nothing written here arrives any more, and nothing is said about it.
    """

    def __init__(self, clock: IReactorTime, host: IAddress, peer: IAddress, delay: float, piece: int) -> None:
        self.piece = piece
        self.frozen = False
        self.disconnecting = False
        self._clock = clock
        self._host = host
        self._peer = peer
        self._delay = delay
        self._other: PipeEnd = self
        self._protocol: IProtocol | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._producer: IPushProducer | None = None
        self._producer_paused = False
        self._over = self._reading_paused = False
        self._delivery: IDelayedCall | None = None
        self._loss: IDelayedCall | None = None

    def write(self, data: bytes) -> None:
        """
        Send bytes to the other end.
        """
        if not data or self.disconnecting:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > CAPACITY and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._schedule()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        End both directions after what was written has arrived.
        """
        self.disconnecting = True
        self._schedule()

    def abortConnection(self) -> None:
        """
        End both directions at once.
        """
        if not self._over:
            self.disconnecting = True
            self._out.clear()
            self._out_bytes = 0
            self._lose_soon(0, ConnectionAborted())
            if not self.frozen:
                self._other._lose_soon(self._delay, ConnectionLost())

    def getPeer(self) -> IAddress:
        """
        @return: The address of the other end.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        @return: The address of this end.
        """
        return self._host

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        Let C{producer}, a push producer, be paused when too much is under way.
        """
        if not streaming:
            raise ValueError("Only push producers.")
        if self._over:
            producer.stopProducing()
        else:
            self._producer = cast(IPushProducer, producer)
            self._producer_paused = False

    def unregisterProducer(self) -> None:
        """
        The producer has no more.
        """
        self._producer = None

    def pauseProducing(self) -> None:
        """
        Read nothing until L{resumeProducing}.
        """
        self._reading_paused = True

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        self._reading_paused = False
        self._other._schedule()

    def stopProducing(self) -> None:
        """
        The same as L{loseConnection}.
        """
        self.loseConnection()

    def _schedule(self) -> None:
        if self._delivery is None and not self._over and not self.frozen:
            self._delivery = self._clock.callLater(self._delay, self._deliver)

    def _deliver(self) -> None:
        self._delivery = None
        if self._over or self.frozen or self._other._reading_paused:
            return
        if self._out:
            data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            now, later = data[: self.piece], data[self.piece :]
            self._out = [later] if later else []
            self._out_bytes = len(later)
            if not self._other._over and self._other._protocol is not None:
                self._other._protocol.dataReceived(now)
            if self._producer is not None and self._producer_paused and not self._out_bytes:
                self._producer_paused = False
                self._producer.resumeProducing()
        if self._out:
            self._schedule()
        elif self.disconnecting:
            self._lose(ConnectionDone())
            self._other._lose(ConnectionDone())

    def _lose_soon(self, delay: float, reason: Exception) -> None:
        if self._loss is None and not self._over:
            self._loss = self._clock.callLater(delay, self._lose, reason)

    def _lose(self, reason: Exception) -> None:
        if self._over:
            return
        self._over = self.disconnecting = True
        for call in (self._delivery, self._loss):
            if call is not None and call.active():
                call.cancel()
        self._out.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        if self._protocol is not None:
            self._protocol.connectionLost(Failure(reason))


def join(
    clock: IReactorTime,
    dialler: IProtocol,
    acceptor: IProtocol,
    *,
    dialler_address: IAddress,
    acceptor_address: IAddress,
    delay: float = 0.0,
    piece: int = CAPACITY,
) -> tuple[PipeEnd, PipeEnd]:
    """
    Connect two protocols.

    @param delay: Seconds that everything takes in each direction.
    @param piece: Deliver at most so many bytes at once.

    @return: The ends, the dialler's first.
    """
    here = PipeEnd(clock, dialler_address, acceptor_address, delay, piece)
    there = PipeEnd(clock, acceptor_address, dialler_address, delay, piece)
    here._other, there._other = there, here
    here._protocol, there._protocol = dialler, acceptor
    acceptor.makeConnection(there)
    dialler.makeConnection(here)
    return here, there
