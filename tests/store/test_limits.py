"""
What others cannot make a store hold.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from p2panda_tw.core.header import MAX_HEADER_SIZE
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.topic import Form
from p2panda_tw.store.limits import MAX_LOGS, MAX_PEERS
from tests.store.logs import TOPIC, Log, StoreTestCase, seq_nums, signing_key


class LimitTests(StoreTestCase):
    """
    Limits that only hostile authors reach.
    """

    def test_long_header(self) -> None:
        """
        A header that is longer than any application makes it is refused without a look at it, its log is left out, and
        the rest of the batch is taken: an honest node may have passed it on.
        """
        honest, long = Log(2), Log(3)
        first = long.append()
        # The extensions become an array of arrays of a million nulls.
        extensions = b"\x99\x01\x00" + (b"\x99\x01\x00" + b"\xf6" * 256) * 256
        header = first.header.replace(first.header[-47:], extensions)
        self.assertGreater(len(header), MAX_HEADER_SIZE)
        result = self.ingest(honest.append(), RawOperation(header, first.body), honest.append())
        self.assertEqual(seq_nums(result), [0, 1])
        self.assertEqual([(refusal.fatal, refusal.author) for refusal in result.refused], [(False, None)])
        self.assertIn("longer than 65536 bytes", result.refused[0].reason)

    def test_peers(self) -> None:
        """
        So many nodes are remembered; those that were never reached go first, then those that were not for long.
        """
        path = str(Path(self.mktemp()).with_suffix(".sqlite3"))
        store = self.open_store(path)
        never, long_ago, lately, new, newer = (signing_key(number).verifying_key for number in range(10, 15))
        for node_id, time in ((never, None), (long_ago, 10), (lately, 1000)):
            self.successResultOf(store.remember_peer(node_id, b"", time))
        self.successResultOf(store.close())
        database = sqlite3.connect(path)
        statement = "INSERT INTO peers (node_id, addresses, last_success) VALUES (?, x'', 100)"
        # Strangers are real keys, too.
        strangers = ((signing_key(number).verifying_key.raw,) for number in range(100, 100 + MAX_PEERS - 3))
        database.executemany(statement, strangers)
        database.commit()
        database.close()
        store = self.open_store(path)
        for node_id, gone in ((new, never), (newer, long_ago)):
            self.successResultOf(store.remember_peer(node_id, b"", 2000))
            known = {peer.node_id for peer in self.successResultOf(store.peers())}
            self.assertEqual((len(known), gone in known, lately in known), (MAX_PEERS, False, True))

    def test_authors(self) -> None:
        """
        A topic takes so many authors that what it has still fits into one message. Those that are there, and we ourselves,
        can go on.
        """
        path = str(Path(self.mktemp()).with_suffix(".sqlite3"))
        store = self.open_store(path)
        self.successResultOf(store.add_topic(TOPIC, Form.NODE))
        known, last, late = Log(2), Log(3), Log(4)
        self.ingest(known.append(), store=store)
        self.successResultOf(store.close())
        database = sqlite3.connect(path)
        statement = "INSERT INTO logs SELECT NULL, topic_key, ?, log_id, 0, 0, tip_id, 0, 0 FROM logs WHERE log_key = 1"
        database.executemany(statement, ((os.urandom(32),) for _ in range(MAX_LOGS - 2)))
        database.commit()
        database.close()
        store = self.open_store(path)
        self.assertEqual(self.ingest(last.append(), store=store).refused, [])
        for _ in range(2):
            refused = self.ingest(late.append(), store=store).refused
            self.assertEqual([(refusal.fatal, refusal.author) for refusal in refused], [(False, late.author)])
        self.assertIn(f"at most {MAX_LOGS} authors", refused[0].reason)
        self.assertEqual(seq_nums(self.ingest(known.append(), last.append(), store=store)), [1, 1])
        self.assertEqual(self.successResultOf(store.publish(TOPIC, b"mine")).operation.seq_num, 0)
