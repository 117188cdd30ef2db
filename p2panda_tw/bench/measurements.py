# -*- test-case-name: tests.system.test_bench -*-
"""
The measurements. Each is a function that starts its processes, reports its progress in sentences and returns the
figures as a plain mapping, ready for JSON. Over TLS and iroh the nodes live in processes of their own, in memory they
share one.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from p2panda_tw.bench.measure import percentile
from p2panda_tw.bench.processes import Worker

__all__ = ["measure_catch_up", "measure_connect", "measure_latency", "measure_publish"]

BARE_ROW_SIZE: Final = 350
"""
Bytes per row of the bare loop: header and body of an operation with a body of 100 bytes.
"""

LATENCY_INTERVAL: Final = 0.01
"""
Seconds between two messages whose way is timed.
"""

Report = Callable[[str], None]


def _pair(stack: ExitStack, transport: str) -> tuple[Worker, Worker]:
    """
    @return: The processes for the two nodes; the same one twice for the memory transport.
    """
    first = stack.enter_context(Worker("nodes"))
    return first, first if transport == "memory" else stack.enter_context(Worker("nodes"))


def measure_catch_up(*, operations: int, size: int, authors: int, transport: str, report: Report) -> dict[str, Any]:
    """
    A node that has C{operations} of C{authors}, and a second one that has nothing and joins.

    @param size: Bytes of each body.

    @return: C{operations}, C{complete} (the digests of both stores and of what the application saw agree), C{seconds}
        from joining until the last message was handed over, C{operations_per_second} and, counted from the first
        message on, C{operations_per_second_from_first}, C{receiver_rss_growth_mib} (peak minus value at joining),
        C{longest_reactor_stall_ms} of the receiver and C{idle_stall_ms} of a process that did nothing meanwhile.
    """
    with ExitStack() as stack:
        sender, receiver = _pair(stack, transport)
        idle = stack.enter_context(Worker("idle"))
        sender.ask(do="start", node="sender", transport=transport)
        ticket = sender.ask(do="topic", node="sender")["ticket"]
        if authors == 1:
            report(f"publishing {operations:,} operations")
            sender.ask(do="fill", node="sender", count=operations, size=size)
        else:
            publisher = sender if transport == "memory" else stack.enter_context(Worker("nodes"))
            for author, until in enumerate(_shares(operations, authors), 1):
                report(f"author {author} of {authors} publishes, {until:,} of {operations:,} operations")
                publisher.ask(do="start", node="author", transport=transport)
                publisher.ask(do="open", node="author", ticket=ticket)
                count = until - operations * (author - 1) // authors
                publisher.ask(do="fill", node="author", count=count, size=size)
                publisher.ask(do="join", node="author", ticket=ticket)
                sender.ask(do="wait", node="sender", count=until)
                publisher.ask(do="leave", node="author")
        receiver.ask(do="start", node="receiver", transport=transport)
        report(f"catching up with {operations:,} operations")
        idle.ask(do="start")
        figures = receiver.ask(do="receive", node="receiver", ticket=ticket, count=operations)
        quiet = idle.ask(do="stop")
        report("comparing what both nodes have")
        sent = sender.ask(do="digest", node="sender")
        stored = receiver.ask(do="digest", node="receiver")
    complete = sent == stored and sent["count"] == operations and sent["digest"] == figures["digest"]
    return {
        "operations": operations,
        "complete": complete,
        "seconds": round(figures["seconds"], 3),
        "operations_per_second": round(operations / figures["seconds"]),
        "operations_per_second_from_first": round(operations / figures["seconds_from_first"]),
        "receiver_rss_growth_mib": round(figures["growth_mib"], 1),
        "longest_reactor_stall_ms": round(figures["stall_ms"], 1),
        "idle_stall_ms": round(quiet["stall_ms"], 1),
    }


def _shares(operations: int, authors: int) -> Iterator[int]:
    """
    @return: How many operations there are once each author has published.
    """
    for author in range(1, authors + 1):
        yield operations * author // authors


def measure_publish(*, count: int, in_flight: int, size: int, durability: str, report: Report) -> dict[str, Any]:
    """
    One node that publishes, and a loop that does nothing but insert and commit rows of the same size on the same disk.

    @param in_flight: How many publishes are awaited at once.

    @return: C{per_second} and C{bare_sqlite_per_second}.
    """
    with Worker("nodes") as worker:
        worker.ask(do="start", node="publisher", transport="memory", durability=durability)
        worker.ask(do="topic", node="publisher")
        report(f"publishing {count:,} operations, {in_flight} in flight")
        seconds = worker.ask(do="publish", node="publisher", count=count, in_flight=in_flight, size=size)["seconds"]
    report("running the bare loop")
    return {
        "count": count,
        "in_flight": in_flight,
        "durability": durability,
        "per_second": round(count / seconds),
        "bare_sqlite_per_second": round(_bare_loop(min(count, 5000), durability)),
    }


def _bare_loop(count: int, durability: str) -> float:
    """
    @return: Transactions of one row per second.
    """
    with tempfile.TemporaryDirectory(prefix="p2panda-bench-") as directory:
        database = sqlite3.connect(Path(directory) / "bare.sqlite3", isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB)")
        row = bytes(BARE_ROW_SIZE)
        began = time.perf_counter()
        for _ in range(count):
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows (content) VALUES (?)", (row,))
            database.execute("COMMIT")
        seconds = time.perf_counter() - began
        database.close()
    return count / seconds


def measure_latency(*, samples: int, transport: str, report: Report) -> dict[str, Any]:
    """
    Two connected nodes: from the call of publish at one to the subscriber at the other.

    @return: C{median_ms} and C{p99_ms}.
    """
    with ExitStack() as stack:
        here, there = _pair(stack, transport)
        here.ask(do="start", node="here", transport=transport)
        there.ask(do="start", node="there", transport=transport)
        ticket = here.ask(do="topic", node="here")["ticket"]
        there.ask(do="join", node="there", ticket=ticket)
        report(f"sending {samples:,} messages")
        if here is there:
            ages = here.ask(do="say_and_hear", say="here", hear="there", count=samples, interval=LATENCY_INTERVAL)
        else:
            there.tell(do="hear_times", node="there", count=samples)
            here.ask(do="say_times", node="here", count=samples, interval=LATENCY_INTERVAL)
            ages = there.answer()
    return _summary(samples, ages["ages_ms"])


def measure_connect(*, samples: int, transport: str, report: Report) -> dict[str, Any]:
    """
    A node that is there, and one that starts anew for every sample: from opening the topic until the first answer.

    @return: C{median_ms} and C{p99_ms}.
    """
    times = []
    with ExitStack() as stack:
        here, there = _pair(stack, transport)
        here.ask(do="start", node="here", transport=transport)
        ticket = here.ask(do="topic", node="here")["ticket"]
        for sample in range(samples):
            if sample % 20 == 0:
                report(f"connecting, {sample:,} of {samples:,}")
            there.ask(do="start", node="there", transport=transport)
            times.append(there.ask(do="connect", node="there", ticket=ticket)["ms"])
            there.ask(do="stop", node="there")
    return _summary(samples, times)


def _summary(samples: int, milliseconds: list[float]) -> dict[str, Any]:
    return {
        "samples": samples,
        "median_ms": round(percentile(milliseconds, 0.5), 3),
        "p99_ms": round(percentile(milliseconds, 0.99), 3),
    }
