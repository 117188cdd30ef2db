"""
A C{Have} at the wrong moment.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.stored import Heights
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.limits import HEIGHT_BYTES, OPENING_PEER_BYTES
from p2panda_tw.sync.messages import LogIds, encode_have, walk_heights
from p2panda_tw.sync.receiving import Receiving
from p2panda_tw.sync.send_gate import Sender
from p2panda_tw.sync.store_access import StoreAccess
from p2panda_tw.wire.postcard import Reader, varint
from tests.properties import PROPERTIES
from tests.sync.test_messages import hashes, heights_with, numbers

TOPIC = Topic(bytes(32))


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


class ManyAuthorsTests(SynchronousTestCase):
    """
    A topic with very many authors, and a peer with many sessions that do not get on.
    """

    def test_one_catch_up_at_a_time(self) -> None:
        """
        The heights of all logs are in memory for one of its sessions; the others wait, those of other peers do not.
        """
        held = HeldBytes()
        asked: list[Deferred[Heights]] = []
        authors = dict.fromkeys(range(OPENING_PEER_BYTES // HEIGHT_BYTES + 1))
        many = Heights(authors, 1)  # type: ignore[arg-type]  # they are only counted

        class Store:
            def heights(self, topic: Topic) -> Deferred[Heights]:
                asked.append(Deferred())
                return asked[-1]

        def session(peer: int) -> StoreAccess:
            sender = Sender(SigningKey(bytes([peer]) * 32).verifying_key, lambda: None)
            access = StoreAccess(Store(), TOPIC, held, sender, lambda event: None, lambda: 0.0)  # type: ignore[arg-type]  # as far as it is used here
            access.heights()
            return access

        first = session(1)
        asked.pop().callback(many)
        second = session(1)
        self.assertEqual(asked, [])
        session(2)
        asked.pop().callback(many)
        self.assertEqual(asked, [])
        first.caught_up()
        self.assertEqual(len(asked), 1)
        second.leave()


class StrangersTests(SynchronousTestCase):
    """
    Authors that we do not know are passed over quickly, and still have to be well-formed.
    """

    @PROPERTIES
    @given(st.one_of(heights_with(numbers), heights_with(hashes)), st.integers(0, 200), st.data())
    def test_same(self, heights: LogHeights, cut: int, data: st.DataObject) -> None:
        """
        Whoever wants some authors gets what he would have picked from all; what is damaged for the one is for the other.
        """
        is_number = any(isinstance(log_id, int) for logs in heights.values() for log_id in logs)
        log_ids = LogIds.NUMBERS if is_number else LogIds.HASHES
        payload = encode_have(heights, log_ids)[6:]
        damaged = bytearray(payload[: max(0, len(payload) - cut)] if data.draw(st.booleans()) else payload)
        if damaged and data.draw(st.booleans()):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        wanted = {author.raw for author in list(heights)[::2]}

        def walk(some: set[bytes] | None) -> object:
            try:
                walked = list(walk_heights(Reader(bytes(damaged)), log_ids, some))
            except DecodeError as error:
                return str(error)
            return [(author, logs) for author, logs in walked if author in wanted]

        self.assertEqual(walk(wanted), walk(None))
