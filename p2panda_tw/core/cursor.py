# -*- test-case-name: tests.core.test_cursor -*-
"""
A cursor: how far an application has come in logs, by author and log id, under a name. Mirrors
p2panda-core/src/cursor.rs.

It can be handed to and taken from a Rust application. Our own streams count arrivals instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey, verifying_key
from p2panda_tw.core.logs import MAX_SEQ_NUM, LogHeights, LogRanges, compare
from p2panda_tw.core.topic import LogId
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire import cbor

__all__ = ["Cursor"]


class Cursor:
    """
    @ivar name: What it belongs to. A Node uses the hex digits of the topic, which makes it a secret, too.
    @ivar heights: The highest C{seq_num} that was reached in each log.
    """

    __slots__ = ("heights", "name")

    def __init__(self, name: str, heights: LogHeights | None = None) -> None:
        self.name = name
        self.heights: LogHeights = {} if heights is None else heights

    def advance(self, author: VerifyingKey, log_id: LogId, height: int) -> None:
        """
        A position of a log was reached. Never goes back.
        """
        logs = self.heights.setdefault(author, {})
        logs[log_id] = max(height, logs.get(log_id, height))

    def log_height(self, author: VerifyingKey, log_id: LogId) -> int | None:
        """
        @return: The position that was reached; C{None} before the first.
        """
        return self.heights.get(author, {}).get(log_id)

    def compare(self, heights: LogHeights) -> LogRanges:
        """
        @param heights: How far logs reach.

        @return: What of that lies beyond this cursor.
        """
        return compare(heights, self.heights)

    def encode(self) -> bytes:
        """
        @return: The CBOR form.
        """
        state = {
            author.raw: {_encode_log_id(log_id): height for log_id, height in logs.items()}
            for author, logs in self.heights.items()
        }
        return cbor.encode([self.name, state])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """
        @raise DecodeError: It is no cursor with log ids of numbers or 32 bytes.
        """
        match cbor.decode(data):
            case [str(name), dict(state), *_]:
                return cls(name, {_decode_author(author): _decode_logs(logs) for author, logs in state.items()})
            case _:
                raise DecodeError("Something else where a cursor is expected.")


def _encode_log_id(log_id: LogId) -> int | bytes:
    return log_id.raw if isinstance(log_id, Hash) else log_id


def _decode_author(key: object) -> VerifyingKey:
    try:
        if isinstance(key, bytes):
            return verifying_key(key)
    except ValueError:
        pass
    raise DecodeError("The author in a cursor is no verifying key.")


def _decode_logs(logs: object) -> dict[LogId, int]:
    if not isinstance(logs, Mapping):
        raise DecodeError("The logs in a cursor are no map.")
    return {_decode_log_id(log_id): _decode_height(height) for log_id, height in logs.items()}


def _decode_log_id(key: object) -> LogId:
    if isinstance(key, bytes) and len(key) == 32:
        return Hash(key)
    if isinstance(key, int) and 0 <= key < 1 << 64:
        return key
    raise DecodeError("A log id in a cursor is neither a number nor a hash.")


def _decode_height(height: object) -> int:
    if isinstance(height, int) and not isinstance(height, bool) and 0 <= height <= MAX_SEQ_NUM:
        return height
    raise DecodeError("A height in a cursor is no position of a log.")
