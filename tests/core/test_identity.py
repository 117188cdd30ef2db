from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey, VerifyingKey, verifying_key
from tests.properties import PROPERTIES

SEED = "f47b55d7a1cc5ee3effd80a4e4a0c33112317d0432da9de6ae019ae7e78e16aa"
PUBLIC = "e415c4190cc7f1647a592ebf8e5f905c2adef9948b175b2b5c11e14511b51620"

# Computed for these tests, each over b"message". A point of order 8 was added to R of the first, and to the key of the
# others; such signatures hold if the cofactor is multiplied in, and only the last one holds without.
ODD_R = (
    "7767a3242dc9b58bbc68488c1265cc6cc5f26c6f3c88a5d55e901b0734dca572",
    "742ad0ba6320e013c4b8e9e7e94fbf87391cd552577028789ffa91cf1633f16bc575695ec11325a1534d07bf6811a64196bb4129958695927a142963c7ad880b",
)
ODD_KEY = (
    "b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b",
    "edc876d6831fd2105d0b4389ca2e283166469289146e2ce06faefe98b22548dfaab999eb4991a7b301c1f495f54ed8b98c84788b6c36c886e9a4054ec022430a",
)
ODD_KEY_THAT_HOLDS = (
    ODD_KEY[0],
    "c0f1225584444ec730446e231390781ffdd2f256e9fcbeb2f40dddc2c2233d7f71c2eb9ea7edc3801e451550dfd8a56f109348100d31b8f29200165772f2240e",
)


class SigningKeyTests(SynchronousTestCase):
    """
    The secret half of an identity.
    """

    def test_public_half(self) -> None:
        """
        A seed gives the identity that Rust gives it.
        """
        self.assertEqual(SigningKey.from_hex(SEED).verifying_key.hex(), PUBLIC)
        self.assertEqual(str(SigningKey.from_hex(SEED).verifying_key), PUBLIC)

    def test_secret(self) -> None:
        """
        The seed does not show when a key is printed.
        """
        key = SigningKey.from_hex(SEED)
        self.assertEqual(repr(key), "<SigningKey of <VerifyingKey e415c419>>")
        self.assertEqual(str(key), repr(key))

    def test_wrong_seed(self) -> None:
        """
        A seed of another length is refused, in bytes and in hex.
        """
        self.assertRaises(ValueError, SigningKey, bytes(31))
        self.assertRaises(ValueError, SigningKey.from_hex, SEED[2:])
        self.assertRaises(ValueError, SigningKey.from_hex, SEED[1:])

    def test_generate(self) -> None:
        """
        Every fresh identity is another one.
        """
        self.assertNotEqual(SigningKey.generate().verifying_key, SigningKey.generate().verifying_key)

    @PROPERTIES
    @given(st.binary(min_size=32, max_size=32), st.binary(), st.integers(0, 511))
    def test_sign(self, seed: bytes, message: bytes, bit: int) -> None:
        """
        A signature holds for its message and author, and not with any bit changed.
        """
        key = SigningKey(seed)
        signature = key.sign(message)
        self.assertEqual(signature, key.sign(message))
        self.assertTrue(key.verifying_key.verify(message, signature))
        self.assertFalse(key.verifying_key.verify(message + b"\0", signature))
        changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
        self.assertFalse(key.verifying_key.verify(message, changed))


class VerifyingKeyTests(SynchronousTestCase):
    """
    The public half of an identity.
    """

    def test_trusted(self) -> None:
        """
        A key that was checked before is the same without another check, but never of another length.
        """
        key = SigningKey(bytes(32)).verifying_key
        self.assertEqual((VerifyingKey.trusted(key.raw), hash(VerifyingKey.trusted(key.raw))), (key, hash(key)))
        self.assertRaises(ValueError, VerifyingKey.trusted, key.raw[:31])

    def test_no_point(self) -> None:
        """
        Bytes that are no point of the curve are no identity.
        """
        self.assertRaises(ValueError, VerifyingKey, b"\2" + bytes(31))
        self.assertRaises(ValueError, verifying_key, b"\2" + bytes(31))
        self.assertRaises(ValueError, VerifyingKey, bytes(33))

    def test_remembered(self) -> None:
        """
        The function that remembers gives the same as the constructor.
        """
        raw = bytes.fromhex(PUBLIC)
        self.assertEqual(verifying_key(raw), VerifyingKey(raw))
        self.assertIs(verifying_key(raw), verifying_key(raw))

    def test_signature_length(self) -> None:
        """
        A signature of another length does not hold.
        """
        key = SigningKey.from_hex(SEED)
        signature = key.sign(b"message")
        for wrong in (b"", signature[:-1], signature + b"\0"):
            self.assertFalse(key.verifying_key.verify(b"message", wrong))

    def test_strict(self) -> None:
        """
        Signatures that hold for some libraries and not for others are refused: two nodes would disagree on a log.
        """
        for key, signature in (ODD_R, ODD_KEY):
            self.assertFalse(VerifyingKey.from_hex(key).verify(b"message", bytes.fromhex(signature)))
        key, signature = ODD_KEY_THAT_HOLDS
        self.assertTrue(VerifyingKey.from_hex(key).verify(b"message", bytes.fromhex(signature)))

    @PROPERTIES
    @given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.binary())
    def test_garbage(self, raw: bytes, signature: bytes, message: bytes) -> None:
        """
        Arbitrary bytes are a key or a ValueError, and no signature of anybody.
        """
        try:
            key = VerifyingKey(raw)
        except ValueError:
            return
        self.assertFalse(key.verify(message, signature))
