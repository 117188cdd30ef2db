"""
A reactor for transports over TCP, without sockets: C{listenTCP} and C{connectTCP} join protocols in memory, and the clock
is moved by the test.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
)
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.transport.pipe import CAPACITY, PipeEnd, join


def _address(host: str, port: int) -> IAddress:
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


@implementer(IListeningPort)
class FakePort:
    """
    Something listens here.
    """

    def __init__(self, reactor: FakeReactor, host: str, port: int, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self.host = host
        self.number = port
        self.factory = factory

    def startListening(self) -> None:  # noqa: N802  # Twisted's
        self._reactor.ports[self.host, self.number] = self

    def stopListening(self) -> None:  # noqa: N802  # Twisted's
        self._reactor.ports.pop((self.host, self.number), None)

    def getHost(self) -> IAddress:
        return _address(self.host, self.number)


@implementer(IConnector)
class FakeConnector:
    """
    One attempt to connect.
    """

    def __init__(self, reactor: FakeReactor, host: str, port: int, factory: Any) -> None:
        self._reactor = reactor
        self._to = (host, port)
        self._factory = factory
        self._call: IDelayedCall | None = None

    def connect(self) -> None:
        self._factory.doStart()
        self._factory.startedConnecting(self)
        self._call = self._reactor.callLater(self._reactor.delay, self._arrive)

    def _arrive(self) -> None:
        self._call = None
        if self._to in self._reactor.silent:
            return
        port = self._reactor.port_at(*self._to)
        if port is None:
            self._fail(ConnectionRefusedError())
            return
        here, there = _address("127.0.0.1", 50_000), _address(*self._to)
        acceptor = port.factory.buildProtocol(here)
        dialler = self._factory.buildProtocol(there)
        if acceptor is None:
            acceptor = Protocol()
        ends = join(
            self._reactor,
            dialler,
            acceptor,
            dialler_address=here,
            acceptor_address=there,
            delay=self._reactor.delay,
            piece=self._reactor.piece,
        )
        self._reactor.pipes.append(ends)
        if type(acceptor) is Protocol:
            ends[1].loseConnection()

    def _fail(self, reason: Exception) -> None:
        self._factory.clientConnectionFailed(self, Failure(reason))
        self._factory.doStop()

    def stopConnecting(self) -> None:  # noqa: N802  # Twisted's
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def disconnect(self) -> None:
        self.stopConnecting()

    def getDestination(self) -> IAddress:  # noqa: N802  # Twisted's
        return _address(*self._to)


@implementer(IReactorTCP)
class FakeReactor(Clock):
    """
    One machine, on which C{::} takes IPv4, too.

    @ivar delay: Seconds that everything takes in each direction.
    @ivar piece: Bytes that are delivered at most at once.
    @ivar silent: Hosts and ports that never answer.
    @ivar pipes: Every connection that was made: the dialler's end, the acceptor's.
    """

    def __init__(self, delay: float = 0.001) -> None:
        super().__init__()
        self.delay = delay
        self.piece = CAPACITY
        self.ports: dict[tuple[str, int], FakePort] = {}
        self.silent: set[tuple[str, int]] = set()
        self.pipes: list[tuple[PipeEnd, PipeEnd]] = []
        self._next_port = 40_000

    def port_at(self, host: str, port: int) -> FakePort | None:
        for candidate in (host, "0.0.0.0", "::"):
            if (candidate, port) in self.ports and (candidate != "0.0.0.0" or ":" not in host):
                return self.ports[candidate, port]
        return None

    def new_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def listenTCP(  # noqa: N802  # Twisted's
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        host = interface or "0.0.0.0"
        number = port or self.new_port()
        if (host, number) in self.ports or (host == "0.0.0.0" and ("::", number) in self.ports):
            raise CannotListenError(host, number, OSError(errno.EADDRINUSE, "taken"))
        listening = FakePort(self, host, number, factory)
        listening.startListening()
        return listening

    def connectTCP(  # noqa: N802  # Twisted's
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,  # noqa: N803  # Twisted's
    ) -> IConnector:
        connector = FakeConnector(self, host, port, factory)
        connector.connect()
        return connector

    def connect_raw(self, host: str, port: int, protocol: IProtocol) -> None:
        """
        Connect a protocol that is no transport's.
        """
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign,assignment,return-value]
        self.connectTCP(host, port, factory)
