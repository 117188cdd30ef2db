from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.cursor import Cursor
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.logs import LogHeights, LogRange
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire import cbor
from tests.properties import PROPERTIES

A, B, C = (SigningKey(bytes((number,)) * 32).verifying_key for number in range(3))
LOG = Hash.of(b"log")

log_ids = st.integers(0, 2**64 - 1) | st.binary(min_size=32, max_size=32).map(Hash)
states = st.dictionaries(st.sampled_from([A, B, C]), st.dictionaries(log_ids, st.integers(0, 2**32 - 1)))


class CursorTests(SynchronousTestCase):
    """
    How far an application has come.
    """

    def test_advance(self) -> None:
        """
        A cursor goes forward only.
        """
        cursor = Cursor("name")
        self.assertIsNone(cursor.log_height(A, LOG))
        for height, expected in ((0, 0), (4, 4), (2, 4), (4, 4), (5, 5)):
            cursor.advance(A, LOG, height)
            self.assertEqual(cursor.log_height(A, LOG), expected)
        self.assertIsNone(cursor.log_height(A, 1))
        self.assertIsNone(cursor.log_height(B, LOG))

    def test_compare(self) -> None:
        """
        What lies beyond a cursor is known from log heights, another cursor's included.
        """
        first = Cursor("first", {A: {1: 121, 2: 13}})
        second = Cursor("second", {A: {1: 287}})
        self.assertEqual(first.compare(second.heights), {A: {1: LogRange(121, 287)}})
        self.assertEqual(second.compare(first.heights), {A: {2: LogRange(None, 13)}})

    @PROPERTIES
    @given(st.text(), states)
    def test_round_trip(self, name: str, state: LogHeights) -> None:
        """
        A stored cursor comes back as it was.
        """
        cursor = Cursor.decode(Cursor(name, state).encode())
        self.assertEqual((cursor.name, cursor.heights), (name, state))

    def test_more_elements(self) -> None:
        """
        What a later version appends is ignored.
        """
        self.assertEqual(Cursor.decode(cbor.encode(["name", {}, 7])).name, "name")

    def test_refused(self) -> None:
        """
        Anything else is no cursor.
        """
        for value in (
            None,
            ["name"],
            [b"name", {}],
            ["name", []],
            ["name", {"author": {}}],
            ["name", {b"author": {}}],
            ["name", {b"\2" + bytes(31): {}}],
            ["name", {A.raw: []}],
            ["name", {A.raw: {b"log": 1}}],
            ["name", {A.raw: {-1: 1}}],
            ["name", {A.raw: {"log": 1}}],
            ["name", {A.raw: {2**64: 1}}],
            ["name", {A.raw: {1: -1}}],
            ["name", {A.raw: {1: 2**32}}],
            ["name", {A.raw: {1: True}}],
        ):
            self.assertRaises(DecodeError, Cursor.decode, cbor.encode(value))
        self.assertRaises(DecodeError, Cursor.decode, b"")
