-- Version 1 of the store: topics, their logs, and what a node remembers besides.
--
-- Numbers called "key" are short names inside this file. They are never given twice, so that a row left over from a
-- deleted topic or log cannot be taken for one of a new.

CREATE TABLE meta (                   -- one row
    database_id BLOB NOT NULL,        -- 16 random bytes, made with the file; the data directory's lock file holds a copy
    starts      INTEGER NOT NULL,     -- how often the file was opened; the lock file holds a copy, so that an old
                                      -- backup is noticed
    identity    BLOB,                 -- verifying key that publishes from here, 32 bytes
    unconfirmed INTEGER NOT NULL      -- not 0: own logs may be shorter here than others have seen; since which start
);

CREATE TABLE settings (
    key   TEXT NOT NULL PRIMARY KEY,  -- what the program calls it
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE topics (
    topic_key INTEGER PRIMARY KEY AUTOINCREMENT,
    topic     BLOB NOT NULL UNIQUE,   -- the topic, 32 bytes, secret
    form      INTEGER NOT NULL,       -- 0: Node form, 1: chat form; never changes
    name      TEXT NOT NULL,          -- what the user calls it, or empty
    is_left   INTEGER NOT NULL        -- 1: no longer synced, data kept
);

CREATE TABLE logs (                   -- one row per log with at least one operation
    log_key      INTEGER PRIMARY KEY AUTOINCREMENT,
    topic_key    INTEGER NOT NULL,
    author       BLOB NOT NULL,       -- verifying key, 32 bytes
    log_id       BLOB NOT NULL,       -- CBOR
    first_seq    INTEGER NOT NULL,    -- lowest seq_num that is still there; rows below wait for their deletion
    tip_seq      INTEGER NOT NULL,    -- highest seq_num; the log has no holes in between
    tip_id       BLOB NOT NULL,       -- id of the operation at the tip, 32 bytes
    bytes_until  INTEGER NOT NULL,    -- bytes of the operations up to and including the tip, pruned ones included
    bytes_before INTEGER NOT NULL,    -- of these, the bytes of what lies before first_seq
    UNIQUE (topic_key, author, log_id)
);

CREATE TABLE operations (             -- clustered by log and seq_num
    position    INTEGER PRIMARY KEY,  -- log_key << 32 | seq_num
    bytes_until INTEGER NOT NULL,     -- length of header and payload_size, summed over the log up to and including this row
    header      BLOB NOT NULL,        -- as received; the id of the operation is its hash
    body        BLOB                  -- as received; NULL: none, or not here
);

CREATE TABLE arrivals (               -- the order in which the operations of a topic came in
    place    INTEGER PRIMARY KEY,     -- topic_key << 40 | arrival number, from 1; never given twice
    position INTEGER NOT NULL         -- which operation; it may have been pruned since
);

CREATE TABLE cursors (                -- how far a reader of a topic has come
    topic_key INTEGER NOT NULL,
    name      TEXT NOT NULL,          -- which reader
    arrival   INTEGER NOT NULL,       -- everything up to this arrival number was acknowledged
    PRIMARY KEY (topic_key, name)
) WITHOUT ROWID;

CREATE TABLE peers (                  -- nodes that we reached, or were told of
    node_id      BLOB NOT NULL PRIMARY KEY, -- verifying key, 32 bytes
    addresses    BLOB NOT NULL,       -- as encoded by the caller
    last_success INTEGER              -- when a connection was made last, as told by the caller; NULL: never
) WITHOUT ROWID;

CREATE TABLE topic_peers (            -- who is interested in what
    topic_key INTEGER NOT NULL,
    node_id   BLOB NOT NULL,
    PRIMARY KEY (topic_key, node_id)
) WITHOUT ROWID;

CREATE TABLE leftovers (              -- rows that are deleted bit by bit, because they are many
    leftover INTEGER PRIMARY KEY,     -- a number; the lowest is deleted first
    kind     TEXT NOT NULL,           -- 'operations' or 'arrivals'
    first    INTEGER NOT NULL,        -- lowest position or place to delete
    last     INTEGER NOT NULL         -- highest
);
