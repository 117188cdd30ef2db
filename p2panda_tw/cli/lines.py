# -*- test-case-name: tests.system.test_lines -*-
"""
Standard input, line by line, while a reactor runs.

A thread reads: files and C{/dev/null} cannot be polled. It reads the next piece when the lines of the one before were
asked for, so that input of any length takes little memory.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final, Self

from twisted.internet.defer import Deferred

__all__ = ["InputLines"]

PIECE: Final = 64 * 1024
"""
So much is read at once, in bytes.
"""

MAX_LINE: Final = 1024 * 1024
"""
A longer line is cut into pieces of this size, in bytes.
"""


class InputLines:
    """
    Iterate asynchronously; what comes are lists of lines, those that arrived together, without their newlines.
    """

    def __init__(self, reactor: Any, descriptor: int = 0, *, first: bytes = b"") -> None:
        """
        @param descriptor: What to read.
        @param first: What was read from it already.
        """
        self._reactor = reactor
        self._descriptor = descriptor
        self._rest = first
        self._ended = False
        self._wanted = threading.Semaphore(0)
        self._reading: Deferred[bytes] | None = None
        self._thread: threading.Thread | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[bytes]:
        """
        @raise StopAsyncIteration: The input ended.
        """
        while not self._ended:
            piece = await self._read()
            self._ended = not piece
            *lines, self._rest = (self._rest + piece).split(b"\n")
            if self._rest and (self._ended or len(self._rest) > MAX_LINE):
                lines.append(self._rest)
                self._rest = b""
            if lines:
                return lines
        raise StopAsyncIteration

    def _read(self) -> Deferred[bytes]:
        if self._thread is None:
            # Not one of the reactor's threads: those are waited for at the end, and a terminal may be silent for ever.
            self._thread = threading.Thread(target=self._run, name="standard input", daemon=True)
            self._thread.start()
        self._reading = Deferred(lambda _: None)
        self._wanted.release()
        return self._reading

    def _run(self) -> None:
        piece = b"start"
        while piece:
            self._wanted.acquire()
            try:
                piece = os.read(self._descriptor, PIECE)
            except OSError:
                piece = b""
            self._reactor.callFromThread(self._deliver, piece)

    def _deliver(self, piece: bytes) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and not reading.called:
            reading.callback(piece)
