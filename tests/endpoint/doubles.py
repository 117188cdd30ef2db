"""
Transports and connections that do as the test says.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.endpoint.addresses import Address
from p2panda_tw.errors import ConfigurationError, ConnectError
from p2panda_tw.interfaces import IConnection, INodeTransport

ALICE, BOB, CAROL = (SigningKey(bytes((number,)) * 32) for number in (1, 2, 3))


@implementer(IConnection)
class FakeConnection:
    """
    A connection that only remembers how it was ended.

    @ivar ended: Reason of C{close} or C{abort}.
    """

    def __init__(self, node_id: NodeId, alpn: bytes, transport_name: str = "tls") -> None:
        self.node_id = node_id
        self.alpn = alpn
        self.transport_name = transport_name
        self.closed: Deferred[None] = Deferred()
        self.ended: str | None = None

    def open_stream(self, factory: IProtocolFactory, one_way: bool = False) -> Deferred[IProtocol]:
        return fail(ConnectError("no streams here"))

    def accept_streams(self, factory: IProtocolFactory) -> None:
        """
        There are none.
        """

    def close(self, reason: str) -> Deferred[None]:
        self.abort(reason)
        return self.closed

    def abort(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
            self.closed.callback(None)


class FakeAttempt:
    """
    One call of C{connect}.

    @ivar cancelled: It was given up.
    """

    def __init__(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> None:
        self.node_id = node_id
        self.addresses = tuple(addresses)
        self.alpn = alpn
        self.cancelled = False
        self.result: Deferred[IConnection] = Deferred(self._cancel)

    def _cancel(self, result: Deferred[IConnection]) -> None:
        self.cancelled = True

    def succeed(self, node_id: NodeId | None = None, alpn: bytes | None = None, name: str = "tls") -> FakeConnection:
        """
        Give a connection, to another node or with another protocol if the test says so.
        """
        connection = FakeConnection(node_id or self.node_id, alpn or self.alpn, name)
        self.result.callback(connection)
        return connection

    def fail(self, error: Exception) -> None:
        """
        Give no connection.
        """
        self.result.errback(error)


@implementer(INodeTransport)
class FakeTransport:
    """
    A transport for some kinds of addresses, whose attempts the test ends.

    @ivar attempts: All calls of C{connect}.
    @ivar listening: It listens.
    @ivar own: What it says of its addresses.
    @ivar problem: Why it cannot listen, if it cannot.
    @ivar at_once: An error or connection with which each attempt ends while it is being made.
    """

    def __init__(self, name: str, *kinds: type[Address]) -> None:
        self.name = name
        self.kinds = kinds
        self.attempts: list[FakeAttempt] = []
        self.listening = False
        self.own: list[Address] = []
        self.problem: str | None = None
        self.at_once: Exception | None = None
        self.listen_result: Deferred[None] = succeed(None)
        self.stop_result: Deferred[None] = succeed(None)
        self.incoming: Callable[[IConnection], None] | None = None
        self.offered: Callable[[], Sequence[bytes]] = tuple
        self.changed: Callable[[], None] = lambda: None

    def listen(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        if self.problem is not None:
            return fail(ConfigurationError(self.problem))
        self.incoming, self.offered = accept, offered
        self.listening = True
        return self.listen_result

    def reaches(self, address: Address) -> bool:
        return isinstance(address, self.kinds)

    def connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        attempt = FakeAttempt(node_id, addresses, alpn)
        self.attempts.append(attempt)
        if self.at_once is not None:
            attempt.fail(self.at_once)
        return attempt.result

    def addresses(self) -> Sequence[Address]:
        return self.own

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def stop(self) -> Deferred[None]:
        self.listening = False
        return self.stop_result
