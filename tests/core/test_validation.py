from __future__ import annotations

import dataclasses
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, build_header
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.core.prune import validate_prunable_backlink
from p2panda_tw.core.validation import OperationError, validate_backlink, validate_header, validate_operation

KEY = SigningKey(b"\1" * 32)
LINK = Hash.of(b"before")


def header(seq_num: int = 0, backlink: Hash | None = None, body: bytes | None = b"body") -> Header:
    return build_header(KEY, body=body, seq_num=seq_num, backlink=backlink, extensions=None)


class ValidationTests(SynchronousTestCase):
    """
    Rules that tell right operations from wrong ones.
    """

    def assert_breaks(self, kind: str, rule: Any, *arguments: Any) -> None:
        self.assertEqual(self.assertRaises(OperationError, rule, *arguments).kind, kind)

    def test_header(self) -> None:
        """
        Fields that do not go together are found in headers that were put together by hand.
        """
        validate_header(header())
        first, second = header(), header(1, LINK)
        for changed, kind in [
            (dataclasses.replace(first, payload_hash=None), "InconsistentPayloadInfo"),
            (dataclasses.replace(first, payload_size=0), "InconsistentPayloadInfo"),
            (dataclasses.replace(first, backlink=LINK), "SeqNumMismatch"),
            (dataclasses.replace(second, backlink=None), "BacklinkMissing"),
        ]:
            self.assert_breaks(kind, validate_header, changed)
            self.assert_breaks(kind, validate_operation, changed, b"body")

    def test_body(self) -> None:
        """
        Only the body that the header speaks of belongs to it; it may be absent.
        """
        validate_operation(header(), b"body")
        validate_operation(header(), None)
        validate_operation(header(body=None), None)
        for wrong in (b"", b"bod", b"bodx", b"body "):
            self.assert_breaks("PayloadMismatch", validate_operation, header(), wrong)
        self.assert_breaks("PayloadMismatch", validate_operation, header(body=None), b"")

    def test_backlink(self) -> None:
        """
        An operation continues a log right after its latest one, or not at all.
        """
        past = header(6, LINK)
        validate_backlink(past, header(7, past.hash))
        stranger = build_header(SigningKey(b"\2" * 32), body=None, seq_num=7, backlink=past.hash, extensions=None)
        self.assert_breaks("TooManyAuthors", validate_backlink, past, stranger)
        for seq_num in (5, 6, 8):
            self.assert_breaks("SeqNumNonIncremental", validate_backlink, past, header(seq_num, past.hash))
        self.assert_breaks("SeqNumNonIncremental", validate_backlink, past, header())
        self.assert_breaks("BacklinkMismatch", validate_backlink, past, header(7, LINK))
        missing = dataclasses.replace(header(7, LINK), backlink=None)
        self.assert_breaks("BacklinkMissing", validate_backlink, past, missing)

    def test_end_of_log(self) -> None:
        """
        A log that is full takes nothing more, and nothing breaks over it.
        """
        past = header(MAX_SEQ_NUM, LINK)
        self.assert_breaks("SeqNumNonIncremental", validate_backlink, past, header())

    def test_prunable(self) -> None:
        """
        With the prune flag an operation needs no predecessor, unless it is the first.
        """
        past = header(1, LINK)
        for flag in (False, True):
            validate_prunable_backlink(None, header(), flag)
            validate_prunable_backlink(past, header(2, past.hash), flag)
            self.assert_breaks("SeqNumNonIncremental", validate_prunable_backlink, past, header(), flag)
        validate_prunable_backlink(None, header(7, LINK), True)
        validate_prunable_backlink(past, header(7, LINK), True)
        self.assert_breaks("BacklinkMissing", validate_prunable_backlink, None, header(7, LINK), False)
        self.assert_breaks("SeqNumNonIncremental", validate_prunable_backlink, past, header(7, LINK), False)
