# -*- test-case-name: tests.store.test_ingest -*-
"""
The two large tables, operations and arrivals, as the writing thread uses them: rows are collected and inserted
together, and many rows are deleted bit by bit.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.store.connection import Connection, damaged
from p2panda_tw.store.heads import Head
from p2panda_tw.store.limits import DELETE_CHUNK, LARGE_BODY

__all__ = ["OperationRows"]

_SEARCH: Final = 10
"""
Looking for rows to delete costs as much as deleting this many.
"""

_PIECE: Final = 256 * 1024
"""
How much of a large body is written at once, in bytes.
"""


class OperationRows:
    """
    Rows of operations and arrivals. All methods belong into a transaction.

    @ivar has_leftovers: There may be something to do for L{tidy}.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = connection.sql
        self.has_leftovers = True
        self._operations: dict[int, tuple[int, int, bytes, bytes | None]] = {}
        self._arrivals: list[tuple[int, int]] = []

    def add(self, place: int, position: int, bytes_until: int, header: bytes, body: bytes | None) -> None:
        """
        Insert an operation and its arrival, with the next L{write}.
        """
        self._operations[position] = (position, bytes_until, header, body)
        self._arrivals.append((place, position))

    def write(self) -> None:
        """
        Insert what was added. In the order of the table, which touches each page once.
        """
        operations = sorted(self._operations.values())
        large = [row for row in operations if row[3] is not None and len(row[3]) > LARGE_BODY]
        if large:
            operations = [row for row in operations if row[3] is None or len(row[3]) <= LARGE_BODY]
        self._connection.insert("INSERT INTO operations (position, bytes_until, header, body) VALUES", operations)
        for position, bytes_until, header, body in large:
            assert body is not None  # that is what they were chosen for
            self._insert_large(position, bytes_until, header, body)
        self._connection.insert("INSERT INTO arrivals (place, position) VALUES", self._arrivals)
        self.forget()

    def _insert_large(self, position: int, bytes_until: int, header: bytes, body: bytes) -> None:
        """
        Write a body bit by bit. As a value of a statement SQLite would copy it twice, and keep one of the copies.
        """
        statement = "INSERT INTO operations (position, bytes_until, header, body) VALUES (?, ?, ?, zeroblob(?))"
        self._sql.execute(statement, (position, bytes_until, header, len(body)))
        view = memoryview(body)
        with self._sql.blobopen("operations", "body", position) as blob:
            for start in range(0, len(body), _PIECE):
                blob.write(view[start : start + _PIECE])

    def forget(self) -> None:
        """
        Drop what was added and not written.
        """
        self._operations.clear()
        self._arrivals.clear()

    def header(self, head: Head, seq_num: int) -> bytes:
        """
        @param seq_num: A position that the log has.

        @return: The header stored there.

        @raise StoreError: It is not there.
        """
        position = head.position(seq_num)
        added = self._operations.get(position)
        if added is not None:
            return added[2]
        row = self._sql.execute("SELECT header FROM operations WHERE position = ?", (position,)).fetchone()
        if row is None:
            raise damaged(self._connection.path, "an operation is missing in it")
        header: bytes = row[0]
        return header

    def delete_operations(self, first: int, last: int) -> None:
        """
        Delete a stretch of one log. From now on nobody asks for it, but a long stretch takes until L{tidy} is through.
        """
        if last - first < len(self._operations):
            for position in range(first, last + 1):
                self._operations.pop(position, None)
        else:
            for position in [position for position in self._operations if first <= position <= last]:
                del self._operations[position]
        if self._delete_some("operations", first, last)[0]:
            return
        self.delete_later("operations", first, last)

    def delete_later(self, kind: str, first: int, last: int) -> None:
        """
        Leave a stretch to L{tidy}.

        @param kind: C{"operations"} or C{"arrivals"}.
        """
        self._sql.execute("INSERT INTO leftovers (kind, first, last) VALUES (?, ?, ?)", (kind, first, last))
        self.has_leftovers = True

    def _delete_some(self, kind: str, first: int, last: int, most: int = DELETE_CHUNK) -> tuple[bool, int]:
        """
        @return: Whether nothing of the stretch is left, and how many rows were deleted.
        """
        table, key = ("operations", "position") if kind == "operations" else ("arrivals", "place")
        query = f"SELECT {key} FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key} LIMIT 1 OFFSET ?"
        beyond = self._sql.execute(query, (first, last, most)).fetchone()
        end = last if beyond is None else beyond[0] - 1
        deleted = self._sql.execute(f"DELETE FROM {table} WHERE {key} BETWEEN ? AND ?", (first, end)).rowcount
        return beyond is None, deleted

    def tidy(self) -> None:
        """
        Delete a little of what is left over.
        """
        budget = DELETE_CHUNK
        while budget > 0:
            row = self._sql.execute("SELECT leftover, kind, first, last FROM leftovers LIMIT 1").fetchone()
            if row is None:
                self.has_leftovers = False
                return
            leftover, kind, first, last = row
            done, deleted = self._delete_some(kind, first, last, budget)
            budget -= deleted + _SEARCH
            if done:
                self._sql.execute("DELETE FROM leftovers WHERE leftover = ?", (leftover,))
