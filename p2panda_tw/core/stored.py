# -*- test-case-name: tests.store -*-
"""
What goes into a store of logs and what it answers: plain values that the store, sync and the streams hand each other.

Operations of a topic carry an I{arrival number}: 1 for the first that was stored, then ascending, never reused. It is
local to one store. Log heights serve the comparison with other nodes, arrival numbers everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.operation import Operation, RawOperation
from p2panda_tw.core.topic import LogId

__all__ = [
    "Fork",
    "Gap",
    "Heights",
    "Ingested",
    "LogPage",
    "Refusal",
    "StoredOperation",
    "StoredPage",
]


class StoredOperation(NamedTuple):
    """
    One operation of a topic as the store has it.

    @ivar arrival: Its arrival number in the topic.
    @ivar log_id: The log id it is stored under.
    @ivar operation: The operation, decoded.
    """

    arrival: int
    log_id: LogId
    operation: Operation


@dataclass(frozen=True, slots=True)
class StoredPage:
    """
    Operations of a topic in order of arrival.

    @ivar operations: What is still stored of the arrival numbers up to C{until}. May be empty though more follows (what
        was pruned leaves holes).
    @ivar until: Everything up to this arrival number has been looked at; ask for the next page after it.
    @ivar newest: The newest arrival number of the topic when the page was read. C{until == newest}: the end.
    """

    operations: Sequence[StoredOperation]
    until: int
    newest: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """
    Raw operations of one log in ascending C{seq_num}, as they are sent.

    @ivar operations: Header and body exactly as stored.
    @ivar until: Everything up to this C{seq_num} has been looked at. Ask for the next page after it.
    """

    operations: Sequence[RawOperation]
    until: int


@dataclass(frozen=True, slots=True)
class Heights:
    """
    The state of a topic at one moment.

    @ivar heights: Highest C{seq_num} of every log with at least one operation.
    @ivar newest: The newest arrival number at the same moment (0: nothing was ever stored).
    """

    heights: LogHeights
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """
    An operation is ahead of its log and was put aside.

    @ivar expected: The C{seq_num} that is missing first.
    @ivar found: The lowest C{seq_num} that waits.
    """

    author: VerifyingKey
    log_id: LogId
    expected: int
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """
    Another operation came in for a position that is taken. The first one stays.

    @ivar kept: Id of the stored operation.
    @ivar refused: Id of the other one.
    """

    author: VerifyingKey
    log_id: LogId
    seq_num: int
    kept: Hash
    refused: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    An operation was not stored.

    @ivar reason: A sentence for a person.
    @ivar fatal: The bytes are no operation at all (not decodable, bad signature): an honest node passes on no such
        thing, so the session ends. Otherwise the session goes on.
    @ivar author: Who signed it, if that could be read.
    @ivar seq_num: Its position, if that could be read.
    """

    reason: str
    fatal: bool
    author: VerifyingKey | None = None
    seq_num: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """
    What became of a batch of received operations, told after the commit.

    @ivar operations: The new ones, in order of arrival, with those that had waited behind a gap that this batch closed.
    @ivar known: How many had been stored before.
    @ivar gaps: One per log that is still waiting for something.
    @ivar forks: See L{Fork}.
    @ivar refused: See L{Refusal}.
    """

    operations: Sequence[StoredOperation]
    known: int = 0
    gaps: Sequence[Gap] = ()
    forks: Sequence[Fork] = ()
    refused: Sequence[Refusal] = ()
