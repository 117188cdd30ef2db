# -*- test-case-name: tests.core.test_once -*-
"""
Say a thing once per peer and cause. A log that anybody can fill is of no use.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

__all__ = ["MAX_CAUSES", "MAX_PEERS", "OncePerCause"]

MAX_PEERS = 4096
"""
About how many peers it is remembered what was said (ours). After that the one heard of first is forgotten.
"""

MAX_CAUSES = 32
"""
How many different things are said about one peer (ours). After that nothing more is.
"""


def cause_of(reason: str) -> str:
    """
    @return: The reason without numbers and ids, so that the same cause reads the same each time.
    """
    return re.sub(r"\b[0-9a-f]*[0-9][0-9a-f]*\b", "#", reason)


class OncePerCause:
    """
    What was said already.
    """

    def __init__(self) -> None:
        self._said: dict[Hashable, set[str]] = {}

    def is_news(self, peer: Hashable, reason: str) -> bool:
        """
        @param peer: Its node id, or whatever is known of it.
        @param reason: A sentence. With other numbers or ids it is still the same cause.

        @return: Whether this is the first time.
        """
        cause = cause_of(reason)
        said = self._said.get(peer)
        if said is None:
            if len(self._said) >= MAX_PEERS:
                del self._said[next(iter(self._said))]
            said = self._said[peer] = set()
        if cause in said or len(said) >= MAX_CAUSES:
            return False
        said.add(cause)
        return True

    def forget(self, peer: Hashable, reason: str) -> None:
        """
        It was put right; say it again when it comes back.
        """
        said = self._said.get(peer)
        if said is not None:
            said.discard(cause_of(reason))
