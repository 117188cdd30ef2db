# -*- test-case-name: tests.store.test_bell -*-
"""
How another thread has something done by the reactor's thread, with little delay: it puts a call into a queue and writes
into something that the reactor watches. C{callFromThread} of the asyncio reactor plans a delayed call for each, which
costs twice as much.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from io import FileIO, RawIOBase
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Bell", "Ends", "eventfd_ends", "socket_ends"]

_STROKE: Final = (1).to_bytes(8, sys.byteorder)
"""
What is written, as an eventfd takes it.
"""


Ends = tuple[RawIOBase, RawIOBase]
"""
Two ends, which may be the same: what is written into the second can be read from the first. Neither waits.
"""


def eventfd_ends() -> Ends:
    """
    @return: A counter of the system's. Linux has it; in its place, two sockets.
    """
    if sys.platform == "linux":
        try:
            counter = FileIO(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "r+")
        except (AttributeError, OSError):
            pass  # Python was built without it, or a sandbox forbids it
        else:
            return counter, counter
    return socket_ends()


def socket_ends() -> Ends:
    """
    @return: Two sockets, which every system has.
    """
    ends = []
    for end in socket.socketpair():
        end.setblocking(False)
        ends.append(end.makefile("rwb", buffering=0))
        end.close()
    return ends[0], ends[1]


@implementer(IReadDescriptor)
class Bell:
    """
    Rings from its making until L{close}, which belong to the reactor's thread, as everything but L{ring}.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet, make_ends: Callable[[], Ends] = eventfd_ends) -> None:
        self._reactor = reactor
        self._calls: deque[Callable[[], None]] = deque()
        self._heard, self._rung = make_ends()
        reactor.addReader(self)

    def ring(self, call: Callable[[], None]) -> None:
        """
        Have something called on the reactor's thread, in the order in which it was asked for. Any thread may do this.
        """
        self._calls.append(call)
        try:
            self._rung.write(_STROKE)  # if there is no room, there is enough to wake the reactor
        except ValueError:
            self._calls.clear()  # it was closed: nobody wants to know any more

    def close(self) -> None:
        """
        Call what is still to be called, and let go of everything.
        """
        self._reactor.removeReader(self)
        while self._calls:
            self._call(len(self._calls))
        self._heard.close()
        self._rung.close()

    def _call(self, count: int) -> None:
        for _ in range(count):
            if not self._calls:
                return  # a call has closed us, and all were made
            call = self._calls.popleft()
            try:
                call()
            except Exception:
                self._log.failure("What a thread had to say could not be heard.")

    # The reactor's side.

    def fileno(self) -> int:
        """
        What the reactor watches.
        """
        return self._heard.fileno()

    def doRead(self) -> None:
        """
        Somebody rang. Who rings meanwhile has to wait for the reactor's next turn.
        """
        self._heard.read(64)
        self._call(len(self._calls))

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has ended.
        """

    def logPrefix(self) -> str:
        """
        How it is called in the log.
        """
        return "bell of the store"
