"""
Connections to the database.
"""

from __future__ import annotations

import os
import shutil
import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import StoreError, StoreFull
from p2panda_tw.store.connection import Connection, store_error, translated
from p2panda_tw.store.limits import WAL_BYTES


class ConnectionTests(SynchronousTestCase):
    """
    Transactions and statements.
    """

    def setUp(self) -> None:
        self.connection = Connection(self.mktemp(), cache_kib=100)
        self.addCleanup(self.connection.close)
        self.connection.write_ahead()
        self.connection.sql.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, square INTEGER)")

    def numbers(self) -> list[tuple[int, int]]:
        """
        All rows.
        """
        return self.connection.sql.execute("SELECT number, square FROM numbers ORDER BY number").fetchall()

    def test_insert(self) -> None:
        """
        However many rows there are, they are inserted, with few statements.
        """
        for count in (0, 1, 7, 8, 9, 63, 64, 65, 200):
            statements: list[str] = []
            self.connection.sql.set_trace_callback(statements.append)
            rows = [(number, number * number) for number in range(count)]
            self.connection.insert("INSERT INTO numbers (number, square) VALUES", rows)
            self.connection.sql.set_trace_callback(None)
            self.assertEqual(self.numbers(), rows)
            self.assertLessEqual(len(statements), count // 64 + 14)
            self.connection.sql.execute("DELETE FROM numbers")

    def test_commit(self) -> None:
        """
        What a block did is there after it.
        """
        with self.connection.transaction():
            self.connection.sql.execute("INSERT INTO numbers VALUES (2, 4)")
        self.assertEqual(self.numbers(), [(2, 4)])

    def test_roll_back(self) -> None:
        """
        A block that fails leaves nothing, and the next one works.
        """
        with self.assertRaises(ZeroDivisionError):
            with self.connection.transaction():
                self.connection.sql.execute("INSERT INTO numbers VALUES (2, 4)")
                raise ZeroDivisionError
        with self.assertRaises(StoreError):
            with self.connection.transaction():
                self.connection.sql.execute("INSERT INTO numbers VALUES (3, 9)")
                self.connection.sql.execute("INSERT INTO numbers VALUES (3, 9)")
        self.assertEqual(self.numbers(), [])
        with self.connection.transaction():
            self.connection.sql.execute("INSERT INTO numbers VALUES (2, 4)")
        self.assertEqual(self.numbers(), [(2, 4)])

    def test_synced(self) -> None:
        """
        Each transaction chooses whether it waits for the disk.
        """
        chosen = []
        for synced in (False, True, True, False, True):
            with self.connection.transaction(synced=synced):
                chosen.append(self.connection.sql.execute("PRAGMA synchronous").fetchone()[0])
        self.assertEqual(chosen, [1, 2, 2, 1, 2])

    def test_read_only(self) -> None:
        """
        A connection for reading cannot write.
        """
        reader = Connection(self.connection.path, cache_kib=100)
        self.addCleanup(reader.close)
        reader.read_only()
        with self.assertRaises(StoreError), translated(reader.path):
            reader.sql.execute("INSERT INTO numbers VALUES (2, 4)")

    def test_full(self) -> None:
        """
        A database that cannot grow says so; what was there is still there, and it goes on with more room.
        """
        pages = self.connection.sql.execute("PRAGMA page_count").fetchone()[0]
        self.connection.sql.execute(f"PRAGMA max_page_count = {pages}")
        rows = [(number, number) for number in range(10000)]
        with self.assertRaises(StoreFull):
            with self.connection.transaction():
                self.connection.insert("INSERT INTO numbers (number, square) VALUES", rows)
        self.assertEqual(self.numbers(), [])
        self.connection.sql.execute("PRAGMA max_page_count = 1000000")
        with self.connection.transaction():
            self.connection.insert("INSERT INTO numbers (number, square) VALUES", rows)
        self.assertEqual(len(self.numbers()), 10000)

    def test_begun_early(self) -> None:
        """
        A transaction that was begun early is the next one. Meanwhile others read what was committed; and whatever cannot be
        done inside a transaction can be done all the same.
        """
        reader = Connection(self.connection.path, cache_kib=100)
        self.addCleanup(reader.close)
        statements: list[str] = []
        for number in (2, 3):
            with self.connection.transaction(synced=True):
                self.connection.sql.execute("INSERT INTO numbers VALUES (?, ?)", (number, number * number))
            self.connection.begin_early()
            self.assertEqual(reader.sql.execute("SELECT COUNT(*) FROM numbers").fetchone(), (number - 1,))
            self.connection.sql.set_trace_callback(statements.append)
        self.connection.sql.set_trace_callback(None)
        self.assertEqual(statements, ["INSERT INTO numbers VALUES (3, 9)", "COMMIT", "BEGIN IMMEDIATE"])
        with self.connection.transaction():
            self.connection.sql.execute("INSERT INTO numbers VALUES (4, 16)")
        with self.connection.transaction(synced=True):
            pass
        self.connection.begin_early()
        self.connection.checkpoint()
        self.assertEqual(self.numbers(), [(2, 4), (3, 9), (4, 16)])

    def test_not_begun_early(self) -> None:
        """
        Where transactions do not wait for the disk, or another program is writing, nothing is begun.
        """
        self.connection.begin_early()
        self.assertFalse(self.connection.sql.in_transaction)
        with self.connection.transaction(synced=True):
            pass
        other = Connection(self.connection.path, cache_kib=100)
        self.addCleanup(other.close)
        other.sql.execute("BEGIN IMMEDIATE")
        self.connection.sql.execute("PRAGMA busy_timeout = 0")
        self.connection.begin_early()
        self.assertFalse(self.connection.sql.in_transaction)

    def test_long_journal(self) -> None:
        """
        The write-ahead log gets its length bit by bit, in advance, and transactions go into what is there.
        """
        with self.connection.transaction():
            self.connection.sql.execute("INSERT INTO numbers VALUES (2, 4)")
        lengths = []
        done = False
        while not done:
            done = self.connection.lengthen_journal()
            lengths.append(os.path.getsize(self.connection.path + "-wal"))
        self.assertEqual(lengths, sorted(set(lengths)))
        self.assertEqual(lengths[-1], WAL_BYTES)
        self.assertTrue(self.connection.lengthen_journal())
        with self.connection.transaction(synced=True):
            self.connection.sql.execute("INSERT INTO numbers VALUES (3, 9)")
        self.assertEqual(os.path.getsize(self.connection.path + "-wal"), WAL_BYTES)
        self.assertEqual(self.numbers(), [(2, 4), (3, 9)])

    def test_killed_with_a_long_journal(self) -> None:
        """
        What was committed to a write-ahead log with room behind it is there after the process was killed.
        """
        with self.connection.transaction():
            self.connection.sql.execute("INSERT INTO numbers VALUES (2, 4)")
        self.connection.lengthen_journal()
        with self.connection.transaction(synced=True):
            self.connection.sql.execute("INSERT INTO numbers VALUES (3, 9)")
        left = self.mktemp()
        for end in ("", "-wal"):
            shutil.copyfile(self.connection.path + end, left + end)
        again = Connection(left, cache_kib=100)
        self.addCleanup(again.close)
        self.assertEqual(again.sql.execute("SELECT number, square FROM numbers").fetchall(), [(2, 4), (3, 9)])
        self.assertEqual(again.sql.execute("PRAGMA integrity_check").fetchall(), [("ok",)])

    def test_no_room_for_a_long_journal(self) -> None:
        """
        A write-ahead log that cannot be made longer, or is not there, stays as it is.
        """
        in_memory = Connection(":memory:", cache_kib=100)
        self.addCleanup(in_memory.close)
        self.assertTrue(in_memory.lengthen_journal())


class StoreErrorTests(SynchronousTestCase):
    """
    Sentences for codes.
    """

    def coded(self, code: int) -> sqlite3.Error:
        """
        An error as SQLite reports it.
        """
        error = sqlite3.OperationalError("words of SQLite")
        error.sqlite_errorcode = code
        return error

    def test_sentences(self) -> None:
        """
        Each error names the file, says what is wrong, and quotes SQLite.
        """
        for code, words in (
            (sqlite3.SQLITE_CORRUPT, "is damaged"),
            (sqlite3.SQLITE_CORRUPT_VTAB, "is damaged"),
            (sqlite3.SQLITE_NOTADB, "is damaged"),
            (sqlite3.SQLITE_BUSY, "Another program"),
            (sqlite3.SQLITE_READONLY, "cannot be written"),
            (sqlite3.SQLITE_CANTOPEN, "cannot be opened"),
            (sqlite3.SQLITE_IOERR_READ, "fails"),
        ):
            message = str(store_error(self.coded(code), "FILE"))
            self.assertIn(words, message)
            self.assertIn("FILE", message)
            self.assertIn("words of SQLite", message)

    def test_full(self) -> None:
        """
        No room looks in several ways.
        """
        for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
            self.assertIsInstance(store_error(self.coded(code), "FILE"), StoreFull)

    def test_ours(self) -> None:
        """
        What is told already stays.
        """
        error = StoreFull("No room.")
        self.assertIs(store_error(error, "FILE"), error)
