# -*- test-case-name: tests.transport.test_tls -*-
"""
Our own way to reach a node: mutual TLS 1.3 over TCP, node keys as certificates (docs/tls-transport.md).

The dialler's handshake is complete before the acceptor has judged it, so its connection counts as open only with the
first frame, a ping that the acceptor sends at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IAddress, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.endpoint.addresses import Address, TlsAddress
from p2panda_tw.errors import ConfigurationError, ConnectError, RemoteProtocolError
from p2panda_tw.interfaces import IConnection, INodeTransport
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.connection import Connection
from p2panda_tw.transport.dialling import Turns, dial
from p2panda_tw.transport.limits import CONNECT_TIMEOUT, KEEP_ALIVE, ConnectionLimits, KeepAlive, ReceiveBudget
from p2panda_tw.transport.listening import EVERYWHERE, Listening, parse_listen
from p2panda_tw.transport.local_addresses import interface_hosts, to_addresses
from p2panda_tw.transport.node_address import NodeAddress
from p2panda_tw.transport.roster import Roster
from p2panda_tw.transport.tls_attempt import TlsAttempt
from p2panda_tw.transport.tls_context import Acceptor, NoOverlap, TlsContexts, peer_of
from p2panda_tw.transport.tls_session import Session, SlowHandshake, TlsFactory

__all__ = ["TlsTransport"]

LISTEN_KEY: Final = "[tls] listen"

LOOK_AGAIN: Final = 30.0
"""
Seconds between two looks at the interfaces, which may have got other addresses.
"""

_NOT_DIALLED: Final = (".invalid", ".onion")


@implementer(INodeTransport)
class TlsTransport:
    """
    TLS connections of one node.

    @ivar complaints: What others did that they must not do.
    """

    name = "tls"

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        signing_key: SigningKey,
        *,
        listen: Sequence[str | tuple[str, int]] = (),
        port: int = 0,
        advertise: Sequence[TlsAddress] = (),
        keep_alive: KeepAlive = KEEP_ALIVE,
        budget: ReceiveBudget | None = None,
        limits: ConnectionLimits | None = None,
        interfaces: Callable[[], Sequence[str]] = interface_hosts,
        client_endpoint: Callable[[TlsAddress], IStreamClientEndpoint] | None = None,
    ) -> None:
        """
        @param reactor: Provides C{IReactorTCP} and C{IReactorTime}.
        @param listen: Where to listen, C{host:port} or pairs; by default on all interfaces at C{port}.
        @param port: 0 for a free one.
        @param advertise: What L{addresses} gives instead of the addresses of the interfaces.
        @param budget: Shared by all transports of a process.
        @param interfaces: Gives the IP addresses of this machine.
        @param client_endpoint: Chooses how to reach an address; by default TCP.
        """
        self.complaints = Complaints(self._log)
        self._reactor = reactor
        self._node_id = signing_key.verifying_key
        self._signing_key = signing_key
        self._wanted = listen
        self._port = port
        self._advertise = list(advertise)
        self._keep_alive = keep_alive
        self._budget = budget if budget is not None else ReceiveBudget()
        self._limits = limits if limits is not None else ConnectionLimits()
        self._interfaces = interfaces
        self._client_endpoint = client_endpoint or self._tcp_endpoint
        self._contexts: TlsContexts | None = None
        self._accept: Callable[[IConnection], None] | None = None
        self._offered: Callable[[], Sequence[bytes]] = tuple
        self._listening = Listening()
        self._roster = Roster()
        self._turns = Turns()
        self._sessions: dict[Session, None] = {}
        self._addresses: list[TlsAddress] = []
        self._watchers: list[Callable[[], None]] = []
        self._look_again: LoopingCall | None = None

    @property
    def port(self) -> int | None:
        """
        The port of the first address that we listen at, to be kept for the next start.
        """
        return self._listening.bound[0][1] if self._listening.bound else None

    # INodeTransport

    def listen(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        """
        Begin to take connections.
        """
        if self._accept is not None:
            return fail(ConfigurationError("The transport listens already."))
        contexts = TlsContexts(self._signing_key, lambda: self._offered())
        factory = TlsFactory(self._reactor, Acceptor(contexts), False, self._incoming)
        try:
            wanted = parse_listen(self._wanted, LISTEN_KEY) or [(host, self._port) for host in EVERYWHERE]
            self._listening.start(self._reactor, cast(IProtocolFactory, factory), wanted, LISTEN_KEY)
        except ConfigurationError:
            return fail(Failure())
        if not self._wanted:
            self._port = self.port or 0  # the same after stop() and listen()
        self._contexts, self._accept, self._offered = contexts, accept, offered
        self._look()
        if not self._advertise:
            self._look_again = LoopingCall(self._look)
            self._look_again.clock = self._reactor
            self._look_again.start(LOOK_AGAIN, now=False)
        return succeed(None)

    def reaches(self, address: Address) -> bool:
        """
        @return: Whether this is a TLS address that can be dialled from here.
        """
        return isinstance(address, TlsAddress) and not address.is_link_local and not address.host.endswith(_NOT_DIALLED)

    def connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        """
        Make a new connection to the first of the addresses that proves to be the node.
        """
        contexts = self._contexts
        if contexts is None:
            return fail(ConnectError("The transport does not listen, so it does not dial."))
        attempts = [
            functools.partial(self._attempt, contexts, node_id, address, alpn)
            for address in addresses
            if isinstance(address, TlsAddress) and (address not in self._addresses or node_id == self._node_id)
        ]
        return self._roster.attempt(dial(self._reactor, attempts))

    def addresses(self) -> Sequence[Address]:
        """
        @return: Where others may reach us now, best first.
        """
        return list(self._addresses)

    def watch(self, changed: Callable[[], None]) -> None:
        """
        Call C{changed} when L{addresses} changes.
        """
        self._watchers.append(changed)

    def stop(self) -> Deferred[None]:
        """
        Close every connection in order and take no more.
        """
        self._accept = self._contexts = None
        if self._look_again is not None:
            self._look_again.stop()
            self._look_again = None
        stopping: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._listening.take()]
        stopping.append(self._roster.end())
        for session in list(self._sessions):
            if not session.proven:
                session.give_up(ConnectError("The node stops."))
            over: Deferred[None] = Deferred()
            session.over.chainDeferred(over)
            stopping.append(over)
        self._set_addresses([])
        return gatherResults(stopping).addCallback(lambda _: None)

    # Own addresses.

    def _look(self) -> None:
        if self._advertise:
            self._set_addresses(self._advertise)
        else:
            try:
                hosts = self._interfaces()
            except OSError:
                self._log.failure("The addresses of this machine cannot be read.")
                hosts = ["127.0.0.1"]
            self._set_addresses(to_addresses(self._listening.bound, hosts))

    def _set_addresses(self, addresses: Sequence[TlsAddress]) -> None:
        if self._addresses != list(addresses):
            self._addresses = list(addresses)
            for changed in self._watchers:
                changed()

    # Dialling.

    def _tcp_endpoint(self, address: TlsAddress) -> IStreamClientEndpoint:
        if not address.is_ip:
            return HostnameEndpoint(self._reactor, address.host, address.port, timeout=CONNECT_TIMEOUT)
        kind = TCP6ClientEndpoint if ":" in address.host else TCP4ClientEndpoint
        return kind(self._reactor, address.host, address.port, timeout=CONNECT_TIMEOUT)

    def _attempt(
        self, contexts: TlsContexts, node_id: NodeId, address: TlsAddress, alpn: bytes
    ) -> Deferred[IConnection]:
        self._limits.begin(None)
        attempt = TlsAttempt(
            self._reactor,
            contexts,
            node_id=node_id,
            address=address,
            alpn=alpn,
            endpoint=self._client_endpoint(address),
            limits=self._limits,
            turns=self._turns,
            remember=self._remember,
            make_connection=functools.partial(self._connection, node_id, alpn, dialler=True),
        )
        return attempt.begin()

    def _connection(self, node_id: NodeId, alpn: bytes, dialler: bool) -> Connection:
        """
        Make the connection of a node that was counted by L{ConnectionLimits.finish}.
        """
        connection = Connection(
            self._reactor,
            host=NodeAddress(self._node_id, self.name),
            peer=NodeAddress(node_id, self.name),
            alpn=alpn,
            dialler=dialler,
            keep_alive=self._keep_alive,
            budget=self._budget,
            complaints=self.complaints,
        )
        self._roster.add(connection)
        connection.closed.addCallback(lambda _: self._limits.leave(node_id))
        return connection

    # Accepting.

    def _incoming(self, address: IAddress | None) -> Session | None:
        host = _host_of(address)
        refused = self._limits.begin(host)
        if refused is not None:
            self.complaints.complain(host, "too many connections", refused)
            return None

        def prove(tls: SSL.Connection) -> Connection:
            alpn = tls.get_alpn_proto_negotiated()
            node_id = peer_of(tls, dialled=False)
            if alpn not in self._offered():
                raise ConnectError("The other node asked for no protocol of ours.")
            refused = self._limits.finish(host, node_id)
            counted.append(True)
            if refused is not None:
                self.complaints.complain(str(node_id), "too many connections", refused)
                raise ConnectError(refused)
            return self._connection(node_id, alpn, dialler=False)

        def failed(failure: Failure) -> None:
            if not counted:
                self._limits.fail(host)
            if failure.check(SlowHandshake):
                self.complaints.complain(host, "slow handshake", failure.getErrorMessage())
            elif failure.check(RemoteProtocolError):
                self.complaints.complain(host, "no node", failure.getErrorMessage())
            elif failure.check(SSL.Error) and not failure.check(NoOverlap):
                self.complaints.complain(host, "no handshake", "What arrived is no TLS handshake of a node.")

        def proven(connection: Connection) -> None:
            if self._accept is not None:
                connection.hand_to(self._accept)

        counted: list[bool] = []
        return self._remember(Session(self._reactor, prove, proven, failed, CONNECT_TIMEOUT))

    def _remember(self, session: Session) -> Session:
        """
        Know of a session until nothing is left of it.
        """
        self._sessions[session] = None
        session.over.addCallback(lambda _: self._sessions.pop(session, None) and None)
        return session


def _host_of(address: IAddress | None) -> str:
    host = str(getattr(address, "host", "unknown"))
    return host.removeprefix("::ffff:")
