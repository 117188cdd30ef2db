# -*- test-case-name: tests.store.test_cursors -*-
"""
Cursors that moved and were not written yet. A reader of a topic may acknowledge each single operation; what is written
is where it stands when something else is written anyway, or shortly after.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2panda_tw.store.limits import CURSOR_DELAY, CURSOR_RETRY

__all__ = ["Cursors"]


class Cursors:
    """
    Where readers stand, by topic key and name. The newest value counts here, whatever the database has.
    """

    def __init__(self, reactor: IReactorTime, write: Callable[[], None]) -> None:
        """
        @param write: Called when something has waited long enough; is to L{take} it.
        """
        self._reactor = reactor
        self._write = write
        self._known: dict[tuple[int, str], int] = {}
        self._moved: dict[tuple[int, str], int] = {}
        self._call: IDelayedCall | None = None

    def get(self, topic_key: int, name: str) -> int | None:
        """
        @return: The arrival number, if it is known here.
        """
        return self._known.get((topic_key, name))

    def learn(self, topic_key: int, name: str, arrival: int) -> int:
        """
        Take what the database says, unless the cursor was set meanwhile.

        @return: What counts.
        """
        return self._known.setdefault((topic_key, name), arrival)

    def set(self, topic_key: int, name: str, arrival: int) -> None:
        """
        Move a cursor, to be written soon.
        """
        if self._known.get((topic_key, name)) != arrival:
            self._known[topic_key, name] = self._moved[topic_key, name] = arrival
            self._wait(CURSOR_DELAY)

    def take(self) -> list[tuple[int, str, int]]:
        """
        @return: What is to be written: topic key, name, arrival number.
        """
        moved = [(topic_key, name, arrival) for (topic_key, name), arrival in self._moved.items()]
        self._moved.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return moved

    def put_back(self, cursors: list[tuple[int, str, int]]) -> None:
        """
        It could not be written. What moved again meanwhile is newer.
        """
        for topic_key, name, arrival in cursors:
            self._moved.setdefault((topic_key, name), arrival)
        self._wait(CURSOR_RETRY)

    def _wait(self, delay: float) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(delay, self._due)

    def _due(self) -> None:
        self._call = None
        self._write()

    def forget(self, topic_key: int) -> None:
        """
        The topic is gone.
        """
        for name in [name for name in self._known if name[0] == topic_key]:
            del self._known[name]
            self._moved.pop(name, None)

    def clear(self) -> None:
        """
        The store is closed.
        """
        self.take()
        self._known.clear()
