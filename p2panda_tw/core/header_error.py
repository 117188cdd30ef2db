# -*- test-case-name: tests.core.test_header -*-
"""
Why some bytes are not a header. This is asked only after they were refused, so it may take its time: it reads the bytes
as upstream's decoder does, in the same order, and tells the first problem by upstream's name.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.core.hash import HASH_LENGTH
from p2panda_tw.core.identity import SIGNATURE_LENGTH, VerifyingKey
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.cbor_check import CborError, check_item, read_head, skip_tags

__all__ = [
    "MAX_HEADER_DEPTH",
    "MAX_HEADER_LENGTH",
    "MAX_HEADER_SIZE",
    "MAX_PAYLOAD_SIZE",
    "VERSION",
    "HeaderError",
    "HeaderTooLong",
    "InvalidSignature",
    "why_not_a_header",
]

VERSION: Final = 1
"""
The only version of headers there is.
"""

MAX_HEADER_DEPTH: Final = 64
"""
How deep a header may be nested, its own array included (upstream's limit).
"""

MAX_HEADER_LENGTH: Final = 512
"""
The longest string, array or map inside a header, in bytes or elements (upstream's limit).
"""

MAX_HEADER_SIZE: Final = 64 * 1024
"""
The longest header that is looked at, in bytes. Upstream has no such limit, but what a Node writes has 262 at most, and
16 MiB of one-byte items would take the one who reads them ten seconds.
"""

MAX_PAYLOAD_SIZE: Final = 2**32 - 1
"""
The longest body that a header can speak of, in bytes.
"""


class HeaderError(DecodeError):
    """
    The bytes are not a header.

    @ivar kind: Upstream's name of the problem (C{HeaderError} in p2panda-core), or C{Tagged} for what only we refuse.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HeaderTooLong(HeaderError):
    """
    The bytes may be a header, but nobody looks. An honest node may pass on such a thing.
    """

    def __init__(self) -> None:
        super().__init__("TooLong", f"A header is longer than {MAX_HEADER_SIZE} bytes.")


class InvalidSignature(HeaderError):
    """
    The bytes are a header, but its author did not sign it.
    """

    def __init__(self) -> None:
        super().__init__("InvalidSignature", "The signature of a header is wrong.")


def why_not_a_header(raw: bytes) -> DecodeError:
    """
    Find out why C{raw} is not a header. The checks and their order are upstream's C{AnyHeader::decode}.
    """
    try:
        end = check_item(raw, max_depth=MAX_HEADER_DEPTH, max_length=MAX_HEADER_LENGTH)
    except CborError as error:
        return error
    if end != len(raw):
        return HeaderError("InvalidFormat", "Bytes follow a header.")
    fields = _Fields(raw)
    try:
        fields.walk()
    except HeaderError as error:
        return error
    return HeaderError("Tagged", "A header has a tag around it or around one of its fields.")


class _Fields:
    """
    The fields of a header that is strict CBOR, read one by one with upstream's leniency towards tags.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.position = 0
        self.left = 0

    def walk(self) -> None:
        """
        @raise HeaderError: Something is wrong with a field.
        """
        initial, self.left, self.position = read_head(self.raw, skip_tags(self.raw, 0))
        if initial >> 5 != 4:
            raise HeaderError("UnexpectedHeaderType", "A header is no array.")
        version = self._integer("version", 0xFFFF)
        if version != VERSION:
            raise HeaderError("UnsupportedVersion", f"A header of version {version}.")
        key = self._bytes("verifying_key", HASH_LENGTH)
        try:
            VerifyingKey(key)
        except ValueError:
            raise HeaderError("InvalidVerifyingKey", "The author of a header is not a point on the curve.") from None
        self._bytes("signature", SIGNATURE_LENGTH)
        if self._integer("payload_size", MAX_PAYLOAD_SIZE):
            self._bytes("payload_hash", HASH_LENGTH)
        if self._integer("seq_num", MAX_SEQ_NUM):
            self._bytes("backlink", HASH_LENGTH)
        if self.left > 1:
            raise HeaderError("ExcessiveFields", "A header has too many fields.")

    def _next(self, name: str) -> tuple[int, int, int]:
        """
        @return: Major type, argument and end of the head of the next field.
        """
        if not self.left:
            raise HeaderError("MissingField", f"A header ends before its {name}.")
        self.left -= 1
        initial, argument, end = read_head(self.raw, skip_tags(self.raw, self.position))
        return initial >> 5, argument, end

    def _integer(self, name: str, highest: int) -> int:
        major, argument, self.position = self._next(name)
        if major != 0 or argument > highest:
            raise HeaderError("UnexpectedFieldType", f"The {name} of a header is not an integer up to {highest}.")
        return argument

    def _bytes(self, name: str, length: int) -> bytes:
        major, argument, start = self._next(name)
        if major != 2:
            raise HeaderError("UnexpectedFieldType", f"The {name} of a header is not a byte string.")
        if argument != length:
            raise HeaderError("InvalidBytesLen", f"The {name} of a header has {argument} bytes instead of {length}.")
        self.position = start + length
        return self.raw[start : self.position]
