"""
A model of a Rust node as a receiver, with its lossy rings (docs/sync.md, section 7), on the network in memory. What it models:

  - each session puts what it receives into a ring of its own (2048 places, the oldest is dropped);
  - one merged stream takes from these rings, in turn, into the ring of the topic (1024 places, the oldest is dropped), and
    passes each operation on to every other session; finding one that has ended, it forgets it with all that is in its ring;
  - where a session's ring has overflowed, the merged stream stands still until another session begins; closing such a
    session makes it overflow again;
  - the application takes from the ring of the topic, slowly, and stores what continues a log (a Node) or anything (a
    plain peer); what a C{Have} says is what is stored.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.operation import RawOperation, decode_header
from p2panda_tw.core.topic import LogId
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.sync.limits import MAX_FRAME, PROTOCOL_ID
from p2panda_tw.sync.messages import (
    CLOSE_FRAME,
    DONE_FRAME,
    Close,
    Done,
    HandshakeDone,
    HandshakeTopic,
    Have,
    LiveOperation,
    LogIds,
    PreSync,
    SyncOperation,
    decode_message,
    encode_handshake_message,
    encode_have,
)
from p2panda_tw.sync.operation_frames import LIVE_OPERATION, encode_operations
from p2panda_tw.testing import MemoryNetwork
from p2panda_tw.wire.frames import FrameDecoder
from tests.sync.logs import TOPIC, key

SESSION_RING = 2048
TOPIC_RING = 1024
TICK = 0.005


class Frames(Protocol):
    """
    Cuts a stream into payloads.
    """

    def __init__(self) -> None:
        self.decoder = FrameDecoder(MAX_FRAME)

    def dataReceived(self, data: bytes) -> None:
        for payload in self.decoder.receive_data(data):
            assert isinstance(payload, bytes)
            self.received(payload)

    def received(self, payload: bytes) -> None:
        raise NotImplementedError


class Streams(Factory):
    """
    Gives each stream the next protocol.
    """

    noisy = False

    def __init__(self, *protocols: Protocol) -> None:
        self.protocols = deque(protocols)

    def buildProtocol(self, addr: Any) -> Any:
        return self.protocols.popleft() if self.protocols else None


@implementer(IHalfCloseableProtocol)
class Handshake(Frames):
    """
    Takes any topic, or names ours.
    """

    def __init__(self, initiator: bool, done: Any) -> None:
        super().__init__()
        self.initiator = initiator
        self.done = done

    def connectionMade(self) -> None:
        if self.initiator:
            self.transport.write(encode_handshake_message(HandshakeTopic(TOPIC)))  # type: ignore[union-attr]  # is there

    def received(self, payload: bytes) -> None:
        if payload[0] == 0 or self.initiator:
            self.transport.write(encode_handshake_message(HandshakeDone()))  # type: ignore[union-attr]  # is there
        if payload[0] == 1:
            self.done()

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


@implementer(IHalfCloseableProtocol)
class ReceiverSession(Frames):
    """
    One session at the Rust node.
    """

    def __init__(self, receiver: RustReceiver, connection: Any) -> None:
        super().__init__()
        self.receiver = receiver
        self.connection = connection
        self.ring: deque[RawOperation] = deque()
        self.lagged = False
        self.closed = False
        self.forgotten = False
        self.live = False
        self.operations = 0
        self.live_operations = 0

    def connectionMade(self) -> None:
        self.receiver.announce(self)
        self.transport.write(encode_have(self.receiver.heights(), LogIds.HASHES))  # type: ignore[union-attr]  # is there

    def received(self, payload: bytes) -> None:
        match decode_message(payload, LogIds.HASHES):
            case Have():
                self.transport.write(DONE_FRAME)  # type: ignore[union-attr]  # is there
            case PreSync():
                pass
            case SyncOperation(operation):
                self.operations += 1
                self.push(operation)
            case LiveOperation(operation):
                assert self.live
                self.live_operations += 1
                self.push(operation)
            case Done():
                assert not self.live, "two Dones"
                self.live = True
            case Close():
                self.end()

    def push(self, operation: RawOperation | None) -> None:
        """
        An event; C{None} is one without an operation.
        """
        self.receiver.note(operation)
        if len(self.ring) >= SESSION_RING:
            self.ring.popleft()
            self.lagged = True
        if operation is not None:
            self.ring.append(operation)

    def end(self) -> None:
        if not self.closed:
            self.closed = True
            self.push(None)
            self.connection.close("sync protocol accept completed")

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = True


class RustReceiver:
    """
    The node.

    @ivar sessions: All there ever were.
    @ivar most: The largest number of operations that had been received and were not stored.
    @ivar dead: The application stores nothing.
    """

    def __init__(
        self, network: MemoryNetwork, clock: Clock, *, cost: float = 0.002, chains: bool = True, merged: float = 8000.0
    ) -> None:
        """
        @param cost: What the application needs for an operation, in seconds.
        @param chains: Whether it stores only what continues a log.
        @param merged: How many operations the merged stream takes in a second.
        """
        signing_key = key("rust")
        self.node_id = signing_key.verifying_key
        self.clock = clock
        self.cost = cost
        self.chains = chains
        self.merged = merged
        self.sessions: list[ReceiverSession] = []
        self.ring: deque[RawOperation] = deque(maxlen=TOPIC_RING)
        self.stalled = False
        self.dead = False
        self.refused: set[VerifyingKey] = set()
        self.most = 0
        self._received: set[Hash] = set()
        self._stored: set[Hash] = set()
        self._heights: dict[VerifyingKey, int] = {}
        self._free_at = 0.0
        self.endpoint = Endpoint(clock, signing_key, DEFAULT_NETWORK_ID, [network.transport(signing_key)])
        self.endpoint.open()
        self.endpoint.accept(PROTOCOL_ID, self._accepted)
        self.ticks = LoopingCall(self._tick)
        self.ticks.clock = clock
        self.ticks.start(TICK)

    def _accepted(self, connection: Any) -> None:
        connection.accept_streams(Streams(Handshake(False, lambda: None), ReceiverSession(self, connection)))

    def dial(self, node_id: VerifyingKey) -> None:
        """
        Begin a session of its own.
        """

        def reached(connection: Any) -> None:
            def named() -> None:
                connection.open_stream(Streams(ReceiverSession(self, connection)))

            connection.open_stream(Streams(Handshake(True, named)))

        self.endpoint.connect(node_id, PROTOCOL_ID).addCallback(reached)

    def heights(self) -> dict[VerifyingKey, dict[LogId, int]]:
        return {author: {TOPIC.log_id(): height} for author, height in self._heights.items()}

    @property
    def stored(self) -> int:
        return len(self._stored)

    def announce(self, session: ReceiverSession) -> None:
        self.sessions.append(session)
        self.stalled = False

    def note(self, operation: RawOperation | None) -> None:
        if operation is not None:
            self._received.add(Hash.of(operation.header))
            self.most = max(self.most, len(self._received) - len(self._stored))

    def burst(self, operations: list[RawOperation], session: ReceiverSession | None = None) -> ReceiverSession:
        """
        Somebody else sends everything at once, without regard.
        """
        if session is None:
            session = ReceiverSession(self, None)
            self.announce(session)
            session.closed = True
        for operation in operations:
            session.push(operation)
        # What was lost on the way is not what we have in flight.
        self._received.clear()
        self.most = 0
        return session

    def _tick(self) -> None:
        self._merge(int(self.merged * TICK))
        while self.ring and self._free_at <= self.clock.seconds():
            self._free_at = max(self._free_at, self.clock.seconds() - TICK) + self.cost
            if not self.dead:
                self._store(self.ring.popleft())
            else:
                self.ring.popleft()

    def _merge(self, count: int) -> None:
        while count > 0:
            busy = [session for session in self.sessions if session.ring or session.lagged]
            if self.stalled or not busy:
                return
            for session in busy:
                if session.lagged:
                    session.lagged = False
                    self.stalled = True
                    return
                count -= 1
                self._pass_on(session, session.ring.popleft())

    def _pass_on(self, session: ReceiverSession, operation: RawOperation) -> None:
        if session.forgotten:
            self._received.discard(Hash.of(operation.header))
            return
        self.ring.append(operation)
        for other in self.sessions:
            if other.closed and other is not session:
                other.forgotten = True
            elif other is not session and other.live:
                for data in encode_operations(LIVE_OPERATION, [operation]):
                    other.transport.write(data)  # type: ignore[union-attr]  # is there

    def _store(self, operation: RawOperation) -> None:
        header = decode_header(operation.header, verify=False)
        author = header.verifying_key
        height = self._heights.get(author, -1)
        if author in self.refused or (self.chains and header.seq_num != height + 1):
            # What it does not take counts as dealt with.
            self._received.discard(header.hash)
            return
        self._stored.add(header.hash)
        self._received.add(header.hash)
        self._heights[author] = max(height, header.seq_num)

    def close_all(self) -> None:
        """
        Ask for the end of all sessions.
        """
        for session in self.sessions:
            if session.live and not session.closed and session.transport is not None:
                session.transport.write(CLOSE_FRAME)

    def stop(self) -> None:
        self.ticks.stop()
        self.endpoint.close()
