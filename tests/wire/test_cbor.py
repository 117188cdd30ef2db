from __future__ import annotations

import math
import struct
import tracemalloc
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire.cbor import MAX_LENGTH, UNDEFINED, CborError, Map, Simple, Tag, check_item, decode, encode
from tests.properties import PROPERTIES

# Every double there is, so that NaN comes with all payloads.
doubles = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack(">d", bits.to_bytes(8, "big"))[0]) | st.floats(
    width=16
)
integers = st.integers() | st.integers(-(2**66), 2**66)
simple_values = st.sampled_from([*range(20), 23, *range(32, 256)]).map(Simple)
plain = st.none() | st.booleans() | integers | st.text() | st.binary()
keys = st.text() | st.binary() | integers


def containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items) | st.dictionaries(keys, items)


def odd_containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    tags = st.builds(Tag, st.integers(4, 2**64 - 1), items)
    maps = st.lists(st.tuples(items, items)).map(lambda entries: Map(tuple(entries)))
    return containers(items) | tags | maps


plain_values = st.recursive(plain, containers, max_leaves=20)
values = st.recursive(plain | doubles | simple_values, odd_containers, max_leaves=20)


class EncodeTests(SynchronousTestCase):
    """
    Plain values become bytes.
    """

    def test_examples(self) -> None:
        """
        Values of all types have the encoding that RFC 8949 gives as the shortest one.
        """
        for value, expected in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (65536, "1a00010000"),
            (2**64 - 1, "1bffffffffffffffff"),
            (2**64, "c249010000000000000000"),
            (-1, "20"),
            (-(2**64), "3bffffffffffffffff"),
            (-(2**64) - 1, "c349010000000000000000"),
            (b"\x01\x02\x03", "43010203"),
            ("ü", "62c3bc"),
            ((1, [2]), "82018102"),
            (bytearray(b"a"), "4161"),
            (None, "f6"),
            (True, "f5"),
            (False, "f4"),
            (UNDEFINED, "f7"),
            (Simple(255), "f8ff"),
            (Tag(32, "a"), "d8206161"),
            (1.5, "f93e00"),
            (-0.0, "f98000"),
            (100000.0, "fa47c35000"),
            (1.1, "fb3ff199999999999a"),
            (math.inf, "f97c00"),
            (5.960464477539063e-8, "f90001"),
            ({"field_b": 17, "field_a": 12}, "a2676669656c645f610c676669656c645f6211"),
        ]:
            self.assertEqual(encode(value).hex(), expected, value)

    def test_key_order(self) -> None:
        """
        Keys are ordered by their bytes, also where an older rule put shorter ones first.
        """
        self.assertEqual(encode({-1: 1, 100: 4, "": 0, b"": 0}).hex(), "a4186404200140006000")
        self.assertEqual(encode(Map(((True, 1), (1, 2), (1.0, 3)))).hex(), "a30102f501f93c0003")

    def test_keys_python_confuses(self) -> None:
        """
        Keys that Python takes for one and the same come back as what they were.
        """
        value = Map(((1, "integer"), (True, "bool"), (1.0, "float")))
        self.assertEqual(encode(decode(encode(value))), encode(value))
        self.assertEqual(len(decode(encode(value)).entries), 3)  # type: ignore[attr-defined]  # it is a Map

    def test_no_form(self) -> None:
        """
        What could not be read again is refused with a sentence, not written.
        """
        deep: list[object] = []
        for _ in range(200):
            deep = [deep]
        for value in [
            object(),
            {1, 2},
            "\ud800",
            deep,
            Tag(2, b"\x01"),
            Tag(3, b"123456789"),
        ]:
            self.assertRaises(LocalProtocolError, encode, value)
        self.assertRaises(ValueError, Simple, 20)
        self.assertRaises(ValueError, Simple, 24)
        self.assertRaises(ValueError, Simple, 256)
        self.assertRaises(ValueError, Tag, 2**64, 0)
        self.assertRaises(ValueError, Tag, -1, 0)

    def test_depth(self) -> None:
        """
        What is nested as deep as it may be can be written and read again.
        """
        deep: list[object] = []
        for _ in range(199):
            deep = [deep]
        self.assertEqual(decode(encode(deep)), deep)

    @PROPERTIES
    @given(values)
    def test_round_trip(self, value: object) -> None:
        """
        Whatever is written is strict, and reading and writing it again gives the same bytes.
        """
        data = encode(value)
        self.assertEqual(check_item(data), len(data))
        self.assertEqual(encode(decode(data)), data)

    @PROPERTIES
    @given(plain_values)
    def test_values_survive(self, value: object) -> None:
        """
        Plain values come back as they were, and another library reads them in the same way.
        """
        self.assertEqual(decode(encode(value)), value)
        self.assertEqual(cbor2.loads(encode(value)), value)


class StrictTests(SynchronousTestCase):
    """
    Bytes become values only in one form.
    """

    def test_refused(self) -> None:
        """
        Another encoding of something is refused, and the error says what is wrong.
        """
        for data, kind in [
            ("1817", "NonDeterministic"),
            ("1900ff", "NonDeterministic"),
            ("1a0000ffff", "NonDeterministic"),
            ("1b00000000ffffffff", "NonDeterministic"),
            ("5803010203", "NonDeterministic"),
            ("980101", "NonDeterministic"),
            ("b8010101", "NonDeterministic"),
            ("d80000", "NonDeterministic"),
            ("f814", "NonDeterministic"),
            ("f800", "NonDeterministic"),
            ("5f41ffff", "NonDeterministic"),
            ("7f6161ff", "NonDeterministic"),
            ("9fff", "NonDeterministic"),
            ("bfff", "NonDeterministic"),
            ("a201000100", "NonDeterministic"),
            ("a202000100", "NonDeterministic"),
            ("a220001864f6", "NonDeterministic"),
            ("fa41280000", "NonDeterministic"),
            ("fa7fc00000", "NonDeterministic"),
            ("fa33800000", "NonDeterministic"),
            ("fb7ff8000000000000", "NonDeterministic"),
            ("fb7ff0000020000000", "NonDeterministic"),
            ("fb3ff8000000000000", "NonDeterministic"),
            ("c240", "NonDeterministic"),
            ("c2480102030405060708", "NonDeterministic"),
            ("c249000102030405060708", "NonDeterministic"),
            ("c3581800" + "01" * 23, "NonDeterministic"),
            ("1c", "Malformed"),
            ("1d", "Malformed"),
            ("1e", "Malformed"),
            ("1f", "Malformed"),
            ("3f", "Malformed"),
            ("df", "Malformed"),
            ("5c", "Malformed"),
            ("ff", "Malformed"),
            ("81ff", "Malformed"),
            ("f818", "Malformed"),
            ("f81f", "Malformed"),
            ("61ff", "InvalidUtf8"),
            ("63eda080", "InvalidUtf8"),
            ("5a3b9aca00", "UnexpectedEof"),
            ("5a3b9aca01", "LengthTooLarge"),
            ("7bffffffffffffffff", "LengthTooLarge"),
            ("9bffffffffffffffff", "LengthTooLarge"),
            ("bbffffffffffffffff", "LengthTooLarge"),
            ("81" * 201, "NestingTooDeep"),
            ("c1" * 201 + "00", "NestingTooDeep"),
            ("a100" * 201, "NestingTooDeep"),
            ("", "UnexpectedEof"),
            ("18", "UnexpectedEof"),
            ("1b00000000000000", "UnexpectedEof"),
            ("4261", "UnexpectedEof"),
            ("8201", "UnexpectedEof"),
            ("a101", "UnexpectedEof"),
            ("c1", "UnexpectedEof"),
        ]:
            error = self.assertRaises(CborError, check_item, bytes.fromhex(data))
            self.assertEqual((data[:40], error.kind), (data[:40], kind))
            self.assertRaises(CborError, decode, bytes.fromhex(data))

    def test_accepted(self) -> None:
        """
        Unusual items with only one form are accepted, and written in the same form again.
        """
        for data in [
            "f90000",
            "f98000",
            "f97c01",
            "f97e00",
            "f9ffff",
            "fa7f800001",
            "fb7ff0000000000001",
            "fb7ff8000010000000",
            "e0",
            "f3",
            "f7",
            "f820",
            "f8ff",
            "c0c1c100",
            "dbffffffffffffffff00",
            "c24a01000000000000000000",
            "c143010203",
            "c2c14101",
            "a2f400f500",
            "a30102810080f97e0000",
            "a21864042001",
            "81" * 199 + "80",
        ]:
            self.assertEqual(encode(decode(bytes.fromhex(data))).hex(), data)

    def test_what_follows(self) -> None:
        """
        Bytes after the item are left alone.
        """
        self.assertEqual(check_item(b"\x01\xff"), 1)
        self.assertEqual(decode(b"\x61a\xff\xff"), "a")
        self.assertEqual(decode(b"\xff\x61a\xff", 1), "a")

    def test_limits(self) -> None:
        """
        A caller can set tighter limits.
        """
        self.assertEqual(check_item(b"\x81\x43abc", max_depth=1, max_length=3), 5)
        self.assertEqual(self.assertRaises(CborError, check_item, b"\x81\x80", max_depth=1).kind, "NestingTooDeep")
        self.assertEqual(self.assertRaises(CborError, check_item, b"\x44abcd", max_length=3).kind, "LengthTooLarge")
        self.assertEqual(self.assertRaises(CborError, check_item, b"\x84", max_length=3).kind, "LengthTooLarge")

    @PROPERTIES
    @given(st.binary())
    def test_garbage(self, data: bytes) -> None:
        """
        Arbitrary bytes are one value in its only form, or a L{DecodeError}.
        """
        self.assert_only_form(data)

    @PROPERTIES
    @given(values, st.data())
    def test_damaged(self, value: object, data: st.DataObject) -> None:
        """
        The same with a valid item in which one byte was changed, added or dropped.
        """
        encoded = encode(value)
        position = data.draw(st.integers(0, len(encoded)))
        dropped = data.draw(st.integers(0, 1))
        added = data.draw(st.binary(max_size=2))
        self.assert_only_form(encoded[:position] + added + encoded[position + dropped :])

    def assert_only_form(self, data: bytes) -> None:
        try:
            end = check_item(data)
        except DecodeError:
            self.assertRaises(DecodeError, decode, data)
        else:
            self.assertEqual(encode(decode(data)), data[:end])

    def test_lies_about_lengths(self) -> None:
        """
        A length that is declared costs nothing until its content is there.
        """
        tracemalloc.start()
        try:
            for head in (0x5A, 0x7A, 0x9A, 0xBA):
                self.assertRaises(CborError, decode, bytes((head,)) + MAX_LENGTH.to_bytes(4, "big") + bytes(100))
            self.assertTrue(tracemalloc.get_traced_memory()[1] < 100_000)
        finally:
            tracemalloc.stop()

    def test_check_needs_no_memory(self) -> None:
        """
        Checking a hundred thousand items needs no memory for them.
        """
        data = b"\x9a\x00\x01\x86\xa0" + b"\x80" * 100_000
        tracemalloc.start()
        try:
            self.assertEqual(check_item(data), len(data))
            self.assertTrue(tracemalloc.get_traced_memory()[1] < 10_000)
        finally:
            tracemalloc.stop()

    def test_maps_in_keys(self) -> None:
        """
        Keys that are maps with large keys themselves are compared without copying them at each level.
        """
        key = b"\x58\xff" + bytes(255)
        for _ in range(199):
            key = b"\xa2" + b"\x00\x00" + key + b"\x00"
        self.assertEqual(check_item(key), len(key))
