"""
Protocols, factories and nodes that play in the contract of transports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, IProtocolFactory, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.interfaces import IConnection, INodeTransport, IStream

ALICE = SigningKey(b"\x01" * 32)
BOB = SigningKey(b"\x02" * 32)
CAROL = SigningKey(b"\x03" * 32)

CHAT = b"chat" * 8
OTHER = b"othr" * 8
"""
ALPN values have 32 bytes.
"""

KIB = 1024
MIB = 1024 * KIB


class PlainRecorder(Protocol):
    """
    Keeps what happens to a stream. It is not half-closeable.

    @ivar received: All bytes.
    @ivar ended: An end of stream has come.
    @ivar lost: Why the stream is over, once it is.
    """

    transport: IStream

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.lost: Failure | None = None
        self.made = False
        self.inbox: Inbox | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """
        @return: Fires when C{condition} holds after something happened, or holds already.
        """
        done: Deferred[None] = Deferred()
        if condition():
            done.callback(None)
        else:
            self._waiting.append((condition, done))
        return done

    def until_received(self, count: int) -> Deferred[None]:
        """
        @return: Fires when C{count} bytes are there.
        """
        return self.until(lambda: len(self.received) >= count)

    def until_ended(self) -> Deferred[None]:
        """
        @return: Fires with the end of the stream.
        """
        return self.until(lambda: self.ended)

    async def until_lost(self) -> type[BaseException]:
        """
        @return: The kind of reason.
        """
        await self.until(lambda: self.lost is not None)
        assert self.lost is not None and self.lost.type is not None
        return self.lost.type

    def _happened(self) -> None:
        ready = [pair for pair in self._waiting if pair[0]()]
        self._waiting = [pair for pair in self._waiting if pair not in ready]
        for _, done in ready:
            done.callback(None)

    def connectionMade(self) -> None:
        self.made = True
        if self.inbox is not None:
            self.inbox.put(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.made and not self.ended and self.lost is None, "data after the end"
        assert data, "no bytes delivered"
        self.received += data
        self._happened()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None, "lost twice"
        self.lost = reason
        self._happened()


@implementer(IHalfCloseableProtocol)
class Recorder(PlainRecorder):
    """
    The same, told about each direction.
    """

    def readConnectionLost(self) -> None:
        assert not self.ended and self.lost is None, "ended twice"
        self.ended = True
        self._happened()

    def writeConnectionLost(self) -> None:
        """
        We ended it ourselves.
        """


class Echo(Recorder):
    """
    Sends everything back, and ends when the other side has ended.
    """

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.loseWriteConnection()


class Sleepy(Recorder):
    """
    Reads nothing until told.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()


@implementer(IPushProducer)
class Source(Recorder):
    """
    Writes a number of bytes as fast as the stream takes them, then ends it.

    @ivar written: So many are written.
    """

    CHUNK = b"".join(n.to_bytes(4, "big") for n in range(4096))

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total
        self.written = 0
        self._paused = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self.written < self.total:
            chunk = self.CHUNK[: self.total - self.written]
            self.written += len(chunk)
            self.transport.write(chunk)
        if self.written >= self.total:
            self._paused = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()


class Sink(Recorder):
    """
    Compares what comes with what L{Source} sends and keeps nothing but the count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.wrong = False
        self._expected = Source.CHUNK * 2

    def dataReceived(self, data: bytes) -> None:
        size = len(Source.CHUNK)
        at = 0
        while at < len(data):
            start = self.count % size
            piece = data[at : at + size]
            self.wrong |= piece != self._expected[start : start + len(piece)]
            self.count += len(piece)
            at += len(piece)
        self._happened()


class Inbox(Factory):
    """
    Takes streams and lets a scenario wait for them.
    """

    noisy = False

    def __init__(self, protocol: Callable[[], PlainRecorder] = Recorder) -> None:
        self._make = protocol
        self._queue: DeferredQueue[Any] = DeferredQueue()
        self.count = 0
        self.peers: list[object] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        self.count += 1
        self.peers.append(addr)
        protocol = self._make()
        protocol.inbox = self
        return protocol

    def put(self, protocol: PlainRecorder) -> None:
        """
        A protocol was connected to its stream.
        """
        self._queue.put(protocol)

    def next(self) -> Deferred[Any]:
        """
        @return: Fires with the next stream's protocol.
        """
        return self._queue.get()


class Refusing(Factory):
    """
    Takes no stream.
    """

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None


def opening(protocol: Callable[[], IProtocol] = Recorder) -> IProtocolFactory:
    """
    @return: A factory for L{IConnection.open_stream}.
    """
    return cast(IProtocolFactory, Factory.forProtocol(protocol))


class Node:
    """
    A transport that listens, with the connections that were made to it.
    """

    def __init__(self, transport: INodeTransport, key: SigningKey) -> None:
        self.transport = transport
        self.node_id: NodeId = key.verifying_key
        self.offered: list[bytes] = [CHAT]
        self.accepted: DeferredQueue[IConnection] = DeferredQueue()

    def listen(self) -> Deferred[None]:
        """
        Begin to take connections.
        """
        return self.transport.listen(self.accepted.put, lambda: list(self.offered))
