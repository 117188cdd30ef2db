# -*- test-case-name: tests.cli.test_logs -*-
"""
What a command logs: nothing, but a sentence if something fails inside; with C{--debug} everything, on stderr.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

__all__ = ["LONGEST_TURN", "begin", "report_long_turns"]

LONGEST_TURN: Final = 0.01
"""
Seconds that one turn of the reactor may take (design section 6).
"""


@implementer(ILogObserver)
class StderrObserver:
    """
    Writes to whatever C{sys.stderr} is at the moment, so that the line editing of a chat stays intact.
    """

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug

    def __call__(self, event: LogEvent) -> None:
        """
        Write one event, if it is worth it.
        """
        if self._debug:
            text = eventAsText(event)
        elif event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            reason = "" if failure is None else f": {failure.getErrorMessage()}"
            text = f"p2panda: {formatEvent(event)}{reason} (--debug shows more)"
        else:
            return
        sys.stderr.write(text.rstrip("\n") + "\n")
        sys.stderr.flush()


class _ToTwisted(logging.Handler):
    """
    Carries what the standard library logs to stderr in the form of the rest.
    """

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.name}: {record.getMessage()}\n")


def begin(*, debug: bool) -> None:
    """
    Begin to log; the first call in a process counts.
    """
    globalLogBeginner.beginLoggingTo([StderrObserver(debug=debug)], redirectStandardIO=False, discardBuffer=not debug)


def report_long_turns() -> None:
    """
    Let the running asyncio loop say which of its calls take longer than L{LONGEST_TURN}. Costs some speed.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return  # another reactor
    loop.slow_callback_duration = LONGEST_TURN
    loop.set_debug(True)
    logger = logging.getLogger("asyncio")
    logger.setLevel(logging.WARNING)
    logger.addHandler(_ToTwisted())
