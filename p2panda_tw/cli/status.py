# -*- test-case-name: tests.cli.test_status -*-
"""
C{p2panda status}: how the node is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from p2panda_tw.cli.harmless import harmless
from p2panda_tw.cli.settings import Settings, common_options, pass_settings

__all__ = ["describe", "status"]


@click.command(short_help="Show how this node is: addresses, topics, peers, store.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@common_options
@pass_settings
def status(settings: Settings, as_json: bool) -> None:
    """
    Show how the node is that runs on the data directory; where none runs, what its store holds.
    """
    from p2panda_tw.cli.asking import Answers, with_answers

    async def work(answers: Answers) -> dict[str, Any]:
        return {"running": answers.is_running, **await answers.call("status")}

    answer = with_answers(settings, work)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        for line in describe(answer):
            click.echo(line)


def describe(answer: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """
    @return: An object as lines; what is inside of it is indented.
    """
    width = max((len(key) for key, value in answer.items() if not _is_nested(value)), default=0)
    for key, value in answer.items():
        label = harmless(key.replace("_", " "))
        if not _is_nested(value):
            yield f"{indent}{label:{width}}  {_plain(value)}"
            continue
        yield f"{indent}{label}"
        if isinstance(value, Mapping):
            yield from describe(value, indent + "  ")
            continue
        for number, item in enumerate(value):
            if isinstance(item, Mapping):
                if number:
                    yield ""
                yield from describe(item, indent + "  ")
            else:
                yield f"{indent}  {_plain(item)}"


def _is_nested(value: Any) -> bool:
    return bool(value) and isinstance(value, Mapping | Sequence) and not isinstance(value, str)


def _plain(value: Any) -> str:
    match value:
        case None | [] | "":
            return "-"
        case Mapping():
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return harmless(str(value))
