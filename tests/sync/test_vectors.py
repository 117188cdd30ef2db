"""
Our messages and machines beside recordings of the Rust crates: C{sync.json} (the comparison of heights is with core) and
C{live/s3_sync_initiator.json}, a session with a running Rust node.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogHeights, LogRanges
from p2panda_tw.core.operation import Operation, RawOperation, decode_header
from p2panda_tw.core.stored import Heights, Ingested, LogPage, Refusal, StoredOperation, StoredPage
from p2panda_tw.core.topic import LogId, Topic
from p2panda_tw.errors import DecodeError, RemoteProtocolError
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.messages import (
    CLOSE_FRAME,
    DONE_FRAME,
    Close,
    Done,
    HandshakeDone,
    HandshakeTopic,
    Have,
    LiveOperation,
    LogIds,
    PreSync,
    SyncOperation,
    TopicLogSyncMessage,
    decode_handshake_message,
    decode_message,
    encode_handshake_message,
    encode_have,
    encode_pre_sync,
)
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION, encode_operations
from p2panda_tw.sync.receiving import Phase
from p2panda_tw.sync.session import Purpose
from p2panda_tw.sync.topic_handshake import accept, initiate
from tests.sync.bench import Bench
from tests.sync.handshakes import drive
from tests.vectors import HERE, Case, check_complete, check_differences, check_each, load, of_kind

KINDS: Final[dict[str | None, int]] = {
    "message": 60,
    "scripted_remote": 36,
    "decode": 20,
    "transcript": 19,
    "handshake_decode": 5,
    "handshake_error": 5,
    "handshake_message": 2,
    "handshake_transcript": 1,
}

DIFFERENCES: Final = {
    "scripted: live mode: sync message": "a surplus Done is tolerated, because a Rust node may send one",
}
"""
Where our verdict is another one than Rust's.
"""

TEXT_LOG_IDS: Final = {
    "message String: Have, one log at 0": "log ids are numbers or 32 bytes here (the forms of a topic), never text",
    "message String: Have, three authors": "the same; all other messages are the same for every type of log id",
}
"""
Where we do not follow Rust's generic type.
"""


def log_ids_of(case: Case) -> LogIds:
    """
    @return: How log ids look in this case.
    """
    return LogIds.NUMBERS if case["log_id_type"] == "u64" else LogIds.HASHES


def log_id_of(value: Any) -> LogId:
    """
    @return: A log id as the cases write it.
    """
    return value if isinstance(value, int) else Hash.from_hex(value)


def heights_of(listed: list[Any]) -> LogHeights:
    """
    @return: Heights as the cases write them.
    """
    return {
        VerifyingKey.from_hex(entry["author"]): {log_id_of(log["log_id"]): log["height"] for log in entry["logs"]}
        for entry in listed
    }


def raw_of(message: Case) -> RawOperation:
    """
    @return: The operation of a message as the cases write it.
    """
    body: Any = message.get("body")
    if body is None and message.get("body_repeat"):
        repeat = message["body_repeat"]
        byte = repeat["byte"]
        body = (bytes([byte]) if isinstance(byte, int) else bytes.fromhex(byte)) * repeat["len"]
    elif body is not None:
        body = bytes.fromhex(body)
    return RawOperation(bytes.fromhex(message["header"]), body)


def value_of(message: Case) -> TopicLogSyncMessage:
    """
    @return: The message that a case describes.
    """
    match message["message"]:
        case "Sync.Have":
            return Have(heights_of(message["heights"]))
        case "Sync.PreSync":
            return PreSync(message["total_operations"], message["total_bytes"])
        case "Sync.Operation":
            return SyncOperation(raw_of(message))
        case "Sync.Done":
            return Done()
        case "Live":
            return LiveOperation(raw_of(message))
        case "Close":
            return Close()
        case other:
            raise AssertionError(other)


def encode(message: TopicLogSyncMessage, log_ids: LogIds) -> bytes:
    """
    @return: The frame of a message, made with what the machines use.
    """
    match message:
        case Have(heights):
            return encode_have(heights, log_ids)
        case PreSync(total_operations, total_bytes):
            return encode_pre_sync(total_operations, total_bytes)
        case SyncOperation(operation):
            return b"".join(encode_operations(CATCH_UP_OPERATION, [operation]))
        case LiveOperation(operation):
            return b"".join(encode_operations(LIVE_OPERATION, [operation]))
        case Done():
            return DONE_FRAME
        case Close():
            return CLOSE_FRAME


class Recorded:
    """
    A store that has what one side of a recorded session had: the heights it announced and the operations it sent. What
    comes in is decoded and counts as stored.
    """

    def __init__(self, frames: Sequence[bytes], log_ids: LogIds) -> None:
        """
        @param frames: What this side sent.
        """
        messages = [decode_message(frame[4:], log_ids) for frame in frames]
        self._heights: LogHeights = next((m.heights for m in messages if isinstance(m, Have)), {})
        self._to_send = deque(
            (decode_header(m.operation.header), m.operation) for m in messages if isinstance(m, SyncOperation)
        )
        self.live = [m.operation for m in messages if isinstance(m, LiveOperation)]
        self.arrivals: list[StoredOperation] = []
        self.received: list[RawOperation] = []

    def heights(self) -> Heights:
        return Heights(self._heights, 0)

    def range_size(self, ranges: LogRanges) -> tuple[int, int]:
        return len(self._to_send), sum(len(header.raw) + header.payload_size for header, _ in self._to_send)

    def log_page(self, author: VerifyingKey, log_id: LogId, after: int | None, until: int, limit: int) -> LogPage:
        found: list[RawOperation] = []
        last = -1 if after is None else after
        while self._to_send:
            header, operation = self._to_send[0]
            if header.verifying_key != author or not last < header.seq_num <= until:
                break
            self._to_send.popleft()
            found.append(operation)
            last = header.seq_num
        return LogPage(found, until)

    def page(self, after: int) -> StoredPage:
        return StoredPage(self.arrivals[after:], len(self.arrivals), len(self.arrivals))

    def add(self, operations: Sequence[RawOperation]) -> list[StoredOperation]:
        """
        Operations are stored.
        """
        start = len(self.arrivals)
        for header, body in operations:
            operation = Operation(decode_header(header), body)
            self.arrivals.append(StoredOperation(len(self.arrivals) + 1, 1, operation))
        return self.arrivals[start:]

    def ingest(self, operations: Sequence[RawOperation]) -> Ingested:
        try:
            stored = self.add(operations)
        except DecodeError as error:
            return Ingested(operations=[], refused=[Refusal(reason=str(error), fatal=True)])
        self.received += operations
        return Ingested(operations=stored)


class MessageVectorTests(SynchronousTestCase):
    """
    C{sync.json}, one message at a time.
    """

    def test_every_kind_is_checked(self) -> None:
        """
        No case of the file is forgotten.
        """
        left_out = {"compare": "tests.core.test_vectors"}
        check_complete(self, load("sync"), KINDS, left_out)

    def test_messages(self) -> None:
        """
        Every message is written like Rust writes it, and read back.
        """
        refused = []

        def check(case: Case) -> None:
            log_ids = log_ids_of(case)
            payload = bytes.fromhex(case["bytes"])
            if case["name"] in TEXT_LOG_IDS:
                with self.assertRaises(DecodeError):
                    decode_message(payload, log_ids)
                refused.append(case["name"])
                return
            message = value_of(case)
            self.assertEqual(decode_message(payload, log_ids), message)
            written = encode(message, log_ids)
            if isinstance(message, Have) and not all(message.heights.values()):
                # Rust's types can hold an author without logs, but neither side ever sends one.
                full = {author: logs for author, logs in message.heights.items() if logs}
                self.assertEqual(written, encode_have(full, log_ids))
            else:
                self.assertEqual(written.hex(), case["frame"])

        check_each(self, of_kind("sync", "message"), check)
        check_differences(self, TEXT_LOG_IDS, refused)

    def test_decode(self) -> None:
        """
        Odd messages are taken and refused like Rust does.
        """

        def check(case: Case) -> None:
            verdict = case["verdict"]
            try:
                message = decode_message(bytes.fromhex(case["bytes"]), log_ids_of(case))
            except DecodeError:
                self.assertFalse(verdict["accept"])
            else:
                self.assertTrue(verdict["accept"])
                self.assertEqual(message, value_of(verdict))

        check_each(self, of_kind("sync", "decode"), check)

    def test_handshake_messages(self) -> None:
        """
        The messages of the topic handshake are Rust's.
        """

        def check(case: Case) -> None:
            topic = Topic.from_hex(case["topic"])
            message = HandshakeTopic(topic) if case["name"].endswith("Topic") else HandshakeDone()
            self.assertEqual(encode_handshake_message(message).hex(), case["frame"])
            self.assertEqual(decode_handshake_message(bytes.fromhex(case["bytes"])), message)

        check_each(self, of_kind("sync", "handshake_message"), check)

    def test_handshake_decode(self) -> None:
        """
        Odd handshake messages are taken and refused like Rust does.
        """

        def check(case: Case) -> None:
            try:
                message = decode_handshake_message(bytes.fromhex(case["bytes"]))
            except DecodeError:
                self.assertFalse(case["verdict"]["accept"])
            else:
                self.assertEqual(case["verdict"], {"accept": True, "value": "Done"})
                self.assertEqual(message, HandshakeDone())

        check_each(self, of_kind("sync", "handshake_decode"), check)

    def test_handshake_transcript(self) -> None:
        """
        A topic handshake with a Rust node goes byte for byte as recorded, in both roles.
        """

        def check(case: Case) -> None:
            topic = Topic.from_hex(case["topic"])
            there, back = case["initiator_to_acceptor"], case["acceptor_to_initiator"]
            result, sent = drive(initiate(topic), [bytes.fromhex(frame)[4:] for frame in back])
            self.assertEqual((result, [frame.hex() for frame in sent]), (None, there))
            result, sent = drive(accept(), [bytes.fromhex(frame)[4:] for frame in there])
            self.assertEqual((result, [frame.hex() for frame in sent]), (topic, back))

        check_each(self, of_kind("sync", "handshake_transcript"), check)

    def test_handshake_errors(self) -> None:
        """
        A node that breaks the topic handshake is refused at the same point as by Rust.
        """
        topic = Topic.from_hex(of_kind("sync", "handshake_error")[0]["topic"])
        named: dict[str, Any] = {
            "initiator gets a topic": (initiate, [HandshakeTopic(topic)]),
            "initiator: stream ends": (initiate, [None]),
            "acceptor gets Done first": (accept, [HandshakeDone()]),
            "acceptor gets two topics": (accept, [HandshakeTopic(topic), HandshakeTopic(topic)]),
            "acceptor: stream ends after the topic": (accept, [HandshakeTopic(topic), None]),
        }

        def check(case: Case) -> None:
            role, messages = named.pop(case["name"].removeprefix("handshake error: "))
            conversation = role(topic) if role is initiate else role()
            sent: list[bytes] = []
            with self.assertRaises(RemoteProtocolError):
                drive(conversation, messages, sent)
            self.assertEqual([frame.hex() for frame in sent], case["local_sends"])

        check_each(self, of_kind("sync", "handshake_error"), check)
        self.assertEqual(named, {})


def frames_of(messages: list[Any]) -> list[bytes]:
    """
    @return: The frames of one direction.
    """
    return [bytes.fromhex(message["frame"]) for message in messages]


class SessionVectorTests(SynchronousTestCase):
    """
    C{sync.json}, whole sessions.
    """

    def play(self, case: Case, local: str, remote: str, local_result: str) -> None:
        """
        Play one side of a recorded session against the recorded other side.
        """
        log_ids = log_ids_of(case)
        ours, theirs = frames_of(case[local]), frames_of(case[remote])
        store = Recorded(ours, log_ids)
        purpose = Purpose.LIVE if case["live_mode"] else Purpose.CATCH_UP
        bench = Bench(store, log_ids=log_ids, purpose=purpose, initiated=local.startswith("alice"))
        bench.start()
        until_done = theirs.index(DONE_FRAME) + 1
        for frame in theirs[:until_done]:
            bench.receive(frame)
        if store.live:
            bench.feed(fx.OperationsStored(store.add(store.live)))
        if CLOSE_FRAME in ours:
            bench.feed(fx.CloseRequested())
        for frame in theirs[until_done:]:
            bench.receive(frame)
        bench.feed(fx.EndOfStream())
        self.assertEqual(b"".join(bench.sent).hex(), b"".join(ours).hex())
        self.assertEqual((bench.over, bench.failure), (True, None))
        self.assertEqual(local_result, "ok")
        messages = [decode_message(frame[4:], log_ids) for frame in theirs]
        received = [m.operation for m in messages if isinstance(m, SyncOperation | LiveOperation)]
        self.assertEqual(store.received, received)
        self.check_metrics(bench, case[local.split("_")[0] + "_events"])

    def check_metrics(self, bench: Bench, events: list[Any]) -> None:
        """
        What is told in the end is what Rust tells.
        """
        metrics = bench.session.metrics
        theirs = events[-1]["metrics"]
        self.assertEqual(
            {
                "inbound_operations": metrics.incoming_operations,
                "inbound_bytes": metrics.incoming_bytes,
                "outbound_operations": metrics.outgoing_operations,
                "outbound_bytes": metrics.outgoing_bytes,
                "received_operations": metrics.received_operations,
                "received_bytes": metrics.received_bytes,
                "sent_operations": metrics.sent_operations,
                "sent_bytes": metrics.sent_bytes,
                "sent_live_operations": metrics.sent_live_operations,
                "sent_live_bytes": metrics.sent_live_bytes,
                "received_live_operations": metrics.received_live_operations,
                "received_live_bytes": metrics.received_live_bytes,
            },
            theirs,
        )

    def test_transcripts_as_alice(self) -> None:
        """
        In Alice's place our machine sends byte for byte what she sent.
        """
        check_each(
            self,
            of_kind("sync", "transcript"),
            lambda case: self.play(case, "alice_to_bob", "bob_to_alice", case["alice_result"]),
        )

    def test_transcripts_as_bob(self) -> None:
        """
        In Bob's place our machine sends byte for byte what he sent.
        """
        check_each(
            self,
            of_kind("sync", "transcript"),
            lambda case: self.play(case, "bob_to_alice", "alice_to_bob", case["bob_result"]),
        )

    def test_scripted(self) -> None:
        """
        Against a peer that plays odd games our machine sends what Rust sends, and ends well or badly like Rust.
        """
        different = []

        def check(case: Case) -> None:
            log_ids = log_ids_of(case)
            ours = frames_of(case["local_sends"])
            store = Recorded(ours, log_ids)
            live = "live mode:" in case["name"]
            bench = Bench(store, log_ids=log_ids, purpose=Purpose.LIVE if live else Purpose.CATCH_UP)
            bench.start()
            theirs = frames_of(case["remote_sends_as_far_as_read"])
            if CLOSE_FRAME in ours:
                bench.feed(fx.CloseRequested())
            for frame in theirs:
                bench.receive(frame)
            failed_before_the_end = bench.failure is not None
            if case["remote_closes_stream"]:
                bench.feed(fx.EndOfStream())
            ok = bench.failure is None
            if ok != (case["local_result"] == "ok") or (case["name"] in DIFFERENCES and not failed_before_the_end):
                different.append(case["name"])
            else:
                self.assertTrue(bench.over)
            self.assertEqual(b"".join(bench.sent).hex(), b"".join(ours).hex())

        check_each(self, of_kind("sync", "scripted_remote"), check)
        check_differences(self, DIFFERENCES, different)


class RecordedLiveTests(SynchronousTestCase):
    """
    C{live/s3_sync_initiator.json}.
    """

    def test_session_with_a_rust_node(self) -> None:
        """
        Fed with what a Rust node sent, our machine sends what the recording shows, byte for byte.
        """
        recording = json.loads((HERE / "live" / "s3_sync_initiator.json").read_text("utf-8"))
        topic = Topic.from_hex(recording["topic"])
        handshake = [(way, bytes.fromhex(frame)) for way, frame in recording["streams"]["s0"]]
        incoming = [frame[4:] for way, frame in handshake if way == "in"]
        result, sent = drive(initiate(topic), incoming)
        self.assertEqual((result, sent), (None, [frame for way, frame in handshake if way == "out"]))

        session = [(way, bytes.fromhex(frame)) for way, frame in recording["streams"]["s4"]]
        ours = [frame for way, frame in session if way == "out"]
        store = Recorded(ours, LogIds.NUMBERS)
        bench = Bench(store, log_ids=LogIds.NUMBERS)
        bench.start()
        for way, frame in session:
            if way == "in":
                bench.receive(frame)
        self.assertIs(bench.session.phase, Phase.LIVE)
        bench.feed(fx.OperationsStored(store.add(store.live)))
        bench.feed(fx.CloseRequested())
        bench.feed(fx.ConnectionClosed("It was closed."))
        self.assertEqual(b"".join(bench.sent).hex(), b"".join(ours).hex())
        self.assertEqual((bench.over, bench.failure, len(store.received)), (True, None, 501))
