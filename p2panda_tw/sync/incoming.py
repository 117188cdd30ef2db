# -*- test-case-name: tests.sync.test_limits -*-
"""
What came in and was not looked at yet. Operations leave it in batches for the store, everything else one by one.

A batch is what a delivery of the transport completed, 256 operations or 1 MiB at most; a delivery that is a little
larger is cut into equal parts. While a batch is in the store nothing is taken out, and nothing more should be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2panda_tw.core.operation import Header, RawOperation, decode_header
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.limits import BATCH_BYTES, BATCH_OPERATIONS
from p2panda_tw.sync.operation_frames import LIVE_OPERATION, take_operations
from p2panda_tw.wire.frames import OversizedFrame
from p2panda_tw.wire.postcard import Reader

__all__ = ["Batch", "Incoming", "read_oversized"]

_AUTHOR = slice(4, 36)
"""
Where the author stands in a header, behind the heads of array, version and key (docs/operations.md, section 3).
"""


class Batch:
    """
    Operations that belong together.

    @ivar operations: As they came, without those of logs that are left out.
    @ivar count: How many came.
    @ivar size: Headers and bodies of all that came, in bytes.
    """

    __slots__ = ("count", "operations", "size")

    def __init__(self, operations: list[RawOperation], count: int, size: int) -> None:
        self.operations = operations
        self.count = count
        self.size = size


class Incoming:
    """
    A queue of payloads.

    @ivar held: Bytes of the payloads in it.
    """

    __slots__ = ("_left_out", "_payloads", "_position", "held")

    def __init__(self) -> None:
        self._payloads: list[bytes | OversizedFrame] = []
        self._position = 0
        # Authors of whom something was too large to be taken; what follows in their logs could only wait for it.
        self._left_out: set[bytes] = set()
        self.held = 0

    @property
    def empty(self) -> bool:
        """
        Whether everything was taken out.
        """
        return self._position >= len(self._payloads)

    def put(self, payloads: Sequence[bytes | OversizedFrame]) -> None:
        """
        Add what became complete.
        """
        if self.empty:
            self._payloads = list(payloads)
            self._position = 0
        else:
            self._payloads.extend(payloads)
        self.held += sum([len(payload) if type(payload) is bytes else 0 for payload in payloads])

    def leave_out(self, header: Header) -> None:
        """
        Take nothing more of this log. An author has one log in a topic.
        """
        self._left_out.add(header.verifying_key.raw)

    def take_batch(self, kind: bytes) -> Batch:
        """
        Take the operations at the front.

        @return: Them; none came if something else is at the front.

        @raise DecodeError: Something begins like an operation and is none.
        """
        waiting = len(self._payloads) - self._position
        parts = -(-waiting // BATCH_OPERATIONS)
        operations, position, size = take_operations(
            self._payloads, self._position, kind, limit=-(-waiting // max(parts, 1)), limit_bytes=BATCH_BYTES
        )
        self._move_to(position)
        count = len(operations)
        if self._left_out:
            operations = [operation for operation in operations if operation.header[_AUTHOR] not in self._left_out]
        return Batch(operations, count, size)

    def take(self) -> bytes | OversizedFrame:
        """
        Take the one payload at the front, whatever it is.
        """
        payload = self._payloads[self._position]
        self._move_to(self._position + 1)
        return payload

    def _move_to(self, position: int) -> None:
        for payload in self._payloads[self._position : position]:
            if type(payload) is bytes:
                self.held -= len(payload)
        self._position = position
        if self.empty:
            self._payloads = []
            self._position = 0
        elif position > 4096:
            # So that what was taken out is not kept by what was not.
            del self._payloads[:position]
            self._position = 0


def read_oversized(frame: OversizedFrame, kind: bytes) -> Header:
    """
    Whose operation was it that was too large? Its signature is checked, because the log is left out for it.

    @param kind: Of which kind it has to be.

    @raise DecodeError: It was no operation at all.
    """
    if not frame.head.startswith(kind):
        what = "a live operation" if kind == LIVE_OPERATION else "an operation"
        raise DecodeError(f"A message of {frame.length} bytes that is not {what}.")
    return decode_header(Reader(frame.head, len(kind)).bytes(len(frame.head)))
