# -*- test-case-name: tests.test_process -*-
"""
Settings of a whole process that runs a node. They concern everything in it, so a node does not choose them: our
commands and C{twistd p2panda} do, and so may other programs.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

__all__ = ["SWITCH_INTERVAL", "prepare", "settle"]

SWITCH_INTERVAL: Final = 0.0005
"""
Seconds after which a busy thread lets another one in. libsodium gets the interpreter back after each signature: with
Python's default of 5 ms each takes 3 ms while the reactor is busy, with this 0.23 ms.
"""


LARGE_BLOCK: Final = 256 * 1024
"""
Blocks of memory of so many bytes are taken from the system one by one, and given back when they are not used any more.
By default the C library of Linux keeps them for the next time: after some operations of 16 MiB a process holds on to
200 MiB that nobody uses.
"""

_MMAP_THRESHOLD: Final = -3
"""
C{M_MMAP_THRESHOLD} of C{malloc.h}.
"""


def prepare() -> None:
    """
    Let the threads of a node come to their turn quickly, and large blocks of memory go. To be called at the beginning.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BLOCK)
        except (OSError, AttributeError):
            pass  # another C library than that of GNU, which has no such habit


def settle() -> None:
    """
    Spare the garbage collector what is there to stay. To be called when everything is loaded and started: a full
    collection that looks at all modules again stops every thread for 30 ms, without them it takes a tenth of that.
    """
    gc.collect()
    gc.freeze()
