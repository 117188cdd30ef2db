"""
A peer that speaks TLS and then whatever a test wants.
"""

from __future__ import annotations

from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.transport.frames import HEADER
from p2panda_tw.transport.tls_context import TlsContexts


class RawPeer(Protocol):
    """
    Keeps what it receives.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def frames(self) -> list[tuple[int, int, int, int]]:
        """
        @return: Type, flags, stream id and length of each frame so far.
        """
        found, at = [], 0
        while at + HEADER.size <= len(self.received):
            _, kind, flags, stream_id, length = HEADER.unpack_from(self.received, at)
            found.append((kind, flags, stream_id, length))
            at += HEADER.size + (length if kind == 0 else 0)
        return found


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class RawTls:
    """
    TLS as a test wants it.

    @ivar context: To be changed before the first connection.
    """

    def __init__(self, key: SigningKey | None, alpn: list[bytes]) -> None:
        """
        @param key: Shown as a proper node's certificate; L{None} for none at all.
        """
        if key is not None:
            contexts = TlsContexts(key, lambda: alpn)
            self.context = contexts.dialler
            self.server_context = contexts.acceptor
        else:
            self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_verify(SSL.VERIFY_NONE, None)
        self._alpn = alpn

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: N803  # Twisted's
        connection = SSL.Connection(self.context, None)
        if self._alpn:
            connection.set_alpn_protos(self._alpn)
        return connection

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: N803  # Twisted's
        return SSL.Connection(self.server_context, None)


class _Tls(TLSMemoryBIOFactory):
    protocol = TLSMemoryBIOProtocol


class _One(ClientFactory):
    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._one = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self._one


def connect_tls(reactor: Any, host: str, port: int, tls: RawTls) -> RawPeer:
    """
    @return: A peer whose handshake begins.
    """
    peer = RawPeer()
    reactor.connectTCP(host, port, _Tls(cast(Any, tls), True, cast(Any, _One(peer)), reactor))
    return peer


def connect_tcp(reactor: Any, host: str, port: int) -> RawPeer:
    """
    @return: A peer without TLS.
    """
    peer = RawPeer()
    reactor.connectTCP(host, port, _One(peer))
    return peer


class _Many(ClientFactory):
    noisy = False

    def __init__(self, made: list[RawPeer]) -> None:
        self._made = made

    def buildProtocol(self, addr: object) -> Protocol:
        peer = RawPeer()
        self._made.append(peer)
        return peer


def listen_tls(reactor: Any, port: int, tls: RawTls | None) -> list[RawPeer]:
    """
    @param tls: L{None} for no TLS.

    @return: Where peers appear that were connected to.
    """
    made: list[RawPeer] = []
    factory: Any = _Many(made)
    reactor.listenTCP(port, factory if tls is None else _Tls(cast(Any, tls), False, factory, reactor))
    return made
