"""
Tests for L{p2panda_tw.codec}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.codec import CBOR, MAX_ITEMS, TEXT
from p2panda_tw.errors import DecodeError, LocalProtocolError


class CborTests(SynchronousTestCase):
    """
    Values as a Rust Node writes them.
    """

    def test_text(self) -> None:
        """
        A text is what a Rust C{stream::<String>} expects.
        """
        self.assertEqual(CBOR.encode("Hello!").hex(), "6648656c6c6f21")

    def test_keys_are_sorted(self) -> None:
        """
        Keys of a map stand in key order, whatever order the application gave them.
        """
        self.assertEqual(CBOR.encode({"longer": 1, "id": 2}).hex(), "a262696402666c6f6e67657201")

    def test_round_trip(self) -> None:
        """
        What was published comes out.
        """
        value = {"list": [1, -2, 2.5, None, True, b"\0"], "text": "ä"}
        self.assertEqual(CBOR.decode(CBOR.encode(value)), value)

    def test_no_form(self) -> None:
        """
        A value that CBOR cannot carry is the caller's mistake.
        """
        self.assertRaises(LocalProtocolError, CBOR.encode, object())

    def test_not_strict(self) -> None:
        """
        A body that a Rust node could not read is not read here either.
        """
        self.assertRaises(DecodeError, CBOR.decode, bytes.fromhex("1801"))

    def test_many_items(self) -> None:
        """
        A value of very many items is refused on both sides, because it takes a hundred times more memory than its bytes.
        """
        value: list[object] = [[]] * (MAX_ITEMS - 1)
        body = CBOR.encode(value)
        self.assertEqual(CBOR.decode(body), value)
        self.assertRaises(LocalProtocolError, CBOR.encode, [*value, []])
        count = 4 * MAX_ITEMS
        self.assertRaises(DecodeError, CBOR.decode, b"\x9a" + count.to_bytes(4, "big") + b"\x80" * count)
        self.assertEqual(CBOR.decode(CBOR.encode(b"\0" * count)), b"\0" * count)


class TextTests(SynchronousTestCase):
    """
    Values of the chat form.
    """

    def test_round_trip(self) -> None:
        """
        Text is its UTF-8 bytes.
        """
        self.assertEqual(TEXT.decode(TEXT.encode("hé\n")), "hé\n")

    def test_only_text(self) -> None:
        """
        Anything else is the caller's mistake.
        """
        self.assertRaises(LocalProtocolError, TEXT.encode, 7)

    def test_not_utf8(self) -> None:
        """
        Other bytes are the author's mistake.
        """
        self.assertRaises(DecodeError, TEXT.decode, b"\xff")

    def test_lone_surrogate(self) -> None:
        """
        What is no text for others is refused with a sentence, as every value that cannot be written.
        """
        for codec in (TEXT, CBOR):
            self.assertRaises(LocalProtocolError, codec.encode, "\ud800")
