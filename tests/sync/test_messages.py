"""
Messages as bytes, beyond what the recordings of Rust show.
"""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.topic import Form, LogId
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.limits import MAX_HAVE, MAX_HAVE_ENTRIES, WRITE_BYTES
from p2panda_tw.sync.messages import (
    Have,
    LiveOperation,
    LogIds,
    PreSync,
    SyncOperation,
    decode_handshake_message,
    decode_message,
    encode_have,
    encode_pre_sync,
    is_have,
)
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION, encode_operations, take_operations
from p2panda_tw.wire.frames import FrameDecoder
from p2panda_tw.wire.postcard import varint
from tests.properties import PROPERTIES
from tests.sync.logs import key

AUTHORS = [key(name).verifying_key for name in "abcdefgh"]

authors = st.sampled_from(AUTHORS)
numbers = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=32, max_size=32).map(Hash)
seq_nums = st.integers(0, 2**32 - 1)
raw_operations = st.builds(
    RawOperation,
    st.one_of(st.binary(max_size=300), st.integers(16380, 16390).map(bytes)),
    st.one_of(st.none(), st.binary(max_size=300), st.integers(16380, 16390).map(bytes)),
)


def heights_with(log_ids: st.SearchStrategy[LogId]) -> st.SearchStrategy[LogHeights]:
    return st.dictionaries(authors, st.dictionaries(log_ids, seq_nums, min_size=1, max_size=4), max_size=5)


def payloads_of(writes: list[bytes]) -> list[object]:
    return list(FrameDecoder(1 << 30).receive_data(b"".join(writes)))


class MessageTests(SynchronousTestCase):
    """
    What is written can be read, and whatever is read is a message or an error.
    """

    @PROPERTIES
    @given(heights_with(numbers))
    def test_have_with_numbers(self, heights: LogHeights) -> None:
        """
        Heights of topics in the chat form survive the wire.
        """
        (payload,) = payloads_of([encode_have(heights, LogIds.NUMBERS)])
        assert isinstance(payload, bytes)
        self.assertTrue(is_have(payload))
        self.assertEqual(decode_message(payload, LogIds.NUMBERS), Have(heights))

    @PROPERTIES
    @given(heights_with(hashes))
    def test_have_with_hashes(self, heights: LogHeights) -> None:
        """
        Heights of topics in the Node form survive the wire.
        """
        (payload,) = payloads_of([encode_have(heights, LogIds.HASHES)])
        assert isinstance(payload, bytes)
        self.assertEqual(decode_message(payload, LogIds.HASHES), Have(heights))

    @PROPERTIES
    @given(st.lists(raw_operations, max_size=8), st.booleans())
    def test_operations(self, operations: list[RawOperation], live: bool) -> None:
        """
        Operations of any lengths survive the wire, in either phase, read one by one or many at once.
        """
        kind = LIVE_OPERATION if live else CATCH_UP_OPERATION
        payloads = payloads_of(encode_operations(kind, operations))
        taken, position, size = take_operations(payloads, 0, kind, limit=100, limit_bytes=1 << 30)
        self.assertEqual((taken, position), (operations, len(operations)))
        self.assertEqual(size, sum(len(header) + len(body or b"") for header, body in operations))
        wrap = LiveOperation if live else SyncOperation
        messages = [decode_message(payload, LogIds.HASHES) for payload in payloads if isinstance(payload, bytes)]
        self.assertEqual(messages, [wrap(operation) for operation in operations])

    @PROPERTIES
    @given(st.binary(max_size=400), st.sampled_from(LogIds))
    def test_any_bytes(self, payload: bytes, log_ids: LogIds) -> None:
        """
        Bytes that nobody meant as a message give a message or a clean error.
        """
        for read in (
            lambda: decode_message(payload, log_ids),
            lambda: decode_handshake_message(payload),
            lambda: is_have(payload),
            lambda: take_operations([payload], 0, CATCH_UP_OPERATION, limit=1, limit_bytes=1),
            lambda: take_operations([payload], 0, LIVE_OPERATION, limit=1, limit_bytes=1),
        ):
            try:
                read()
            except DecodeError:
                pass

    @PROPERTIES
    @given(st.sampled_from([b"\x00\x02", b"\x01"]), st.binary(max_size=40))
    def test_both_ways_of_reading_agree(self, kind: bytes, rest: bytes) -> None:
        """
        The fast way takes exactly what the thorough one takes.
        """
        payload = kind + rest
        try:
            message = decode_message(payload, LogIds.HASHES)
        except DecodeError:
            with self.assertRaises(DecodeError):
                take_operations([payload], 0, kind, limit=1, limit_bytes=1)
        else:
            assert isinstance(message, SyncOperation | LiveOperation)
            taken, _, _ = take_operations([payload], 0, kind, limit=1, limit_bytes=1)
            self.assertEqual(taken, [message.operation])

    def test_run_ends_at_another_message(self) -> None:
        """
        A batch ends where something else comes, and at its limits; a single operation is taken in any case.
        """
        operations = [RawOperation(bytes(100), bytes(100))] * 5
        payloads = [*payloads_of(encode_operations(CATCH_UP_OPERATION, operations)), b"\x00\x03"]

        def taken(start: int, limit: int, limit_bytes: int) -> tuple[int, int]:
            found, position, _ = take_operations(
                payloads, start, CATCH_UP_OPERATION, limit=limit, limit_bytes=limit_bytes
            )
            return len(found), position

        self.assertEqual(taken(0, 100, 1 << 20), (5, 5))
        self.assertEqual(taken(1, 2, 1 << 20), (2, 3))
        self.assertEqual(taken(0, 100, 400), (2, 2))
        self.assertEqual(taken(0, 100, 1), (1, 1))
        self.assertEqual(taken(5, 100, 1 << 20), (0, 5))

    def test_writes_are_joined(self) -> None:
        """
        Many small operations go out in few writes of about 64 KiB, a large one in a write of its own length.
        """
        writes = encode_operations(CATCH_UP_OPERATION, [RawOperation(bytes(200), bytes(100))] * 1000)
        self.assertEqual([len(data) // 1024 for data in writes], [64, 64, 64, 64, 46])
        body = bytes(3 * WRITE_BYTES)
        start, end = encode_operations(LIVE_OPERATION, [RawOperation(bytes(200), body)])
        self.assertIs(end, body)
        large = start + end
        self.assertGreater(len(large), 3 * WRITE_BYTES)

    def test_totals_are_saturated(self) -> None:
        """
        More bytes than 32 bits can tell are announced as the most that can be told.
        """
        (payload,) = payloads_of([encode_pre_sync(7, 1 << 40)])
        assert isinstance(payload, bytes)
        self.assertEqual(decode_message(payload, LogIds.HASHES), PreSync(7, 2**32 - 1))

    def test_forms(self) -> None:
        """
        The Node form has hashes as log ids, the chat form numbers.
        """
        self.assertEqual([LogIds.of(form) for form in Form], [LogIds.HASHES, LogIds.NUMBERS])

    def test_too_large_have(self) -> None:
        """
        A Have above 4 MiB, or with more entries than that many bytes should have, is refused before it takes memory.
        """
        with self.assertRaises(DecodeError):
            decode_message(b"\x00\x00" + bytes(MAX_HAVE), LogIds.NUMBERS)
        author = b"\x20" + AUTHORS[0].raw
        crowded = b"\x00\x00\x01" + author + varint(MAX_HAVE_ENTRIES) + bytes(2 * MAX_HAVE_ENTRIES)
        endless = b"\x00\x00" + varint(2**64 - 1)
        tracemalloc.start()
        try:
            for payload in (crowded, endless):
                with self.assertRaises(DecodeError):
                    decode_message(payload, LogIds.NUMBERS)
            self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)
        finally:
            tracemalloc.stop()
