# -*- test-case-name: tests.bench.test_compare -*-
"""
Our figures beside those of Rust p2panda, taken in turn in one run by the same machine.

The reference is a program with the subcommands C{bench-node} and C{bench-sync} (see tests/interop/peer), which print
one JSON object per line.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from p2panda_tw.bench.measurements import Report, measure_catch_up, measure_latency, measure_publish
from p2panda_tw.errors import LocalProtocolError

__all__ = ["NOT_EQUAL", "Row", "compare", "ratios"]

OPERATIONS: Final = 1000
"""
Operations of a catch-up, and publishes: above it two Rust nodes do not finish reliably.
"""

SIZE: Final = 100
LATENCY_SAMPLES: Final = 200
ROUNDS: Final = 3
REFERENCE_TIMEOUT: Final = 300
"""
Seconds that one run of the reference may take.
"""

NOT_EQUAL: Final = (
    "Not equal: Rust runs both nodes in one process on several threads, we run a process for each. Rust stores with "
    "SQLite's rollback journal and synchronous = FULL, also what it receives; we use a write-ahead log, FULL for own "
    "operations and NORMAL for received ones. Rust sends the next message for the latency as soon as the last one has "
    "arrived, we send one every 10 ms. bench-sync (p2panda-net) leaves storing to the application and checks no logs."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One line of the comparison.

    @ivar what: What was measured.
    @ivar unit: Of both figures.
    @ivar ours: Median over the rounds.
    @ivar theirs: Median over the rounds; C{None}: the reference did not finish.
    @ivar key: Name of the ratio in JSON; empty: it has no target.
    """

    what: str
    unit: str
    ours: float
    theirs: float | None
    key: str = ""

    @property
    def ratio(self) -> float | None:
        """
        Ours over theirs.
        """
        return None if not self.theirs else self.ours / self.theirs


def compare(*, reference: Path, report: Report, rounds: int = ROUNDS) -> list[Row]:
    """
    @param reference: The program.
    @param rounds: How often both are measured, in turn.

    @raise LocalProtocolError: The program cannot be run, or says something else.
    """
    ours: list[dict[str, float]] = []
    nodes: list[dict[str, Any]] = []
    syncs: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        report(f"round {number} of {rounds}: p2panda_tw")
        ours.append(_measure_ours())
        report(f"round {number} of {rounds}: Rust p2panda")
        nodes.append(_run(reference, "bench-node"))
        syncs.append(_run(reference, "bench-sync"))
    return make_rows(ours, nodes, syncs)


def make_rows(
    ours: Sequence[dict[str, float]], nodes: Sequence[dict[str, Any]], syncs: Sequence[dict[str, Any]]
) -> list[Row]:
    """
    Put the medians of several rounds side by side.
    """

    def ours_of(name: str) -> float:
        return median(figures[name] for figures in ours)

    def theirs_of(rounds: Sequence[dict[str, Any]], name: str) -> float | None:
        values = [figures[name] for figures in rounds if figures.get(name) is not None]
        return median(values) if values else None

    catch_up = ours_of("catch_up")
    return [
        Row(
            what=f"catch-up of {OPERATIONS} operations, from the first on",
            unit="operations/s",
            ours=catch_up,
            theirs=theirs_of(nodes, "ops_per_s_from_first"),
            key="catch_up_ratio",
        ),
        Row(
            what="the same against p2panda-net alone",
            unit="operations/s",
            ours=catch_up,
            theirs=theirs_of(syncs, "ops_per_s"),
        ),
        Row(
            what="publish, awaited one by one",
            unit="operations/s",
            ours=ours_of("publish"),
            theirs=theirs_of(nodes, "publish_per_s"),
            key="publish_ratio",
        ),
        Row(
            what="live, publish to processed, median",
            unit="ms",
            ours=ours_of("latency"),
            theirs=theirs_of(nodes, "publish_to_processed_ms_p50"),
            key="latency_ratio",
        ),
    ]


def ratios(rows: Sequence[Row]) -> dict[str, Any]:
    """
    @return: The ratios by their names, and the figures they come from.
    """
    found: dict[str, Any] = {row.key: None if row.ratio is None else round(row.ratio, 3) for row in rows if row.key}
    found["figures"] = [{"what": row.what, "unit": row.unit, "ours": row.ours, "theirs": row.theirs} for row in rows]
    return found


def _measure_ours() -> dict[str, float]:
    caught_up = measure_catch_up(operations=OPERATIONS, size=SIZE, authors=1, transport="iroh", report=_silently)
    published = measure_publish(count=OPERATIONS, in_flight=1, size=SIZE, durability="full", report=_silently)
    latency = measure_latency(samples=LATENCY_SAMPLES, transport="iroh", report=_silently)
    if not caught_up["complete"]:
        raise LocalProtocolError("Our own catch-up was not complete.")
    return {
        "catch_up": caught_up["operations_per_second_from_first"],
        "publish": published["per_second"],
        "latency": latency["median_ms"],
    }


def _silently(sentence: str) -> None:
    """
    Say nothing: the rounds are told instead.
    """


def _run(reference: Path, bench: str) -> dict[str, Any]:
    """
    @return: All figures of one run of the reference; the first of a name counts.
    """
    command = [str(reference), bench, str(OPERATIONS), str(SIZE), str(LATENCY_SAMPLES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=REFERENCE_TIMEOUT, check=False)
    except OSError as error:
        raise LocalProtocolError(f"The reference {reference} cannot be run: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        return {}
    return read_figures(done.stdout.splitlines(), f"{reference} {bench}")


def read_figures(lines: Sequence[str], source: str) -> dict[str, Any]:
    """
    @param source: What to blame.

    @raise LocalProtocolError: No line is a JSON object.
    """
    figures: dict[str, Any] = {}
    for line in lines:
        try:
            part = json.loads(line)
        except ValueError:
            continue
        if isinstance(part, dict):
            figures = {**part, **figures}
    if not figures:
        raise LocalProtocolError(f"{source} printed no figures.")
    return figures
