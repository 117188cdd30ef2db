# -*- test-case-name: tests.endpoint.test_service -*-
"""
The endpoint of a node: reaches other nodes by their id, whatever the way, and hands connections that others make to
whoever speaks the protocol. It knows no protocol itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.endpoint.addresses import MAX_ADDRESSES, Address, describe
from p2panda_tw.endpoint.dial import Attempt, Dial, Dialled, short
from p2panda_tw.endpoint.known import KnownNode, KnownNodes
from p2panda_tw.endpoint.listeners import Listeners
from p2panda_tw.endpoint.network import alpn
from p2panda_tw.endpoint.ranking import attempts, rank
from p2panda_tw.endpoint.transports import Transports
from p2panda_tw.errors import ConnectError, LocalProtocolError, NoCommonProtocol
from p2panda_tw.interfaces import IConnection, IEndpoint, INodeTransport

__all__ = ["Endpoint"]


@implementer(IEndpoint)
class Endpoint(Service):
    """
    Connections to nodes, by node id and protocol id.

    @ivar node_id: Our own.
    @ivar network_id: 32 bytes; nodes of other networks are not reached.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        signing_key: SigningKey,
        network_id: bytes,
        transports: Sequence[INodeTransport],
        *,
        optional: Collection[str] = (),
        missing: Mapping[str, str] | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """
        @param transports: Ways to reach nodes. When two reach the same address, the first one is used.
        @param optional: Names of transports that are left out when they cannot listen, instead of failing the start.
        @param missing: Why other transports are not among them, by their names; a sentence for a person.
        @param clock_us: The time in microseconds since 1970.
        """
        self.node_id: NodeId = signing_key.verifying_key
        self.network_id = network_id
        self._clock = reactor
        self._transports = Transports(transports, optional, missing or {})
        self._clock_us = clock_us
        self._handlers: dict[bytes, Callable[[IConnection], None]] = {}
        self._known = KnownNodes()
        self._connections: dict[NodeId, dict[IConnection, None]] = {}
        self._dials: dict[Deferred[Dialled], None] = {}
        self._addresses_changed: Listeners[[]] = Listeners()
        self._known_changed: Listeners[[NodeId, Sequence[Address], int | None]] = Listeners()
        self._connected: Listeners[[IConnection, bool]] = Listeners()
        self._unreachable: Listeners[[NodeId]] = Listeners()
        for transport in transports:
            transport.watch(self._addresses_changed.tell)

    # Life

    @override
    def startService(self) -> None:
        """
        Begin to open the endpoint. Failure is logged; L{open} tells of it, too.
        """
        super().startService()
        self.open().addErrback(
            lambda failure: self._log.error("The endpoint did not start: {reason}", reason=failure.getErrorMessage())
        )

    @override
    def stopService(self) -> Deferred[None]:
        """
        Close the endpoint.

        @return: Fires when nothing is left.
        """
        super().stopService()
        return self.close()

    def open(self) -> Deferred[None]:
        """
        Have the transports listen. If they do so already, or are about to, wait for that.

        @return: Fails with L{ConfigurationError} when a transport that is not optional cannot listen, or none can. Then
            nothing is left, and the endpoint can be opened again.
        """
        opened = self._transports.open(self._incoming, self._offered)
        return opened.addCallback(lambda _: self._addresses_changed.tell())

    def close(self) -> Deferred[None]:
        """
        Give up dialling and close all connections in order.

        @return: Fires when nothing is left. The endpoint can be opened again.
        """
        closed = self._transports.close()
        dials, self._dials = self._dials, {}
        for dial in dials:
            dial.cancel()
        return closed

    @property
    def problems(self) -> Mapping[str, str]:
        """
        Why a transport is not in use, by its name; a sentence for a person.
        """
        return self._transports.problems

    # Protocols

    def accept(self, protocol_id: bytes, handler: Callable[[IConnection], None]) -> None:
        """
        Offer a protocol; C{handler} is called with each connection that chose it.

        @raise LocalProtocolError: It is offered already.
        """
        negotiated = alpn(protocol_id, self.network_id)
        if negotiated in self._handlers:
            raise LocalProtocolError(f"The protocol {protocol_id!r} is offered already.")
        self._handlers[negotiated] = handler

    def withdraw(self, protocol_id: bytes) -> None:
        """
        Offer it no more. Connections that chose it go on.
        """
        self._handlers.pop(alpn(protocol_id, self.network_id), None)

    def _offered(self) -> Sequence[bytes]:
        return tuple(self._handlers)

    def _incoming(self, connection: IConnection) -> None:
        """
        Another node has connected.
        """
        handler = self._handlers.get(connection.alpn)
        if connection.node_id == self.node_id:
            self._log.warn("Another program uses the identity of this node; its connection is refused")
            connection.abort("This is your own node id.")
        elif handler is None or not self._transports.is_open:
            connection.abort("This protocol is not offered any more.")
        else:
            self._made(connection, False)
            try:
                handler(connection)
            except Exception:
                self._log.failure("Taking a connection failed")
                connection.abort("Internal error.")

    # Connecting

    def connect(self, node_id: NodeId, protocol_id: bytes) -> Deferred[IConnection]:
        """
        Make a new connection with the best of the known addresses.

        @return: Fails with L{ConnectError}, whose message lists what was tried, L{NoCommonProtocol} if the node does
            not speak the protocol, or L{WrongNode<p2panda_tw.errors.WrongNode>}, at the latest after 10 s. Cancelling
            gives up.
        """
        return Deferred.fromCoroutine(self._connect(node_id, protocol_id))

    async def _connect(self, node_id: NodeId, protocol_id: bytes) -> IConnection:
        ways = self._ways(node_id)
        dial = Dial(self._clock, node_id, alpn(protocol_id, self.network_id), ways).start()
        self._dials[dial] = None
        try:
            connection, attempt = await dial
        except ConnectError as error:
            if not isinstance(error, NoCommonProtocol):
                self._unreachable.tell(node_id)
            raise
        except CancelledError:
            if dial in self._dials:
                raise
            raise ConnectError("The endpoint was closed.") from None
        finally:
            self._dials.pop(dial, None)
        if self._known.succeeded(node_id, attempt.addresses[0], self._clock_us()):
            self._tell_known(node_id)
        self._made(connection, True)
        return connection

    def _ways(self, node_id: NodeId) -> list[Attempt]:
        """
        @return: All attempts that can be made, at least one, best first.

        @raise ConnectError: There is none.
        """
        if not self._transports.is_open:
            raise ConnectError("The endpoint is not open.")
        if node_id == self.node_id:
            raise ConnectError("This is our own node id.")
        known = self._known.get(node_id)
        if known is None or not known.addresses:
            raise ConnectError(f"No address of node {short(node_id)} is known.")
        ways = self._transports.ways(attempts(rank(known.addresses, known.worked)))
        if not ways:
            useless = ", ".join(describe(address) for address in known.addresses)
            why = "".join(f" {sentence}" for sentence in self.problems.values())
            raise ConnectError(f"No address of node {short(node_id)} can be used here ({useless}).{why}")
        return ways

    def _made(self, connection: IConnection, dialled: bool) -> None:
        """
        A connection is open.
        """
        node_id = connection.node_id
        self._connections.setdefault(node_id, {})[connection] = None
        connection.closed.addBoth(self._closed, connection)
        self._connected.tell(connection, dialled)

    def _closed(self, result: None, connection: IConnection) -> None:
        of_node = self._connections.get(connection.node_id, {})
        of_node.pop(connection, None)
        if not of_node:
            self._connections.pop(connection.node_id, None)
        return result

    def connections(self, node_id: NodeId | None = None) -> list[IConnection]:
        """
        @return: The open connections, with one node or all.
        """
        nodes = self._connections.values() if node_id is None else [self._connections.get(node_id, {})]
        return [connection for of_node in nodes for connection in of_node]

    # What is known

    def add_addresses(self, node_id: NodeId, addresses: Iterable[Address], last_success: int | None = None) -> None:
        """
        Take note of where a node may be reached, from a ticket or from what was written down.

        @param addresses: Best first; they are added to what is known.
        @param last_success: When the first of them worked, in microseconds since 1970.
        """
        if self._known.give(node_id, addresses, last_success):
            self._tell_known(node_id)

    def told_addresses(self, node_id: NodeId, addresses: Iterable[Address]) -> None:
        """
        Take note of what a node proved to have said of itself; it replaces what it said before.
        """
        if self._known.tell(node_id, addresses):
            self._tell_known(node_id)

    def _tell_known(self, node_id: NodeId) -> None:
        known = self._known.get(node_id)
        if known is not None:
            self._known_changed.tell(node_id, known.addresses, known.last_success)

    def known(self, node_id: NodeId) -> KnownNode | None:
        """
        @return: What is known of a node.
        """
        return self._known.get(node_id)

    def known_nodes(self) -> list[KnownNode]:
        """
        @return: What is known of all nodes.
        """
        return list(self._known)

    def on_change(self, callback: Callable[[NodeId, Sequence[Address], int | None], None]) -> Callable[[], None]:
        """
        Hear when something worth writing down was learned of a node: its id, its addresses, best first, and the time of
        the last success in microseconds since 1970.

        @return: Call it to hear no more.
        """
        return self._known_changed.add(callback)

    def on_connection(self, callback: Callable[[IConnection, bool], None]) -> Callable[[], None]:
        """
        Hear of every connection that was made, before its protocol does, and whether we dialled.

        @return: Call it to hear no more.
        """
        return self._connected.add(callback)

    def on_unreachable(self, callback: Callable[[NodeId], None]) -> Callable[[], None]:
        """
        Hear when dialling a node failed for another reason than that it does not speak the protocol.

        @return: Call it to hear no more.
        """
        return self._unreachable.add(callback)

    # Our own addresses

    def local_addresses(self) -> list[Address]:
        """
        @return: Where others may reach us now, best first.
        """
        found = [address for transport in self._transports.working for address in transport.addresses()]
        return rank(found)[:MAX_ADDRESSES]

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """
        Call C{callback} whenever L{local_addresses} may have become another list.

        @return: Call it to hear no more.
        """
        return self._addresses_changed.add(callback)
