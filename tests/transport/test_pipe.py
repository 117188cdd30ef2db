"""
Byte transports joined in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from p2panda_tw.transport.pipe import CAPACITY, PipeEnd, join
from tests.transport.contract import PlainRecorder
from tests.transport.test_streams import Pushing


class PipeTests(SynchronousTestCase):
    """
    What one side writes reaches the other.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def join(self, **settings: Any) -> tuple[PlainRecorder, PlainRecorder, PipeEnd, PipeEnd]:
        here, there = PlainRecorder(), PlainRecorder()
        ends = join(
            self.clock,
            here,
            there,
            dialler_address=IPv4Address("TCP", "127.0.0.1", 1),
            acceptor_address=IPv4Address("TCP", "127.0.0.1", 2),
            **settings,
        )
        return here, there, *ends

    def test_interfaces(self) -> None:
        """
        An end is a transport like others.
        """
        _, _, end, _ = self.join()
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, end)
        self.assertEqual((end.getHost().port, end.getPeer().port), (1, 2))  # type: ignore[attr-defined]  # IPv4Address

    def test_delivery(self) -> None:
        """
        In order, after the delay, and then the end, on both sides.
        """
        here, there, end, _ = self.join(delay=1.0)
        end.write(b"one ")
        end.writeSequence([b"two ", b"three"])
        end.loseConnection()
        end.write(b"too late")
        self.clock.advance(0.9)
        self.assertEqual(bytes(there.received), b"")
        self.clock.advance(0.1)
        self.assertEqual(bytes(there.received), b"one two three")
        assert here.lost is not None and there.lost is not None
        self.assertTrue(here.lost.check(ConnectionDone) and there.lost.check(ConnectionDone))

    def test_pieces(self) -> None:
        """
        If wished, in pieces.
        """
        pieces: list[bytes] = []

        class Keeping(PlainRecorder):
            def dataReceived(self, data: bytes) -> None:
                pieces.append(data)

        end, _ = join(
            self.clock,
            PlainRecorder(),
            Keeping(),
            dialler_address=IPv4Address("TCP", "127.0.0.1", 1),
            acceptor_address=IPv4Address("TCP", "127.0.0.1", 2),
            piece=2,
        )
        end.write(b"hello")
        self.clock.advance(0)
        self.assertEqual(pieces, [b"he", b"ll", b"o"])

    def test_abort(self) -> None:
        """
        An abort drops what is under way.
        """
        here, there, end, _ = self.join(delay=1.0)
        end.write(b"never")
        end.abortConnection()
        end.abortConnection()
        self.clock.advance(1)
        assert here.lost is not None and there.lost is not None
        self.assertTrue(here.lost.check(ConnectionAborted) and there.lost.check(ConnectionLost))
        self.assertEqual(bytes(there.received), b"")

    def test_producer(self) -> None:
        """
        A producer is paused when much is under way, resumed when it has arrived, and stopped at the end.
        """
        _, _, end, _ = self.join(delay=1.0)
        producer = Pushing()
        end.registerProducer(producer, True)
        end.write(bytes(CAPACITY))
        self.assertEqual(producer.heard, [])
        end.write(b"x")
        self.assertEqual(producer.heard, ["pause"])
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(producer.heard, ["pause", "resume"])
        end.abortConnection()
        self.clock.advance(1)
        self.assertEqual(producer.heard, ["pause", "resume", "stop"])

    def test_paused_reader(self) -> None:
        """
        A paused reader is given nothing, and loses nothing.
        """
        _, there, end, other = self.join()
        other.pauseProducing()
        end.write(b"hello")
        self.clock.advance(1)
        self.assertEqual(bytes(there.received), b"")
        other.resumeProducing()
        self.clock.advance(1)
        self.assertEqual(bytes(there.received), b"hello")

    def test_frozen(self) -> None:
        """
        Out of a frozen end nothing comes, not even its end.
        """
        _, there, end, _ = self.join()
        end.frozen = True
        end.write(b"never")
        end.abortConnection()
        self.clock.advance(10)
        self.assertEqual((bytes(there.received), there.lost), (b"", None))
