# -*- test-case-name: tests.cli.test_transcript -*-
"""
What a chat shows of its messages: who said what and when, who took which name, where a day begins. Plain values; how
they look is up to the view.

A message that starts with C{/nick } gives its author a name, as in p2panda-net/examples/chat.rs. All text
in these values is harmless to a terminal, whoever wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from p2panda_tw.cli.harmless import harmless, harmless_name
from p2panda_tw.commands import json_value
from p2panda_tw.core.identity import NodeId

__all__ = ["NICK", "Entry", "Names", "NewDay", "Renamed", "Said", "Transcript", "fit", "short_id"]

NICK: Final = "/nick "
"""
What a message starts with that is a name.
"""

MAX_CHARACTERS: Final = 2000
"""
So much is shown of a message.
"""

MAX_LINES: Final = 20
"""
So many lines are shown of a message.
"""


@dataclass(frozen=True, slots=True)
class NewDay:
    """
    What follows was written on another day than what came before.
    """

    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """
    A message.

    @ivar time: By the author's clock; C{None} if the author told none, and nobody knows when it came in.
    """

    time: datetime | None
    author: NodeId
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """
    An author took a name.
    """

    time: datetime | None
    author: NodeId
    before: str
    after: str


Entry = NewDay | Said | Renamed


def short_id(node_id: NodeId) -> str:
    """
    @return: Enough of a node id to tell people apart at a glance.
    """
    return node_id.hex()[:8]


def fit(value: Any) -> str:
    """
    @return: What is shown of a value: harmless, not too long, with a hint where something was cut. Values that are no
        text appear as JSON.
    """
    whole = value if isinstance(value, str) else json.dumps(json_value(value), ensure_ascii=False)
    whole = whole.rstrip("\r\n")
    lines = harmless(whole[:MAX_CHARACTERS], lines=True).split("\n")
    text = "\n".join(lines[:MAX_LINES])
    if len(whole) > MAX_CHARACTERS or len(lines) > MAX_LINES:
        text += f" … (cut, {len(whole):,} characters; `p2panda tail` prints all)"
    return text


class Names:
    """
    What authors are called. Two of the same name can be told apart: the later one has a part of its id behind it.
    """

    def __init__(self) -> None:
        self._names: dict[NodeId, str] = {}
        self._owners: dict[str, NodeId] = {}

    def of(self, author: NodeId) -> str:
        """
        @return: The name of an author, or the short id of one without.
        """
        name = self._names.get(author)
        if name is None:
            return short_id(author)
        return name if self._owners.get(name.casefold()) == author else f"{name}~{author.hex()[:4]}"

    def chosen(self, author: NodeId) -> str | None:
        """
        @return: The name that an author gave itself.
        """
        return self._names.get(author)

    def give(self, author: NodeId, name: str) -> bool:
        """
        @return: Whether the name is a new one for this author.
        """
        if not name or self._names.get(author) == name:
            return False
        before = self._names.get(author)
        if before is not None and self._owners.get(before.casefold()) == author:
            del self._owners[before.casefold()]
        self._names[author] = name
        self._owners.setdefault(name.casefold(), author)
        return True

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._names)


class Transcript:
    """
    Turns messages into entries, one after the other.

    @ivar names: The names learnt so far.
    @ivar authors: Everybody who wrote, in order of their first message.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.authors: dict[NodeId, None] = {}
        self._day: date | None = None

    def read(self, author: NodeId, value: Any, time: datetime | None) -> Said | Renamed | None:
        """
        @return: What a message means; C{None} if there is nothing to show.
        """
        self.authors[author] = None
        if isinstance(value, str) and value.startswith(NICK):
            before = self.names.of(author)
            if not self.names.give(author, harmless_name(value[len(NICK) :])):
                return None
            return Renamed(time=time, author=author, before=before, after=self.names.of(author))
        text = fit(value)
        return Said(time=time, author=author, name=self.names.of(author), text=text) if text.strip() else None

    def dated(self, entry: Said | Renamed) -> Iterator[Entry]:
        """
        @return: The entry, with the day before it if that is another one than that of the entry before.
        """
        if entry.time is not None and entry.time.date() != self._day:
            self._day = entry.time.date()
            yield NewDay(self._day)
        yield entry
