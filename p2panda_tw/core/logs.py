# -*- test-case-name: tests.core.test_logs -*-
"""
How far logs reach, and what somebody lacks who knows them less far. Mirrors p2panda-core/src/logs.rs.
"""

from __future__ import annotations

from typing import NamedTuple

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.topic import LogId

__all__ = ["MAX_SEQ_NUM", "LogHeights", "LogRange", "LogRanges", "compare", "count_operations"]

MAX_SEQ_NUM = 2**32 - 1
"""
The last position a log can have.
"""

LogHeights = dict[VerifyingKey, dict[LogId, int]]
"""
The highest C{seq_num} of every log, by author and log id. A log without operations is not listed.
"""


class LogRange(NamedTuple):
    """
    A stretch of one log.

    @ivar after: The position before its first one, exclusive; C{None}: from the beginning.
    @ivar until: Its last position, inclusive.
    """

    after: int | None
    until: int


LogRanges = dict[VerifyingKey, dict[LogId, LogRange]]
"""
Stretches of logs, by author and log id.
"""


def compare(local: LogHeights, remote: LogHeights) -> LogRanges:
    """
    What is there in C{local} that C{remote} lacks? Logs and authors that only the remote knows play no part.

    @return: One range per log of which something is needed, in the order of C{local}. As upstream's, an author unknown
        to the remote appears even if no log of his is listed.
    """
    needs: LogRanges = {}
    for author, logs in local.items():
        known = remote.get(author)
        if known is None:
            needs[author] = {log_id: LogRange(None, height) for log_id, height in logs.items()}
            continue
        missing = {
            log_id: LogRange(known.get(log_id), height)
            for log_id, height in logs.items()
            if log_id not in known or known[log_id] < height
        }
        if missing:
            needs[author] = missing
    return needs


def count_operations(ranges: LogRanges) -> int:
    """
    @return: How many positions the ranges span. What was pruned is counted too, so this is an upper bound.
    """
    return sum(until - (-1 if after is None else after) for logs in ranges.values() for after, until in logs.values())
