"""
The TLS transport keeps the promises of every transport, here over memory instead of sockets.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, TlsAddress
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.transport.tls import TlsTransport
from tests.transport.contract import MIB, Node, OnClock, TransportContract
from tests.transport.fake_reactor import FakeReactor


class TlsContractTests(OnClock, TransportContract, SynchronousTestCase):
    """
    The contract, with real TLS on a fake network.
    """

    transport_name = "tls"
    refused_within = 0.5
    bulk = 16 * MIB

    reactor: FakeReactor

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.addCleanup(self.assert_nothing_left)

    @override
    def make_transport(self, key: SigningKey) -> INodeTransport:
        return TlsTransport(self.reactor, key, interfaces=lambda: ["192.0.2.1", "127.0.0.1", "::1"])

    @override
    def dead_address(self) -> Address:
        return TlsAddress("192.0.2.7", self.reactor.new_port())

    @override
    def silent_address(self) -> Address:
        address = TlsAddress("192.0.2.8", self.reactor.new_port())
        self.reactor.silent.add((address.host, address.port))
        return address

    @override
    def vanish(self, node: Node) -> bool:
        for ends in self.reactor.pipes:
            for end in ends:
                end.frozen = True
        return True

    @override
    def in_pieces(self) -> bool:
        self.reactor.piece, self.reactor.delay = 1, 0.0
        return True
