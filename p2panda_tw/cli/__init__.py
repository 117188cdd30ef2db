# -*- test-case-name: tests.cli -*-
"""
The C{p2panda} command. One module per subcommand; what is slow to import is imported when a subcommand runs.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """
    Run the command line of this process and leave with its exit code.
    """
    from p2panda_tw.cli.loop import install

    install()
    from p2panda_tw.cli.application import invoke

    sys.exit(invoke(sys.argv[1:]))
