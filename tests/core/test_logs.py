from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.logs import LogHeights, LogRange, LogRanges, compare, count_operations
from tests.properties import PROPERTIES

A, B, C = (SigningKey(bytes((number,)) * 32).verifying_key for number in range(3))

heights = st.dictionaries(st.sampled_from([A, B, C]), st.dictionaries(st.integers(1, 3), st.integers(0, 4), min_size=1))


class CompareTests(SynchronousTestCase):
    """
    What does somebody lack?
    """

    def test_examples(self) -> None:
        """
        What is not there, or lower, is lacking; what is higher is not.
        """
        examples: list[tuple[LogHeights, LogHeights, LogRanges]] = [
            ({}, {}, {}),
            ({A: {1: 5, 2: 10}}, {}, {A: {1: LogRange(None, 5), 2: LogRange(None, 10)}}),
            ({A: {1: 5, 2: 10}}, {A: {1: 5}}, {A: {2: LogRange(None, 10)}}),
            ({A: {1: 20}}, {A: {1: 10}}, {A: {1: LogRange(10, 20)}}),
            ({A: {1: 20}}, {A: {1: 30}}, {}),
            ({A: {1: 20}}, {A: {1: 20}}, {}),
            ({A: {1: 5}, B: {1: 5}}, {A: {1: 5}}, {B: {1: LogRange(None, 5)}}),
            ({A: {1: 0}}, {A: {}}, {A: {1: LogRange(None, 0)}}),
        ]
        for local, remote, needed in examples:
            self.assertEqual(compare(local, remote), needed)

    @PROPERTIES
    @given(heights, heights)
    def test_nothing_left(self, local: LogHeights, remote: LogHeights) -> None:
        """
        Who gets what was found lacking is at least as far everywhere, and nothing is sent that is known.
        """
        after = {author: dict(logs) for author, logs in remote.items()}
        for author, ranges in compare(local, remote).items():
            for log_id, (start, until) in ranges.items():
                known = after.setdefault(author, {})
                self.assertEqual(start, known.get(log_id))
                self.assertTrue(start is None or start < until)
                known[log_id] = until
        self.assertEqual(compare(local, after), {})

    def test_count(self) -> None:
        """
        The number of operations in ranges is counted from positions alone.
        """
        for after, until, count in [(None, 12, 13), (0, 12, 12), (5, 7, 2), (None, 0, 1), (0, 0, 0), (77, 80, 3)]:
            self.assertEqual(count_operations({A: {1: LogRange(after, until)}}), count)
        self.assertEqual(count_operations({A: {1: LogRange(None, 1)}, B: {1: LogRange(1, 2), 2: LogRange(0, 3)}}), 6)
        self.assertEqual(count_operations({}), 0)
