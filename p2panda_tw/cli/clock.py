# -*- test-case-name: tests.cli.test_transcript -*-
"""
Times that other people tell.
"""

from __future__ import annotations

from datetime import datetime

__all__ = ["local_time"]


def local_time(timestamp: int | None) -> datetime | None:
    """
    @param timestamp: Microseconds since 1970, as somebody claims.

    @return: The time here; C{None} if it is none that a clock shows.
    """
    if timestamp is None:
        return None
    try:
        return datetime.fromtimestamp(timestamp / 1_000_000)
    except (ValueError, OverflowError, OSError):
        return None
