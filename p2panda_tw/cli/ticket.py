# -*- test-case-name: tests.cli.test_ticket -*-
"""
C{p2panda ticket}, and how a ticket is read wherever a subcommand takes one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from p2panda_tw.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from p2panda_tw.endpoint.ticket import Ticket

__all__ = ["find_file", "looks_like_ticket", "read_ticket", "ticket"]

_STANDARD_INPUT: Final = 0
_MAX_FILE: Final = 64 * 1024


@click.command(short_help="Print a ticket that leads others to this node.")
@click.argument("topic", required=False)
@click.option("--json", "as_json", is_flag=True, help='Print {"ticket": "..."}.')
@common_options
@pass_settings
def ticket(settings: Settings, topic: str | None, as_json: bool) -> None:
    """
    Print a ticket: one line to give to somebody, who types `p2panda chat TICKET`.

    TOPIC is a name or an id that `p2panda topic list` shows. Whoever has a ticket with a topic can read and write that
    topic: hand it over like a password. Without TOPIC it only tells where this node is.
    """
    import json

    from p2panda_tw.cli.asking import ask
    from p2panda_tw.endpoint.ticket import Ticket

    answer = ask(settings, "ticket", topic=topic)
    if not Ticket.decode(answer["ticket"]).addresses:
        click.echo("The ticket names no address yet: start the node once, then ask again.", err=True)
    click.echo(json.dumps(answer) if as_json else answer["ticket"])


def looks_like_ticket(text: str) -> bool:
    """
    @return: Whether this is meant to be a ticket, right or wrong.
    """
    return text.strip().lower().startswith("p2panda1")


def find_file(text: str) -> Path | None:
    """
    @return: The file of that name, if there is one and it can be looked at.
    """
    path = Path(os.path.expanduser(text))
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def read_ticket(text: str) -> Ticket:
    """
    @param text: A ticket; the path of a file that holds one; or C{-}, then it comes from standard input, which is read
        up to the end of the line that completes the ticket.

    @raise click.UsageError: There is no ticket.
    """
    from p2panda_tw.endpoint.ticket import Ticket
    from p2panda_tw.errors import DecodeError

    try:
        if text == "-":
            return _read_standard_input()
        if not looks_like_ticket(text) and (path := find_file(text)) is not None:
            with path.open("rb") as file:
                text = file.read(_MAX_FILE).decode("utf-8", "replace")
        return Ticket.decode(text)
    except DecodeError as error:
        raise click.UsageError(str(error)) from error


def _read_standard_input() -> Ticket:
    """
    Read byte by byte: what follows the ticket belongs to somebody else.
    """
    from p2panda_tw.endpoint.ticket import Ticket
    from p2panda_tw.errors import DecodeError

    text = b""
    while len(text) < _MAX_FILE and (byte := os.read(_STANDARD_INPUT, 1)):
        text += byte
        if byte == b"\n" and text.strip():
            try:
                return Ticket.decode(text.decode("utf-8", "replace"))
            except DecodeError:
                continue  # the rest may be on the next line
    return Ticket.decode(text.decode("utf-8", "replace"))
