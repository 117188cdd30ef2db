# -*- test-case-name: tests.store.test_reader -*-
"""
Queries about operations, each one look at one moment of the database. They run on reading threads.

Heights come from the table of logs. Sizes, too: a log has no holes, so that the number of operations in a range follows
from its ends, and its bytes from the running totals at its ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from p2panda_tw.core.header import decode_header
from p2panda_tw.core.identity import VerifyingKey, verifying_key
from p2panda_tw.core.logs import LogHeights, LogRanges
from p2panda_tw.core.operation import Operation, RawOperation
from p2panda_tw.core.stored import Heights, LogPage, StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId
from p2panda_tw.store.connection import Connection, damaged
from p2panda_tw.store.heads import SEQ_BITS
from p2panda_tw.store.limits import PAGE_HOLES
from p2panda_tw.store.records import TopicStats
from p2panda_tw.store.topics import ARRIVAL_BITS, encode_log_id, newest_arrival

__all__ = ["read_heights", "read_log_page", "read_page", "read_range_size", "read_stats"]

_SEQ_MASK: Final = (1 << SEQ_BITS) - 1

_PACKED: Final = """
    group_concat(
        row.position || ' ' || hex(row.header) || CASE WHEN row.body IS NULL THEN '' ELSE ' ' || hex(row.body) END
    )
"""
"""
A page in one value. Fetching row by row gives the interpreter lock back at each of them: beside a busy thread that is
28,000 rows/s (2,000 with Python's default switch interval), this way 180,000 (33,000).
"""


class _Log(NamedTuple):
    key: int
    first: int
    tip: int
    bytes_until: int
    bytes_before: int


def _unpack(text: str | None) -> list[tuple[int, bytes, bytes | None]]:
    """
    @param text: L{_PACKED}.

    @return: Place, header and body of each row, in the order of places.
    """
    rows: list[tuple[int, bytes, bytes | None]] = []
    for row in text.split(",") if text else ():
        place, header, *body = row.split(" ")
        rows.append((int(place), bytes.fromhex(header), bytes.fromhex(body[0]) if body else None))
    rows.sort(key=_place)
    return rows


def _place(row: tuple[int, bytes, bytes | None]) -> int:
    return row[0]


@contextmanager
def _moment(connection: Connection) -> Iterator[None]:
    """
    Let all queries of the block see the same state.
    """
    if connection.sql.in_transaction:
        yield
        return
    connection.sql.execute("BEGIN")
    try:
        yield
    finally:
        connection.sql.execute("ROLLBACK")


def read_heights(connection: Connection, topic_key: int, log_id: LogId) -> Heights:
    """
    @param log_id: That of every log in the topic.

    @return: Where all logs of a topic stand.
    """
    query = "SELECT author, tip_seq FROM logs WHERE topic_key = ? AND log_id = ? ORDER BY author"
    with _moment(connection):
        rows = connection.sql.execute(query, (topic_key, encode_log_id(log_id))).fetchall()
        newest = newest_arrival(connection, topic_key)
    heights: LogHeights = {verifying_key(author): {log_id: tip} for author, tip in rows}
    return Heights(heights, newest)


def _read_log(connection: Connection, topic_key: int, author: VerifyingKey, log_id: LogId) -> _Log | None:
    query = """
        SELECT log_key, first_seq, tip_seq, bytes_until, bytes_before
        FROM logs WHERE topic_key = ? AND author = ? AND log_id = ?
    """
    row = connection.sql.execute(query, (topic_key, author.raw, encode_log_id(log_id))).fetchone()
    return None if row is None else _Log(*row)


def read_range_size(connection: Connection, topic_key: int, ranges: LogRanges) -> tuple[int, int]:
    """
    @return: How many operations the ranges have, and how many bytes: stored headers, and bodies by what the headers say
        (sync.md 6.3).
    """
    operations = size = 0
    with _moment(connection):
        for author, logs in ranges.items():
            for log_id, (after, until) in logs.items():
                log = _read_log(connection, topic_key, author, log_id)
                if log is None:
                    continue
                first = log.first if after is None else max(after + 1, log.first)
                last = min(until, log.tip)
                if first <= last:
                    operations += last - first + 1
                    size += _bytes_until(connection, log, last) - _bytes_until(connection, log, first - 1)
    return operations, size


def _bytes_until(connection: Connection, log: _Log, seq_num: int) -> int:
    """
    @return: Bytes of the log up to and including a position, from before its first to its tip.
    """
    if seq_num == log.tip:
        return log.bytes_until
    if seq_num < log.first:
        return log.bytes_before
    query = "SELECT bytes_until FROM operations WHERE position = ?"
    row = connection.sql.execute(query, (log.key << SEQ_BITS | seq_num,)).fetchone()
    if row is None:
        raise damaged(connection.path, "an operation is missing in it")
    return int(row[0])


def read_log_page(
    connection: Connection,
    topic_key: int,
    author: VerifyingKey,
    log_id: LogId,
    after: int | None,
    until: int,
    limit_operations: int,
    limit_bytes: int,
) -> LogPage:
    """
    @param after: The position before the first one, C{None}: from the beginning.
    @param until: The last position.
    @param limit_bytes: Headers and bodies together. One operation comes in any case.

    @return: The beginning of that stretch of a log.
    """
    with _moment(connection):
        log = _read_log(connection, topic_key, author, log_id)
        if log is None:
            return LogPage((), until)
        first = max(log.first, 0 if after is None else after + 1)
        last = min(until, log.tip, first + limit_operations - 1)
        if first > last:
            return LogPage((), until)
        query = f"""
            SELECT {_PACKED} FROM operations AS row
            WHERE position BETWEEN ? AND ? AND (bytes_until <= ? OR position = ?)
        """
        start = log.key << SEQ_BITS
        most = _bytes_until(connection, log, first - 1) + limit_bytes
        text = connection.sql.execute(query, (start | first, start | last, most, start | first)).fetchone()[0]
    rows = _unpack(text)
    if not rows:
        raise damaged(connection.path, "operations are missing in it")
    end = rows[-1][0] & _SEQ_MASK
    operations = [RawOperation(header, body) for _, header, body in rows]
    return LogPage(operations, until if end == min(until, log.tip) else end)


def read_page(
    connection: Connection, topic_key: int, log_id: LogId, after: int, limit_operations: int, limit_bytes: int
) -> StoredPage:
    """
    @param after: The arrival number before the first one.
    @param limit_bytes: Headers and bodies together. One operation comes in any case.

    @return: The operations of a topic in order of arrival.
    """
    places = topic_key << ARRIVAL_BITS
    with _moment(connection):
        newest = newest_arrival(connection, topic_key)
        horizon = min(newest, after + PAGE_HOLES)
        query = f"""
            WITH near AS (
                SELECT arrivals.place, arrivals.position,
                    SUM(length(header) + coalesce(length(body), 0)) OVER (ORDER BY arrivals.place) AS size,
                    COUNT(*) OVER (ORDER BY arrivals.place) AS number
                FROM arrivals
                CROSS JOIN operations ON operations.position = arrivals.position
                CROSS JOIN logs ON logs.log_key = operations.position >> {SEQ_BITS}
                WHERE arrivals.place > ? AND arrivals.place <= ?
                    AND (operations.position & {_SEQ_MASK}) >= logs.first_seq
                ORDER BY arrivals.place
                LIMIT ?
            )
            SELECT (SELECT COUNT(*) FROM near), {_PACKED.replace("row.position", "near.place")}
            FROM near JOIN operations AS row ON row.position = near.position
            WHERE size <= ? OR number = 1
        """
        bounds = (places + after, places + horizon, limit_operations, limit_bytes)
        found, text = connection.sql.execute(query, bounds).fetchone()
    rows = _unpack(text)
    whole = len(rows) == found < limit_operations
    operations = [
        StoredOperation(place - places, log_id, Operation(decode_header(header, verify=False), body))
        for place, header, body in rows
    ]
    until = horizon if whole else operations[-1].arrival
    return StoredPage(operations, max(until, after), max(newest, after))


def read_stats(connection: Connection) -> dict[int, TopicStats]:
    """
    @return: What is stored, by topic key.
    """
    query = """
        SELECT topic_key, COUNT(*), SUM(tip_seq - first_seq + 1), SUM(bytes_until - bytes_before)
        FROM logs GROUP BY topic_key
    """
    rows = connection.sql.execute(query).fetchall()
    return {topic_key: TopicStats(logs, operations, size) for topic_key, logs, operations, size in rows}
