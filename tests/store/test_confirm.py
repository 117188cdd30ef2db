"""
A start with a lost, restored or foreign store is noticed before anything is published.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from p2panda_tw.store.lock import LOCK_NAME
from p2panda_tw.store.service import Store
from tests.store.logs import StoreTestCase, signing_key


class MustConfirmTests(StoreTestCase):
    """
    When our own logs may be longer elsewhere.
    """

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "p2panda.sqlite3"

    def start(self, **options: Any) -> bool:
        """
        Start once and stop again.

        @return: What the store said.
        """
        store = self.open_store(str(self.path), **options)
        self.successResultOf(store.close())
        return store.must_confirm

    def test_first_start(self) -> None:
        """
        A new identity in a new directory has nothing to confirm, nor later.
        """
        self.assertEqual([self.start(new_identity=True), self.start(), self.start()], [False, False, False])

    def test_database_lost(self) -> None:
        """
        An identity without its database has.
        """
        self.start(new_identity=True)
        self.path.unlink()
        self.assertTrue(self.start())

    def test_directory_lost(self) -> None:
        """
        So has one that was put into an empty directory.
        """
        self.assertTrue(self.start())

    def test_older_copy(self) -> None:
        """
        A database that was restored from a backup is recognised: it was opened less often than the lock remembers.
        """
        self.start(new_identity=True)
        backup = self.directory / "backup"
        shutil.copy(self.path, backup)
        self.assertFalse(self.start())
        shutil.copy(backup, self.path)
        self.assertTrue(self.start())

    def test_other_database(self) -> None:
        """
        So is another database.
        """
        self.start(new_identity=True)
        other = self.directory / "other"
        self.path.rename(other)
        self.start(new_identity=True)
        other.rename(self.path)
        self.assertTrue(self.start())

    def test_lock_lost(self) -> None:
        """
        Without the lock's memory nothing is sure.
        """
        self.start(new_identity=True)
        (self.directory / LOCK_NAME).unlink()
        self.assertTrue(self.start())

    def test_killed_between(self) -> None:
        """
        A process that was killed after the database counted its start, before the lock did, is no reason.
        """
        self.start(new_identity=True)
        remembered = (self.directory / LOCK_NAME).read_bytes()
        self.start()
        (self.directory / LOCK_NAME).write_bytes(remembered)
        self.assertFalse(self.start())

    def test_other_identity(self) -> None:
        """
        Another identity on the same database is, unless it was made just now.
        """
        self.start(new_identity=True)
        self.assertFalse(self.start(signing_key=signing_key(8), new_identity=True))
        self.assertTrue(self.start(signing_key=signing_key(9)))

    def test_imported(self) -> None:
        """
        So is an identity that was in use elsewhere, also on a database that knows it.
        """
        self.start(new_identity=True)
        self.assertTrue(self.start(imported=True))

    def test_until_confirmed(self) -> None:
        """
        It stays so over restarts, until it is confirmed.
        """
        self.assertEqual([self.start(), self.start()], [True, True])
        store = self.open_store(str(self.path))
        self.successResultOf(store.confirm_own_logs())
        self.assertFalse(store.must_confirm)
        self.successResultOf(store.close())
        self.assertFalse(self.start())

    def test_in_memory(self) -> None:
        """
        A store in memory begins anew each time and asks for nothing.
        """
        self.assertFalse(self.store.must_confirm)

    def test_restart_of_service(self) -> None:
        """
        A store that is stopped and started again in the same process asks for nothing new.
        """
        store: Store = self.open_store(str(self.path), new_identity=True)
        self.successResultOf(store.close())
        self.successResultOf(store.open())
        self.assertFalse(store.must_confirm)
