from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.timestamp import MAX_TIMESTAMP, HybridTimestamp, LamportTimestamp
from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire import cbor
from p2panda_tw.wire.postcard import Reader
from tests.properties import PROPERTIES

numbers = st.integers(0, MAX_TIMESTAMP)
timestamps = st.builds(HybridTimestamp, numbers, numbers)


class LamportTimestampTests(SynchronousTestCase):
    """
    Counters.
    """

    def test_count(self) -> None:
        """
        A counter goes up by one, or by any number up to its end.
        """
        self.assertEqual(LamportTimestamp().increment(), LamportTimestamp(1))
        self.assertEqual(LamportTimestamp(3) + 3, LamportTimestamp(6))
        self.assertEqual(LamportTimestamp(MAX_TIMESTAMP) + 3, LamportTimestamp(MAX_TIMESTAMP))
        self.assertRaises(LocalProtocolError, LamportTimestamp(MAX_TIMESTAMP).increment)
        self.assertEqual(str(LamportTimestamp(7)), "7")
        self.assertTrue(LamportTimestamp(1) < LamportTimestamp(2))


class HybridTimestampTests(SynchronousTestCase):
    """
    The wall clock with a counter.
    """

    def test_increment(self) -> None:
        """
        The next one is later whatever the clock says: the same, more, or less after it was set back.
        """
        first = HybridTimestamp(1_000_000)
        second = first.increment(1_000_000)
        self.assertEqual(second, HybridTimestamp(1_000_000, 1))
        self.assertEqual(second.increment(2_000_000), HybridTimestamp(2_000_000))
        self.assertEqual(second.increment(500_000), HybridTimestamp(1_000_000, 2))

    @PROPERTIES
    @given(timestamps, st.lists(numbers, max_size=5))
    def test_ascending(self, timestamp: HybridTimestamp, clock: list[int]) -> None:
        """
        Timestamps of one node ascend.
        """
        for now in clock:
            if timestamp.logical == MAX_TIMESTAMP and now <= timestamp.wall:
                self.assertRaises(LocalProtocolError, timestamp.increment, now)
                return
            following = timestamp.increment(now)
            self.assertTrue(following > timestamp)
            timestamp = following

    @PROPERTIES
    @given(timestamps)
    def test_round_trip(self, timestamp: HybridTimestamp) -> None:
        """
        Each form comes back as it was.
        """
        self.assertEqual(HybridTimestamp.from_text(str(timestamp)), timestamp)
        self.assertEqual(HybridTimestamp.from_cbor(cbor.decode(timestamp.to_cbor())), timestamp)
        self.assertEqual(HybridTimestamp.from_postcard(Reader(timestamp.to_postcard())), timestamp)

    @PROPERTIES
    @given(st.text("0123456789+-/ _٣", max_size=8))
    def test_any_text(self, text: str) -> None:
        """
        A text is a timestamp by Rust's rules or refused; Python's own are wider.
        """
        try:
            timestamp = HybridTimestamp.from_text(text)
        except DecodeError:
            return
        self.assertRegex(text, r"\A\+?[0-9]+/\+?[0-9]+\Z")
        self.assertEqual(HybridTimestamp.from_text(str(timestamp)), timestamp)

    def test_many_digits(self) -> None:
        """
        A number of a million digits is refused without computing it; leading zeros do no harm.
        """
        self.assertRaises(DecodeError, HybridTimestamp.from_text, "9" * 1_000_000 + "/0")
        self.assertEqual(HybridTimestamp.from_text("0" * 1_000_000 + "7/0"), HybridTimestamp(7))

    def test_no_timestamp(self) -> None:
        """
        CBOR that is something else is refused.
        """
        for item in (None, 1, [1], [1, "2"], [1, -1], [2**64, 0], [True, 0], [1.0, 0], {"wall": 1}):
            self.assertRaises(DecodeError, HybridTimestamp.from_cbor, item)
        self.assertEqual(HybridTimestamp.from_cbor([1, 2, 3]), HybridTimestamp(1, 2))
