"""
A client that speaks log sync byte by byte over the iroh package, so that it can do everything wrong. Nothing of our
session code is in it; whatever is called C{async} here runs on the loop's side of the bridge, by L{RawNode.run}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import iroh
from twisted.internet.defer import Deferred

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.operation import Header, RawOperation, build_header
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import IrohAddress
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, alpn
from p2panda_tw.transport.iroh.bridge import Bridge
from p2panda_tw.wire.postcard import bytes_, varint

__all__ = ["DONE", "LIVE", "OPERATION", "Log", "RawConnection", "RawNode", "RawStream", "frame", "have", "pre_sync"]

T = TypeVar("T")

ALPN: Final = alpn(b"p2panda/log_sync/v1", DEFAULT_NETWORK_ID)
OPERATION: Final = b"\x00\x02"
LIVE: Final = b"\x01"
DONE: Final = b"\x00\x03"
CLOSE: Final = b"\x02"
HANDSHAKE_DONE: Final = b"\x01"
PATIENCE: Final = 20.0


def frame(payload: bytes) -> bytes:
    """
    @return: The payload with its length before it.
    """
    return len(payload).to_bytes(4, "big") + payload


def topic_message(topic: Topic) -> bytes:
    """
    @return: The first message of the topic handshake.
    """
    return frame(b"\x00" + bytes_(topic.raw))


def have(heights: Sequence[tuple[NodeId, bytes, int]] = ()) -> bytes:
    """
    @param heights: Author, log id as it is on the wire, highest C{seq_num}.
    """
    entries = [bytes_(author.raw) + varint(1) + log_id + varint(height) for author, log_id, height in sorted(heights)]
    return frame(b"\x00\x00" + varint(len(entries)) + b"".join(entries))


def pre_sync(operations: int, size: int) -> bytes:
    """
    @return: The announcement.
    """
    return frame(b"\x00\x01" + varint(operations) + varint(size))


def operation(kind: bytes, raw: RawOperation) -> bytes:
    """
    @return: L{OPERATION} or L{LIVE} with an operation.
    """
    body = b"\x00" if raw.body is None else b"\x01" + bytes_(raw.body)
    return frame(kind + bytes_(raw.header) + body)


class Log:
    """
    Somebody's log of a topic.

    @ivar key: Whose.
    @ivar wire_id: The log id as it is in C{Have}.
    @ivar headers: What was made so far.
    """

    def __init__(self, topic: Topic, form: Form, key: SigningKey | None = None) -> None:
        self.key = SigningKey.generate() if key is None else key
        self.topic = topic
        self.form = form
        self.wire_id = varint(1) if form is Form.CHAT else bytes_(Hash.of(topic.raw).raw)
        self.headers: list[Header] = []

    def extensions(self, topic: Topic | None = None, prune: bool = False) -> bytes | None:
        """
        @return: What belongs to a header in this form.
        """
        if self.form is Form.CHAT:
            return None
        return NodeExtensions((topic or self.topic).log_id(), 1_783_382_400_000_000 + len(self.headers), prune).encode()

    def body(self, text: str) -> bytes:
        """
        @return: A message in this form.
        """
        raw = text.encode("ascii")
        if self.form is Form.CHAT:
            return raw
        return (bytes((0x60 + len(raw),)) if len(raw) < 24 else bytes((0x78, len(raw)))) + raw

    def next(self, text: str = "raw") -> RawOperation:
        """
        Make the next operation.
        """
        body = self.body(text)
        header = build_header(
            self.key,
            body=body,
            seq_num=len(self.headers),
            backlink=self.headers[-1].hash if self.headers else None,
            extensions=self.extensions(),
        )
        self.headers.append(header)
        return RawOperation(header.raw, body)

    @property
    def heights(self) -> list[tuple[NodeId, bytes, int]]:
        """
        What C{Have} says of it.
        """
        return [(self.key.verifying_key, self.wire_id, len(self.headers) - 1)] if self.headers else []


class RawStream:
    """
    Both directions of a stream. Everything waits for C{PATIENCE} seconds at most.
    """

    def __init__(self, raw: iroh.BiStream) -> None:
        self._raw = raw  # letting go of it would end the stream
        self.sending = raw.send()
        self.receiving = raw.recv()
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        """
        Send bytes.
        """
        await self.sending.write_all(data)

    async def read_frame(self) -> bytes:
        """
        @return: The next payload; empty at the end of the stream.
        """
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
            data = await self.receiving.read(1 << 20)
            if not data:
                return b""
            self._buffer += data
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        payload, self._buffer = self._buffer[4:end], self._buffer[end:]
        return payload

    async def read_until(self, start: bytes) -> list[bytes]:
        """
        @return: Payloads up to the first that begins so, that one included.
        """
        found = []
        while True:
            payload = await self.read_frame()
            if not payload:
                raise EOFError
            found.append(payload)
            if payload.startswith(start):
                return found


class RawConnection:
    """
    A connection and its streams, kept until it is closed.
    """

    def __init__(self, raw: iroh.Connection) -> None:
        self.raw = raw
        self._streams: list[RawStream] = []

    async def open(self) -> RawStream:
        """
        Open a stream. The other side learns of it with the first byte.
        """
        return self._keep(await self.raw.open_bi())

    async def accepted(self) -> RawStream:
        """
        Wait for a stream.
        """
        return self._keep(await self.raw.accept_bi())

    def _keep(self, raw: iroh.BiStream) -> RawStream:
        stream = RawStream(raw)
        self._streams.append(stream)
        return stream

    async def closed(self, patience: float = PATIENCE) -> str | None:
        """
        @return: How the other side ended it; C{None}: it did not.
        """
        try:
            async with asyncio.timeout(patience):
                return str(await self.raw.closed())
        except TimeoutError:
            return None

    def close(self, code: int = 0, reason: bytes = b"") -> None:
        """
        End it at once.
        """
        self.raw.close(code, reason)

    async def begin(self, topic: Topic, initiate: bool = True) -> RawStream:
        """
        The topic handshake.

        @return: The session stream.
        """
        if initiate:
            first = await self.open()
            await first.write(topic_message(topic))
            assert await first.read_frame() == HANDSHAKE_DONE
            await first.write(frame(HANDSHAKE_DONE))
            return await self.open()
        first = await self.accepted()
        await first.read_frame()
        await first.write(frame(HANDSHAKE_DONE))
        await first.read_frame()
        return await self.accepted()

    async def catch_up(self, log: Log, operations: Sequence[RawOperation]) -> RawStream:
        """
        A whole catch-up at once, without a look at what the other side is able to take.

        @return: The session stream, with the other side's C{Done} read.
        """
        stream = await self.begin(log.topic)
        size = sum(len(raw.header) + len(raw.body or b"") for raw in operations)
        messages = [operation(OPERATION, raw) for raw in operations]
        announcement = [pre_sync(len(messages), size)] if messages else []
        sending = asyncio.ensure_future(
            stream.write(b"".join([have(log.heights), *announcement, *messages, frame(DONE)]))
        )
        await stream.read_until(DONE)
        await sending
        return stream


class RawNode:
    """
    An identity with sockets of its own, on the loopback.

    @ivar key: The identity.
    """

    def __init__(self, bridge: Bridge, key: SigningKey) -> None:
        self.key = key
        self._bridge = bridge
        self._endpoint: iroh.Endpoint | None = None
        self._accepting: asyncio.Future[RawConnection] | None = None

    @property
    def node_id(self) -> NodeId:
        """
        Who it is.
        """
        return self.key.verifying_key

    def run(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> Deferred[T]:
        """
        Do something on the loop's side.
        """
        return self._bridge.run(_within(work, patience))

    async def bind(self) -> IrohAddress:
        """
        Open the sockets.

        @return: Where it listens.
        """
        builder = iroh.EndpointBuilder()
        builder.apply_minimal()
        builder.secret_key(self.key.seed)
        builder.relay_mode(iroh.RelayMode.custom(iroh.RelayMap.empty()))
        builder.bind_addr("127.0.0.1:0")
        builder.bind_addr("[::1]:0")
        self._endpoint = await builder.bind()
        self._endpoint.set_alpns([ALPN])
        ports = [address for address in self._endpoint.bound_sockets() if address.startswith("127.0.0.1:")]
        return IrohAddress("127.0.0.1", int(ports[0].rpartition(":")[2]))

    async def dial(self, node_id: NodeId, port: int) -> RawConnection:
        """
        Connect to a node of this machine for log sync.
        """
        assert self._endpoint is not None
        there = iroh.EndpointAddr(iroh.EndpointId.from_bytes(node_id.raw), None, [f"127.0.0.1:{port}"])
        return RawConnection(await self._endpoint.connect(there, ALPN))

    async def accept(self) -> RawConnection:
        """
        Wait for the next connection for log sync; others are refused.
        """
        assert self._endpoint is not None
        while True:
            incoming = await self._endpoint.accept_next()
            assert incoming is not None
            try:
                accepting = await incoming.accept()
                await accepting.alpn()
                return RawConnection(await accepting.connect())
            except iroh.IrohError:
                continue  # another protocol was asked for

    async def close(self) -> None:
        """
        Close the sockets, and with them every connection.
        """
        if self._endpoint is not None:
            await self._endpoint.close()


async def _within(work: Coroutine[Any, Any, T], patience: float) -> T:
    async with asyncio.timeout(patience):
        return await work
