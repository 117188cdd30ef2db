# -*- test-case-name: tests.core.test_timestamp -*-
"""
Clocks. An operation carries the wall clock alone, a plain integer of microseconds since 1970; whatever has to come
after something else from the same node carries a hybrid timestamp. Mirrors p2panda-core/src/timestamp.rs.

The time is always an argument here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import override

from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire import cbor
from p2panda_tw.wire.postcard import Reader, varint

__all__ = ["MAX_TIMESTAMP", "HybridTimestamp", "LamportTimestamp"]

MAX_TIMESTAMP: Final = 2**64 - 1
"""
The highest value of every clock here.
"""

_PART: Final = re.compile(r"\+?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class LamportTimestamp:
    """
    A counter that tells before from after.

    @ivar count: 0 to L{MAX_TIMESTAMP}.
    """

    count: int = 0

    def increment(self) -> LamportTimestamp:
        """
        @return: The next one.

        @raise LocalProtocolError: There is none.
        """
        if self.count >= MAX_TIMESTAMP:
            raise LocalProtocolError("A logical clock has reached its end.")
        return LamportTimestamp(self.count + 1)

    def __add__(self, steps: int) -> LamportTimestamp:
        return LamportTimestamp(min(self.count + steps, MAX_TIMESTAMP))

    @override
    def __str__(self) -> str:
        return str(self.count)


@dataclass(frozen=True, slots=True, order=True)
class HybridTimestamp:
    """
    The wall clock, and a counter for what happens within the same microsecond.

    @ivar wall: Microseconds since 1970.
    @ivar logical: How many came before it at the same C{wall}.
    """

    wall: int
    logical: int = 0

    def increment(self, now: int) -> HybridTimestamp:
        """
        Unlike upstream's, the result comes after this one also when the clock was set back.

        @param now: The time, in microseconds since 1970.

        @return: A later timestamp.
        """
        if now > self.wall:
            return HybridTimestamp(now)
        return HybridTimestamp(self.wall, LamportTimestamp(self.logical).increment().count)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """
        Read what C{str} gives: both numbers in decimal with a slash between.

        @raise DecodeError: It is something else.
        """
        parts = text.split("/")
        if len(parts) != 2:
            raise DecodeError(f"A hybrid timestamp has two parts, not {len(parts)}.")
        wall, logical = map(_read_part, parts)
        return cls(wall, logical)

    @override
    def __str__(self) -> str:
        return f"{self.wall}/{self.logical}"

    def to_cbor(self) -> bytes:
        """
        @return: An array of both numbers.
        """
        return cbor.encode([self.wall, self.logical])

    @classmethod
    def from_cbor(cls, item: object) -> Self:
        """
        @param item: A decoded item.

        @raise DecodeError: It is no hybrid timestamp.
        """
        match item:
            case [int(wall), int(logical), *_] if _fits(wall) and _fits(logical):
                return cls(wall, logical)
            case _:
                raise DecodeError("Something else where a hybrid timestamp is expected.")

    def to_postcard(self) -> bytes:
        """
        @return: Both numbers, without a count.
        """
        return varint(self.wall) + varint(self.logical)

    @classmethod
    def from_postcard(cls, reader: Reader) -> Self:
        """
        @raise DecodeError: The next fields are no hybrid timestamp.
        """
        wall = reader.varint(64)
        return cls(wall, reader.varint(64))


def _fits(number: int) -> bool:
    return type(number) is int and 0 <= number <= MAX_TIMESTAMP


def _read_part(text: str) -> int:
    """
    Read what Rust's C{u64::from_str} reads. Far less than C{int} does.
    """
    # Leading zeros are fine in any number, but nobody needs a megabyte of digits turned into an integer.
    digits = text.removeprefix("+").lstrip("0") or "0"
    if _PART.fullmatch(text) is None or len(digits) > 20 or int(digits) > MAX_TIMESTAMP:
        raise DecodeError("A part of a hybrid timestamp is not a number of 64 bits.")
    return int(digits)
