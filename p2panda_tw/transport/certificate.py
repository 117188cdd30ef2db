# -*- test-case-name: tests.transport.test_certificate -*-
"""
Node keys as TLS certificates. The key is all that counts: names, dates and extensions of the other side's certificate
are ignored, ours are the same for everyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from p2panda_tw.core.identity import NodeId, SigningKey, verifying_key
from p2panda_tw.errors import RemoteProtocolError

__all__ = ["check_certificate", "make_certificate"]

_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2panda")])
_NOT_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def make_certificate(signing_key: SigningKey) -> tuple[x509.Certificate, Ed25519PrivateKey]:
    """
    @return: A new self-signed certificate of our identity with a random serial number, and its key in the form that TLS
        wants. Secret.
    """
    key = Ed25519PrivateKey.from_private_bytes(signing_key.seed)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )
    return builder.sign(key, None), key


def check_certificate(leaf: x509.Certificate | None, others: Sequence[x509.Certificate]) -> NodeId:
    """
    Find out whom a certificate belongs to. TLS has proven by now that the other side holds the key.

    @param leaf: The certificate that the other side showed.
    @param others: What it sent beside it.

    @raise RemoteProtocolError: This is not exactly one certificate with an Ed25519 key, signed by that key.
    """
    if leaf is None or others:
        raise RemoteProtocolError("A node shows exactly one certificate.")
    try:
        key = leaf.public_key()
        signed, signature = leaf.tbs_certificate_bytes, leaf.signature
    except Exception as error:  # whatever the parser says of foreign bytes, a key of an unknown kind among it
        raise RemoteProtocolError("The certificate of the other node cannot be read.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RemoteProtocolError("The certificate of the other node has no Ed25519 key.")
    try:
        node_id = verifying_key(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except ValueError as error:
        raise RemoteProtocolError("The key of the other node is no point on the curve.") from error
    if not node_id.verify(signed, signature):
        raise RemoteProtocolError("The certificate of the other node is not signed with its own key.")
    return node_id
