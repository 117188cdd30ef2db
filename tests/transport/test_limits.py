"""
What other nodes may make us hold.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.transport.limits import MAX_RECEIVED, ConnectionLimits, ReceiveBudget

NODE = SigningKey(b"\x01" * 32).verifying_key
OTHER = SigningKey(b"\x02" * 32).verifying_key


class Reader:
    """
    Holds bytes until it is told to drop them.
    """

    def __init__(self, budget: ReceiveBudget) -> None:
        self._budget = budget
        self.held = 0
        self.told: list[str] = []

    def hold(self, count: int) -> None:
        self.held += count
        self._budget.add(self, count)

    def overspent(self, sentence: str) -> None:
        self.told.append(sentence)
        self._budget.remove(self, self.held)
        self.held = 0


class ReceiveBudgetTests(SynchronousTestCase):
    """
    Bytes that wait for readers.
    """

    def test_specified(self) -> None:
        """
        The limit is the one of docs/tls-transport.md, section 4.
        """
        self.assertEqual((MAX_RECEIVED, ReceiveBudget().limit), (24 * 1024 * 1024,) * 2)

    def test_counts(self) -> None:
        """
        What comes is added, what is read is taken off.
        """
        budget = ReceiveBudget(100)
        one, other = Reader(budget), Reader(budget)
        one.hold(30)
        other.hold(50)
        budget.remove(one, 10)
        self.assertEqual(budget.used, 70)
        budget.remove(one, 20)
        budget.remove(other, 50)
        self.assertEqual(budget.used, 0)

    def test_most_pays(self) -> None:
        """
        When there is too much, the one who holds most loses it, not the one who came last.
        """
        budget = ReceiveBudget(100)
        small, large, last = Reader(budget), Reader(budget), Reader(budget)
        small.hold(30)
        large.hold(60)
        last.hold(20)
        self.assertEqual(([len(r.told) for r in (small, large, last)], budget.used), ([0, 1, 0], 50))

    def test_several_pay(self) -> None:
        """
        As many lose theirs as are needed.
        """
        budget = ReceiveBudget(100)
        readers = [Reader(budget) for _ in range(4)]
        for reader in readers:
            reader.hold(25)
        readers[0].hold(90)
        self.assertLessEqual(budget.used, 100)
        self.assertEqual(sum(len(reader.told) for reader in readers), 1)

    def test_windows(self) -> None:
        """
        The fuller the memory, the smaller the windows.
        """
        budget = ReceiveBudget(1000)
        reader = Reader(budget)
        sizes = []
        for _ in range(4):
            sizes.append(budget.window)
            reader.hold(240)
        self.assertEqual(sizes, [1 << 20, 1 << 20, 1 << 18, 1 << 16])

    def test_places(self) -> None:
        """
        Streams take places and leave them.
        """
        budget = ReceiveBudget(max_streams=2)
        self.assertEqual([budget.take(), budget.take(), budget.take()], [True, True, False])
        budget.leave()
        self.assertTrue(budget.take())


class ConnectionLimitsTests(SynchronousTestCase):
    """
    Connections.
    """

    def test_unfinished(self) -> None:
        """
        Handshakes are counted by network address.
        """
        limits = ConnectionLimits(unfinished=2)
        self.assertEqual([limits.begin("a"), limits.begin("a"), limits.begin("b")], [None] * 3)
        self.assertIsNotNone(limits.begin("a"))
        limits.fail("a")
        self.assertIsNone(limits.begin("a"))
        self.assertIsNone(limits.finish("a", NODE))
        self.assertIsNone(limits.begin("a"))
        self.assertEqual(limits.total, 4)

    def test_per_node(self) -> None:
        """
        Connections are counted by node once it is known; a refused one does not count at all.
        """
        limits = ConnectionLimits(per_node=1)
        for node, expected in ((NODE, True), (NODE, False), (OTHER, True)):
            self.assertIsNone(limits.begin("a"))
            self.assertEqual(limits.finish("a", node) is None, expected)
        self.assertEqual(limits.total, 2)
        limits.leave(NODE)
        limits.begin("a")
        self.assertIsNone(limits.finish("a", NODE))

    def test_own_attempts(self) -> None:
        """
        Others cannot keep us from dialling.
        """
        limits = ConnectionLimits(total=1, per_node=1)
        self.assertEqual((limits.begin("a"), limits.finish("a", NODE)), (None, None))
        self.assertIsNotNone(limits.begin("b"))
        self.assertEqual((limits.begin(None), limits.finish(None, NODE)), (None, None))
        self.assertEqual(limits.total, 2)
