"""
Database files: new ones, older ones, and those that are not right.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.topic import Form
from p2panda_tw.errors import StoreError
from p2panda_tw.store.schema import APPLICATION_ID, open_database, schema_scripts
from tests.store.logs import TOPIC, Log, StoreTestCase

NEWEST = sum(entry.name.endswith(".sql") for entry in schema_scripts().iterdir())
"""
The schema version of this program.
"""

LATER_VERSION = "ALTER TABLE topics ADD COLUMN colour TEXT NOT NULL DEFAULT 'green';\n"

OBVIOUS = {"topic_key", "log_key", "node_id", "value"}
"""
Columns that need no comment.
"""


class FileTestCase(StoreTestCase):
    """
    Has a directory, and a database file in it that was in use.
    """

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "p2panda.sqlite3"

    def fill(self) -> None:
        """
        Make a database with a few operations and close it.
        """
        store = self.open_store(str(self.path))
        self.successResultOf(store.add_topic(TOPIC, Form.NODE, "garden"))
        self.ingest(*Log().extend(300), store=store)
        self.successResultOf(store.close())

    def assert_refused(self, words: str) -> None:
        """
        The store does not open, says why in a sentence, and changes neither the file nor its directory.
        """
        before = (self.path.read_bytes(), sorted(os.listdir(self.directory)))
        error = self.assertRaises(StoreError, open_database, str(self.path), schema_scripts())
        self.assertIn(words, str(error))
        self.assertIn(str(self.path), str(error))
        self.assertEqual((self.path.read_bytes(), sorted(os.listdir(self.directory))), before)


class RightFileTests(FileTestCase):
    """
    What can be opened.
    """

    def test_again(self) -> None:
        """
        What was stored is there when the file is opened again, and goes on from there.
        """
        self.fill()
        store = self.open_store(str(self.path))
        [record] = self.successResultOf(store.topics())
        self.assertEqual((record.topic, record.form, record.name, record.newest), (TOPIC, Form.NODE, "garden", 300))
        self.assertEqual(len(self.stored(store=store)), 300)
        log = Log()
        log.extend(300)
        self.assertEqual(self.ingest(log.append(), store=store).operations[0].arrival, 301)

    def test_private(self) -> None:
        """
        Only its owner can read the file: topics are secrets.
        """
        self.fill()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_one_file(self) -> None:
        """
        After closing, everything is in one file beside the lock.
        """
        self.fill()
        self.assertEqual(sorted(os.listdir(self.directory)), ["lock", "p2panda.sqlite3"])

    def test_empty_file(self) -> None:
        """
        An empty file, as a start that was killed early leaves it, becomes a database.
        """
        self.path.touch()
        self.fill()
        self.assertEqual(len(self.stored(store=self.open_store(str(self.path)))), 300)

    def test_never_finished(self) -> None:
        """
        So does a database without any table.
        """
        with closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self.fill()

    def test_pragmas(self) -> None:
        """
        The database is in write-ahead mode.
        """
        self.fill()
        with closing(sqlite3.connect(self.path)) as database:
            self.assertEqual(database.execute("PRAGMA journal_mode").fetchone(), ("wal",))


class WrongFileTests(FileTestCase):
    """
    What is left alone.
    """

    def test_no_database(self) -> None:
        """
        A file that is not a database.
        """
        self.path.write_bytes(b"Dear diary, " * 100)
        self.assert_refused("is not a database")

    def test_foreign(self) -> None:
        """
        The database of another program.
        """
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("CREATE TABLE bookmarks (url TEXT)")
        self.assert_refused("belongs to another program")

    def test_newer(self) -> None:
        """
        A database that a newer version of this program wrote.
        """
        self.fill()
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("PRAGMA user_version = 1000")
        self.assert_refused("newer version")

    def test_cut_off(self) -> None:
        """
        A database of which the end is missing, anywhere.
        """
        self.fill()
        whole = self.path.read_bytes()
        for length in (len(whole) - 1, len(whole) // 2, 4096, 1000, 99, 20):
            self.path.write_bytes(whole[:length])
            self.assert_refused("damaged")

    def test_other_tables(self) -> None:
        """
        A database that calls itself ours, with other tables.
        """
        with closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute("PRAGMA user_version = 1")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE bookmarks (url TEXT)")
        self.assert_refused("damaged")

    def test_no_permission(self) -> None:
        """
        A place where no file can be made.
        """
        path = str(self.directory / "nowhere" / "p2panda.sqlite3")
        error = self.assertRaises(StoreError, open_database, path, schema_scripts())
        self.assertIn("cannot be opened", str(error))

    def test_overwritten_pages(self) -> None:
        """
        A page that was overwritten shows when it is read: each call fails in a sentence, and others go on.
        """
        self.fill()
        whole = bytearray(self.path.read_bytes())
        page = 4096
        for number in range(1, len(whole) // page):
            spoilt = bytearray(whole)
            spoilt[number * page : (number + 1) * page] = b"\xa5" * page
            self.path.write_bytes(spoilt)
            try:
                store = self.open_store(str(self.path))
            except self.failureException as error:
                self.assertIn("is damaged", str(error))
                continue
            for call in (
                store.page(TOPIC, 0),
                store.heights(TOPIC),
                store.ingest(TOPIC, Log().extend(301)),
                store.publish(TOPIC, b"x"),
                store.stats(),
            ):
                results: list[object] = []
                call.addBoth(results.append)
                [result] = results
                failure = getattr(result, "value", None)
                if failure is not None:
                    self.assertIsInstance(failure, StoreError)
                    self.assertIn("damaged", str(failure))
            self.successResultOf(store.close())


class UpgradeTests(FileTestCase):
    """
    A later version of this program, with one more script.
    """

    def setUp(self) -> None:
        super().setUp()
        self.scripts = self.directory / "scripts"
        self.scripts.mkdir()
        for number in range(1, NEWEST + 1):
            name = f"{number:04}.sql"
            (self.scripts / name).write_text((schema_scripts() / name).read_text())
        self.later = self.scripts / f"{NEWEST + 1:04}.sql"
        self.later.write_text(LATER_VERSION)
        self.backup = Path(f"{self.path}.backup-v{NEWEST}")

    def version(self, path: Path) -> int:
        """
        The schema version of a file.
        """
        with closing(sqlite3.connect(path)) as database:
            version: int = database.execute("PRAGMA user_version").fetchone()[0]
            return version

    def test_upgrade(self) -> None:
        """
        An older database is copied, then brought up to date; everything is still there, in both.
        """
        self.fill()
        with capturedLogs() as events:
            store = self.open_store(str(self.path), scripts=self.scripts)
        self.assertEqual(store.upgraded_from, NEWEST)
        [sentence] = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(
            sentence, f"The database {self.path} has got a new layout. A copy of the old one is {self.backup}."
        )
        self.assertEqual(len(self.stored(store=store)), 300)
        self.successResultOf(store.close())
        self.assertEqual((self.version(self.path), self.version(self.backup)), (NEWEST + 1, NEWEST))
        with closing(sqlite3.connect(self.path)) as database:
            self.assertEqual(database.execute("SELECT colour FROM topics").fetchall(), [("green",)])
        with closing(sqlite3.connect(self.backup)) as database:
            self.assertEqual(database.execute("SELECT COUNT(*) FROM operations").fetchone(), (300,))
        again = self.open_store(str(self.path), scripts=self.scripts)
        self.assertIsNone(again.upgraded_from)

    def test_first_version(self) -> None:
        """
        A database of the first version, which has no open rows of logs and no view of them.
        """
        self.fill()
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("DROP VIEW heads")
            database.execute("PRAGMA user_version = 1")
        store = self.open_store(str(self.path))
        self.assertEqual((store.upgraded_from, len(self.stored(store=store))), (1, 300))
        heights = self.successResultOf(store.heights(TOPIC)).heights
        self.assertEqual([list(logs.values()) for logs in heights.values()], [[299]])

    def test_damaged(self) -> None:
        """
        An older database with other tables is refused before anything is done to it.
        """
        self.fill()
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("DROP TABLE topic_peers")
        error = self.assertRaises(StoreError, open_database, str(self.path), self.scripts)
        self.assertIn("damaged", str(error))
        self.assertEqual((self.backup.exists(), self.version(self.path)), (False, NEWEST))

    def test_new_database(self) -> None:
        """
        A new database gets all versions at once, and no copy.
        """
        self.open_store(str(self.path), scripts=self.scripts)
        self.assertEqual(self.version(self.path), NEWEST + 1)
        self.assertFalse(self.backup.exists())

    def test_older_backup_stays(self) -> None:
        """
        A copy that is already there is not overwritten.
        """
        self.fill()
        self.backup.write_bytes(b"precious")
        self.open_store(str(self.path), scripts=self.scripts)
        self.assertEqual(self.backup.read_bytes(), b"precious")
        self.assertEqual(self.version(Path(f"{self.backup}-2")), NEWEST)

    def test_failing_script(self) -> None:
        """
        If a script fails, the database stays what it was, and the old program can still use it.
        """
        self.fill()
        self.later.write_text(LATER_VERSION + "INSERT INTO nowhere VALUES (1);")
        error = self.assertRaises(StoreError, open_database, str(self.path), self.scripts)
        self.assertIn("nowhere", str(error))
        self.assertEqual(len(self.stored(store=self.open_store(str(self.path)))), 300)

    def test_missing_script(self) -> None:
        """
        Scripts with a hole in their numbers are not used at all.
        """
        (self.scripts / f"{NEWEST + 3:04}.sql").write_text("")
        self.assertRaises(StoreError, open_database, str(self.path), self.scripts)
        self.assertFalse(self.path.exists())


class ScriptTests(SynchronousTestCase):
    """
    The scripts themselves.
    """

    def test_columns_are_explained(self) -> None:
        """
        Every table and column says what it is for, by its name or by a comment.
        """
        for entry in schema_scripts().iterdir():
            if not entry.name.endswith(".sql"):
                continue
            tables = re.sub(r"CREATE VIEW[^;]*;", "", entry.read_text())
            for line in tables.splitlines():
                if line.startswith("    ") and not line.strip().startswith(("PRIMARY KEY", "UNIQUE")):
                    self.assertTrue("--" in line or line.split()[0] in OBVIOUS, line)
