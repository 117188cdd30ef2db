# -*- test-case-name: tests.sync.test_pacing -*-
"""
A topic that stands still at a receiver which is not p2panda_tw (docs/sync.md, section 7, step 7), and how to wake it.

Where what was sent is lost twice in a row, the topic is taken to be stuck there. Sessions in which nothing is sent make
such a node work off what it was stuck in, which comes back to us as an echo. Where that does not help either, the
receiver is left alone, longer each time.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["ECHO_SILENCE", "FIRST_REST", "HEALING_ROUNDS", "LOSSES_UNTIL_HEALING", "MAX_REST", "Healing", "Mode"]

LOSSES_UNTIL_HEALING: Final = 2
"""
After how many losses in a row the topic is taken to be stuck at the receiver (step 7).
"""

ECHO_SILENCE: Final = 2.0
"""
How long nothing has to be echoed until a healing session is closed, in seconds.
"""

HEALING_ROUNDS: Final = 4
"""
How many healing sessions without an echo are tried.
"""

FIRST_REST: Final = 60.0
"""
How long a receiver that cannot be healed is left alone at first, in seconds (step 7).
"""

MAX_REST: Final = 3600.0
"""
How long it is left alone at most, in seconds (step 7).
"""


class Mode(Enum):
    """
    What is done now.
    """

    NORMAL = "chunks go out"
    HEALING = "sessions without any chunk are to wake the topic"
    RESTING = "the receiver is left alone"


class Healing:
    """
    The state of one receiver and topic. Times are those of a clock that only goes forward, in seconds.

    @ivar mode: What is done now.
    @ivar rest_until: When a rest ends.
    """

    def __init__(self) -> None:
        self.mode = Mode.NORMAL
        self.rest_until = 0.0
        self._losses = 0
        self._healed = False
        self._rounds = 0
        self._echo_at: float | None = None
        self._rest = FIRST_REST

    def kept(self) -> None:
        """
        The receiver has kept something that it was sent.
        """
        self._losses = 0
        self._healed = False
        self._rest = FIRST_REST

    def lost(self, now: float) -> bool:
        """
        The receiver has kept nothing.

        @return: Whether nothing helps, for the first time since it kept something.
        """
        self._losses += 1
        if self._healed:
            return self._begin_rest(now)
        if self._losses >= LOSSES_UNTIL_HEALING:
            self._losses = 0
            self.mode = Mode.HEALING
            self._rounds = 0
            self._echo_at = None
        return False

    def _begin_rest(self, now: float) -> bool:
        first = self._rest == FIRST_REST
        self.mode = Mode.RESTING
        self.rest_until = now + self._rest
        self._rest = min(2 * self._rest, MAX_REST)
        return first

    def wake(self, now: float) -> None:
        """
        End a rest, if it is time.
        """
        if self.mode is Mode.RESTING and now >= self.rest_until:
            self.mode = Mode.NORMAL

    def echo_received(self, now: float) -> None:
        """
        A live operation came in. During healing these are what the receiver was stuck in; they are dropped by whoever
        knows them.
        """
        self._echo_at = now

    def silent_in(self, since: float, now: float) -> float:
        """
        @param since: When the healing session began to listen.

        @return: In how many seconds it will have been silent long enough; 0 or less: it has.
        """
        return max(since, self._echo_at or since) + ECHO_SILENCE - now

    def session_healed(self) -> bool:
        """
        A healing session has been silent long enough.

        @return: Whether chunks may go out again.
        """
        if self.mode is not Mode.HEALING:
            return False
        self._rounds += 1
        if self._echo_at is None and self._rounds < HEALING_ROUNDS:
            return False
        self.mode = Mode.NORMAL
        self._healed = True
        return True
