# -*- test-case-name: tests.sync.test_limits -*-
"""
How much all sessions hold that was received and is not stored. Each one keeps to the limits of a message, but many of
them could still fill the memory together; then the one that holds most has to go.

What is handed to the store stays in memory until it is stored, even if the session ends meanwhile. So it is counted
apart, and who comes with more waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from p2panda_tw.sync.limits import HELD_BYTES, IN_STORE_BYTES, OPENING_BYTES, OPENING_PEER_BYTES
from p2panda_tw.sync.send_gate import SendGate

__all__ = ["HeldBytes", "StoreGate"]


class StoreGate:
    """
    Lets batches into the store one after the other, as many at once as there is room for.

    @ivar inside: Bytes that are in the store and were not answered.
    """

    def __init__(self, limit: int = IN_STORE_BYTES) -> None:
        self.inside = 0
        self._limit = limit
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._curious: list[Callable[[], None]] = []

    @property
    def crowded(self) -> bool:
        """
        Whether there is an operation inside that is larger than all the room. Then nobody should receive much more.
        """
        return self.inside > self._limit

    def when_free(self, callback: Callable[[], None]) -> None:
        """
        Call back once it is no longer crowded.
        """
        self._curious.append(callback)

    def enter(self, size: int, begin: Callable[[], None]) -> None:
        """
        @param begin: Called when there is room, perhaps at once. From then on the bytes are inside.
        """
        self._waiting.append((size, begin))
        self._go_on()

    def leave(self, size: int) -> None:
        """
        The store has answered.
        """
        self.inside -= size
        self._go_on()
        if not self.crowded:
            curious, self._curious = self._curious, []
            for callback in curious:
                callback()

    def withdraw(self, begin: Callable[[], None]) -> None:
        """
        Who waits does so no more.
        """
        self._waiting = deque([entry for entry in self._waiting if entry[1] is not begin])
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and (not self.inside or self.inside + self._waiting[0][0] <= self._limit):
            size, begin = self._waiting.popleft()
            self.inside += size
            begin()


class HeldBytes:
    """
    The sum over all sessions.

    @ivar total: Bytes held.
    @ivar gate: The way into the store.
    @ivar sending: The way out of it.
    @ivar opening: The heights of all logs, which each session has from its beginning to the end of its catch-up.
    """

    def __init__(self, limit: int = HELD_BYTES) -> None:
        self.total = 0
        self.gate = StoreGate()
        self.sending = SendGate()
        self.opening = SendGate(OPENING_BYTES, OPENING_PEER_BYTES, large_page=1 << 62)
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
