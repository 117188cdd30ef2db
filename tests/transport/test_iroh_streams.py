"""
What the iroh transport does beyond the contract: how it meets a Rust node's habits and the wheel's traps.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.logger import LogLevel, capturedLogs
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.errors import ConfigurationError, ConnectError, LocalProtocolError
from p2panda_tw.transport.limits import ConnectionLimits, ReceiveBudget
from tests.transport.contract import (
    ALICE,
    BOB,
    CAROL,
    CHAT,
    KIB,
    MIB,
    Echo,
    Inbox,
    PlainRecorder,
    Recorder,
    Sleepy,
    Source,
    opening,
)
from tests.transport.iroh_node import IrohCase, below


class RustHabitTests(IrohCase):
    """
    A Rust node lets go of its stream objects, which ends and stops streams.
    """

    async def test_acceptor_lets_go(self) -> None:
        """
        The first stream of a sync session ends well when the Rust acceptor drops it, also if we write on; the connection
        carries the second stream.
        """
        alice, bob = await self.pair()

        async def answer_and_drop() -> bytes:
            stream = await bob.link.raw.accept_bi()
            send, recv = stream.send(), stream.recv()
            topic = await recv.read(100)
            await send.write_all(b"done")
            return topic  # letting go: end of stream, and STOP_SENDING with code 0

        async def echo() -> None:
            stream = await bob.link.raw.accept_bi()
            send, recv = stream.send(), stream.recv()
            await send.write_all(await recv.read(100))
            await recv.read(1)

        first = cast(Any, await alice.open_stream(opening()))
        first.transport.write(b"topic")
        self.assertEqual(await below(bob, answer_and_drop()), b"topic")
        await first.until_ended()
        self.assertEqual(bytes(first.received), b"done")
        first.transport.write(b"too late")
        first.transport.loseWriteConnection()
        self.assertIs(await first.until_lost(), ConnectionDone)

        second = cast(Any, await alice.open_stream(opening()))
        echoed = below(bob, echo())
        second.transport.write(b"session")
        await second.until_received(7)
        self.assertEqual((bytes(second.received), second.lost), (b"session", None))
        second.transport.loseWriteConnection()
        await echoed

    async def test_no_byte_before_ours(self) -> None:
        """
        A stream carries exactly what the protocol wrote.
        """
        alice, bob = await self.pair()

        async def read() -> bytes:
            stream = await bob.link.raw.accept_bi()
            got: bytes = await stream.recv().read(100)
            return got

        stream = cast(Any, await alice.open_stream(opening()))
        stream.transport.write(b"\x00\x01\x02")
        self.assertEqual(await below(bob, read()), b"\x00\x01\x02")

    async def test_stopped_while_much_waits(self) -> None:
        """
        Who does not want to hear more stops a writer that has much to say, and only that stream.
        """
        here, there = await self.streams(opener=lambda: Source(64 * MIB), acceptor=Sleepy)
        there.transport.loseConnection()
        self.assertIs(await there.until_lost(), ConnectionDone)
        await here.until_ended()
        self.assertIs(await here.until_lost(), ConnectionDone)
        self.assertLess(here.written, 64 * MIB)
        inbox = Inbox(Echo)
        there.transport.connection.accept_streams(inbox)
        again = cast(Any, await here.transport.connection.open_stream(opening()))
        again.transport.write(b"again")
        await again.until_received(5)

    async def test_stopped_with_another_code(self) -> None:
        """
        A stream that is stopped for a reason is aborted.
        """
        alice, bob = await self.pair()

        async def stop() -> None:
            stream = await bob.link.raw.accept_bi()
            recv = stream.recv()
            await recv.read(1)
            await recv.stop(7)
            kept.append(stream)

        kept: list[Any] = []
        stream = cast(Any, await alice.open_stream(opening()))
        stream.transport.write(b"x")
        await below(bob, stop())
        self.assertIs(await stream.until_lost(), ConnectionAborted)
        self.assertFalse(stream.ended)

    async def test_idle_one_way_writer_hears_of_the_end(self) -> None:
        """
        A one-way stream whose reader has aborted it is over for the writer, also if he writes nothing.
        """
        here, there = await self.streams(one_way=True)
        there.transport.abortConnection()
        self.assertIs(await here.until_lost(), ConnectionAborted)


class ClosingTests(IrohCase):
    """
    Nothing is lost, and nothing pretends to be complete.
    """

    async def test_open_streams_are_delivered(self) -> None:
        """
        An orderly close delivers what was written into streams that are not ended, too, and does not end them.
        """
        alice, bob = await self.pair()
        inbox = Inbox()
        bob.accept_streams(inbox)
        streams = [cast(Any, await alice.open_stream(opening())) for _ in range(3)]
        for stream in streams:
            stream.transport.write(b"x" * 700 * KIB)
        closed = alice.close("that was all")
        arrived = [await inbox.next() for _ in streams]
        for stream in arrived:
            self.assertIs(await stream.until_lost(), ConnectionLost)
        self.assertEqual([(len(stream.received), stream.ended) for stream in arrived], [(700 * KIB, False)] * 3)
        await closed
        self.assertIn("that was all", str(arrived[0].lost.value))

    async def test_closing_is_told_at_once(self) -> None:
        """
        Protocols hear of our own close at once and of nothing that comes later.
        """
        here, there = await self.streams()
        closed = here.transport.connection.close("over")
        there.transport.write(b"late")
        self.assertIs(await here.until_lost(), ConnectionLost)
        await closed
        self.assertEqual(bytes(here.received), b"")

    async def test_closing_at_every_byte(self) -> None:
        """
        However and whenever the other node ends a conversation, what came before is there, and only an end of stream
        looks like one.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        text = b"a conversation"
        ends = ("finish", "abort", "close", "abort connection")

        async def one(end: str, count: int) -> tuple[str, int, bytes, bool, object]:
            alice, bob = await self.join(a, b)
            inbox = Inbox()
            bob.accept_streams(inbox)
            stream = cast(Any, await alice.open_stream(opening()))
            stream.transport.write(text[:count])
            there = await inbox.next()
            await there.until_received(count)
            if end == "finish":
                stream.transport.loseConnection()
                await there.until_ended()
                there.transport.loseWriteConnection()
            elif end == "abort":
                stream.transport.abortConnection()
            elif end == "close":
                alice.close("closed")
            else:
                alice.abort("aborted")
            lost = await there.until_lost()
            await gatherResults([alice.close("done"), bob.closed])
            return end, count, bytes(there.received), there.ended, lost

        kinds = {"finish": ConnectionDone, "abort": ConnectionAborted}
        for count in range(1, len(text) + 1):
            self.assertEqual(
                [await one(end, count) for end in ends],
                [(end, count, text[:count], end == "finish", kinds.get(end, ConnectionLost)) for end in ends],
            )

    async def test_held_data_survives_the_end(self) -> None:
        """
        A protocol that reads too late, though, hears of the lost connection within seconds.
        """
        here, there = await self.streams()
        await there.until_received(1)
        there.transport.pauseProducing()
        here.transport.write(b"unread")
        await here.transport.connection.close("over")
        bob = there.transport.connection
        self.assertIs(await there.until_lost(), ConnectionLost)
        await bob.closed
        self.assertEqual(bytes(there.received), b"!")

    async def test_stop_at_once(self) -> None:
        """
        A node that stops closes all its connections, and leaves its address free for the next one.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        pairs = [await self.join(a, b) for _ in range(5)]
        port = str(b.transport.addresses()[0])
        await b.transport.stop()
        await gatherResults([alice.closed for alice, _ in pairs])
        self.assertEqual(b.transport.addresses(), [])
        c = await self.start(CAROL, bind=[port])
        await self.join(a, c)

    async def test_stop_twice(self) -> None:
        """
        Who stops a node while it is being stopped waits, too; one that is just starting does not start.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        await self.join(a, b)
        await gatherResults([b.transport.stop(), b.transport.stop()])
        starting = b.listen()
        await b.transport.stop()
        with self.assertRaises(ConnectError):
            await starting
        await b.listen()
        await self.join(a, b)

    async def test_waiting_for_the_end(self) -> None:
        """
        Who gives up waiting for the end of a connection disturbs nobody else.
        """
        alice, bob = await self.pair()
        waiting = alice.close("over")
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        alice.closed.addErrback(lambda failure: failure.trap(CancelledError))
        waiting.cancel()
        alice.closed.cancel()
        await alice.close("over")
        await bob.closed


class RelayTests(IrohCase):
    """
    Relays.
    """

    async def test_not_reachable(self) -> None:
        """
        A relay that does not answer hinders neither start, nor direct connections, nor stop.
        """
        begun = self.reactor.seconds()
        relays = [("http://127.0.0.1:1/", "sesame")]
        a, b = await self.start(ALICE, relays=relays), await self.start(BOB)
        alice, bob = await self.join(a, b)
        await alice.close("done")
        await bob.closed
        self.assertEqual([str(address) for address in a.transport.addresses() if "http" in str(address)], [])
        await a.transport.stop()
        self.assertLess(self.reactor.seconds() - begun, 5)


class LimitTests(IrohCase):
    """
    What others may cost us.
    """

    async def test_streams_run_out(self) -> None:
        """
        When the other node takes no more streams, the next one fails after ten seconds, and works again later.
        """
        alice, bob = await self.pair()
        bob.accept_streams(Inbox(Echo))
        streams = []
        for _ in range(100):
            stream = cast(Any, await alice.open_stream(opening()))
            stream.transport.write(b"!")
            await stream.until_received(1)
            streams.append(stream)
        begun = self.reactor.seconds()
        with self.assertRaises(ConnectError):
            await alice.open_stream(opening())
        self.assertLess(self.reactor.seconds() - begun, 11)
        for stream in streams[:20]:
            stream.transport.loseWriteConnection()
            self.assertIs(await stream.until_lost(), ConnectionDone)
        again = cast(Any, await alice.open_stream(opening()))
        again.transport.write(b"again")
        await again.until_received(5)

    async def test_connections_of_one_node(self) -> None:
        """
        A node gets so many connections; more are closed at once.
        """
        a = await self.start(ALICE)
        b = await self.start(BOB, limits=ConnectionLimits(per_node=2))
        for _ in range(2):
            await self.join(a, b)
        third = await a.transport.connect(b.node_id, b.transport.addresses(), CHAT)
        await third.closed
        c = await self.start(CAROL)
        await self.join(c, b)

    async def test_unread_bytes(self) -> None:
        """
        What waits for slow readers is bounded; the stream that holds most is reset, with a warning.
        """
        a = await self.start(ALICE)
        b = await self.start(BOB, budget=ReceiveBudget(300 * KIB))
        alice, bob = await self.join(a, b)
        inbox = Inbox(Sleepy)
        bob.accept_streams(inbox)
        small = cast(Any, await alice.open_stream(opening()))
        small.transport.write(b"x" * 1000)
        sleepy = await inbox.next()
        with capturedLogs() as logs:
            for _ in range(2):  # and one warning, however often
                large = cast(Any, await alice.open_stream(opening(lambda: Source(64 * MIB))))
                self.assertIs(await large.until_lost(), ConnectionAborted)
        self.assertIsNone(small.lost)
        self.assertIsNone(sleepy.lost)
        self.assertEqual([event["log_level"] for event in logs], [LogLevel.warn])

    async def test_streams_of_all_nodes(self) -> None:
        """
        Streams that others open have an end, too; one more is reset, and a place that became free is taken again.
        """
        a = await self.start(ALICE)
        budget = ReceiveBudget(max_streams=2)
        b = await self.start(BOB, budget=budget)
        alice, bob = await self.join(a, b)
        inbox = Inbox(Echo)
        bob.accept_streams(inbox)
        streams = [cast(Any, await alice.open_stream(opening())) for _ in range(3)]
        for stream in streams[:2]:
            stream.transport.write(b"!")
            await stream.until_received(1)
        streams[2].transport.write(b"!")
        self.assertIs(await streams[2].until_lost(), ConnectionAborted)
        streams[0].transport.loseWriteConnection()
        self.assertIs(await streams[0].until_lost(), ConnectionDone)
        again = cast(Any, await alice.open_stream(opening()))
        again.transport.write(b"again")
        await again.until_received(5)
        await alice.close("done")
        await bob.closed
        self.assertEqual(budget.streams, 0)

    async def test_dead_handshakes(self) -> None:
        """
        An attempt that is given up leaves nothing on either side.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        attempts = [a.transport.connect(b.node_id, b.transport.addresses(), CHAT) for _ in range(20)]
        for attempt in attempts:
            attempt.addErrback(lambda failure: None)
            attempt.cancel()
        alice, bob = await self.join(a, b)
        await alice.close("done")
        await bob.closed


@implementer(IPullProducer)
class Drips(Recorder):
    """
    A pull producer of some pieces.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left = 20
        self.stopped = False

    def begin(self) -> None:
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.left -= 1
        self.transport.write(b"%d," % self.left)
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def stopProducing(self) -> None:
        self.stopped = True


@implementer(IPushProducer)
class Endless(Recorder):
    """
    Counts what its transport tells it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self._happened()

    def stopProducing(self) -> None:
        self.calls.append("stop")


class ProducerTests(IrohCase):
    """
    Who writes much is told when to wait.
    """

    async def test_pull(self) -> None:
        """
        A pull producer is asked until it is done.
        """
        here, there = await self.streams(opener=Drips)
        here.begin()
        await there.until_ended()
        self.assertEqual(bytes(there.received), b"!" + b"".join(b"%d," % n for n in reversed(range(20))))

    async def test_push(self) -> None:
        """
        A push producer is paused when much waits, resumed when little is left, and stopped at the end.
        """
        here, there = await self.streams(opener=Endless)
        here.transport.registerProducer(here, True)
        here.transport.write(b"x" * 100 * KIB)
        self.assertEqual(here.calls, [])
        here.transport.write(b"x" * 600 * KIB)
        self.assertEqual(here.calls, ["pause"])
        await here.until(lambda: "resume" in here.calls)
        there.transport.abortConnection()
        self.assertIs(await here.until_lost(), ConnectionAborted)
        self.assertEqual(here.calls, ["pause", "resume", "stop"])
        here.transport.registerProducer(late := Endless(), True)
        self.assertEqual(late.calls, ["stop"])

    async def test_ends_after_the_producer(self) -> None:
        """
        An end waits for the producer that is registered.
        """
        here, there = await self.streams(opener=Endless)
        here.transport.registerProducer(here, True)
        with self.assertRaises(RuntimeError):
            here.transport.registerProducer(here, True)
        here.transport.loseWriteConnection()
        here.transport.write(b"still")
        await there.until_received(6)
        self.assertFalse(there.ended)
        here.transport.unregisterProducer()
        await there.until_ended()


class Failing(Recorder):
    """
    A protocol with a bug.
    """

    @override
    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError("a bug")


class FaultTests(IrohCase):
    """
    Mistakes of ours.
    """

    async def test_failing_protocol(self) -> None:
        """
        A protocol that fails loses its stream, and nobody else suffers.
        """
        alice, bob = await self.pair()
        inbox = Inbox(Failing)
        bob.accept_streams(inbox)
        stream = cast(Any, await alice.open_stream(opening()))
        stream.transport.write(b"x")
        self.assertIs(await stream.until_lost(), ConnectionAborted)
        there = await inbox.next()
        self.assertEqual((await there.until_lost()), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        bob.accept_streams(Inbox(Echo))
        again = cast(Any, await alice.open_stream(opening()))
        again.transport.write(b"again")
        await again.until_received(5)

    async def test_failing_acceptor(self) -> None:
        """
        A connection that cannot be handed over is closed.
        """
        a, b = await self.start(ALICE), await self.start(BOB)

        def fail(connection: object) -> None:
            raise ZeroDivisionError("a bug")

        await b.transport.stop()
        await b.transport.listen(fail, lambda: [CHAT])
        alice = await a.transport.connect(b.node_id, b.transport.addresses(), CHAT)
        await alice.closed
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_failing_offer(self) -> None:
        """
        A connection for which nobody can say what is offered is refused, and the next one is taken.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        offers: list[list[bytes]] = []
        await b.transport.stop()
        await b.transport.listen(lambda connection: None, lambda: offers.pop())
        with self.assertRaises(ConnectError):
            await a.transport.connect(b.node_id, b.transport.addresses(), CHAT)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        offers.append([CHAT])
        await a.transport.connect(b.node_id, b.transport.addresses(), CHAT)

    async def test_not_listening(self) -> None:
        """
        Dialling needs a node that listens; listening twice is refused.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        with self.assertRaises(LocalProtocolError):
            await a.listen()
        addresses = b.transport.addresses()
        await a.transport.stop()
        with self.assertRaises(ConnectError):
            await a.transport.connect(b.node_id, addresses, CHAT)
        await a.transport.stop()

    async def test_port_taken(self) -> None:
        """
        A port that somebody else uses ends in one sentence that names the key.
        """
        a = await self.start(ALICE)
        with self.assertRaises(ConfigurationError) as caught:
            await self.start(BOB, bind=[str(a.transport.addresses()[0])])
        self.assertTrue(str(caught.exception).startswith("[iroh] listen: "), str(caught.exception))

    async def test_plain_text(self) -> None:
        """
        Streams carry bytes.
        """
        here, _ = await self.streams()
        with self.assertRaises(TypeError):
            here.transport.write("text")


class AddressTests(IrohCase):
    """
    Where we are.
    """

    async def test_no_wildcards(self) -> None:
        """
        A node that listens everywhere names addresses that others can dial.
        """
        a = await self.start(ALICE, bind=["0.0.0.0:0", "[::]:0"])
        hosts = [getattr(address, "host", None) for address in a.transport.addresses()]
        self.assertTrue(hosts)
        self.assertEqual({"0.0.0.0", "::"} & set(hosts), set())

    async def test_watched(self) -> None:
        """
        Whoever watches hears of the addresses when they are known.
        """
        a = await self.start(ALICE)
        await a.transport.stop()
        heard: list[object] = []
        a.transport.watch(lambda: heard.append(list(a.transport.addresses())))
        await a.listen()
        self.assertEqual(heard, [a.transport.addresses()])
        self.assertEqual([address.host for address in a.transport.addresses()], ["127.0.0.1", "::1"])  # type: ignore[union-attr]

    async def test_hundred_at_once(self) -> None:
        """
        Many nodes of a network can call at the same moment.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        made = await gatherResults([a.transport.connect(b.node_id, b.transport.addresses(), CHAT) for _ in range(100)])
        self.assertEqual(len({id(connection) for connection in made}), 100)


class NothingLeftTests(IrohCase):
    """
    What ended leaves nothing behind.
    """

    async def test_tasks(self) -> None:
        """
        After connections were used and closed, in whatever way, no task is left on the loop.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        bridge = cast(Any, a.transport)._bridge

        async def count() -> int:
            return len([task for task in asyncio.all_tasks() if not task.done()]) - 1

        await self.sleep(0.1)
        before = await bridge.run(count())
        for protocol in (Recorder, PlainRecorder, Echo, Sleepy):
            alice, bob = await self.join(a, b)
            inbox = Inbox(protocol)
            bob.accept_streams(inbox)
            alice.accept_streams(Inbox())
            for one_way in (False, True):
                stream = cast(Any, await alice.open_stream(opening(), one_way and protocol is not Echo))
                stream.transport.write(b"hello")
                await inbox.next()
            bob.abort("enough") if protocol is Echo else bob.close("enough")
            await gatherResults([alice.closed, bob.closed])
        await self.sleep(0.1)
        self.assertEqual(await bridge.run(count()), before)
