# -*- test-case-name: tests.test_process -*-
"""
Two settings of a whole process that runs a node. They concern everything in it, so a node does not choose them: our
commands and C{twistd p2panda} do, and so may other programs.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

__all__ = ["SWITCH_INTERVAL", "prepare", "settle"]

SWITCH_INTERVAL: Final = 0.0005
"""
Seconds after which a busy thread lets another one in. libsodium gets the interpreter back after each signature: with
Python's default of 5 ms each takes 3 ms while the reactor is busy, with this 0.23 ms.
"""


def prepare() -> None:
    """
    Let the threads of a node come to their turn quickly. To be called at the beginning.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)


def settle() -> None:
    """
    Spare the garbage collector what is there to stay. To be called when everything is loaded and started: a full
    collection that looks at all modules again stops every thread for 30 ms, without them it takes a tenth of that.
    """
    gc.collect()
    gc.freeze()
