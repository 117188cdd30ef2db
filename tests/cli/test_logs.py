"""
What a command logs.
"""

from __future__ import annotations

import io
import sys

from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.logs import StderrObserver


def event(level: object, **more: object) -> LogEvent:
    return {"log_level": level, "log_format": "{what} happened", "what": "something", "log_time": 0.0, **more}


class StderrObserverTests(SynchronousTestCase):
    """
    Quiet by default.
    """

    def written(self, logged: LogEvent, *, debug: bool) -> str:
        saved, sys.stderr = sys.stderr, io.StringIO()
        try:
            StderrObserver(debug=debug)(logged)
            return sys.stderr.getvalue()
        finally:
            sys.stderr = saved

    def test_quiet(self) -> None:
        """
        Nobody who chats is told what the node logs.
        """
        self.assertEqual(self.written(event(LogLevel.warn), debug=False), "")

    def test_for_the_user(self) -> None:
        """
        What is meant for the user is one line.
        """
        logged = event(LogLevel.warn, is_for_user=True)
        self.assertEqual(self.written(logged, debug=False), "p2panda: something happened\n")

    def test_failure(self) -> None:
        """
        A mistake inside is one line, without traceback.
        """
        logged = event(LogLevel.critical, log_failure=Failure(KeyError("x")))
        self.assertEqual(self.written(logged, debug=False), "p2panda: something happened: 'x' (--debug shows more)\n")

    def test_debug(self) -> None:
        """
        With --debug everything is written, tracebacks included.
        """
        self.assertIn("something happened", self.written(event(LogLevel.debug), debug=True))
        logged = event(LogLevel.critical, log_failure=Failure(KeyError("x")))
        self.assertIn("KeyError", self.written(logged, debug=True))
