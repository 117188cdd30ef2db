# -*- test-case-name: tests.sync.test_session -*-
"""
What a session tells the application, and with which numbers.
"""

from __future__ import annotations

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.stored import Fork
from p2panda_tw.sync.effects import Notify, Output
from p2panda_tw.sync.events import (
    ForkSeen,
    LiveStarted,
    SessionEnded,
    SyncFailed,
    SyncFinished,
    SyncMetrics,
    SyncProgress,
    SyncStarted,
)
from p2panda_tw.sync.limits import PROGRESS_EVENT_INTERVAL
from p2panda_tw.sync.live import Live
from p2panda_tw.sync.log_sync import Sent
from p2panda_tw.sync.receiving import Phase, Receiving

__all__ = ["Report"]


class Report:
    """
    Makes the events of one session.

    @ivar sent: What catch-up sends, once that is decided.
    """

    def __init__(self, node_id: NodeId, number: int, receiving: Receiving, live: Live) -> None:
        self.sent = Sent()
        self._node_id = node_id
        self._number = number
        self._receiving = receiving
        self._live = live
        self._started = False
        self._progress_at = 0.0

    @property
    def metrics(self) -> SyncMetrics:
        """
        What went over it so far.
        """
        sent, received, live = self.sent, self._receiving, self._live
        return SyncMetrics(
            outgoing_operations=sent.total_operations,
            outgoing_bytes=sent.total_bytes,
            incoming_operations=received.total_operations,
            incoming_bytes=received.total_bytes,
            sent_operations=sent.operations,
            sent_bytes=sent.size,
            received_operations=received.operations,
            received_bytes=received.size,
            sent_live_operations=live.operations,
            sent_live_bytes=live.size,
            received_live_operations=received.live_operations,
            received_live_bytes=received.live_size,
        )

    def started(self, now: float) -> list[Output]:
        """
        @return: The event, when both sides have announced for the first time.
        """
        if self._started or self._receiving.phase < Phase.OPERATIONS or not self.sent.announced:
            return []
        self._started = True
        self._progress_at = now
        event = SyncStarted(
            node_id=self._node_id,
            session=self._number,
            outgoing_operations=self.sent.total_operations,
            outgoing_bytes=self.sent.total_bytes,
            incoming_operations=self._receiving.total_operations,
            incoming_bytes=self._receiving.total_bytes,
        )
        return [Notify(event)]

    def progress(self, now: float) -> list[Output]:
        """
        @return: The event, if it is time for one.
        """
        if self._receiving.phase is not Phase.OPERATIONS or now - self._progress_at < PROGRESS_EVENT_INTERVAL:
            return []
        self._progress_at = now
        return [Notify(SyncProgress(node_id=self._node_id, session=self._number, metrics=self.metrics))]

    def finished(self) -> Output:
        """
        @return: Catch-up is over.
        """
        return Notify(SyncFinished(node_id=self._node_id, session=self._number, metrics=self.metrics))

    def live_started(self) -> Output:
        """
        @return: Live mode begins.
        """
        return Notify(LiveStarted(self._node_id, self._number))

    def ended(self) -> Output:
        """
        @return: The session is over, in order.
        """
        return Notify(SessionEnded(node_id=self._node_id, session=self._number, metrics=self.metrics))

    def failed(self, reason: str) -> Output:
        """
        @return: Something went wrong.
        """
        return Notify(SyncFailed(node_id=self._node_id, session=self._number, reason=reason))

    def forked(self, fork: Fork) -> Output:
        """
        @return: Somebody forked his log.
        """
        event = ForkSeen(
            author=fork.author, log_id=fork.log_id, seq_num=fork.seq_num, kept=fork.kept, refused=fork.refused
        )
        return Notify(event)
