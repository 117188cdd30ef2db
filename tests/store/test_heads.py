"""
The table of logs in memory.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.logs import LogRange
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import StoreError
from p2panda_tw.store.connection import Connection
from p2panda_tw.store.heads import EMPTY, Heads
from p2panda_tw.store.log_reader import read_heights, read_log, read_range_size
from p2panda_tw.store.schema import IN_MEMORY, open_database, schema_scripts
from p2panda_tw.store.topics import Topics
from tests.store.logs import TOPIC, Log


class HeadsTests(SynchronousTestCase):
    """
    What is remembered is what the table says.
    """

    def setUp(self) -> None:
        self.connection: Connection = open_database(IN_MEMORY, schema_scripts()).connection
        self.addCleanup(self.connection.close)
        self.topic = Topics(self.connection).add(TOPIC, Form.NODE, "")
        self.heads = Heads(self.connection, limit=8)

    def advance(self, author: int, tip: int) -> None:
        """
        Store something in a log.
        """
        key = Log(author).author
        head = self.heads.get(self.topic, key)
        if not head.key:
            self.heads.begin(head, self.topic, key)
        self.heads.mark(head)
        head.tip = tip
        head.tip_id = Hash.of(b"%d" % tip)
        head.bytes_until += 100

    def test_empty(self) -> None:
        """
        A log without operations has no row.
        """
        head = self.heads.get(self.topic, Log().author)
        self.assertEqual((head.key, head.tip, head.tip_id), (0, EMPTY, None))
        self.heads.write()
        self.assertEqual(self.connection.sql.execute("SELECT COUNT(*) FROM logs").fetchone(), (0,))

    def test_written(self) -> None:
        """
        What changed is in the table after writing, each log once.
        """
        for tip in (3, 5):
            self.advance(2, tip)
        self.advance(3, 0)
        self.heads.write()
        self.heads.forget()
        [first, second] = [self.heads.get(self.topic, Log(author).author) for author in (2, 3)]
        self.assertEqual((first.tip, first.tip_id, first.bytes_until), (5, Hash.of(b"5"), 200))
        self.assertEqual((second.tip, second.bytes_until), (0, 100))
        self.assertNotEqual(first.key, second.key)

    def test_open_row(self) -> None:
        """
        A row to which operations are added one by one is written once. Then the last operation is the tip, for us and for
        who reads; until several come at once.
        """
        key = Log(2).author
        self.advance(2, 3)
        self.heads.write()
        head = self.heads.get(self.topic, key)
        statements: list[str] = []
        for tip in (4, 5):
            operation = Log(2).extend(1)[0]
            head.tip, head.tip_id, head.bytes_until = tip, Hash.of(operation.header), 100 * tip
            self.heads.move(head, singly=True)
            row = (head.position(tip), head.bytes_until, operation.header)
            self.connection.sql.execute("INSERT INTO operations (position, bytes_until, header) VALUES (?, ?, ?)", row)
            self.connection.sql.set_trace_callback(statements.append)
            self.heads.write()
            self.connection.sql.set_trace_callback(None)
        self.assertEqual(len(statements), 1)
        self.assertEqual(self.rows("logs"), [(-1, 0)])
        self.assertEqual(self.rows("heads"), [(5, 500)])
        self.heads.forget()
        again = self.heads.get(self.topic, key)
        self.assertEqual((again.tip, again.tip_id, again.bytes_until), (5, head.tip_id, 500))
        self.assertTrue(again.is_open)
        self.heads.move(again, singly=False)
        self.heads.write()
        self.assertEqual(self.rows("logs"), [(5, 500)])

    def test_open_row_without_operations(self) -> None:
        """
        An open row with no operation behind it is damage.
        """
        self.advance(2, 3)
        self.heads.write()
        self.connection.sql.execute("UPDATE logs SET tip_seq = -1")
        self.heads.forget()
        log = Log(2)
        self.assertRaises(StoreError, self.heads.get, self.topic, log.author)
        with self.assertRaises(StoreError):
            read_heights(self.connection, self.topic.key, log.log_id)
        with self.assertRaises(StoreError):
            read_log(self.connection, self.topic.key, log.author, log.log_id)
        with self.assertRaises(StoreError):
            read_range_size(self.connection, self.topic.key, {log.author: {log.log_id: LogRange(None, 9)}})

    def rows(self, table: str) -> list[tuple[int, int]]:
        """
        Tip and bytes of each log.
        """
        return self.connection.sql.execute(f"SELECT tip_seq, bytes_until FROM {table}").fetchall()

    def test_limit(self) -> None:
        """
        Only so many logs are remembered; the others are read again.
        """
        for author in range(2, 30):
            self.advance(author, author)
        self.heads.write()
        self.heads.trim()
        queries: list[str] = []
        self.connection.sql.set_trace_callback(queries.append)
        tips = [self.heads.get(self.topic, Log(author).author).tip for author in reversed(range(2, 30))]
        self.assertEqual(tips, list(reversed(range(2, 30))))
        self.assertEqual(len(queries), 21)

    def test_forget(self) -> None:
        """
        After a transaction that failed the table counts.
        """
        self.advance(2, 1)
        self.heads.write()
        self.advance(2, 9)
        self.heads.forget()
        self.heads.write()
        self.assertEqual(self.heads.get(self.topic, Log().author).tip, 1)
