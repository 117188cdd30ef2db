# -*- test-case-name: tests.cli -*-
"""
The C{p2panda} command. One module per subcommand; what is slow to import is imported when a subcommand runs.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """
    Run the command line of this process and leave with its exit code.
    """
    _fill_standard_streams()
    from p2panda_tw.cli.loop import install

    install()
    from p2panda_tw.cli.application import invoke

    sys.exit(invoke(sys.argv[1:]))


def _fill_standard_streams() -> None:
    """
    What whoever started us has closed (C{<&-}) leads to nowhere from now on. Otherwise the next file that is opened,
    the store for example, would be taken for standard input.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
