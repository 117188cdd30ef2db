# -*- test-case-name: tests.transport.test_tls -*-
"""
One TLS session below a L{Connection<p2panda_tw.transport.connection.Connection>}: waits for the handshake, lets it be
judged, and from then on passes bytes up, joined as far as they came in together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.errors import ConnectError, RemoteProtocolError
from p2panda_tw.transport.connection import Connection

__all__ = ["Session", "SlowHandshake", "TlsFactory"]

MAX_HANDSHAKE: Final = 64 * 1024
"""
Bytes that the other side may send in a handshake. A node sends less than four thousand; more than this may come in with
one delivery only if the handshake is complete by then.
"""

PORTION: Final = 8 * 1024
"""
Bytes that OpenSSL is given at a time. It keeps a buffer of the largest portion for each connection.
"""


class SlowHandshake(RemoteProtocolError):
    """
    The other side did not finish its handshake in time.
    """


class _TlsLayer(TLSMemoryBIOProtocol):
    """
    Counts what comes in before it is decrypted, and tells the session where one delivery begins and ends.

    Unlike C{BufferingTLSTransport} it writes at once: the connection has joined small writes.
    """

    @override
    def makeConnection(self, transport: object) -> None:
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        super().makeConnection(transport)

    @override
    def dataReceived(self, bytes: bytes) -> None:
        session = cast(Session, self.wrappedProtocol)
        session.delivery_begins(len(bytes))
        for at in range(0, len(bytes), PORTION):
            super().dataReceived(bytes[at : at + PORTION])
        session.delivery_ends()


@implementer(IHandshakeListener)
class Session(Protocol):
    """
    What the TLS layer carries.

    @ivar over: Fires when nothing below is left.
    """

    def __init__(
        self,
        clock: IReactorTime,
        prove: Callable[[SSL.Connection], Connection],
        proven: Callable[[Connection], None],
        failed: Callable[[Failure], None],
        timeout: float | None,
    ) -> None:
        """
        @param prove: Judges the other side after the handshake. Raises L{RemoteProtocolError} or L{ConnectError} if it
            does not like it.
        @param proven: Called once the connection is connected.
        @param failed: Called instead, with the error or with why the transport below was lost.
        @param timeout: Seconds that the handshake may take; C{None} if somebody else looks after that.
        """
        self.over: Deferred[None] = Deferred()
        self._clock = clock
        self._prove = prove
        self._on_proven = proven
        self._failed = failed
        self._timeout = timeout
        self._deadline: IDelayedCall | None = None
        self._connection: Connection | None = None
        self._error: Exception | None = None
        self._raw_bytes = 0
        self._in_delivery = False
        self._received: list[bytes] = []

    @property
    def proven(self) -> bool:
        """
        Whether the handshake is complete and judged.
        """
        return self._connection is not None

    @override
    def connectionMade(self) -> None:
        """
        The handshake begins.
        """
        if self._timeout is not None:
            self._deadline = self._clock.callLater(self._timeout, self._too_late)

    def handshakeCompleted(self) -> None:  # noqa: N802  # of IHandshakeListener
        """
        Judge the other side.
        """
        self._cancel_deadline()
        layer = cast(TLSMemoryBIOProtocol, self.transport)
        try:
            connection = self._prove(cast(SSL.Connection, layer.getHandle()))
        except (RemoteProtocolError, ConnectError) as error:
            self.give_up(error)
            return
        self._connection = connection
        connection.makeConnection(layer)
        self._on_proven(connection)

    def give_up(self, error: Exception) -> None:
        """
        End the session at once.
        """
        if self._error is None:
            self._error = error
        if self.transport is not None:
            cast(TLSMemoryBIOProtocol, self.transport).abortConnection()

    def delivery_begins(self, size: int) -> None:
        """
        Encrypted bytes have come in.
        """
        self._in_delivery = True
        if self._connection is not None:
            self._connection.heard()
        else:
            self._raw_bytes += size

    def delivery_ends(self) -> None:
        """
        They are decrypted.
        """
        self._in_delivery = False
        if self._connection is None and self._raw_bytes > MAX_HANDSHAKE and self._error is None:
            self.give_up(RemoteProtocolError(f"The TLS handshake has more than {MAX_HANDSHAKE >> 10} KiB."))
        self._pass_on()

    @override
    def dataReceived(self, data: bytes) -> None:
        """
        One decrypted record.
        """
        self._received.append(data)
        if not self._in_delivery:
            self._pass_on()

    def _pass_on(self) -> None:
        received, self._received = self._received, []
        if received and self._connection is not None:
            self._connection.dataReceived(received[0] if len(received) == 1 else b"".join(received))

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The session is over.
        """
        self._cancel_deadline()
        if self._connection is not None:
            self._connection.connectionLost(reason)
        else:
            self._failed(Failure(self._error) if self._error is not None else reason)
        self.over.callback(None)

    def _too_late(self) -> None:
        self._deadline = None
        self.give_up(SlowHandshake(f"The TLS handshake was not finished within {self._timeout:g} seconds."))

    def _cancel_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()


class _Unused(Factory):
    """
    The base class of L{TlsFactory} wants a factory to wrap, and starts and stops it.
    """

    noisy = False

    @override
    def logPrefix(self) -> str:
        """
        What the log calls the port.
        """
        return "p2panda"


class TlsFactory(TLSMemoryBIOFactory):
    """
    Makes sessions with their TLS layer.
    """

    protocol = _TlsLayer
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        creator: object,
        dialler: bool,
        make_session: Callable[[IAddress | None], Session | None],
    ) -> None:
        """
        @param creator: Makes the OpenSSL connections.
        @param make_session: Called with the other side's network address; C{None} closes the connection.
        """
        super().__init__(creator, dialler, cast(IProtocolFactory, _Unused()), clock)  # type: ignore[arg-type]  # untyped zope
        self._make_session = make_session

    @override
    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]  # may refuse
        session = self._make_session(addr)
        return None if session is None else self.protocol(self, cast(IProtocol, session))
