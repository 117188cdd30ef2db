"""
The newest operations in memory.
"""

from __future__ import annotations

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.operation import Operation
from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.store.ring import Ring
from tests.store.logs import Log, decoded


class _Watched(Operation):
    """
    One that weak references may point at.
    """


class RingTests(SynchronousTestCase):
    """
    What is kept of a topic, and how it is handed out.
    """

    def setUp(self) -> None:
        self.log = Log()
        self.stored = [
            StoredOperation(arrival, self.log.log_id, Operation(decoded(raw), raw.body))
            for arrival, raw in enumerate(self.log.extend(20), 11)
        ]
        self.size = len(self.log.operations[0].header) + len(self.log.operations[0].body or b"")

    def ring(self, count: int, **limits: int) -> Ring:
        """
        A ring that began after arrival 10 and has got so many operations.
        """
        ring = Ring(10, **limits)
        for stored in self.stored[:count]:
            ring.extend([stored], stored.arrival, {})
        return ring

    def test_page(self) -> None:
        """
        Whoever is close gets what came after, up to the limits.
        """
        ring = self.ring(6)
        self.assertEqual(ring.page(10, 100, 1 << 20), StoredPage(self.stored[:6], 16, 16))
        self.assertEqual(ring.page(13, 2, 1 << 20), StoredPage(self.stored[3:5], 15, 16))
        self.assertEqual(ring.page(13, 100, 1), StoredPage(self.stored[3:4], 14, 16))
        self.assertEqual(ring.page(16, 100, 1 << 20), StoredPage((), 16, 16))

    def test_too_long_ago(self) -> None:
        """
        Whoever is further back has to read.
        """
        self.assertIsNone(self.ring(6).page(9, 100, 1 << 20))

    def test_operations(self) -> None:
        """
        The oldest make room when there are too many.
        """
        ring = self.ring(20, operations=4)
        self.assertEqual(ring.floor, 26)
        self.assertIsNone(ring.page(25, 100, 1 << 20))
        self.assertEqual(ring.page(26, 100, 1 << 20), StoredPage(self.stored[16:20], 30, 30))

    def test_bytes(self) -> None:
        """
        Or when they are too large.
        """
        ring = self.ring(3, size=self.size)
        self.assertEqual((ring.floor, ring.page(13, 100, 1 << 20)), (13, StoredPage((), 13, 13)))
        self.assertEqual(self.ring(1, size=self.size).page(10, 9, 1 << 20), StoredPage(self.stored[:1], 11, 11))

    def test_pruned(self) -> None:
        """
        What was deleted is not handed out any more, and leaves a hole.
        """
        ring = self.ring(5)
        ring.extend(self.stored[5:6], 16, {self.log.author.raw: 4})
        self.assertEqual(ring.page(10, 100, 1 << 20), StoredPage(self.stored[4:6], 16, 16))
        ring.extend(self.stored[6:7], 17, {self.log.author.raw: 100})
        self.assertEqual(ring.page(10, 100, 1 << 20), StoredPage([], 17, 17))

    def test_halve(self) -> None:
        """
        When memory is short the older half is given up.
        """
        ring = self.ring(5)
        for floor, left in ((13, 2), (14, 1), (15, 0), (15, 0)):
            ring.halve()
            page = ring.page(ring.floor, 100, 1 << 20)
            assert page is not None
            self.assertEqual((ring.floor, len(page.operations), page.until), (floor, left, 15))
        self.assertEqual(ring.size, 0)

    def test_forgotten(self) -> None:
        """
        What has made room is not held any longer, so that large operations take no more memory than the limit says.
        """
        ring = Ring(10, size=3 * self.size)
        operations = []
        for stored in self.stored:
            again = _Watched(stored.operation.header, stored.operation.body)
            operations.append(weakref.ref(again))
            ring.extend([StoredOperation(stored.arrival, stored.log_id, again)], stored.arrival, {})
            del again
        gc.collect()
        left = [number for number, reference in enumerate(operations) if reference() is not None]
        self.assertLessEqual({18, 19}, set(left))
        self.assertLessEqual(len(left), 6)
