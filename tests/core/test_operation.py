from __future__ import annotations

import dataclasses

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import Operation, RawOperation, build_header, decode_header
from p2panda_tw.core.topic import Topic

KEY = SigningKey(b"\1" * 32)
EXTENSIONS = NodeExtensions(Topic(bytes(32)).log_id(), 1_700_000_000_000_000, False).encode()


class OperationTests(SynchronousTestCase):
    """
    A header with its body.
    """

    def setUp(self) -> None:
        self.header = build_header(KEY, body=b"body", seq_num=0, backlink=None, extensions=EXTENSIONS)
        self.operation = Operation(self.header, b"body")

    def test_fields(self) -> None:
        """
        What one asks of an operation is at hand.
        """
        self.assertEqual(self.operation.id, self.header.hash)
        self.assertEqual(self.operation.author, KEY.verifying_key)
        self.assertEqual(self.operation.seq_num, 0)
        self.assertEqual(self.operation.timestamp, 1_700_000_000_000_000)
        self.assertEqual(self.operation.raw, RawOperation(self.header.raw, b"body"))

    def test_no_time(self) -> None:
        """
        Without the Node's extensions there is no time.
        """
        for extensions in (None, b"\xf6"):
            header = build_header(KEY, body=None, seq_num=0, backlink=None, extensions=extensions)
            self.assertIsNone(Operation(header, None).timestamp)

    def test_equality(self) -> None:
        """
        An operation is the same one with and without its body.
        """
        same = Operation(decode_header(self.header.raw), None)
        other = Operation(build_header(KEY, body=None, seq_num=0, backlink=None, extensions=None), None)
        self.assertEqual(self.operation, same)
        self.assertEqual(len({self.operation, same, other}), 2)
        self.assertNotEqual(self.operation, other)
        self.assertNotEqual(self.operation, self.header)
        self.assertNotEqual(self.header, other.header)

    def test_frozen(self) -> None:
        """
        Operations are values.
        """
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, self.operation, "body", None)
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, self.header, "seq_num", 1)
        self.assertEqual(
            repr(self.operation), f"<Operation {self.header.hash.hex()[:8]} by {KEY.verifying_key.hex()[:8]} at 0>"
        )
