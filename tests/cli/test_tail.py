"""
What C{p2panda tail} prints.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.tail import describe

TIME = int(datetime(2026, 11, 24, 7, 5, 9).timestamp() * 1_000_000)


def message(value: Any, timestamp: int | None = TIME) -> dict[str, Any]:
    return {"arrival": 1, "author": "ab" * 32, "id": "cd" * 32, "seq_num": 0, "timestamp": timestamp, "value": value}


class DescribeTests(SynchronousTestCase):
    """
    One line per message.
    """

    def test_text(self) -> None:
        """
        A line has time, author and text.
        """
        self.assertEqual(describe(message("hello\n")), "2026-11-24 07:05:09  abababab  hello")

    def test_one_line(self) -> None:
        """
        A message of several lines, or one that moves the cursor, stays on its line.
        """
        self.assertEqual(describe(message("a\nb\x1b[2J")), "2026-11-24 07:05:09  abababab  a␊b␛[2J")

    def test_values(self) -> None:
        """
        Other values appear as JSON, so that the number 1 and the text "1" can be told apart in a list.
        """
        self.assertEqual(describe(message({"a": [1, "ü\x9b"]}, None)), '-  abababab  {"a": [1, "ü�"]}')

    def test_impossible_time(self) -> None:
        """
        A time that no clock shows does not end the output.
        """
        self.assertEqual(describe(message("x", 2**64 - 1)), "-  abababab  x")
