"""
The bytes on the protocol pages are read by our own code: what a stranger tests against is what we speak.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import check_form
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.operation import decode_header, validate_operation
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import TlsAddress
from p2panda_tw.endpoint.network import alpn, network_id_of
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.sync.messages import (
    Close,
    Done,
    HandshakeDone,
    HandshakeTopic,
    Have,
    LiveOperation,
    LogIds,
    PreSync,
    SyncOperation,
    decode_handshake_message,
    decode_message,
    encode_have,
)
from p2panda_tw.transport.frames import HEADER, SYN
from p2panda_tw.wire.frames import FrameDecoder
from tests.docs import ROOT, WHY_NOT

KEY: Final = SigningKey.from_hex("f47b55d7a1cc5ee3effd80a4e4a0c33112317d0432da9de6ae019ae7e78e16aa")
A: Final = KEY.verifying_key
B: Final = NodeId.from_hex("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
T: Final = Topic(bytes(range(32)))
HEX_AT_END: Final = re.compile(r"(?:^|\s{2,})((?:[0-9a-f]{2,} ?)+)(?:\s{2,}\S.*)?$")


def blocks(page: str) -> list[list[str]]:
    """
    @return: The lines of each block of text on a page.
    """
    text = (ROOT / "docs" / page).read_text("utf-8")
    return [block.splitlines() for block in re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def hex_of(line: str) -> bytes:
    """
    @return: The bytes in a line, which stand behind a label, before a remark, or alone; none if there are none.
    """
    found = HEX_AT_END.search(line.strip())
    return bytes.fromhex(found[1]) if found else b""


class PageBytesTests(SynchronousTestCase):
    """
    Examples on the protocol pages.
    """

    skip = WHY_NOT

    def test_operations(self) -> None:
        """
        Each operation decodes, has the id that the page gives, and fits its body and form.
        """
        seen = []
        for block in blocks("operations.md"):
            fields = {
                line.split()[0]: hex_of(line) for line in block if line.startswith(("header", "id", "body", "sign"))
            }
            if "header" not in fields:
                continue
            header = decode_header(fields["header"])
            self.assertEqual((header.verifying_key, header.hash), (A, Hash(fields["id"])))
            validate_operation(header, fields.get("body"))
            prune = check_form(header, Form.NODE if header.extensions else Form.CHAT, T)
            if "signed" in fields:
                self.assertEqual(KEY.sign(fields["signed"]), fields["signature"])
            seen.append((header.seq_num, prune))
        self.assertEqual(seen, [(0, False), (1, True), (2, False), (0, False)])

    def test_small_orders(self) -> None:
        """
        No signature is right under the fourteen keys of small order.
        """
        block = next(block for block in blocks("operations.md") if block[0].startswith("00" * 32))
        keys = [bytes.fromhex(key) for line in block for key in line.split()]
        self.assertEqual(len(set(keys)), 14)
        for key in keys:
            self.assertFalse(NodeId(key).verify(b"whatever", b"\1" + bytes(63)))

    def test_ticket(self) -> None:
        """
        The ticket says what the page says, and the page shows its bytes.
        """
        fields, (text,) = blocks("tickets.md")
        ticket = Ticket(node_id=A, topic=T, addresses=[TlsAddress("127.0.0.1", 4242)])
        self.assertEqual(Ticket.decode(text), ticket)
        self.assertEqual(str(ticket), text)
        self.assertEqual(Ticket.decode("p2panda1" + _base32(b"".join(map(hex_of, fields)))), ticket)

    def test_sync(self) -> None:
        """
        Each message is a whole frame that we read and write as the page says.
        """
        read: list[object] = []
        for line in [line for block in blocks("sync.md") for line in block]:
            data = hex_of(line)
            if "<" in line or data[:2] != b"\0\0":
                continue
            decoder = FrameDecoder(1 << 20)
            (payload,) = decoder.receive_data(data)
            assert isinstance(payload, bytes)
            if line.startswith(("Topic", "I stream 1", "R stream 1")) or data == bytes.fromhex("0000000101"):
                read.append(decode_handshake_message(payload))
            else:
                message = decode_message(payload, LogIds.NUMBERS if "{1: " in line else LogIds.HASHES)
                if isinstance(message, SyncOperation | LiveOperation):
                    decode_header(message.operation.header)
                read.append(message)
        kinds = [type(message) for message in read]
        self.assertEqual([kinds.count(kind) for kind in (HandshakeTopic, HandshakeDone)], [2, 3])
        self.assertEqual([kinds.count(kind) for kind in (SyncOperation, LiveOperation)], [2, 1])
        self.assertEqual([kinds.count(kind) for kind in (PreSync, Done, Close)], [2, 3, 2])
        haves = [message.heights for message in read if isinstance(message, Have)]
        self.assertEqual(haves, [{}, {A: {1: 2}}, {B: {1: 300}, A: {1: 2}}, {A: {T.log_id(): 0}}, {A: {1: 0}}, {}])
        for have, log_ids in ((haves[3], LogIds.HASHES), (haves[4], LogIds.NUMBERS)):
            self.assertIn(
                encode_have(have, log_ids)[4:].hex(), (ROOT / "docs" / "sync.md").read_text().replace(" ", "")
            )

    def test_alpn(self) -> None:
        """
        The negotiated bytes of both protocols are on the page.
        """
        page = (ROOT / "docs" / "tls-transport.md").read_text("utf-8")
        for protocol_id in ("p2panda/log_sync/v1", "p2panda_tw/addresses/v1"):
            expected = alpn(protocol_id.encode(), network_id_of("p2panda")).hex()
            self.assertRegex(page, rf"`{protocol_id}` \|.*`{expected}`")

    def test_stream_frames(self) -> None:
        """
        The frames of the TLS transport have the layout of our multiplexer.
        """
        *_, frames, handshake = blocks("tls-transport.md")
        heads = [
            HEADER.unpack(bytes.fromhex(part)[:12]) for line in frames for part in re.findall("00 0[0-3] .{22}", line)
        ]
        self.assertEqual(
            heads,
            [
                (0, 0, 1, 1, 1),
                (0, 1, 2, 1, 0),
                (0, 2, 1, 0, 1),
                (0, 2, 2, 0, 1),
                (0, 0, 4, 1, 0),
                (0, 1, 8, 1, 0),
                (0, 1, 0, 3, 65536),
                (0, 3, 0, 0, 0),
            ],
        )
        data = hex_of(handshake[0].replace("  ", " "))
        self.assertEqual(HEADER.unpack(data[:12]), (0, 0, SYN, 1, len(data) - 12))
        (payload,) = FrameDecoder(100).receive_data(data[13:])
        assert isinstance(payload, bytes)
        self.assertEqual(decode_handshake_message(payload), HandshakeTopic(T))


def _base32(data: bytes) -> str:
    from base64 import b32encode

    return b32encode(data).decode().rstrip("=").lower()
