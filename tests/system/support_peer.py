"""
A peer that can do anything on any layer: it builds on the client of L{tests.port}, which sends whatever it is told to.
Blocking; several of them run in threads.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from nacl.signing import SigningKey as NaclKey

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import RawOperation, build_header
from p2panda_tw.core.topic import Topic
from p2panda_tw.sync.messages import (
    CATCH_UP_OPERATION,
    DONE_FRAME,
    LIVE_OPERATION,
    LogIds,
    encode_have,
    encode_pre_sync,
)
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import bytes_
from tests.port.client import LOG_SYNC, Ticket
from tests.port.tls import Connection, Lost, Stream

__all__ = ["Author", "Peer", "frame_of", "tcp", "time_until_closed"]

NOTHING: Final = encode_have({}, LogIds.HASHES)
ANNOUNCED: Final = encode_pre_sync(1_000_000, 1 << 30)
_numbers = itertools.count(1)


def frame_of(operation: RawOperation, *, live: bool = False) -> bytes:
    """
    @return: An operation as it travels.
    """
    header, body = operation
    rest = b"\0" if body is None else b"\1" + bytes_(body)
    return encode_frame((LIVE_OPERATION if live else CATCH_UP_OPERATION) + bytes_(header) + rest)


class Author:
    """
    Makes operations of one log, as they should be.
    """

    def __init__(self, topic: bytes) -> None:
        self.key = SigningKey.generate()
        self.topic = Topic(topic)
        self._seq_num = 0
        self._backlink: Hash | None = None

    def next(self, body: bytes | None, *, extensions: bytes | None = None) -> RawOperation:
        """
        @param extensions: Instead of those that belong into the topic.
        """
        if extensions is None:
            extensions = NodeExtensions(self.topic.log_id(), time.time_ns() // 1000, False).encode()
        header = build_header(
            self.key, body=body, seq_num=self._seq_num, backlink=self._backlink, extensions=extensions
        )
        self._seq_num += 1
        self._backlink = header.hash
        return RawOperation(header.raw, body)


class Peer:
    """
    One identity that knows a ticket.

    @ivar node_id: In hex, as the log of the other side names it.
    """

    def __init__(self, ticket: str) -> None:
        self.key = NaclKey.generate()
        self.node_id = bytes(self.key.verify_key).hex()
        self.ticket = Ticket.read(ticket)
        self.topic = self.ticket.topic

    def connect(self, protocol_id: bytes = LOG_SYNC) -> Connection:
        """
        @return: An open connection without any stream.
        """
        ticket = self.ticket
        connection = Connection(self.key, ticket.node_id, ticket.address, protocol_id, ticket.network_id, timeout=45.0)
        return connection

    def handshake(self, connection: Connection) -> None:
        """
        Name the topic, in one flight.
        """
        connection.open_stream().write(encode_frame(b"\0" + bytes_(self.topic)) + encode_frame(b"\1"))

    def session(self, *sent: bytes) -> tuple[Connection, Stream]:
        """
        @param sent: What to send first.

        @return: A connection with a session stream.
        """
        connection = self.connect()
        self.handshake(connection)
        stream = connection.open_stream()
        for data in sent:
            stream.write(data)
        return connection, stream

    def live(self) -> tuple[Connection, Stream]:
        """
        @return: A session in live mode, from which nothing was read. Good for sessions where the other side sends little.
        """
        connection, stream = self.session(NOTHING, DONE_FRAME)
        while receive(stream) != b"\0\3":
            pass
        return connection, stream


def receive(stream: Stream) -> bytes:
    """
    @return: The payload of the next frame.
    """
    return stream.read_exactly(int.from_bytes(stream.read_exactly(4), "big"))


def time_until_closed(connection: Connection, timeout: float = 45.0) -> float:
    """
    @return: How many seconds it took until the other side had ended the connection. Pings are answered meanwhile.
    """
    began = time.monotonic()
    try:
        connection.pump_until(lambda: time.monotonic() - began > timeout)
    except Lost:
        pass
    took = time.monotonic() - began
    connection.close()
    if took > timeout:
        raise AssertionError(f"Nothing was cut off within {timeout} seconds.")
    return took


def tcp(ticket: str, source: str) -> socket.socket:
    """
    @param source: Network address to come from; all of C{127.0.0.0/8} are ours on Linux.

    @return: A connection without TLS.
    """
    return socket.create_connection(Ticket.read(ticket).address, 45.0, (source, 0))


def source_address() -> str:
    """
    @return: A network address that nobody has used here.
    """
    number = next(_numbers)
    return f"127.1.{number >> 8}.{number & 255}"


def closed(connected: socket.socket) -> float:
    """
    @return: How many seconds it took until the other side had closed it.
    """
    began = time.monotonic()
    try:
        while connected.recv(65536):
            pass
    except ConnectionError:
        pass
    connected.close()
    return time.monotonic() - began


def write_until_lost(write: Callable[[bytes], Any], pieces: Iterator[bytes], limit: int) -> int:
    """
    @param limit: Bytes to write at most.

    @return: How many were taken before the other side had enough.
    """
    sent = 0
    try:
        for piece in pieces:
            write(piece)
            sent += len(piece)
            if sent >= limit:
                break
    except (Lost, OSError):
        pass
    return sent
