# -*- test-case-name: tests.transport.test_iroh -*-
"""
The iroh transport: QUIC to Rust p2panda nodes and to our own, direct or over relays.

Nothing is published anywhere and no public server is asked: addresses come from tickets and other nodes, relays are the
configured ones and those that the address of a node names. Lives on the reactor's side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey, verifying_key
from p2panda_tw.endpoint.addresses import Address, IrohAddress, RelayAddress
from p2panda_tw.errors import ConnectError, LocalProtocolError
from p2panda_tw.interfaces import IConnection, INodeTransport
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.iroh.bridge import Bridge, open_bridge
from p2panda_tw.transport.iroh.connection import IrohConnection
from p2panda_tw.transport.iroh.endpoint import IrohEndpoint
from p2panda_tw.transport.iroh.link import Link
from p2panda_tw.transport.iroh.settings import EVERYWHERE, parse_bind, parse_relays
from p2panda_tw.transport.limits import ConnectionLimits, ReceiveBudget

__all__ = ["IrohTransport"]


@implementer(INodeTransport)
class IrohTransport:
    """
    @ivar name: C{'iroh'}.
    @ivar complaints: What others did that they must not do.
    """

    _log = Logger()

    name = "iroh"

    def __init__(
        self,
        reactor: Any,
        signing_key: SigningKey,
        *,
        bind: Sequence[str] = EVERYWHERE,
        relays: Sequence[tuple[str, str | None]] = (),
        limits: ConnectionLimits | None = None,
        budget: ReceiveBudget | None = None,
    ) -> None:
        """
        @param reactor: Any reactor. On the asyncio reactor everything runs in its own loop, which is fastest.

        @param bind: C{ip:port}, one of each kind of IP address at most; port 0 takes a free one.

        @param relays: URL and token (or C{None}) of each relay to use. iroh picks one as ours.

        @param limits: Counts connections; may be shared with other transports.

        @param budget: Counts unread bytes; to be shared by all transports of a process.

        @raise p2panda_tw.errors.ConfigurationError: C{bind} or C{relays} are wrong.
        """
        self.complaints = Complaints(self._log)
        self._reactor = reactor
        self._key = signing_key
        self._bind = parse_bind(bind)
        self._relays = parse_relays(relays)
        self._accept: Callable[[IConnection], None] = lambda connection: connection.abort("not listening")
        self._bridge: Bridge | None = None
        self._endpoint: IrohEndpoint | None = None
        self._addresses: list[Address] = []
        self._watchers: list[Callable[[], None]] = []
        self._connections: dict[NodeId, dict[IrohConnection, None]] = {}
        self._limits = ConnectionLimits() if limits is None else limits
        self._budget = ReceiveBudget() if budget is None else budget
        self._dialling: dict[Deferred[Link], None] = {}
        self._listening = False
        self._stopping: list[Deferred[None]] = []

    def listen(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        """
        Open the sockets and take connections.
        """
        return Deferred.fromCoroutine(self._listen(accept, offered))

    async def _listen(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> None:
        if self._listening or self._bridge is not None:
            raise LocalProtocolError("The iroh transport listens already.")
        self._listening = True
        self._accept = accept
        bridge = await open_bridge(self._reactor)
        try:
            endpoint = await bridge.run(IrohEndpoint.bind(bridge, self._key, self._bind, self._relays))
        except BaseException:
            self._listening = False
            await bridge.close()
            raise
        if not self._listening:  # stopped meanwhile
            await bridge.run(endpoint.close())
            await bridge.close()
            raise ConnectError("The iroh transport was stopped.")
        self._bridge, self._endpoint = bridge, endpoint
        started: Deferred[None] = Deferred()

        def moved(addresses: list[Address]) -> None:
            self._moved(addresses)
            if not started.called:
                started.callback(None)

        bridge.tell(endpoint.start, offered, self._accepted, moved)
        await started

    def reaches(self, address: Address) -> bool:
        """
        @return: Whether it is an IP address of iroh that needs no scope, or a relay.
        """
        if isinstance(address, IrohAddress):
            return address.is_ip and not address.is_link_local
        return isinstance(address, RelayAddress)

    def connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        """
        Make a new connection; all addresses are tried at the same time.
        """
        return Deferred.fromCoroutine(self._connect(node_id, addresses, alpn))

    async def _connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> IConnection:
        bridge, endpoint = self._bridge, self._endpoint
        if bridge is None or endpoint is None or not self._listening:
            raise ConnectError("The iroh transport is not listening.")
        self._limits.begin(None)
        others = [connection.link for connection in self._connections.get(node_id, ())]
        attempt = bridge.run(endpoint.dial(node_id, addresses, alpn, others))
        self._dialling[attempt] = None
        try:
            link = await attempt
        except BaseException as error:
            self._limits.fail(None)
            if isinstance(error, CancelledError) and not self._listening:
                raise ConnectError("The iroh transport was stopped.") from None
            raise
        finally:
            del self._dialling[attempt]
        self._limits.finish(None, node_id)
        return self._add(bridge, link, node_id, alpn)

    def addresses(self) -> Sequence[Address]:
        """
        @return: Where others may reach us now, best first.
        """
        return list(self._addresses)

    def watch(self, changed: Callable[[], None]) -> None:
        """
        Call C{changed} whenever C{addresses} becomes another list.
        """
        self._watchers.append(changed)

    def stop(self) -> Deferred[None]:
        """
        Close every connection in order and take no more.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        bridge, endpoint, listening = self._bridge, self._endpoint, self._listening
        self._listening = False
        if bridge is None or endpoint is None:
            return
        if not listening:
            done: Deferred[None] = Deferred()
            self._stopping.append(done)
            return await done
        for attempt in list(self._dialling):
            attempt.cancel()
        connections = [connection for some in self._connections.values() for connection in some]
        await gatherResults([connection.close("the node stops") for connection in connections])
        await bridge.run(endpoint.close())
        await bridge.close()
        self._bridge = self._endpoint = None
        self._addresses = []
        stopping, self._stopping = self._stopping, []
        for done in stopping:
            done.callback(None)

    def _moved(self, addresses: list[Address]) -> None:
        if addresses == self._addresses or not self._listening:
            return
        self._addresses = addresses
        for changed in list(self._watchers):
            changed()

    def _accepted(self, link: Link, raw_node_id: bytes, alpn: bytes) -> None:
        bridge = self._bridge
        node_id = verifying_key(raw_node_id)
        if bridge is None or not self._listening:
            link.abort("the node stops")
            return
        refused = self._limits.begin(self.name) or self._limits.finish(self.name, node_id)
        if refused is not None:
            self._log.debug("A connection of {node_id} was refused. {reason}", node_id=node_id, reason=refused)
            link.abort("no more connections")
            return
        connection = self._add(bridge, link, node_id, alpn)
        try:
            self._accept(connection)
        except Exception:
            self._log.failure("A connection could not be handed over.")
            connection.abort("internal error")

    def _add(self, bridge: Bridge, link: Link, node_id: NodeId, alpn: bytes) -> IrohConnection:
        own_id = self._key.verifying_key
        connection = IrohConnection(
            self._reactor, bridge, link, self._budget, node_id, own_id, alpn, self._gone, self.complaints
        )
        self._connections.setdefault(node_id, {})[connection] = None
        return connection

    def _gone(self, connection: IrohConnection) -> None:
        some = self._connections[connection.node_id]
        del some[connection]
        if not some:
            del self._connections[connection.node_id]
        self._limits.leave(connection.node_id)
