# -*- test-case-name: tests.cli.test_presence -*-
"""
Who is connected, and how catching up goes: the events of log sync, told to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from p2panda_tw.cli.harmless import harmless
from p2panda_tw.core.identity import NodeId
from p2panda_tw.sync.events import (
    ForkSeen,
    LiveStarted,
    OperationRefused,
    SessionEnded,
    SyncFailed,
    SyncFinished,
    SyncProgress,
    SyncStarted,
)

__all__ = ["Presence"]

WORTH_TELLING: Final = 100
"""
Catching up with fewer messages than this needs no line of its own: the messages themselves are seen.
"""


@dataclass(slots=True)
class _CatchUp:
    """
    A session that has not finished yet.
    """

    node_id: NodeId
    done: int
    total: int


class Presence:
    """
    Fed with events, says what is worth a line.

    @ivar connected: Nodes that new messages go to at once, each with its sessions.
    """

    def __init__(self, name_of: Callable[[NodeId], str]) -> None:
        self.connected: dict[NodeId, set[int]] = {}
        self._catching_up: dict[int, _CatchUp] = {}
        self._told: set[NodeId] = set()
        self._name_of = name_of

    @property
    def is_catching_up(self) -> bool:
        """
        Whether a session is under way that has not brought everything yet.
        """
        return bool(self._catching_up)

    def hear(self, event: object) -> Sequence[str]:
        """
        @return: Sentences to show.
        """
        match event:
            case SyncStarted():
                self._catching_up[event.session] = _CatchUp(event.node_id, 0, event.incoming_operations)
                if event.incoming_operations:
                    return [f"{self._name_of(event.node_id)} has {_messages(event.incoming_operations)} for us."]
            case SyncProgress():
                if (catch_up := self._catching_up.get(event.session)) is not None:
                    catch_up.done = event.metrics.received_operations
            case SyncFinished():
                self._catching_up.pop(event.session, None)
                if (received := event.metrics.received_operations) >= WORTH_TELLING:
                    return [f"Caught up with {self._name_of(event.node_id)}: {_messages(received)}."]
            case LiveStarted(node_id, session):
                self._told.add(node_id)
                sessions = self.connected.setdefault(node_id, set())
                sessions.add(session)
                if len(sessions) == 1:
                    return [f"{self._name_of(node_id)} is connected."]
            case SessionEnded():
                return self._ended(event.node_id, event.session)
            case SyncFailed(node_id=node_id, session=session):
                return self._failed(node_id, session, event.reason)
            case ForkSeen():
                author = self._name_of(event.author)
                told = f"There are two messages number {event.seq_num} of {author}: its identity is used in two places."
                return [f"{told} The first one that came in is kept."]
            case OperationRefused():
                return [f"A message that {self._name_of(event.node_id)} sent was refused: {harmless(event.reason)}"]
            case _:
                pass
        return []

    def describe(self) -> str:
        """
        @return: The state on one line.
        """
        names = sorted(self._name_of(node_id) for node_id in self.connected)
        parts = [f"connected: {', '.join(names)}"] if names else []
        for catch_up in self._catching_up.values():
            if catch_up.total:
                name = self._name_of(catch_up.node_id)
                parts.append(f"catching up with {name}: {min(catch_up.done, catch_up.total):,} of {catch_up.total:,}")
        return " · ".join(parts) or "nobody is connected"

    def _ended(self, node_id: NodeId, session: int) -> Sequence[str]:
        self._catching_up.pop(session, None)
        sessions = self.connected.get(node_id, set())
        sessions.discard(session)
        if node_id in self.connected and not sessions:
            del self.connected[node_id]
            return [f"{self._name_of(node_id)} is gone."]
        return []

    def _failed(self, node_id: NodeId, session: int | None, reason: str) -> Sequence[str]:
        """
        Told once per node. Who was here and went away needs no further line: the toolbar says so.
        """
        told = [] if session is None else list(self._ended(node_id, session))
        if node_id in self._told or node_id in self.connected:
            return told
        self._told.add(node_id)
        name = self._name_of(node_id)
        if session is None:
            return [*told, f"{name} cannot be reached now. Trying again; `p2panda status` says why."]
        return [*told, f"Syncing with {name} failed: {harmless(reason)} Trying again."]


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"
