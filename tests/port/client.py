"""
Operations, tickets and log sync as a stranger would write them: from C{docs/operations.md}, C{docs/tickets.md} and
C{docs/sync.md}. Only topics of the Node form whose messages are texts. Nothing here imports p2panda_tw.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from blake3 import blake3
from nacl.signing import SigningKey, VerifyKey

from tests.port.tls import DEFAULT_NETWORK, Connection, Stream

LOG_SYNC = b"p2panda/log_sync/v1"
HAVE, PRE_SYNC, OPERATION, DONE, LIVE, CLOSE = b"\0\0", b"\0\1", b"\0\2", b"\0\3", b"\1", b"\2"


class Bad(Exception):
    """
    The other side sent what it should not.
    """


class Reader:
    """
    Takes values from the front of some bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        if len(self.rest) < size:
            raise Bad("too short")
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def string(self) -> bytes:
        return self.take(self.varint())

    def option(self) -> bool:
        return self.take(1) == b"\1"

    def cbor(self) -> tuple[int, int]:
        """
        @return: Major type and number of the next head, which must be the shortest one.
        """
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info > 27:
            raise Bad("not deterministic")
        number = int.from_bytes(self.take(1 << info - 24), "big")
        if number < (24, 256, 1 << 16, 1 << 32)[info - 24]:
            raise Bad("not the shortest form")
        return major, number

    def cbor_number(self) -> int:
        return self.expect(0, self.cbor())

    def cbor_bytes(self, size: int) -> bytes:
        if self.expect(2, self.cbor()) != size:
            raise Bad("another length")
        return self.take(size)

    @staticmethod
    def expect(major: int, head: tuple[int, int]) -> int:
        if head[0] != major:
            raise Bad("another type")
        return head[1]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def cbor_head(major: int, number: int) -> bytes:
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor_bytes(data: bytes) -> bytes:
    return cbor_head(2, len(data)) + data


@dataclass(frozen=True)
class Ticket:
    """
    What C{docs/tickets.md} says, as far as this client needs it.
    """

    node_id: bytes
    network_id: bytes
    topic: bytes
    address: tuple[str, int]

    @classmethod
    def read(cls, text: str) -> Ticket:
        encoded = text.removeprefix("p2panda1").upper()
        raw = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
        if blake3(raw[:-4]).digest()[:4] != raw[-4:]:
            raise Bad("checksum")
        reader = Reader(raw[:-4])
        node_id = reader.take(32)
        network_id = reader.take(32) if reader.option() else DEFAULT_NETWORK
        topic = reader.take(32) if reader.option() else b""
        if reader.take(1) != b"\0":
            raise Bad("only the Node form")
        for _ in range(reader.varint()):
            kind, address = reader.varint(), reader.string()
            if kind == 1:
                host, _, port = address.decode().rpartition(":")
                return cls(node_id, network_id, topic, (host.strip("[]"), int(port)))
        raise Bad("no TLS address")


@dataclass(frozen=True)
class Operation:
    """
    A verified operation with its body.
    """

    header: bytes
    body: bytes | None
    author: bytes
    seq_num: int
    backlink: bytes | None
    pruning: bool

    @property
    def id(self) -> bytes:
        return blake3(self.header).digest()

    @property
    def text(self) -> str:
        reader = Reader(self.body or b"")
        return reader.take(reader.expect(3, reader.cbor())).decode()

    @classmethod
    def read(cls, reader: Reader, topic: bytes) -> Operation:
        header = reader.string()
        body = reader.string() if reader.option() else None
        fields = Reader(header)
        count = fields.expect(4, fields.cbor())
        if fields.cbor_number() != 1:
            raise Bad("version")
        author, signature = fields.cbor_bytes(32), fields.cbor_bytes(64)
        size = fields.cbor_number()
        payload_hash = fields.cbor_bytes(32) if size else None
        seq_num = fields.cbor_number()
        backlink = fields.cbor_bytes(32) if seq_num else None
        if count != 6 + (size > 0) + (seq_num > 0):
            raise Bad("number of fields")
        if fields.expect(4, fields.cbor()) != 5 or fields.take(2) != b"\1\0":
            raise Bad("extensions")
        log_id, _, prune = fields.cbor_bytes(32), fields.cbor_number(), fields.take(1)
        if log_id != blake3(topic).digest() or prune not in (b"\xf4", b"\xf5") or fields.rest:
            raise Bad("extensions")
        VerifyKey(author).verify(bytes([header[0] - 1]) + header[1:36] + header[102:], signature)
        if body is not None and (len(body) != size or blake3(body).digest() != payload_hash):
            raise Bad("body")
        return cls(header, body, author, seq_num, backlink, prune == b"\xf5")

    @classmethod
    def write(cls, key: SigningKey, topic: bytes, text: str, time_us: int, tip: Operation | None) -> Operation:
        body = cbor_head(3, len(text.encode())) + text.encode()
        author = bytes(key.verify_key)
        seq_num, backlink = (tip.seq_num + 1, tip.id) if tip else (0, None)
        start = b"\1" + cbor_bytes(author)
        rest = cbor_head(0, len(body)) + cbor_bytes(blake3(body).digest()) + cbor_head(0, seq_num)
        rest += cbor_bytes(backlink) if backlink else b""
        rest += b"\x85\1\0" + cbor_bytes(blake3(topic).digest()) + cbor_head(0, time_us) + b"\xf4"
        fields = 8 if backlink else 7
        signature = key.sign(bytes([0x80 + fields - 1]) + start + rest).signature
        header = bytes([0x80 + fields]) + start + cbor_bytes(signature) + rest
        return cls(header, body, author, seq_num, backlink, False)

    def raw(self) -> bytes:
        return prefixed(self.header) + (b"\0" if self.body is None else b"\1" + prefixed(self.body))


@dataclass
class Logs:
    """
    The operations of one topic, checked against the log rule.
    """

    logs: dict[bytes, list[Operation]] = field(default_factory=dict)

    def tip(self, author: bytes) -> Operation | None:
        return self.logs.get(author, [None])[-1]

    def add(self, operation: Operation) -> bool:
        """
        @return: Whether it is new.
        """
        tip = self.tip(operation.author)
        if tip and operation.seq_num <= tip.seq_num:
            return False
        follows = operation.backlink == (tip.id if tip else None) and operation.seq_num == (
            tip.seq_num + 1 if tip else 0
        )
        if operation.pruning:
            self.logs[operation.author] = [operation]
        elif follows:
            self.logs.setdefault(operation.author, []).append(operation)
        else:
            raise Bad("log rule")
        return True


class Session:
    """
    A sync session as initiator: C{catch_up()} first, then C{publish} and C{next_live} as one likes, then C{close}.
    """

    def __init__(self, key: SigningKey, ticket: Ticket, logs: Logs) -> None:
        self._topic, self._logs = ticket.topic, logs
        self._log_id = blake3(ticket.topic).digest()
        self._connection = Connection(key, ticket.node_id, ticket.address, LOG_SYNC, ticket.network_id)
        handshake = self._connection.open_stream()
        self._send(b"\0" + prefixed(self._topic), handshake)
        if self._receive(handshake) != b"\1":
            raise Bad("handshake")
        self._send(b"\1", handshake)
        handshake.finish()
        self._stream = self._connection.open_stream()

    def _send(self, payload: bytes, stream: Stream | None = None) -> None:
        (stream or self._stream).write(len(payload).to_bytes(4, "big") + payload)

    def _receive(self, stream: Stream | None = None) -> bytes:
        stream = stream or self._stream
        return stream.read_exactly(int.from_bytes(stream.read_exactly(4), "big"))

    def catch_up(self) -> list[Operation]:
        """
        @return: What was new here. Both sides have the same afterwards.
        """
        have = {author: log[-1].seq_num for author, log in self._logs.logs.items()}
        payload = HAVE + varint(len(have))
        for author, height in sorted(have.items()):
            payload += prefixed(author) + varint(1) + prefixed(self._log_id) + varint(height)
        self._send(payload)
        theirs = self._read_have(self._receive())
        lacking = [
            operation
            for author, log in sorted(self._logs.logs.items())
            for operation in log
            if operation.seq_num > theirs.get(author, -1)
        ]
        if lacking:
            size = sum(len(operation.header) + len(operation.body or b"") for operation in lacking)
            self._send(PRE_SYNC + varint(len(lacking)) + varint(size))
            for operation in lacking:
                self._send(OPERATION + operation.raw())
        self._send(DONE)
        new = []
        while (message := self._receive()) != DONE:
            if message.startswith(OPERATION):
                operation = Operation.read(Reader(message[2:]), self._topic)
                if self._logs.add(operation):
                    new.append(operation)
            elif not message.startswith(PRE_SYNC):
                raise Bad("not in a catch-up")
        return new

    def _read_have(self, message: bytes) -> dict[bytes, int]:
        if not message.startswith(HAVE):
            raise Bad("Have comes first")
        reader, heights = Reader(message[2:]), {}
        for _ in range(reader.varint()):
            author = reader.string()
            for _ in range(reader.varint()):
                log_id, height = reader.string(), reader.varint()
                if log_id == self._log_id:
                    heights[author] = height
        return heights

    def publish(self, operation: Operation) -> None:
        self._logs.add(operation)
        self._send(LIVE + operation.raw())

    def next_live(self) -> Operation:
        """
        Wait for the next new operation.
        """
        while True:
            message = self._receive()
            if not message.startswith(LIVE):
                raise Bad("not in live mode")
            operation = Operation.read(Reader(message[1:]), self._topic)
            if self._logs.add(operation):
                return operation

    def close(self) -> None:
        self._send(CLOSE)
        self._stream.wait_for_end()
        self._connection.close()
