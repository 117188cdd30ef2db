# -*- test-case-name: tests.store.test_confirm -*-
"""
Are our own logs complete here? If the store was lost or is an older copy, others may have operations of ours that it
lacks. To publish then would use their positions a second time, which forks our log for good.

It is noticed at the start: an identity without a database, another identity than before, or a database that is not the
one which the lock of the data directory remembers, or has been opened less often. The note stays in the database until
somebody has compared our logs with another node's.
"""

from __future__ import annotations

import secrets

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.store.connection import Connection
from p2panda_tw.store.lock import DatabaseMark, DirectoryLock
from p2panda_tw.store.small_tables import Meta, insert_meta, read_meta, update_meta

__all__ = ["note_start"]


def note_start(
    connection: Connection,
    identity: VerifyingKey,
    lock: DirectoryLock | None,
    *,
    new_identity: bool,
    imported: bool = False,
) -> int:
    """
    Count the start, here and in the lock.

    @param lock: C{None}: nothing is remembered, and a new database is taken for a fresh start.
    @param new_identity: The identity was made just now, so that nobody has seen anything of it.
    @param imported: It was in use elsewhere.

    @return: If our own logs have to be confirmed before something is published, the number of the start at which that
        was noticed last; else 0.
    """
    meta = read_meta(connection)
    with connection.transaction(synced=True):
        if meta is None:
            lost = lock is not None and not new_identity
            meta = Meta(secrets.token_bytes(16), 1, identity.raw, int(lost or imported))
            insert_meta(connection, meta)
        else:
            changed = meta.identity != identity.raw
            unlike = lock is not None and not _is_remembered(meta, lock.remembered)
            if imported or (not new_identity and (changed or unlike)):
                meta.unconfirmed = meta.starts + 1
            meta.identity = identity.raw
            meta.starts += 1
            update_meta(connection, meta)
    if lock is not None:
        lock.remember(DatabaseMark(meta.database_id, meta.starts))
    return meta.unconfirmed


def _is_remembered(meta: Meta, mark: DatabaseMark | None) -> bool:
    """
    One start more than remembered is right, too: that process was killed before it could write the lock.
    """
    return mark is not None and meta.database_id == mark.database_id and meta.starts - mark.starts in (0, 1)
