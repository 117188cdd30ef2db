# -*- test-case-name: tests.store.test_service -*-
"""
Statements for what is small: the row about the database itself, settings, cursors, and peers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2panda_tw.core.identity import NodeId, verifying_key
from p2panda_tw.store.connection import Connection
from p2panda_tw.store.limits import MAX_PEERS
from p2panda_tw.store.records import PeerRecord

__all__ = [
    "Meta",
    "add_topic_peer",
    "forget_peer",
    "insert_meta",
    "read_cursor",
    "read_meta",
    "read_peers",
    "read_setting",
    "read_topic_peers",
    "remember_peer",
    "update_meta",
    "write_cursors",
    "write_setting",
]


@dataclass(slots=True)
class Meta:
    """
    What a database says of itself.

    @ivar database_id: 16 bytes, made with it.
    @ivar starts: How often it was opened.
    @ivar identity: Verifying key that published from here last.
    @ivar unconfirmed: Our own logs may be longer elsewhere: the start at which that was noticed last, else 0.
    """

    database_id: bytes
    starts: int
    identity: bytes | None
    unconfirmed: int


def read_meta(connection: Connection) -> Meta | None:
    """
    @return: C{None} in a new database.
    """
    row = connection.sql.execute("SELECT database_id, starts, identity, unconfirmed FROM meta").fetchone()
    return None if row is None else Meta(row[0], row[1], row[2], row[3])


def insert_meta(connection: Connection, meta: Meta) -> None:
    """
    Introduce a new database.
    """
    statement = "INSERT INTO meta (database_id, starts, identity, unconfirmed) VALUES (?, ?, ?, ?)"
    connection.sql.execute(statement, (meta.database_id, meta.starts, meta.identity, meta.unconfirmed))


def update_meta(connection: Connection, meta: Meta) -> None:
    """
    Say something else from now on.
    """
    statement = "UPDATE meta SET database_id = ?, starts = ?, identity = ?, unconfirmed = ?"
    connection.sql.execute(statement, (meta.database_id, meta.starts, meta.identity, meta.unconfirmed))


def read_setting(connection: Connection, key: str) -> str | None:
    """
    @return: The value, if there is one.
    """
    row = connection.sql.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def write_setting(connection: Connection, key: str, value: str | None) -> None:
    """
    @param value: C{None} removes it.
    """
    if value is None:
        connection.sql.execute("DELETE FROM settings WHERE key = ?", (key,))
    else:
        connection.sql.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))


def read_cursor(connection: Connection, topic_key: int, name: str) -> int:
    """
    @return: The arrival number, 0 if there is no such cursor.
    """
    query = "SELECT arrival FROM cursors WHERE topic_key = ? AND name = ?"
    row = connection.sql.execute(query, (topic_key, name)).fetchone()
    return 0 if row is None else int(row[0])


def write_cursors(connection: Connection, cursors: Iterable[tuple[int, str, int]]) -> None:
    """
    @param cursors: Topic key, name and arrival number of each.
    """
    statement = "INSERT OR REPLACE INTO cursors (topic_key, name, arrival) VALUES (?, ?, ?)"
    connection.sql.executemany(statement, cursors)


def remember_peer(connection: Connection, node_id: NodeId, addresses: bytes, last_success: int | None) -> None:
    """
    Add a peer, or replace its addresses.

    @param last_success: C{None} leaves what was noted before.
    """
    statement = """
        INSERT INTO peers (node_id, addresses, last_success) VALUES (?, ?, ?)
        ON CONFLICT (node_id) DO UPDATE
        SET addresses = excluded.addresses, last_success = coalesce(excluded.last_success, last_success)
    """
    connection.sql.execute(statement, (node_id.raw, addresses, last_success))
    surplus = connection.sql.execute("SELECT COUNT(*) FROM peers").fetchone()[0] - MAX_PEERS
    if surplus > 0:
        statement = """
            DELETE FROM peers WHERE node_id IN (
                SELECT node_id FROM peers WHERE node_id != ?
                ORDER BY last_success IS NOT NULL, last_success LIMIT ?
            )
        """
        connection.sql.execute(statement, (node_id.raw, surplus))


def forget_peer(connection: Connection, node_id: NodeId) -> None:
    """
    Remove a peer, and from all topics.
    """
    connection.sql.execute("DELETE FROM peers WHERE node_id = ?", (node_id.raw,))
    connection.sql.execute("DELETE FROM topic_peers WHERE node_id = ?", (node_id.raw,))


def read_peers(connection: Connection) -> list[PeerRecord]:
    """
    @return: All of them, those reached last first.
    """
    query = """
        SELECT node_id, addresses, last_success FROM peers
        ORDER BY last_success IS NULL, last_success DESC, node_id
    """
    rows = connection.sql.execute(query).fetchall()
    return [PeerRecord(verifying_key(node_id), addresses, last) for node_id, addresses, last in rows]


def add_topic_peer(connection: Connection, topic_key: int, node_id: NodeId) -> None:
    """
    Note that a node is interested in a topic.
    """
    statement = "INSERT OR IGNORE INTO topic_peers (topic_key, node_id) VALUES (?, ?)"
    connection.sql.execute(statement, (topic_key, node_id.raw))


def read_topic_peers(connection: Connection, topic_key: int) -> list[NodeId]:
    """
    @return: Who is interested in a topic, in the order of node ids.
    """
    query = "SELECT node_id FROM topic_peers WHERE topic_key = ? ORDER BY node_id"
    return [verifying_key(row[0]) for row in connection.sql.execute(query, (topic_key,)).fetchall()]
