from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash, decode_hex
from p2panda_tw.core.topic import Topic
from tests.properties import PROPERTIES


class HexTests(SynchronousTestCase):
    """
    Hex digits are read as upstream reads them.
    """

    def test_accepted(self) -> None:
        """
        Digits of either case are bytes.
        """
        self.assertEqual(decode_hex("00fFAb"), b"\x00\xff\xab")
        self.assertEqual(decode_hex(""), b"")

    def test_refused(self) -> None:
        """
        Nothing but digits is taken, however Python's own function thinks of it.
        """
        for text in ("0", "0x00", "00 00", " 0000", "0000\n", "00_00", "0g", "+000", "٠٠"):
            self.assertRaises(ValueError, decode_hex, text)

    @PROPERTIES
    @given(st.binary())
    def test_round_trip(self, data: bytes) -> None:
        """
        Bytes come back as they were.
        """
        self.assertEqual(decode_hex(data.hex()), data)
        self.assertEqual(decode_hex(data.hex().upper()), data)


class HashTests(SynchronousTestCase):
    """
    Thirty-two bytes with a meaning.
    """

    def test_forms(self) -> None:
        """
        A hash can be made of data, of bytes and of hex digits, and is shown as the digits.
        """
        digits = "b177ec1bf26dfb3b7010d473e6d44713b29b765b99c6e60ecbfae742de496543"
        value = Hash.of(b"\1\2\3")
        self.assertEqual(value, Hash.from_hex(digits))
        self.assertEqual(value, Hash(bytes.fromhex(digits)))
        self.assertEqual((str(value), value.hex(), repr(value)), (digits, digits, "<Hash b177ec1b>"))
        self.assertEqual(pickle.loads(pickle.dumps(value)), value)

    def test_length(self) -> None:
        """
        Other lengths are refused.
        """
        for length in (0, 31, 33):
            self.assertRaises(ValueError, Hash, bytes(length))
            self.assertRaises(ValueError, Hash.from_hex, "00" * length)

    def test_kinds(self) -> None:
        """
        A hash is not taken for a topic, even with the same bytes.
        """
        self.assertNotEqual(Hash(bytes(32)), Topic(bytes(32)))
        self.assertNotEqual(Hash(bytes(32)), bytes(32))
        self.assertEqual(len({Hash(bytes(32)), Topic(bytes(32)), Hash(bytes(32))}), 2)

    def test_frozen(self) -> None:
        """
        What names something cannot be changed into the name of something else.
        """
        value = Hash(bytes(32))
        for change in (
            lambda: setattr(value, "raw", bytes(32)),
            lambda: setattr(value, "other", 1),
            lambda: delattr(value, "raw"),
        ):
            self.assertRaises(AttributeError, change)
        self.assertEqual(value.raw, bytes(32))

    def test_order(self) -> None:
        """
        Hashes are ordered by their bytes.
        """
        low, high = Hash(b"\x7f" + bytes(31)), Hash(b"\x80" + bytes(31))
        self.assertEqual(sorted([high, low]), [low, high])
        self.assertTrue(low <= high)
        self.assertTrue(low <= Hash(low.raw))
        self.assertFalse(low < Hash(low.raw))
