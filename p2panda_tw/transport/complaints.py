# -*- test-case-name: tests.transport.test_complaints -*-
"""
Warnings about other nodes: one line in the log per peer and cause, however often it happens again.
"""

from __future__ import annotations

from twisted.logger import Logger

from p2panda_tw.core.once import OncePerCause

__all__ = ["Complaints"]


class Complaints:
    """
    What other nodes did that they must not do.

    @ivar counts: How often each cause was seen.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._once = OncePerCause()
        self.counts: dict[str, int] = {}

    def complain(self, peer: str, cause: str, sentence: str) -> None:
        """
        @param peer: A node id, or a network address as long as the node is not known.
        @param cause: A short constant word for what was done.
        @param sentence: What happened, for a person.
        """
        self.counts[cause] = self.counts.get(cause, 0) + 1
        if self._once.is_news(peer, cause):
            self._log.warn("{sentence} Cut off: {peer} ({cause}).", sentence=sentence, peer=peer, cause=cause)
