"""
Certificates: what ours look like, and whose are believed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.errors import RemoteProtocolError
from p2panda_tw.transport.certificate import check_certificate, make_certificate

ALICE = SigningKey(b"\x01" * 32)


def certificate_of(public: Any, signer: Any, algorithm: Any = None, name: str = "somebody") -> x509.Certificate:
    """
    @return: A certificate of one key, signed by another.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(datetime(1999, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(1999, 1, 2, tzinfo=UTC))
        .sign(signer, algorithm)
    )


class OwnTests(SynchronousTestCase):
    """
    Our certificate.
    """

    def test_form(self) -> None:
        """
        It says nothing but the key.
        """
        certificate, _ = make_certificate(ALICE)
        self.assertEqual(certificate.version, x509.Version.v3)
        self.assertEqual(certificate.subject.rfc4514_string(), "CN=p2panda")
        self.assertEqual(certificate.issuer, certificate.subject)
        self.assertEqual(certificate.not_valid_before_utc.year, 2000)
        self.assertEqual(certificate.not_valid_after_utc.year, 9999)
        self.assertEqual(len(certificate.extensions), 0)

    def test_new_each_time(self) -> None:
        """
        Two starts of a node cannot be told to be two certificates of one by their serial numbers.
        """
        self.assertNotEqual(make_certificate(ALICE)[0].serial_number, make_certificate(ALICE)[0].serial_number)

    def test_is_believed(self) -> None:
        """
        The other side finds our node id in it.
        """
        self.assertEqual(check_certificate(make_certificate(ALICE)[0], []), ALICE.verifying_key)


class CheckTests(SynchronousTestCase):
    """
    The certificates of others.
    """

    def assert_refused(self, word: str, leaf: x509.Certificate | None, *others: x509.Certificate) -> None:
        """
        This is no certificate of a node.
        """
        with self.assertRaises(RemoteProtocolError) as caught:
            check_certificate(leaf, others)
        self.assertIn(word, str(caught.exception))

    def test_names_and_dates(self) -> None:
        """
        Names and dates do not matter.
        """
        key = Ed25519PrivateKey.from_private_bytes(ALICE.seed)
        self.assertEqual(check_certificate(certificate_of(key.public_key(), key), []), ALICE.verifying_key)

    def test_none(self) -> None:
        """
        There has to be one.
        """
        self.assert_refused("exactly one", None)

    def test_two(self) -> None:
        """
        And not two.
        """
        certificate, _ = make_certificate(ALICE)
        self.assert_refused("exactly one", certificate, certificate)

    def test_other_key(self) -> None:
        """
        Another kind of key is no node id.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        self.assert_refused("no Ed25519", certificate_of(key.public_key(), key, hashes.SHA256()))

    def test_signed_by_another(self) -> None:
        """
        A certificate that somebody else has signed proves nothing.
        """
        key = Ed25519PrivateKey.from_private_bytes(ALICE.seed)
        other = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
        self.assert_refused("own key", certificate_of(key.public_key(), other))

    def test_weak_key(self) -> None:
        """
        The key whose signatures everybody can make is not believed.
        """
        weak = Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
        self.assert_refused("own key", certificate_of(weak, Ed25519PrivateKey.from_private_bytes(ALICE.seed)))
