# -*- test-case-name: tests.sync.test_service -*-
"""
What sync needs of a store. It knows no other; L{p2panda_tw.store.service.Store} is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRanges
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Heights, Ingested, LogPage, StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId, Topic

__all__ = ["SyncStore"]


class SyncStore(Protocol):
    """
    Logs by topic. The methods mean what those of L{Store<p2panda_tw.store.service.Store>} of the same names do.
    """

    def heights(self, topic: Topic) -> Deferred[Heights]:
        """
        How far the logs of a topic reach.
        """

    def range_size(self, topic: Topic, ranges: LogRanges) -> Deferred[tuple[int, int]]:
        """
        How many operations and bytes are in some ranges.
        """

    def log_page(
        self,
        topic: Topic,
        author: VerifyingKey,
        log_id: LogId,
        after: int | None,
        until: int,
        limit_ops: int = ...,
        limit_bytes: int = ...,
    ) -> Deferred[LogPage]:
        """
        Raw operations of one log.
        """

    def page(self, topic: Topic, after: int, limit_ops: int = ..., limit_bytes: int = ...) -> Deferred[StoredPage]:
        """
        Operations of a topic in order of arrival.
        """

    def recent(self, topic: Topic, after: int) -> StoredPage | None:
        """
        The same, if it can be told at once.
        """

    def ingest(self, topic: Topic, raw_operations: Sequence[RawOperation], *, live: bool = False) -> Deferred[Ingested]:
        """
        Check and store received operations.
        """

    def listen(self, topic: Topic, callback: Callable[[Sequence[StoredOperation]], None]) -> Callable[[], None]:
        """
        Hear of what is stored.
        """
