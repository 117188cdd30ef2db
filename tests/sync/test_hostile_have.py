"""
A C{Have} at the wrong moment.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.messages import LogIds
from p2panda_tw.sync.receiving import Receiving
from p2panda_tw.wire.postcard import varint


class SecondHaveTests(SynchronousTestCase):
    """
    Whether a key is a point on the curve takes 0.1 ms to find out, and a C{Have} can list sixty thousand.
    """

    def test_not_read(self) -> None:
        """
        A second Have ends the session without a look at the keys in it.
        """
        no_point = b"\x02" + bytes(31)
        second = b"\x00\x00" + varint(1) + b"\x20" + no_point + varint(0)
        for before in ([], [b"\x00\x03"]):
            receiving = Receiving(LogIds.HASHES)
            receiving.put([b"\x00\x00\x00", *before, second])
            for _ in range(1 + len(before)):
                receiving.next({})
            with self.assertRaises(DecodeError) as caught:
                receiving.next({})
            self.assertIn("unexpected Have", str(caught.exception))
