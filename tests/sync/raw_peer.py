"""
A peer that says what a test tells it to say, on the network in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.topic import Topic
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.errors import ConnectError
from p2panda_tw.sync.limits import MAX_FRAME, PROTOCOL_ID
from p2panda_tw.sync.messages import HandshakeDone, HandshakeTopic, LogIds, encode_handshake_message, encode_have
from p2panda_tw.wire.frames import FrameDecoder
from tests.sync.logs import TOPIC, key
from tests.sync.network import Network, Node

EMPTY_HAVE = encode_have({}, LogIds.HASHES)
TOPIC_FRAME = encode_handshake_message(HandshakeTopic(TOPIC))
HANDSHAKE_DONE = encode_handshake_message(HandshakeDone())


@implementer(IHalfCloseableProtocol)
class RawStream(Protocol):
    """
    A stream.

    @ivar payloads: What came in.
    @ivar ended: Whether the other side ended its direction.
    @ivar lost: Why the stream is gone, if it is.
    """

    transport: Any

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.ended = False
        self.lost: Failure | None = None
        self._decoder = FrameDecoder(MAX_FRAME)

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        for payload in self._decoder.receive_data(data):
            assert isinstance(payload, bytes)
            self.payloads.append(payload)

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Streams(Factory):
    """
    Gives each stream a protocol.
    """

    noisy = False

    def __init__(self, build: Callable[[], RawStream]) -> None:
        self._build = build

    def buildProtocol(self, addr: object) -> Any:
        return self._build()


class RawSession:
    """
    A connection with the two streams of a session.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.closed = False
        connection.closed.addCallback(self._closed)
        self.streams: list[RawStream] = []

    def _closed(self, result: None) -> None:
        self.closed = True

    def open(self) -> RawStream:
        """
        Open a stream.
        """
        stream = RawStream()
        self.connection.open_stream(Streams(lambda: stream))
        self.streams.append(stream)
        return stream

    def accept(self) -> None:
        """
        Take the streams of the other side.
        """

        def build() -> RawStream:
            stream = RawStream()
            self.streams.append(stream)
            return stream

        self.connection.accept_streams(Streams(build))

    def begin(self, topic: Topic = TOPIC) -> RawStream:
        """
        The handshake, and the stream of the session.
        """
        self.open().send(encode_handshake_message(HandshakeTopic(topic)) + HANDSHAKE_DONE)
        return self.open()


class RawPeer:
    """
    The peer.

    @ivar accepted: Sessions that others opened.
    """

    def __init__(self, network: Network, name: str = "raw") -> None:
        self.network = network
        self.node_id: NodeId = key(name).verifying_key
        self.endpoint = Endpoint(network.clock, key(name), DEFAULT_NETWORK_ID, [network.memory.transport(key(name))])
        self.endpoint.open()
        self.accepted: list[RawSession] = []

    def serve(self) -> None:
        """
        Take connections.
        """

        def accepted(connection: Any) -> None:
            session = RawSession(connection)
            session.accept()
            self.accepted.append(session)

        self.endpoint.accept(PROTOCOL_ID, accepted)

    def dial(self, node: Node) -> RawSession:
        """
        Connect.
        """
        sessions = self.try_to_dial(node)
        self.network.until(lambda: bool(sessions))
        return sessions[0]

    def try_to_dial(self, node: Node) -> list[RawSession]:
        """
        Connect, perhaps.
        """
        self.endpoint.add_addresses(node.node_id, node.endpoint.local_addresses())
        sessions: list[RawSession] = []
        connected = self.endpoint.connect(node.node_id, PROTOCOL_ID)
        connected.addCallbacks(
            lambda connection: sessions.append(RawSession(connection)), lambda failure: failure.trap(ConnectError)
        )
        return sessions

    def known_to(self, node: Node) -> None:
        """
        Tell a node where we are.
        """
        node.endpoint.add_addresses(self.node_id, self.endpoint.local_addresses())
