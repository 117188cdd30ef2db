"""
What every transport promises, as one suite: a test case mixes L{TransportContract} in and fills the few methods that are
marked so.

Scenarios are coroutines. They wait for Deferreds only, never for real time, so the same text runs on a
C{twisted.internet.task.Clock} (L{OnClock} advances it while a scenario waits) and on a real reactor (trial waits).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address
from p2panda_tw.errors import ConnectError, LocalProtocolError, NoCommonProtocol, WrongNode
from p2panda_tw.interfaces import IConnection, INodeTransport, IStream
from tests.transport.actors import (
    ALICE,
    BOB,
    CAROL,
    CHAT,
    KIB,
    MIB,
    OTHER,
    Echo,
    Inbox,
    Node,
    PlainRecorder,
    Recorder,
    Refusing,
    Sink,
    Sleepy,
    Source,
    opening,
)

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

__all__ = [
    "ALICE",
    "BOB",
    "CAROL",
    "CHAT",
    "KIB",
    "MIB",
    "OTHER",
    "Echo",
    "Inbox",
    "Node",
    "OnClock",
    "PlainRecorder",
    "Recorder",
    "Refusing",
    "Sink",
    "Sleepy",
    "Source",
    "TransportContract",
    "opening",
    "scenario",
]


def scenario(
    function: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
) -> Callable[[Any], Deferred[None] | None]:
    """
    Make a test method of a coroutine, run by C{drive} of its case.
    """

    @functools.wraps(function)
    def test(self: Any) -> Deferred[None] | None:
        return cast("Deferred[None] | None", self.drive(function(self)))

    return test


class TransportContract(_Base):
    """
    The suite. To fill in: L{make_transport}, C{self.reactor}, and what the transport can show of the hooks below them.

    @cvar transport_name: What its connections must call themselves.
    @cvar bulk: Bytes of the large transfer.
    @cvar held: So many bytes, at most, may be under way in one stream that nobody reads, on both sides together.
    @cvar refused_within: Seconds until a dead address is reported.
    @cvar silent_within: Seconds until a silent address is reported.
    @cvar vanished_within: Seconds until both sides know that the other one is gone without a word.
    @cvar keeps_unread: What was written before an orderly close reaches a reader that is slow, too.
    """

    timeout = 120

    transport_name: ClassVar[str]
    bulk: ClassVar[int] = 64 * MIB
    held: ClassVar[int] = 4 * MIB
    refused_within: ClassVar[float] = 10.5
    silent_within: ClassVar[float] = 10.5
    vanished_within: ClassVar[float] = 15.5
    keeps_unread: ClassVar[bool] = True

    reactor: Any

    # To fill in.

    def make_transport(self, key: SigningKey) -> INodeTransport:
        """
        @return: A new transport with this identity that does not listen yet. The case stops it at the end.
        """
        raise NotImplementedError

    def dead_address(self) -> Address | None:
        """
        @return: Where nothing listens, or L{None} if the transport has no such thing.
        """
        return None

    def silent_address(self) -> Address | None:
        """
        @return: An address that takes everything and says nothing, or L{None}.
        """
        return None

    def vanish(self, node: Node) -> bool:
        """
        Let a node stop without a word: nothing goes out of it or comes in any more.

        @return: Whether the transport can do that to itself (otherwise tests/system does it with processes).
        """
        return False

    def in_pieces(self) -> bool:
        """
        From now on deliver the raw bytes of new connections one by one.

        @return: Whether that is possible.
        """
        return False

    def drive(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
        """
        Run a scenario. On a real reactor trial waits for the result.
        """
        return Deferred.fromCoroutine(coroutine)

    # What scenarios use.

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        @return: Fires after a while of the case's own clock.
        """
        return cast("Deferred[None]", deferLater(self.reactor, seconds, lambda: None))

    async def start(self, key: SigningKey) -> Node:
        """
        @return: A node that listens and is stopped after the test.
        """
        node = Node(self.make_transport(key), key)
        await node.listen()
        self.addCleanup(self._stop, node)
        return node

    def _stop(self, node: Node) -> Deferred[None] | None:
        async def stop() -> None:
            await node.transport.stop()

        return self.drive(stop())

    async def join(self, dialler: Node, acceptor: Node) -> tuple[IConnection, IConnection]:
        """
        @return: Both ends of a new connection.
        """
        there = acceptor.accepted.get()
        here = await dialler.transport.connect(acceptor.node_id, acceptor.transport.addresses(), CHAT)
        return here, await there

    async def pair(self) -> tuple[IConnection, IConnection]:
        """
        @return: A connection from Alice to Bob: her end, his end.
        """
        return await self.join(await self.start(ALICE), await self.start(BOB))

    async def streams(
        self,
        opener: Callable[[], PlainRecorder] = Recorder,
        acceptor: Callable[[], PlainRecorder] = Recorder,
        one_way: bool = False,
    ) -> tuple[Any, Any]:
        """
        @return: Both ends of a stream that Alice opened to Bob, announced by the byte C{!}.
        """
        alice, bob = await self.pair()
        inbox = Inbox(acceptor)
        bob.accept_streams(inbox)
        here = cast(Any, await alice.open_stream(opening(opener), one_way))
        here.transport.write(b"!")
        return here, await inbox.next()

    async def fails(self, attempt: Deferred[Any], kind: type[Exception]) -> Exception:
        """
        @return: The error that C{attempt} ends with, which must be of that kind.
        """
        try:
            result = await attempt
        except kind as error:
            return error
        self.fail(f"no {kind.__name__}, but {result!r}")

    # Connections.

    @scenario
    async def test_identities_are_proven(self) -> None:
        """
        Both nodes know whom they are connected to, and for what.
        """
        alice, bob = await self.pair()
        self.assertEqual((alice.node_id, bob.node_id), (BOB.verifying_key, ALICE.verifying_key))
        self.assertEqual((alice.alpn, bob.alpn), (CHAT, CHAT))
        self.assertEqual((alice.transport_name, bob.transport_name), (self.transport_name, self.transport_name))
        verifyObject(IConnection, alice)
        verifyObject(IConnection, bob)

    @scenario
    async def test_interfaces(self) -> None:
        """
        Transport and streams are what the interfaces say.
        """
        verifyObject(INodeTransport, self.make_transport(CAROL))
        here, there = await self.streams()
        verifyObject(IStream, here.transport)
        verifyObject(IStream, there.transport)

    @scenario
    async def test_streams_name_the_peer(self) -> None:
        """
        A protocol learns from its transport, and a factory from its argument, who is on the other side.
        """
        alice, bob = await self.pair()
        inbox = Inbox()
        bob.accept_streams(inbox)
        here = cast(Any, await alice.open_stream(opening()))
        here.transport.write(b"x")
        there = await inbox.next()
        await there.until_received(1)
        self.assertIs(there.transport.connection, bob)
        self.assertIs(here.transport.connection, alice)
        self.assertEqual(inbox.peers, [there.transport.getPeer()])
        self.assertIn(str(BOB.verifying_key), str(here.transport.getPeer()))

    @scenario
    async def test_every_connect_is_new(self) -> None:
        """
        Two connections between the same nodes do not know of each other.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        first, _ = await self.join(a, b)
        second, second_there = await self.join(a, b)
        await first.close("not needed")
        inbox = Inbox(Echo)
        second_there.accept_streams(inbox)
        stream = cast(Any, await second.open_stream(opening()))
        stream.transport.write(b"still here")
        await stream.until_received(10)

    @scenario
    async def test_both_dial_at_once(self) -> None:
        """
        Nodes that call each other at the same moment get two connections.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        (one, other), (three, four) = await gatherResults(
            [Deferred.fromCoroutine(self.join(a, b)), Deferred.fromCoroutine(self.join(b, a))]
        )
        self.assertEqual(
            [c.node_id for c in (one, other, three, four)],
            [BOB.verifying_key, ALICE.verifying_key, ALICE.verifying_key, BOB.verifying_key],
        )

    @scenario
    async def test_wrong_key(self) -> None:
        """
        Who answers with another key than the expected one is not talked to.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        await self.fails(a.transport.connect(CAROL.verifying_key, b.transport.addresses(), CHAT), WrongNode)
        await self.join(a, b)  # the address itself is fine

    @scenario
    async def test_no_common_protocol(self) -> None:
        """
        A node that does not speak the protocol says so, and nothing is opened on its side.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        await self.fails(a.transport.connect(b.node_id, b.transport.addresses(), OTHER), NoCommonProtocol)
        b.offered.append(OTHER)
        there = b.accepted.get()
        here = await a.transport.connect(b.node_id, b.transport.addresses(), OTHER)
        self.assertEqual((here.alpn, (await there).alpn), (OTHER, OTHER))

    @scenario
    async def test_nothing_listens(self) -> None:
        """
        An address where nothing listens is reported in a sentence.
        """
        address = self.dead_address()
        if address is None:
            return
        a = await self.start(ALICE)
        begun = self.reactor.seconds()
        error = await self.fails(a.transport.connect(BOB.verifying_key, [address], CHAT), ConnectError)
        self.assertTrue(str(error).endswith("."), str(error))
        self.assertLessEqual(self.reactor.seconds() - begun, self.refused_within)

    @scenario
    async def test_silent_peer(self) -> None:
        """
        An address that swallows everything is given up after ten seconds.
        """
        address = self.silent_address()
        if address is None:
            return
        a = await self.start(ALICE)
        begun = self.reactor.seconds()
        error = await self.fails(a.transport.connect(BOB.verifying_key, [address], CHAT), ConnectError)
        self.assertTrue(str(error).endswith("."), str(error))
        self.assertLessEqual(self.reactor.seconds() - begun, self.silent_within)

    @scenario
    async def test_many_addresses(self) -> None:
        """
        One good address among bad ones is enough.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        bad = [address for address in (self.dead_address(), self.silent_address()) if address is not None]
        there = b.accepted.get()
        here = await a.transport.connect(b.node_id, [*bad, *b.transport.addresses()], CHAT)
        self.assertEqual(here.node_id, b.node_id)
        self.assertEqual((await there).node_id, a.node_id)

    @scenario
    async def test_cancelled_attempt(self) -> None:
        """
        Nobody waits for an attempt that was cancelled.
        """
        address = self.silent_address()
        if address is None:
            return
        a = await self.start(ALICE)
        attempt = a.transport.connect(BOB.verifying_key, [address], CHAT)
        await self.sleep(0.1)
        attempt.cancel()
        with self.assertRaises((CancelledError, ConnectError)):
            await attempt

    @scenario
    async def test_addresses(self) -> None:
        """
        A transport dials the addresses that it gives to others.
        """
        a = await self.start(ALICE)
        addresses = a.transport.addresses()
        self.assertTrue(addresses)
        self.assertEqual([a.transport.reaches(address) for address in addresses], [True] * len(addresses))

    @scenario
    async def test_vanished_peer(self) -> None:
        """
        A node that vanished without a word is noticed, and its streams do not look finished.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        alice, bob = await self.join(a, b)
        inbox = Inbox()
        bob.accept_streams(inbox)
        here = cast(Any, await alice.open_stream(opening()))
        here.transport.write(b"!")
        await (await inbox.next()).until_received(1)
        begun = self.reactor.seconds()
        if not self.vanish(b):
            return
        self.assertIs(await here.until_lost(), ConnectionLost)
        await alice.closed
        self.assertLessEqual(self.reactor.seconds() - begun, self.vanished_within)
        self.assertFalse(here.ended)

    @scenario
    async def test_idle_connection_stays(self) -> None:
        """
        Two nodes that have nothing to say stay connected.
        """
        here, there = await self.streams()
        await self.sleep(12)
        here.transport.write(b"hello")
        await there.until_received(6)

    # Streams.

    @scenario
    async def test_either_side_opens(self) -> None:
        """
        The node that was dialled opens streams just the same.
        """
        alice, bob = await self.pair()
        inbox = Inbox(Echo)
        alice.accept_streams(inbox)
        stream = cast(Any, await bob.open_stream(opening()))
        stream.transport.write(b"from bob")
        await stream.until_received(8)
        self.assertEqual(bytes((await inbox.next()).received), b"from bob")

    @scenario
    async def test_half_close(self) -> None:
        """
        After the opener has ended its direction the other one goes on, until it is ended too.
        """
        here, there = await self.streams()
        here.transport.write(b"question")
        here.transport.loseWriteConnection()
        await there.until_ended()
        self.assertEqual(bytes(there.received), b"!question")
        there.transport.write(b"long ")
        await here.until_received(5)
        self.assertFalse(here.ended)
        there.transport.write(b"answer")
        there.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual((bytes(here.received), here.ended), (b"long answer", True))

    @scenario
    async def test_half_close_by_the_acceptor(self) -> None:
        """
        The same the other way round.
        """
        here, there = await self.streams()
        there.transport.write(b"greeting")
        there.transport.loseWriteConnection()
        await here.until_ended()
        self.assertEqual(bytes(here.received), b"greeting")
        here.transport.write(b"thanks")
        here.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual((bytes(there.received), there.ended), (b"!thanks", True))

    @scenario
    async def test_both_end_at_once(self) -> None:
        """
        Ends that cross on the way end the stream.
        """
        here, there = await self.streams()
        await there.until_received(1)
        here.transport.loseWriteConnection()
        there.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual((here.ended, there.ended), (True, True))

    @scenario
    async def test_lose_connection(self) -> None:
        """
        Losing a connection delivers what was written, and reads no more.
        """
        here, there = await self.streams()
        await there.until_received(1)
        here.transport.write(b"last words")
        here.transport.loseConnection()
        there.transport.write(b"nobody reads this")
        await there.until_ended()
        there.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual((bytes(there.received), bytes(here.received)), (b"!last words", b""))

    @scenario
    async def test_plain_protocol(self) -> None:
        """
        A protocol that knows no half-close is over at the end of what it reads; what it wrote is delivered.
        """
        here, there = await self.streams(acceptor=PlainRecorder)
        await there.until_received(1)
        there.transport.write(b"answer")
        here.transport.loseWriteConnection()
        self.assertIs(await there.until_lost(), ConnectionDone)
        self.assertIs(await here.until_lost(), ConnectionDone)
        self.assertEqual((bytes(here.received), here.ended), (b"answer", True))

    @scenario
    async def test_abort(self) -> None:
        """
        An aborted stream never looks like one that has ended.
        """
        here, there = await self.streams()
        await there.until_received(1)
        here.transport.abortConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionAborted, ConnectionAborted])
        self.assertEqual((here.ended, there.ended), (False, False))

    @scenario
    async def test_abort_by_the_acceptor(self) -> None:
        """
        The same from the other side; the connection stays.
        """
        here, there = await self.streams()
        await there.until_received(1)
        there.transport.abortConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionAborted, ConnectionAborted])
        self.assertEqual((here.ended, there.ended), (False, False))
        again = cast(Any, await here.transport.connection.open_stream(opening()))
        again.transport.write(b"again")
        await again.until(lambda: again.made)
        self.assertIsNone(again.lost)

    @scenario
    async def test_abort_after_end(self) -> None:
        """
        A side that has ended and is then aborted by the other one hears of it.
        """
        here, there = await self.streams()
        here.transport.loseWriteConnection()
        await there.until_ended()
        there.transport.abortConnection()
        self.assertIs(await here.until_lost(), ConnectionAborted)
        self.assertFalse(here.ended)

    @scenario
    async def test_announced_by_the_first_byte(self) -> None:
        """
        The other node hears of a stream when the first byte is written, not before.
        """
        alice, bob = await self.pair()
        inbox = Inbox()
        bob.accept_streams(inbox)
        quiet = cast(Any, await alice.open_stream(opening()))
        loud = cast(Any, await alice.open_stream(opening()))
        loud.transport.write(b"loud")
        first = await inbox.next()
        await first.until_received(4)
        self.assertEqual((bytes(first.received), inbox.count), (b"loud", 1))
        quiet.transport.write(b"q")
        second = await inbox.next()
        await second.until_received(1)
        self.assertEqual((bytes(second.received), inbox.count), (b"q", 2))

    @scenario
    async def test_unused_stream(self) -> None:
        """
        A stream that was opened and aborted unused disturbs nobody.
        """
        alice, bob = await self.pair()
        inbox = Inbox()
        bob.accept_streams(inbox)
        unused = cast(Any, await alice.open_stream(opening()))
        unused.transport.abortConnection()
        self.assertIs(await unused.until_lost(), ConnectionAborted)
        used = cast(Any, await alice.open_stream(opening()))
        used.transport.write(b"used")
        await (await inbox.next()).until_received(4)
        self.assertEqual(inbox.count, 1)

    @scenario
    async def test_late_accept(self) -> None:
        """
        Streams wait for a factory, with what was written into them.
        """
        alice, bob = await self.pair()
        first = cast(Any, await alice.open_stream(opening()))
        first.transport.write(b"first")
        second = cast(Any, await alice.open_stream(opening()))
        second.transport.write(b"second")
        second.transport.loseWriteConnection()
        await self.sleep(0.2)
        inbox = Inbox()
        bob.accept_streams(inbox)
        streams = [await inbox.next(), await inbox.next()]
        one = next(s for s in streams if not bytes(s.received).startswith(b"s"))
        two = next(s for s in streams if s is not one)
        await one.until_received(5)
        await two.until_ended()
        self.assertEqual((bytes(one.received), one.ended), (b"first", False))
        self.assertEqual((bytes(two.received), two.ended), (b"second", True))

    @scenario
    async def test_refused_by_the_factory(self) -> None:
        """
        A stream that the factory does not want is reset.
        """
        alice, bob = await self.pair()
        bob.accept_streams(Refusing())
        stream = cast(Any, await alice.open_stream(opening()))
        stream.transport.write(b"anybody?")
        self.assertIs(await stream.until_lost(), ConnectionAborted)

    @scenario
    async def test_hundred_streams(self) -> None:
        """
        A hundred streams at once keep their bytes apart and in order.
        """
        alice, bob = await self.pair()
        bob.accept_streams(Inbox(Echo))
        opened = [cast(Any, await alice.open_stream(opening())) for _ in range(100)]
        expected = []
        for number, stream in enumerate(opened):
            parts = [bytes([number]) * size for size in (1, 1000, 30_000)]
            for part in parts:
                stream.transport.write(part)
            expected.append(b"".join(parts))
            stream.transport.loseWriteConnection()
        for stream in opened:
            self.assertIs(await stream.until_lost(), ConnectionDone)
        self.assertEqual([bytes(stream.received) for stream in opened], expected)

    @scenario
    async def test_stalled_reader(self) -> None:
        """
        A stream that nobody reads stops its writer, blocks no other stream, and delivers everything later.
        """
        alice, bob = await self.pair()
        sleepy = Inbox(Sleepy)
        bob.accept_streams(sleepy)
        source = cast(Source, await alice.open_stream(opening(lambda: Source(8 * MIB))))
        stalled = cast(Sleepy, await sleepy.next())
        await self.sleep(0.5)
        self.assertEqual(len(stalled.received), 0)
        self.assertLessEqual(source.written, self.held)

        echoes = Inbox(Echo)
        bob.accept_streams(echoes)
        other = cast(Any, await alice.open_stream(opening()))
        for _ in range(3):
            before = len(other.received)
            other.transport.write(b"x" * 300_000)
            await other.until_received(before + 300_000)
        self.assertLessEqual(source.written, self.held)

        stalled.transport.resumeProducing()
        await stalled.until_ended()
        self.assertEqual(bytes(stalled.received), (Source.CHUNK * 512)[: 8 * MIB])

    @scenario
    async def test_pause_and_resume(self) -> None:
        """
        A reader that pauses gets nothing until it resumes, not even the end.
        """
        here, there = await self.streams()
        await there.until_received(1)
        there.transport.pauseProducing()
        here.transport.write(b"wait")
        here.transport.loseWriteConnection()
        await self.sleep(0.3)
        self.assertEqual((bytes(there.received), there.ended), (b"!", False))
        there.transport.resumeProducing()
        await there.until_ended()
        self.assertEqual(bytes(there.received), b"!wait")

    @scenario
    async def test_one_way(self) -> None:
        """
        A one-way stream carries bytes one way, ends, and is over on both sides.
        """
        here, there = await self.streams(one_way=True)
        self.assertEqual((here.transport.one_way, there.transport.one_way), (True, True))
        here.transport.write(b"news")
        await there.until_received(5)
        self.assertEqual((here.ended, here.lost, there.lost), (False, None, None))
        here.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual((bytes(there.received), bytes(here.received)), (b"!news", b""))

    @scenario
    async def test_one_way_plain_protocol(self) -> None:
        """
        A protocol without half-close may open a one-way stream and is not cut off by the missing answer.
        """
        here, there = await self.streams(opener=PlainRecorder, one_way=True)
        await there.until_received(1)
        await self.sleep(0.2)
        here.transport.write(b"later")
        await there.until_received(6)
        here.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])

    @scenario
    async def test_one_way_refuses_answers(self) -> None:
        """
        Writing into a one-way stream of the other node is a mistake of the caller.
        """
        here, there = await self.streams(one_way=True)
        await there.until_received(1)
        with self.assertRaises(LocalProtocolError):
            there.transport.write(b"answer")
        await self.sleep(0.1)
        self.assertEqual(bytes(here.received), b"")

    @scenario
    async def test_one_way_from_the_acceptor(self) -> None:
        """
        The node that was dialled opens one-way streams, too.
        """
        alice, bob = await self.pair()
        inbox = Inbox()
        alice.accept_streams(inbox)
        stream = cast(Any, await bob.open_stream(opening(), one_way=True))
        stream.transport.write(b"news")
        stream.transport.loseWriteConnection()
        there = await inbox.next()
        self.assertIs(await there.until_lost(), ConnectionDone)
        self.assertEqual((bytes(there.received), there.transport.one_way), (b"news", True))

    @scenario
    async def test_written_byte_by_byte(self) -> None:
        """
        However small the pieces are in which it was written, the same arrives.
        """
        here, there = await self.streams()
        text = bytes(range(256)) * 4
        for at in range(len(text)):
            here.transport.write(text[at : at + 1])
            if at % 100 == 0:
                await self.sleep(0)
        await there.until_received(1025)
        self.assertEqual(bytes(there.received), b"!" + text)

    @scenario
    async def test_delivered_byte_by_byte(self) -> None:
        """
        However small the pieces are in which the network delivers, everything works.
        """
        if not self.in_pieces():
            return
        here, there = await self.streams(acceptor=Echo)
        here.transport.write(b"hello, world" * 10)
        here.transport.loseWriteConnection()
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionDone, ConnectionDone])
        self.assertEqual(bytes(here.received), b"!" + b"hello, world" * 10)

    @scenario
    async def test_large_write(self) -> None:
        """
        A write of several mebibytes, or a sequence of writes, is one call.
        """
        here, there = await self.streams()
        here.transport.writeSequence([b"a" * (3 * MIB), b"b", b"c" * MIB])
        here.transport.loseWriteConnection()
        await there.until_ended()
        self.assertEqual(bytes(there.received), b"!" + b"a" * (3 * MIB) + b"b" + b"c" * MIB)

    @scenario
    async def test_bulk(self) -> None:
        """
        A large transfer arrives whole, and little of it is under way at any time.
        """
        alice, bob = await self.pair()
        inbox = Inbox(Sink)
        bob.accept_streams(inbox)
        source = cast(Source, await alice.open_stream(opening(lambda: Source(self.bulk))))
        sink = cast(Sink, await inbox.next())
        most = 0
        for step in range(1, 65):
            await sink.until(lambda goal=step * self.bulk // 64: sink.count >= goal)  # type: ignore[misc]
            most = max(most, source.written - sink.count)
        await sink.until_ended()
        self.assertEqual((sink.count, sink.wrong), (self.bulk, False))
        self.assertLessEqual(most, self.held)

    # The end of connections.

    @scenario
    async def test_close(self) -> None:
        """
        Closing ends everything on both sides, with the reason on ours, and nothing looks finished.
        """
        here, there = await self.streams()
        await there.until_received(1)
        alice, bob = here.transport.connection, there.transport.connection
        quiet = cast(Any, await alice.open_stream(opening()))
        self.assertIsNone(await alice.close("session over"))
        await bob.closed
        for stream in (here, there, quiet):
            self.assertIs(await stream.until_lost(), ConnectionLost)
            self.assertFalse(stream.ended)
        self.assertIn("session over", str(here.lost.value))
        self.assertIn("session over", str(quiet.lost.value))
        await self.fails(alice.open_stream(opening()), ConnectError)
        await self.fails(bob.open_stream(opening()), ConnectError)

    @scenario
    async def test_close_twice(self) -> None:
        """
        Closing what is closed, or from both sides at once, is fine.
        """
        alice, bob = await self.pair()
        first, second = alice.close("one"), bob.close("two")
        await alice.close("three")
        await first
        await second
        await alice.close("four")
        alice.abort("five")

    @scenario
    async def test_close_delivers(self) -> None:
        """
        An orderly close first delivers what was written.
        """
        here, there = await self.streams(acceptor=Sink)
        here.transport.loseWriteConnection()
        again = Inbox(Recorder)
        there.transport.connection.accept_streams(again)
        alice = here.transport.connection
        large = cast(Any, await alice.open_stream(opening()))
        large.transport.write(b"z" * MIB)
        large.transport.loseWriteConnection()
        closed = alice.close("all said")
        arrived = await again.next()
        await arrived.until_ended()
        self.assertEqual(bytes(arrived.received), b"z" * MIB)
        await closed
        await there.transport.connection.closed

    @scenario
    async def test_close_reaches_a_slow_reader(self) -> None:
        """
        What was written before an orderly close reaches a reader that had paused for a moment.
        """
        if not self.keeps_unread:
            return
        here, there = await self.streams()
        await there.until_received(1)
        there.transport.pauseProducing()
        here.transport.write(b"y" * 100_000)
        here.transport.loseWriteConnection()
        await self.sleep(0.1)
        await here.transport.connection.close("all said")
        await self.sleep(0.1)
        there.transport.resumeProducing()
        await there.until_ended()
        self.assertEqual(bytes(there.received), b"!" + b"y" * 100_000)
        await there.until_lost()
        await there.transport.connection.closed

    @scenario
    async def test_abort_connection(self) -> None:
        """
        Aborting a connection ends its streams on both sides, and none of them looks finished.
        """
        here, there = await self.streams()
        await there.until_received(1)
        here.transport.connection.abort("gone")
        self.assertEqual([await here.until_lost(), await there.until_lost()], [ConnectionLost, ConnectionLost])
        self.assertEqual((here.ended, there.ended), (False, False))
        await here.transport.connection.closed
        await there.transport.connection.closed

    @scenario
    async def test_closed_fires_for_everyone(self) -> None:
        """
        Any number of callbacks may wait for the end of a connection.
        """
        alice, bob = await self.pair()
        heard: list[object] = []

        def hear(result: object) -> object:
            heard.append(result)
            return result

        alice.closed.addBoth(hear)
        alice.closed.addBoth(hear)
        await alice.close("enough")
        await bob.closed
        self.assertEqual(heard, [None, None])

    @scenario
    async def test_stop(self) -> None:
        """
        A stopped transport has closed its connections, takes no more, and can begin again.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        alice, bob = await self.join(a, b)
        inbox = Inbox()
        alice.accept_streams(inbox)
        stream = cast(Any, await bob.open_stream(opening()))
        stream.transport.write(b"!")
        there = await inbox.next()
        addresses: Sequence[Address] = b.transport.addresses()
        await b.transport.stop()
        await alice.closed
        await bob.closed
        self.assertEqual([await stream.until_lost(), await there.until_lost()], [ConnectionLost, ConnectionLost])
        if addresses:
            await self.fails(a.transport.connect(b.node_id, addresses, CHAT), ConnectError)
        await b.listen()
        await self.join(a, b)

    @scenario
    async def test_stop_while_dialling(self) -> None:
        """
        Stopping ends attempts that are under way.
        """
        address = self.silent_address()
        if address is None:
            return
        a = await self.start(ALICE)
        attempt = a.transport.connect(BOB.verifying_key, [address], CHAT)
        await self.sleep(0.1)
        stopped = a.transport.stop()
        await self.fails(attempt, ConnectError)
        await stopped


class OnClock(_Base):
    """
    Runs scenarios on a fake clock, in no time. Mix in before L{TransportContract}.
    """

    reactor: Clock

    STEP = 0.01
    LONGEST = 300.0

    def drive(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        """
        Let time pass until the scenario is over.
        """
        done = Deferred.fromCoroutine(coroutine)
        results: list[object] = []
        done.addBoth(results.append)
        begun = self.reactor.seconds()
        self.reactor.advance(0)
        while not results:
            if self.reactor.seconds() - begun > self.LONGEST:
                self.fail("The scenario waits for something that does not happen.")
            self.reactor.advance(self.STEP)
        if isinstance(results[0], Failure):
            results[0].raiseException()

    def assert_nothing_left(self) -> None:
        """
        To be called at clean-up, after transports were stopped.
        """
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])
