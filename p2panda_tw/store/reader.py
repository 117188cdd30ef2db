# -*- test-case-name: tests.store.test_reader -*-
"""
Pages of operations, by log or by arrival. They are read on reading threads; each is one look at one moment of the
database.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.core.header import decode_header
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.operation import Operation, RawOperation
from p2panda_tw.core.stored import LogPage, StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId
from p2panda_tw.store.connection import Connection, damaged
from p2panda_tw.store.heads import SEQ_BITS
from p2panda_tw.store.limits import LARGE_BODY, PAGE_HOLES
from p2panda_tw.store.log_reader import bytes_until, read_log
from p2panda_tw.store.topics import ARRIVAL_BITS, newest_arrival

__all__ = ["read_log_page", "read_page"]

_SEQ_MASK: Final = (1 << SEQ_BITS) - 1

_PACKED: Final = f"""
    group_concat(
        row.position || ' ' || hex(row.header) || CASE
            WHEN row.body IS NULL THEN ''
            WHEN length(row.body) > {LARGE_BODY} THEN ' -' || row.position
            ELSE ' ' || hex(row.body)
        END
    )
"""
"""
A page in one value, because fetching row by row gives the interpreter lock back at each of them. Beside a busy thread
that is 28,000 rows/s (2,000 with Python's default switch interval), this way 180,000 (33,000). Large bodies would be in
memory several times this way; instead of them it says where they are.
"""


def _unpack(connection: Connection, text: str | None) -> list[tuple[int, bytes, bytes | None]]:
    """
    @param connection: Still at the same moment.
    @param text: L{_PACKED}.

    @return: Place, header and body of each row, in the order of places.
    """
    rows: list[tuple[int, bytes, bytes | None]] = []
    for row in text.split(",") if text else ():
        place, header, *body = row.split(" ")
        rows.append((int(place), bytes.fromhex(header), _body(connection, body[0]) if body else None))
    rows.sort(key=_place)
    return rows


def _body(connection: Connection, packed: str) -> bytes:
    if not packed.startswith("-"):
        return bytes.fromhex(packed)
    with connection.sql.blobopen("operations", "body", int(packed[1:]), readonly=True) as blob:
        return blob.read()


def _place(row: tuple[int, bytes, bytes | None]) -> int:
    return row[0]


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
    with connection.moment():
        log = read_log(connection, topic_key, author, log_id)
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
        most = bytes_until(connection, log, first - 1) + limit_bytes
        text = connection.sql.execute(query, (start | first, start | last, most, start | first)).fetchone()[0]
        rows = _unpack(connection, text)
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
    with connection.moment():
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
            SELECT (SELECT COUNT(*) FROM near), {_PACKED.replace("row.position", "near.place", 1)}
            FROM near JOIN operations AS row ON row.position = near.position
            WHERE size <= ? OR number = 1
        """
        bounds = (places + after, places + horizon, limit_operations, limit_bytes)
        found, text = connection.sql.execute(query, bounds).fetchone()
        rows = _unpack(connection, text)
    whole = len(rows) == found < limit_operations
    operations = [
        StoredOperation(place - places, log_id, Operation(decode_header(header, verify=False), body))
        for place, header, body in rows
    ]
    until = horizon if whole else operations[-1].arrival
    return StoredPage(operations, max(until, after), max(newest, after))
