# -*- test-case-name: tests.sync.test_messages -*-
"""
Operations as messages, many at a time: between a list of them and frames there is no object for each field. How such a
message looks stands in L{p2panda_tw.sync.messages}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from p2panda_tw.core.operation import RawOperation
from p2panda_tw.sync.limits import MAX_PAYLOAD, WRITE_BYTES
from p2panda_tw.wire.postcard import Reader, varint

__all__ = ["CATCH_UP_OPERATION", "LIVE_OPERATION", "encode_operations", "read_operation", "take_operations"]

CATCH_UP_OPERATION: Final = b"\x00\x02"
"""
How the payload of an operation begins during catch-up.
"""

LIVE_OPERATION: Final = b"\x01"
"""
How the payload of an operation begins in live mode.
"""


def encode_operations(kind: bytes, operations: Iterable[tuple[bytes, bytes | None]]) -> list[bytes]:
    """
    Encode many operations of one kind.

    @param kind: L{CATCH_UP_OPERATION} or L{LIVE_OPERATION}.
    @param operations: Header and body of each, as L{RawOperation}.

    @return: Their frames in writes of about L{WRITE_BYTES}. A longer body is a write of its own, the same object, so
        that it is not in memory twice.
    """
    writes: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    # Operations of one log mostly have the same lengths, so what stands around header and body is the same bytes.
    around: dict[tuple[int, int], tuple[bytes, bytes, int]] = {}
    for header, body in operations:
        lengths = (len(header), -1 if body is None else len(body))
        known = around.get(lengths)
        if known is None:
            known = around[lengths] = _around(kind, *lengths)
        before, between, length = known
        if body and len(body) > WRITE_BYTES:
            writes += (b"".join((*parts, before, header, between)), body)
            parts.clear()
            size = 0
            continue
        if body:
            parts += (before, header, between, body)
        else:
            parts += (before, header, between)
        size += length
        if size >= WRITE_BYTES:
            writes.append(b"".join(parts))
            parts.clear()
            size = 0
    if parts:
        writes.append(b"".join(parts))
    return writes


def _around(kind: bytes, header_length: int, body_length: int) -> tuple[bytes, bytes, int]:
    """
    @param body_length: -1 if there is no body.

    @return: What stands before the header, what stands between header and body, and the length of the whole frame.
    """
    start = kind + varint(header_length)
    between = b"\x00" if body_length < 0 else b"\x01" + varint(body_length)
    length = len(start) + header_length + len(between) + max(body_length, 0)
    return length.to_bytes(4, "big") + start, between, 4 + length


def take_operations(
    payloads: Sequence[object], start: int, kind: bytes, *, limit: int, limit_bytes: int
) -> tuple[list[RawOperation], int, int]:
    """
    Read operations of one kind as long as one follows the other.

    @param payloads: Payloads of frames; whatever is not C{bytes} ends the run.
    @param start: Where in C{payloads} to begin.
    @param kind: L{CATCH_UP_OPERATION} or L{LIVE_OPERATION}.
    @param limit: How many operations to take at most.
    @param limit_bytes: At how many bytes to stop; the first operation is taken in any case.

    @return: The operations, where the next payload is, and how many bytes of header and body were taken.

    @raise DecodeError: A payload begins like an operation and is none.
    """
    operations: list[RawOperation] = []
    size = 0
    skip = len(kind)
    position = start
    for payload in payloads[start : start + limit]:
        if type(payload) is not bytes or payload[:skip] != kind:
            break
        operation = _split_operation(payload, skip)
        header, body = operation
        size += len(header) if body is None else len(header) + len(body)
        if size > limit_bytes and operations:
            size -= len(header) if body is None else len(header) + len(body)
            break
        operations.append(operation)
        position += 1
    return operations, position, size


def _split_operation(payload: bytes, at: int) -> RawOperation:
    """
    The same as L{read_operation} for lengths below 16 KiB, several times faster. The rest goes there.
    """
    try:
        length = payload[at]
        start = at + 1
        if length > 0x7F:
            high = payload[start]
            if high > 0x7F:
                return read_operation(Reader(payload, at))
            length += (high << 7) - 0x80
            start += 1
        end = start + length
        mark = payload[end]
        if mark == 0:
            return RawOperation(payload[start:end], None)
        if mark == 1:
            length = payload[end + 1]
            body_start = end + 2
            if length > 0x7F:
                high = payload[body_start]
                if high > 0x7F:
                    return read_operation(Reader(payload, at))
                length += (high << 7) - 0x80
                body_start += 1
            body_end = body_start + length
            if body_end <= len(payload):
                return RawOperation(payload[start:end], payload[body_start:body_end])
    except IndexError:
        pass
    return read_operation(Reader(payload, at))


def read_operation(reader: Reader) -> RawOperation:
    """
    Read one operation, of any lengths.

    @raise DecodeError: There is none.
    """
    header = reader.bytes(MAX_PAYLOAD)
    return RawOperation(header, reader.bytes(MAX_PAYLOAD) if reader.option() else None)
