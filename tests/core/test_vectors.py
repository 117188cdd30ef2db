"""
Our values beside those of the Rust crates: C{core.json} and C{core-decode.json} whole, the timestamps and ALPN values of
C{addresses.json}, the comparisons of C{sync.json}.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import ForeignLog, NodeExtensions, check_form, decode_node_extensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey, VerifyingKey
from p2panda_tw.core.logs import LogHeights, LogRange, LogRanges, compare
from p2panda_tw.core.operation import (
    Header,
    OperationError,
    build_header,
    decode_header,
    validate_backlink,
    validate_header,
    validate_operation,
    validate_prunable_backlink,
)
from p2panda_tw.core.timestamp import HybridTimestamp
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, alpn
from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire import cbor
from p2panda_tw.wire.postcard import Reader
from tests.vectors import Case, check_complete, check_differences, check_each, load, of_kind

CORE: Final[dict[str | None, int]] = {
    "signature": 32,
    "verify": 27,
    "hash": 18,
    "topic": 4,
    "header": 37,
    "log_rule": 13,
    "body_rule": 9,
}

CORE_DECODE: Final[dict[str | None, int]] = {None: 243}

ADDRESSES: Final[dict[str | None, int]] = {
    "alpn": 12,
    "constant": 1,
    "hybrid_timestamp": 6,
    "hybrid_timestamp_parse": 14,
}

ADDRESSES_LEFT_OUT: Final = dict.fromkeys(
    [
        "add_addr",
        "authenticated",
        "decode_authenticated",
        "decode_endpoint_addr_postcard",
        "endpoint_addr",
        "metrics",
        "node_info",
        "relay_url",
        "transport_address",
        "trusted",
        "update_transports",
    ],
    "addresses as discovery and the address book exchange them; neither is here yet",
)

SYNC: Final[dict[str | None, int]] = {"compare": 28}

SYNC_LEFT_OUT: Final = dict.fromkeys(
    [
        "decode",
        "handshake_decode",
        "handshake_error",
        "handshake_message",
        "handshake_transcript",
        "message",
        "scripted_remote",
        "transcript",
    ],
    "the protocol itself: tests/sync",
)

UNBUILT: Final = {
    "invalid: seq 5 without backlink": "we refuse to build what nobody can decode",
    "invalid: seq 0 with backlink": "we refuse to build what nobody can decode",
}
"""
Headers that Rust builds and we do not.
"""

TAGGED: Final = dict.fromkeys(
    [
        "version: version as tag 0 around 1",
        "version: version as tag 55799 around 1",
        "key: tagged",
        "key: bignum tag 2",
        "signature: tagged",
        "payload: size tagged",
        "seq: 1 tagged",
        "outer: tag 55799 around the header",
    ],
    "a tag around or inside fields 1 to 7 would give one header several ids",
)
"""
Bytes that Rust takes for a header and we do not.
"""

RULES: Final = {
    "expected backlink but none was given": "BacklinkMissing",
    "given backlink did not match previous operation": "BacklinkMismatch",
    "logs can not contain operations of different authors": "TooManyAuthors",
    "payload hash and size do not match given body": "PayloadMismatch",
    "sequence number can't be 0 when backlink is given": "SeqNumMismatch",
}
"""
Rust's sentences, and the kind of our error.
"""


def same(found: object, expected: object, what: str = "") -> None:
    assert found == expected, f"{what} {found!r}, not {expected!r}"


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def hexed(value: Hash | None) -> str | None:
    return None if value is None else value.hex()


def body_of(case: Case) -> bytes | None:
    """
    @return: The body of a case, which may be given as one byte repeated.
    """
    if "body_repeat" in case:
        repeat = case["body_repeat"]
        return bytes((repeat["byte"],)) * int(repeat["len"])
    return unhex(case["body"])


def outcome(rule: Callable[..., None], *arguments: Any) -> str:
    """
    @return: C{"ok"}, or the kind of the error.
    """
    try:
        rule(*arguments)
    except OperationError as error:
        return error.kind
    return "ok"


def expected_outcome(result: Any) -> str:
    """
    @return: What L{outcome} has to say.
    """
    if result == "ok":
        return "ok"
    text = result["error"]
    return "SeqNumNonIncremental" if text.startswith("expected sequence number ") else RULES[text]


def loose_header(raw: bytes) -> Header:
    """
    Make a header also of what does not decode, as Rust's builder can: with a wrong number of backlinks.
    """
    try:
        return decode_header(raw)
    except DecodeError:
        fields = cbor.decode(raw)
    assert isinstance(fields, list)
    _, key, signature, size, *rest = fields
    hashes = [Hash(field) if isinstance(field, bytes) else None for field in rest]
    seq_num = next(field for field in rest if isinstance(field, int))
    before, after = hashes[: rest.index(seq_num)], hashes[rest.index(seq_num) + 1 :]
    return Header(
        verifying_key=VerifyingKey(key),
        signature=signature,
        payload_size=size,
        payload_hash=before[0] if before else None,
        seq_num=seq_num,
        backlink=after[0] if after else None,
        extensions=None,
        raw=raw,
        hash=Hash.of(raw),
    )


class CoreVectorTests(SynchronousTestCase):
    """
    Each case of C{core.json}.
    """

    def test_complete(self) -> None:
        """
        Every case is looked at by one of the other tests.
        """
        check_complete(self, load("core"), CORE, {})

    def test_signature(self) -> None:
        """
        We sign as Rust does.
        """

        def check(case: Case) -> None:
            key = SigningKey.from_hex(case["signing_key"])
            message = bytes.fromhex(case["message"])
            same(key.verifying_key.hex(), case["verifying_key"])
            same(key.sign(message).hex(), case["bytes"])
            same(key.verifying_key.verify(message, bytes.fromhex(case["bytes"])), case["verifies"])

        check_each(self, of_kind("core", "signature"), check)

    def test_verify(self) -> None:
        """
        Keys and signatures that are odd in any way are accepted or refused as by Rust.
        """

        def check(case: Case) -> None:
            raw = bytes.fromhex(case["verifying_key"])
            try:
                key = VerifyingKey(raw)
            except ValueError:
                assert case["key_decodes"] is not True, "the key is refused"
                return
            same(True, case["key_decodes"])
            same(key.verify(bytes.fromhex(case["message"]), bytes.fromhex(case["bytes"])), case["verifies"])

        check_each(self, of_kind("core", "verify"), check)

    def test_hash(self) -> None:
        """
        We hash as Rust does.
        """

        def check(case: Case) -> None:
            if "pattern_len" in case:
                data = bytes(number % 251 for number in range(case["pattern_len"]))
            else:
                data = case["text"].encode()
            same(Hash.of(data).hex(), case["bytes"])

        check_each(self, of_kind("core", "hash"), check)

    def test_topic(self) -> None:
        """
        Topics and log ids have the bytes that Rust gives them.
        """

        def check(case: Case) -> None:
            topic = Topic.from_hex(case["topic"])
            same(topic.hex(), case["display"])
            same(cbor.encode(topic.raw).hex(), case["cbor"])
            same(topic.log_id().hex(), case["log_id"])
            same(cbor.encode(topic.log_id().raw).hex(), case["log_id_cbor"])

        check_each(self, of_kind("core", "topic"), check)

    def test_header(self) -> None:
        """
        Headers are built to the same bytes as by Rust and decoded to the same fields.
        """

        def check(case: Case) -> None:
            raw = bytes.fromhex(case["bytes"])
            body = body_of(case)
            header = loose_header(raw)
            if case["name"] == "invalid: seq 0 with backlink":
                # To whoever decodes it untyped, the backlink is in the place of the extensions.
                same(header.extensions, cbor.encode(bytes.fromhex(case["backlink"])))
                header = Header(
                    verifying_key=header.verifying_key,
                    signature=header.signature,
                    payload_size=0,
                    payload_hash=None,
                    seq_num=0,
                    backlink=Hash.from_hex(case["backlink"]),
                    extensions=None,
                    raw=raw,
                    hash=header.hash,
                )
            else:
                same(case["decodes"] is True, outcome_of_decoding(raw) == "ok", "decodes")
            same(len(raw), case["size"])
            same(raw[1], case["version"])
            same(header.verifying_key.hex(), case["verifying_key"])
            same(header.signature.hex(), case["signature"])
            same(header.payload_size, case["payload_size"])
            same(hexed(header.payload_hash), case["payload_hash"])
            same(header.seq_num, case["seq_num"])
            same(hexed(header.backlink), case["backlink"])
            same(header.extensions, unhex(case["extensions"]["cbor"]))
            same(header.hash.hex(), case["hash"])
            same(header.signed_bytes.hex(), case["signed_bytes"])
            same(outcome(validate_header, header), expected_outcome(case["validate_header"]))
            same(outcome(validate_operation, header, body), expected_outcome(case["validate_operation"]))
            if case["extensions"]["type"] == "p2panda::operation::Extensions":
                check_extensions(case["extensions"], header)
            if case["name"] not in UNBUILT:
                same(build(case), header)

        def check_extensions(extensions: Case, header: Header) -> None:
            expected = NodeExtensions(
                Hash.from_hex(extensions["log_id"]), extensions["timestamp"], extensions["prune_flag"]
            )
            assert header.extensions is not None
            same(decode_node_extensions(header.extensions), expected)
            same(expected.encode(), header.extensions)
            same(check_form(header, Form.NODE, Topic.from_hex(extensions["topic"])), expected.prune_flag)

        check_each(self, of_kind("core", "header"), check)

    def test_not_built(self) -> None:
        """
        What Rust builds although it cannot be decoded, we refuse to build.
        """
        refused = []
        for case in of_kind("core", "header"):
            try:
                build(case)
            except LocalProtocolError:
                refused.append(case["name"])
        check_differences(self, UNBUILT, refused)

    def test_log_rule(self) -> None:
        """
        What continues a log is decided as by Rust.
        """

        def check(case: Case) -> None:
            past = None if case["past"] is None else loose_header(bytes.fromhex(case["past"]))
            header = loose_header(bytes.fromhex(case["bytes"]))
            if past is not None:
                same(outcome(validate_backlink, past, header), expected_outcome(case["validate_backlink"]))
            else:
                same(case["validate_backlink"], None)
            for flag, name in ((False, "prunable_flag_off"), (True, "prunable_flag_on")):
                found = outcome(validate_prunable_backlink, past, header, flag)
                same(found, expected_outcome(case[name]), name)

        check_each(self, of_kind("core", "log_rule"), check)

    def test_body_rule(self) -> None:
        """
        Which body belongs to a header is decided as by Rust.
        """

        def check(case: Case) -> None:
            header = decode_header(bytes.fromhex(case["bytes"]))
            found = outcome(validate_operation, header, unhex(case["body"]))
            same(found, expected_outcome(case["validate_operation"]))

        check_each(self, of_kind("core", "body_rule"), check)


def build(case: Case) -> Header:
    """
    @return: What our builder makes of a case.
    """
    backlink = case["backlink"]
    return build_header(
        SigningKey.from_hex(case["signing_key"]),
        body=body_of(case),
        seq_num=case["seq_num"],
        backlink=None if backlink is None else Hash.from_hex(backlink),
        extensions=unhex(case["extensions"]["cbor"]),
    )


def outcome_of_decoding(raw: bytes) -> str:
    """
    @return: C{"ok"}, or the kind of the error.
    """
    try:
        decode_header(raw)
    except DecodeError as error:
        kind: str = error.kind  # type: ignore[attr-defined]  # each error of decode_header has one
        return kind
    return "ok"


def outcome_of_form(header: Header, form: Form) -> str:
    """
    @return: C{"ok"} if the extensions are those of a form, whatever the topic; or the kind of the error.
    """
    try:
        check_form(header, form, Topic(bytes(32)))
    except ForeignLog:
        return "ok"
    except DecodeError as error:
        kind: str = error.kind  # type: ignore[attr-defined]  # each error of check_form has one
        return kind
    return "ok"


def expected_kind(verdict: Any) -> str:
    """
    @return: The kind in a verdict on a header: Rust's name of the error, that of the inner one if the bytes are no CBOR.
    """
    if verdict["accept"]:
        return "ok"
    found = re.fullmatch(r"(?:DecodingHeader\()?(\w+).*", verdict["error_debug"], re.DOTALL)
    assert found is not None
    return found[1]


class DecodeVectorTests(SynchronousTestCase):
    """
    Each case of C{core-decode.json}. Rust has a decoder per type of extensions; ours are the untyped one, the one without
    extensions (chat form) and the one of the Node. What C{CustomExtensions} says concerns a type of the recording program.
    """

    def test_complete(self) -> None:
        """
        Every case is looked at by one of the other tests, and every verdict in it.
        """
        cases = load("core-decode")
        check_complete(self, cases, CORE_DECODE, {})
        readers = {reader for case in cases for reader in case["verdict"]}
        self.assertEqual(readers, {"AnyHeader", "Header<()>", "Header<NodeExtensions>", "Header<CustomExtensions>"})

    def test_untyped(self) -> None:
        """
        Odd bytes are a header or not as by Rust, for the same reason and with the same fields.
        """

        def check(case: Case) -> None:
            raw = bytes.fromhex(case["bytes"])
            verdict = case["verdict"]["AnyHeader"]
            expected = "Tagged" if case["name"] in TAGGED else expected_kind(verdict)
            same(outcome_of_decoding(raw), expected)
            if expected == "ok":
                check_fields(case, verdict, decode_header(raw))

        def check_fields(case: Case, verdict: Case, header: Header) -> None:
            same(verdict["version"], 1)
            same(len(header.raw), verdict["size"])
            same(header.payload_size, verdict["payload_size"])
            same(hexed(header.payload_hash), verdict["payload_hash"])
            same(header.seq_num, verdict["seq_num"])
            same(hexed(header.backlink), verdict["backlink"])
            same(header.hash.hex(), verdict["hash"])
            same(verdict["hash_is_of_received_bytes"], True)
            same(verdict["reencoded_equal"], True)
            same(outcome(validate_header, header), expected_outcome(verdict["validate_header"]))
            without = outcome(validate_operation, header, None)
            same(without, expected_outcome(verdict["validate_operation_without_body"]))
            body = unhex(case["body"])
            if body is None:
                same(verdict["validate_operation_with_body"], None)
            else:
                with_body = outcome(validate_operation, header, body)
                same(with_body, expected_outcome(verdict["validate_operation_with_body"]))

        check_each(self, load("core-decode"), check)

    def test_forms(self) -> None:
        """
        Extensions fit a form as they fit the type that Rust has for it.
        """

        def check(case: Case) -> None:
            if outcome_of_decoding(bytes.fromhex(case["bytes"])) != "ok":
                untyped = case["verdict"]["AnyHeader"]["accept"]
                assert not untyped or case["name"] in TAGGED, "only the untyped decoder of Rust takes it"
                return
            header = decode_header(bytes.fromhex(case["bytes"]))
            for reader, form in (("Header<()>", Form.CHAT), ("Header<NodeExtensions>", Form.NODE)):
                same(outcome_of_form(header, form), expected_kind(case["verdict"][reader]), reader)
            node = case["verdict"]["Header<NodeExtensions>"]
            if node["accept"]:
                assert header.extensions is not None
                same(decode_node_extensions(header.extensions), read_debug(node["extensions_debug"]))

        check_each(self, load("core-decode"), check)

    def test_differences(self) -> None:
        """
        A tag around a header or around one of its fields is refused, and nothing else that Rust takes.
        """
        found = [
            case["name"]
            for case in load("core-decode")
            if case["verdict"]["AnyHeader"]["accept"] != (outcome_of_decoding(bytes.fromhex(case["bytes"])) == "ok")
        ]
        check_differences(self, TAGGED, found)


def read_debug(text: str) -> NodeExtensions:
    """
    @return: The extensions that Rust printed.
    """
    log_id = re.search(r"log_id: LogId\(Hash\(\[([0-9, ]+)\]\)\)", text)
    timestamp = re.search(r"timestamp: Timestamp\((\d+)\)", text)
    assert log_id is not None
    assert timestamp is not None
    return NodeExtensions(Hash(bytes(map(int, log_id[1].split(", ")))), int(timestamp[1]), "PruneFlag(true)" in text)


class AddressVectorTests(SynchronousTestCase):
    """
    What C{addresses.json} says of networks and of time.
    """

    def test_complete(self) -> None:
        """
        Every case is looked at by one of the other tests, or left out by name.
        """
        check_complete(self, load("addresses"), ADDRESSES, ADDRESSES_LEFT_OUT)

    def test_alpn(self) -> None:
        """
        We negotiate a protocol in a network by the bytes that Rust uses.
        """

        def check(case: Case) -> None:
            found = alpn(case["protocol_id"].encode(), bytes.fromhex(case["network_id"]))
            same(found.hex(), case["bytes"])

        check_each(self, of_kind("addresses", "alpn"), check)

    def test_constant(self) -> None:
        """
        The network without a name is the same one.
        """
        self.assertEqual([case["bytes"] for case in of_kind("addresses", "constant")], [DEFAULT_NETWORK_ID.hex()])

    def test_hybrid_timestamp(self) -> None:
        """
        Hybrid timestamps have the text, CBOR and postcard forms that Rust gives them.
        """

        def check(case: Case) -> None:
            timestamp = HybridTimestamp(case["wall"], case["logical"])
            same(str(timestamp), case["text"])
            same(timestamp.to_cbor().hex(), case["bytes"])
            same(timestamp.to_postcard().hex(), case["postcard"])
            same(HybridTimestamp.from_text(case["text"]), timestamp)
            same(HybridTimestamp.from_cbor(cbor.decode(bytes.fromhex(case["bytes"]))), timestamp)
            same(HybridTimestamp.from_postcard(Reader(bytes.fromhex(case["postcard"]))), timestamp)

        check_each(self, of_kind("addresses", "hybrid_timestamp"), check)

    def test_hybrid_timestamp_parse(self) -> None:
        """
        A text is a hybrid timestamp if it is one for Rust.
        """

        def check(case: Case) -> None:
            try:
                timestamp = HybridTimestamp.from_text(case["text"])
            except DecodeError:
                same(case["verdict"]["accept"], False)
            else:
                same(str(timestamp), case["verdict"].get("again"))

        check_each(self, of_kind("addresses", "hybrid_timestamp_parse"), check)


def heights(authors: list[Any]) -> LogHeights:
    return {
        VerifyingKey.from_hex(entry["author"]): {log["log_id"]: log["height"] for log in entry["logs"]}
        for entry in authors
    }


def ranges(authors: list[Any]) -> LogRanges:
    return {
        VerifyingKey.from_hex(entry["author"]): {
            log["log_id"]: LogRange(log["after"], log["until"]) for log in entry["logs"]
        }
        for entry in authors
    }


class SyncVectorTests(SynchronousTestCase):
    """
    What C{sync.json} says of the comparison of logs.
    """

    def test_complete(self) -> None:
        """
        Every case is looked at here, or left out by name.
        """
        check_complete(self, load("sync"), SYNC, SYNC_LEFT_OUT)

    def test_compare(self) -> None:
        """
        We find out what another node lacks as Rust does.
        """

        def check(case: Case) -> None:
            same(compare(heights(case["local"]), heights(case["remote"])), ranges(case["result"]))

        check_each(self, of_kind("sync", "compare"), check)
