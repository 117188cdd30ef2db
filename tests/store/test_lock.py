"""
The lock of a data directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import StoreError, StoreLocked
from p2panda_tw.store.lock import LOCK_NAME, DatabaseMark, DirectoryLock

MARK = DatabaseMark(bytes(range(16)), 7)


class DirectoryLockTests(SynchronousTestCase):
    """
    One process at a time.
    """

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)

    def lock(self) -> DirectoryLock:
        """
        Take it, until the end of the test at most.
        """
        lock = DirectoryLock(self.directory)
        self.addCleanup(lock.release)
        return lock

    def test_second(self) -> None:
        """
        Who comes second is told in a sentence who uses the directory, and what can be done.
        """
        self.lock()
        error = self.assertRaises(StoreLocked, DirectoryLock, self.directory)
        self.assertEqual(
            str(error),
            f"Another p2panda process (pid {os.getpid()}) uses {self.directory}; stop it, or use another directory with"
            " --data DIR.",
        )

    def test_other_process(self) -> None:
        """
        The same from another process.
        """
        self.lock()
        program = (
            "import sys\n"
            "from p2panda_tw.store.lock import DirectoryLock\n"
            "try: DirectoryLock(sys.argv[1])\n"
            "except Exception as error: print(type(error).__name__, error)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, self.directory],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.assertIn(f"StoreLocked Another p2panda process (pid {os.getpid()})", run.stdout)

    def test_release(self) -> None:
        """
        After it was released, also twice, the next one gets it.
        """
        lock = self.lock()
        lock.release()
        lock.release()
        self.lock()

    def test_remember(self) -> None:
        """
        What was remembered is there for the next one, until it is forgotten.
        """
        first = self.lock()
        self.assertIsNone(first.remembered)
        first.remember(MARK)
        first.release()
        second = self.lock()
        self.assertEqual(second.remembered, MARK)
        second.forget()
        second.release()
        self.assertIsNone(self.lock().remembered)

    def test_unreadable_content(self) -> None:
        """
        A lock file with anything else in it is as good as an empty one.
        """
        path = Path(self.directory, LOCK_NAME)
        for content in (b"\xff\0garbage", b"database 12\nstarts x\n", b"pid\n", b"x" * 10000):
            path.write_bytes(content)
            lock = self.lock()
            self.assertIsNone(lock.remembered)
            lock.remember(MARK)
            lock.release()
            self.assertEqual(path.read_text(), f"pid {os.getpid()}\ndatabase {MARK.database_id.hex()}\nstarts 7\n")

    def test_no_directory(self) -> None:
        """
        A directory that is not there is told in a sentence.
        """
        error = self.assertRaises(StoreError, DirectoryLock, os.path.join(self.directory, "nowhere"))
        self.assertIn("cannot be used", str(error))
