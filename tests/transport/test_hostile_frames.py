"""
Frames that are within all limits, and meant to be work.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.connection import Connection
from p2panda_tw.transport.frames import DATA, FIN, HEADER, SYN
from p2panda_tw.transport.limits import KEEP_ALIVE, ReceiveBudget
from p2panda_tw.transport.node_address import NodeAddress


class _Reader(Protocol):
    """
    Notes what it is given at a time.
    """

    def connectionMade(self) -> None:
        self.deliveries: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.deliveries.append(data)


class TinyFramesTests(SynchronousTestCase):
    """
    Looking at a frame takes 3 microseconds, a delivery ten times as long.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        address = NodeAddress(SigningKey(bytes(32)).verifying_key, "test")
        self.connection = Connection(
            self.clock,
            host=address,
            peer=address,
            alpn=bytes(32),
            dialler=False,
            keep_alive=KEEP_ALIVE,
            budget=ReceiveBudget(),
            complaints=Complaints(Logger()),
        )
        transport = StringTransportWithDisconnection()
        transport.protocol = self.connection
        self.readers: list[_Reader] = []

        def build(address: object) -> _Reader:
            self.readers.append(_Reader())
            return self.readers[-1]

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[assignment,method-assign]  # shorter than a class
        self.connection.accept_streams(factory)
        self.connection.makeConnection(transport)
        self.addCleanup(self.connection.abort, "The test is over.")

    def test_one_byte_each(self) -> None:
        """
        What a peer has cut into frames of one byte and sent at once is delivered at once, also when it alternates
        between streams.
        """
        opening = b"".join(HEADER.pack(0, DATA, SYN, number, 1) + b"\0" for number in (1, 3))
        one, other = HEADER.pack(0, DATA, 0, 1, 1), HEADER.pack(0, DATA, 0, 3, 1)
        self.connection.dataReceived(opening + (one + b"a" + other + b"b") * 500)
        self.assertEqual([reader.deliveries for reader in self.readers], [[b"a" * 500], [b"b" * 500]])

    def test_order(self) -> None:
        """
        The end of a stream comes after its data.
        """
        self.connection.dataReceived(
            HEADER.pack(0, DATA, SYN, 1, 3)
            + b"\0ab"
            + HEADER.pack(0, DATA, 0, 1, 1)
            + b"c"
            + HEADER.pack(0, DATA, FIN, 1, 0)
        )
        self.assertEqual(self.readers[0].deliveries, [b"abc"])
