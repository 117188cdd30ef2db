# -*- test-case-name: tests.endpoint.test_exchange -*-
"""
How our nodes recognise each other and tell all their addresses, over whatever transport they met (the protocol of
L{p2panda_tw.endpoint.record}). The dialler opens L{one stream<p2panda_tw.endpoint.record_stream>}. A foreign node does
not speak the protocol, and that is an answer, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.once import OncePerCause
from p2panda_tw.endpoint.addresses import Address
from p2panda_tw.endpoint.dial import short
from p2panda_tw.endpoint.known import MAX_NODES
from p2panda_tw.endpoint.record import ADDRESSES_PROTOCOL_ID, AddressRecord
from p2panda_tw.endpoint.record_stream import OneStream, RecordStream
from p2panda_tw.errors import ConnectError, NoCommonProtocol, RemoteProtocolError
from p2panda_tw.interfaces import IConnection

__all__ = ["EXCHANGE_TIMEOUT", "AddressExchange", "EndpointOfExchange"]

EXCHANGE_TIMEOUT: Final = 10.0
"""
How long an exchange may take once the connection is open, in seconds.
"""

ASK_DELAY: Final = 0.1
"""
Where a connection can only be one of our kind, what it was made for goes first, and the exchange of addresses follows
after so many seconds (our own choice: some ten times a handshake).
"""

_SHARED_WITH_OTHERS: Final = frozenset({"iroh"})
"""
Transports on which other implementations speak, too, so that it matters at once who it is.
"""

ANSWER_PATIENCE: Final = 0.25
"""
A node that we cannot dial may have just dialled us, and one of ours asks us then: wait so long for that, in seconds,
before taking it for foreign (our own choice; asking takes a few milliseconds).
"""


class EndpointOfExchange(Protocol):
    """
    What is needed of the L{endpoint<p2panda_tw.endpoint.service.Endpoint>}.
    """

    node_id: NodeId

    def connect(self, node_id: NodeId, protocol_id: bytes) -> Deferred[IConnection]:
        """
        Make a new connection.
        """

    def accept(self, protocol_id: bytes, handler: Callable[[IConnection], None]) -> None:
        """
        Offer a protocol.
        """

    def withdraw(self, protocol_id: bytes) -> None:
        """
        Offer it no more.
        """

    def local_addresses(self) -> Sequence[Address]:
        """
        Our own addresses.
        """

    def told_addresses(self, node_id: NodeId, addresses: Iterable[Address]) -> None:
        """
        Take note of what a node says of itself.
        """

    def on_connection(self, callback: Callable[[IConnection, bool], None]) -> Callable[[], None]:
        """
        Hear of connections, and whether we dialled.
        """

    def on_unreachable(self, callback: Callable[[NodeId], None]) -> Callable[[], None]:
        """
        Hear of nodes that could not be reached.
        """


class AddressExchange(Service):
    """
    Knows which nodes are ours, and keeps their addresses in the endpoint up to date.

    Each node is asked once, when a connection to it was made or when somebody wants to know, and again after it was
    unreachable.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, endpoint: EndpointOfExchange, signing_key: SigningKey, clock_us: Callable[[], int]
    ) -> None:
        """
        @param clock_us: The time in microseconds since 1970.
        """
        self._clock = reactor
        self._endpoint = endpoint
        self._signing_key = signing_key
        self._clock_us = clock_us
        self._ours: dict[NodeId, bool] = {}
        self._soon: dict[NodeId, IDelayedCall] = {}
        self._delivered: dict[NodeId, None] = {}
        self._times: dict[NodeId, int] = {}
        self._asking: dict[NodeId, list[Deferred[bool]]] = {}
        self._dialling: dict[NodeId, Deferred[IConnection]] = {}
        self._running: dict[IConnection, Deferred[None]] = {}
        self._own: tuple[tuple[Address, ...], int, bytes] | None = None
        self._stops: list[Callable[[], None]] = []
        self._once = OncePerCause()

    @override
    def startService(self) -> None:
        """
        Offer the protocol, and ask whom we connect to.
        """
        super().startService()
        self._endpoint.accept(ADDRESSES_PROTOCOL_ID, self._accepted)
        self._stops = [
            self._endpoint.on_connection(self._connected),
            self._endpoint.on_unreachable(self._unreachable),
        ]

    @override
    def stopService(self) -> Deferred[None]:
        """
        Offer it no more.

        @return: Fires when no exchange is under way.
        """
        super().stopService()
        self._endpoint.withdraw(ADDRESSES_PROTOCOL_ID)
        for stop in self._stops:
            stop()
        self._stops.clear()
        for soon in self._soon.values():
            soon.cancel()
        self._soon.clear()
        for dialling in list(self._dialling.values()):
            dialling.cancel()
        for connection in list(self._running):
            connection.abort("The node is stopping.")
        return Deferred.fromCoroutine(self._wait())

    async def _wait(self) -> None:
        for running in list(self._running.values()):
            await running

    def is_ours(self, node_id: NodeId) -> bool | None:
        """
        @return: Whether a node is one of our kind; C{None}: not known (yet).
        """
        return self._ours.get(node_id)

    def has_our_addresses(self, node_id: NodeId) -> bool:
        """
        @return: Whether a node was told an address of ours, so that it could dial us.
        """
        return node_id in self._delivered

    def ask(self, node_id: NodeId) -> Deferred[bool]:
        """
        Find out whether a node is one of ours.

        @return: Fires with the answer, at once if it is known; with C{False} also when the node cannot be asked. Never
            fails.
        """
        known = self._ours.get(node_id)
        if known is not None or not self.running:
            return succeed(bool(known))
        answer: Deferred[bool] = Deferred()
        self._asking.setdefault(node_id, []).append(answer)
        if node_id not in self._dialling:
            Deferred.fromCoroutine(self._ask(node_id)).addErrback(self._log_failure)
        return answer

    async def _ask(self, node_id: NodeId) -> None:
        dialling = self._dialling[node_id] = self._endpoint.connect(node_id, ADDRESSES_PROTOCOL_ID)
        connection: IConnection | None = None
        try:
            connection = await dialling
        except NoCommonProtocol:
            self._found(node_id, False)
        except (ConnectError, CancelledError):
            await self._wait_to_be_asked(node_id)
        finally:
            del self._dialling[node_id]
            if connection is None:
                self._answer(node_id, self._ours.get(node_id, False))
        if connection is not None:
            await self._run(connection, dialler=True)

    async def _wait_to_be_asked(self, node_id: NodeId) -> None:
        """
        If nothing comes of it, the node is asked again when somebody reaches it.
        """
        if self.running and node_id not in self._ours:
            waiting = self._dialling[node_id] = deferLater(self._clock, ANSWER_PATIENCE)
            try:
                await waiting
            except CancelledError:
                pass  # we stop

    def _answer(self, node_id: NodeId, answer: bool) -> None:
        for waiting in self._asking.pop(node_id, []):
            if not waiting.called:
                waiting.callback(answer)

    def _found(self, node_id: NodeId, is_ours: bool) -> None:
        """
        Note it, and tell who waits to know.
        """
        if node_id not in self._ours and len(self._ours) >= MAX_NODES:
            self._forget(next(iter(self._ours)))
        self._ours[node_id] = is_ours
        self._answer(node_id, is_ours)

    def _connected(self, connection: IConnection, dialled: bool) -> None:
        """
        A connection was made. Who dialled asks; the other node learns the same from being asked.
        """
        node_id = connection.node_id
        if not dialled or node_id in self._ours or node_id in self._soon:
            return
        if connection.transport_name in _SHARED_WITH_OTHERS:
            self.ask(node_id)
        else:
            self._soon[node_id] = self._clock.callLater(ASK_DELAY, self._ask_now, node_id)

    def _ask_now(self, node_id: NodeId) -> None:
        del self._soon[node_id]
        self.ask(node_id)

    def _unreachable(self, node_id: NodeId) -> None:
        """
        What comes back may be another program.
        """
        self._forget(node_id)

    def _forget(self, node_id: NodeId) -> None:
        for memory in (self._ours, self._delivered, self._times):
            memory.pop(node_id, None)

    def _accepted(self, connection: IConnection) -> None:
        Deferred.fromCoroutine(self._run(connection, dialler=False)).addErrback(self._log_failure)

    async def _run(self, connection: IConnection, dialler: bool) -> None:
        """
        Exchange records over one connection, and end it. Who speaks the protocol is one of ours.
        """
        node_id = connection.node_id
        done = self._running[connection] = Deferred[None]()
        timer = self._clock.callLater(EXCHANGE_TIMEOUT, connection.abort, "The exchange of addresses took too long.")
        stream = RecordStream(self._own_record())
        had_addresses = bool(self._own and self._own[0])
        closed = _once_closed(connection, stream)
        self._found(node_id, True)
        try:
            if dialler:
                await connection.open_stream(OneStream(stream))
            else:
                connection.accept_streams(OneStream(stream))
            self._learn(node_id, await stream.received)
            if had_addresses:
                self._delivered[node_id] = None
            if dialler:
                connection.close("done")
        except RemoteProtocolError as error:
            self._complain(node_id, str(error))
            connection.abort(str(error))
        except ConnectError:
            pass  # closed meanwhile
        finally:
            stream.received.addErrback(lambda _: None)  # nobody waits for it any more
            await closed
            _cancel(timer)
            del self._running[connection]
            done.callback(None)

    def _learn(self, node_id: NodeId, data: bytes) -> None:
        """
        Take note of what a node says of itself.
        """
        record = AddressRecord.decode(data, self._clock_us())
        if record.node_id != node_id:
            raise RemoteProtocolError("The record of addresses is about another node than the one that sent it.")
        if record.time > self._times.get(node_id, -1):
            self._times[node_id] = record.time
            self._endpoint.told_addresses(node_id, record.addresses)

    def _own_record(self) -> bytes:
        """
        @return: Our own record, signed once per set of addresses, later than any before.
        """
        addresses = tuple(self._endpoint.local_addresses())
        if self._own is None or self._own[0] != addresses:
            time = max(self._clock_us(), self._own[1] + 1 if self._own is not None else 0)
            record = AddressRecord(node_id=self._endpoint.node_id, time=time, addresses=addresses)
            self._own = (addresses, time, record.sign(self._signing_key))
        return self._own[2]

    def _complain(self, node_id: NodeId, reason: str) -> None:
        if self._once.is_news(node_id, reason):
            self._log.warn("Exchange of addresses with {node}: {reason}", node=short(node_id), reason=reason)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("An exchange of addresses failed", failure)


def _cancel(timer: IDelayedCall) -> None:
    if timer.active():
        timer.cancel()


def _once_closed(connection: IConnection, stream: RecordStream) -> Deferred[None]:
    """
    @return: Fires when nothing of the connection is left; then nobody waits for the stream any more.
    """
    waiter: Deferred[None] = Deferred()

    def pass_on(result: None) -> None:
        stream.give_up()
        waiter.callback(None)

    connection.closed.addCallback(pass_on)
    return waiter
