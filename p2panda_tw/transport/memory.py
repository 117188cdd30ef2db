# -*- test-case-name: tests.transport.test_memory -*-
"""
A network in one process, for tests and examples: nodes reach each other without sockets, on any clock, by the same
rules as over TLS. On a C{twisted.internet.task.Clock} everything happens when the clock is advanced, in the same order
each time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.endpoint.addresses import Address, TlsAddress
from p2panda_tw.errors import ConfigurationError, ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.interfaces import IConnection, INodeTransport
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.connection import Connection
from p2panda_tw.transport.dialling import dial
from p2panda_tw.transport.limits import KEEP_ALIVE, ConnectionLimits, KeepAlive, ReceiveBudget
from p2panda_tw.transport.node_address import NodeAddress
from p2panda_tw.transport.pipe import CAPACITY, PipeEnd, join
from p2panda_tw.transport.roster import Roster

__all__ = ["MEMORY_HOST", "MemoryNetwork", "MemoryTransport"]

MEMORY_HOST: Final = "memory.invalid"
"""
Addresses of a memory network are TLS addresses with this host, so that tickets and records carry them like others. No
such host can exist (RFC 6761).
"""


class MemoryNetwork:
    """
    What joins L{MemoryTransport}s.

    @ivar delay: Seconds that bytes of new connections take in each direction.
    @ivar piece: Bytes that new connections deliver at most at once.
    """

    def __init__(self, clock: IReactorTime, delay: float = 0.0, piece: int = CAPACITY) -> None:
        self.clock = clock
        self.delay = delay
        self.piece = piece
        self._next_port = 1
        self._listening: dict[int, MemoryTransport] = {}
        self._silent: set[int] = set()

    def transport(
        self,
        signing_key: SigningKey,
        *,
        keep_alive: KeepAlive = KEEP_ALIVE,
        budget: ReceiveBudget | None = None,
        limits: ConnectionLimits | None = None,
    ) -> MemoryTransport:
        """
        @return: A way into this network for one node.
        """
        return MemoryTransport(self, signing_key, keep_alive=keep_alive, budget=budget, limits=limits)

    def new_address(self) -> TlsAddress:
        """
        @return: An address where nothing listens.
        """
        port, self._next_port = self._next_port, self._next_port + 1
        return TlsAddress(MEMORY_HOST, port)

    def silent_address(self) -> TlsAddress:
        """
        @return: An address that takes everything and says nothing.
        """
        address = self.new_address()
        self._silent.add(address.port)
        return address

    def vanish(self, transport: MemoryTransport) -> None:
        """
        Cut a node off, as if its cable were pulled: nobody is told.
        """
        address = transport.address
        if address is not None:
            self._listening.pop(address.port, None)
            self._silent.add(address.port)
        for ends in transport.pipes.values():
            for end in ends:
                end.frozen = True


@implementer(INodeTransport)
class MemoryTransport:
    """
    One node's way into a L{MemoryNetwork}.

    @ivar address: Where the network finds it; kept over L{stop} and L{listen}.
    @ivar pipes: Both ends of the pipe of each connection.
    @ivar complaints: What others did that they must not do.
    """

    name = "memory"

    def __init__(
        self,
        network: MemoryNetwork,
        signing_key: SigningKey,
        *,
        keep_alive: KeepAlive = KEEP_ALIVE,
        budget: ReceiveBudget | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.node_id = signing_key.verifying_key
        self.address: TlsAddress | None = None
        self.pipes: dict[Connection, tuple[PipeEnd, PipeEnd]] = {}
        self.complaints = Complaints(Logger())
        self._network = network
        self._keep_alive = keep_alive
        self._budget = budget if budget is not None else ReceiveBudget()
        self._limits = limits if limits is not None else ConnectionLimits()
        self._roster = Roster()
        self._accept: Callable[[IConnection], None] | None = None
        self._offered: Callable[[], Sequence[bytes]] = tuple
        self._changed: list[Callable[[], None]] = []

    def listen(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        """
        Begin to take connections.
        """
        if self._accept is not None:
            return fail(ConfigurationError("The transport listens already."))
        if self.address is None:
            self.address = self._network.new_address()
        self._accept, self._offered = accept, offered
        self._network._listening[self.address.port] = self
        for changed in self._changed:
            changed()
        return succeed(None)

    def reaches(self, address: Address) -> bool:
        """
        @return: Whether this is an address of a memory network.
        """
        return isinstance(address, TlsAddress) and address.host == MEMORY_HOST

    def addresses(self) -> Sequence[Address]:
        """
        @return: The one address, while listening.
        """
        return [self.address] if self.address is not None and self._accept is not None else []

    def watch(self, changed: Callable[[], None]) -> None:
        """
        Call C{changed} when L{addresses} changes.
        """
        self._changed.append(changed)

    def connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        """
        Make a new connection.
        """
        if self._accept is None:
            return fail(ConnectError("The transport does not listen, so it does not dial."))
        attempts = [
            functools.partial(self._attempt, node_id, address, alpn)
            for address in addresses
            if isinstance(address, TlsAddress)
        ]
        return self._roster.attempt(dial(self._network.clock, attempts))

    def stop(self) -> Deferred[None]:
        """
        Close every connection and take no more.
        """
        if self._accept is not None and self.address is not None:
            self._network._listening.pop(self.address.port, None)
            self._accept = None
        return self._roster.end()

    def _attempt(self, node_id: NodeId, address: TlsAddress, alpn: bytes) -> Deferred[IConnection]:
        attempt = _Attempt()
        attempt.give_up = self._network.clock.callLater(
            self._network.delay, self._arrive, attempt, node_id, address, alpn
        ).cancel
        return attempt.done

    def _arrive(self, attempt: _Attempt, node_id: NodeId, address: TlsAddress, alpn: bytes) -> None:
        """
        The wish for a connection has arrived at the other node.
        """
        network = self._network
        attempt.give_up = _nothing
        other = network._listening.get(address.port)
        if other is None and address.port in network._silent:
            return
        if other is None:
            attempt.done.errback(ConnectError(f"Nothing listens at {address}."))
        elif other.node_id != node_id:
            attempt.done.errback(WrongNode(f"Another node answers at {address}."))
        elif alpn not in other._offered():
            attempt.done.errback(NoCommonProtocol("The node does not speak this protocol in this network."))
        elif refused := other._count(self.node_id):
            attempt.done.errback(ConnectError(refused))
        else:
            connection = self._join(other, alpn)
            assert connection.opened is not None
            attempt.give_up = functools.partial(connection.abort, "The attempt was cancelled.")
            connection.opened.addCallbacks(attempt.done.callback, attempt.done.errback)

    def _count(self, node_id: NodeId) -> str | None:
        return self._limits.begin("memory") or self._limits.finish("memory", node_id)

    def _join(self, other: MemoryTransport, alpn: bytes) -> Connection:
        self._limits.begin(None)
        self._limits.finish(None, other.node_id)
        here = self._connection(other.node_id, alpn, dialler=True)
        there = other._connection(self.node_id, alpn, dialler=False)
        ends = join(
            self._network.clock,
            here,
            there,
            dialler_address=here.host,
            acceptor_address=here.peer,
            delay=self._network.delay,
            piece=self._network.piece,
        )
        self._remember(here, ends)
        other._remember(there, ends)
        assert other._accept is not None
        there.hand_to(other._accept)
        return here

    def _connection(self, node_id: NodeId, alpn: bytes, dialler: bool) -> Connection:
        return Connection(
            self._network.clock,
            host=NodeAddress(self.node_id, self.name),
            peer=NodeAddress(node_id, self.name),
            alpn=alpn,
            dialler=dialler,
            keep_alive=self._keep_alive,
            budget=self._budget,
            complaints=self.complaints,
        )

    def _remember(self, connection: Connection, ends: tuple[PipeEnd, PipeEnd]) -> None:
        self.pipes[connection] = ends
        self._roster.add(connection)

        def forget(result: None) -> None:
            del self.pipes[connection]
            self._limits.leave(connection.node_id)

        connection.closed.addCallback(forget)


def _nothing() -> None:
    """
    There is nothing to give up any more.
    """


class _Attempt:
    """
    One attempt to connect.

    @ivar done: Its result.
    @ivar give_up: Called when C{done} is cancelled.
    """

    def __init__(self) -> None:
        self.done: Deferred[IConnection] = Deferred(lambda _: self.give_up())
        self.give_up: Callable[[], None] = _nothing
