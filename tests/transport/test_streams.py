"""
Streams and connections as Twisted transports: what the contract does not say, because only ours do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2panda_tw.errors import ConnectError, RemoteProtocolError
from p2panda_tw.interfaces import IConnection
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.limits import KeepAlive, ReceiveBudget
from p2panda_tw.transport.memory import MemoryNetwork
from tests.transport.contract import ALICE, BOB, CHAT, MIB, Inbox, PlainRecorder, Recorder, Sleepy, opening


class Failing(Recorder):
    """
    Has a mistake.
    """

    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError("a mistake")


class Strict(Recorder):
    """
    Does not like what it hears.
    """

    def dataReceived(self, data: bytes) -> None:
        raise RemoteProtocolError("This is no greeting.")


@implementer(IPushProducer)
class Pushing:
    """
    Counts what a consumer says.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []

    def pauseProducing(self) -> None:
        self.heard.append("pause")

    def resumeProducing(self) -> None:
        self.heard.append("resume")

    def stopProducing(self) -> None:
        self.heard.append("stop")


@implementer(IPullProducer)
class Pulling:
    """
    Writes a piece each time it is asked.
    """

    def __init__(self, stream: Any, pieces: int) -> None:
        self._stream = stream
        self.left = pieces

    def resumeProducing(self) -> None:
        if self.left:
            self.left -= 1
            self._stream.write(b"piece" * 10_000)
        else:
            self._stream.unregisterProducer()
            self._stream.loseConnection()

    def stopProducing(self) -> None:
        self.left = 0


class OnMemory(SynchronousTestCase):
    """
    A connection over the memory network.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, delay=0.001)
        self.warnings: list[LogEvent] = []
        self.budget = ReceiveBudget()
        self.a = self.network.transport(ALICE)
        self.b = self.network.transport(BOB, budget=self.budget)
        self.b.complaints = Complaints(Logger(observer=cast(ILogObserver, self.warnings.append)))
        accepted: list[IConnection] = []
        self.successResultOf(self.a.listen(lambda _: None, list))
        self.successResultOf(self.b.listen(accepted.append, lambda: [CHAT]))
        connecting = self.a.connect(BOB.verifying_key, self.b.addresses(), CHAT)
        self.let(0.1)
        self.alice: Any = self.successResultOf(connecting)
        self.bob: Any = accepted[0]
        self.addCleanup(self.clean_up)

    def clean_up(self) -> None:
        """
        Nothing is left.
        """
        stopped = [self.a.stop(), self.b.stop()]
        self.let(11)
        for stop in stopped:
            self.successResultOf(stop)
        self.assertEqual((self.budget.used, self.budget.streams), (0, 0))
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])

    def let(self, seconds: float) -> None:
        """
        Let time pass.
        """
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(0.01)

    def stream(
        self, opener: Callable[[], PlainRecorder] = Recorder, acceptor: Callable[[], PlainRecorder] = Recorder
    ) -> tuple[Any, Any]:
        """
        Both ends of a stream.
        """
        inbox = Inbox(acceptor)
        self.bob.accept_streams(inbox)
        here = cast(Any, self.successResultOf(self.alice.open_stream(opening(opener))))
        here.transport.write(b"!")
        self.let(0.05)
        return here, self.successResultOf(inbox.next())

    def causes(self) -> list[str]:
        """
        The cause of each warning.
        """
        return [event["cause"] for event in self.warnings]


class StreamTests(OnMemory):
    """
    One stream.
    """

    def test_mistake_in_a_protocol(self) -> None:
        """
        A protocol that raises loses its stream, the log says why, and the connection goes on.
        """
        here, there = self.stream(acceptor=Failing)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(there.lost.check(ConnectionAborted))
        self.assertTrue(here.lost.check(ConnectionAborted))
        self.stream()
        self.assertEqual(self.causes(), [])

    def test_protocol_refuses(self) -> None:
        """
        A protocol that finds the other node at fault loses its stream, with one warning.
        """
        for _ in range(2):
            here, _ = self.stream(acceptor=Strict)
            self.assertTrue(here.lost.check(ConnectionAborted))
        self.assertEqual(self.causes(), ["protocol error"])

    def test_mistake_in_a_factory(self) -> None:
        """
        A factory that raises costs the stream alone.
        """

        class Broken(Factory):
            def buildProtocol(self, addr: object) -> Protocol:
                raise ZeroDivisionError("a mistake")

        self.bob.accept_streams(Broken())
        here = cast(Any, self.successResultOf(self.alice.open_stream(opening())))
        here.transport.write(b"!")
        self.let(0.05)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(here.lost.check(ConnectionAborted))
        self.failureResultOf(self.alice.open_stream(Broken()), ConnectError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_push_producer(self) -> None:
        """
        A push producer is paused while much is waiting, resumed, and stopped at the end.
        """
        here, there = self.stream()
        producer = Pushing()
        there.transport.pauseProducing()
        here.transport.registerProducer(producer, True)
        here.transport.write(b"z" * MIB)
        self.assertEqual(producer.heard, ["pause"])
        self.let(0.1)
        self.assertEqual(producer.heard, ["pause"])
        there.transport.resumeProducing()
        self.let(0.5)
        self.assertEqual(producer.heard, ["pause", "resume"])
        here.transport.abortConnection()
        self.assertEqual(producer.heard, ["pause", "resume", "stop"])

    def test_pull_producer(self) -> None:
        """
        A pull producer is asked for more as long as it has more.
        """
        here, there = self.stream()
        here.transport.registerProducer(Pulling(here.transport, 50), False)
        self.let(1)
        there.transport.loseWriteConnection()
        self.let(0.1)
        self.assertEqual(len(there.received), 1 + 50 * 50_000)
        self.assertTrue(here.lost.check(ConnectionDone))

    def test_one_producer(self) -> None:
        """
        There is one producer at a time.
        """
        here, _ = self.stream()
        here.transport.registerProducer(Pushing(), True)
        with self.assertRaises(RuntimeError):
            here.transport.registerProducer(Pushing(), True)

    def test_producer_too_late(self) -> None:
        """
        A producer for a stream that is over is stopped.
        """
        here, _ = self.stream()
        here.transport.abortConnection()
        self.let(0.1)
        producer = Pushing()
        here.transport.registerProducer(producer, True)
        self.assertEqual(producer.heard, ["stop"])

    def test_lose_connection_waits_for_the_producer(self) -> None:
        """
        As on Twisted's transports, losing a connection waits until the producer has finished.
        """
        here, there = self.stream()
        producer = Pushing()
        here.transport.registerProducer(producer, True)
        here.transport.loseConnection()
        here.transport.write(b"the rest")
        self.let(0.1)
        self.assertFalse(there.ended)
        here.transport.unregisterProducer()
        self.let(0.1)
        self.assertTrue(there.ended)
        self.assertEqual(bytes(there.received), b"!the rest")

    def test_abort_in_data_received(self) -> None:
        """
        A protocol that aborts while it is given data hears nothing more.
        """

        class Once(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.abortConnection()

        inbox = Inbox(lambda: Once())
        here = cast(Any, self.successResultOf(self.alice.open_stream(opening())))
        here.transport.write(b"z" * 200_000)
        here.transport.loseWriteConnection()
        self.let(0.05)
        self.bob.accept_streams(inbox)
        self.let(0.05)
        there = self.successResultOf(inbox.next())
        self.assertTrue(there.lost.check(ConnectionAborted))
        self.assertTrue(0 < len(there.received) < 200_000)
        self.assertFalse(there.ended)

    def test_pause_in_data_received(self) -> None:
        """
        A protocol may pause at every delivery and resume later.
        """

        class Sipping(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()

        here, there = self.stream(acceptor=Sipping)
        here.transport.write(b"z" * 500_000)
        here.transport.loseWriteConnection()
        for _ in range(200):
            there.transport.resumeProducing()
            self.let(0.01)
        self.assertEqual(len(there.received), 500_001)
        self.assertTrue(there.ended)

    def test_write_after_the_end(self) -> None:
        """
        What is written after the end goes nowhere, and a second end is none.
        """
        here, there = self.stream()
        here.transport.loseWriteConnection()
        here.transport.write(b"too late")
        here.transport.loseWriteConnection()
        here.transport.loseConnection()
        self.let(0.1)
        self.assertEqual(bytes(there.received), b"!")
        there.transport.loseWriteConnection()
        self.let(0.1)
        self.assertTrue(here.lost.check(ConnectionDone))

    def test_other_buffers(self) -> None:
        """
        Bytes may come as a bytearray or a view, which the writer may reuse afterwards.
        """
        here, there = self.stream()
        buffer = bytearray(b"first")
        here.transport.write(buffer)
        buffer[:] = b"other"
        here.transport.write(memoryview(b"second"))
        self.let(0.1)
        self.assertEqual(bytes(there.received), b"!firstsecond")


class ConnectionTests(OnMemory):
    """
    The whole connection.
    """

    def test_streams_run_out(self) -> None:
        """
        The 257th stream cannot be opened, until one is gone.
        """
        streams = [cast(Any, self.successResultOf(self.alice.open_stream(opening()))) for _ in range(256)]
        self.failureResultOf(self.alice.open_stream(opening()), ConnectError)
        streams[0].transport.abortConnection()
        self.let(0.1)
        self.successResultOf(self.alice.open_stream(opening()))

    def test_unread_streams_keep_their_place(self) -> None:
        """
        One-way streams that have ended count as long as nobody has read them.
        """
        self.bob.accept_streams(Inbox(Sleepy))
        for _ in range(400):
            stream = cast(Any, self.successResultOf(self.alice.open_stream(opening(), one_way=True)))
            stream.transport.write(b"!")
            stream.transport.loseWriteConnection()
            self.let(0.01)
        self.let(0.1)
        self.assertEqual(self.budget.streams, 256)
        self.assertEqual(self.causes(), ["too many streams"])

    def test_writes_of_a_turn_travel_together(self) -> None:
        """
        Small writes of one turn of the reactor arrive in one delivery.
        """
        deliveries: list[bytes] = []

        class Counting(Recorder):
            def dataReceived(self, data: bytes) -> None:
                deliveries.append(data)

        here, _ = self.stream(acceptor=Counting)
        for _ in range(100):
            here.transport.write(b"0123456789")
        self.let(0.1)
        self.assertEqual(deliveries, [b"!", b"0123456789" * 100])

    def test_peers_goodbye_leaves_time_to_read(self) -> None:
        """
        After an orderly close by the other node a slow reader has five seconds for what has arrived.
        """
        here, there = self.stream(acceptor=Sleepy)
        here.transport.write(b"never read")
        closed = self.alice.close("over")
        self.let(4.5)
        self.successResultOf(closed)
        self.assertIsNone(there.lost)
        self.assertNoResult(self.bob.closed)
        self.let(1)
        self.assertTrue(there.lost.check(ConnectionLost))
        self.successResultOf(self.bob.closed)

    def test_abort_leaves_none(self) -> None:
        """
        After an abort there is nothing to read.
        """
        here, there = self.stream(acceptor=Sleepy)
        here.transport.write(b"never read")
        self.let(0.1)
        self.alice.abort("over")
        self.let(0.1)
        self.assertTrue(there.lost.check(ConnectionLost))
        self.assertEqual(bytes(there.received), b"")
        self.successResultOf(self.bob.closed)

    def test_cancelled_close(self) -> None:
        """
        Whoever stops waiting for the end does not spoil it for others.
        """
        first, second = self.alice.close("over"), self.alice.close("over")
        first.cancel()
        self.failureResultOf(first)
        self.let(0.1)
        self.assertIsNone(self.successResultOf(second))
        self.assertIsNone(self.successResultOf(self.alice.closed))

    def test_keep_alive_can_be_slower(self) -> None:
        """
        Over slow networks the signs of life may be rarer.
        """
        slow = KeepAlive(15.0, 45.0)
        a, b = self.network.transport(ALICE, keep_alive=slow), self.network.transport(BOB, keep_alive=slow)
        accepted: list[Any] = []
        self.successResultOf(a.listen(lambda _: None, list))
        self.successResultOf(b.listen(accepted.append, lambda: [CHAT]))
        connecting = a.connect(BOB.verifying_key, b.addresses(), CHAT)
        self.let(0.1)
        alice = self.successResultOf(connecting)
        self.let(100)
        self.assertNoResult(alice.closed)
        self.network.vanish(b)
        self.let(44)
        self.assertNoResult(alice.closed)
        self.let(17)
        self.successResultOf(alice.closed)

    def test_budget_is_shared(self) -> None:
        """
        What waits is counted while it waits, and no longer.
        """
        here, there = self.stream(acceptor=Sleepy)
        here.transport.write(b"z" * 100_000)
        self.let(0.1)
        self.assertEqual(self.budget.used, 100_001)
        there.transport.resumeProducing()
        self.let(0.1)
        self.assertEqual(self.budget.used, 0)
