# -*- test-case-name: tests.sync.test_limits -*-
"""
Say a thing once per peer and cause. A log that anybody can fill is of no use.
"""

from __future__ import annotations

from p2panda_tw.core.identity import NodeId

__all__ = ["MAX_CAUSES", "MAX_PEERS", "OncePerCause"]

MAX_PEERS = 4096
"""
About how many peers it is remembered what was said (ours). After that the one heard of first is forgotten.
"""

MAX_CAUSES = 32
"""
How many different things are said about one peer (ours). After that nothing more is.
"""


class OncePerCause:
    """
    What was said already.
    """

    def __init__(self) -> None:
        self._said: dict[NodeId, set[str]] = {}

    def is_news(self, node_id: NodeId, cause: str) -> bool:
        """
        @param cause: A sentence without anything that changes from one time to the next.

        @return: Whether this is the first time.
        """
        said = self._said.get(node_id)
        if said is None:
            if len(self._said) >= MAX_PEERS:
                del self._said[next(iter(self._said))]
            said = self._said[node_id] = set()
        if cause in said or len(said) >= MAX_CAUSES:
            return False
        said.add(cause)
        return True

    def forget(self, node_id: NodeId, cause: str) -> None:
        """
        It was put right; say it again when it comes back.
        """
        said = self._said.get(node_id)
        if said is not None:
            said.discard(cause)
