# -*- test-case-name: tests.sync.test_feed -*-
"""
Which operations of the topic does a peer still have to get?

The store is the queue. L{LiveFeed} only remembers the arrival number up to which the peer has been served, beginning
with the newest one at the moment of our C{Have}. From there operations go out in order of arrival, without those that
the peer has: by its C{Have}, because we sent them, or because it sent them to us. So nothing is echoed and nothing is
dropped, however slow the peer is, and nothing is remembered for each operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.logs import LogRanges
from p2panda_tw.core.operation import RawOperation, decode_header
from p2panda_tw.core.stored import Ingested, StoredOperation
from p2panda_tw.core.topic import LogId
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.limits import MAX_SPANS
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.sync.remote_heights import RemoteHeights

__all__ = ["LiveFeed", "LiveTurn"]

_UNLIMITED: Final = 1 << 62


class LiveTurn:
    """
    Of the parallel sessions with one of our own nodes a single one sends live operations. The others stay silent, each
    with its own place in the feed, and one of them takes over when that one ends.

    @ivar holder: The session whose turn it is.
    """

    def __init__(self) -> None:
        self.holder: int | None = None

    def take(self, session: int) -> bool:
        """
        @return: Whether it is this session's turn; from now on it is, if it was nobody's.
        """
        if self.holder is None:
            self.holder = session
        return self.holder == session

    def give_back(self, session: int) -> None:
        """
        The session is over.
        """
        if self.holder == session:
            self.holder = None


class LiveFeed:
    """
    What a peer has been served.

    @ivar served: Everything up to this arrival number has been sent, or need not be.
    @ivar newest: The newest arrival number that we know of.
    """

    __slots__ = ("_known", "_pacing", "_remote", "_spans", "newest", "served")

    def __init__(self) -> None:
        self.served = 0
        self.newest = 0
        # Stretches of arrival numbers that came from the peer: first and last, ascending.
        self._spans: list[list[int]] = []
        # How far the peer's logs reach as far as we heard after its Have.
        self._known: dict[tuple[VerifyingKey, LogId], int] = {}
        self._remote: RemoteHeights | None = None
        self._pacing: Pacing | None = None

    @property
    def behind(self) -> int:
        """
        How many operations the peer has not been served, at most.
        """
        self._advance()
        return max(self.newest - self.served, 0)

    def begin(self, newest: int) -> None:
        """
        Our C{Have} was made when this was the newest arrival number.
        """
        self.served = newest
        self.newest = max(self.newest, newest)

    def have_received(self, remote: RemoteHeights, ranges: LogRanges | None, pacing: Pacing | None) -> None:
        """
        Catch-up is decided.

        @param ranges: What this session's catch-up sends. C{None}: another way of knowing is C{pacing}.
        @param pacing: Knows what a peer that is not ours was sent in any session.
        """
        self._remote = remote
        self._pacing = pacing
        if ranges is not None:
            self._known = {
                (author, log_id): stretch.until for author, logs in ranges.items() for log_id, stretch in logs.items()
            }

    def caught_up(self) -> None:
        """
        The peer has been served everything, and has sent all of what its C{Have} listed. So whatever is new to us from
        now on was not listed there, and a C{Have} of some MiB need not be kept.
        """
        if self._pacing is None and self._remote is not None:
            self._remote.forget()
            self._remote = None

    def batch_stored(
        self, batch: Sequence[RawOperation], ingested: Ingested, log_id: LogId | None, *, live: bool
    ) -> None:
        """
        The peer has what it sent. Of what the store reports as new, some may have waited since another peer sent it.

        @param batch: What the peer sent.
        @param ingested: What became of it.
        @param log_id: The one log id that every author has in this topic; C{None} if there are several.
        @param live: Whether it was sent in live mode. During catch-up the peer's C{Have} has said enough.
        """
        new = ingested.operations
        if len(new) != len(batch) or ingested.known or ingested.gaps or ingested.refused:
            sent = {operation.header for operation in batch}
            new = [stored for stored in new if stored.operation.header.raw in sent]
        self.came_from_peer(new)
        if not live or self._pacing is not None:
            return
        for stored in new:
            header = stored.operation.header
            self.peer_has(header.verifying_key, stored.log_id, header.seq_num)
        if log_id is not None and len(new) < len(batch):
            self._note_known(batch, ingested, log_id)

    def _note_known(self, batch: Sequence[RawOperation], ingested: Ingested, log_id: LogId) -> None:
        """
        Nobody else tells where operations belong that were known already. A peer that lies harms itself. But it can
        make up authors without end, so those of whom something was not taken are not added.
        """
        doubtful = {refusal.author for refusal in ingested.refused} | {gap.author for gap in ingested.gaps}
        for operation in batch:
            try:
                header = decode_header(operation.header, verify=False)
            except DecodeError:
                continue
            author = header.verifying_key
            if author not in doubtful or (author, log_id) in self._known:
                self.peer_has(author, log_id, header.seq_num)

    def came_from_peer(self, operations: Sequence[StoredOperation]) -> None:
        """
        These were stored just now, and the peer sent them.
        """
        if not operations:
            return
        first, last = operations[0].arrival, operations[-1].arrival
        if last - first == len(operations) - 1:
            self._add_span(first, last)
        else:
            for operation in operations:
                self._add_span(operation.arrival, operation.arrival)
        if len(self._spans) > MAX_SPANS:
            del self._spans[: len(self._spans) - MAX_SPANS]
        self._advance()

    def _add_span(self, first: int, last: int) -> None:
        if self._spans and self._spans[-1][1] + 1 == first:
            self._spans[-1][1] = last
        else:
            self._spans.append([first, last])

    def peer_has(self, author: VerifyingKey, log_id: LogId, seq_num: int) -> None:
        """
        One of our own nodes sent this; so it has all of the log up to there. A Rust node sends on what it cannot store,
        so from that nothing of the kind follows.
        """
        key = (author, log_id)
        if self._pacing is None and seq_num > self._known.get(key, -1):
            self._known[key] = seq_num

    def pick(self, operations: Sequence[StoredOperation], room: int = _UNLIMITED) -> list[StoredOperation]:
        """
        Of operations that follow in order of arrival choose what the peer lacks, and count all of them as served.

        @param operations: None of those after C{served} may be missing before the first one.
        @param room: How many may be sent. If that is not enough, the rest is not served yet.

        @return: What to send.
        """
        picked: list[StoredOperation] = []
        for operation in operations:
            arrival = operation.arrival
            if arrival <= self.served:
                continue
            if not (self._came_from_peer(arrival) or self._has(operation)):
                if len(picked) >= room:
                    break
                picked.append(operation)
                if self._pacing is None:
                    header = operation.operation.header
                    self._known[header.verifying_key, operation.log_id] = header.seq_num
            self.served = arrival
        self._advance()
        return picked

    def reached(self, until: int, newest: int) -> None:
        """
        Everything up to C{until} was looked at, holes included.
        """
        self.served = max(self.served, until)
        self.newest = max(self.newest, newest)

    def _has(self, operation: StoredOperation) -> bool:
        header = operation.operation.header
        author = header.verifying_key
        if self._pacing is not None:
            return self._pacing.covers(author, operation.log_id, header.seq_num)
        known = self._known.get((author, operation.log_id))
        if known is None:
            known = -1 if self._remote is None else self._remote.height(author, operation.log_id)
            self._known[author, operation.log_id] = known
        return header.seq_num <= known

    def _came_from_peer(self, arrival: int) -> bool:
        """
        Spans before C{served} are dropped on the way, so the first one decides.
        """
        spans = self._spans
        while spans and spans[0][1] < arrival:
            del spans[0]
        return bool(spans) and spans[0][0] <= arrival

    def _advance(self) -> None:
        """
        Skip what came from the peer. During a catch-up from a single peer that is all, so nothing has to be read.
        """
        spans = self._spans
        while spans and spans[0][0] <= self.served + 1:
            self.served = max(self.served, spans[0][1])
            del spans[0]
