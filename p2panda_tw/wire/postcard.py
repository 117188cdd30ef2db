# -*- test-case-name: tests.wire.test_postcard -*-
"""
As much of postcard (https://postcard.jamesmunns.com/wire-format) as p2panda's messages need: unsigned variable-length
integers, booleans, byte strings, options and fixed bytes. The format describes nothing about itself, so each message
reads its fields in order and this module only checks each field.

::

    u8      one byte
    varint  7 bits per byte, least significant group first; bit 7 set: more follows
    bool    00 / 01
    bytes   varint length | bytes
    option  00, or 01 | value
    map     varint count | key | value | key | value ...
"""

from __future__ import annotations

import builtins
from typing import Final

from p2panda_tw.errors import DecodeError

__all__ = ["Reader", "bytes_", "varint"]

_CUT: Final = "The message ends inside a field."


def varint(number: int) -> bytes:
    """
    @param number: Not negative.

    @return: Its shortest form.
    """
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def bytes_(data: bytes) -> bytes:
    """
    @return: C{data} behind its length, as byte strings and text are written.
    """
    return varint(len(data)) + data


class Reader:
    """
    Reads one field after the other. Every method raises L{DecodeError} when the bytes do not hold such a field; the
    reader is of no use afterwards.

    @ivar data: The whole message.
    @ivar position: Where the next field starts.
    """

    __slots__ = ("data", "position")

    def __init__(self, data: builtins.bytes, start: int = 0) -> None:
        self.data = data
        self.position = start

    @property
    def remaining(self) -> int:
        """
        How many bytes have not been read.
        """
        return len(self.data) - self.position

    def u8(self) -> int:
        """
        Read one byte.
        """
        try:
            byte = self.data[self.position]
        except IndexError:
            raise DecodeError(_CUT) from None
        self.position += 1
        return byte

    def varint(self, bits: int) -> int:
        """
        Read an integer. As with upstream's decoder it may be longer than needed, within the bytes that the widest value
        takes.

        @param bits: Width of the type: 16, 32 or 64.
        """
        byte = self.u8()
        if byte < 0x80:
            return byte
        number = byte & 0x7F
        for shift in range(7, bits, 7):
            byte = self.u8()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >> bits:
                    break
                return number
        raise DecodeError(f"An integer takes more than {bits} bits.")

    def bool(self) -> builtins.bool:
        """
        Read a truth value.
        """
        byte = self.u8()
        if byte > 1:
            raise DecodeError(f"A truth value is {byte}.")
        return byte == 1

    def option(self) -> builtins.bool:
        """
        Read the mark before an optional value.

        @return: Whether the value follows.
        """
        byte = self.u8()
        if byte > 1:
            raise DecodeError(f"The mark of an optional value is {byte}.")
        return byte == 1

    def fixed(self, length: int) -> builtins.bytes:
        """
        Read bytes whose number both sides know.
        """
        end = self.position + length
        if end > len(self.data):
            raise DecodeError(_CUT)
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def bytes(self, limit: int) -> builtins.bytes:
        """
        Read a byte string with its length before it.

        @param limit: More bytes than this are refused.
        """
        length = self.varint(64)
        if length > limit:
            raise DecodeError(f"A byte string of {length} bytes where at most {limit} are allowed.")
        return self.fixed(length)
