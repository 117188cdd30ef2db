# -*- test-case-name: tests.sync.test_session -*-
"""
What an application hears about the sync of a topic. C{session} numbers the sessions of a topic from 0, incoming and
outgoing ones alike.

The order within a session is L{SyncStarted}, any number of L{SyncProgress}, L{SyncFinished}, L{LiveStarted},
L{SessionEnded}; at any point L{SyncFailed} may end it instead. Names and meaning follow C{TopicLogSyncEvent} in
p2panda-sync/src/protocols/topic_log_sync.rs, except that a failed live session is always reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId, VerifyingKey
from p2panda_tw.core.topic import LogId

__all__ = [
    "ForkSeen",
    "LiveStarted",
    "OperationRefused",
    "SessionEnded",
    "SyncEvent",
    "SyncFailed",
    "SyncFinished",
    "SyncMetrics",
    "SyncProgress",
    "SyncStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMetrics:
    """
    What went over a session so far. Bytes are those of headers and bodies.

    @ivar outgoing_operations: How many operations we announced. They are promises, and may not be kept exactly.
    @ivar outgoing_bytes: How many bytes we announced.
    @ivar incoming_operations: How many operations the peer announced.
    @ivar incoming_bytes: How many bytes the peer announced.
    @ivar sent_operations: Sent during catch-up.
    @ivar sent_bytes: Sent during catch-up.
    @ivar received_operations: Received during catch-up, known ones included.
    @ivar received_bytes: Received during catch-up, known ones included.
    @ivar sent_live_operations: Sent in live mode.
    @ivar sent_live_bytes: Sent in live mode.
    @ivar received_live_operations: Received in live mode, known ones included.
    @ivar received_live_bytes: Received in live mode, known ones included.
    """

    outgoing_operations: int = 0
    outgoing_bytes: int = 0
    incoming_operations: int = 0
    incoming_bytes: int = 0
    sent_operations: int = 0
    sent_bytes: int = 0
    received_operations: int = 0
    received_bytes: int = 0
    sent_live_operations: int = 0
    sent_live_bytes: int = 0
    received_live_operations: int = 0
    received_live_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStarted:
    """
    Both sides have said how much is coming.

    @ivar outgoing_operations: How many operations we are going to send.
    @ivar outgoing_bytes: How many bytes that is.
    @ivar incoming_operations: How many operations the peer is going to send.
    @ivar incoming_bytes: How many bytes that is.
    """

    node_id: NodeId
    session: int
    outgoing_operations: int
    outgoing_bytes: int
    incoming_operations: int
    incoming_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """
    Catch-up goes on. Comes four times a second at most.
    """

    node_id: NodeId
    session: int
    metrics: SyncMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFinished:
    """
    Both sides have what the other one had when the session began.
    """

    node_id: NodeId
    session: int
    metrics: SyncMetrics


@dataclass(frozen=True, slots=True)
class LiveStarted:
    """
    From now on new operations go out and come in as they appear.
    """

    node_id: NodeId
    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """
    The session is over, in order.
    """

    node_id: NodeId
    session: int
    metrics: SyncMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFailed:
    """
    A session failed, or none could be made. It will be tried again if the node is one of the topic's peers.

    @ivar session: Which one; C{None} if there was none yet.
    @ivar reason: A sentence for a person.
    """

    node_id: NodeId
    session: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSeen:
    """
    Somebody signed two operations for one position of a log. The first one that came in stays.

    @ivar kept: Id of the operation that is stored.
    @ivar refused: Id of the other one.
    """

    author: VerifyingKey
    log_id: LogId
    seq_num: int
    kept: Hash
    refused: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRefused:
    """
    An operation was not taken; the session goes on. Told once per peer and cause.

    @ivar node_id: Who sent it.
    @ivar author: Who signed it, if that could be read.
    @ivar seq_num: Its position in the log, if that could be read.
    @ivar reason: A sentence for a person.
    """

    node_id: NodeId
    author: VerifyingKey | None
    seq_num: int | None
    reason: str


SyncEvent = (
    SyncStarted | SyncProgress | SyncFinished | LiveStarted | SessionEnded | SyncFailed | ForkSeen | OperationRefused
)
"""
Everything that a listener of a topic may be called with.
"""
