from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.frames import FrameDecoder, OversizedFrame, encode_frame
from tests.properties import PROPERTIES

LIMIT = 40
DISCARDED = 90
HEAD = 25

payloads = st.binary(min_size=1, max_size=DISCARDED)


def decoder() -> FrameDecoder:
    return FrameDecoder(LIMIT, max_discarded=DISCARDED, head_size=HEAD)


def expected(payload: bytes) -> bytes | OversizedFrame:
    return payload if len(payload) <= LIMIT else OversizedFrame(len(payload), payload[:HEAD])


class FrameTests(SynchronousTestCase):
    """
    A stream is cut into payloads.
    """

    def test_encode(self) -> None:
        """
        A frame is the length in four bytes and the payload, as upstream writes it.
        """
        self.assertEqual(encode_frame(b"\x05hello").hex(), "000000060568656c6c6f")

    def test_several(self) -> None:
        """
        One piece of the stream may hold many frames and the beginning of the next.
        """
        frames = FrameDecoder(10)
        stream = b"".join(map(encode_frame, [b"one", b"two", b"three"]))
        self.assertEqual(frames.receive_data(stream[:-2]), [b"one", b"two"])
        self.assertEqual((frames.buffered, frames.in_frame), (7, True))
        self.assertEqual(frames.receive_data(stream[-2:]), [b"three"])
        self.assertEqual((frames.buffered, frames.in_frame), (0, False))
        frames.receive_eof()

    @PROPERTIES
    @given(st.lists(payloads), st.lists(st.integers(0, 600)))
    def test_any_cut(self, sent: list[bytes], cuts: list[int]) -> None:
        """
        However the stream is cut, the same frames come out, the large ones shortened.
        """
        stream = b"".join(map(encode_frame, sent))
        frames = decoder()
        found: list[bytes | OversizedFrame] = []
        start = 0
        for cut in [*sorted(cuts), len(stream)]:
            found += frames.receive_data(stream[start:cut])
            start = max(start, cut)
        self.assertEqual(found, [expected(payload) for payload in sent])
        self.assertFalse(frames.in_frame)
        frames.receive_eof()

    @PROPERTIES
    @given(st.lists(payloads, min_size=1))
    def test_bytewise(self, sent: list[bytes]) -> None:
        """
        The same byte by byte, with never more held than a frame may have.
        """
        frames = decoder()
        found: list[bytes | OversizedFrame] = []
        for byte in b"".join(map(encode_frame, sent)):
            found += frames.receive_data(bytes((byte,)))
            self.assertTrue(frames.buffered <= LIMIT + 4)
        self.assertEqual(found, [expected(payload) for payload in sent])

    @PROPERTIES
    @given(st.binary(), st.integers(1, 20))
    def test_garbage(self, stream: bytes, step: int) -> None:
        """
        Arbitrary bytes are frames or a L{DecodeError}, whatever the cut.
        """

        def read(step: int) -> list[bytes | OversizedFrame] | None:
            frames = decoder()
            found: list[bytes | OversizedFrame] = []
            try:
                for start in range(0, len(stream), step):
                    found += frames.receive_data(stream[start : start + step])
                frames.receive_eof()
            except DecodeError:
                return None
            return found

        self.assertEqual(read(step), read(len(stream) or 1))

    def test_end_inside_a_frame(self) -> None:
        """
        A stream that ends in the middle of anything is an error.
        """
        for beginning in (b"\0", b"\0\0\0\2", b"\0\0\0\2a", encode_frame(b"b" * 50)[:-1], encode_frame(b"b" * 50)[:4]):
            frames = decoder()
            frames.receive_data(beginning)
            self.assertTrue(frames.in_frame)
            self.assertRaises(DecodeError, frames.receive_eof)

    def test_empty_frame(self) -> None:
        """
        An empty frame is an error; nobody sends one.
        """
        self.assertRaises(DecodeError, FrameDecoder(10).receive_data, b"\0\0\0\0")

    def test_too_long(self) -> None:
        """
        A length above all limits is refused as soon as it is read.
        """
        frames = FrameDecoder(10)
        self.assertEqual(frames.receive_data(b"\0\0\0"), [])
        error = self.assertRaises(DecodeError, frames.receive_data, b"\x0b")
        self.assertEqual(str(error), "A frame of 11 bytes where at most 10 are allowed.")
        self.assertRaises(DecodeError, decoder().receive_data, (DISCARDED + 1).to_bytes(4, "big"))

    def test_discarded(self) -> None:
        """
        Of a frame that is too large to keep, its length and beginning are told once it has passed.
        """
        frames = FrameDecoder(1024, max_discarded=10 * 1024 * 1024, head_size=4)
        self.assertEqual(
            frames.receive_data(encode_frame(b"first") + (5_000_000).to_bytes(4, "big") + b"head"), [b"first"]
        )
        for _ in range(4):
            self.assertEqual(frames.receive_data(bytes(1_000_000)), [])
            self.assertEqual((frames.buffered, frames.in_frame), (4, True))
        rest = bytes(999_996) + encode_frame(b"last")
        self.assertEqual(frames.receive_data(rest), [OversizedFrame(5_000_000, b"head"), b"last"])

    def test_trickle(self) -> None:
        """
        A long frame that comes two bytes at a time takes little more memory than its own size.
        """
        size = 100_000
        frames = FrameDecoder(size)
        frames.receive_data(size.to_bytes(4, "big"))
        tracemalloc.start()
        try:
            for _ in range(0, size, 2):
                found = frames.receive_data(b"ab")
            self.assertTrue(tracemalloc.get_traced_memory()[1] < 4 * size)
        finally:
            tracemalloc.stop()
        self.assertEqual([len(payload) for payload in found], [size])
