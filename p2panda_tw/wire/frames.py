# -*- test-case-name: tests.wire.test_frames -*-
"""
Length-prefixed frames: how messages follow each other on a stream.

::

    u32 big-endian, length of the payload | payload

A payload has at least one byte. The decoder takes any cut of the stream and hands out what became complete. Before
anything is buffered the length is checked against a limit; payloads above it either end the stream or, where a larger
one is legal but of no use to us, are thrown away as they arrive, all but their beginning.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2panda_tw.errors import DecodeError

__all__ = ["HEAD_SIZE", "MAX_FRAME", "FrameDecoder", "OversizedFrame", "encode_frame"]

MAX_FRAME: Final = 128 * 1024 * 1024
"""
The longest payload upstream takes, in bytes (p2panda-net/src/codec.rs).
"""

HEAD_SIZE: Final = 64 * 1024
"""
How much of a discarded payload is kept, in bytes (our own choice: room for a header and its frame).
"""

_PREFIX: Final = 4


def encode_frame(payload: bytes) -> bytes:
    """
    @return: C{payload} behind its length.
    """
    return len(payload).to_bytes(_PREFIX, "big") + payload


class OversizedFrame(NamedTuple):
    """
    A frame whose payload was too large to keep.

    @ivar length: Length of the whole payload, in bytes.
    @ivar head: Its beginning.
    """

    length: int
    head: bytes


class FrameDecoder:
    """
    Cuts a stream of bytes into payloads.

    @ivar max_payload: The longest payload that is handed out, in bytes.
    @ivar max_discarded: The longest payload that is skipped instead of ending the stream, in bytes.
    @ivar head_size: How much of a skipped payload is kept, in bytes.
    """

    __slots__ = ("_buffer", "_discarding", "_needed", "head_size", "max_discarded", "max_payload")

    def __init__(self, max_payload: int, *, max_discarded: int = 0, head_size: int = HEAD_SIZE) -> None:
        self.max_payload = max_payload
        self.max_discarded = max_discarded
        self.head_size = head_size
        # The beginning of an unfinished frame, its prefix included; or the head of a payload that is being skipped.
        self._buffer = bytearray()
        # How much must be there before it is worth looking again.
        self._needed = _PREFIX
        # While a payload is being skipped: its length and how much of it is still to come.
        self._discarding: tuple[int, int] | None = None

    @property
    def buffered(self) -> int:
        """
        How many bytes are held, waiting for the rest of their frame.
        """
        return len(self._buffer)

    @property
    def in_frame(self) -> bool:
        """
        Whether a frame has begun and not ended.
        """
        return len(self._buffer) > 0 or self._discarding is not None

    def receive_data(self, data: bytes) -> list[bytes | OversizedFrame]:
        """
        Take the next bytes of the stream, cut anywhere.

        @return: Payloads that became complete.

        @raise DecodeError: A length is zero or above the limit. The stream cannot be read any further, and payloads
            that became complete just now are lost with it.
        """
        frames: list[bytes | OversizedFrame] = []
        if self._discarding is not None:
            data = self._skip(data, frames)
        elif self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return frames
            data = self._complete(frames)
        self._cut(data, frames)
        return frames

    def receive_eof(self) -> None:
        """
        The stream has ended.

        @raise DecodeError: It ended inside a frame.
        """
        if self.in_frame:
            raise DecodeError("The stream ends inside a frame.")

    def _complete(self, frames: list[bytes | OversizedFrame]) -> bytes:
        """
        The buffer holds what was waited for: a whole frame, or its prefix.

        @return: What is to be cut next.
        """
        taken = 0
        if self._needed > _PREFIX:
            taken = self._needed
            frames.append(bytes(memoryview(self._buffer)[_PREFIX:taken]))
        rest = bytes(memoryview(self._buffer)[taken:])
        self._buffer.clear()
        return rest

    def _cut(self, data: bytes, frames: list[bytes | OversizedFrame]) -> None:
        """
        Take frames off the beginning of C{data} and keep the rest.
        """
        position = 0
        size = len(data)
        max_payload = self.max_payload
        from_bytes = int.from_bytes
        self._needed = _PREFIX
        while size - position >= _PREFIX:
            start = position + _PREFIX
            length = from_bytes(data[position:start], "big")
            if not 0 < length <= max_payload:
                self._begin_skipping(length)
                data = self._skip(data[start:], frames)
                position = 0
                size = len(data)
                continue
            end = start + length
            if end > size:
                self._needed = _PREFIX + length
                break
            frames.append(data[start:end])
            position = end
        if position < size:
            self._buffer += data[position:]

    def _begin_skipping(self, length: int) -> None:
        """
        A payload came that is not to be handed out.
        """
        if length == 0:
            raise DecodeError("A frame is empty.")
        if length > self.max_discarded:
            raise DecodeError(f"A frame of {length} bytes where at most {self.max_payload} are allowed.")
        self._discarding = (length, length)

    def _skip(self, data: bytes, frames: list[bytes | OversizedFrame]) -> bytes:
        """
        Throw away what belongs to the payload that is being skipped, all but its head.

        @return: What follows it.
        """
        assert self._discarding is not None
        length, left = self._discarding
        taken = min(left, len(data))
        self._buffer += data[: min(self.head_size - len(self._buffer), taken)]
        if taken < left:
            self._discarding = (length, left - taken)
            return b""
        frames.append(OversizedFrame(length, bytes(self._buffer)))
        self._buffer.clear()
        self._discarding = None
        return data[taken:]
