# -*- test-case-name: tests.sync.test_session -*-
"""
The receiving half of a session: which message may come when, and what it means. Mirrors the receiving sides of
p2panda-sync/src/protocols/log_sync.rs and topic_log_sync.rs.

::

    HAVE ---Have---> ANNOUNCEMENT ---PreSync---> OPERATIONS ---Done---> LIVE, once our Done is sent, too
                          +-------------Done-------------------^
    LIVE ---Close---> OVER

Anything else is a breach. Unlike upstream, one surplus C{Done} is tolerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum

from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.stored import Refusal
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.incoming import Batch, Incoming, read_oversized
from p2panda_tw.sync.messages import Close, Done, LogIds, PreSync, decode_message, is_have
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION
from p2panda_tw.sync.remote_heights import RemoteHeights
from p2panda_tw.wire.frames import OversizedFrame

__all__ = ["Moment", "Phase", "Receiving"]


class Phase(IntEnum):
    """
    What is expected from the peer.
    """

    HAVE = 0
    ANNOUNCEMENT = 1
    OPERATIONS = 2
    LIVE = 3
    OVER = 4


class Moment(Enum):
    """
    A step that the peer has taken.
    """

    HAVE = "its heights are known"
    ANNOUNCED = "it has said how much is coming"
    DONE = "it has sent what it had"
    CLOSE = "it asks for the end"


_MOMENTS = {
    Phase.HAVE: "instead of Have",
    Phase.ANNOUNCEMENT: "instead of PreSync or Done",
    Phase.OPERATIONS: "during catch-up",
    Phase.LIVE: "in live mode",
}


class Receiving:
    """
    The machine. What comes in is put into it and taken out step by step, as fast as the store takes operations.

    @ivar phase: What is expected.
    @ivar done: Whether the peer has sent C{Done}.
    @ivar begun: Whether the peer has sent its C{Have}.
    @ivar remote: The peer's heights, once known.
    @ivar total_operations: How many operations were announced.
    @ivar total_bytes: How many bytes were announced.
    @ivar operations: How many operations came during catch-up.
    @ivar size: How many bytes they had.
    @ivar live_operations: How many came in live mode.
    @ivar live_size: How many bytes they had.
    """

    def __init__(self, log_ids: LogIds) -> None:
        self.phase = Phase.HAVE
        self.done = False
        self.begun = False
        self.remote: RemoteHeights | None = None
        self.total_operations = 0
        self.total_bytes = 0
        self.operations = 0
        self.size = 0
        self.live_operations = 0
        self.live_size = 0
        self._log_ids = log_ids
        self._incoming = Incoming()
        self._surplus_done = False

    @property
    def empty(self) -> bool:
        """
        Whether everything was taken out.
        """
        return self._incoming.empty

    @property
    def held(self) -> int:
        """
        How many bytes wait, C{Have} included.
        """
        return self._incoming.held + (0 if self.remote is None else self.remote.size)

    def let_go(self) -> None:
        """
        The session is over; drop what is there. L{Pacing<p2panda_tw.sync.pacing.Pacing>} may go on with the heights.
        """
        self._incoming = Incoming()
        self.remote = None

    def put(self, payloads: Sequence[bytes | OversizedFrame]) -> None:
        """
        These frames came in.
        """
        self._incoming.put(payloads)

    def next(self, local: LogHeights) -> Batch | Refusal | Moment | None:
        """
        @param local: Our own heights, as long as the peer's are not known.

        @return: Operations for the store, one that was too large to be taken, a step of the peer, or C{None}: nothing
            is left.

        @raise DecodeError: The peer breaks the protocol.
        """
        while not self._incoming.empty:
            kind = LIVE_OPERATION if self.phase is Phase.LIVE else CATCH_UP_OPERATION
            if self.phase is Phase.LIVE or self.phase is Phase.OPERATIONS:
                batch = self._incoming.take_batch(kind)
                if batch.count:
                    self._count(batch)
                    if batch.operations:
                        return batch
                    continue
            payload = self._incoming.take()
            if isinstance(payload, OversizedFrame):
                return self._oversized(payload, kind)
            moment = self._message(payload, local)
            if moment is not None:
                return moment
        return None

    def _count(self, batch: Batch) -> None:
        if self.phase is Phase.LIVE:
            self.live_operations += batch.count
            self.live_size += batch.size
        elif self.done:
            raise DecodeError("An operation after Done.")
        else:
            self.operations += batch.count
            self.size += batch.size

    def _oversized(self, frame: OversizedFrame, kind: bytes) -> Refusal:
        if self.phase < Phase.OPERATIONS or (self.phase is Phase.OPERATIONS and self.done):
            raise DecodeError(f"A message of {frame.length} bytes at the wrong moment.")
        header = read_oversized(frame, kind)
        self._incoming.leave_out(header)
        reason = "An operation is too large. Its log is left out for this session."
        return Refusal(reason=reason, fatal=False, author=header.verifying_key, seq_num=header.seq_num)

    def _message(self, payload: bytes, local: LogHeights) -> Moment | None:
        if is_have(payload):
            if self.phase is not Phase.HAVE:
                # Not even read: sixty thousand keys would take six seconds.
                raise DecodeError(f"An unexpected Have {_MOMENTS[self.phase]}.")
            self.remote = RemoteHeights(payload, self._log_ids, local)
            self.begun = True
            self.phase = Phase.ANNOUNCEMENT
            return Moment.HAVE
        message = decode_message(payload, self._log_ids)
        match self.phase, message:
            case Phase.ANNOUNCEMENT, PreSync(total_operations, total_bytes):
                self.total_operations = total_operations
                self.total_bytes = total_bytes
                self.phase = Phase.OPERATIONS
                return Moment.ANNOUNCED
            case Phase.ANNOUNCEMENT, Done():
                self.done = True
                self.phase = Phase.OPERATIONS
                return Moment.ANNOUNCED
            case Phase.OPERATIONS, Done() if not self.done:
                self.done = True
                return Moment.DONE
            case ((Phase.OPERATIONS | Phase.LIVE), Done()) if not self._surplus_done:
                self._surplus_done = True
                return None
            case Phase.LIVE, Close():
                return Moment.CLOSE
            case _:
                raise DecodeError(f"An unexpected {type(message).__name__} {_MOMENTS[self.phase]}.")
