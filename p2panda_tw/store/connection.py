# -*- test-case-name: tests.store.test_connection -*-
"""
One thread's connection to the database: settings, a transaction that can be seen, statements for many rows at once, and
errors of SQLite told as ours.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from typing import Final

from p2panda_tw.errors import DecodeError, StoreError, StoreFull
from p2panda_tw.store.limits import (
    BUSY_TIMEOUT_MS,
    CHECKPOINT_PAGES,
    CHECKPOINT_PAGES_SYNCED,
    WAL_BYTES,
    WAL_KEPT_BYTES,
    WAL_PIECE,
)

__all__ = ["Connection", "Value", "damaged", "store_error", "translated"]

Value = int | bytes | str | None
"""
What a column holds.
"""

_SIZES: Final = (64, 8, 1)
"""
Rows per statement. SQLite gives the interpreter lock back at every statement, and beside a busy thread each time costs
a switch interval: row by row that is 12,000 rows/s instead of 70,000.
"""

_FULL: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
"""
A quota or a limit on file sizes looks like a failed write.
"""

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_TAKEN: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@lru_cache(maxsize=64)
def _for_rows(into: str, columns: int, rows: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    return f"{into} {','.join([row] * rows)}"


def damaged(path: str, why: str) -> StoreError:
    """
    Say that a database cannot be trusted any more.
    """
    return StoreError(f"The database {path} is damaged: {why}. It was left as it is; restore it from a backup.")


def store_error(error: Exception, path: str) -> StoreError:
    """
    Say in a sentence what SQLite, or the operating system, says with a code.

    @param path: The database, for the message.
    """
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if code in _FULL:
        return StoreFull(f"There is no room for {path} ({error}). Nothing was stored; it works again with more room.")
    if primary in _DAMAGED or isinstance(error, DecodeError):
        return damaged(path, str(error))
    if primary in _TAKEN:
        return StoreError(f"Another program uses the database {path} ({error}).")
    if primary == sqlite3.SQLITE_READONLY or isinstance(error, PermissionError):
        return StoreError(f"The database {path} cannot be written ({error}).")
    if primary == sqlite3.SQLITE_CANTOPEN or isinstance(error, OSError):
        return StoreError(f"The database {path} cannot be opened ({error}).")
    return StoreError(f"The database {path} fails: {error}.")


@contextmanager
def translated(path: str) -> Iterator[None]:
    """
    Let errors of SQLite and of the operating system come out as L{StoreError}.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise store_error(error, path) from error


class Connection:
    """
    A connection that belongs to one thread.

    @ivar path: Of the database.
    @ivar sql: The connection of C{sqlite3} itself. It begins no transactions by itself.
    """

    def __init__(self, path: str, *, cache_kib: int, any_thread: bool = False) -> None:
        """
        @param cache_kib: Memory for pages.
        @param any_thread: Several threads take turns in using it, which they see to themselves.

        @raise StoreError: It cannot be opened.
        """
        self.path = path
        self._synced = False
        self._writes_ahead = False
        with translated(path):
            self.sql = sqlite3.connect(path, isolation_level=None, check_same_thread=not any_thread)
            self.sql.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            self.sql.execute(f"PRAGMA cache_size = -{cache_kib}")
            self.sql.execute("PRAGMA temp_store = MEMORY")
            self.sql.execute("PRAGMA mmap_size = 0")

    def write_ahead(self) -> None:
        """
        Choose the journal that lets others read while we write.
        """
        self._writes_ahead = self.sql.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
        self.sql.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        self._sync(False)

    def _sync(self, synced: bool) -> None:
        """
        @param synced: Transactions wait for the disk from now on.
        """
        self.sql.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        pages = CHECKPOINT_PAGES_SYNCED if synced else CHECKPOINT_PAGES
        self.sql.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._synced = synced

    def read_only(self) -> None:
        """
        Refuse to write from now on.
        """
        self.sql.execute("PRAGMA query_only = 1")

    def transaction(self, *, synced: bool = False) -> AbstractContextManager[None]:
        """
        Commit what the block does, or nothing of it.

        @param synced: Come back only when the disk has it, so that it survives a loss of power.

        @raise StoreError: It could not be committed.
        """
        return _Transaction(self, synced)

    def begin(self, *, synced: bool) -> None:
        """
        Begin a transaction, unless the right one was begun early.
        """
        if synced != self._synced:
            self.roll_back()  # the setting cannot be changed inside a transaction
            self._sync(synced)
        if not self.sql.in_transaction:
            self.sql.execute("BEGIN IMMEDIATE")

    def begin_early(self) -> None:
        """
        Begin the next L{transaction} while nobody waits for it, if it is likely to be a synced one again. Others can
        read meanwhile. If it does not work now, the transaction itself says why.
        """
        if self._synced and self._writes_ahead and not self.sql.in_transaction:
            try:
                self.sql.execute("BEGIN IMMEDIATE")
            except sqlite3.Error:
                self.roll_back()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """
        Let all queries of the block see the same state of the database.
        """
        self.sql.execute("BEGIN")
        try:
            yield
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        """
        Undo what was begun. SQLite has done so by itself after some errors. If it fails now, the error that led here is
        the one to tell.
        """
        try:
            if self.sql.in_transaction:
                self.sql.execute("ROLLBACK")
        except sqlite3.Error:
            pass

    def insert(self, into: str, rows: Sequence[tuple[Value, ...]]) -> None:
        """
        Insert many rows with few statements.

        @param into: C{"INSERT INTO table (columns) VALUES"}
        """
        start = 0
        left = len(rows)
        if left == 1:  # as often as somebody publishes
            self.sql.execute(_for_rows(into, len(rows[0]), 1), rows[0])
            return
        for size in _SIZES:
            while left >= size:
                statement = _for_rows(into, len(rows[start]), size)
                self.sql.execute(statement, tuple(chain.from_iterable(rows[start : start + size])))
                start += size
                left -= size

    def lengthen_journal(self) -> bool:
        """
        Write a piece of zeros behind the write-ahead log, unless it has the length already that it has before each
        checkpoint. A commit that waits for the disk takes twice as long when it makes the file longer. SQLite takes
        what is behind its last commit for nothing, and writes over it.

        @return: There is nothing to do any more, or no room for it.
        """
        try:
            with open(self.path + "-wal", "r+b", buffering=0) as journal:
                missing = WAL_BYTES - journal.seek(0, os.SEEK_END)
                if missing > 0:
                    journal.write(bytes(min(missing, WAL_PIECE)))
                    os.fsync(journal.fileno())
        except OSError:
            return True
        return missing <= WAL_PIECE

    def checkpoint(self) -> None:
        """
        Move what the write-ahead log holds into the database, and empty it.
        """
        self.roll_back()
        self.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """
        Let go of the database.
        """
        self.sql.close()


class _Transaction:
    """
    The block of a transaction. A generator in its place would keep each publish waiting 4 us longer.
    """

    __slots__ = ("_connection", "_synced")

    def __init__(self, connection: Connection, synced: bool) -> None:
        self._connection = connection
        self._synced = synced

    def __enter__(self) -> None:
        try:
            self._connection.begin(synced=self._synced)
        except BaseException as error:
            self._give_up(error)
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._give_up(error)
            return
        try:
            self._connection.sql.execute("COMMIT")
        except BaseException as failure:
            self._give_up(failure)
            raise

    def _give_up(self, error: BaseException) -> None:
        """
        @raise StoreError: It was the database that failed.
        """
        self._connection.roll_back()
        if isinstance(error, sqlite3.Error):
            raise store_error(error, self._connection.path) from error
