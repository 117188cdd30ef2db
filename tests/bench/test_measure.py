"""
Tests for L{p2panda_tw.bench.measure}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.bench.measure import Digest, StallTimer, percentile
from p2panda_tw.bench.worker import text_length
from p2panda_tw.codec import CBOR
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import Operation, build_header


def operation(body: bytes) -> Operation:
    """
    @return: The first operation of somebody's log.
    """
    key = SigningKey(bytes(32))
    return Operation(build_header(key, body=body, seq_num=0, backlink=None, extensions=None), body)


class InstrumentTests(SynchronousTestCase):
    """
    The instruments.
    """

    def test_percentile(self) -> None:
        """
        The median is in the middle, the 99th percentile near the top.
        """
        samples = list(range(100, 0, -1))
        self.assertEqual((percentile(samples, 0.5), percentile(samples, 0.99), percentile([7], 0.99)), (50, 99, 7))

    def test_stalls(self) -> None:
        """
        The longest time between two calls of the timer is remembered; a new start forgets it.
        """
        clock = Clock()
        timer = StallTimer(clock)
        timer.start()
        clock.pump([0.005, 0.005, 0.250, 0.005])
        self.assertAlmostEqual(timer.longest, 0.25)
        self.assertGreater(timer.peak, 0)
        timer.start()
        clock.pump([0.005, 0.005])
        timer.stop()
        self.assertAlmostEqual(timer.longest, 0.005)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_digest(self) -> None:
        """
        The order does not matter, the bytes do.
        """
        one, two, three = Digest(), Digest(), Digest()
        for digest, bodies in ((one, (b"a", b"b")), (two, (b"b", b"a")), (three, (b"a", b"c"))):
            for body in bodies:
                digest.add(operation(body))
        self.assertEqual((one.hex(), one.count), (two.hex(), two.count))
        self.assertNotEqual(one.hex(), three.hex())

    def test_size_of_bodies(self) -> None:
        """
        A body has as many bytes as were asked for, as far as a text can.
        """
        for size in (1, 2, 24, 26, 100, 257, 300, 65_000, 70_000):
            self.assertEqual(len(CBOR.encode("x" * text_length(size))), size)
