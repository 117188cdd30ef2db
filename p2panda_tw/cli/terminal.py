# -*- test-case-name: tests.system.test_terminal -*-
"""
A chat in a terminal: messages scroll by above a line that one edits in peace, below it who is connected.

prompt_toolkit lives on asyncio; nothing outside this module needs to know.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style
from rich.console import Console
from rich.text import Text
from twisted.internet.defer import Deferred

from p2panda_tw.cli.outcome import Interrupted
from p2panda_tw.cli.plain_view import clock
from p2panda_tw.cli.transcript import Entry, NewDay, Renamed, Said
from p2panda_tw.core.identity import NodeId

__all__ = ["Terminal", "colour_of"]

T = TypeVar("T")

BURST: Final = 500
"""
So many lines are shown at once. Of more, the last ones are shown: nobody reads a thousand lines in the blink of an eye,
and whoever floods a topic must not take away the terminal.
"""

BURST_DELAY: Final = 0.05
"""
Seconds in which lines are collected before they are written.
"""

_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")

_STYLE: Final = Style.from_dict({"bottom-toolbar": "noreverse fg:ansibrightblack", "name": "bold"})


def colour_of(author: NodeId) -> str:
    """
    @return: The colour of an author's name, the same in every chat.
    """
    return _COLOURS[author.raw[0] % len(_COLOURS)]


class Terminal:
    """
    The terminal of this process. Use as a context manager, show, and ask for lines.
    """

    def __init__(self, reactor: Any, own_id: NodeId) -> None:
        self._reactor = reactor
        self._own_id = own_id
        self._pending: deque[Text] = deque(maxlen=BURST)
        self._left_out = 0
        self._flushing: Any = None
        self._patch: AbstractContextManager[None] | None = None
        self._prompt: Callable[[], str] = lambda: ""
        self._toolbar: Callable[[], str] = lambda: ""
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._session: PromptSession[str] = PromptSession(
            self._prompt_text,
            bottom_toolbar=lambda: [("class:bottom-toolbar", self._toolbar())],
            style=_STYLE,
            erase_when_done=True,
        )

    def attend(self, prompt: Callable[[], str], toolbar: Callable[[], str]) -> None:
        """
        @param prompt: What stands before the line that is edited.
        @param toolbar: What stands below it.
        """
        self._prompt, self._toolbar = prompt, toolbar

    def __enter__(self) -> Terminal:
        colour_system = self._console.color_system
        self._patch = patch_stdout(raw=True)
        self._patch.__enter__()
        self._console = Console(
            file=sys.stdout,
            force_terminal=True,
            color_system=colour_system,  # type: ignore[arg-type]  # rich gives it as str and takes it as a literal
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        if self._patch is not None:
            self._patch.__exit__(None, None, None)
            self._patch = None

    async def read_line(self) -> str | None:
        """
        @return: The line that the person entered; C{None} at Ctrl-D.

        @raise Interrupted: Ctrl-C.
        """
        try:
            line: str = await _await(self._session.prompt_async(handle_sigint=False, set_exception_handler=False))
            return line
        except EOFError:
            return None
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT) from None

    # What a conversation asks of a view

    def introduce(self, lines: Iterable[str]) -> None:
        """
        Say where we are.
        """
        for line in lines:
            self._print(Text(line))

    def show(self, entry: Entry) -> None:
        """
        Show a message.
        """
        match entry:
            case NewDay(day):
                self._print(Text(f"── {day:%A, %d %B %Y} ──", "bright_black"))
            case Renamed():
                self._print(Text(f"{clock(entry)} {entry.before} is now {entry.after}", "bright_black"))
            case Said():
                weight = " bold" if entry.author == self._own_id else ""
                self._print(
                    Text.assemble(
                        (f"{clock(entry)} ", "bright_black"),
                        (f"{entry.name}: ", colour_of(entry.author) + weight),
                        # what continues a message stands below it, so that it cannot pass for another one
                        entry.text.replace("\n", "\n      "),
                    )
                )

    def notice(self, text: str) -> None:
        """
        Show what no person wrote.
        """
        self._print(Text(text, "bright_black"))

    def changed(self) -> None:
        """
        Draw prompt and toolbar again.
        """
        if self._session.app.is_running:
            self._session.app.invalidate()

    def _prompt_text(self) -> StyleAndTextTuples:
        return [("class:name", self._prompt()), ("", "> ")]

    def _print(self, text: Text) -> None:
        self._left_out += len(self._pending) == BURST
        self._pending.append(text)
        if self._flushing is None:
            self._flushing = self._reactor.callLater(BURST_DELAY, self._flush)

    def _flush(self) -> None:
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None
        if self._left_out:
            self._console.print(
                Text(f"… {self._left_out:,} lines left out; `p2panda tail` prints all.", "bright_black")
            )
            self._left_out = 0
        if self._pending:
            self._console.print(Text("\n").join(self._pending))
            self._pending.clear()


async def _await(coroutine: Any) -> Any:
    """
    Wait for a coroutine of asyncio. When the wait is cancelled the coroutine is, too, and has its time to clean up.
    """
    task = asyncio.ensure_future(coroutine)
    done: Deferred[None] = Deferred(lambda _: task.cancel())
    task.add_done_callback(lambda _: None if done.called else done.callback(None))
    try:
        await done
    finally:
        if not task.done():
            ended: Deferred[None] = Deferred()
            task.add_done_callback(lambda _: ended.callback(None))
            await ended
    return task.result()
