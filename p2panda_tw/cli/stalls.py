# -*- test-case-name: tests.cli.test_stalls -*-
"""
What keeps the reactor busy for too long. A pulse beats in the reactor; a thread that misses it looks where the
reactor's thread is. (asyncio's own debug mode would tell that, too, but it forbids what the iroh binding does.)
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

__all__ = ["LONGEST_TURN", "StallWatch"]

LONGEST_TURN: Final = 0.01
"""
Seconds that one turn of the reactor may take before it is reported.
"""

PULSE: Final = 0.005
"""
Seconds between two beats.
"""


class StallWatch:
    """
    Reports every turn that took too long, once it is over.
    """

    def __init__(self, reactor: Any, report: Callable[[float, str], None]) -> None:
        """
        @param report: Called with the length of the turn in seconds, and with where its thread was seen last.
        """
        self._reactor = reactor
        self._report = report
        self._last = 0.0
        self._seen = ""
        self._thread_id = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        """
        Begin, in the reactor's thread.
        """
        self._thread_id = threading.get_ident()
        self._last = self._reactor.seconds()
        self._reactor.callLater(PULSE, self._beat)
        threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def stop(self) -> None:
        """
        Look no more.
        """
        self._stopped.set()

    def _beat(self) -> None:
        now = self._reactor.seconds()
        late = now - self._last - PULSE
        if late > LONGEST_TURN:
            self._report(late, self._seen or "unknown")
        self._seen = ""
        self._last = now
        if not self._stopped.is_set():
            self._reactor.callLater(PULSE, self._beat)

    def _run(self) -> None:
        while not self._stopped.wait(PULSE):
            if self._reactor.seconds() - self._last > PULSE + LONGEST_TURN:
                self._look()

    def _look(self) -> None:
        frame = sys._current_frames().get(self._thread_id)
        if frame is not None:
            stack = traceback.extract_stack(frame)
            own = [line for line in stack if "p2panda_tw" in line.filename and "cli/loop.py" not in line.filename]
            line = (own or stack)[-1]
            self._seen = f"{PurePath(line.filename).name}:{line.lineno} {line.name}"
