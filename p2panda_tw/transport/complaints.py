# -*- test-case-name: tests.transport.test_complaints -*-
"""
Warnings about other nodes: one line in the log per peer and cause, however often it happens again.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

__all__ = ["Complaints"]

MAX_REMEMBERED: Final = 4096
"""
Pairs of peer and cause. The oldest is forgotten first, and would be warned about once more.
"""


class Complaints:
    """
    What other nodes did that they must not do.

    @ivar counts: How often each cause was seen.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._seen: dict[tuple[str, str], None] = {}
        self.counts: dict[str, int] = {}

    def complain(self, peer: str, cause: str, sentence: str) -> None:
        """
        @param peer: A node id, or a network address as long as the node is not known.
        @param cause: A short constant word for what was done.
        @param sentence: What happened, for a person.
        """
        self.counts[cause] = self.counts.get(cause, 0) + 1
        if (peer, cause) in self._seen:
            return
        self._seen[peer, cause] = None
        if len(self._seen) > MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._log.warn("{sentence} Cut off: {peer} ({cause}).", sentence=sentence, peer=peer, cause=cause)
