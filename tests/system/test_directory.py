"""
Data directories that cannot be used, through the real command: one sentence each, and nothing is changed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.system.support import PATIENCE, SETTINGS, SystemTestCase, environment

DATABASE = "p2panda.sqlite3"
CANNOT_BE_USED = 3
WRONG_USAGE = 2
COMMANDS = (("chat",), ("publish", "0" * 64, "hello"), ("topic", "list"))


class DirectoryTests(SystemTestCase):
    """
    A user who reads the sentence knows what to do.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = self.home / "data"
        self.data.mkdir(parents=True, mode=0o700)
        (self.data / "p2panda.toml").write_text(SETTINGS.format(port=0))

    def run_command(self, *arguments: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        """
        Run C{p2panda} to its end.
        """
        return subprocess.run(
            [sys.executable, "-m", "p2panda_tw.cli", "--data", str(data or self.data), *arguments],
            input="",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**environment(), "COLUMNS": "10000"},
        )

    def assert_sentence(self, *expected: str, code: int, commands: Sequence[Sequence[str]] = COMMANDS) -> None:
        """
        Whatever needs the store says the same sentence.
        """
        for arguments in commands:
            ended = self.run_command(*arguments)
            self.assertEqual((ended.returncode, ended.stdout), (code, ""), ended)
            (sentence,) = ended.stderr.splitlines()
            for part in expected:
                self.assertIn(part, sentence)
            self.assertNotIn("Traceback", sentence)
            self.assertIn(sentence[-1], ".?")

    def make_store(self) -> Path:
        """
        @return: A database with something in it.
        """
        made = self.run_command("topic", "new", "mine")
        self.assertEqual(made.returncode, 0, made)
        return self.data / DATABASE

    def contents(self) -> dict[str, str]:
        """
        @return: A digest of each file that holds data.
        """
        files = (path for path in self.data.iterdir() if path.is_file() and path.name != "lock")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def test_two_processes(self) -> None:
        """
        The second process on a data directory says that there is another one, which goes on undisturbed.
        """
        node = self.node("busy")
        topic = node.ask("topic")["topic"]
        ended = self.run_command("chat", data=node.data)
        self.assertEqual((ended.returncode, ended.stdout), (CANNOT_BE_USED, ""), ended)
        (sentence,) = ended.stderr.splitlines()
        self.assertIn(f"(pid {node.process.pid})", sentence)
        self.assertIn("--data", sentence)
        node.ask("publish", topic=topic, count=1, size=10)
        node.end()
        self.assert_no_traces(node)

    def test_newer(self) -> None:
        """
        A database of a later release is left alone.
        """
        path = self.make_store()
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 999")
        database.commit()
        database.close()
        before = self.contents()
        self.assert_sentence(str(path), "newer", code=CANNOT_BE_USED)
        self.assertEqual(self.contents(), before)

    def test_older(self) -> None:
        """
        A database of an earlier release is brought up to date, and the user learns once where the copy of the old one is.
        """
        path = self.make_store()
        database = sqlite3.connect(path)
        database.execute("DROP VIEW heads")
        database.execute("PRAGMA user_version = 1")
        database.commit()
        database.close()
        first, second = (self.run_command("topic", "list", data=self.data) for _ in range(2))
        self.assertEqual((first.returncode, second.returncode), (0, 0), first)
        (sentence,) = first.stderr.splitlines()
        self.assertIn(f"{path}.backup-v1", sentence)
        self.assertEqual(second.stderr, "")

    def test_foreign(self) -> None:
        """
        So is a database of another program.
        """
        path = self.make_store()
        path.unlink()
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE recipes (name TEXT)")
        database.execute("INSERT INTO recipes VALUES ('bread')")
        database.commit()
        database.close()
        before = self.contents()
        self.assert_sentence(str(path), code=CANNOT_BE_USED)
        self.assertEqual(self.contents(), before)

    def test_no_database(self) -> None:
        """
        And a file that is none.
        """
        path = self.make_store()
        path.write_bytes(b"These are my notes. " * 1000)
        before = self.contents()
        self.assert_sentence(str(path), code=CANNOT_BE_USED)
        self.assertEqual(self.contents(), before)

    def test_damaged(self) -> None:
        """
        A damaged database is not repaired by force; the sentence says what can be done.
        """
        path = self.make_store()
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
        before = self.contents()
        self.assert_sentence(str(path), "damaged", "backup", code=CANNOT_BE_USED)
        self.assertEqual(self.contents(), before)

    def test_truncated(self) -> None:
        """
        Neither is one whose end is missing.
        """
        path = self.make_store()
        path.write_bytes(path.read_bytes()[:5000])
        before = self.contents()
        self.assert_sentence(str(path), "damaged", code=CANNOT_BE_USED)
        self.assertEqual(self.contents(), before)

    def test_configuration(self) -> None:
        """
        A mistake in the settings is told with its key, and with what would be right.
        """
        for text, *expected in (
            ('durabilty = "full"', "durabilty", "durability"),
            ('durability = "slow"', "durability", "full", "fast"),
            ('[tls]\nlisten = "here"', "tls.listen", "0.0.0.0:4242"),
            ("[tls]\nlisten = 7", "tls.listen"),
            ("[iroh]\nenabled = 1", "iroh.enabled", "true"),
            ('[[topic]]\nid = "abc"', "topic", "id"),
            ('[[peer]]\nticket = "p2panda1abc"', "peer", "ticket"),
            ("durability = ", "p2panda.toml"),
        ):
            (self.data / "p2panda.toml").write_text(text + "\n")
            self.assert_sentence(*expected, code=WRONG_USAGE, commands=[["chat"]])

    def test_port_in_use(self) -> None:
        """
        A port that another program has is named, with its key.
        """
        node = self.node("busy")
        port = node.ask("topic") and next(
            line.split(":")[1].strip('"') for line in (node.data / "p2panda.toml").read_text().split() if ":" in line
        )
        (self.data / "p2panda.toml").write_text(SETTINGS.format(port=port))
        ended = self.run_command("chat")
        self.assertEqual((ended.returncode, ended.stdout), (WRONG_USAGE, ""), ended)
        (sentence,) = ended.stderr.splitlines()
        self.assertIn("[tls] listen", sentence)
        self.assertIn(port, sentence)

    def test_identity_for_all(self) -> None:
        """
        An identity that others can read is refused, and says how to put that right.
        """
        self.make_store()
        (self.data / "identity").chmod(0o644)
        before = self.contents()
        ended = self.run_command("chat")
        self.assertEqual((ended.returncode, ended.stdout), (WRONG_USAGE, ""), ended)
        (sentence,) = ended.stderr.splitlines()
        self.assertIn("chmod", sentence)
        self.assertEqual(self.contents(), before)
