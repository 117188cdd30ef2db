# -*- test-case-name: tests.sync.test_session -*-
"""
The sending half of catch-up: announce what the peer lacks, send it, say C{Done}, once. Mirrors
p2panda-sync/src/protocols/log_sync.rs. Two machines with the same methods:

  - L{CatchUp} sends everything, in pages from the store. The next page is read while the one before is being written;
    when the transport has enough, nothing more is read. For our own nodes, whose flow control reaches the store.
  - L{ChunkCatchUp} sends one chunk of what L{Pacing} allows. It is put together first, because what is announced
    should be what comes.

Unlike upstream's, both leave it to the session to go on reading meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRange, LogRanges
from p2panda_tw.core.operation import RawOperation, decode_header, total_size
from p2panda_tw.core.stored import LogPage
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync.effects import LoadLogPage, LoadRangeSize, Output, Send
from p2panda_tw.sync.limits import PAGE_OPERATIONS
from p2panda_tw.sync.messages import BY_BYTES, DONE_FRAME, encode_pre_sync
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, encode_operations
from p2panda_tw.sync.pacing import CHUNK_BYTES, IN_FLIGHT, Pacing

__all__ = ["CatchUp", "CatchUpSender", "ChunkCatchUp", "Sent"]

Stretch = tuple[VerifyingKey, LogId, LogRange]


@dataclass(slots=True)
class Sent:
    """
    What went out.

    @ivar announced: Whether the announcement is among it; C{Done} right away is one, too.
    @ivar total_operations: How many operations were announced.
    @ivar total_bytes: How many bytes were announced.
    @ivar operations: How many operations were sent.
    @ivar size: How many bytes of header and body were sent.
    @ivar done: Whether C{Done} was sent.
    """

    announced: bool = False
    total_operations: int = 0
    total_bytes: int = 0
    operations: int = 0
    size: int = 0
    done: bool = False

    def announce(self, total_operations: int, total_bytes: int) -> list[Output]:
        """
        @return: C{PreSync}, or C{Done} where there is nothing to announce.
        """
        self.announced = True
        if not total_bytes:
            return self.finish()
        self.total_operations = total_operations
        self.total_bytes = total_bytes
        return [Send([encode_pre_sync(total_operations, total_bytes)])]

    def send(self, operations: list[RawOperation] | tuple[RawOperation, ...]) -> list[Output]:
        """
        @return: The operations, encoded and counted.
        """
        if not operations:
            return []
        self.operations += len(operations)
        self.size += total_size(operations)
        return [Send(encode_operations(CATCH_UP_OPERATION, operations))]

    def finish(self) -> list[Output]:
        """
        @return: C{Done}.
        """
        self.done = True
        return [Send([DONE_FRAME])]


class CatchUpSender(Protocol):
    """
    What a session needs of either machine.
    """

    sent: Sent

    @property
    def complete(self) -> bool:
        """
        Whether the peer lacks nothing beyond what this session sends.
        """

    def begin(self, now: float) -> list[Output]:
        """
        The heights of both sides are known.
        """

    def size_loaded(self, operations: int, size: int) -> list[Output]:
        """
        The store has answered L{LoadRangeSize}.
        """

    def page_loaded(self, page: LogPage, now: float) -> list[Output]:
        """
        The store has answered L{LoadLogPage}.
        """

    def writing_paused(self) -> None:
        """
        The transport has enough to write.
        """

    def writing_resumed(self) -> list[Output]:
        """
        The transport takes more.
        """


@dataclass(slots=True)
class CatchUp:
    """
    Sends everything there is.

    @ivar ranges: What the peer lacks.
    @ivar sent: What went out.
    """

    ranges: LogRanges
    sent: Sent = field(default_factory=Sent)
    _ahead: deque[Stretch] = field(default_factory=deque)
    _loading: Stretch | None = None
    _ready: LogPage | None = None
    _paused: bool = False

    @property
    def complete(self) -> bool:
        """
        Always.
        """
        return True

    def begin(self, now: float) -> list[Output]:
        """
        Authors ascending, per author logs ascending (docs/sync.md, section 4).
        """
        for author in sorted(self.ranges, key=BY_BYTES):
            logs = self.ranges[author]
            self._ahead.extend((author, log_id, logs[log_id]) for log_id in sorted(logs))
        if not self._ahead:
            return self.sent.announce(0, 0)
        return [LoadRangeSize(self.ranges)]

    def size_loaded(self, operations: int, size: int) -> list[Output]:
        """
        Nothing is left of what was needed: C{Done}, and no second one later. (Upstream sends two.)
        """
        outputs = self.sent.announce(operations, size)
        if not self.sent.done:
            outputs += self._load()
        return outputs

    def page_loaded(self, page: LogPage, now: float) -> list[Output]:
        """
        Send it, or keep it until the transport takes more.
        """
        assert self._loading is not None
        author, log_id, (_, until) = self._loading
        self._loading = None
        if page.until < until:
            self._ahead.appendleft((author, log_id, LogRange(page.until, until)))
        if self._paused:
            self._ready = page
            return []
        return self._send(page)

    def writing_paused(self) -> None:
        """
        One more page may come in; it is kept.
        """
        self._paused = True

    def writing_resumed(self) -> list[Output]:
        """
        Send what was kept.
        """
        self._paused = False
        page, self._ready = self._ready, None
        return [] if page is None else self._send(page)

    def _send(self, page: LogPage) -> list[Output]:
        return [*self.sent.send(list(page.operations)), *self._load()]

    def _load(self) -> list[Output]:
        if not self._ahead:
            return self.sent.finish()
        self._loading = self._ahead.popleft()
        author, log_id, (after, until) = self._loading
        return [LoadLogPage(author=author, log_id=log_id, after=after, until=until, limit=PAGE_OPERATIONS)]


@dataclass(slots=True)
class ChunkCatchUp:
    """
    Sends one chunk, if it may.

    @ivar session: Number of the session.
    @ivar ranges: What the receiver lacks.
    @ivar pacing: Shared by all sessions with the receiver.
    @ivar sent: What went out.
    """

    session: int
    ranges: LogRanges
    pacing: Pacing
    sent: Sent = field(default_factory=Sent)
    _ahead: deque[Stretch] = field(default_factory=deque)
    _loading: Stretch | None = None
    _chunk: list[RawOperation] = field(default_factory=list)
    _positions: list[tuple[VerifyingKey, LogId, int]] = field(default_factory=list)
    _size: int = 0
    _complete: bool = False

    @property
    def complete(self) -> bool:
        """
        Whether the chunk was all that the receiver lacks.
        """
        return self._complete

    def begin(self, now: float) -> list[Output]:
        """
        Step 2 of docs/sync.md, section 7.
        """
        if not self.pacing.claim(self.session, now):
            self._complete = not self.pacing.lacks(self.ranges)
            self.pacing.chunk_withheld(self._complete)
            return self.sent.announce(0, 0)
        self._ahead.extend(self.pacing.order(self.ranges))
        return self._load(now)

    def size_loaded(self, operations: int, size: int) -> list[Output]:
        """
        Nobody asked.
        """
        return []

    def page_loaded(self, page: LogPage, now: float) -> list[Output]:
        """
        Add it to the chunk.
        """
        assert self._loading is not None
        author, log_id, (_, until) = self._loading
        self._loading = None
        reached = page.until
        for operation in page.operations:
            size = len(operation.header) + len(operation.body or b"")
            seq_num = decode_header(operation.header, verify=False).seq_num
            if self._chunk and (len(self._chunk) >= IN_FLIGHT or self._size + size > CHUNK_BYTES):
                # The chunk is full. What is left of this page is read again in another session.
                self._ahead.appendleft((author, log_id, LogRange(seq_num - 1, until)))
                return self._write(now)
            self._chunk.append(operation)
            self._positions.append((author, log_id, seq_num))
            self._size += size
        if reached < until:
            self._ahead.appendleft((author, log_id, LogRange(reached, until)))
        return self._load(now)

    def writing_paused(self) -> None:
        """
        The chunk is small enough to be written at once.
        """

    def writing_resumed(self) -> list[Output]:
        """
        Nothing waits for it.
        """
        return []

    def _load(self, now: float) -> list[Output]:
        if not self._ahead or len(self._chunk) >= IN_FLIGHT:
            return self._write(now)
        self._loading = self._ahead.popleft()
        author, log_id, (after, until) = self._loading
        limit = IN_FLIGHT - len(self._chunk)
        return [LoadLogPage(author=author, log_id=log_id, after=after, until=until, limit=limit)]

    def _write(self, now: float) -> list[Output]:
        self._complete = not self._ahead
        outputs = self.sent.announce(len(self._chunk), self._size)
        if not self.sent.done:
            outputs += [*self.sent.send(self._chunk), *self.sent.finish()]
        self.pacing.chunk_written(self.session, self._positions, self._complete, now)
        self._chunk = []
        return outputs
