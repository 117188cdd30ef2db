"""
The buffer of operations that wait for a predecessor keeps to its limits.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.store.gaps import Gaps, Waiting
from tests.store.logs import Log, decoded

ONE, TWO = 1, 2
"""
Keys of two topics.
"""


def waiting(author: int, seq_num: int, size: int = 5) -> Waiting:
    """
    An operation.
    """
    operation: RawOperation = Log(author).make(seq_num, Hash.of(b"before"), b"x" * size)
    return Waiting(decoded(operation), operation.body)


class GapsTests(SynchronousTestCase):
    """
    What is kept, what is given up.
    """

    def kept(self, gaps: Gaps, author: int, topic: int = ONE) -> list[int]:
        """
        The positions that wait in a log.
        """
        return [seq for seq in range(1, 20) if gaps.holds(topic, waiting(author, seq).header)]

    def test_take(self) -> None:
        """
        What was put aside is found by its position, once.
        """
        gaps = Gaps()
        entry = waiting(2, 4)
        self.assertFalse(gaps)
        self.assertTrue(gaps.put(ONE, entry))
        author = entry.header.verifying_key
        self.assertEqual((bool(gaps), gaps.operations, gaps.lowest(ONE, author)), (True, 1, 4))
        self.assertIsNone(gaps.take(ONE, author, 3))
        self.assertIsNone(gaps.take(TWO, author, 4))
        self.assertIs(gaps.take(ONE, author, 4), entry)
        self.assertEqual((bool(gaps), gaps.operations, gaps.size, gaps.lowest(ONE, author)), (False, 0, 0, None))

    def test_first_stays(self) -> None:
        """
        Of two operations for the same position the first stays.
        """
        gaps = Gaps()
        first, second = waiting(2, 4), waiting(2, 4, size=6)
        self.assertTrue(gaps.put(ONE, first))
        self.assertTrue(gaps.put(ONE, second))
        self.assertTrue(gaps.holds(ONE, first.header))
        self.assertFalse(gaps.holds(ONE, second.header))

    def test_lowest_of_log_stay(self) -> None:
        """
        If one log takes all the room, its lowest operations stay: they are stored first.
        """
        gaps = Gaps(topic_operations=3)
        taken = [gaps.put(ONE, waiting(2, seq_num)) for seq_num in (5, 6, 7, 8, 4)]
        self.assertEqual(taken, [True, True, True, False, True])
        self.assertEqual(self.kept(gaps, 2), [4, 5, 6])

    def test_longest_waiting_gives_way(self) -> None:
        """
        Another log finds room at the cost of the one that waits the longest.
        """
        gaps = Gaps(topic_operations=3)
        for author, seq_num in ((2, 5), (3, 5), (3, 6), (4, 5)):
            self.assertTrue(gaps.put(ONE, waiting(author, seq_num)))
        self.assertEqual([self.kept(gaps, author) for author in (2, 3, 4)], [[], [5, 6], [5]])

    def test_bytes_of_topic(self) -> None:
        """
        The bytes of a topic are limited; what is larger than all the room finds none, and displaces nothing.
        """
        size = waiting(2, 5, 1000).size
        gaps = Gaps(topic_bytes=2 * size)
        self.assertEqual([gaps.put(ONE, waiting(2, seq, 1000)) for seq in (5, 6, 7)], [True, True, False])
        self.assertFalse(gaps.put(ONE, waiting(3, 5, 5000)))
        self.assertEqual((gaps.operations, gaps.size), (2, 2 * size))
        self.assertTrue(gaps.put(TWO, waiting(2, 5, 1000)))

    def test_bytes_in_all(self) -> None:
        """
        So are the bytes of all topics together.
        """
        size = waiting(2, 5, 1000).size
        gaps = Gaps(total_bytes=3 * size)
        for topic in (ONE, TWO, 3, 4, 5):
            self.assertTrue(gaps.put(topic, waiting(2, 5, 1000)))
            self.assertLessEqual(gaps.size, 3 * size)
        lowest = [gaps.lowest(topic, Log(2).author) for topic in (ONE, TWO, 3, 4, 5)]
        self.assertEqual(lowest, [None, None, 5, 5, 5])

    def test_prune_point(self) -> None:
        """
        What lies below a prune point is given up.
        """
        gaps = Gaps()
        for seq_num in (3, 5, 7):
            gaps.put(ONE, waiting(2, seq_num))
        gaps.drop_until(ONE, Log(2).author, 5)
        self.assertEqual(self.kept(gaps, 2), [7])

    def test_forget(self) -> None:
        """
        A topic that is forgotten leaves nothing, nor does clearing everything.
        """
        gaps = Gaps()
        for topic in (ONE, TWO):
            for author in (2, 3):
                gaps.put(topic, waiting(author, 5))
        gaps.forget(ONE)
        self.assertEqual((self.kept(gaps, 2), self.kept(gaps, 2, TWO), gaps.operations), ([], [5], 2))
        gaps.clear()
        self.assertEqual((gaps.operations, gaps.size), (0, 0))
