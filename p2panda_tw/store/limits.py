"""
What the store allows, and how much it does at a time.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BATCH_BYTES",
    "BATCH_OPERATIONS",
    "BUSY_TIMEOUT_MS",
    "CHECKPOINT_PAGES",
    "CHECKPOINT_PAGES_SYNCED",
    "CURSOR_DELAY",
    "CURSOR_RETRY",
    "DELETE_CHUNK",
    "GAP_TOPIC_BYTES",
    "GAP_TOPIC_OPERATIONS",
    "GAP_TOTAL_BYTES",
    "HEADS",
    "LARGE_BODY",
    "MAX_BODY",
    "MAX_LOGS",
    "MAX_PEERS",
    "OBJECT_BYTES",
    "PAGE_BYTES",
    "PAGE_HOLES",
    "PAGE_OPERATIONS",
    "READERS",
    "READER_CACHE_KIB",
    "RING_BYTES",
    "RING_OPERATIONS",
    "RING_TOTAL_BYTES",
    "TRANSACTION_BYTES",
    "TRANSACTION_OPERATIONS",
    "TRANSACTION_SECONDS",
    "WAL_BYTES",
    "WAL_KEPT_BYTES",
    "WAL_PIECE",
    "WRITER_CACHE_KIB",
]

MAX_BODY: Final = 16 * 1024 * 1024
"""
Longest body of an operation, in bytes: a few of them must fit into memory at the same time.
"""

MAX_LOGS: Final = 50_000
"""
How many authors a topic takes. With a few more our C{Have} would have more than 4 MiB, and nobody would sync with us.
"""

MAX_PEERS: Final = 4096
"""
How many nodes are remembered with their addresses. Those that were never reached, or the longest time ago, go first.
"""

LARGE_BODY: Final = 64 * 1024
"""
Bodies of more bytes are not handed to SQLite, and not taken from it, as values in statements, because it copies those.
"""

BATCH_OPERATIONS: Final = 256
BATCH_BYTES: Final = 1024 * 1024
"""
How much a session should hand over at once. More is taken, too; it delays others.
"""

TRANSACTION_OPERATIONS: Final = 1024
TRANSACTION_BYTES: Final = 4 * 1024 * 1024
TRANSACTION_SECONDS: Final = 0.02
"""
No further batch joins a transaction that has reached one of these: whoever publishes waits for one transaction.
"""

HEADS: Final = 16384
"""
How many logs have their tip in memory, about 600 bytes each. Others are read when needed.
"""

GAP_TOPIC_OPERATIONS: Final = 512
GAP_TOPIC_BYTES: Final = 2 * 1024 * 1024
GAP_TOTAL_BYTES: Final = 4 * 1024 * 1024
"""
How much may wait for a predecessor. What finds no room is fetched again by a catch-up.
"""

OBJECT_BYTES: Final = 1024
"""
What the objects around an operation take in memory, in bytes, roughly.
"""

RING_OPERATIONS: Final = 4096
RING_BYTES: Final = 4 * 1024 * 1024
"""
How much of the newest of a topic is kept in memory for those who follow it.
"""

RING_TOTAL_BYTES: Final = 8 * 1024 * 1024
"""
What the rings of all topics take together, the objects around the operations included. Beyond it the fullest is halved.
"""

PAGE_OPERATIONS: Final = 256
PAGE_BYTES: Final = 1024 * 1024
"""
How much one page of operations brings, if nothing else is asked for. One operation comes at least.
"""

PAGE_HOLES: Final = 16384
"""
How many arrival numbers one page looks at. What was pruned leaves holes, and a reader thread is to be free again soon.
"""

DELETE_CHUNK: Final = 2000
"""
How many rows are deleted in one go, about 10 ms.
"""

CURSOR_DELAY: Final = 0.1
"""
How long a cursor that moved may wait to be written, in seconds. Losing it means to see some operations twice.
"""

CURSOR_RETRY: Final = 5.0
"""
How long cursors wait after they could not be written, in seconds.
"""

READERS: Final = 2
"""
How many threads read.
"""

WRITER_CACHE_KIB: Final = 8192
READER_CACHE_KIB: Final = 2048
"""
Memory for pages of the database, per thread. (Mapping the file instead makes the process grow with what is read.)
"""

CHECKPOINT_PAGES: Final = 2000
CHECKPOINT_PAGES_SYNCED: Final = 250
"""
How many pages of 4 KiB the write-ahead log takes before they are moved into the database; the second where transactions
wait for the disk, so that they seldom have to move much.
"""

WAL_BYTES: Final = CHECKPOINT_PAGES_SYNCED * (4096 + 24)
"""
About the length that the write-ahead log has before each of these: pages with their heads.
"""

WAL_PIECE: Final = 512 * 1024
"""
How much of that is written at once in advance.
"""

WAL_KEPT_BYTES: Final = 32 * 1024 * 1024
"""
A write-ahead log that had to grow is cut down to this.
"""

BUSY_TIMEOUT_MS: Final = 5000
"""
How long to wait for somebody else's lock on the database, as upstream does.
"""
