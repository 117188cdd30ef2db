"""
Warnings about other nodes.
"""

from __future__ import annotations

from typing import cast

from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.transport.complaints import Complaints


class ComplaintsTests(SynchronousTestCase):
    """
    One line per peer and cause.
    """

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        self.complaints = Complaints(Logger(observer=cast(ILogObserver, self.events.append)))

    def test_once(self) -> None:
        """
        The second time nothing is logged, but counted.
        """
        for peer, cause in (("a", "flood"), ("a", "flood"), ("b", "flood"), ("a", "garbage")):
            self.complaints.complain(peer, cause, "Something happened.")
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            [
                "Something happened. Cut off: a (flood).",
                "Something happened. Cut off: b (flood).",
                "Something happened. Cut off: a (garbage).",
            ],
        )
        self.assertEqual(self.complaints.counts, {"flood": 3, "garbage": 1})

    def test_braces(self) -> None:
        """
        What a peer has sent cannot disturb the log.
        """
        self.complaints.complain("{a}", "flood", "It said {nonsense}.")
        self.assertEqual(formatEvent(self.events[0]), "It said {nonsense}. Cut off: {a} (flood).")
