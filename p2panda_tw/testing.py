# -*- test-case-name: tests.test_testing -*-
"""
Test doubles for applications: a network without sockets, on a clock that the test moves.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock

from p2panda_tw.transport.memory import MemoryNetwork, MemoryTransport

__all__ = ["MemoryNetwork", "MemoryTransport", "pump"]


def pump(clock: Clock, until: Callable[[], bool], *, step: float = 0.01, longest: float = 60.0) -> None:
    """
    Let time pass until something holds.

    @param step: Seconds that the clock moves between two looks.

    @raise TimeoutError: It did not happen within C{longest} seconds of the clock.
    """
    end = clock.seconds() + longest
    clock.advance(0)
    while not until():
        if clock.seconds() >= end:
            raise TimeoutError(f"Nothing of the kind happened in {longest:g} seconds.")
        clock.advance(step)
