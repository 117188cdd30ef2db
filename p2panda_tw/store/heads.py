# -*- test-case-name: tests.store.test_heads -*-
"""
Where each log stands: the table of logs, with the rows that were used last in memory. It answers what comes next in a
log without a look at its operations, and gives every log its short name in the database.

A log to which operations are added one by one, as our own are when somebody publishes, has an open row: it leaves the
tip to the operations, so that each addition changes one page of the database less. Who reads finds all that a row
leaves out in the view C{heads}.
"""

from __future__ import annotations

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.errors import StoreError
from p2panda_tw.store.connection import Connection, damaged
from p2panda_tw.store.limits import HEADS
from p2panda_tw.store.topics import OpenTopic

__all__ = ["EMPTY", "SEQ_BITS", "Head", "Heads", "without_operations"]

SEQ_BITS = 32
"""
An operation is stored at C{log_key << SEQ_BITS | seq_num}.
"""

EMPTY = -1
"""
The tip of a log without operations.
"""

OPEN = -1
"""
In place of the tip in an open row.
"""


def without_operations(path: str) -> StoreError:
    """
    Say that a row is open, and there is nothing behind it.

    @param path: Of the database.
    """
    return damaged(path, "the operations of a log are missing in it")


class Head:
    """
    One log.

    @ivar key: Its short name in the database; 0 as long as it has no row, because it has no operation.
    @ivar first: The lowest C{seq_num} that is there. Between it and the tip nothing is missing.
    @ivar tip: The highest C{seq_num}; L{EMPTY} if there is none.
    @ivar tip_id: The id of the operation there.
    @ivar bytes_until: Bytes of all operations up to and including the tip, those included that were pruned.
    @ivar bytes_before: Of these, the bytes before C{first}.
    @ivar changed: The row is to be written.
    @ivar is_open: The row leaves the tip to the operations.
    """

    __slots__ = ("bytes_before", "bytes_until", "changed", "first", "is_open", "key", "tip", "tip_id")

    def __init__(self) -> None:
        self.key = 0
        self.first = 0
        self.tip = EMPTY
        self.tip_id: Hash | None = None
        self.bytes_until = 0
        self.bytes_before = 0
        self.changed = False
        self.is_open = False

    def position(self, seq_num: int) -> int:
        """
        @return: Where the operation at C{seq_num} is stored.
        """
        return self.key << SEQ_BITS | seq_num


class Heads:
    """
    The logs of all topics. Changes reach the table with L{write}, inside the transaction that made them; after one that
    failed, L{forget} everything.
    """

    def __init__(self, connection: Connection, limit: int = HEADS) -> None:
        """
        @param limit: How many logs are remembered between transactions.
        """
        self._path = connection.path
        self._sql = connection.sql
        self._limit = limit
        self._recent: dict[tuple[int, bytes], Head] = {}
        self._changed: list[Head] = []

    def get(self, topic: OpenTopic, author: VerifyingKey) -> Head:
        """
        @return: The log of an author in a topic, perhaps an empty one.
        """
        name = (topic.key, author.raw)
        head = self._recent.get(name)
        if head is None:
            head = self._recent[name] = self._read(topic, author)
        return head

    def _read(self, topic: OpenTopic, author: VerifyingKey) -> Head:
        query = """
            SELECT log_key, first_seq, tip_seq, tip_id, bytes_until, bytes_before
            FROM logs WHERE topic_key = ? AND author = ? AND log_id = ?
        """
        row = self._sql.execute(query, (topic.key, author.raw, topic.encoded_log_id)).fetchone()
        head = Head()
        if row is not None:
            head.key, head.first, head.tip, tip_id, head.bytes_until, head.bytes_before = row
            if head.tip == OPEN:
                head.is_open = True
                self._read_tip(head)
            else:
                head.tip_id = Hash(tip_id)
        return head

    def _read_tip(self, head: Head) -> None:
        """
        Look at the last operation.
        """
        query = """
            SELECT position - ?, bytes_until, header FROM operations
            WHERE position BETWEEN ? AND ? ORDER BY position DESC LIMIT 1
        """
        start = head.position(0)
        row = self._sql.execute(query, (start, start, start + MAX_SEQ_NUM)).fetchone()
        if row is None:
            raise without_operations(self._path)
        head.tip, head.bytes_until, header = row
        head.tip_id = Hash.of(header)

    def begin(self, head: Head, topic: OpenTopic, author: VerifyingKey) -> None:
        """
        Give an empty log its row. L{write} fills it in.
        """
        statement = """
            INSERT INTO logs (topic_key, author, log_id, first_seq, tip_seq, tip_id, bytes_until, bytes_before)
            VALUES (?, ?, ?, 0, 0, x'', 0, 0)
        """
        key = self._sql.execute(statement, (topic.key, author.raw, topic.encoded_log_id)).lastrowid
        assert key is not None  # an INSERT sets it
        head.key = key

    def mark(self, head: Head) -> None:
        """
        Have the row of a changed log written.
        """
        if not head.changed:
            head.changed = True
            self._changed.append(head)

    def move(self, head: Head, *, singly: bool) -> None:
        """
        Note that a log gets another tip.

        @param singly: More will follow, one by one.
        """
        if not (singly and head.is_open):
            head.is_open = singly
            self.mark(head)

    def write(self) -> None:
        """
        Bring the table up to date.
        """
        statement = """
            UPDATE logs SET first_seq = ?, tip_seq = ?, tip_id = ?, bytes_until = ?, bytes_before = ? WHERE log_key = ?
        """
        for head in self._changed:
            assert head.tip_id is not None  # only logs with operations change
            tip = (OPEN, b"", 0) if head.is_open else (head.tip, head.tip_id.raw, head.bytes_until)
            self._sql.execute(statement, (head.first, *tip, head.bytes_before, head.key))
            head.changed = False
        self._changed.clear()

    def trim(self) -> None:
        """
        Forget the logs that were read longest ago. Between transactions only.
        """
        surplus = len(self._recent) - self._limit
        if surplus > 0:
            for name in list(self._recent)[: surplus + self._limit // 8]:
                del self._recent[name]

    def forget(self) -> None:
        """
        Read everything from the table again.
        """
        self._recent.clear()
        self._changed.clear()
