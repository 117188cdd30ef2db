# -*- test-case-name: tests.system.test_command_line -*-
"""
C{p2panda publish}: messages from the command line or standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from p2panda_tw.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from p2panda_tw.cli.asking import Answers

__all__ = ["publish"]


@click.command(short_help="Publish a message, or each line of standard input.")
@click.argument("topic")
@click.argument("text", default="-", metavar="[TEXT|-]")
@click.option("--whole", is_flag=True, help="Publish all of standard input as one message.")
@click.option("--values", is_flag=True, help="What is published is JSON: numbers, lists, objects ... instead of text.")
@click.option("--json", "as_json", is_flag=True, help="Print an object with id and seq_num for each message.")
@common_options
@pass_settings
def publish(settings: Settings, topic: str, text: str, whole: bool, values: bool, as_json: bool) -> None:
    """
    Publish TEXT in TOPIC and print its id, once it is stored.

    TOPIC is a name or an id that `p2panda topic list` shows. With `-`, or without TEXT, every line of standard input
    becomes one message, as soon as it is there; empty lines are left out. A running node sends them on at once,
    otherwise they go out when a node runs next.
    """
    from p2panda_tw.cli.asking import with_answers

    async def work(answers: Answers) -> None:
        newline = await _find_ending(answers, topic)
        async for line in _texts(text, whole, threaded=not answers.is_running):
            result = await answers.call("publish", topic=topic, value=_parse(line) if values else line + newline)
            click.echo(json.dumps(result) if as_json else result["id"])

    with_answers(settings, work)


async def _find_ending(answers: Answers, topic: str) -> str:
    """
    @return: What ends a text: in the chat form a newline, as upstream's chat expects it.
    """
    for record in await answers.call("topics"):
        if topic == record["name"] or (len(topic) >= 8 and record["topic"].startswith(topic.lower())):
            return "\n" if record["form"] == "chat" else ""
    return ""


async def _texts(text: str, whole: bool, *, threaded: bool) -> AsyncIterator[str]:
    """
    @param threaded: A reactor runs and must not be blocked.
    """
    if text != "-":
        yield text
        return
    if whole:
        content = sys.stdin.buffer.read()
        yield _decode(content, "Standard input")
        return
    number = 0
    async for line in _lines(threaded=threaded):
        number += 1
        if stripped := line.rstrip(b"\r\n"):
            yield _decode(stripped, f"Line {number}")


async def _lines(*, threaded: bool) -> AsyncIterator[bytes]:
    if not threaded:
        for line in sys.stdin.buffer:
            yield line
        return
    from twisted.internet import reactor

    from p2panda_tw.cli.lines import InputLines

    async for lines in InputLines(reactor):
        for line in lines:
            yield line


def _decode(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{what} is not UTF-8 text.") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"This is no JSON: {text[:60]!r} ({error}).") from error
