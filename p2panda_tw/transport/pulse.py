# -*- test-case-name: tests.transport.test_pulse -*-
"""
Whether the other side of a connection is still there, and still makes sense.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.transport.limits import KeepAlive

__all__ = ["SILENT", "STALLED_FRAME", "STALLED_PAYLOAD", "Pulse"]

STALLED_FRAME: Final = 30.0
STALLED_PAYLOAD: Final = 16 * 1024
"""
A frame that has begun brings so many bytes, or its end, in so many seconds.
"""

SILENT: Final = "silent"
"""
The cause when nobody is there to be told.
"""


class Pulse:
    """
    Looked at once per L{KeepAlive.interval}, when a ping goes out. Pings are answered, so while bytes arrive at all,
    whole frames must arrive, too.
    """

    def __init__(self, keep_alive: KeepAlive, now: float) -> None:
        """
        @param now: Seconds on any clock that goes forward.
        """
        self._dead_after = keep_alive.dead_after
        self._stalled_after = max(STALLED_FRAME, keep_alive.interval + keep_alive.dead_after)
        self._heard = self._moved = now
        self._frames = self._payload = 0

    def heard(self, now: float) -> None:
        """
        Something has arrived, be it a single byte.
        """
        self._heard = now

    def check(self, now: float, frames: int, payload: int) -> tuple[str, str] | None:
        """
        @param frames: Frames that have begun to arrive so far.
        @param payload: Bytes of payload that have arrived so far.

        @return: Cause and sentence if the connection is of no use any more.
        """
        if now - self._heard >= self._dead_after:
            return SILENT, f"Nothing was heard from the other node for {self._dead_after:g} seconds."
        if frames != self._frames or payload - self._payload >= STALLED_PAYLOAD:
            self._moved, self._frames, self._payload = now, frames, payload
        elif now - self._moved >= self._stalled_after:
            return "trickle", f"Bytes trickled in, but no frame within {self._stalled_after:g} seconds."
        return None
