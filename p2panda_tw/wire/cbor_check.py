# -*- test-case-name: tests.wire.test_cbor -*-
"""
Is this one item of strict CBOR? Every value has exactly one accepted encoding (RFC 8949 section 4.2.1, and the floats
and bignums of section 4.2.2): shortest heads and floats, definite lengths, map keys in ascending order of their bytes.
The rules and limits are those of cbor-core 0.10.1, which upstream uses.

The check walks over the bytes with a stack of its own and builds nothing, so its memory depends on the nesting alone.
"""

from __future__ import annotations

import struct
from typing import Final

from p2panda_tw.errors import DecodeError

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "CborError", "check_item", "read_head", "skip_tags"]

MAX_DEPTH: Final = 200
"""
How deep arrays, maps and tags may be nested.
"""

MAX_LENGTH: Final = 1_000_000_000
"""
The longest byte string, text, array or map, in bytes or elements.
"""

UNLIMITED: Final = 1 << 62

NON_DETERMINISTIC: Final = "NonDeterministic"
MALFORMED: Final = "Malformed"
INVALID_UTF8: Final = "InvalidUtf8"
LENGTH_TOO_LARGE: Final = "LengthTooLarge"
NESTING_TOO_DEEP: Final = "NestingTooDeep"
UNEXPECTED_EOF: Final = "UnexpectedEof"
TOO_MANY_ITEMS: Final = "TooManyItems"


class CborError(DecodeError):
    """
    The bytes are not one item of strict CBOR.

    @ivar kind: Upstream's name of the problem: C{NonDeterministic}, C{Malformed}, C{InvalidUtf8}, C{LengthTooLarge},
        C{NestingTooDeep} or C{UnexpectedEof}. Ours: C{TooManyItems}.
    @ivar position: Where the item starts that has it.
    """

    def __init__(self, kind: str, position: int) -> None:
        super().__init__(f"Not strict CBOR: {kind} at byte {position}.")
        self.kind = kind
        self.position = position


class _Open:
    """
    An array, map or tag whose content is being read.

    @ivar left: How many items are still to come; a map has two for each entry.
    @ivar is_map: Whether every second item is a key.
    @ivar start: Where the current key starts.
    @ivar key: Start and end of the key before.
    """

    __slots__ = ("is_map", "key", "left", "start")

    def __init__(self, left: int, is_map: bool, start: int) -> None:
        self.left = left
        self.is_map = is_map
        self.start = start
        self.key: tuple[int, int] | None = None


def check_item(
    data: bytes,
    start: int = 0,
    *,
    max_depth: int = MAX_DEPTH,
    max_length: int = MAX_LENGTH,
    max_items: int = UNLIMITED,
) -> int:
    """
    Check the one item that starts at C{start}. What follows it is not looked at.

    @param max_depth: How deep arrays, maps and tags may be nested.
    @param max_length: The longest byte string, text, array or map; checked before any content is read.
    @param max_items: How many items there may be, nested ones included. As values each takes up to a hundred times as
        much memory as in bytes.

    @return: Where the item ends.

    @raise CborError: It is not strict CBOR. The first problem in reading order is told.
    """
    size = len(data)
    position = start
    stack: list[_Open] = []
    while True:
        at = position
        if at >= size:
            raise CborError(UNEXPECTED_EOF, at)
        max_items -= 1
        if max_items < 0:
            raise CborError(TOO_MANY_ITEMS, at)
        initial = data[at]
        major = initial >> 5
        argument = initial & 31
        position = at + 1
        if argument >= 24:
            width = 1 << (argument - 24) if argument < 28 else 0
            if not width or position + width > size:
                raise CborError(_bad_head(major, argument), at)
            argument = int.from_bytes(data[position : position + width], "big")
            position += width
            if major != 7 and (argument < 24 if width == 1 else not argument >> (width << 2)):
                raise CborError(NON_DETERMINISTIC, at)
        if major >= 4 and major != 7:
            if len(stack) >= max_depth:
                raise CborError(NESTING_TOO_DEEP, at)
            if major == 6:
                if argument in (2, 3):
                    _check_bignum(data, position, at)
                stack.append(_Open(1, False, position))
                continue
            if argument > max_length:
                raise CborError(LENGTH_TOO_LARGE, at)
            if argument:
                is_map = major == 5
                stack.append(_Open(argument << 1 if is_map else argument, is_map, position))
                continue
        elif major in (2, 3):
            if argument > max_length:
                raise CborError(LENGTH_TOO_LARGE, at)
            position += argument
            if position > size:
                raise CborError(UNEXPECTED_EOF, at)
            if major == 3:
                try:
                    data[position - argument : position].decode()
                except UnicodeDecodeError:
                    raise CborError(INVALID_UTF8, at) from None
        elif major == 7 and initial >= 0xF8:
            _check_special(initial, argument, at)
        # The item is complete, and with it everything that it was the last one of.
        while stack:
            top = stack[-1]
            if top.is_map:
                if not top.left & 1:
                    _check_order(data, top, position)
                else:
                    top.start = position
            top.left -= 1
            if top.left:
                break
            stack.pop()
        else:
            return position


def read_head(data: bytes, position: int) -> tuple[int, int, int]:
    """
    Read the head of an item that has been checked.

    @return: Its first byte (the major type in the upper three bits), its argument, and where the head ends.
    """
    initial = data[position]
    argument = initial & 31
    position += 1
    if argument < 24:
        return initial, argument, position
    end = position + (1 << (argument - 24))
    return initial, int.from_bytes(data[position:end], "big"), end


def skip_tags(data: bytes, position: int) -> int:
    """
    @return: Where the item inside all tags of a checked item starts.
    """
    while data[position] >> 5 == 6:
        position = read_head(data, position)[2]
    return position


def _bad_head(major: int, info: int) -> str:
    """
    @return: What is wrong with a head that has no argument, or whose argument is cut.
    """
    if info < 28:
        return UNEXPECTED_EOF
    return NON_DETERMINISTIC if info == 31 and 2 <= major <= 5 else MALFORMED


def _check_order(data: bytes, top: _Open, end: int) -> None:
    """
    A key of a map is complete: it has to come after the one before.
    """
    start = top.start
    if top.key is not None:
        before, before_end = top.key
        # No item is the beginning of another one, so the shorter length decides it.
        length = min(before_end - before, end - start)
        if data[before : before + length] >= data[start : start + length]:
            raise CborError(NON_DETERMINISTIC, start)
    top.key = (start, end)


def _check_bignum(data: bytes, position: int, at: int) -> None:
    """
    A tag 2 or 3 stands before C{position}. Before a byte string it makes a bignum, which must need more than 64 bits.
    """
    head = data[position : position + 1]
    if b"\x40" <= head <= b"\x48":
        raise CborError(NON_DETERMINISTIC, at)
    if b"\x49" <= head <= b"\x5b":
        content = position + {0x58: 2, 0x59: 3, 0x5A: 5, 0x5B: 9}.get(head[0], 1)
        if data[content : content + 1] == b"\0":
            raise CborError(NON_DETERMINISTIC, at)


def _check_special(initial: int, argument: int, at: int) -> None:
    """
    Check a simple value of two bytes, or a float.
    """
    if initial == 0xF8:
        if argument < 32:
            raise CborError(NON_DETERMINISTIC if argument < 24 else MALFORMED, at)
    elif (initial == 0xFA and _fits_half(argument)) or (initial == 0xFB and _fits_single(argument)):
        raise CborError(NON_DETERMINISTIC, at)


def _fits_half(bits: int) -> bool:
    """
    @param bits: A single float.

    @return: Whether a half float says exactly the same, payload of NaN included.
    """
    if bits & 0x7F800000 == 0x7F800000:
        return not bits & 0x1FFF
    return _survives(struct.unpack(">f", bits.to_bytes(4, "big"))[0], ">e")


def _fits_single(bits: int) -> bool:
    """
    @param bits: A double float.

    @return: Whether a single float says exactly the same, payload of NaN included.
    """
    if bits & 0x7FF0000000000000 == 0x7FF0000000000000:
        return not bits & 0x1FFFFFFF
    return _survives(struct.unpack(">d", bits.to_bytes(8, "big"))[0], ">f")


def _survives(number: float, layout: str) -> bool:
    """
    @return: Whether a finite number stays the same when written in a shorter layout.
    """
    try:
        return bool(struct.unpack(layout, struct.pack(layout, number))[0] == number)
    except OverflowError:
        return False
