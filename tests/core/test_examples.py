"""
The worked examples of written specifications (C{examples.json}), as far as they concern values and their encodings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.cursor import Cursor
from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, build_header, decode_header
from p2panda_tw.core.header_error import HeaderError
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.timestamp import HybridTimestamp
from p2panda_tw.core.topic import CHAT_LOG_ID, Topic
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, alpn
from p2panda_tw.wire import cbor
from p2panda_tw.wire.frames import FrameDecoder, encode_frame
from p2panda_tw.wire.postcard import Reader, bytes_, varint
from tests.vectors import load

SYNC: Final = (
    "Have {}",
    "Have {A: {1: 2}}",
    "Have {A: {1: 0}}",
    "Have {B: {1: 300}, A: {1: 2}}",
    "Have {A: {log id: 0}}",
    "PreSync 3 560",
    "PreSync 1 151",
    "PreSync 1 192",
    "Done",
    "Close",
    "handshake Topic",
    "handshake Done",
)

DISCOVERY: Final = (
    "endpoint address, postcard",
    "transport info full, signed bytes",
    "transport info full, signature",
    "transport info full, postcard",
    "transport info full, CBOR",
    "transport info empty, signed bytes",
    "transport info empty, signature",
    "transport info empty, postcard",
    "transport info empty, CBOR",
    "user data",
    "psi hash, role 00",
    "psi hash, role 01",
    "discovery message 0",
    "discovery message 1",
    "discovery message 2",
    "discovery message 2, empty",
    "discovery message 3, empty",
    "discovery message 3, empty info",
    "discovery message 3, full info",
    "stored node info",
    "mDNS transport info, signed bytes",
    "mDNS transport info, signature",
)

GOSSIP: Final = (
    "membership topic of 11*32",
    "membership topic of 07*32",
    "membership topic of BLAKE3 of shirokuma-cafe",
    "membership topic of 00..1f",
    "peer data EMPTY",
    "peer data V4",
    "peer data FULL",
    "ephemeral Hello, Panda!, message id",
    "ephemeral Hello, Panda!, gossip frame",
    "gossip JOIN_NONE",
    "gossip JOIN_EMPTY",
    "gossip JOIN_V4",
    "gossip JOIN_FULL",
    "gossip JOIN_NODATA",
    "gossip FWDJOIN",
    "gossip FWDJOIN_MIN",
    "gossip SHUFFLE",
    "gossip SHUFFLEREPLY",
    "gossip SHUFFLEREPLY_0",
    "gossip NEIGHBOR_HIGH",
    "gossip NEIGHBOR_LOW",
    "gossip DISC_ALIVE",
    "gossip DISC_QUIT",
    "gossip GOSSIP_R0",
    "gossip GOSSIP_R300",
    "gossip GOSSIP_NEIGH",
    "gossip GOSSIP_VOID",
    "gossip PRUNE",
    "gossip GRAFT_ID",
    "gossip GRAFT_NONE",
    "gossip IHAVE_1",
    "gossip IHAVE_2",
)

LEFT_OUT: Final = {
    **dict.fromkeys(SYNC, "messages of log sync: tests/sync"),
    **dict.fromkeys(DISCOVERY, "discovery, mDNS and the address book, which are not here yet"),
    **dict.fromkeys(GOSSIP, "gossip, which is not here yet"),
    "orderer set digest": "upstream's table of causal order, which we have no use for",
}
"""
Examples that are not looked at here, and why.
"""

ALICE: Final = SigningKey.from_hex("f47b55d7a1cc5ee3effd80a4e4a0c33112317d0432da9de6ae019ae7e78e16aa")
BOB: Final = SigningKey(b"\x01" * 32)
TOPIC: Final = Topic(bytes(range(32)))
START: Final = 1_700_000_000_000_000


def node_operation(body: bytes | None, seq_num: int, backlink: Hash | None, timestamp: int, prune: bool) -> Header:
    """
    @return: A header of Alice's in the Node form.
    """
    extensions = NodeExtensions(TOPIC.log_id(), timestamp, prune).encode()
    return build_header(ALICE, body=body, seq_num=seq_num, backlink=backlink, extensions=extensions)


def header_parts(name: str, header: Header) -> Iterator[tuple[str, bytes]]:
    """
    @return: A header, its signed bytes and its id, by name of the examples.
    """
    yield name, header.raw
    yield f"{name}, signed bytes", header.signed_bytes
    yield f"{name}, id", header.hash.raw


def raw_operation(header: Header, body: bytes | None) -> bytes:
    """
    @return: Its postcard form.
    """
    return bytes_(header.raw) + (b"\0" if body is None else b"\1" + bytes_(body))


def headers() -> Iterator[tuple[str, bytes]]:
    """
    @return: The examples of operations.
    """
    sloth = b"Hello, Sloth!"
    a = build_header(ALICE, body=None, seq_num=0, backlink=None, extensions=None)
    b = build_header(ALICE, body=sloth, seq_num=0, backlink=None, extensions=None)
    c = build_header(ALICE, body=None, seq_num=1, backlink=b.hash, extensions=None)
    yield from header_parts("header A", a)
    yield from header_parts("header B", b)
    yield from header_parts("header C", c)
    yield "id of c1 ‖ A", Hash.of(b"\xc1" + a.raw).raw

    body = cbor.encode("Hello, Sloth!")
    n0 = node_operation(body, 0, None, START, prune=False)
    n1 = node_operation(cbor.encode("snapshot"), 1, n0.hash, START + 1_000_000, prune=True)
    n2 = node_operation(None, 2, n1.hash, START + 2_000_000, prune=False)
    yield from header_parts("node operation N0", n0)
    yield from header_parts("node operation N1", n1)
    yield from header_parts("node operation N2", n2)
    yield "raw operation N0, postcard", raw_operation(n0, body)
    yield "node extensions, timestamp 1700000000000000", NodeExtensions(TOPIC.log_id(), START, False).encode()
    six = cbor.encode([1, 0, TOPIC.log_id().raw, START, False, 0])
    sixth = build_header(ALICE, body=body, seq_num=0, backlink=None, extensions=six)
    yield "node operation N0 with a sixth element", sixth.raw
    yield "node operation N0 with a sixth element, id", sixth.hash.raw

    nick = b"/nick panda\n"
    second = build_header(ALICE, body=nick, seq_num=1, backlink=b.hash, extensions=None)
    yield "Operation, chat", encode_frame(b"\0\2" + raw_operation(b, sloth))
    yield "Operation, chat, no body", encode_frame(b"\0\2" + raw_operation(b, None))
    yield "Live, chat", encode_frame(b"\1" + raw_operation(b, sloth))
    yield "Live, chat, seq 1", encode_frame(b"\1" + raw_operation(second, nick))
    yield "chat, seq 1, id", second.hash.raw

    text = cbor.encode("Hello!")
    hello = node_operation(text, 0, None, 1_783_382_400_000_000, prune=False)
    prune = node_operation(None, 1, hello.hash, 1_783_382_400_000_001, prune=True)
    yield "node Hello!, id", hello.hash.raw
    yield "node Hello!, Operation", encode_frame(b"\0\2" + raw_operation(hello, text))
    yield "node Hello!, Live", encode_frame(b"\1" + raw_operation(hello, text))
    yield "node prune, id", prune.hash.raw
    yield "node prune, Live", encode_frame(b"\1" + raw_operation(prune, None))


def values() -> Iterator[tuple[str, bytes]]:
    """
    @return: The examples of keys, times, cursors and CBOR.
    """
    yield "node id of seed 00..1f", SigningKey(bytes(range(32))).verifying_key.raw
    yield "public key of seed 04..", SigningKey(b"\4" * 32).verifying_key.raw
    yield "BLAKE3 of 010203", Hash.of(b"\1\2\3").raw
    yield "BLAKE3 of p2panda (default network id)", Hash.of(b"p2panda").raw
    exact = HybridTimestamp(1_760_000_000_123_456)
    yield "hybrid timestamp 1760000000123456/0", exact.to_cbor()
    yield "hybrid timestamp 1760000000123456/0, postcard", exact.to_postcard()
    yield "hybrid timestamp 1700000000000000/3", HybridTimestamp(START, 3).to_cbor()
    cursor = Cursor(TOPIC.hex())
    cursor.advance(ALICE.verifying_key, TOPIC.log_id(), 0)
    yield "cursor, height 0", cursor.encode()
    cursor.advance(ALICE.verifying_key, TOPIC.log_id(), 2)
    yield "cursor", cursor.encode()
    yield "struct field_a 12, field_b 17", cbor.encode({"field_a": 12, "field_b": 17})
    for protocol in ("p2panda/confidential_discovery/v1", "p2panda/log_sync/v1", "/iroh-gossip/1", "test/echo/v1"):
        yield f"alpn {protocol}", alpn(protocol.encode(), DEFAULT_NETWORK_ID)
        yield f"alpn {protocol}, network 01", alpn(protocol.encode(), b"\x01" * 32)


def ephemeral_messages() -> Iterator[tuple[str, bytes]]:
    """
    @return: The examples of signed CBOR outside of operations; there is no type for them yet.
    """
    for name, author, timestamp, value in (
        ("hello", ALICE, START, "hello"),
        ("Hello!", ALICE, 1_783_382_400_000_000, "Hello!"),
        ("Hello, Panda!", BOB, START, "Hello, Panda!"),
    ):
        fields: list[object] = [1, author.verifying_key.raw, timestamp, 0, value]
        signed = cbor.encode(fields)
        signature = author.sign(signed)
        yield f"ephemeral {name}, signed bytes", signed
        yield f"ephemeral {name}, signature", signature
        yield f"ephemeral {name}", cbor.encode([*fields[:2], signature, *fields[2:]])


class ExampleTests(SynchronousTestCase):
    """
    Each case of C{examples.json}.
    """

    def setUp(self) -> None:
        self.examples = {case["name"]: bytes.fromhex(case["bytes"]) for case in load("examples")}

    def test_complete(self) -> None:
        """
        Every example is looked at by one of the other tests, or left out by name.
        """
        self.assertEqual(len(self.examples), 137)
        self.assertEqual(len(self.examples), len(load("examples")))
        names = [name for part in (headers(), values(), ephemeral_messages()) for name, _ in part]
        names += [*DECODED, *DECODED.values(), WRONG_VERSION, *READ_AGAIN, *LEFT_OUT]
        # This one stands inside its message only.
        names.remove("ephemeral Hello, Panda!, signature")
        self.assertEqual(sorted(names), sorted(self.examples))

    def assert_made(self, made: Iterator[tuple[str, bytes]]) -> None:
        found = dict(made)
        expected = {name: self.examples[name].hex() for name in found if name in self.examples}
        self.assertEqual({name: found[name].hex() for name in expected}, expected)

    def test_operations(self) -> None:
        """
        Operations come out as in the specification, byte for byte.
        """
        self.assert_made(headers())

    def test_values(self) -> None:
        """
        Keys, times, cursors and names of protocols come out as in the specification.
        """
        self.assert_made(values())

    def test_ephemeral_messages(self) -> None:
        """
        What is signed outside of operations comes out as in the specification.
        """
        self.assert_made(ephemeral_messages())

    def test_decoded(self) -> None:
        """
        Headers that others made are read, and have the id that others give them.
        """
        for name, id_name in DECODED.items():
            self.assertEqual(decode_header(self.examples[name]).hash.raw, self.examples[id_name])
        error = self.assertRaises(HeaderError, decode_header, self.examples[WRONG_VERSION])
        self.assertEqual(error.kind, "UnsupportedVersion")

    def test_read_again(self) -> None:
        """
        CBOR of applications is read and written again without a change.
        """
        for name in READ_AGAIN:
            self.assertEqual(cbor.encode(cbor.decode(self.examples[name])), self.examples[name])

    def test_cursor(self) -> None:
        """
        A cursor that a Rust application stored is read.
        """
        cursor = Cursor.decode(self.examples["cursor"])
        self.assertEqual(cursor.name, TOPIC.hex())
        self.assertEqual(cursor.heights, {ALICE.verifying_key: {TOPIC.log_id(): 2}})

    def test_frames(self) -> None:
        """
        Frames of the examples hold one message each, and heights are written as integers of any size.
        """
        for name in SYNC:
            frame = self.examples[name]
            self.assertEqual(FrameDecoder(1000).receive_data(frame), [frame[4:]])
        payload = self.examples["Have {B: {1: 300}, A: {1: 2}}"][4:]
        reader = Reader(payload, 3)
        self.assertEqual(reader.bytes(32), BOB.verifying_key.raw)
        self.assertEqual([reader.varint(64), reader.varint(64), reader.varint(32)], [1, CHAT_LOG_ID, 300])
        self.assertIn(varint(300), payload)


DECODED: Final = {
    "upstream: field_a, field_b sorted": "upstream: field_a, field_b sorted, id",
    "upstream: body test": "upstream: body test, id",
}
"""
Headers of others, and the example that holds their id.
"""

WRONG_VERSION: Final = "version 0, properly signed"

READ_AGAIN: Final = (
    "ephemeral struct, signed bytes",
    "ephemeral struct",
    "song struct",
    "chat heartbeat",
    "todo Set",
    "todo Delete",
)
"""
Messages of applications whose types are not ours.
"""
