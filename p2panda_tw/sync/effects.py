# -*- test-case-name: tests.sync.test_session -*-
"""
What a session is told and what it asks for. Inputs are facts, outputs are imperatives; whoever drives the session feeds
the one and carries out the other, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRanges
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Gap, Heights, Ingested, LogPage, Refusal, StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync.events import SyncEvent
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.wire.frames import OversizedFrame

__all__ = [
    "Abandoned",
    "Abort",
    "CloseRequested",
    "ConnectionClosed",
    "EndOfStream",
    "Finish",
    "FramesReceived",
    "GapsFound",
    "GarbageReceived",
    "HeightsLoaded",
    "Ingest",
    "IngestFinished",
    "Input",
    "LoadHeights",
    "LoadLogPage",
    "LoadRangeSize",
    "LoadStoredPage",
    "LogPageLoaded",
    "Notify",
    "OperationsStored",
    "Output",
    "PeerRecognised",
    "RangeSizeLoaded",
    "Refuse",
    "Schedule",
    "Send",
    "Started",
    "StoreFailed",
    "StoredPageLoaded",
    "Timer",
    "TimerExpired",
    "TurnCame",
    "WritingPaused",
    "WritingResumed",
]


class Timer(Enum):
    """
    What a session may wait for.
    """

    CLOSE_GRACE = "the end after Close"
    ECHO = "silence of a receiver that is being healed"


@dataclass(frozen=True, slots=True)
class Started:
    """
    The session begins. The stream may not be there yet; what is sent waits for it.
    """


@dataclass(frozen=True, slots=True)
class PeerRecognised:
    """
    It is known who the peer is.

    @ivar pacing: How to send to it, if it is not one of ours.
    """

    pacing: Pacing | None


@dataclass(frozen=True, slots=True)
class FramesReceived:
    """
    Payloads of frames came in.
    """

    payloads: Sequence[bytes | OversizedFrame]


@dataclass(frozen=True, slots=True)
class GarbageReceived:
    """
    The stream cannot be read any further.

    @ivar reason: A sentence for a person.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """
    The peer has ended its direction of the stream.
    """


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """
    The stream is gone.

    @ivar reason: A sentence for a person.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class WritingPaused:
    """
    The transport has enough to write.
    """


@dataclass(frozen=True, slots=True)
class WritingResumed:
    """
    The transport takes more.
    """


@dataclass(frozen=True, slots=True)
class HeightsLoaded:
    """
    Answers L{LoadHeights}.
    """

    heights: Heights


@dataclass(frozen=True, slots=True)
class RangeSizeLoaded:
    """
    Answers L{LoadRangeSize}.

    @ivar operations: How many there are.
    @ivar size: Headers and bodies, in bytes.
    """

    operations: int
    size: int


@dataclass(frozen=True, slots=True)
class LogPageLoaded:
    """
    Answers L{LoadLogPage}.
    """

    page: LogPage


@dataclass(frozen=True, slots=True)
class StoredPageLoaded:
    """
    Answers L{LoadStoredPage}.
    """

    page: StoredPage


@dataclass(frozen=True, slots=True)
class IngestFinished:
    """
    Answers L{Ingest}.
    """

    ingested: Ingested


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """
    Answers anything that was asked of the store.

    @ivar reason: A sentence for a person.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class OperationsStored:
    """
    New operations of the topic, whoever they came from, in order of arrival.
    """

    operations: Sequence[StoredOperation]


@dataclass(frozen=True, slots=True)
class TurnCame:
    """
    Of the parallel sessions with this peer another one may now be the one that sends.
    """


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """
    The session is to end in order.
    """


@dataclass(frozen=True, slots=True)
class Abandoned:
    """
    Another session with the same peer makes this one needless.
    """


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """
    The time of a L{Schedule} has come.
    """

    timer: Timer


Input = (
    Started
    | PeerRecognised
    | FramesReceived
    | GarbageReceived
    | EndOfStream
    | ConnectionClosed
    | WritingPaused
    | WritingResumed
    | HeightsLoaded
    | RangeSizeLoaded
    | LogPageLoaded
    | StoredPageLoaded
    | IngestFinished
    | StoreFailed
    | OperationsStored
    | TurnCame
    | CloseRequested
    | Abandoned
    | TimerExpired
)


@dataclass(frozen=True, slots=True)
class LoadHeights:
    """
    Ask the store how far the logs of the topic reach.
    """


@dataclass(frozen=True, slots=True)
class LoadRangeSize:
    """
    Ask the store how much there is in some ranges.
    """

    ranges: LogRanges


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLogPage:
    """
    Read operations of one log.

    @ivar after: Exclusive; C{None}: from the beginning.
    @ivar until: Inclusive.
    @ivar limit: How many at most.
    """

    author: VerifyingKey
    log_id: LogId
    after: int | None
    until: int
    limit: int


@dataclass(frozen=True, slots=True)
class LoadStoredPage:
    """
    Read operations of the topic in order of arrival.

    @ivar after: Arrival number, exclusive.
    """

    after: int


@dataclass(frozen=True, slots=True)
class Ingest:
    """
    Hand operations to the store. Until it has answered nothing more of this session is read.

    @ivar live: Whether they are new, and go before those of a catch-up.
    """

    operations: Sequence[RawOperation]
    live: bool


@dataclass(frozen=True, slots=True)
class Send:
    """
    Write to the stream.

    @ivar writes: Whole frames, one string for each write.
    """

    writes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Tell the session when some seconds have passed. An earlier one with the same timer is forgotten.
    """

    delay: float
    timer: Timer


@dataclass(frozen=True, slots=True)
class Notify:
    """
    Tell the application.
    """

    event: SyncEvent


@dataclass(frozen=True, slots=True)
class Refuse:
    """
    Something was not taken; tell once per peer and cause.
    """

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class GapsFound:
    """
    The store put operations aside that are ahead of their logs.
    """

    gaps: Sequence[Gap]


@dataclass(frozen=True, slots=True)
class Finish:
    """
    End the stream and the connection in order. The session is over.
    """


@dataclass(frozen=True, slots=True)
class Abort:
    """
    Close the connection at once, without an end of stream. The session is over, and failed.

    @ivar reason: A sentence for a person.
    @ivar to_blame: Whether the peer did what the protocol does not allow.
    """

    reason: str
    to_blame: bool


Output = (
    LoadHeights
    | LoadRangeSize
    | LoadLogPage
    | LoadStoredPage
    | Ingest
    | Send
    | Schedule
    | Notify
    | Refuse
    | GapsFound
    | Finish
    | Abort
)
