# -*- test-case-name: tests.sync.test_messages -*-
"""
The messages of topic handshake and log sync as bytes. Mirrors C{TopicHandshakeMessage}, C{TopicLogSyncMessage} and
C{LogSyncMessage} of p2panda-sync.

::

    handshake stream                      session stream
    00 20 topic     Topic                 00 00 heights                  Have
    01              Done                  00 01 operations bytes         PreSync
                                          00 02 raw operation            Operation
                                          00 03                          Done
                                          01 raw operation               Live
                                          02                             Close

    raw operation   varint length, header | 00, or 01 varint length, body
    heights         varint count of { 20 author | varint count of { log id | varint seq_num } }
    log id          varint (u64), or 20 and 32 bytes; the application decides, it cannot be told from the bytes

Bytes after a message inside its frame are ignored, as upstream does. Operations are what travels by the thousand: lists
of them have a way of their own in both directions, L{p2panda_tw.sync.operation_frames}.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from p2panda_tw.core.hash import HASH_LENGTH, Hash
from p2panda_tw.core.identity import verifying_key
from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.topic import Form, LogId, Topic
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.limits import MAX_HAVE, MAX_HAVE_ENTRIES
from p2panda_tw.sync.operation_frames import read_operation
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import Reader, bytes_, varint

__all__ = [
    "BY_BYTES",
    "CLOSE_FRAME",
    "DONE_FRAME",
    "Close",
    "Done",
    "HandshakeDone",
    "HandshakeTopic",
    "Have",
    "LiveOperation",
    "LogIds",
    "PreSync",
    "SyncOperation",
    "TopicHandshakeMessage",
    "TopicLogSyncMessage",
    "decode_handshake_message",
    "decode_message",
    "encode_handshake_message",
    "encode_have",
    "encode_pre_sync",
    "is_have",
    "walk_heights",
]

DONE_FRAME: Final = encode_frame(b"\x00\x03")
"""
The whole frame of C{Done}.
"""

CLOSE_FRAME: Final = encode_frame(b"\x02")
"""
The whole frame of C{Close}.
"""

BY_BYTES: Final = attrgetter("raw")
"""
Sorts authors; the same order as theirs, many times faster.
"""

_U32_MAX: Final = 2**32 - 1
_LENGTH_MARK: Final = varint(HASH_LENGTH)


class LogIds(enum.Enum):
    """
    How log ids look on the wire.
    """

    NUMBERS = "u64"
    HASHES = "32 bytes"

    @classmethod
    def of(cls, form: Form) -> LogIds:
        """
        @return: What topics of a form use.
        """
        return cls.HASHES if form is Form.NODE else cls.NUMBERS


@dataclass(frozen=True, slots=True)
class HandshakeTopic:
    """
    What the session is going to be about.
    """

    topic: Topic


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """
    The topic was received, or the acceptor's C{Done} was.
    """


TopicHandshakeMessage = HandshakeTopic | HandshakeDone


@dataclass(frozen=True, slots=True)
class Have:
    """
    How far the sender's logs reach.
    """

    heights: LogHeights


@dataclass(frozen=True, slots=True)
class PreSync:
    """
    How much the sender is going to send. For information only.

    @ivar total_operations: u32.
    @ivar total_bytes: Headers and bodies, u32.
    """

    total_operations: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class SyncOperation:
    """
    One operation of the past.
    """

    operation: RawOperation


@dataclass(frozen=True, slots=True)
class Done:
    """
    The sender has sent what it had.
    """


@dataclass(frozen=True, slots=True)
class LiveOperation:
    """
    One new operation.
    """

    operation: RawOperation


@dataclass(frozen=True, slots=True)
class Close:
    """
    The sender asks for the end of the session.
    """


TopicLogSyncMessage = Have | PreSync | SyncOperation | Done | LiveOperation | Close


def encode_handshake_message(message: TopicHandshakeMessage) -> bytes:
    """
    @return: The whole frame.
    """
    if isinstance(message, HandshakeTopic):
        return encode_frame(b"\x00" + bytes_(message.topic.raw))
    return encode_frame(b"\x01")


def decode_handshake_message(payload: bytes) -> TopicHandshakeMessage:
    """
    @raise DecodeError: It is none.
    """
    reader = Reader(payload)
    match reader.varint(32):
        case 0:
            return HandshakeTopic(Topic(_read_32_bytes(reader)))
        case 1:
            return HandshakeDone()
        case variant:
            raise DecodeError(f"A handshake message of unknown kind {variant}.")


def _read_32_bytes(reader: Reader) -> bytes:
    if reader.varint(64) != HASH_LENGTH:
        raise DecodeError("A key, hash or topic that is not 32 bytes long.")
    return reader.fixed(HASH_LENGTH)


def encode_have(heights: LogHeights, log_ids: LogIds) -> bytes:
    """
    @param heights: Authors without any log are left out.

    @return: The whole frame, sorted by author and log id.
    """
    parts = []
    authors = 0
    for author in sorted(heights, key=BY_BYTES):
        logs = heights[author]
        if not logs:
            continue
        authors += 1
        parts += [_LENGTH_MARK, author.raw, varint(len(logs))]
        for log_id in sorted(logs):
            parts += [_encode_log_id(log_id, log_ids), varint(logs[log_id])]
    return encode_frame(b"\x00\x00" + varint(authors) + b"".join(parts))


def _encode_log_id(log_id: LogId, log_ids: LogIds) -> bytes:
    if isinstance(log_id, int):
        assert log_ids is LogIds.NUMBERS
        return varint(log_id)
    assert log_ids is LogIds.HASHES
    return _LENGTH_MARK + log_id.raw


def encode_pre_sync(total_operations: int, total_bytes: int) -> bytes:
    """
    @return: The whole frame. Totals beyond 32 bits are told as the largest there is.
    """
    return encode_frame(b"\x00\x01" + varint(min(total_operations, _U32_MAX)) + varint(min(total_bytes, _U32_MAX)))


def decode_message(payload: bytes, log_ids: LogIds) -> TopicLogSyncMessage:
    """
    Read any message of the session stream.

    @raise DecodeError: It is none, or a C{Have} beyond L{MAX_HAVE} or L{MAX_HAVE_ENTRIES}.
    """
    reader = Reader(payload)
    match reader.varint(32):
        case 0:
            return _decode_sync(reader, log_ids)
        case 1:
            return LiveOperation(read_operation(reader))
        case 2:
            return Close()
        case variant:
            raise DecodeError(f"A message of unknown kind {variant}.")


def _decode_sync(reader: Reader, log_ids: LogIds) -> TopicLogSyncMessage:
    match reader.varint(32):
        case 0:
            return Have(_read_heights(reader, log_ids))
        case 1:
            return PreSync(reader.varint(32), reader.varint(32))
        case 2:
            return SyncOperation(read_operation(reader))
        case 3:
            return Done()
        case variant:
            raise DecodeError(f"A sync message of unknown kind {variant}.")


def _read_heights(reader: Reader, log_ids: LogIds) -> LogHeights:
    """
    Of an author or a log that is listed twice the last mention counts.
    """
    heights: LogHeights = {}
    for author, logs in walk_heights(reader, log_ids):
        try:
            heights[verifying_key(author)] = logs
        except ValueError:
            raise DecodeError("An author is not a point on the curve.") from None
    return heights


def walk_heights(
    reader: Reader, log_ids: LogIds, wanted: Container[bytes] | None = None
) -> Iterator[tuple[bytes, dict[LogId, int]]]:
    """
    Read author after author, so that nobody has to hold more of a C{Have} than he wants.

    @param reader: Right behind the kind of the message.
    @param wanted: Leave out authors that are not in here. Sixty thousand of them take 20 ms instead of 200.

    @return: Gives the 32 bytes of each author, not checked to be a point on the curve, and the heights of his logs.

    @raise DecodeError: When that place is reached.
    """
    if len(reader.data) > MAX_HAVE:
        raise DecodeError(f"A Have of {len(reader.data)} bytes where at most {MAX_HAVE} are allowed.")
    entries = 0
    for _ in range(reader.varint(64)):
        end = 0 if wanted is None else _end_of_stranger(reader.data, reader.position, log_ids, wanted)
        if end and entries + 2 <= MAX_HAVE_ENTRIES:
            entries += 2
            reader.position = end
            continue
        author = _read_32_bytes(reader)
        logs: dict[LogId, int] = {}
        count = reader.varint(64)
        entries += 1 + count
        if entries > MAX_HAVE_ENTRIES:
            raise DecodeError(f"A Have with more than {MAX_HAVE_ENTRIES} authors and logs.")
        for _ in range(count):
            log_id = reader.varint(64) if log_ids is LogIds.NUMBERS else Hash(_read_32_bytes(reader))
            logs[log_id] = reader.varint(32)
        if wanted is None or author in wanted:
            yield author, logs


def _end_of_stranger(data: bytes, at: int, log_ids: LogIds, wanted: Container[bytes]) -> int:
    """
    @return: Where an author ends that is listed the usual way, with one log, and not wanted; 0 for any other.
    """
    end = at + (68 if log_ids is LogIds.HASHES else 36)
    if end + 2 > len(data) or data[at] != HASH_LENGTH or data[at + 33] != 1:
        return 0
    if data[at + 34] != HASH_LENGTH if log_ids is LogIds.HASHES else data[at + 34] > 0x7F:
        return 0
    if data[end - 1] > 0x7F:  # a height of two bytes, or three
        end += 1
        if data[end - 1] > 0x7F:
            end += 1
            if data[end - 1] > 0x7F:
                return 0
    return 0 if data[at + 1 : at + 33] in wanted else end


def is_have(payload: bytes) -> bool:
    """
    @return: Whether the message would be a C{Have}, if nothing were wrong with it.

    @raise DecodeError: It is no message of any kind.
    """
    reader = Reader(payload)
    return reader.varint(32) == 0 and reader.varint(32) == 0
