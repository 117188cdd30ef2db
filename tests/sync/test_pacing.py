"""
Sending to nodes that lose what arrives too fast: the state alone, and whole nodes against a model of a Rust receiver.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.logs import LogHeights, LogRange
from p2panda_tw.core.topic import LogId
from p2panda_tw.sync.events import SyncFailed
from p2panda_tw.sync.healing import FIRST_REST
from p2panda_tw.sync.messages import LogIds, encode_have
from p2panda_tw.sync.pacing import IN_FLIGHT, MAX_PAUSE, MIN_PAUSE, Pacing, Settlement
from p2panda_tw.sync.remote_heights import RemoteHeights
from tests.sync.logs import TOPIC, Log, key
from tests.sync.network import Network
from tests.sync.rust_receiver import RustReceiver

LOG: LogId = TOPIC.log_id()
ANNA, BERT = sorted(key(name).verifying_key for name in ("anna", "bert"))


def have(heights: dict[Any, int]) -> RemoteHeights:
    """
    @return: What a receiver with these heights says.
    """
    listed: LogHeights = {author: {LOG: height} for author, height in heights.items()}
    return RemoteHeights(encode_have(listed, LogIds.HASHES)[4:], LogIds.HASHES, listed)


def positions(author: Any, first: int, last: int) -> list[tuple[Any, LogId, int]]:
    return [(author, LOG, seq_num) for seq_num in range(first, last + 1)]


class PacingTests(SynchronousTestCase):
    """
    The state of one receiver.
    """

    def setUp(self) -> None:
        self.pacing = Pacing()

    def chunk(self, session: int, *operations: tuple[Any, LogId, int], complete: bool = False, now: float = 0) -> None:
        self.assertTrue(self.pacing.claim(session, now))
        self.pacing.chunk_written(session, operations, complete, now)

    def test_one_chunk_until_it_is_confirmed(self) -> None:
        """
        While something is in flight no session may send a chunk, nor while another one puts one together.
        """
        pacing = self.pacing
        pacing.have_received(have({}), 0)
        self.assertTrue(pacing.claim(1, 0))
        self.assertFalse(pacing.claim(2, 0))
        pacing.chunk_written(1, positions(ANNA, 0, 499), False, 0)
        self.assertEqual(pacing.in_flight, 500)
        self.assertFalse(pacing.claim(2, 0))
        pacing.have_received(have({ANNA: 399}), 1)
        self.assertEqual(pacing.in_flight, 100)
        self.assertFalse(pacing.claim(2, 1))
        pacing.have_received(have({ANNA: 499}), 2)
        self.assertTrue(pacing.claim(2, 2))

    def test_large_have(self) -> None:
        """
        A Have of some MiB is not kept when the session is over; what it confirmed still counts.
        """
        pacing = self.pacing
        listed: LogHeights = {key(f"author {number}").verifying_key: {LOG: 1} for number in range(2000)}
        listed[ANNA] = {LOG: 9}
        large = RemoteHeights(encode_have(listed, LogIds.HASHES)[4:], LogIds.HASHES, {ANNA: {LOG: 0}})
        pacing.have_received(large, 0)
        self.chunk(1, *positions(ANNA, 10, 19))
        self.assertTrue(pacing.covers(ANNA, LOG, 9))
        pacing.session_ended(1, 1)
        self.assertIsNone(pacing._remote)
        pacing.have_received(large, 2)
        self.assertEqual((pacing.in_flight, pacing._grown), (10, {}))
        pacing.session_ended(2, 3)
        pacing.have_received(have({ANNA: 12}), 4)
        self.assertEqual((pacing.in_flight, list(pacing._grown)), (7, [(ANNA, LOG)]))

    def test_order(self) -> None:
        """
        The chunk begins with the first log, as any catch-up does.
        """
        ranges = {BERT: {LOG: LogRange(None, 4)}, ANNA: {LOG: LogRange(2, 9)}}
        self.assertEqual(self.pacing.order(ranges), [(ANNA, LOG, LogRange(2, 9)), (BERT, LOG, LogRange(None, 4))])

    def test_pause(self) -> None:
        """
        The pause between sessions is what the receiver is going to need, within bounds.
        """
        self.chunk(1, *positions(ANNA, 0, 499))
        self.assertEqual(self.pacing.session_due(), 0.5)
        # It needed 4 ms for each: 100 are left, and take 0.4 s.
        self.pacing.have_received(have({ANNA: 399}), 1.6)
        self.pacing.session_ended(2, 20.0)
        self.assertEqual(self.pacing.session_due(), 20.4)
        self.pacing.have_received(have({ANNA: 400}), 500)
        self.pacing.session_ended(3, 30.0)
        due = self.pacing.session_due()
        assert due is not None
        self.assertTrue(30 + MIN_PAUSE <= due <= 30 + MAX_PAUSE)

    def test_pause_after_a_crash(self) -> None:
        """
        A receiver that seemed slow because it had crashed is soon looked at again, and not taken for slow afterwards.
        """
        pacing = self.pacing
        self.chunk(1, *positions(ANNA, 0, 499))
        due = []
        for now in (5.0, 10.0, 11.5, 13.0):
            pacing.have_received(have({ANNA: 49}), now)
            if pacing.in_flight:
                pacing.session_ended(2, now)
                due.append(pacing.session_due())
        self.assertEqual(due, [9.5, 11.5, 13.0])
        self.chunk(3, *positions(ANNA, 50, 549), now=13.0)
        self.assertEqual(pacing.session_due(), 13.5)

    def test_carrier_stays_open(self) -> None:
        """
        A session that has sent something is not closed before that is confirmed: what the receiver has not worked off would
        be lost with it.
        """
        pacing = self.pacing
        self.chunk(1, *positions(ANNA, 0, 499))
        self.assertIs(pacing.settle(1, initiated=True, complete=False), Settlement.HOLD)
        pacing.have_received(have({ANNA: 300}), 1)
        self.assertFalse(pacing.claim(2, 1))
        self.assertIs(pacing.settle(2, initiated=True, complete=False), Settlement.CLOSE)
        self.assertEqual((list(pacing.held), pacing.take_released()), ([1], []))
        pacing.have_received(have({ANNA: 499}), 2)
        self.assertEqual((list(pacing.held), pacing.take_released()), ([], [1]))
        self.assertEqual(pacing.take_released(), [])

    def test_carrier_breaks_off(self) -> None:
        """
        When the session with everything in flight ends too early, another one is due, to see what arrived.
        """
        pacing = self.pacing
        self.chunk(1, *positions(ANNA, 0, 99), complete=True)
        self.assertIs(pacing.settle(1, initiated=True, complete=True), Settlement.LIVE)
        self.assertIsNone(pacing.session_due())
        pacing.session_ended(1, 2.0)
        self.assertEqual(pacing.session_due(), 2.25)

    def test_one_carrier(self) -> None:
        """
        What is in flight was sent in one session only, or the receiver would store it in another order. A session that has
        sent all the rest takes over from the live one.
        """
        pacing = self.pacing
        self.assertIs(pacing.settle(1, initiated=True, complete=True), Settlement.LIVE)
        self.chunk(2, *positions(ANNA, 0, 499))
        self.assertIs(pacing.settle(2, initiated=True, complete=False), Settlement.HOLD)
        pacing.have_received(have({ANNA: 400}), 1)
        self.assertEqual((pacing.room(1), pacing.room(2)), (0, 0))
        pacing.have_received(have({ANNA: 499}), 2)
        self.assertEqual((pacing.room(1), pacing.take_released()), (IN_FLIGHT, [2]))
        self.chunk(3, *positions(ANNA, 500, 599), complete=True)
        self.assertIs(pacing.settle(3, initiated=True, complete=True), Settlement.LIVE)
        self.assertEqual((pacing.room(1), pacing.room(3), pacing.take_released()), (0, IN_FLIGHT - 100, [1]))

    def test_live_limit(self) -> None:
        """
        Live operations count, too. At the limit they wait until nothing is in flight, and a session is due to find out.
        """
        pacing = self.pacing
        self.chunk(1, *positions(ANNA, 0, 99), complete=True)
        self.assertIs(pacing.settle(1, initiated=True, complete=True), Settlement.LIVE)
        self.assertEqual((pacing.room(1), pacing.room(2)), (IN_FLIGHT - 100, 0))
        self.assertIsNone(pacing.session_due())
        pacing.live_written(positions(ANNA, 100, 499), 5.0)
        self.assertEqual((pacing.room(1), pacing.session_due()), (0, 5.5))
        pacing.have_received(have({ANNA: 450}), 6)
        self.assertEqual(pacing.room(1), 0)
        pacing.have_received(have({ANNA: 499}), 7)
        self.assertEqual((pacing.room(1), pacing.session_due()), (IN_FLIGHT, None))

    def test_one_live_session(self) -> None:
        """
        Another session that is through is closed if we opened it, and stays silent if the peer did.
        """
        self.assertIs(self.pacing.settle(1, initiated=False, complete=True), Settlement.LIVE)
        self.assertIs(self.pacing.settle(2, initiated=True, complete=True), Settlement.CLOSE)
        self.assertIs(self.pacing.settle(3, initiated=False, complete=True), Settlement.QUIET)
        self.pacing.session_ended(1, 0)
        self.assertIs(self.pacing.settle(4, initiated=True, complete=True), Settlement.LIVE)

    def test_covers(self) -> None:
        """
        What is confirmed or in flight is not sent again.
        """
        self.pacing.have_received(have({ANNA: 4}), 0)
        self.chunk(1, *positions(ANNA, 5, 9))
        self.assertEqual(
            [self.pacing.covers(ANNA, LOG, seq_num) for seq_num in (4, 5, 9, 10)], [True, True, True, False]
        )
        self.assertFalse(self.pacing.covers(BERT, LOG, 0))

    def stall(self, *heights: dict[Any, int], start: float = 0.0) -> list[str | None]:
        """
        A C{Have} each 1.6 s.
        """
        return [self.pacing.have_received(have(each), start + 1.6 * number) for number, each in enumerate(heights, 1)]

    def test_lost(self) -> None:
        """
        Three C{Have}s in a row over three seconds without progress: what is in flight is lost and may be sent again.
        """
        self.chunk(1, *positions(ANNA, 0, 9))
        self.stall({}, {})
        self.assertEqual(self.pacing.in_flight, 10)
        self.stall({}, start=3.2)
        self.assertEqual(self.pacing.in_flight, 0)
        self.assertTrue(self.pacing.claim(2, 5))

    def test_three_in_a_moment(self) -> None:
        """
        Three C{Have}s in a moment mean nothing.
        """
        self.chunk(1, *positions(ANNA, 0, 9))
        for number in range(10):
            self.pacing.have_received(have({}), number / 10)
        self.assertEqual(self.pacing.in_flight, 10)

    def test_refused_log(self) -> None:
        """
        A log that does not grow while another one does is left out, until the peer lists another height for it.
        """
        pacing = self.pacing
        self.chunk(1, *positions(ANNA, 0, 4), *positions(BERT, 0, 4))
        self.stall({BERT: 4}, {BERT: 4}, {BERT: 4}, {BERT: 4})
        ranges = {ANNA: {LOG: LogRange(None, 4)}}
        self.assertEqual((pacing.in_flight, pacing.order(ranges), pacing.lacks(ranges)), (0, [], False))
        self.assertTrue(pacing.covers(ANNA, LOG, 7))
        pacing.have_received(have({BERT: 4, ANNA: 1}), 100)
        self.assertTrue(pacing.lacks(ranges))

    def test_stuck_logs_go_last(self) -> None:
        """
        A log that got stuck does not keep the others from being sent.
        """
        self.chunk(1, *positions(ANNA, 0, 4))
        self.stall({}, {}, {})
        ranges = {ANNA: {LOG: LogRange(None, 4)}, BERT: {LOG: LogRange(None, 4)}}
        self.assertEqual([author for author, _, _ in self.pacing.order(ranges)], [BERT, ANNA])

    def wedge(self, start: float) -> list[str | None]:
        """
        A chunk goes out and nothing comes of it.
        """
        self.chunk(1, *positions(ANNA, 0, 4), now=start)
        return self.stall({}, {}, {}, start=start)

    def test_healing(self) -> None:
        """
        Lost twice in a row: sessions send nothing until one has been silent for two seconds after its echo.
        """
        pacing = self.pacing
        self.wedge(0)
        self.wedge(10)
        self.assertFalse(pacing.claim(3, 20))
        self.assertIsNotNone(pacing.session_due())
        self.assertIs(pacing.settle(3, initiated=True, complete=False), Settlement.HEAL)
        self.assertEqual(pacing.silent_in(20, 21), 1)
        pacing.echo_received(21)
        self.assertEqual(pacing.silent_in(20, 22.5), 0.5)
        pacing.session_healed()
        self.assertTrue(pacing.claim(4, 30))

    def test_healing_without_echo(self) -> None:
        """
        Without any echo it is tried four times.
        """
        pacing = self.pacing
        self.wedge(0)
        self.wedge(10)
        for _ in range(4):
            self.assertFalse(pacing.claim(3, 20))
            pacing.session_healed()
        self.assertTrue(pacing.claim(4, 30))

    def test_rest(self) -> None:
        """
        Where healing does not help the peer is left alone for a minute, then two, and so on to an hour. That is said once.
        """
        pacing = self.pacing
        self.wedge(0)
        self.wedge(10)
        pacing.echo_received(20)
        pacing.session_healed()
        (said,) = [sentence for sentence in self.wedge(30) if sentence]
        self.assertIn("does not keep", said)
        now = 30 + 4.8
        rest = FIRST_REST
        for _ in range(8):
            self.assertAlmostEqual(pacing.session_due() or 0, now + rest)
            self.assertFalse(pacing.claim(5, now + rest - 1))
            self.assertEqual([each for each in self.wedge(now + rest + 0.1) if each], [])
            now += rest + 4.9
            rest = min(rest * 2, 3600)
        # When it takes something again all is forgotten.
        self.chunk(9, *positions(ANNA, 0, 4), now=now + rest)
        pacing.have_received(have({ANNA: 4}), now + rest + 1)
        self.assertTrue(pacing.claim(9, now + rest + 1))


class RustReceiverTests(SynchronousTestCase):
    """
    Our node sends to a receiver that loses things.
    """

    def setUp(self) -> None:
        self.network = Network()
        self.ours = self.network.node("ours", is_ours=lambda connection: False)

    def tearDown(self) -> None:
        self.network.stop()
        self.receiver.stop()
        self.network.run(6, step=0.1)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def meet(self, **options: Any) -> RustReceiver:
        self.receiver = RustReceiver(self.network.memory, self.network.clock, **options)
        self.ours.endpoint.add_addresses(self.receiver.node_id, self.receiver.endpoint.local_addresses())
        self.ours.sync.add_peer(TOPIC, self.receiver.node_id)
        return self.receiver

    def fill(self, count: int) -> None:
        for number in range(count):
            self.ours.store.publish(TOPIC, b"%d" % number)

    def test_model_loses(self) -> None:
        """
        The model behaves like what was seen: 1,000 at once are stored, of 2,000 a Node stores little, from 3,000 on it stands
        still until a session comes.
        """
        for count, least, most in ((1000, 1000, 1000), (1500, 0, 200), (2500, 0, 200), (4000, 0, 200)):
            receiver = RustReceiver(self.network.memory, self.network.clock)
            receiver.burst(Log("burst").write_many(count))
            self.network.run(8)
            self.assertTrue(least <= receiver.stored <= most, (count, receiver.stored))
            self.assertEqual(receiver.stalled, count > 2048)
            receiver.stop()
        self.receiver = self.meet()

    def test_catch_up(self) -> None:
        """
        3,000 operations arrive without a loss, never more than 500 under way, in few sessions, and one of them stays.
        """
        self.fill(3000)
        receiver = self.meet()
        self.network.until(lambda: receiver.stored == 3000, longest=30)
        self.network.run(10)
        self.assertLessEqual(receiver.most, IN_FLIGHT)
        self.assertLess(len(receiver.sessions), 25)
        self.assertEqual(sum(not session.closed for session in receiver.sessions), 1)
        self.assertEqual(self.ours.status, ["live"])

    def test_fast_receiver(self) -> None:
        """
        A receiver that is fast costs hardly more than the pauses.
        """
        self.fill(4000)
        receiver = self.meet(cost=0.0001, chains=False)
        self.network.until(lambda: receiver.stored == 4000, longest=6)
        self.assertLessEqual(receiver.most, IN_FLIGHT)
        self.assertLess(len(receiver.sessions), 12)

    def test_live(self) -> None:
        """
        Live operations arrive, too, however many at once, and never more than 500 are under way.
        """
        receiver = self.meet()
        self.network.run(1)
        self.assertEqual(self.ours.status, ["live"])
        for burst in (1, 400, 1500):
            before = receiver.stored
            self.fill(burst)
            self.network.until(lambda: receiver.stored == before + burst, longest=30)  # noqa: B023  # called at once
        self.assertLessEqual(receiver.most, IN_FLIGHT)
        self.assertGreaterEqual(sum(session.live_operations for session in receiver.sessions), 500)
        self.network.run(5)
        self.assertEqual(sum(not session.closed for session in receiver.sessions), 1)

    def test_live_after_a_full_chunk(self) -> None:
        """
        Live operations arrive also where the last chunk was as large as a chunk can be.
        """
        self.fill(1000)
        receiver = self.meet()
        self.network.until(lambda: receiver.stored == 1000, longest=30)
        self.fill(1)
        self.network.until(lambda: receiver.stored == 1001, longest=6)

    def test_model_forgets(self) -> None:
        """
        The model behaves like what was seen: 500 operations of a session that is closed right behind them are stored, but
        not if another session brings a single one meanwhile.
        """
        for bring, least, most in ((0, 500, 500), (1, 1, 200)):
            receiver = RustReceiver(self.network.memory, self.network.clock, cost=0.0001, merged=2000)
            receiver.burst(Log("burst").write_many(500))
            receiver.burst(Log("other").write_many(bring)).closed = False
            self.network.run(2)
            self.assertTrue(least <= receiver.stored <= most, (bring, receiver.stored))
            receiver.stop()
        self.receiver = self.meet()

    def test_others_send_too(self) -> None:
        """
        Catch-up and live operations arrive, each at the first attempt, also where others send to the receiver, too.
        """
        self.fill(1200)
        receiver = self.meet(chains=False, merged=1000)
        other = Log("other")
        session = receiver.burst([])
        session.closed = False
        for number in range(100):
            receiver.burst(other.write_many(1), session)
            self.network.run(0.05)
            if number == 40:
                self.fill(700)
        self.network.until(lambda: receiver.stored == 2000, longest=30)
        sent = sum(session.operations + session.live_operations for session in receiver.sessions)
        self.assertEqual(sent, 1900)

    def test_both_dial(self) -> None:
        """
        A receiver that opens several sessions itself is sent each operation once, and its sessions stay.
        """
        self.fill(1200)
        receiver = self.meet()
        receiver.endpoint.add_addresses(self.ours.node_id, self.ours.endpoint.local_addresses())
        for _ in range(3):
            receiver.dial(self.ours.node_id)
        self.network.until(lambda: receiver.stored == 1200, longest=30)
        self.network.run(10)
        self.fill(300)
        self.network.until(lambda: receiver.stored == 1500, longest=30)
        self.network.run(10)
        self.assertLessEqual(receiver.most, IN_FLIGHT)
        sent = sum(session.operations + session.live_operations for session in receiver.sessions)
        self.assertEqual(sent, 1500)
        self.assertGreaterEqual(sum(not session.closed for session in receiver.sessions), 3)

    def test_wedged_before(self) -> None:
        """
        A topic that somebody else's burst has wedged is brought back, and everything arrives.
        """
        self.fill(1500)
        self.receiver = RustReceiver(self.network.memory, self.network.clock)
        self.receiver.burst(Log("burst").write_many(4000))
        self.network.run(1)
        self.assertTrue(self.receiver.stalled)
        self.ours.endpoint.add_addresses(self.receiver.node_id, self.receiver.endpoint.local_addresses())
        self.ours.sync.add_peer(TOPIC, self.receiver.node_id)
        before = self.receiver.stored
        self.network.until(lambda: self.receiver.stored >= before + 1500, longest=120)

    def test_burst_in_between(self) -> None:
        """
        Somebody else's burst in the middle makes the receiver lose what we sent; it is sent again.
        """
        self.fill(2000)
        receiver = self.meet()
        self.network.until(lambda: receiver.stored >= 700, longest=30)
        receiver.burst(Log("burst").write_many(4000), receiver.sessions[-1])
        self.network.until(lambda: receiver.heights().get(self.ours.node_id, {}).get(LOG) == 1999, longest=120)

    def test_refused_log(self) -> None:
        """
        A log that the receiver refuses keeps no other from being sent, and is not sent for ever.
        """
        refused = Log("refused")
        self.ours.store.ingest(TOPIC, refused.write_many(100))
        self.fill(700)
        receiver = self.meet()
        receiver.refused.add(refused.author)
        self.network.until(lambda: receiver.stored == 700, longest=60)
        self.network.run(60, step=0.05)
        sent = sum(session.operations for session in receiver.sessions)
        self.network.run(60, step=0.05)
        self.assertEqual(sum(session.operations for session in receiver.sessions), sent)
        self.assertEqual(self.ours.status, ["live"])

    def test_dead_application(self) -> None:
        """
        A node that stores nothing is healed in vain, then left alone for longer and longer; the application is told once.
        """
        self.fill(600)
        receiver = self.meet()
        receiver.dead = True
        self.network.run(300, step=0.05)
        told = [event.reason for event in self.ours.events if isinstance(event, SyncFailed)]
        self.assertEqual(len([reason for reason in told if "does not keep" in reason]), 1)
        self.assertLess(len(receiver.sessions), 60)
        receiver.dead = False
        self.network.run(400, step=0.05)
        self.assertEqual(receiver.stored, 600)
