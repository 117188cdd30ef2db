# -*- test-case-name: tests.system.test_bench -*-
"""
C{p2panda bench}: how fast this machine is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

__all__ = ["bench"]

_TRANSPORTS = click.Choice(("tls", "iroh", "memory"))

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one object on the last line.")
_transport_option = click.option(
    "--transport", type=_TRANSPORTS, default="tls", show_default=True, help="How the nodes reach each other."
)


@click.group(short_help="Measure how fast this machine is.")
def bench() -> None:
    """
    Measure how fast this machine is. Everything happens in fresh directories and on this machine only; your own data is
    not touched.
    """


def _say(sentence: str) -> None:
    """
    Tell how far it is.
    """
    click.echo(f"... {sentence}", err=True)


def _measure(measure: Callable[..., dict[str, Any]], as_json: bool, **arguments: Any) -> None:
    """
    Run a measurement and print its figures.
    """
    figures = measure(**arguments, report=_say)
    if as_json:
        click.echo(json.dumps(figures))
        return
    width = max(map(len, figures))
    for name, figure in figures.items():
        text = f"{figure:,}" if isinstance(figure, int | float) and not isinstance(figure, bool) else str(figure)
        click.echo(f"{name.replace('_', ' '):{width}}  {text}")


@bench.command("catch-up", short_help="A second node catches up with many operations.")
@click.option("--operations", type=click.IntRange(1), default=10_000, show_default=True, help="How many.")
@click.option("--size", type=click.IntRange(1), default=100, show_default=True, help="Bytes of each body.")
@click.option("--authors", type=click.IntRange(1), default=1, show_default=True, help="How many nodes published them.")
@_transport_option
@_json_option
def catch_up(operations: int, size: int, authors: int, transport: str, as_json: bool) -> None:
    """
    One node has operations, a second one joins: the time until each was verified, stored and handed to the application.
    Over TLS and iroh each node is a process of its own. A further process that does nothing shows how quiet the machine
    is.
    """
    from p2panda_tw.bench.measurements import measure_catch_up

    _measure(measure_catch_up, as_json, operations=operations, size=size, authors=authors, transport=transport)


@bench.command("publish", short_help="A node publishes into its store.")
@click.option("--count", type=click.IntRange(1), default=5_000, show_default=True, help="How many operations.")
@click.option("--in-flight", type=click.IntRange(1), default=1, show_default=True, help="Publishes awaited at once.")
@click.option("--size", type=click.IntRange(1), default=100, show_default=True, help="Bytes of each body.")
@click.option("--durability", type=click.Choice(("full", "fast")), default="full", show_default=True)
@_json_option
def publish(count: int, in_flight: int, size: int, durability: str, as_json: bool) -> None:
    """
    The time until each operation was signed and stored, beside a loop that only inserts and commits rows of that size.
    """
    from p2panda_tw.bench.measurements import measure_publish

    _measure(measure_publish, as_json, count=count, in_flight=in_flight, size=size, durability=durability)


@bench.command("latency", short_help="From publish to the subscriber at another node.")
@click.option("--samples", type=click.IntRange(1), default=500, show_default=True, help="How many messages.")
@_transport_option
@_json_option
def latency(samples: int, transport: str, as_json: bool) -> None:
    """
    The time from the call of publish in one process to the subscriber in another, both connected.
    """
    from p2panda_tw.bench.measurements import measure_latency

    _measure(measure_latency, as_json, samples=samples, transport=transport)


@bench.command("connect", short_help="From joining a topic to the other node's first answer.")
@click.option("--samples", type=click.IntRange(1), default=100, show_default=True, help="How many connections.")
@_transport_option
@_json_option
def connect(samples: int, transport: str, as_json: bool) -> None:
    """
    The time from opening a topic until another node has answered what it has, each time by a node that was just
    started.
    """
    from p2panda_tw.bench.measurements import measure_connect

    _measure(measure_connect, as_json, samples=samples, transport=transport)


@bench.command("compare", short_help="Beside Rust p2panda, in one run.")
@click.option(
    "--reference",
    type=click.Path(exists=True, dir_okay=False, executable=True),
    required=True,
    help="The program with Rust p2panda's own figures, see tests/interop/peer.",
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often both are measured.")
@_json_option
def compare(reference: str, rounds: int, as_json: bool) -> None:
    """
    Catch-up, publish and latency beside Rust p2panda: both are measured in turn, and the medians stand side by side.
    """
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from p2panda_tw.bench.compare import NOT_EQUAL, ratios
    from p2panda_tw.bench.compare import compare as measure

    rows = measure(reference=Path(reference), rounds=rounds, report=_say)
    if as_json:
        click.echo(json.dumps(ratios(rows)))
        return
    table = Table("", "p2panda_tw", "Rust p2panda", "ratio", "unit")
    for column in table.columns[1:4]:
        column.justify = "right"
    for row in rows:
        theirs = "did not finish" if row.theirs is None else f"{row.theirs:,.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, f"{row.ours:,.2f}", theirs, ratio, row.unit)
    console = Console()
    console.print(table)
    console.print(NOT_EQUAL)
