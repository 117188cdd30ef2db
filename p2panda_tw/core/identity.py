# -*- test-case-name: tests.core.test_identity -*-
"""
Ed25519 identities. The verifying key of a node is its node id and, as an author, the name of its logs.

Verification is strict (RFC 8032 without cofactor, canonical encodings, no points of small order), as upstream's
C{VerifyingKey::verify} in p2panda-core/src/identity.rs.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Final, Self

from nacl import bindings
from nacl.exceptions import BadSignatureError
from typing_extensions import override

from p2panda_tw.core.hash import Bytes32, decode_hex

__all__ = ["SIGNATURE_LENGTH", "NodeId", "SigningKey", "VerifyingKey", "verifying_key"]

SIGNATURE_LENGTH: Final = 64
"""
Length of an Ed25519 signature, in bytes.
"""

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P


def _is_point(raw: bytes) -> bool:
    """
    Can C{raw} be decompressed? Non-canonical C{y}, "negative zero" and points of small order can.
    """
    y = (int.from_bytes(raw, "little") & (2**255 - 1)) % _P
    y2 = y * y % _P
    x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _P) % _P
    return x2 == 0 or pow(x2, (_P - 1) // 2, _P) == 1


class VerifyingKey(Bytes32):
    """
    The public half of an identity, a compressed curve point.
    """

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        """
        @raise ValueError: C{raw} is not 32 bytes long, or not a point on the curve.
        """
        super().__init__(raw)
        if not _is_point(raw):
            raise ValueError("Not a point on the curve.")

    @classmethod
    def trusted(cls, raw: bytes) -> Self:
        """
        The same without the look at the curve, which takes 0.1 ms.

        @param raw: Has been a key before.

        @raise ValueError: C{raw} is not 32 bytes long.
        """
        key = cls.__new__(cls)
        Bytes32.__init__(key, raw)
        return key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """
        @return: Whether C{signature} is this identity's signature over C{message}, by the strict rules.
        """
        if len(signature) != SIGNATURE_LENGTH:
            return False
        try:
            bindings.crypto_sign_open(signature + message, self.raw)
        except BadSignatureError:
            return False
        return True

    @override
    def __str__(self) -> str:
        return self.raw.hex()


NodeId = VerifyingKey
"""
A node is named by its verifying key.
"""


@lru_cache(maxsize=16384)
def verifying_key(raw: bytes) -> VerifyingKey:
    """
    The same as C{VerifyingKey(raw)}, but remembers what was checked before.

    @raise ValueError: As L{VerifyingKey}.
    """
    return VerifyingKey(raw)


class SigningKey:
    """
    The secret half of an identity.

    @ivar seed: The 32-byte Ed25519 seed. Secret.
    @ivar verifying_key: The public half.
    """

    __slots__ = ("_expanded", "seed", "verifying_key")

    def __init__(self, seed: bytes) -> None:
        """
        @raise ValueError: C{seed} is not 32 bytes long.
        """
        if len(seed) != 32:
            raise ValueError(f"A signing key takes 32 bytes, not {len(seed)}.")
        public, self._expanded = bindings.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.verifying_key = VerifyingKey(public)

    @classmethod
    def generate(cls) -> SigningKey:
        """
        @return: A fresh identity from the operating system's random numbers.
        """
        return cls(secrets.token_bytes(32))

    @classmethod
    def from_hex(cls, text: str) -> SigningKey:
        """
        @param text: The seed as 64 hex digits.

        @raise ValueError: The text is anything else.
        """
        return cls(decode_hex(text))

    def sign(self, message: bytes) -> bytes:
        """
        @return: The 64-byte signature over C{message}; the same each time.
        """
        signed: bytes = bindings.crypto_sign(message, self._expanded)
        return signed[:SIGNATURE_LENGTH]

    @override
    def __repr__(self) -> str:
        return f"<SigningKey of {self.verifying_key!r}>"
