# -*- test-case-name: tests.sync.test_remote_heights -*-
"""
How far the logs of a peer reach, by its newest C{Have}.

A peer may list 60,000 authors of whom we know ten. Unknown ones play no part in the comparison, but once we learn of
one from somebody else it matters whether the peer has him already. So the C{Have} is kept as it came, at the price of
its bytes, and searched when an author comes up. Keys are only ever compared with keys that we know. Unlike upstream's
decoder this one does not ask whether each is a point on the curve, which would take 0.1 ms for each.
"""

from __future__ import annotations

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogHeights
from p2panda_tw.core.topic import LogId
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.messages import LogIds, walk_heights
from p2panda_tw.wire.postcard import Reader, varint

__all__ = ["RemoteHeights"]


class RemoteHeights:
    """
    The heights of one C{Have}.

    @ivar heights: Of the logs of all authors that the peer and we had both heard of when it came.
    @ivar size: How much memory it takes, in bytes. A peer can list an author with a hundred thousand logs, in two bytes
        each.
    """

    __slots__ = ("_log_ids", "_looked_up", "_payload", "heights", "size")

    def __init__(self, payload: bytes, log_ids: LogIds, local: LogHeights) -> None:
        """
        @param payload: Of the frame of the C{Have}.
        @param local: Our own heights.

        @raise DecodeError: It is not a C{Have}, or one beyond the limits.
        """
        reader = Reader(payload)
        if reader.varint(32) != 0 or reader.varint(32) != 0:
            raise DecodeError("Not a Have.")
        ours = {author.raw: author for author in local}
        self.heights: LogHeights = {ours[author]: logs for author, logs in walk_heights(reader, log_ids, ours)}
        self._log_ids = log_ids
        self._payload = payload
        self._looked_up: LogHeights = {}
        self.size = len(payload) + _ENTRY * sum(map(len, self.heights.values()))

    def height(self, author: VerifyingKey, log_id: LogId) -> int:
        """
        @return: The highest C{seq_num} that the peer has of a log; -1 if it has nothing of it.
        """
        logs = self.heights.get(author)
        if logs is None:
            logs = self._looked_up.get(author)
            if logs is None:
                logs = self._looked_up[author] = self._look_up(author)
                self.size += _ENTRY * (1 + len(logs))
        return logs.get(log_id, -1)

    def forget(self) -> None:
        """
        It has served its purpose. All logs count as unlisted from now on.
        """
        self._payload = b""
        self.heights = {}
        self._looked_up = {}
        self.size = 0

    def _look_up(self, author: VerifyingKey) -> dict[LogId, int]:
        """
        The 33 bytes could in theory stand elsewhere. Then a peer is sent something that it has.
        """
        marked = varint(len(author.raw)) + author.raw
        start = self._payload.find(marked)
        if start < 0:
            return {}
        # Read just this author, by pretending that the Have lists no other.
        rest = b"\x01" + self._payload[start : start + len(marked) + _NEARBY]
        for text in (rest, b"\x01" + self._payload[start:]):
            try:
                return next(iter(walk_heights(Reader(text), self._log_ids)))[1]
            except DecodeError:
                continue
        return {}


_ENTRY = 256
"""
What one height takes in memory beside the bytes that it came in, roughly.
"""

_NEARBY = 256
"""
How many bytes to look at first, so that a large C{Have} is not copied for each author. A few logs fit in.
"""
