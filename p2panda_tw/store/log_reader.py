# -*- test-case-name: tests.store.test_reader -*-
"""
Questions about logs that need no look at their operations. Each one is about one moment of the database.

Heights come from the view C{heads} of the table of logs. Sizes, too: a log has no holes, so that the number of
operations in a range follows from its ends, and its bytes from the running totals at its ends.

Answers about many logs come out of the database in one value each, because fetching row by row gives the interpreter
lock back at each of them, which beside a busy thread takes a switch interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogHeights, LogRanges
from p2panda_tw.core.stored import Heights
from p2panda_tw.core.topic import LogId
from p2panda_tw.store.connection import Connection, Value, damaged
from p2panda_tw.store.heads import EMPTY, SEQ_BITS, without_operations
from p2panda_tw.store.records import TopicStats
from p2panda_tw.store.topics import encode_log_id, newest_arrival

__all__ = ["Log", "bytes_until", "read_heights", "read_log", "read_range_size", "read_stats"]

_CHUNK: Final = 500
"""
How many values are looked up with one statement.
"""

T = TypeVar("T")


class Log(NamedTuple):
    """
    One log, as the view C{heads} says.

    @ivar key: Its short name in the database.
    @ivar first: The lowest C{seq_num} that is there.
    @ivar tip: The highest.
    @ivar bytes_until: Bytes of all operations up to and including the tip.
    @ivar bytes_before: Of these, the bytes before C{first}.
    """

    key: int
    first: int
    tip: int
    bytes_until: int
    bytes_before: int

    def position(self, seq_num: int) -> int:
        """
        @return: Where the operation at C{seq_num} is stored.
        """
        return self.key << SEQ_BITS | seq_num


def read_heights(connection: Connection, topic_key: int, log_id: LogId) -> Heights:
    """
    @param log_id: That of every log in the topic.

    @return: Where all logs of a topic stand.
    """
    query = "SELECT group_concat(hex(author) || ' ' || tip_seq) FROM heads WHERE topic_key = ? AND log_id = ?"
    with connection.moment():
        rows = _packed(connection, query, (topic_key, encode_log_id(log_id)))
        newest = newest_arrival(connection, topic_key)
    key = VerifyingKey.trusted
    heights: LogHeights = {key(bytes.fromhex(author)): {log_id: int(tip)} for author, tip in sorted(rows)}
    if any(tips[log_id] == EMPTY for tips in heights.values()):
        raise without_operations(connection.path)
    return Heights(heights, newest)


def _packed(connection: Connection, query: str, parameters: Sequence[Value]) -> list[list[str]]:
    """
    @param query: Gives one text: rows with commas between them, columns with blanks between them.
    """
    text: str | None = connection.sql.execute(query, parameters).fetchone()[0]
    return [row.split(" ") for row in text.split(",")] if text else []


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def read_log(connection: Connection, topic_key: int, author: VerifyingKey, log_id: LogId) -> Log | None:
    """
    @return: One log, if it has operations.
    """
    query = """
        SELECT log_key, first_seq, tip_seq, bytes_until, bytes_before
        FROM heads WHERE topic_key = ? AND author = ? AND log_id = ?
    """
    row = connection.sql.execute(query, (topic_key, author.raw, encode_log_id(log_id))).fetchone()
    return None if row is None else _whole(connection, Log(*row))


def _whole(connection: Connection, log: Log) -> Log:
    """
    @raise StoreError: It has no operations.
    """
    if log.tip == EMPTY:
        raise without_operations(connection.path)
    return log


def _read_logs(connection: Connection, topic_key: int, authors: Iterable[VerifyingKey]) -> dict[tuple[str, str], Log]:
    """
    @return: All logs of some authors, by hex of author and of log id.
    """
    logs = {}
    for chunk in _chunks(authors):
        query = f"""
            SELECT group_concat(
                hex(author) || ' ' || hex(log_id) || ' ' || log_key || ' ' || first_seq || ' ' || tip_seq || ' ' ||
                bytes_until || ' ' || bytes_before
            )
            FROM heads WHERE topic_key = ? AND author IN ({_marks(chunk)})
        """
        parameters: list[Value] = [topic_key, *[author.raw for author in chunk]]
        for author, log_id, *numbers in _packed(connection, query, parameters):
            logs[author, log_id] = _whole(connection, Log(*map(int, numbers)))
    return logs


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def read_range_size(connection: Connection, topic_key: int, ranges: LogRanges) -> tuple[int, int]:
    """
    @return: How many operations the ranges have, and how many bytes: stored headers, and bodies by what the headers say
        (docs/sync.md, section 4).
    """
    operations = size = 0
    ends: list[int] = []  # positions whose running total is to be added,
    begins: list[int] = []  # or subtracted
    with connection.moment():
        logs = _read_logs(connection, topic_key, ranges)
        for author, log_ranges in ranges.items():
            for log_id, (after, until) in log_ranges.items():
                log = logs.get((author.hex().upper(), encode_log_id(log_id).hex().upper()))
                if log is None:
                    continue
                first = log.first if after is None else max(after + 1, log.first)
                last = min(until, log.tip)
                if first > last:
                    continue
                operations += last - first + 1
                if last == log.tip:
                    size += log.bytes_until
                else:
                    ends.append(log.position(last))
                if first == log.first:
                    size -= log.bytes_before
                else:
                    begins.append(log.position(first - 1))
        size += _sum_of_totals(connection, ends) - _sum_of_totals(connection, begins)
    return operations, size


def _sum_of_totals(connection: Connection, positions: Sequence[int]) -> int:
    """
    @return: The sum of the running totals at some positions.
    """
    total = 0
    for chunk in _chunks(positions):
        query = f"SELECT COUNT(*), SUM(bytes_until) FROM operations WHERE position IN ({_marks(chunk)})"
        count, size = connection.sql.execute(query, chunk).fetchone()
        if count != len(chunk):
            raise damaged(connection.path, "operations are missing in it")
        total += size
    return total


def bytes_until(connection: Connection, log: Log, seq_num: int) -> int:
    """
    @return: Bytes of the log up to and including a position, from the one before its first to its tip.
    """
    if seq_num == log.tip:
        return log.bytes_until
    if seq_num < log.first:
        return log.bytes_before
    return _sum_of_totals(connection, [log.position(seq_num)])


def read_stats(connection: Connection) -> dict[int, TopicStats]:
    """
    @return: What is stored, by topic key.
    """
    query = """
        SELECT topic_key, COUNT(*), SUM(tip_seq - first_seq + 1), SUM(bytes_until - bytes_before)
        FROM heads GROUP BY topic_key
    """
    rows = connection.sql.execute(query).fetchall()
    return {topic_key: TopicStats(logs, operations, size) for topic_key, logs, operations, size in rows}
