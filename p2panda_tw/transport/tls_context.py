# -*- test-case-name: tests.transport.test_tls -*-
"""
TLS as nodes use it: version 1.3 alone, both sides show their certificates, the protocol is chosen by ALPN, nothing is
resumed. Contexts are made once; what differs is set on each connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.errors import RemoteProtocolError
from p2panda_tw.transport.certificate import check_certificate, make_certificate

__all__ = ["Acceptor", "Dialler", "NoOverlap", "TlsContexts", "peer_of"]

_OP_NO_TICKET: Final = SSL.OP_NO_TICKET
_NO_RESUMPTION: Final = SSL.SESS_CACHE_OFF


class NoOverlap(SSL.Error):
    """
    The other side asked for no protocol that we offer. OpenSSL answers with alert 120.
    """


class TlsContexts:
    """
    The two contexts of one identity.
    """

    def __init__(self, signing_key: SigningKey, offered: Callable[[], Sequence[bytes]]) -> None:
        """
        @param offered: Asked for the protocols that are taken at this moment.
        """
        self._offered = offered
        certificate, key = make_certificate(signing_key)
        self.dialler, self.acceptor = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
        for context in (self.dialler, self.acceptor):
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
            context.set_max_proto_version(SSL.TLS1_3_VERSION)
            context.set_options(_OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
            context.set_session_cache_mode(_NO_RESUMPTION)
            context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection keeps no buffers
            context.use_certificate(certificate)
            context.use_privatekey(key)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _later)
        self.acceptor.set_alpn_select_callback(self._select)

    def _select(self, connection: SSL.Connection, asked: list[bytes]) -> bytes:
        offered = self._offered()
        for protocol in asked:
            if protocol in offered:
                return protocol
        raise NoOverlap([("SSL routines", "", "no application protocol")])


def _later(connection: SSL.Connection, certificate: object, error: int, depth: int, ok: int) -> bool:
    """
    No authority vouches for nodes; L{peer_of} judges the certificate after the handshake.
    """
    return True


@implementer(IOpenSSLClientConnectionCreator)
class Dialler:
    """
    Makes connections that ask for one protocol.
    """

    def __init__(self, contexts: TlsContexts, alpn: bytes) -> None:
        self._context = contexts.dialler
        self._alpn = alpn

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N803  # Twisted's
        """
        @return: A new connection over memory.
        """
        connection = SSL.Connection(self._context, None)
        connection.set_alpn_protos([self._alpn])
        return connection


@implementer(IOpenSSLServerConnectionCreator)
class Acceptor:
    """
    Makes connections that take what we offer.
    """

    def __init__(self, contexts: TlsContexts) -> None:
        self._context = contexts.acceptor

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N803  # Twisted's
        """
        @return: A new connection over memory.
        """
        return SSL.Connection(self._context, None)


def peer_of(connection: SSL.Connection, dialled: bool) -> NodeId:
    """
    @param connection: One whose handshake is complete.
    @param dialled: We are the dialler: then the chain holds the certificate itself, too.

    @return: Who is on the other side.

    @raise p2panda_tw.errors.RemoteProtocolError: The certificate is not that of a node.
    """
    try:
        leaf = connection.get_peer_certificate(as_cryptography=True)
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    except ValueError as error:  # OpenSSL is content with more than the parser of cryptography
        raise RemoteProtocolError("The certificate of the other node cannot be read.") from error
    return check_certificate(leaf, chain[1:] if dialled else chain)
