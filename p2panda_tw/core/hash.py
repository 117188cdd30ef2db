# -*- test-case-name: tests.core.test_hash -*-
"""
Thirty-two bytes that mean something. L{Bytes32} is what hashes, node ids and topics have in common; each of them is a
type of its own, so that one cannot be taken for the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Self

from blake3 import blake3
from typing_extensions import override

__all__ = ["HASH_LENGTH", "Bytes32", "Hash", "decode_hex"]

HASH_LENGTH: Final = 32
"""
Length of a hash, a node id and a topic, in bytes.
"""

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)


def decode_hex(text: str) -> bytes:
    """
    Read hex digits of either case, without prefix, separators or white space.

    @raise ValueError: The text has an odd length or another character.
    """
    if _HEX.fullmatch(text) is None:
        raise ValueError("Not an even number of hex digits.")
    return bytes.fromhex(text)


class Bytes32:
    """
    Thirty-two bytes, compared and ordered bytewise among values of the same type. Immutable.

    @ivar raw: The bytes.
    """

    __slots__ = ("raw",)

    raw: bytes

    def __init__(self, raw: bytes) -> None:
        """
        @raise ValueError: C{raw} has another length.
        """
        if len(raw) != HASH_LENGTH:
            raise ValueError(f"{type(self).__name__} takes {HASH_LENGTH} bytes, not {len(raw)}.")
        _set_raw(self, raw)

    @override
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A {type(self).__name__} cannot be changed.")

    @override
    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A {type(self).__name__} cannot be changed.")

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """
        @raise ValueError: The text is not 64 hex digits.
        """
        return cls(decode_hex(text))

    def hex(self) -> str:
        """
        @return: 64 lower-case hex digits.
        """
        return self.raw.hex()

    @override
    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    @override
    def __hash__(self) -> int:
        return hash(self.raw)

    def __lt__(self, other: Self) -> bool:
        return self.raw < other.raw

    def __le__(self, other: Self) -> bool:
        return self.raw <= other.raw

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.raw,)

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.raw[:4].hex()}>"


# Sets the slot past __setattr__, which costs less than object.__setattr__.
_set_raw: Final[Callable[[Bytes32, bytes], None]] = Bytes32.__dict__["raw"].__set__


class Hash(Bytes32):
    """
    A BLAKE3 hash: the id of an operation, or of a body.
    """

    __slots__ = ()

    @classmethod
    def of(cls, data: bytes) -> Hash:
        """
        @return: The unkeyed 32-byte BLAKE3 hash of C{data}.
        """
        return cls(blake3(data).digest())

    @override
    def __str__(self) -> str:
        return self.raw.hex()
