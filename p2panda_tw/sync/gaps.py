# -*- test-case-name: tests.sync.test_limits -*-
"""
What the store waits for: operations that are missing in front of others, and who sent those. Most gaps close by
themselves, because what is missing comes in over a parallel session; what stays is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2panda_tw.core.identity import NodeId, VerifyingKey
from p2panda_tw.core.stored import Gap, StoredOperation
from p2panda_tw.core.topic import LogId

__all__ = ["MAX_ASKABLE", "MAX_ASKED", "MAX_GAPS", "OpenGaps"]

MAX_GAPS: Final = 1024
"""
How many logs are kept in mind at once (ours). After that the one found first is forgotten: its peers may be gone.
"""

MAX_ASKABLE: Final = 16
"""
How many peers are kept in mind for each gap, those that sent something last (ours).
"""

MAX_ASKED: Final = 8
"""
How often one gap is asked for, until somebody sends something behind it again (ours).
"""


class _OpenGap:
    __slots__ = ("asked", "expected", "peers")

    def __init__(self) -> None:
        self.expected = 0
        self.asked = 0
        self.peers: dict[NodeId, None] = {}


class OpenGaps:
    """
    The gaps of one topic.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[VerifyingKey, LogId], _OpenGap] = {}

    def found(self, node_id: NodeId, gaps: Sequence[Gap]) -> None:
        """
        @param node_id: Who sent what waits.
        """
        for gap in gaps:
            key = (gap.author, gap.log_id)
            known = self._open.get(key)
            if known is None:
                if len(self._open) >= MAX_GAPS:
                    del self._open[next(iter(self._open))]
                known = self._open[key] = _OpenGap()
            if known.expected != gap.expected:
                known.expected = gap.expected
                known.asked = 0
            known.peers[node_id] = None
            if len(known.peers) > MAX_ASKABLE:
                del known.peers[next(iter(known.peers))]

    def stored(self, operations: Sequence[StoredOperation]) -> None:
        """
        These are not missing any more.
        """
        if not self._open:
            return
        for operation in operations:
            key = (operation.operation.author, operation.log_id)
            gap = self._open.get(key)
            if gap is not None and operation.operation.seq_num >= gap.expected:
                del self._open[key]

    def missing_from(self, node_id: NodeId) -> bool:
        """
        @return: Whether to ask this peer for something now.
        """
        missing = [key for key, gap in self._open.items() if node_id in gap.peers]
        for key in missing:
            self._open[key].asked += 1
            if self._open[key].asked >= MAX_ASKED:
                del self._open[key]
        return bool(missing)
