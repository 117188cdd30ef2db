# -*- test-case-name: tests.core.test_header -*-
"""
The header of an operation: a CBOR array without names, whose optional fields are there or not, and a signature over all
of it. Mirrors p2panda-core/src/operation/.

::

    offset 0    85 to 88: array of the fields that are present
           1    01: version
           2    5820, 32 bytes: verifying_key
           36   5840, 64 bytes: signature
           102  payload_size    integer, u32
                payload_hash    5820, 32 bytes; if and only if payload_size > 0
                seq_num         integer, u32
                backlink        5820, 32 bytes; if and only if seq_num > 0
                extensions      any one item; if the array has one more element

The signature is over these bytes without the signature, the first byte being one less. The id is BLAKE3 of all of them
as received. There is one encoding of a header only, so anything that does not lie exactly at these offsets is refused.
Unlike upstream's decoder, that includes tags around fields: with them anybody could give someone else's header another
id.

Decoding is the hot path of catch-up. It goes by offsets and looks for the reason only when something is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from p2panda_tw.core.extensions import is_plain
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header_error import (
    MAX_HEADER_DEPTH,
    MAX_HEADER_LENGTH,
    MAX_HEADER_SIZE,
    MAX_PAYLOAD_SIZE,
    VERSION,
    HeaderError,
    HeaderTooLong,
    InvalidSignature,
    why_not_a_header,
)
from p2panda_tw.core.identity import SigningKey, VerifyingKey, verifying_key
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire.cbor import encode_uint
from p2panda_tw.wire.cbor_check import CborError, check_item

__all__ = [
    "MAX_HEADER_DEPTH",
    "MAX_HEADER_LENGTH",
    "MAX_HEADER_SIZE",
    "MAX_PAYLOAD_SIZE",
    "VERSION",
    "Header",
    "HeaderError",
    "HeaderTooLong",
    "InvalidSignature",
    "build_header",
    "decode_header",
]

_SIGNATURE_START: Final = 36
_SIGNATURE_END: Final = 102
_KEY_MARK: Final = b"\x01\x58\x20"
_HASH_MARK: Final = b"\x58\x20"
_SIGNATURE_MARK: Final = b"\x58\x40"
_MANDATORY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Header:
    """
    A header that was decoded or built, hence is well-formed. Headers are equal when their bytes are.

    @ivar verifying_key: Its author.
    @ivar signature: 64 bytes.
    @ivar payload_size: Length of the body, in bytes; zero if the operation never had one.
    @ivar payload_hash: Hash of the body, if it had one.
    @ivar seq_num: Its position in the log.
    @ivar backlink: Id of the operation before, from C{seq_num} 1 on.
    @ivar extensions: The CBOR item of the extensions, if there are any. What it means depends on the form of the topic.
    @ivar raw: The encoded header, as received.
    @ivar hash: The id of the operation.
    """

    verifying_key: VerifyingKey
    signature: bytes
    payload_size: int
    payload_hash: Hash | None
    seq_num: int
    backlink: Hash | None
    extensions: bytes | None
    raw: bytes
    hash: Hash

    @property
    def signed_bytes(self) -> bytes:
        """
        What the signature is over.
        """
        return _unsigned(self.raw)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and other.raw == self.raw

    @override
    def __hash__(self) -> int:
        return hash(self.raw)


def _unsigned(raw: bytes) -> bytes:
    return bytes((raw[0] - 1,)) + raw[1:_SIGNATURE_START] + raw[_SIGNATURE_END:]


def decode_header(raw: bytes, *, verify: bool = True) -> Header:
    """
    Read a header.

    @param raw: Exactly one header.
    @param verify: Check the signature. It was checked before for what our own store holds.

    @raise DecodeError: It is not a header by the strict rules; L{CborError} or L{HeaderError} with a C{kind}.
    @raise HeaderTooLong: It has more than L{MAX_HEADER_SIZE} bytes.
    @raise InvalidSignature: It is a header with a wrong signature.
    """
    if len(raw) > MAX_HEADER_SIZE:
        raise HeaderTooLong
    header = _by_offsets(raw)
    if header is None:
        raise why_not_a_header(raw)
    if verify and not header.verifying_key.verify(_unsigned(raw), header.signature):
        raise InvalidSignature
    return header


def _by_offsets(raw: bytes) -> Header | None:
    """
    @return: The header, its signature not checked; C{None} if anything is out of place.
    """
    size = len(raw)
    if size < 104 or raw[1:4] != _KEY_MARK or raw[36:38] != _SIGNATURE_MARK:
        return None
    payload_hash = backlink = extensions = None
    try:
        author = verifying_key(raw[4:36])
        left = raw[0] - 0x80 - _MANDATORY
        payload_size = raw[102]
        position = 103
        if payload_size > 23:
            payload_size, position = _uint32(raw, 102)
        if payload_size:
            if raw[position : position + 2] != _HASH_MARK:
                return None
            payload_hash = Hash(raw[position + 2 : position + 34])
            position += 34
            left -= 1
        seq_num = raw[position]
        position += 1
        if seq_num > 23:
            seq_num, position = _uint32(raw, position - 1)
        if seq_num:
            if raw[position : position + 2] != _HASH_MARK:
                return None
            backlink = Hash(raw[position + 2 : position + 34])
            position += 34
            left -= 1
        if left == 1:
            left = 0
            extensions = raw[position:]
            if is_plain(extensions):
                position = size
            else:
                position = check_item(raw, position, max_depth=MAX_HEADER_DEPTH - 1, max_length=MAX_HEADER_LENGTH)
    except (IndexError, ValueError, DecodeError):
        return None
    if left or position != size:
        return None
    return Header(
        verifying_key=author,
        signature=raw[38:102],
        payload_size=payload_size,
        payload_hash=payload_hash,
        seq_num=seq_num,
        backlink=backlink,
        extensions=extensions,
        raw=raw,
        hash=Hash.of(raw),
    )


def _uint32(raw: bytes, at: int) -> tuple[int, int]:
    """
    Read an integer that takes one, two or four bytes after its head.

    @return: The integer, and where it ends.

    @raise ValueError: There is something else.
    """
    width = {0x18: 1, 0x19: 2, 0x1A: 4}.get(raw[at])
    if width is None:
        raise ValueError
    end = at + 1 + width
    if end > len(raw):
        raise ValueError
    number = int.from_bytes(raw[at + 1 : end], "big")
    if number < 24 or (width > 1 and not number >> (width << 2)):
        raise ValueError
    return number, end


def build_header(
    signing_key: SigningKey, *, body: bytes | None, seq_num: int, backlink: Hash | None, extensions: bytes | None
) -> Header:
    """
    Make and sign a header.

    @param signing_key: The author's.
    @param body: The body it speaks of. An empty one is the same as none.
    @param seq_num: Its position in the log.
    @param backlink: Id of the operation before; needed except at the beginning of the log.
    @param extensions: One strict CBOR item.

    @raise LocalProtocolError: Nobody could decode such a header. Upstream's builder does not look.
    """
    if not 0 <= seq_num <= MAX_SEQ_NUM:
        raise LocalProtocolError(f"A log has no position {seq_num}.")
    if (backlink is None) != (seq_num == 0):
        raise LocalProtocolError("A backlink belongs to every operation but the first of a log.")
    if body is not None and len(body) > MAX_PAYLOAD_SIZE:
        raise LocalProtocolError("A body has 4 GiB or more.")
    payload_size = len(body) if body else 0
    payload_hash = Hash.of(body) if body else None
    fields: list[bytes] = [encode_uint(payload_size)]
    if payload_hash is not None:
        fields.append(_HASH_MARK + payload_hash.raw)
    fields.append(encode_uint(seq_num))
    if backlink is not None:
        fields.append(_HASH_MARK + backlink.raw)
    if extensions is not None:
        if not is_plain(extensions):
            _check_extensions(extensions)
        fields.append(extensions)
    key = _KEY_MARK + signing_key.verifying_key.raw
    rest = b"".join(fields)
    signature = signing_key.sign(bytes((0x82 + len(fields),)) + key + rest)
    raw = bytes((0x83 + len(fields),)) + key + _SIGNATURE_MARK + signature + rest
    if len(raw) > MAX_HEADER_SIZE:
        raise LocalProtocolError(f"A header of {len(raw)} bytes is too long; at most {MAX_HEADER_SIZE} are possible.")
    return Header(
        verifying_key=signing_key.verifying_key,
        signature=signature,
        payload_size=payload_size,
        payload_hash=payload_hash,
        seq_num=seq_num,
        backlink=backlink,
        extensions=extensions,
        raw=raw,
        hash=Hash.of(raw),
    )


def _check_extensions(extensions: bytes) -> None:
    try:
        end = check_item(extensions, max_depth=MAX_HEADER_DEPTH - 1, max_length=MAX_HEADER_LENGTH)
    except CborError as error:
        raise LocalProtocolError(f"The extensions cannot be put into a header: {error}") from error
    if end != len(extensions):
        raise LocalProtocolError("The extensions are more than one CBOR item.")
