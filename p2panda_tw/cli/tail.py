# -*- test-case-name: tests.cli.test_tail -*-
"""
C{p2panda tail}: the messages of a topic, on standard output.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from p2panda_tw.cli.clock import local_time
from p2panda_tw.cli.harmless import harmless
from p2panda_tw.cli.outcome import leave_with_reader
from p2panda_tw.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from p2panda_tw.cli.asking import Answers

__all__ = ["describe", "tail"]


@click.command(short_help="Print the messages of a topic, and those that come in.")
@click.argument("topic")
@click.option(
    "--follow/--no-follow", "-f", default=None, help="Go on with what comes in.  [default: where a node is running]"
)
@click.option("--name", help="Remember under this name what was printed, and go on behind it the next time.")
@click.option("--from-beginning", is_flag=True, help="With --name: start over.")
@click.option("--json", "as_json", is_flag=True, help="Print one object per line.")
@common_options
@pass_settings
def tail(
    settings: Settings, topic: str, follow: bool | None, name: str | None, from_beginning: bool, as_json: bool
) -> None:
    """
    Print the messages of TOPIC in order of arrival, all of them or, with --name, those that were not printed before.

    Each line has the author's time, the author's id, and the text; values that are no text appear as JSON. Control
    characters of texts are made visible, --json has them as they are. Where no node runs nothing can come in, so the
    command ends with what is stored.
    """
    from p2panda_tw.cli.asking import with_answers

    async def work(answers: Answers) -> None:
        following = answers.is_running if follow is None else follow and answers.is_running
        if follow and not answers.is_running:
            click.echo("No node runs on this data directory, so nothing comes in.", err=True)
        if following:
            leave_with_reader()
        async for message in answers.tail(topic=topic, name=name, beginning=from_beginning, follow=following):
            click.echo(json.dumps(message) if as_json else describe(message))
        if following:
            raise click.ClickException("The node has stopped.")

    with_answers(settings, work)


def describe(message: dict[str, Any]) -> str:
    """
    @return: A message on one line.
    """
    time = local_time(message["timestamp"])
    value = message["value"]
    text = value.rstrip("\n") if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{'-' if time is None else f'{time:%Y-%m-%d %H:%M:%S}'}  {message['author'][:8]}  {harmless(text)}"
