# -*- test-case-name: tests.transport.test_tls -*-
"""
One attempt to reach a node at one address over TLS: takes its turn, connects, proves the key, waits for the first
frame, and says in a sentence what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from p2panda_tw.core.identity import NodeId
from p2panda_tw.endpoint.addresses import TlsAddress
from p2panda_tw.errors import ConnectError, NoCommonProtocol, RemoteProtocolError, WrongNode
from p2panda_tw.interfaces import IConnection
from p2panda_tw.transport.connection import Connection
from p2panda_tw.transport.dialling import Turns
from p2panda_tw.transport.limits import ConnectionLimits
from p2panda_tw.transport.tls_context import Dialler, TlsContexts, peer_of
from p2panda_tw.transport.tls_session import Session, TlsFactory

__all__ = ["TlsAttempt"]


class TlsAttempt:
    """
    One attempt. It was counted by L{ConnectionLimits.begin}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        contexts: TlsContexts,
        *,
        node_id: NodeId,
        address: TlsAddress,
        alpn: bytes,
        endpoint: IStreamClientEndpoint,
        limits: ConnectionLimits,
        turns: Turns,
        remember: Callable[[Session], Session],
        make_connection: Callable[[], Connection],
    ) -> None:
        """
        @param remember: Called with the session once there is something to end.
        @param make_connection: Called when the other side is proven.
        """
        self._node_id = node_id
        self._address = address
        self._alpn = alpn
        self._endpoint = endpoint
        self._limits = limits
        self._turns = turns
        self._remember = remember
        self._make_connection = make_connection
        self._done: Deferred[IConnection] = Deferred(lambda _: self._give_up())
        self._counted_for_node = False
        self._has_turn = self._made_session = False
        self._turn: Deferred[None] | None = None
        self._connecting: Deferred[Any] | None = None
        self._session = Session(clock, self._prove, self._proven, self._failed, None)
        self._factory = TlsFactory(clock, Dialler(contexts, alpn), True, self._make_session)

    def begin(self) -> Deferred[IConnection]:
        """
        @return: The open connection. Fails with L{ConnectError} or its subclasses; cancelling gives up.
        """
        self._turn = self._turns.enter(self._address)
        self._turn.addCallbacks(self._connect, self._failed)
        return self._done

    def _connect(self, result: None) -> None:
        self._has_turn = True
        self._turn = None
        self._connecting = self._endpoint.connect(cast(IProtocolFactory, self._factory))
        self._connecting.addCallbacks(self._connected, self._unreachable)

    def _make_session(self, address: IAddress | None) -> Session | None:
        if self._made_session:
            return None  # a host name with several addresses, two of which answered at once
        self._made_session = True
        return self._remember(self._session)

    def _connected(self, layer: object) -> None:
        self._connecting = None

    def _unreachable(self, failure: Failure) -> None:
        self._connecting = None
        self._failed(failure)

    def _prove(self, tls: SSL.Connection) -> Connection:
        node_id = peer_of(tls, dialled=True)
        if node_id != self._node_id:
            raise WrongNode(f"Another node answers at {self._address}.")
        if tls.get_alpn_proto_negotiated() != self._alpn:
            raise NoCommonProtocol(f"The node at {self._address} chose another protocol than the one asked for.")
        self._limits.finish(None, node_id)
        self._counted_for_node = True
        return self._make_connection()

    def _proven(self, connection: Connection) -> None:
        assert connection.opened is not None
        connection.opened.addCallbacks(self._opened, self._fail)

    def _opened(self, connection: Connection) -> None:
        self._leave()
        if self._done.called:
            connection.abort("The attempt was given up.")
        else:
            self._done.callback(cast(IConnection, connection))

    def _failed(self, failure: Failure) -> None:
        if not self._counted_for_node:
            self._limits.fail(None)
        self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        self._leave()
        if not self._done.called:
            self._done.errback(self._explain(failure))

    def _explain(self, failure: Failure) -> Failure:
        error, where = failure.value, str(self._address)
        if isinstance(error, ConnectError):
            return failure
        if isinstance(error, RemoteProtocolError):
            return Failure(ConnectError(f"What answers at {where} is no node. {error}"))
        if isinstance(error, SSL.Error):
            if _asks_for_another_protocol(error):
                return Failure(NoCommonProtocol(f"The node at {where} does not speak this protocol in this network."))
            return Failure(ConnectError(f"The TLS handshake with {where} failed."))
        if isinstance(error, ConnectionRefusedError):
            return Failure(ConnectError(f"Nothing listens at {where}."))
        if isinstance(error, DNSLookupError):
            return Failure(ConnectError(f"The host name of {where} is not known."))
        if isinstance(error, CancelledError):
            return failure
        if self._connecting is None and self._session.transport is not None:
            return Failure(ConnectError(f"The node at {where} closed the connection before it was open."))
        return Failure(ConnectError(f"{where} cannot be reached: {str(error).rstrip('.')}."))

    def _leave(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.leave(self._address)

    def _give_up(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._session.give_up(ConnectError("The attempt was given up."))


def _asks_for_another_protocol(error: SSL.Error) -> bool:
    """
    @return: Whether the other side's alert means that no protocol is common: 120, or 80 from other TLS versions.
    """
    reasons = [str(entry[-1]) for entry in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return any("no application protocol" in reason or "alert internal error" in reason for reason in reasons)
