from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, build_header, decode_header
from p2panda_tw.core.header_error import HeaderError, InvalidSignature, why_not_a_header
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire import cbor
from p2panda_tw.wire.cbor import CborError
from tests.properties import PROPERTIES

KEY = SigningKey(b"\1" * 32)
LINK = Hash.of(b"before")

hashes = st.binary(min_size=32, max_size=32).map(Hash)
extension_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=50) | st.binary(max_size=50),
    lambda items: st.lists(items, max_size=5) | st.dictionaries(st.text(max_size=5), items, max_size=5),
    max_leaves=10,
)
node_extensions = st.builds(NodeExtensions, hashes, st.integers(0, 2**64 - 1), st.booleans())
extensions = st.none() | extension_values.map(cbor.encode) | node_extensions.map(NodeExtensions.encode)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    seq_num = draw(st.integers(0, 30) | st.integers(0, 2**32 - 1))
    return build_header(
        SigningKey(draw(st.binary(min_size=32, max_size=32))),
        body=draw(st.none() | st.binary(max_size=300)),
        seq_num=seq_num,
        backlink=draw(hashes) if seq_num else None,
        extensions=draw(extensions),
    )


def build(**changes: Any) -> Header:
    fields: dict[str, Any] = {"body": b"body", "seq_num": 3, "backlink": LINK, "extensions": None}
    return build_header(KEY, **(fields | changes))


class BuildTests(SynchronousTestCase):
    """
    Headers of our own.
    """

    @PROPERTIES
    @given(headers())
    def test_round_trip(self, header: Header) -> None:
        """
        What is built is decoded to the same, signature included.
        """
        self.assertEqual(decode_header(header.raw), header)
        self.assertEqual(dataclasses.asdict(decode_header(header.raw)), dataclasses.asdict(header))
        self.assertEqual(header.hash, Hash.of(header.raw))

    def test_empty_body(self) -> None:
        """
        An empty body is no body.
        """
        self.assertEqual(build(body=b"").raw, build(body=None).raw)

    def test_refused(self) -> None:
        """
        What nobody could decode is not built.
        """
        deep: object = None
        for _ in range(64):
            deep = [deep]
        for changes in (
            {"seq_num": -1},
            {"seq_num": 2**32},
            {"seq_num": 0},
            {"backlink": None},
            {"extensions": b""},
            {"extensions": b"\x00\x00"},
            {"extensions": b"\x18\x00"},
            {"extensions": cbor.encode(bytes(513))},
            {"extensions": cbor.encode(deep)},
        ):
            self.assertRaises(LocalProtocolError, build, **changes)

    def test_limits(self) -> None:
        """
        Extensions may be as long and as deep as upstream allows.
        """
        deep: object = None
        for _ in range(63):
            deep = [deep]
        for item in (bytes(512), deep, "x" * 512, [0] * 512):
            self.assertEqual(build(extensions=cbor.encode(item)).extensions, cbor.encode(item))


class DecodeTests(SynchronousTestCase):
    """
    Headers of others.
    """

    def test_verify(self) -> None:
        """
        A wrong signature is told apart from other problems, and is not looked at when asked so.
        """
        raw = bytearray(build().raw)
        raw[50] ^= 1
        error = self.assertRaises(InvalidSignature, decode_header, bytes(raw))
        self.assertEqual(error.kind, "InvalidSignature")
        self.assertEqual(decode_header(bytes(raw), verify=False).seq_num, 3)

    def test_reasons(self) -> None:
        """
        The error says what is wrong, by upstream's name of it.
        """
        raw = build(body=None, seq_num=0, backlink=None).raw
        deep = b"\x86" + raw[1:] + b"\x81" * 64 + b"\x00"
        for data, kind in [
            (b"", "UnexpectedEof"),
            (raw[:-1], "UnexpectedEof"),
            (raw + b"\0", "InvalidFormat"),
            (b"\x98\x05" + raw[1:], "NonDeterministic"),
            (b"\x9f" + raw[1:] + b"\xff", "NonDeterministic"),
            (b"\xa0", "UnexpectedHeaderType"),
            (b"\x80", "MissingField"),
            (b"\x81\x61a", "UnexpectedFieldType"),
            (b"\x85\x02" + raw[2:], "UnsupportedVersion"),
            (b"\x82\x01\x41a", "InvalidBytesLen"),
            (raw[:4] + b"\2" + bytes(31) + raw[36:], "InvalidVerifyingKey"),
            (raw[:-2] + b"\x05\x00", "UnexpectedFieldType"),
            (raw[:-1] + b"\x01", "MissingField"),
            (b"\x87" + raw[1:] + b"\x00\x00", "ExcessiveFields"),
            (b"\x86" + raw[1:] + b"\x5a" + (513).to_bytes(4, "big"), "NonDeterministic"),
            (b"\x86" + raw[1:] + b"\x59" + (513).to_bytes(2, "big") + bytes(513), "LengthTooLarge"),
            (deep, "NestingTooDeep"),
            (b"\xc1" + raw, "Tagged"),
            (raw[:1] + b"\xc1" + raw[1:], "Tagged"),
            (raw[:36] + b"\xc1" + raw[36:], "Tagged"),
            (raw[:-1] + b"\xc1" + raw[-1:], "Tagged"),
        ]:
            error = self.assertRaises(DecodeError, decode_header, data)
            assert isinstance(error, HeaderError | CborError)
            self.assertEqual((data.hex()[:20], error.kind), (data.hex()[:20], kind))

    @PROPERTIES
    @given(headers(), st.data())
    def test_damaged(self, header: Header, data: st.DataObject) -> None:
        """
        A header in which anything was changed is refused, whatever the change.
        """
        raw = header.raw
        position = data.draw(st.integers(0, len(raw)))
        dropped = data.draw(st.integers(0, 3))
        added = data.draw(st.binary(max_size=3))
        damaged = raw[:position] + added + raw[position + dropped :]
        if damaged != raw:
            self.assertRaises(DecodeError, decode_header, damaged)

    @PROPERTIES
    @given(headers(), st.data())
    def test_only_form(self, header: Header, data: st.DataObject) -> None:
        """
        Without its signature, too, whatever is taken for a header is made of the fields it says, in their only form.
        """
        raw = header.raw
        # Position 102 is where the optional fields begin; that is where a decoder can go wrong.
        position = data.draw(st.integers(102, len(raw)))
        damaged = raw[:position] + data.draw(st.binary(max_size=3)) + raw[position + data.draw(st.integers(0, 3)) :]
        first = bytes((data.draw(st.integers(0x84, 0x89)),))
        for candidate in (damaged, first + damaged[1:]):
            try:
                found = decode_header(candidate, verify=False)
            except DecodeError:
                continue
            fields: list[object] = [1, found.verifying_key.raw, found.signature, found.payload_size]
            fields += [value.raw for value in [found.payload_hash] if value is not None]
            fields += [found.seq_num]
            fields += [value.raw for value in [found.backlink] if value is not None]
            fields += [cbor.decode(item) for item in [found.extensions] if item is not None]
            self.assertEqual(cbor.encode(fields), candidate)
            self.assertEqual(
                (found.payload_size > 0, found.seq_num > 0),
                (found.payload_hash is not None, found.backlink is not None),
            )

    @PROPERTIES
    @given(st.binary(max_size=200))
    def test_garbage(self, data: bytes) -> None:
        """
        Arbitrary bytes are no header, and there is a reason for it.
        """
        self.assertRaises(DecodeError, decode_header, data, verify=False)
        self.assertIsInstance(why_not_a_header(data), DecodeError)
