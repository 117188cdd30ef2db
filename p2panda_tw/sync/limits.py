# -*- test-case-name: tests.sync.test_limits -*-
"""
Every limit of sync, with its unit and its reason. What comes from p2panda 0.7.1 says so or names the Rust file;
what is marked "ours" is a decision of this implementation and changes no byte on the wire.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BACKOFF_CAP",
    "BACKOFF_START",
    "BATCH_BYTES",
    "BATCH_OPERATIONS",
    "CLOSE_GRACE",
    "GAP_PATIENCE",
    "HANDSHAKE_TIMEOUT",
    "HEIGHT_BYTES",
    "HELD_BYTES",
    "INITIATE_PATIENCE",
    "IN_STORE_BYTES",
    "LARGE_PAGE",
    "MAX_FRAME",
    "MAX_HANDSHAKE_PAYLOAD",
    "MAX_HAVE",
    "MAX_HAVE_ENTRIES",
    "MAX_IDLE_PEERS",
    "MAX_PAYLOAD",
    "MAX_SESSIONS",
    "MAX_SESSIONS_PER_PEER",
    "MAX_SPANS",
    "OPENING_BYTES",
    "OPENING_PEER_BYTES",
    "PAGE_BYTES",
    "PAGE_OPERATIONS",
    "PROGRESS_BYTES",
    "PROGRESS_EVENT_INTERVAL",
    "PROGRESS_INTERVAL",
    "PROTOCOL_ID",
    "SEND_BYTES",
    "SEND_LARGE_BYTES",
    "SEND_PATIENCE",
    "SEND_PEER_BYTES",
    "SEND_RATE",
    "WRITE_BYTES",
    "WRITE_PATIENCE",
]

PROTOCOL_ID: Final = b"p2panda/log_sync/v1"
"""
The name of the protocol (p2panda-net/src/sync/log_sync/mod.rs).
"""

MAX_FRAME: Final = 128 * 1024 * 1024
"""
The longest payload of a frame, in bytes (p2panda-net/src/codec.rs). Longer ones end the session.
"""

MAX_PAYLOAD: Final = 16 * 1024 * 1024 + 64 * 1024
"""
The longest payload that is taken into memory, in bytes: an operation of 16 MiB and room for its header (ours). The rest
of a longer one is thrown away as it arrives.
"""

MAX_HANDSHAKE_PAYLOAD: Final = 64
"""
The longest payload in the topic handshake, in bytes (ours; a topic takes 34).
"""

MAX_HAVE: Final = 4 * 1024 * 1024
"""
The longest C{Have}, in bytes (ours): 60,000 authors with one log each.
"""

MAX_HAVE_ENTRIES: Final = MAX_HAVE // 32
"""
How many authors and logs a C{Have} may list together (ours). With numbers as log ids an entry can take two bytes, and
far more in memory.
"""

HEIGHT_BYTES: Final = 400
"""
What the height of a log takes in memory during catch-up, in bytes, roughly (measured).
"""

OPENING_BYTES: Final = 16 * 1024 * 1024
OPENING_PEER_BYTES: Final = 1024 * 1024
"""
How many bytes of heights all sessions have, and those with one peer, before further ones have to wait (ours): a peer
begins a single catch-up at a time if a topic has more than two thousand authors.
"""

BATCH_OPERATIONS: Final = 256
"""
How many operations at most go to the store in one batch (ours).
"""

BATCH_BYTES: Final = 1024 * 1024
"""
How many bytes of operations at most go to the store in one batch, unless a single one has more (ours).
"""

PAGE_OPERATIONS: Final = 512
"""
How many operations are read from the store at once for sending (ours).
"""

PAGE_BYTES: Final = 128 * 1024
"""
How many bytes of operations are read from the store at once for sending, unless a single one has more (ours).
"""

LARGE_PAGE: Final = 2 * PAGE_BYTES
"""
A page of more bytes is a large operation, and waits for its turn (ours).
"""

SEND_BYTES: Final = 4 * 1024 * 1024
SEND_PEER_BYTES: Final = 1024 * 1024
"""
How many bytes of small pages wait to be sent, in all and to one peer, before no more are loaded (ours).
"""

SEND_LARGE_BYTES: Final = 4 * 1024 * 1024
"""
How many bytes of large pages wait to be sent, unless a single one has more (ours).
"""

SEND_PATIENCE: Final = 10.0
SEND_RATE: Final = 64 * 1024
"""
If others have to wait for it a page is sent in so many seconds, and one more for each so many bytes (ours).
"""

WRITE_BYTES: Final = 64 * 1024
"""
About how many bytes go into one write (ours): enough for the transport to be busy, little enough to take turns.
"""

MAX_SPANS: Final = 1024
"""
How many stretches of arrival numbers a session remembers as known to its peer (ours). Beyond that the oldest is
forgotten, which costs reading, never an operation.
"""

HANDSHAKE_TIMEOUT: Final = 10.0
"""
How long the topic handshake may take until the session stream is there, in seconds (ours; upstream waits for ever).
"""

PROGRESS_BYTES: Final = 16 * 1024
"""
How much has to arrive in L{PROGRESS_INTERVAL} while somebody is expected to send, in bytes (ours).
"""

PROGRESS_INTERVAL: Final = 30.0
"""
In how many seconds of reading a frame that has begun, or the catch-up, brings L{PROGRESS_BYTES} or its end (ours).
"""

WRITE_PATIENCE: Final = 120.0
"""
How long the peer may take nothing of what is written to it during catch-up, in seconds (ours). Longer than
L{PROGRESS_INTERVAL}, because it may be busy storing what others send.
"""

CLOSE_GRACE: Final = 5.0
"""
How long a session may take to end after C{Close}, in seconds (as upstream's grace for sessions of a closed topic).
"""

GAP_PATIENCE: Final = 1.0
"""
How long an operation ahead of its log waits for what is missing until the peer is asked again, in seconds (ours). What
comes in over a parallel session closes most gaps much sooner.
"""

INITIATE_PATIENCE: Final = 1.0
"""
How long the node with the larger node id leaves it to the other one to initiate, in seconds (ours).
"""

BACKOFF_START: Final = 0.5
"""
Upper bound of the first pause between failed attempts to reach a peer, in seconds (ours; upstream always takes 5 s).
"""

BACKOFF_CAP: Final = 60.0
"""
Upper bound of all such pauses, in seconds (ours).
"""

PROGRESS_EVENT_INTERVAL: Final = 0.25
"""
The least time between two L{SyncProgress<p2panda_tw.sync.events.SyncProgress>} of a session, in seconds (ours).
"""

MAX_SESSIONS_PER_PEER: Final = 64
"""
How many sessions one peer may have with us (ours). A Rust node with k open topics opens up to k for one of them.
"""

MAX_IDLE_PEERS: Final = 256
"""
How many peers of a topic are kept in mind that came by themselves and left without confirming what they were sent
(ours). After that the one that is known the longest is forgotten.
"""

MAX_SESSIONS: Final = 1024
"""
How many sessions there may be in all (ours).
"""

HELD_BYTES: Final = 18 * 1024 * 1024
"""
How much all sessions together may hold that was received and is not in the store, unfinished frames included, in bytes
(ours). The session that holds most is ended when it gets more. More than one operation of the largest size; the next
one may be in the store already.
"""

IN_STORE_BYTES: Final = 4 * 1024 * 1024
"""
How many bytes of all sessions together are in the store at once, unless a single operation has more (ours).
"""
