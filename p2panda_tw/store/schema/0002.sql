-- Version 2: the row of a log need not change with every operation. Where tip_seq is -1, the last operation of the log
-- says what the row does not: its position, and the bytes until there. tip_id is empty then, bytes_until 0.

CREATE VIEW heads AS                  -- the same logs, with what the rows leave out
    SELECT log_key, topic_key, author, log_id, first_seq,
        CASE tip_seq WHEN -1 THEN ifnull((
            SELECT position & 0xffffffff FROM operations
            WHERE position BETWEEN log_key << 32 AND log_key << 32 | 0xffffffff ORDER BY position DESC LIMIT 1
        ), -1) ELSE tip_seq END AS tip_seq,
        CASE tip_seq WHEN -1 THEN ifnull((
            SELECT bytes_until FROM operations
            WHERE position BETWEEN log_key << 32 AND log_key << 32 | 0xffffffff ORDER BY position DESC LIMIT 1
        ), 0) ELSE bytes_until END AS bytes_until,
        bytes_before
    FROM logs;
