# -*- test-case-name: tests.sync.test_pacing -*-
"""
How to send to a node that is not p2panda_tw, without making it lose what it is sent (docs/sync.md, section 7,
whose steps are named below).

A Rust receiver puts what arrives into a ring of 1024 places; what does not fit is lost, and a topic can be stuck for
good. Flow control does not help there. So never more than L{IN_FLIGHT} operations are on their way that its next
C{Have} has not confirmed: they go out in I{chunks}, one in a session, and a further session asks what has become of
them.

When a session ends, such a receiver throws away what it has not worked off of it as soon as something comes in by
another session. So everything that is in flight was sent in one session, its I{carrier}, and that one stays open until
all is confirmed.

L{Pacing} is the state of one such peer and topic. All sessions with this peer share it, whoever opened them. It
answers four questions: may this session send a chunk, what becomes of it afterwards, how many live operations may go
out, and when is a further session due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRange, LogRanges
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync.healing import Healing, Mode
from p2panda_tw.sync.messages import BY_BYTES
from p2panda_tw.sync.remote_heights import RemoteHeights

__all__ = ["CHUNK_BYTES", "IN_FLIGHT", "Pacing", "Settlement"]

IN_FLIGHT: Final = 500
"""
How many operations may be unconfirmed. The ring has 1024 places; this leaves room for a second sender.
"""

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""
How many bytes a chunk has at most, unless a single operation has more (ours: it is held in memory while it is put
together).
"""

MIN_PAUSE: Final = 0.25
"""
The least pause between two sessions, in seconds (step 4). Each session costs the Rust process 0.2 MB.
"""

MAX_PAUSE: Final = 5.0
"""
The longest pause between two sessions, in seconds (step 4).
"""

FIRST_COST: Final = 0.001
"""
How long the receiver is thought to need for an operation until it has shown, in seconds (step 4).
"""

STALLED_HAVES: Final = 3
"""
After how many C{Have}s in a row without progress what is in flight counts as lost (step 7).
"""

STALLED_TIME: Final = 3.0
"""
Over how many seconds these C{Have}s must spread at least (step 7).
"""

KEPT_HEIGHTS: Final = 64 * 1024
"""
Heights of a receiver that take more bytes are not kept beyond a session (ours). Then it may be sent live what others
have sent it already.
"""

LogKey = tuple[VerifyingKey, LogId]


class Settlement(Enum):
    """
    What becomes of a session after its catch-up.
    """

    LIVE = "it is the live session"
    QUIET = "it stays open and sends nothing"
    CLOSE = "it is closed"
    HOLD = "it stays open until what it sent is confirmed, then it is closed"
    HEAL = "it stays open until the receiver has worked off what it was stuck in"


class Pacing:
    """
    The state of one receiver and topic. Times are those of a clock that only goes forward, in seconds.

    @ivar in_flight: How many operations are unconfirmed.
    @ivar live: Which session sends live operations.
    @ivar held: Sessions that stay open only until what they sent is confirmed.
    @ivar resume_at: Until then the receiver is left to itself after the latest session or burst of live operations.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.live: int | None = None
        self.held: dict[int, None] = {}
        self._released: list[int] = []
        # The session in which everything was sent that is in flight.
        self._carrier: int | None = None
        self._remote: RemoteHeights | None = None
        self._below: dict[LogKey, int] = {}  # what was confirmed of logs in flight, when the heights are not kept
        self._flight: dict[LogKey, deque[int]] = {}
        # The session that is putting a chunk together.
        self._claimed_by: int | None = None
        # Does the receiver lack more than what it was sent? Has the live session used up the limit?
        self._backlog = False
        self._blocked = False
        self.resume_at = 0.0
        # The previous chunk: when it was written, how many operations, and what one of them seems to take.
        self._chunk: tuple[float, int] | None = None
        self._cost = FIRST_COST
        # Progress since something was in flight first.
        self._grown: dict[LogKey, None] = {}
        self._stalled = 0
        self._stalled_since = 0.0
        self._last_in_line: dict[LogKey, None] = {}
        self._left_out: dict[LogKey, int] = {}
        self._healing = Healing()

    # What the receiver says.

    def have_received(self, remote: RemoteHeights, now: float) -> str | None:
        """
        Step 1: the newest C{Have} replaces what was confirmed before. Step 7 follows if nothing moves.

        @return: A sentence for a person, if there is something to say.
        """
        confirmed = 0
        grown = False
        for key in list(self._flight):
            height = remote.height(*key)
            if height > self._confirmed(key):
                grown = True
                self._grown[key] = None
            seq_nums = self._flight[key]
            while seq_nums and seq_nums[0] <= height:
                seq_nums.popleft()
                confirmed += 1
            if not seq_nums:
                del self._flight[key]
        self._remote = remote
        self._below = {}
        self._left_out = {key: height for key, height in self._left_out.items() if remote.height(*key) == height}
        self.in_flight -= confirmed
        if grown:
            self._measure(confirmed, now)
            self._stalled = 0
            self._healing.kept()
        elif self.in_flight and self._healing.mode is Mode.NORMAL:
            self._stalled += 1
            if self._stalled == 1:
                self._stalled_since = now
            elif self._stalled >= STALLED_HAVES and now - self._stalled_since >= STALLED_TIME:
                return self._give_up(now)
        if not self.in_flight:
            self._landed()
        return None

    def _confirmed(self, key: LogKey) -> int:
        return self._below.get(key, -1) if self._remote is None else self._remote.height(*key)

    def _landed(self) -> None:
        """
        Nothing is in flight any more.
        """
        self._blocked = False
        self._stalled = 0
        self._grown.clear()
        self._released += self.held
        self.held.clear()

    def _measure(self, confirmed: int, now: float) -> None:
        """
        How long did an operation of the previous chunk take? If all of it is there at the first look it took less
        than the pause, so the next pause is tried a little shorter.
        """
        if self._chunk is None:
            return
        written, size = self._chunk
        if self.in_flight:
            self._cost = min((now - written) / max(size - self.in_flight, 1), MAX_PAUSE / IN_FLIGHT)
        elif confirmed >= size:
            self._cost = max(self._cost * 0.8, MIN_PAUSE / IN_FLIGHT)
            self._chunk = None

    def _give_up(self, now: float) -> str | None:
        """
        Step 7: what is in flight is lost, or refused where other logs went on.
        """
        refused = [key for key in self._flight if key not in self._grown] if self._grown else []
        self._left_out.update((key, self._confirmed(key)) for key in refused)
        self._last_in_line = dict.fromkeys(self._flight)
        self._flight.clear()
        self.in_flight = 0
        self._chunk = None
        self._cost = FIRST_COST  # what was measured was the wait for something that never came
        self._backlog = True
        self._landed()
        if not refused and self._healing.lost(now):
            return "The node does not keep what it is sent on this topic; it will be tried again later."
        return None

    def echo_received(self, now: float) -> None:
        """
        A live operation came in.
        """
        self._healing.echo_received(now)

    # Chunks.

    def claim(self, session: int, now: float) -> bool:
        """
        Step 2: may this session send a chunk?
        """
        self._healing.wake(now)
        if self._healing.mode is not Mode.NORMAL or self.in_flight or self._claimed_by is not None:
            return False
        self._claimed_by = session
        return True

    def order(self, ranges: LogRanges) -> list[tuple[VerifyingKey, LogId, LogRange]]:
        """
        @param ranges: What the receiver lacks.

        @return: The same in the order of sending (docs/sync.md, section 4), without logs that it refuses. Unlike
            there, logs that got stuck last time come last, so that they cannot keep the others from going on.
        """
        stretches = [
            (author, log_id, ranges[author][log_id])
            for author in sorted(ranges, key=BY_BYTES)
            for log_id in sorted(ranges[author])
            if (author, log_id) not in self._left_out
        ]
        if self._last_in_line:
            stretches.sort(key=lambda stretch: (stretch[0], stretch[1]) in self._last_in_line)
        return stretches

    def lacks(self, ranges: LogRanges) -> bool:
        """
        @return: Whether the receiver lacks anything, apart from logs that it refuses.
        """
        return any((author, log_id) not in self._left_out for author, logs in ranges.items() for log_id in logs)

    def chunk_written(
        self, session: int, operations: Sequence[tuple[VerifyingKey, LogId, int]], complete: bool, now: float
    ) -> None:
        """
        The chunk of a session, which had the claim, was handed to the transport.

        @param operations: Author, log id and C{seq_num} of each.
        @param complete: Whether the receiver lacks nothing more.
        """
        self._claimed_by = None
        self._backlog = not complete
        self._last_in_line.clear()
        if operations:
            self._carrier = session
            self._add(operations)
            self._chunk = (now, len(operations))
            self._blocked = self.in_flight >= IN_FLIGHT
            self._pause(now)

    def chunk_withheld(self, complete: bool) -> None:
        """
        A session was not allowed to send a chunk.

        @param complete: Whether there would have been none anyway.
        """
        if not complete:
            self._backlog = True

    def _add(self, operations: Sequence[tuple[VerifyingKey, LogId, int]]) -> None:
        for author, log_id, seq_num in operations:
            self._flight.setdefault((author, log_id), deque()).append(seq_num)
        self.in_flight += len(operations)

    def _pause(self, now: float) -> None:
        longest = STALLED_TIME / (STALLED_HAVES - 1) if self._stalled else MAX_PAUSE
        self.resume_at = now + min(max(self.in_flight * self._cost, MIN_PAUSE), longest)

    # Sessions.

    def settle(self, session: int, *, initiated: bool, complete: bool) -> Settlement:
        """
        Steps 4 and 5: what becomes of a session whose catch-up is over?

        @param initiated: Whether we opened it. Those that a Rust node opened stay: once closed they never come back.
        @param complete: Whether the receiver lacks nothing beyond what this session sent.
        """
        if self._healing.mode is Mode.HEALING:
            return Settlement.HEAL if initiated else Settlement.QUIET
        carries = self._carrier == session and self.in_flight > 0
        if complete or self._healing.mode is Mode.RESTING:
            if carries and self.live is not None and self.live != session:
                # Whatever that one sent is confirmed; from now on this one sends.
                self._released.append(self.live)
                self.live = None
            if self.live is None:
                self.live = session
            if self.live == session:
                return Settlement.LIVE
        if not initiated:
            return Settlement.QUIET
        if carries:
            self.held[session] = None
            return Settlement.HOLD
        return Settlement.CLOSE

    def take_released(self) -> list[int]:
        """
        @return: Sessions that are of no use any more. Those that we opened are to be closed.
        """
        released, self._released = self._released, []
        return released

    def silent_in(self, since: float, now: float) -> float:
        """
        @param since: When the healing session began to listen.

        @return: In how many seconds it will have been silent long enough; 0 or less: it has.
        """
        return self._healing.silent_in(since, now)

    def session_healed(self) -> None:
        """
        A healing session has been silent long enough.
        """
        if self._healing.session_healed():
            self._backlog = True

    def session_ended(self, session: int, now: float) -> None:
        """
        A session is over, for whatever reason. What it had in flight stays so until a C{Have} tells.
        """
        self.held.pop(session, None)
        if self._claimed_by == session:
            self._claimed_by = None
            self._backlog = True
        if self._carrier == session:
            self._carrier = None
            self._backlog = self._backlog or self.in_flight > 0
        if self.live == session:
            self.live = None
        if self._remote is not None and self._remote.size > KEPT_HEIGHTS:
            self._below = {key: self._confirmed(key) for key in self._flight}
            self._remote = None
        self._pause(now)

    def session_due(self) -> float | None:
        """
        @return: When a further session should be opened, if one should.
        """
        if self._healing.mode is Mode.HEALING:
            return self.resume_at
        if not (self._backlog or self._blocked):
            return None
        if self._healing.mode is Mode.RESTING:
            return self._healing.rest_until
        return self.resume_at

    # Live mode.

    def room(self, session: int) -> int:
        """
        Step 5: how many live operations may this session send now?
        """
        if (
            self.live != session
            or (self.in_flight and self._carrier != session)
            or self._blocked
            or self._claimed_by is not None
            or self._healing.mode is not Mode.NORMAL
        ):
            return 0
        return IN_FLIGHT - self.in_flight

    def live_written(self, operations: Sequence[tuple[VerifyingKey, LogId, int]], now: float) -> None:
        """
        Live operations were handed to the transport. At the limit none follow until nothing is in flight; a further
        session finds out.
        """
        self._carrier = self.live
        self._add(operations)
        if self.in_flight >= IN_FLIGHT and not self._blocked:
            self._blocked = True
            self._chunk = (now, self.in_flight)
            self._pause(now)

    def covers(self, author: VerifyingKey, log_id: LogId, seq_num: int) -> bool:
        """
        @return: Whether an operation is not to be sent: the receiver has it, it is in flight, or its log is left out.
        """
        key = (author, log_id)
        if key in self._left_out or seq_num <= self._confirmed(key):
            return True
        seq_nums = self._flight.get(key)
        return seq_nums is not None and seq_num <= seq_nums[-1]
