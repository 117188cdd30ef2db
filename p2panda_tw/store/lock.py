# -*- test-case-name: tests.store.test_lock -*-
"""
The lock of a data directory: one process at a time.

The file C{lock} stays where it is; what is taken is the operating system's lock on it, which ends with the process,
however it ends. Its content says who has it, and it remembers which database this directory had and how often that was
opened. A database that is not the remembered one, or an older copy of it, may lack operations of our own that others
have seen already.

::

    pid 4711
    database 5d1f0c3ad0dbb7ae3cb2dd4f3d6e7a10
    starts 12
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final

from p2panda_tw.errors import StoreError, StoreLocked

__all__ = ["LOCK_NAME", "DatabaseMark", "DirectoryLock"]

LOCK_NAME: Final = "lock"
"""
Name of the file in the data directory.
"""

_LONGEST: Final = 4096
_LOCKED_BYTE: Final = 1 << 30
"""
Windows locks bytes, and nobody else can read those: one far behind the content.
"""

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@dataclass(frozen=True, slots=True)
class DatabaseMark:
    """
    Which database, and when.

    @ivar database_id: 16 bytes, made with the database.
    @ivar starts: How often it was opened.
    """

    database_id: bytes
    starts: int


class DirectoryLock:
    """
    A data directory that is ours, from construction until L{release} or the end of the process.

    @ivar directory: Its path.
    @ivar remembered: The database that was opened here last, by an earlier process or this one.
    """

    def __init__(self, directory: str) -> None:
        """
        @param directory: An existing directory.

        @raise StoreLocked: Another process uses it.
        @raise StoreError: It cannot be used.
        """
        self.directory = directory
        path = os.path.join(directory, LOCK_NAME)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"The data directory {directory} cannot be used ({error}).") from error
        try:
            _take(descriptor)
        except OSError:
            entries = _read(descriptor)
            os.close(descriptor)
            who = f" (pid {entries['pid']})" if "pid" in entries else ""
            raise StoreLocked(
                f"Another p2panda process{who} uses {directory}; stop it, or use another directory with --data DIR."
            ) from None
        self._descriptor: int | None = descriptor
        self.remembered = _mark(_read(descriptor))
        self._write()

    def remember(self, mark: DatabaseMark) -> None:
        """
        Note which database is in use now.
        """
        self.remembered = mark
        self._write()

    def forget(self) -> None:
        """
        Note that whatever database is found here is not known to be complete: for who brings in an identity that has
        been in use elsewhere.
        """
        self.remembered = None
        self._write()

    def release(self) -> None:
        """
        Let others have the directory. Doing so twice is fine.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self) -> None:
        if self._descriptor is None:
            raise StoreError(f"The lock of {self.directory} was released.")
        lines = [f"pid {os.getpid()}"]
        if self.remembered is not None:
            lines += [f"database {self.remembered.database_id.hex()}", f"starts {self.remembered.starts}"]
        content = "".join(line + "\n" for line in lines).encode("ascii")
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, content)
            os.ftruncate(self._descriptor, len(content))
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(f"The lock of {self.directory} cannot be written ({error}).") from error


def _read(descriptor: int) -> dict[str, str]:
    """
    @return: What the file says, as far as it can be understood.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, _LONGEST).decode("ascii", "replace")
    entries = (line.split(" ", 1) for line in text.splitlines())
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}


def _mark(entries: dict[str, str]) -> DatabaseMark | None:
    try:
        return DatabaseMark(bytes.fromhex(entries["database"]), int(entries["starts"]))
    except (KeyError, ValueError):
        return None
