# -*- test-case-name: tests.sync.test_service -*-
"""
How the sync of a topic stands, for whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from p2panda_tw.core.identity import NodeId

__all__ = ["PeerState", "PeerStatus", "TopicState"]


class PeerStatus(Enum):
    """
    How far it is with one peer.
    """

    LIVE = "live"
    CATCHING_UP = "catching up"
    CONNECTING = "connecting"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """
    One peer of a topic.

    @ivar wanted: Whether we dial it. Others came by themselves.
    @ivar sessions: How many sessions there are with it.
    @ivar behind: How many operations it has not been sent yet in live mode, at most.
    @ivar unconfirmed: How many operations it has not confirmed, where it is not p2panda_tw; else 0.
    @ivar next_attempt: In how many seconds it is dialled, if that is planned.
    @ivar last_failure: Why the latest attempt or session failed, until one succeeds.
    """

    node_id: NodeId
    status: PeerStatus
    wanted: bool
    sessions: int
    behind: int
    unconfirmed: int
    next_attempt: float | None
    last_failure: str | None


@dataclass(frozen=True, slots=True)
class TopicState:
    """
    One topic.

    @ivar peers: Everybody it is synced with, or should be.
    """

    peers: tuple[PeerState, ...]
