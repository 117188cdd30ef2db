# -*- test-case-name: tests.cli.test_plain_view -*-
"""
A chat without line editing: messages on standard output, one per line, everything else on standard error. For pipes and
scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from p2panda_tw.cli.transcript import Entry, NewDay, Renamed, Said

__all__ = ["PlainView", "plain"]


def plain(entry: Entry) -> str:
    """
    @return: An entry as text.
    """
    match entry:
        case NewDay(day):
            return f"--- {day:%A, %d %B %Y} ---"
        case Said():
            return f"{clock(entry)} {entry.name}: {entry.text}"
        case Renamed():
            return f"{clock(entry)} * {entry.before} is now {entry.after}"


def clock(entry: Said | Renamed) -> str:
    """
    @return: Hours and minutes.
    """
    return "--:--" if entry.time is None else f"{entry.time:%H:%M}"


class PlainView:
    """
    Writes text to two files.
    """

    def __init__(self, messages: TextIO, notices: TextIO) -> None:
        self._messages = messages
        self._notices = notices

    def introduce(self, lines: Iterable[str]) -> None:
        """
        Say where we are.
        """
        for line in lines:
            self.notice(line)

    def show(self, entry: Entry) -> None:
        """
        Write a message.
        """
        self._messages.write(plain(entry) + "\n")
        self._messages.flush()

    def notice(self, text: str) -> None:
        """
        Write what no person wrote.
        """
        self._notices.write(f"* {text}\n" if text else "\n")
        self._notices.flush()

    def changed(self) -> None:
        """
        Is told by notices.
        """
