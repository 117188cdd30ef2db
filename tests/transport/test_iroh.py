"""
The iroh transport under the contract, on real sockets of this machine. C{.ci/run} runs this on the default reactor and
once more on the asyncio reactor.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import TestCase
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, IrohAddress
from p2panda_tw.interfaces import INodeTransport
from tests.transport.contract import TransportContract
from tests.transport.iroh_node import LOOPBACK, NO_IROH

if NO_IROH is None:
    from p2panda_tw.transport.iroh import IrohTransport


class IrohTransportTests(TransportContract, TestCase):
    """
    What every transport promises, kept by QUIC.
    """

    skip = NO_IROH
    transport_name = "iroh"

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    @override
    def make_transport(self, key: SigningKey) -> INodeTransport:
        return IrohTransport(self.reactor, key, bind=LOOPBACK)

    @override
    def dead_address(self) -> Address:
        return IrohAddress("127.0.0.1", 1)

    @override
    def silent_address(self) -> Address:
        swallowing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(swallowing.close)
        swallowing.bind(("127.0.0.1", 0))
        return IrohAddress("127.0.0.1", swallowing.getsockname()[1])
