# -*- test-case-name: tests.wire.test_cbor -*-
"""
CBOR to plain values and back, in the one deterministic form that L{p2panda_tw.wire.cbor_check} accepts.

=================== ========================================
CBOR                Python
=================== ========================================
integer, bignum     C{int}
byte string         C{bytes}
text                C{str}
array               C{list}
map                 C{dict}, or L{Map} where a C{dict} could not tell the keys apart
tag                 L{Tag}
false, true         C{bool}
null                C{None}
other simple value  L{Simple}; L{UNDEFINED} is one
float               C{float}, payload of NaN included
=================== ========================================

Encoding also takes tuples and other mappings. Decoding and encoding gives the same bytes again, always.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.wire.cbor_check import MAX_DEPTH, MAX_LENGTH, UNLIMITED, CborError, check_item, read_head

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "UNDEFINED",
    "CborError",
    "Map",
    "Simple",
    "Tag",
    "check_item",
    "decode",
    "encode",
    "encode_uint",
]


@dataclass(frozen=True, slots=True)
class Tag:
    """
    A tagged item. Tags 2 and 3 on byte strings do not appear here: those are integers.

    @ivar number: 0 to 2^64 - 1.
    @ivar item: What it says something about.
    """

    number: int
    item: object

    def __post_init__(self) -> None:
        if not 0 <= self.number < 1 << 64:
            raise ValueError(f"{self.number} is the number of no tag.")


@dataclass(frozen=True, slots=True)
class Simple:
    """
    A simple value other than C{False}, C{True} and C{None}.

    @ivar number: 0 to 19, 23, or 32 to 255.
    """

    number: int

    def __post_init__(self) -> None:
        if not (0 <= self.number < 20 or self.number == 23 or 32 <= self.number < 256):
            raise ValueError(f"{self.number} is the number of no such simple value.")


UNDEFINED: Final = Simple(23)
"""
JavaScript's other null.
"""


@dataclass(frozen=True, slots=True)
class Map:
    """
    A map with a key that is neither text nor bytes nor an integer. Python takes 1, 1.0 and C{True} for the same key,
    CBOR does not.

    @ivar entries: Key and value of each entry, in any order. Of entries with the same key the last one counts.
    """

    entries: tuple[tuple[object, object], ...]


def decode(
    data: bytes,
    start: int = 0,
    *,
    max_depth: int = MAX_DEPTH,
    max_length: int = MAX_LENGTH,
    max_items: int = UNLIMITED,
) -> object:
    """
    Read the one item at C{start}. Bytes after it are ignored, as upstream does with bodies of messages.

    @param max_depth: See L{check_item}.
    @param max_length: See L{check_item}.
    @param max_items: See L{check_item}.

    @raise CborError: It is not strict CBOR.
    """
    check_item(data, start, max_depth=max_depth, max_length=max_length, max_items=max_items)
    return _build(data, start)[0]


def _build(data: bytes, at: int) -> tuple[object, int]:
    """
    Make the value of an item that was checked; so nothing can be wrong, and the recursion has a limit.

    @return: The value, and where the item ends.
    """
    initial, argument, position = read_head(data, at)
    match initial >> 5:
        case 0:
            return argument, position
        case 1:
            return -1 - argument, position
        case 2:
            return data[position : position + argument], position + argument
        case 3:
            return data[position : position + argument].decode(), position + argument
        case 4:
            items = []
            for _ in range(argument):
                item, position = _build(data, position)
                items.append(item)
            return items, position
        case 5:
            return _build_map(data, position, argument)
        case 6:
            item, position = _build(data, position)
            if argument in (2, 3) and type(item) is bytes:
                number = int.from_bytes(item, "big")
                return (number if argument == 2 else -1 - number), position
            return Tag(argument, item), position
        case _:
            return _build_special(initial, argument), position


def _build_map(data: bytes, position: int, length: int) -> tuple[object, int]:
    entries = []
    distinct = True
    for _ in range(length):
        key, position = _build(data, position)
        value, position = _build(data, position)
        entries.append((key, value))
        distinct = distinct and type(key) in (str, bytes, int)
    return (dict(entries) if distinct else Map(tuple(entries))), position


def _build_special(initial: int, argument: int) -> object:
    match initial:
        case 0xF4:
            return False
        case 0xF5:
            return True
        case 0xF6:
            return None
        case 0xF9:
            return _float_of_bits(argument, 5, 10)
        case 0xFA:
            return _float_of_bits(argument, 8, 23)
        case 0xFB:
            return _float_of_bits(argument, 11, 52)
        case _:
            return Simple(argument)


def _float_of_bits(bits: int, exponent_bits: int, mantissa_bits: int) -> float:
    """
    Finite numbers are left to C{struct}; NaN is widened by hand, because hardware would set its quiet bit.
    """
    exponent = (1 << exponent_bits) - 1
    if bits >> mantissa_bits & exponent == exponent:
        sign = bits >> (exponent_bits + mantissa_bits)
        mantissa = (bits & ((1 << mantissa_bits) - 1)) << (52 - mantissa_bits)
        bits = sign << 63 | 0x7FF << 52 | mantissa
        exponent_bits = 11
    layout, size = {5: (">e", 2), 8: (">f", 4), 11: (">d", 8)}[exponent_bits]
    number: float = struct.unpack(layout, bits.to_bytes(size, "big"))[0]
    return number


def encode(value: object) -> bytes:
    """
    @param value: As in the table above.

    @return: Its only strict encoding.

    @raise LocalProtocolError: It has none: another type, a text with lone surrogates, or deeper than L{MAX_DEPTH}.
    """
    return _encode(value, MAX_DEPTH)


def encode_uint(number: int) -> bytes:
    """
    The same for what is known to be an integer, and at once.

    @param number: From 0 to 2^64 - 1.
    """
    return _head(0x00, number)


def _encode(value: object, depth: int) -> bytes:
    """
    @param depth: How many levels of arrays, maps and tags are still allowed.
    """
    if value is None:
        return b"\xf6"
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("A text with a lone surrogate has no CBOR form.") from None
        return _head(0x60, len(text)) + text
    if isinstance(value, int):
        return _encode_int(value)
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return _head(0x40, len(data)) + data
    if isinstance(value, float):
        return _encode_float(value)
    if isinstance(value, Simple):
        return bytes((0xE0 | value.number,)) if value.number < 24 else bytes((0xF8, value.number))
    if depth == 0:
        raise LocalProtocolError(f"A value nested deeper than {MAX_DEPTH} levels could not be read again.")
    if isinstance(value, list | tuple):
        return _head(0x80, len(value)) + b"".join([_encode(item, depth - 1) for item in value])
    if isinstance(value, Map):
        return _encode_map(value.entries, depth - 1)
    if isinstance(value, Mapping):
        return _encode_map(value.items(), depth - 1)
    if isinstance(value, Tag):
        return _encode_tag(value, depth - 1)
    raise LocalProtocolError(f"A {type(value).__name__} has no CBOR form.")


def _head(major: int, argument: int) -> bytes:
    """
    @param major: Major type in the upper three bits.
    @param argument: Less than 2^64.
    """
    if argument < 24:
        return bytes((major | argument,))
    if argument < 0x100:
        return bytes((major | 24, argument))
    if argument < 0x10000:
        return bytes((major | 25, argument >> 8, argument & 0xFF))
    if argument < 0x100000000:
        return bytes((major | 26,)) + argument.to_bytes(4, "big")
    return bytes((major | 27,)) + argument.to_bytes(8, "big")


def _encode_int(number: int) -> bytes:
    major, argument = (0x00, number) if number >= 0 else (0x20, -1 - number)
    if not argument >> 64:
        return _head(major, argument)
    data = argument.to_bytes((argument.bit_length() + 7) // 8, "big")
    return (b"\xc2" if number >= 0 else b"\xc3") + _head(0x40, len(data)) + data


def _encode_float(number: float) -> bytes:
    double: bytes = struct.pack(">d", number)
    bits = int.from_bytes(double, "big")
    if bits >> 52 & 0x7FF == 0x7FF:
        # Infinite, or not a number: the payload decides.
        sign, mantissa = bits >> 63, bits & ((1 << 52) - 1)
        if not mantissa & ((1 << 42) - 1):
            return b"\xf9" + (sign << 15 | 0x7C00 | mantissa >> 42).to_bytes(2, "big")
        if not mantissa & ((1 << 29) - 1):
            return b"\xfa" + (sign << 31 | 0x7F800000 | mantissa >> 29).to_bytes(4, "big")
        return b"\xfb" + double
    for mark, layout in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            shorter = struct.pack(layout, number)
        except OverflowError:
            continue
        if struct.unpack(layout, shorter)[0] == number:
            return mark + shorter
    return b"\xfb" + double


def _encode_map(entries: Iterable[tuple[object, object]], depth: int) -> bytes:
    encoded = {_encode(key, depth): _encode(item, depth) for key, item in entries}
    return _head(0xA0, len(encoded)) + b"".join([key + encoded[key] for key in sorted(encoded)])


def _encode_tag(tag: Tag, depth: int) -> bytes:
    if tag.number in (2, 3) and isinstance(tag.item, bytes | bytearray | memoryview):
        raise LocalProtocolError("A bignum is written as an integer.")
    return _head(0xC0, tag.number) + _encode(tag.item, depth)
