"""
Stores in processes of their own: killed, short of room, and two on one directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import IO

from twisted.trial.unittest import SkipTest

from p2panda_tw.core.topic import Form
from tests.store.child import BATCH
from tests.store.logs import TOPIC, Log, StoreTestCase

KILLS = 5
"""
How many times a process is killed.
"""


class ProcessTests(StoreTestCase):
    """
    What was reported as stored is stored.
    """

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = str(self.directory / "p2panda.sqlite3")

    def start(self, work: str, limit: int = 0) -> subprocess.Popen[str]:
        """
        Start a process, which ends with the test.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.child", str(self.directory), work, str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """
        Kill it, if it is still there.
        """
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def lines(self, process: subprocess.Popen[str]) -> IO[str]:
        """
        What it says.
        """
        assert process.stdout is not None  # it is a pipe
        return process.stdout

    def test_killed(self) -> None:
        """
        A process that is killed while it stores operations loses nothing of what it was told is stored, and the file needs
        no repair.
        """
        seed = int.from_bytes(os.urandom(4), "big")
        random = Random(seed)
        for _ in range(KILLS):
            self.directory = Path(self.mktemp())
            self.directory.mkdir()
            process = self.start("ingest")
            said = "".join(self.lines(process).readline() for _ in range(random.randrange(1, 30)))
            process.kill()
            reported = [int(line) for line in (said + self.lines(process).read()).splitlines()]
            store = self.open_store(str(self.directory / "p2panda.sqlite3"))
            count = len(self.stored(store=store))
            self.assertEqual(count % BATCH, 0, f"seed {seed}")
            self.assertGreaterEqual(count, max(reported, default=-1) + 1, f"seed {seed}")
            heights = self.successResultOf(store.heights(TOPIC)).heights
            self.assertEqual(heights, {Log().author: {Log().log_id: count - 1}} if count else {}, f"seed {seed}")
            self.successResultOf(store.close())

    def test_full_disk(self) -> None:
        """
        When files can grow no more, publishing fails and says so; what was stored is there; with more room it goes on at
        the next position.
        """
        if sys.platform == "win32":
            raise SkipTest("Windows cannot limit the size of files.")
        process = self.start("publish", limit=2_000_000)
        said = []
        while (line := self.lines(process).readline().strip()) != "full":
            said.append(int(line))
        self.assertEqual(said, list(range(len(said))))
        self.assertGreater(len(said), 5)
        assert process.stdin is not None  # it is a pipe
        process.stdin.write("more room\n")
        process.stdin.flush()
        self.assertEqual(int(self.lines(process).readline()), len(said))
        process.kill()
        process.wait()
        store = self.open_store(self.path)
        bodies = [operation.body for _, operation in self.stored(store=store)]
        self.assertGreaterEqual(len(bodies), len(said) + 1)
        self.assertEqual(set(bodies), {b"x" * 50000})

    def test_two_processes(self) -> None:
        """
        The second process on a directory gets one sentence; when the first one ends, however, the next one can open it.
        """
        first = self.start("hold")
        self.assertEqual(self.lines(first).readline(), "open\n")
        second = self.start("hold")
        said = self.lines(second).read()
        self.assertIn(f"StoreLocked: Another p2panda process (pid {first.pid}) uses {self.directory};", said)
        self.assertEqual(said.count("\n"), 1)
        first.kill()
        first.wait()
        third = self.start("hold")
        self.assertEqual(self.lines(third).readline(), "open\n")
        assert third.stdin is not None  # it is a pipe
        third.stdin.close()
        self.assertEqual(self.lines(third).readline(), "closed\n")
        store = self.open_store(self.path)
        self.successResultOf(store.add_topic(TOPIC, Form.NODE))
