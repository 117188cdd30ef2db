"""
What bad peers do, layer by layer. Each attack is a function that does it once, with an identity or a network address of
its own, and says how long it took until it was cut off.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from threading import Event
from typing import Final

from p2panda_tw.endpoint.record import ADDRESSES_PROTOCOL_ID
from p2panda_tw.sync.messages import CLOSE_FRAME, DONE_FRAME
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import bytes_, varint
from tests.port.tls import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, Lost
from tests.system.support_peer import (
    ANNOUNCED,
    NOTHING,
    Author,
    BadConnection,
    Peer,
    closed,
    frame_of,
    source_address,
    tcp,
    time_until_closed,
)

__all__ = ["ATTACKS", "Attack", "Outcome"]

HEAD: Final = struct.Struct(">BBHII")
"""
The frames of docs/tls-transport.md.
"""


@dataclass
class Outcome:
    """
    What an attack came to.

    @ivar peer: How the log names whoever did it.
    @ivar seconds: Until it was cut off.
    """

    peer: str
    seconds: float


@dataclass
class Attack:
    """
    One of them.

    @ivar run: Does it, given a ticket.
    @ivar says: What the one warning contains; empty: there is none. Two, with C{|} between them, for two causes.
    @ivar within: Shortest and longest time until the end, in seconds.
    """

    run: Callable[[str], Outcome]
    says: str
    within: tuple[float, float]


ATTACKS: dict[str, Attack] = {}
AT_ONCE: Final = (0.0, 8.0)
"""
On a machine that has other work, too.
"""


def attack(says: str, within: tuple[float, float] = AT_ONCE) -> Callable[[Callable[[str], Outcome]], object]:
    """
    Add a function to L{ATTACKS}.
    """

    def add(run: Callable[[str], Outcome]) -> Callable[[str], Outcome]:
        ATTACKS[run.__name__] = Attack(run, says, within)
        return run

    return add


# Before TLS and inside its handshake.


def _raw(ticket: str, attack: Callable[[socket.socket], None], times: int = 1) -> Outcome:
    """
    @param times: How often the same address does it.
    """
    source = source_address()
    for _ in range(times):
        connected = tcp(ticket, source)
        began = time.monotonic()
        try:
            attack(connected)
        except OSError:
            pass  # it was cut off meanwhile
        closed(connected)
        seconds = time.monotonic() - began
    return Outcome(source, seconds)


@attack("no TLS handshake")
def garbage_instead_of_tls(ticket: str) -> Outcome:
    return _raw(ticket, lambda connected: connected.sendall(os.urandom(5000)), times=3)


@attack("no TLS handshake|not finished within 10 seconds", (9.0, 16.0))
def garbage_and_then_nothing(ticket: str) -> Outcome:
    """
    Two causes, two warnings.
    """
    kinds = iter((os.urandom(5000), os.urandom(5000), b"", b""))
    return _raw(ticket, lambda connected: connected.sendall(next(kinds)), times=3)


@attack("no TLS handshake")
def http_instead_of_tls(ticket: str) -> Outcome:
    return _raw(ticket, lambda connected: connected.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attack("not finished within 10 seconds", (9.0, 16.0))
def nothing_instead_of_tls(ticket: str) -> Outcome:
    return _raw(ticket, lambda connected: None)


@attack("not finished within 10 seconds", (9.0, 16.0))
def single_bytes_of_tls(ticket: str) -> Outcome:
    def trickle(connected: socket.socket) -> None:
        pause = Event()
        for byte in _client_hello() + bytes(100):
            connected.sendall(bytes([byte]))
            pause.wait(0.2)

    return _raw(ticket, trickle)


@attack("no TLS handshake")
def tls_record_that_lies(ticket: str) -> Outcome:
    return _raw(ticket, lambda connected: connected.sendall(b"\x16\x03\x01\xff\xff" + bytes(70000)))


@attack("TLS handshake")
def flood_inside_the_handshake(ticket: str) -> Outcome:
    def flood(connected: socket.socket) -> None:
        hello = _client_hello()
        # Its length grows to 16 MiB, and so does what follows.
        lie = hello[:6] + b"\xff\xff\xff" + hello[9:]
        connected.sendall(lie)
        for _ in range(1000):
            connected.sendall(b"\x16\x03\x03\x40\x00" + bytes(16384))

    return _raw(ticket, flood)


@attack("no TLS handshake")
def old_version_of_tls(ticket: str) -> Outcome:
    def old(connected: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with context.wrap_socket(connected):
            pass

    return _raw(ticket, old)


@attack("no TLS handshake")
def no_certificate(ticket: str) -> Outcome:
    def anonymous(connected: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(connected) as tls:
            tls.recv(1)

    # Its ALPN is missing too; that is found first or later, there is one warning.
    return _raw(ticket, anonymous, times=2)


@attack("not finished the handshake", (0.0, 16.0))
def many_unfinished_handshakes(ticket: str) -> Outcome:
    source = source_address()
    began = time.monotonic()
    waiting = [tcp(ticket, source) for _ in range(32)]
    refused = [tcp(ticket, source) for _ in range(8)]
    for connected in refused:
        closed(connected)
    seconds = time.monotonic() - began
    for connected in waiting:
        connected.close()
    return Outcome(source, seconds)


def _client_hello() -> bytes:
    """
    @return: How a client begins.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


# Frames of the multiplexer.


def _frames(ticket: str, send: Callable[[BadConnection], None], *, times: int = 2) -> Outcome:
    peer = Peer(ticket)
    for _ in range(times):
        connection = peer.connect()
        began = time.monotonic()
        try:
            send(connection)
        except (Lost, OSError):
            pass  # it was cut off meanwhile
        time_until_closed(connection)
        seconds = time.monotonic() - began
    return Outcome(peer.node_id, seconds)


def _repeat(connection: BadConnection, frame: bytes, count: int) -> None:
    """
    Send one frame many times, and read nothing.
    """
    for _ in range(0, count, 1000):
        connection.send_bytes(frame * 1000)


@attack("is no frame")
def frame_of_another_version(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send_bytes(b"\x01" + bytes(11)))


@attack("is no frame")
def garbage_instead_of_frames(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send_bytes(b"\xff" * 100_000))


@attack("A frame announced 65537 bytes")
def frame_too_long(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send(DATA, SYN, 1, 65537, b"\0"))


@attack("A frame announced 4294967295 bytes")
def frame_of_4_gib(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send(DATA, SYN, 1, 0xFFFFFFFF, b"\0"))


@attack("than its window allows")
def window_exceeded(ticket: str) -> Outcome:
    def send(connection: BadConnection) -> None:
        # The session stream is not read before the topic is known.
        connection.send(DATA, SYN, 1, 1, b"\0")
        connection.send(DATA, SYN, 3, 1, b"\0")
        for _ in range(10):
            connection.send(DATA, 0, 3, 65536, bytes(65536))

    return _frames(ticket, send)


@attack("a number that is not its turn")
def wrong_stream_numbers(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send(DATA, SYN, 2, 1, b"\0"))


@attack("never opened")
def data_on_no_stream(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send(DATA, 0, 7, 1, b"\0"))


@attack("after its end")
def data_after_the_end(ticket: str) -> Outcome:
    def send(connection: BadConnection) -> None:
        connection.send(DATA, SYN, 1, 1, b"\0")
        connection.send(DATA, SYN | FIN, 3, 1, b"\0")
        connection.send(DATA, 0, 3, 1, b"\0")

    return _frames(ticket, send)


@attack("a byte that means nothing")
def unknown_kind_of_stream(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: connection.send(DATA, SYN, 1, 1, b"\7"))


@attack("frames arrived that carry nothing")
def flood_of_pings(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: _repeat(connection, HEAD.pack(0, PING, SYN, 0, 1), 100_000))


@attack("frames arrived that carry nothing")
def flood_of_answers_to_pings(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: _repeat(connection, HEAD.pack(0, PING, ACK, 0, 1), 100_000))


@attack("frames arrived that carry nothing")
def flood_of_empty_frames(ticket: str) -> Outcome:
    def send(connection: BadConnection) -> None:
        connection.send(DATA, SYN, 1, 1, b"\0")
        _repeat(connection, HEAD.pack(0, DATA, 0, 1, 0), 100_000)

    return _frames(ticket, send)


@attack("frames arrived that carry nothing")
def flood_of_window_updates(ticket: str) -> Outcome:
    def send(connection: BadConnection) -> None:
        connection.send(DATA, SYN, 1, 1, b"\0")
        _repeat(connection, HEAD.pack(0, WINDOW_UPDATE, 0, 1, 0xFFFFFFFF), 100_000)

    return _frames(ticket, send)


@attack("frames arrived that carry nothing")
def flood_of_streams(ticket: str) -> Outcome:
    def send(connection: BadConnection) -> None:
        for first in range(1, 40_000, 2000):
            numbers = range(first, first + 2000, 2)
            frames = [HEAD.pack(0, WINDOW_UPDATE, SYN, n, 0) + HEAD.pack(0, WINDOW_UPDATE, RST, n, 0) for n in numbers]
            connection.send_bytes(b"".join(frames))

    return _frames(ticket, send)


@attack("wants to open too many streams", (0.0, 20.0))
def more_streams_than_allowed(ticket: str) -> Outcome:
    """
    Those beyond the limit are reset; the others go on.
    """
    peer = Peer(ticket)
    connection = peer.connect()
    began = time.monotonic()
    for number in range(1, 1001, 2):
        connection.send(DATA, SYN, number, 0)
    connection.send(PING, SYN, 0, 77)
    connection.send(GO_AWAY, 0, 0, 0)
    time_until_closed(connection)
    return Outcome(peer.node_id, time.monotonic() - began)


# Saying nothing, or little, behind a good handshake.


@attack("Nothing was heard from the other node for 10 seconds", (9.0, 25.0))
def dead_behind_the_handshake(ticket: str) -> Outcome:
    """
    It does not even answer pings.
    """
    peer = Peer(ticket)
    connection, _ = peer.session(NOTHING, DONE_FRAME)
    began = time.monotonic()
    connection.play_dead(45.0)
    return Outcome(peer.node_id, time.monotonic() - began)


@attack("topic handshake takes too long", (9.0, 16.0))
def no_streams_at_all(ticket: str) -> Outcome:
    return _frames(ticket, lambda connection: None, times=1)


@attack("topic handshake takes too long", (9.0, 16.0))
def no_session_stream(ticket: str) -> Outcome:
    peer = Peer(ticket)
    connection = peer.connect()
    peer.handshake(connection)
    return Outcome(peer.node_id, time_until_closed(connection))


@attack("sends too slowly", (28.0, 44.0))
def silent_session(ticket: str) -> Outcome:
    peer = Peer(ticket)
    connection, _ = peer.session()
    return Outcome(peer.node_id, time_until_closed(connection))


@attack("sends too slowly", (28.0, 44.0))
def trickling_session(ticket: str) -> Outcome:
    """
    A byte every half second.
    """
    peer = Peer(ticket)
    connection, stream = peer.session(NOTHING, ANNOUNCED, (5000).to_bytes(4, "big"))
    began = time.monotonic()
    try:
        while time.monotonic() - began < 60:
            stream.write(b"\0")
            connection.live_for(0.5)
    except (Lost, OSError):
        pass
    return Outcome(peer.node_id, time.monotonic() - began)


# The exchange of addresses.


def _addresses(ticket: str, *sent: bytes, fin: bool = False) -> Outcome:
    """
    @param sent: Each on a connection of its own.
    """
    peer = Peer(ticket)
    for data in sent:
        connection = peer.connect(ADDRESSES_PROTOCOL_ID)
        began = time.monotonic()
        try:
            stream = connection.open_stream()
            stream.write(data)
            if fin:
                stream.finish()
        except (Lost, OSError):
            pass  # it was cut off meanwhile
        time_until_closed(connection)
        seconds = time.monotonic() - began
    return Outcome(peer.node_id[:10], seconds)


@attack("bytes where at most")
def addresses_that_lie_about_their_length(ticket: str) -> Outcome:
    return _addresses(ticket, *[length.to_bytes(4, "big") + bytes(100) for length in (4097, 10_000, 2**32 - 1)])


@attack("of kind 3 is not valid")
def addresses_with_text_for_the_log(ticket: str) -> Outcome:
    """
    What a peer writes does not come into the log.
    """
    texts = [b"https://relay.example:" + word for word in (b"first", b"second", b"third")]
    start = b"\1" + bytes.fromhex(Peer(ticket).node_id) + varint(1) + varint(1) + varint(3)
    return _addresses(ticket, *[encode_frame(start + bytes_(text) + bytes(64)) for text in texts], fin=True)


@attack("The connection ended before", (9.0, 16.0))
def addresses_that_never_come(ticket: str) -> Outcome:
    return _addresses(ticket, b"\0\0\1\0")


# The topic handshake.


def _handshake(ticket: str, *sent: bytes, fin: bool = False) -> Outcome:
    def send(connection: BadConnection) -> None:
        stream = connection.open_stream()
        for data in sent:
            stream.write(data)
        if fin:
            stream.finish()

    return _frames(ticket, send)


@attack("unknown kind 99")
def unknown_handshake_message(ticket: str) -> Outcome:
    return _handshake(ticket, encode_frame(b"\x63"))


@attack("A frame is empty")
def empty_handshake_frame(ticket: str) -> Outcome:
    return _handshake(ticket, bytes(4))


@attack("where at most 64 are allowed")
def handshake_frame_of_4_gib(ticket: str) -> Outcome:
    return _handshake(ticket, b"\xff\xff\xff\xff" + bytes(100_000))


@attack("unexpected Done")
def handshake_in_wrong_order(ticket: str) -> Outcome:
    return _handshake(ticket, encode_frame(b"\1"))


@attack("not 32 bytes")
def handshake_with_short_topic(ticket: str) -> Outcome:
    return _handshake(ticket, encode_frame(b"\0" + bytes_(b"short")))


@attack("ends too early")
def handshake_that_ends(ticket: str) -> Outcome:
    return _handshake(ticket, fin=True)


@attack("")
def handshake_with_unknown_topic(ticket: str) -> Outcome:
    """
    As upstream: the connection is closed, and nobody did anything wrong.
    """
    return _handshake(ticket, encode_frame(b"\0" + bytes_(os.urandom(32))) + encode_frame(b"\1"))


# Sessions.


def _session(ticket: str, *sent: bytes, fin: bool = False, times: int = 2) -> Outcome:
    peer = Peer(ticket)
    for _ in range(times):
        connection, stream = peer.session()
        began = time.monotonic()
        try:
            for data in sent:
                stream.write(data)
            if fin:
                stream.finish()
        except (Lost, OSError):
            pass  # it was cut off meanwhile
        time_until_closed(connection)
        seconds = time.monotonic() - began
    return Outcome(peer.node_id, seconds)


BEFORE: Final = {
    "have": b"",
    "announcement": NOTHING,
    "operations": NOTHING + ANNOUNCED,
    "live": NOTHING + DONE_FRAME,
}
"""
What brings a session into each of its states.
"""

ZERO: Final = bytes(4)
HUGE: Final = (128 * 1024 * 1024 + 1).to_bytes(4, "big")
BIGGEST: Final = (128 * 1024 * 1024).to_bytes(4, "big")


def _in_each_state() -> None:
    wrong = {
        "have": encode_frame(b"\0\3"),
        "announcement": CLOSE_FRAME,
        "operations": NOTHING,
        "live": NOTHING,
    }
    for state, before in BEFORE.items():
        for name, sent, says in (
            ("unknown_message", encode_frame(b"\x63"), "unknown kind 99"),
            ("empty_frame", ZERO, "A frame is empty"),
            ("frame_above_128_mib", HUGE + bytes(1000), "bytes where at most" if before else "first message of more"),
            ("frame_of_128_mib", None, "first message of more" if not before else "134217728 bytes"),
            ("wrong_message", wrong[state], "unexpected"),
        ):
            data = (BIGGEST + b"\5", bytes((1 << 20) - 1), *repeat(bytes(1 << 20), 127)) if sent is None else (sent,)

            def run(ticket: str, before: bytes = before, data: tuple[bytes, ...] = data) -> Outcome:
                return _session(ticket, before, *data, times=1 if len(data) > 1 else 2)

            run.__name__ = f"{name}_in_state_{state}"
            attack(says, (0.0, 30.0) if sent is None else AT_ONCE)(run)


_in_each_state()


@attack("first message of more than 4194304 bytes")
def have_above_4_mib(ticket: str) -> Outcome:
    return _session(ticket, (4 * 1024 * 1024 + 1).to_bytes(4, "big"), *repeat(bytes(1 << 18), 17))


@attack("more than 131072 authors and logs")
def have_with_a_million_entries(ticket: str) -> Outcome:
    """
    One author with a million logs.
    """
    return _session(ticket, encode_frame(b"\0\0\1" + bytes_(bytes(32)) + varint(1_000_000) + bytes(1000)))


@attack("ends inside a field")
def have_that_lies_about_its_count(ticket: str) -> Outcome:
    return _session(ticket, encode_frame(b"\0\0" + varint(1 << 60)))


@attack("ends inside a field")
def have_cut_off(ticket: str) -> Outcome:
    author = bytes_(bytes(32)) + varint(1) + bytes_(bytes(32)) + varint(7)
    return _session(ticket, encode_frame(b"\0\0" + varint(60_000) + author * 59_999))


@attack("ended the stream")
def end_before_done(ticket: str) -> Outcome:
    return _session(ticket, NOTHING, fin=True)


@attack("ends inside a frame")
def end_inside_a_frame(ticket: str) -> Outcome:
    return _session(ticket, NOTHING, b"\0\0\1\0abc", fin=True)


@attack("Not strict CBOR")
def garbage_operation(ticket: str) -> Outcome:
    return _session(ticket, NOTHING, ANNOUNCED, encode_frame(b"\0\2" + bytes_(b"\xff" * 300) + b"\0"))


@attack("ends inside a field")
def operation_that_lies_about_its_header(ticket: str) -> Outcome:
    return _session(ticket, NOTHING, ANNOUNCED, encode_frame(b"\0\2" + varint(1 << 20) + b"\x88"))


@attack("at most 16842752 are allowed")
def operation_with_a_header_of_gigabytes(ticket: str) -> Outcome:
    return _session(ticket, NOTHING, ANNOUNCED, encode_frame(b"\0\2" + varint(1 << 33) + b"\x88"))


@attack("The signature of an operation is wrong")
def forged_operation(ticket: str) -> Outcome:
    author = Author(Peer(ticket).topic)
    good = author.next(b"\x61x")
    forged = good._replace(header=good.header[:50] + bytes([good.header[50] ^ 1]) + good.header[51:])
    return _session(ticket, NOTHING, ANNOUNCED, frame_of(forged))


# What is refused while the session goes on.


def _tolerated(ticket: str, *sent: bytes) -> Outcome:
    """
    The session goes on until the peer closes it.
    """
    peer = Peer(ticket)
    began = time.monotonic()
    for _ in range(2):
        connection, stream = peer.session(NOTHING, ANNOUNCED)
        for data in sent:
            stream.write(data)
        stream.write(DONE_FRAME)
        while stream.read_exactly(int.from_bytes(stream.read_exactly(4), "big")) != b"\0\3":
            pass
        stream.write(CLOSE_FRAME)
        try:
            stream.drain_until_end()
        except Lost:
            pass  # it has closed the connection by then; being cut off would have left another warning
        connection.close()
    return Outcome(peer.node_id, time.monotonic() - began)


@attack("not the one that its header speaks of", (0.0, 20.0))
def wrong_bodies(ticket: str) -> Outcome:
    author = Author(Peer(ticket).topic)
    wrong = [author.next(b"\x61x")._replace(body=b"\x61y") for _ in range(500)]
    return _tolerated(ticket, *map(frame_of, wrong))


@attack("belongs to another topic", (0.0, 20.0))
def operations_of_another_topic(ticket: str) -> Outcome:
    author = Author(os.urandom(32))
    return _tolerated(ticket, *[frame_of(author.next(b"\x61x")) for _ in range(500)])


@attack("longer than 65536 bytes", (0.0, 20.0))
def header_of_16_mib(ticket: str) -> Outcome:
    """
    Full of tiny items, which would take ten seconds to look at.
    """
    header = Author(Peer(ticket).topic).next(b"\x61x").header
    level = b"\x99\x02\x00" + b"\xf6" * 512
    long = header[:-47] + b"\x98\x40" + (b"\x99\x02\x00" + level * 512) * 60
    return _tolerated(ticket, encode_frame(b"\0\2" + bytes_(long) + b"\0"))


@attack("An operation is too large", (0.0, 20.0))
def operation_of_30_mib(ticket: str) -> Outcome:
    operation = Author(Peer(ticket).topic).next(os.urandom(30 * 1024 * 1024))
    return _tolerated(ticket, frame_of(operation))


@attack("", (0.0, 30.0))
def out_of_order(ticket: str) -> Outcome:
    """
    Thousands of logs whose beginnings never come. There is nothing to say against it, and nothing piles up.
    """
    topic = Peer(ticket).topic
    frames = []
    for _ in range(1500):
        author = Author(topic)
        author.next(None)
        frames.append(frame_of(author.next(b"\x58\xff" + bytes(255))))
    return _tolerated(ticket, b"".join(frames))


@attack("", (0.0, 30.0))
def many_authors(ticket: str) -> Outcome:
    """
    Validly signed operations of made-up authors. The topic is open to whoever knows it.
    """
    topic = Peer(ticket).topic
    return _tolerated(ticket, b"".join([frame_of(Author(topic).next(b"\x61x")) for _ in range(2000)]))
