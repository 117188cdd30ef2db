"""
What a peer still has to get.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.logs import LogRange
from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync.feed import LiveFeed, LiveTurn
from p2panda_tw.sync.limits import MAX_SPANS
from p2panda_tw.sync.messages import LogIds, encode_have
from p2panda_tw.sync.remote_heights import RemoteHeights
from tests.sync.logs import TOPIC, Log, Logs

LOG: LogId = TOPIC.log_id()


def stored(count: int, *names: str) -> list[StoredOperation]:
    """
    @return: Operations of several authors in turn, in order of arrival.
    """
    logs = Logs()
    authors = [Log(name) for name in names]
    for number in range(count):
        logs.ingest([authors[number % len(authors)].write()])
    return logs.arrivals


def feed(have: dict[Log, int] | None = None) -> LiveFeed:
    made = LiveFeed()
    heights = {log.author: {LOG: height} for log, height in (have or {}).items()}
    made.have_received(RemoteHeights(encode_have(heights, LogIds.HASHES)[4:], LogIds.HASHES, {}), {}, None)
    return made


def arrivals(operations: list[StoredOperation]) -> list[int]:
    return [operation.arrival for operation in operations]


class LiveFeedTests(SynchronousTestCase):
    """
    Nothing twice, nothing left out.
    """

    def test_in_order(self) -> None:
        """
        Everything after the Have goes out once, in order of arrival.
        """
        operations = stored(6, "a", "b")
        served = feed()
        served.begin(2)
        self.assertEqual(arrivals(served.pick(operations[:4])), [3, 4])
        self.assertEqual(arrivals(served.pick(operations)), [5, 6])
        self.assertEqual((served.served, served.pick(operations)), (6, []))

    def test_by_have(self) -> None:
        """
        What the peer listed does not go out, also of authors that we learn of later.
        """
        operations = stored(6, "a", "b")
        self.assertEqual(arrivals(feed({Log("a"): 1}).pick(operations)), [2, 4, 5, 6])

    def test_by_catch_up(self) -> None:
        """
        What catch-up has sent does not go out again.
        """
        operations = stored(6, "a")
        served = LiveFeed()
        empty = RemoteHeights(encode_have({}, LogIds.HASHES)[4:], LogIds.HASHES, {})
        served.have_received(empty, {Log("a").author: {LOG: LogRange(None, 3)}}, None)
        self.assertEqual(arrivals(served.pick(operations)), [5, 6])

    def test_from_the_peer(self) -> None:
        """
        What came from the peer is skipped, in one step where it is all there is.
        """
        operations = stored(10, "a", "b", "c")
        served = feed()
        served.newest = 10
        served.came_from_peer(operations[:4])
        self.assertEqual((served.served, served.behind), (4, 6))
        served.came_from_peer(operations[5:7])
        served.came_from_peer([operations[8]])
        self.assertEqual(served.behind, 6)
        self.assertEqual(arrivals(served.pick(operations)), [5, 8, 10])
        self.assertEqual(served.behind, 0)

    def test_peer_has(self) -> None:
        """
        What one of our nodes has sent it has up to there.
        """
        operations = stored(5, "a")
        served = feed()
        served.peer_has(Log("a").author, LOG, 2)
        served.peer_has(Log("a").author, LOG, 1)
        self.assertEqual(arrivals(served.pick(operations)), [4, 5])

    def test_room(self) -> None:
        """
        With room for a few the rest is not counted as served.
        """
        operations = stored(5, "a")
        served = feed()
        self.assertEqual((arrivals(served.pick(operations, 2)), served.served), ([1, 2], 2))
        self.assertEqual(arrivals(served.pick(operations, 2)), [3, 4])

    def test_holes(self) -> None:
        """
        What was pruned meanwhile leaves holes, which are passed.
        """
        operations = stored(5, "a")
        served = feed()
        served.pick([operations[0], operations[3]])
        served.reached(5, 9)
        self.assertEqual((served.served, served.behind), (5, 4))

    def test_made_up_authors(self) -> None:
        """
        A peer that sends operations of ever new authors, none of which can be stored, is not remembered by them.
        """
        served = feed()
        logs = Logs()
        known = Log("a").write_many(2)
        logs.ingest(known)
        for number in range(100):
            batch = [Log(f"made up {number}").write_many(3)[2]]
            served.batch_stored(batch, logs.ingest(batch), LOG, live=True)
        batch = [*known, Log("made up").write_many(3)[2]]
        served.batch_stored(batch, logs.ingest(batch), LOG, live=True)
        self.assertEqual(list(served._known), [(Log("a").author, LOG)])

    def test_bounded(self) -> None:
        """
        However mixed the arrivals are, only so many stretches are remembered; the rest may go back to the peer.
        """
        operations = stored(2 * MAX_SPANS + 200, "a", "b")
        served = feed()
        for operation in operations[1::2]:
            served.came_from_peer([operation])
        picked = set(arrivals(served.pick(operations)))
        self.assertLessEqual(set(arrivals(operations[0::2])), picked)
        self.assertLessEqual(len(picked), MAX_SPANS + 300)


class LiveTurnTests(SynchronousTestCase):
    """
    One of several.
    """

    def test_turn(self) -> None:
        """
        The first one that asks has the turn until it gives it back.
        """
        turn = LiveTurn()
        self.assertEqual([turn.take(1), turn.take(2), turn.take(1)], [True, False, True])
        turn.give_back(2)
        self.assertFalse(turn.take(2))
        turn.give_back(1)
        self.assertTrue(turn.take(2))
