# -*- test-case-name: tests.sync.test_limits -*-
"""
How much all sessions hold that was received and is not stored. Each one keeps to the limits of a message, but many of
them could still fill the memory together; then the one that holds most has to go.
"""

from __future__ import annotations

from collections.abc import Callable

from p2panda_tw.sync.limits import HELD_BYTES

__all__ = ["HeldBytes"]


class HeldBytes:
    """
    The sum over all sessions.

    @ivar total: Bytes held.
    """

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self.total = 0
        self._limit = limit
        self._held: dict[Callable[[], None], int] = {}

    def update(self, end: Callable[[], None], held: int) -> None:
        """
        Tell how much a session holds now.

        @param end: Names the session, and is called when it has to go. That is to bring it down to nothing.
        """
        before = self._held.get(end, 0)
        if held == before:
            return
        self.total += held - before
        if held:
            self._held[end] = held
        else:
            del self._held[end]
        if held > before and self.total > self._limit:
            largest = max(self._held, key=self._held.__getitem__)
            self.total -= self._held.pop(largest)
            largest()
