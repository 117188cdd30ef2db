"""
What a peer has, by its C{Have}.
"""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.logs import LogHeights
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.messages import LogIds, encode_have
from p2panda_tw.sync.remote_heights import RemoteHeights
from p2panda_tw.wire.postcard import varint
from tests.properties import PROPERTIES
from tests.sync.test_messages import AUTHORS, hashes, heights_with, numbers


class RemoteHeightsTests(SynchronousTestCase):
    """
    Heights are kept as bytes and found when they matter.
    """

    def check(self, heights: LogHeights, log_ids: LogIds) -> None:
        local: LogHeights = {author: {} for author in AUTHORS[:2]}
        remote = RemoteHeights(encode_have(heights, log_ids)[4:], log_ids, local)
        self.assertEqual(remote.heights, {author: logs for author, logs in heights.items() if author in local})
        for author, logs in heights.items():
            for log_id, height in logs.items():
                self.assertEqual(remote.height(author, log_id), height)
        for author in AUTHORS:
            if author not in heights:
                self.assertEqual(remote.height(author, 1), -1)

    @PROPERTIES
    @given(heights_with(numbers))
    def test_numbers(self, heights: LogHeights) -> None:
        """
        Every height that the peer listed is found, those of authors that turn up later too.
        """
        self.check(heights, LogIds.NUMBERS)

    @PROPERTIES
    @given(heights_with(hashes))
    def test_hashes(self, heights: LogHeights) -> None:
        """
        The same in the Node form.
        """
        self.check(heights, LogIds.HASHES)

    def test_unknown_log(self) -> None:
        """
        Of a log that an author of the peer does not have, the peer has nothing.
        """
        remote = RemoteHeights(encode_have({AUTHORS[3]: {1: 9}}, LogIds.NUMBERS)[4:], LogIds.NUMBERS, {})
        self.assertEqual((remote.height(AUTHORS[3], 1), remote.height(AUTHORS[3], 2)), (9, -1))

    def test_author_with_many_logs(self) -> None:
        """
        However many logs an author has, the one that is asked for is found.
        """
        heights: LogHeights = {AUTHORS[3]: {number: number for number in range(5000)}}
        remote = RemoteHeights(encode_have(heights, LogIds.NUMBERS)[4:], LogIds.NUMBERS, {})
        self.assertEqual(remote.height(AUTHORS[3], 4999), 4999)

    def test_garbage(self) -> None:
        """
        What is no Have, or ends too early, is refused.
        """
        whole = encode_have({AUTHORS[0]: {1: 2}}, LogIds.NUMBERS)[4:]
        for payload in (b"", b"\x00\x03", b"\x02", *(whole[:length] for length in range(len(whole)))):
            with self.assertRaises(DecodeError):
                RemoteHeights(payload, LogIds.NUMBERS, {})

    def test_memory(self) -> None:
        """
        A Have with the largest number of authors costs hardly more than its bytes, and no time for arithmetic on curves.
        """
        count = 60_000
        strangers = b"".join(
            b"\x20" + number.to_bytes(32, "big") + b"\x01\x20" + bytes(32) + b"\x05" for number in range(count)
        )
        payload = b"\x00\x00" + varint(count) + strangers
        tracemalloc.start()
        try:
            remote = RemoteHeights(payload, LogIds.HASHES, {AUTHORS[0]: {}})
            self.assertEqual((remote.heights, remote.size), ({}, len(payload)))
            self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)
        finally:
            tracemalloc.stop()

    def test_memory_of_many_logs(self) -> None:
        """
        A Have that lists very many logs of one author counts for what it takes in memory, be it now or when the author
        turns up.
        """
        count = 50_000
        payload = encode_have({AUTHORS[0]: dict.fromkeys(range(count), 1)}, LogIds.NUMBERS)[4:]
        for local in ({AUTHORS[0]: {1: 1}}, {AUTHORS[1]: {1: 1}}):
            tracemalloc.start()
            try:
                remote = RemoteHeights(payload, LogIds.NUMBERS, local)
                self.assertEqual(remote.height(AUTHORS[0], 1), 1)
                self.assertLess(tracemalloc.get_traced_memory()[0], remote.size)
            finally:
                tracemalloc.stop()
