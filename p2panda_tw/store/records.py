# -*- test-case-name: tests.store -*-
"""
What the store remembers besides operations, as values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.topic import Form, Topic

__all__ = ["PeerRecord", "TopicRecord", "TopicStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRecord:
    """
    A topic that was added to the store.

    @ivar name: What the user calls it, or nothing.
    @ivar is_left: It is no longer synced; what was stored of it is kept.
    @ivar newest: The newest arrival number, 0 if nothing was ever stored.
    """

    topic: Topic
    form: Form
    name: str
    is_left: bool
    newest: int


class PeerRecord(NamedTuple):
    """
    A node that we know of.

    @ivar addresses: As they were given.
    @ivar last_success: When it was reached last, as it was given; C{None}: never.
    """

    node_id: NodeId
    addresses: bytes
    last_success: int | None


class TopicStats(NamedTuple):
    """
    What is stored of one topic.

    @ivar bytes: Headers and bodies, as they were announced in the headers.
    """

    logs: int
    operations: int
    bytes: int
