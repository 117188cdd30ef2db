"""
A peer that can do anything on any layer: it builds on the client of L{tests.port}, which sends whatever it is told to.
Blocking; several of them run in threads.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from functools import partial
from typing import Final

from nacl.signing import SigningKey as NaclKey

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import RawOperation, build_header
from p2panda_tw.core.topic import Topic
from p2panda_tw.sync.messages import LogIds, encode_have, encode_pre_sync
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import bytes_
from tests.port.client import LOG_SYNC, Ticket
from tests.port.tls import WINDOW_UPDATE, Connection, Lost, Stream

__all__ = [
    "ANNOUNCED",
    "NOTHING",
    "Author",
    "BadConnection",
    "BadStream",
    "Peer",
    "closed",
    "frame_of",
    "source_address",
    "tcp",
    "time_until_closed",
]

NOTHING: Final = encode_have({}, LogIds.HASHES)
ANNOUNCED: Final = encode_pre_sync(1_000_000, 1 << 30)
_numbers = itertools.count(100)  # none is the beginning of another one


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


class BadStream(Stream):
    """
    A stream that may also be read without interest.
    """

    _connection: BadConnection

    def drain_until_end(self) -> None:
        """
        Take whatever comes until the other side has ended the stream, in whatever way.
        """
        while not (self.ended or self.reset):
            self._connection.pump_until(lambda: bool(self.received) or self.ended or self.reset)
            count = len(self.received)
            self.received.clear()
            if count and not self.ended:
                self._connection.send(WINDOW_UPDATE, 0, self.stream_id, count)


class BadConnection(Connection):
    """
    A connection on which anything can be sent.
    """

    def open_stream(self) -> BadStream:
        stream_id = 2 * len(self._streams) + 1
        stream = self._streams[stream_id] = BadStream(self, stream_id)
        return stream

    def send_bytes(self, data: bytes) -> None:
        """
        Send what is perhaps no frame.
        """
        while data:
            sent = self._retry(partial(self._tls.send, data[:65536]))
            assert isinstance(sent, int)
            data = data[sent:]

    def live_for(self, seconds: float) -> None:
        """
        Answer pings, and take note of what else comes.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._incoming or self._tls.pending() or select.select([self._socket], [], [], left)[0]:
                frames = iter((False, True))
                self.pump_until(lambda frames=frames: next(frames))  # type: ignore[misc]

    def play_dead(self, seconds: float) -> None:
        """
        Answer nothing until the other side has closed the connection.
        """
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionError:
            pass
        self._socket.close()


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

    def connect(self, protocol_id: bytes = LOG_SYNC) -> BadConnection:
        """
        @return: An open connection without any stream.
        """
        ticket = self.ticket
        return BadConnection(self.key, ticket.node_id, ticket.address, protocol_id, ticket.network_id, timeout=45.0)

    def handshake(self, connection: BadConnection) -> None:
        """
        Name the topic, in one flight.
        """
        connection.open_stream().write(encode_frame(b"\0" + bytes_(self.topic)) + encode_frame(b"\1"))

    def session(self, *sent: bytes) -> tuple[BadConnection, BadStream]:
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
    except TimeoutError:
        raise AssertionError("The connection was not closed.") from None
    except OSError:
        pass  # it was closed before that
    connected.close()
    return time.monotonic() - began
