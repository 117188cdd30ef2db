# -*- test-case-name: tests.bench.test_measure -*-
"""
The instruments: percentiles, resident memory, gaps of a timer, digests of what was seen.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2panda_tw.core.operation import Operation

__all__ = ["Digest", "StallTimer", "percentile", "resident_bytes"]

TIMER_INTERVAL: Final = 0.005
"""
Seconds between two calls of the timer whose gaps are measured.
"""


def percentile(samples: Sequence[float], fraction: float) -> float:
    """
    @param samples: At least one.
    @param fraction: 0.5 for the median, 0.99 for the 99th percentile.

    @return: The smallest sample that is not below this share of all (nearest rank).
    """
    ordered = sorted(samples)
    return ordered[max(0, ceil(len(ordered) * fraction) - 1)]


def resident_bytes() -> int:
    """
    @return: Resident memory of this process now, in bytes. Where the system does not tell, its peak.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


class StallTimer:
    """
    Calls itself every 5 ms and remembers how late it was at worst, and the highest resident memory it saw (looked at
    every 50 ms).

    @ivar longest: Longest time between two calls, in seconds.
    @ivar peak: Highest resident memory, in bytes.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._calls = 0
        self._last = 0.0
        self.longest = 0.0
        self.peak = 0

    def start(self) -> None:
        """
        Begin, forgetting what was before.
        """
        self.stop()
        self.longest, self.peak, self._calls = 0.0, resident_bytes(), 0
        self._last = self._clock.seconds()
        self._call = self._clock.callLater(TIMER_INTERVAL, self._tick)

    def stop(self) -> None:
        """
        End. The values stay.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _tick(self) -> None:
        now = self._clock.seconds()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._calls += 1
        if self._calls % 10 == 0:
            self.peak = max(self.peak, resident_bytes())
        self._call = self._clock.callLater(TIMER_INTERVAL, self._tick)


class Digest:
    """
    A sum over operations that does not depend on their order: equal sums mean equal sets, headers and bodies included.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, operation: Operation) -> None:
        """
        Count one operation.
        """
        self.count += 1
        digest = hashlib.sha256(operation.header.raw)
        digest.update(operation.body or b"")
        self._sum = (self._sum + int.from_bytes(digest.digest(), "big")) % (1 << 256)

    def hex(self) -> str:
        """
        @return: 64 hex digits.
        """
        return self._sum.to_bytes(32, "big").hex()
