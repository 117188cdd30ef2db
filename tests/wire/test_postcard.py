from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.postcard import Reader, bytes_, varint
from tests.properties import PROPERTIES


class WriteTests(SynchronousTestCase):
    """
    Fields become bytes.
    """

    def test_varint(self) -> None:
        """
        Integers take as few bytes as they can.
        """
        for number, expected in [
            (0, "00"),
            (127, "7f"),
            (128, "8001"),
            (300, "ac02"),
            (16384, "808001"),
            (2**32 - 1, "ffffffff0f"),
            (2**64 - 1, "ffffffffffffffffff01"),
        ]:
            self.assertEqual(varint(number).hex(), expected)

    def test_bytes(self) -> None:
        """
        A byte string stands behind its length.
        """
        self.assertEqual(bytes_(b""), b"\0")
        self.assertEqual(bytes_(b"a" * 200), b"\xc8\x01" + b"a" * 200)


class ReaderTests(SynchronousTestCase):
    """
    Bytes become fields.
    """

    @PROPERTIES
    @given(st.sampled_from([16, 32, 64]), st.data())
    def test_varint_round_trip(self, bits: int, data: st.DataObject) -> None:
        """
        An integer comes back as it was, in each type that it fits.
        """
        number = data.draw(st.integers(0, 2**bits - 1))
        reader = Reader(varint(number) + b"rest")
        self.assertEqual((reader.varint(bits), reader.remaining), (number, 4))

    def test_longer_than_needed(self) -> None:
        """
        Integers may have idle groups as long as they take no more bytes than their type can.
        """
        for bits, data, number in [
            (16, "808000", 0),
            (16, "ff8000", 127),
            (32, "8080808000", 0),
            (64, "80808080808080808000", 0),
            (16, "ffff03", 65535),
        ]:
            self.assertEqual(Reader(bytes.fromhex(data)).varint(bits), number)

    def test_too_large(self) -> None:
        """
        Integers that do not fit their type are refused, whether in value or in bytes.
        """
        for bits, data in [
            (16, "808004"),
            (16, "80808000"),
            (32, "8080808010"),
            (32, "808080808000"),
            (64, "80808080808080808002"),
            (64, "8080808080808080808000"),
        ]:
            self.assertRaises(DecodeError, Reader(bytes.fromhex(data)).varint, bits)

    def test_cut(self) -> None:
        """
        A message that ends inside a field is refused.
        """
        for data, read in [
            (b"", lambda reader: reader.u8()),
            (b"", lambda reader: reader.bool()),
            (b"", lambda reader: reader.option()),
            (b"", lambda reader: reader.varint(32)),
            (b"\x80", lambda reader: reader.varint(32)),
            (b"\x03ab", lambda reader: reader.bytes(10)),
            (b"ab", lambda reader: reader.fixed(3)),
        ]:
            self.assertRaises(DecodeError, read, Reader(data))

    def test_bool_and_option(self) -> None:
        """
        Truth values and the marks of options are 0 or 1 and nothing else.
        """
        reader = Reader(b"\0\1\0\1")
        self.assertEqual([reader.bool(), reader.bool(), reader.option(), reader.option()], [False, True, False, True])
        self.assertRaises(DecodeError, Reader(b"\2").bool)
        self.assertRaises(DecodeError, Reader(b"\2").option)

    def test_bytes(self) -> None:
        """
        Byte strings are taken up to the limit; a larger one is refused before it is there.
        """
        reader = Reader(b"xx\x03abc\x00", 2)
        self.assertEqual((reader.bytes(3), reader.bytes(0), reader.remaining), (b"abc", b"", 0))
        error = self.assertRaises(DecodeError, Reader(bytes.fromhex("ffffffffffffffffff01")).bytes, 1000)
        self.assertIn("at most 1000", str(error))

    @PROPERTIES
    @given(st.binary(), st.lists(st.sampled_from(["u8", "varint", "bool", "bytes", "fixed", "option"])))
    def test_garbage(self, data: bytes, fields: list[str]) -> None:
        """
        Arbitrary bytes are fields or a L{DecodeError}, and no field goes beyond the end.
        """
        reader = Reader(data)
        arguments = {"varint": (64,), "bytes": (100,), "fixed": (5,)}
        try:
            for field in fields:
                getattr(reader, field)(*arguments.get(field, ()))
                self.assertTrue(0 <= reader.remaining <= len(data))
        except DecodeError:
            pass
