"""
The memory network keeps the promises of every transport.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.transport.memory import MemoryNetwork, MemoryTransport
from tests.transport.contract import MIB, Node, OnClock, TransportContract


class MemoryContractTests(OnClock, TransportContract, SynchronousTestCase):
    """
    The contract, on a clock.
    """

    transport_name = "memory"
    refused_within = 0.5
    bulk = 16 * MIB

    def setUp(self) -> None:
        self.reactor = Clock()
        self.network = MemoryNetwork(self.reactor, delay=0.001)
        self.addCleanup(self.assert_nothing_left)

    @override
    def make_transport(self, key: SigningKey) -> INodeTransport:
        return self.network.transport(key)

    @override
    def dead_address(self) -> Address:
        return self.network.new_address()

    @override
    def silent_address(self) -> Address:
        return self.network.silent_address()

    @override
    def vanish(self, node: Node) -> bool:
        assert isinstance(node.transport, MemoryTransport)
        self.network.vanish(node.transport)
        return True

    @override
    def in_pieces(self) -> bool:
        self.network.piece = 1
        return True
