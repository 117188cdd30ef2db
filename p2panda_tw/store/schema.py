# -*- test-case-name: tests.store.test_schema -*-
"""
The database file: is it ours, is it whole, is it of this version; make it, or bring it up to date.

C{schema/} holds one script per version, C{0001.sql}, C{0002.sql} and so on; each makes its version out of the one
before. A new file runs all of them. An older file is copied to C{<file>.backup-v<its version>} first. The version is
SQLite's C{user_version}; C{application_id} says that the file is ours.

A file that is not right is told in a sentence and left as it is. Whether it is right is found out from its first bytes
and its schema: reading all of it would take minutes for a large store. Damage further inside shows when it is read.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from p2panda_tw.errors import StoreError
from p2panda_tw.store.connection import Connection, translated
from p2panda_tw.store.limits import WRITER_CACHE_KIB

__all__ = ["APPLICATION_ID", "IN_MEMORY", "OpenedDatabase", "open_database", "schema_scripts"]

APPLICATION_ID: Final = int.from_bytes(b"p2tw", "big")
"""
Says that a SQLite file is ours.
"""

IN_MEMORY: Final = ":memory:"
"""
Path of a database that is gone when it is closed.
"""

_MAGIC: Final = b"SQLite format 3\0"
_FILE_HEADER: Final = 100
_PAGE_SIZE: Final = slice(16, 18)
_PAGE_COUNT: Final = slice(28, 32)
_USER_VERSION: Final = slice(60, 64)
_APPLICATION_ID: Final = slice(68, 72)


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """
    A database that is right and up to date.

    @ivar connection: For the writing thread.
    @ivar created: It did not exist before.
    @ivar upgraded_from: The version it had, if it was another.
    @ivar backup: Where it was copied to before that.
    """

    connection: Connection
    created: bool
    upgraded_from: int | None
    backup: str | None


def schema_scripts() -> Traversable:
    """
    @return: The directory with the scripts of this program.
    """
    return resources.files("p2panda_tw.store") / "schema"


def open_database(path: str, scripts: Traversable) -> OpenedDatabase:
    """
    Open, make or upgrade a database.

    @param path: Its file, or L{IN_MEMORY}.
    @param scripts: A directory with a script per version.

    @raise StoreError: It is not a database, not ours, newer than this program, or damaged. Nothing was changed.
    """
    versions = _read_scripts(scripts)
    with translated(path):
        created = path == IN_MEMORY or _is_new(path, len(versions))
    connection = Connection(path, cache_kib=WRITER_CACHE_KIB, any_thread=path == IN_MEMORY)
    try:
        with translated(path):
            return _prepare(connection, versions, created)
    except BaseException:
        connection.close()
        raise


def _prepare(connection: Connection, versions: list[str], created: bool) -> OpenedDatabase:
    sql = connection.sql
    upgraded_from = backup = None
    version: int = sql.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not _columns(sql):
        created = True  # or the start that made the file was killed
    if created:
        _run(sql, versions, 0)
        connection.write_ahead()
    else:
        _check_version(connection.path, version, len(versions))
        connection.write_ahead()
        connection.checkpoint()
        _check_size(connection)
        if version < len(versions):
            _check_tables(connection, versions[:version])
            backup = _back_up(connection, version)
            _run(sql, versions, version)
            connection.checkpoint()
            upgraded_from = version
    _check_tables(connection, versions)
    return OpenedDatabase(connection, created, upgraded_from, backup)


def _read_scripts(scripts: Traversable) -> list[str]:
    names = sorted(entry.name for entry in scripts.iterdir() if entry.name.endswith(".sql"))
    if names != [f"{number:04}.sql" for number in range(1, len(names) + 1)]:
        raise StoreError(f"The schema scripts of this program are not complete: {', '.join(names)}.")
    return [(scripts / name).read_text(encoding="utf-8") for name in names]


def _is_new(path: str, newest: int) -> bool:
    """
    Look at the first bytes of the file, before SQLite does: opening a database may already write to it.

    @return: There is nothing yet. An empty file was made, which only its owner can read: topics are secrets.

    @raise StoreError: There is something that cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "rb") as file:
        head = file.read(_FILE_HEADER)
    if not head:
        return True
    if not head.startswith(_MAGIC):
        raise StoreError(f"The file {path} is not a database, or it is damaged. It was left as it is.")
    if len(head) < _FILE_HEADER or (not _has_log(path) and os.path.getsize(path) < _declared_size(head)):
        raise StoreError(f"The database {path} is damaged: it was cut off. It was left as it is.")
    if int.from_bytes(head[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise StoreError(f"The database {path} belongs to another program. It was left as it is.")
    version = int.from_bytes(head[_USER_VERSION], "big")
    if version:
        _check_version(path, version, newest)
    return False


def _has_log(path: str) -> bool:
    """
    @return: Something of the database is in a journal beside it, so that its own length says little.
    """
    return any(os.path.exists(path + end) and os.path.getsize(path + end) > 0 for end in ("-wal", "-journal"))


def _declared_size(head: bytes) -> int:
    """
    @return: How long the file says it is, in bytes.
    """
    page_size = int.from_bytes(head[_PAGE_SIZE], "big")
    return (65536 if page_size == 1 else page_size) * int.from_bytes(head[_PAGE_COUNT], "big")


def _check_version(path: str, version: int, newest: int) -> None:
    if version > newest:
        raise StoreError(
            f"The database {path} was written by a newer version of this program (schema {version}; this one knows"
            f" up to {newest}). It was left as it is."
        )
    if version < 1:
        raise StoreError(f"The database {path} has no version. It was left as it is.")


def _check_size(connection: Connection) -> None:
    """
    Everything is in the main file now, so that it must be as long as it says.
    """
    pages: int = connection.sql.execute("PRAGMA page_count").fetchone()[0]
    size: int = connection.sql.execute("PRAGMA page_size").fetchone()[0]
    if os.path.getsize(connection.path) < pages * size:
        raise StoreError(f"The database {connection.path} is damaged: it was cut off. It was left as it is.")


def _check_tables(connection: Connection, versions: list[str]) -> None:
    """
    Compare tables, views and columns with what the scripts make.
    """
    with closing(sqlite3.connect(IN_MEMORY, isolation_level=None)) as wanted:
        _run(wanted, versions, 0)
        if _columns(wanted) != _columns(connection.sql):
            raise StoreError(f"The database {connection.path} is damaged: its tables are not the ones of this program.")


def _columns(sql: sqlite3.Connection) -> list[tuple[str, str]]:
    query = """
        SELECT tables.name, columns.name
        FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
        WHERE tables.type IN ('table', 'view') AND tables.name NOT LIKE 'sqlite_%'
        ORDER BY tables.name, columns.cid
    """
    return sql.execute(query).fetchall()


def _run(sql: sqlite3.Connection, versions: list[str], done: int) -> None:
    """
    Run the scripts after C{done}, each in a transaction of its own.
    """
    for number, script in enumerate(versions[done:], done + 1):
        try:
            marks = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};"
            sql.executescript(f"BEGIN IMMEDIATE;\n{script}\n;{marks}\nCOMMIT;")
        except sqlite3.Error:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise


def _back_up(connection: Connection, version: int) -> str:
    """
    Copy the database beside itself. An older copy of that name stays.

    @return: Where the copy is.
    """
    name = f"{connection.path}.backup-v{version}"
    number = 1
    while True:
        target = name if number == 1 else f"{name}-{number}"
        try:
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            number += 1
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        connection.sql.backup(copy)
    return target
