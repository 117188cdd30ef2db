"""
The TLS transport keeps its promises over real sockets, too.
"""

from __future__ import annotations

import gc
import os
import socket
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, TlsAddress
from p2panda_tw.errors import ConfigurationError
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.transport.tls import TlsTransport
from tests.transport.contract import ALICE, BOB, CHAT, MIB, TransportContract, scenario


class TlsOnSocketsTests(TransportContract, TestCase):
    """
    The contract, on trial's reactor and the loopback interface.
    """

    transport_name = "tls"
    bulk = 64 * MIB
    refused_within = 1.0

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        self.sockets = self.open_sockets()
        self.addCleanup(self.assert_no_sockets_left)

    def open_sockets(self) -> int:
        """
        How many there are now. (Other descriptors come and go with the reactor.)
        """
        found = 0
        for number in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
            try:
                found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
            except OSError:
                pass  # that of listdir itself
        return found

    async def _no_sockets_left(self) -> None:
        for _ in range(50):
            gc.collect()  # older Twisted leaves a socket that it could not bind to the collector
            if self.open_sockets() <= self.sockets:
                return
            await self.sleep(0.02)
        self.fail("A socket was left open.")

    def assert_no_sockets_left(self) -> Deferred[None]:
        """
        The transports have closed what they opened.
        """
        return Deferred.fromCoroutine(self._no_sockets_left())

    @override
    def make_transport(self, key: SigningKey) -> INodeTransport:
        return TlsTransport(self.reactor, key, listen=["127.0.0.1:0"])

    @override
    def dead_address(self) -> Address:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return TlsAddress("127.0.0.1", free.getsockname()[1])

    @override
    def silent_address(self) -> Address:
        silent = socket.socket()
        self.addCleanup(silent.close)
        self.sockets += 1
        self.addCleanup(self._closed_silent)
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)  # the system takes connections, and nobody ever looks at them
        return TlsAddress("127.0.0.1", silent.getsockname()[1])

    def _closed_silent(self) -> None:
        self.sockets -= 1

    # What only sockets can show.

    @scenario
    async def test_by_name(self) -> None:
        """
        A host name is looked up.
        """
        a, b = await self.start(ALICE), await self.start(BOB)
        (address,) = b.transport.addresses()
        assert isinstance(address, TlsAddress)
        there = b.accepted.get()
        here = await a.transport.connect(b.node_id, [TlsAddress("localhost", address.port)], CHAT)
        self.assertEqual((here.node_id, (await there).node_id), (b.node_id, a.node_id))

    @scenario
    async def test_everywhere(self) -> None:
        """
        By default one port serves IPv4 and IPv6, and the loopback addresses are told, last.
        """
        a = await self.start(ALICE)
        b = TlsTransport(self.reactor, BOB)
        await b.listen(lambda connection: None, lambda: [CHAT])
        self.addCleanup(b.stop)
        addresses = [address for address in b.addresses() if isinstance(address, TlsAddress)]
        self.assertEqual({address.port for address in addresses}, {b.port})
        loopback = [address for address in addresses if address.host in ("127.0.0.1", "::1")]
        self.assertEqual(addresses[-len(loopback) :], loopback)
        for address in loopback:
            connection = await a.transport.connect(BOB.verifying_key, [address], CHAT)
            await connection.close("seen")

    @scenario
    async def test_taken_port(self) -> None:
        """
        A port that another program has is a sentence.
        """
        b = await self.start(BOB)
        (address,) = b.transport.addresses()
        assert isinstance(address, TlsAddress)
        other = TlsTransport(self.reactor, ALICE, listen=[str(address)])
        error = await self.fails(other.listen(lambda connection: None, list), ConfigurationError)
        self.assertIn(f"port {address.port} is in use", str(error))

    @scenario
    async def test_port_is_kept(self) -> None:
        """
        A transport that begins again does so at the port that it had.
        """
        b = TlsTransport(self.reactor, BOB)
        await b.listen(lambda connection: None, lambda: [CHAT])
        port = b.port
        await b.stop()
        self.assertIsNone(b.port)
        await b.listen(lambda connection: None, lambda: [CHAT])
        self.addCleanup(b.stop)
        self.assertEqual(b.port, port)
