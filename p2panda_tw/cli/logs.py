# -*- test-case-name: tests.cli.test_logs -*-
"""
What a command logs: nothing, but a sentence if something fails inside, and what is meant for its user (events with
C{is_for_user}); with C{--debug} everything, on stderr.
"""

from __future__ import annotations

import sys

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

__all__ = ["StderrObserver", "begin"]


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
        elif event.get("is_for_user"):
            text = f"p2panda: {formatEvent(event)}"
        else:
            return
        sys.stderr.write(text.rstrip("\n") + "\n")
        sys.stderr.flush()


def begin(*, debug: bool) -> None:
    """
    Begin to log; the first call in a process counts.
    """
    globalLogBeginner.beginLoggingTo([StderrObserver(debug=debug)], redirectStandardIO=False, discardBuffer=not debug)
