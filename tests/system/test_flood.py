"""
A gigabyte of flood into a real process: its memory hardly grows, and a good peer is served meanwhile.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from random import Random
from threading import Event
from typing import Any

from p2panda_tw.sync.messages import DONE_FRAME
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import bytes_, varint
from tests.port.tls import DATA, HEAD, SYN, Lost
from tests.system.support import NodeProcess, SystemTestCase, in_threads
from tests.system.support_peer import ANNOUNCED, NOTHING, Author, BadConnection, Peer, frame_of

MIB = 1 << 20
GROWTH = 64 * MIB
"""
The peak of memory may rise by less than this.
"""

SLOWEST = 10.0
"""
How late a message of the good peer may be, in seconds, while both processors are busy with the flood.
"""

Write = Callable[[bytes], Any]
Flood = Callable[[Peer, int], Iterator[int]]
"""
Sends about so many bytes and gives the number of each piece. It ends early when it is cut off.
"""


def large_bodies(size: int) -> Flood:
    """
    Valid operations, which are stored.
    """

    def flood(peer: Peer, count: int) -> Iterator[int]:
        _, stream = peer.session(NOTHING, ANNOUNCED)
        author = Author(peer.topic)
        body = os.urandom(size)
        sent = 0
        while sent < count:
            data = frame_of(author.next(body))
            stream.write(data)
            sent += len(data)
            yield len(data)
        stream.write(DONE_FRAME)

    return flood


def many_authors(peer: Peer, count: int) -> Iterator[int]:
    """
    Valid operations, each of another author.
    """
    _, stream = peer.session(NOTHING, ANNOUNCED)
    sent = 0
    while sent < count:
        data = b"".join([frame_of(Author(peer.topic).next(b"\x58\xff" + bytes(255))) for _ in range(20)])
        stream.write(data)
        sent += len(data)
        yield len(data)


def out_of_order(peer: Peer, count: int) -> Iterator[int]:
    """
    Valid operations of which every other one is missing.
    """
    _, stream = peer.session(NOTHING, ANNOUNCED)
    sent = 0
    body = os.urandom(30_000)
    while sent < count:
        author = Author(peer.topic)
        author.next(None)
        data = b""
        for _ in range(10):
            author.next(None)
            data += frame_of(author.next(body))
        stream.write(data)
        sent += len(data)
        yield len(data)


def too_large(peer: Peer, count: int) -> Iterator[int]:
    """
    Operations of 100 MiB, of which the bodies are thrown away.
    """
    _, stream = peer.session(NOTHING, ANNOUNCED)
    sent = 0
    size = 100 * MIB
    author = Author(peer.topic)
    header = author.next(b"x").header
    while sent < count:
        start = b"\0\2" + bytes_(header) + b"\1" + varint(size)
        stream.write((len(start) + size).to_bytes(4, "big") + start)
        for _ in range(size // MIB):
            stream.write(bytes(MIB))
            sent += MIB
            yield MIB


def cut_short(peer: Peer, count: int) -> Iterator[int]:
    """
    The beginnings of operations of 16 MiB, whose ends do not come.
    """
    connections = []
    sent = 0
    while sent < count:
        connection, stream = peer.session(NOTHING, ANNOUNCED, (16 * MIB).to_bytes(4, "big") + b"\0\2")
        connections.append(connection)
        for _ in range(12):
            stream.write(bytes(MIB))
            sent += MIB
            yield MIB


def unread(peer: Peer, count: int) -> Iterator[int]:
    """
    What nobody reads: session streams whose topic was not named, as far as their windows go.
    """
    connections: list[BadConnection] = []
    sent = 0
    while sent < count:
        connection = peer.connect()
        connections.append(connection)
        connection.send(DATA, SYN, 1, 1, b"\0")
        connection.send(DATA, SYN, 3, 1, b"\0")
        for _ in range(4):
            connection.send(DATA, 0, 3, 65000, bytes(65000))
            sent += 65000
            yield 65000
        if len(connections) >= 20:
            connections.pop(0).close()


def refused_streams(peer: Peer, count: int) -> Iterator[int]:
    """
    Data on streams that were reset, because there are no more than two in a session.
    """
    sent = 0
    while sent < count:
        connection, _ = peer.session(NOTHING)
        for number in range(5, 405, 2):
            connection.send(DATA, SYN, number, 60000, bytes(60000))
            sent += 60000
            yield 60000
        connection.close()


def garbage(peer: Peer, count: int) -> Iterator[int]:
    """
    Connection after connection with something that means nothing.
    """
    sent = 0
    piece = encode_frame(b"\0\2" + os.urandom(60_000))
    while sent < count:
        connection, stream = Peer.session(peer, NOTHING, ANNOUNCED)
        stream.write(piece)
        sent += len(piece)
        yield len(piece)
        connection.close()


def frames_of_one_byte(peer: Peer, count: int) -> Iterator[int]:
    """
    An operation cut into as many pieces as possible.
    """
    connection, stream = peer.session(NOTHING, ANNOUNCED, (16 * MIB).to_bytes(4, "big") + b"\0\2")
    piece = (HEAD.pack(0, DATA, 0, stream.stream_id, 1) + b"x") * 4000
    sent = 0
    while sent < count:
        connection.pump_until(lambda: stream.window >= 4000 or stream.reset)
        connection.send_bytes(piece)
        stream.window -= 4000
        sent += len(piece)
        yield len(piece)


class FloodTests(SystemTestCase):
    """
    Many peers, connections and streams at once, each kind of flood beside the others.
    """

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: shutil.rmtree(self.home, ignore_errors=True))  # a gigabyte is too much to keep
        self.victim, self.friend = self.node("victim"), self.node("friend")
        made = self.victim.ask("topic")
        self.topic = made["topic"]
        self.tickets = [made["ticket"], *(self.victim.ask("topic")["ticket"] for _ in range(7))]
        # A node that has been in use for a while: its database has filled its caches.
        self.victim.ask("fill", topic=self.topic, count=5000, size=1000)
        self.friend.ask("join", ticket=made["ticket"])
        self.friend.ask("wait", topic=self.topic, count=5000)

    def meet(self) -> str:
        """
        Let the good peer join a topic of its own and exchange messages.
        """
        made = self.victim.ask("topic")
        self.friend.ask("join", ticket=made["ticket"])
        for node in (self.victim, self.friend):
            node.ask("beat", topic=made["topic"], interval=0.25)
            node.ask("hear", topic=made["topic"])
        self.friend.ask("wait", topic=made["topic"], count=8)
        return str(made["topic"])

    def flood(self, *kinds: tuple[Flood, int, int]) -> None:
        """
        @param kinds: What to do, how many peers do it, and how many MiB all of them send.
        """
        quiet = self.meet()
        tickets = itertools.cycle(self.tickets)
        sent: list[int] = []
        pause, random = Event(), Random(1)

        def run(flood: Flood, ticket: str, count: int) -> None:
            left = count
            while left > 0:
                try:
                    for size in flood(Peer(ticket), left):
                        sent.append(size)
                        left -= size
                except (Lost, OSError):
                    pause.wait(random.random())  # it was cut off; somebody else goes on

        calls: dict[str, Callable[[], None]] = {}
        for flood, peers, amount in kinds:
            for number in range(peers):
                name, ticket, count = f"{len(calls)} {number}", next(tickets), amount * MIB // peers
                calls[name] = lambda flood=flood, ticket=ticket, count=count: run(flood, ticket, count)  # type: ignore[misc]
        before = self.victim.ask("memory", reset=True)["rss"]
        began = time.monotonic()
        in_threads(calls)
        seconds = time.monotonic() - began
        growth = self.victim.ask("memory")["peak"] - before
        ages = [self.heard(node, quiet) for node in (self.victim, self.friend)]
        figures = (
            f"{sum(sent) / MIB:.0f} MiB in {seconds:.0f} s, peak rose by {growth / MIB:.1f} MiB, "
            f"slowest message {max(map(max, ages)):.1f} s"
        )
        print(f" {figures} ... ", end="")  # noqa: T201  # for whoever watches
        self.assertGreaterEqual(sum(sent), sum(amount for *_, amount in kinds) * MIB, figures)
        self.assertLess(growth, GROWTH, figures)
        for heard in ages:
            self.assertGreater(len(heard), seconds, figures)
            self.assertLess(max(heard), SLOWEST, figures)
        self.victim.end()
        self.friend.end()
        self.assert_no_traces(self.victim)
        self.assert_unique(self.victim)
        self.assertEqual(self.friend.log, [])

    @staticmethod
    def heard(node: NodeProcess, topic: str) -> list[float]:
        """
        How late messages were.
        """
        ages: list[float] = node.ask("ages", topic=topic)["ages"]
        return ages

    def test_gigabyte(self) -> None:
        """
        1 GiB, half of it valid and stored, half of it not, over many streams and connections.
        """
        self.victim.ask("read", topic=self.topic)
        self.flood(
            (large_bodies(1_000_000), 6, 300),
            (large_bodies(100_000), 6, 124),
            (too_large, 4, 400),
            (out_of_order, 2, 60),
            (unread, 2, 50),
            (refused_streams, 2, 40),
            (cut_short, 2, 50),
        )

    def test_largest_operations(self) -> None:
        """
        Operations of the largest size from several peers at once, which are read by an application.
        """
        self.victim.ask("read", topic=self.topic)
        self.flood((large_bodies(16 * MIB - 10), 3, 250), (cut_short, 2, 100))

    def test_small_operations(self) -> None:
        """
        Small operations, many of them by made-up authors, garbage, and frames of one byte.
        """
        self.flood(
            (large_bodies(100), 3, 6),
            (many_authors, 2, 5),
            (out_of_order, 2, 20),
            (garbage, 2, 20),
            (frames_of_one_byte, 2, 40),
        )
