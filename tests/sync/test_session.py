"""
The session machine: inputs in, outputs out.
"""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.topic import Topic
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.events import ForkSeen, LiveStarted, SyncFailed, SyncFinished, SyncProgress
from p2panda_tw.sync.feed import LiveTurn
from p2panda_tw.sync.limits import BATCH_OPERATIONS, CLOSE_GRACE, MAX_PAYLOAD
from p2panda_tw.sync.messages import CLOSE_FRAME, DONE_FRAME, LogIds, encode_have, encode_pre_sync
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION, encode_operations
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.sync.receiving import Phase
from p2panda_tw.sync.session import Purpose
from p2panda_tw.wire.frames import OversizedFrame, encode_frame
from p2panda_tw.wire.postcard import varint
from tests.sync.bench import Bench, join
from tests.sync.logs import TOPIC, Log, Logs

EMPTY_HAVE = encode_have({}, LogIds.HASHES)


def logs_with(*logs: tuple[Log, int], body: bytes = b"a message") -> Logs:
    """
    @return: Logs that hold this many operations of each author.
    """
    found = Logs()
    for log, count in logs:
        found.ingest(log.write_many(count, body))
    return found


def live(*operations: RawOperation) -> bytes:
    return b"".join(encode_operations(LIVE_OPERATION, operations))


def old(*operations: RawOperation) -> bytes:
    return b"".join(encode_operations(CATCH_UP_OPERATION, operations))


def begun(store: Logs, **options: object) -> Bench:
    """
    @return: A session in live mode with a peer that has nothing and wants nothing.
    """
    bench = Bench(store, **options)  # type: ignore[arg-type]  # handed on
    bench.start()
    bench.receive(EMPTY_HAVE)
    bench.receive(DONE_FRAME)
    return bench


def publish(bench: Bench, store: Logs, *operations: RawOperation) -> None:
    """
    Operations are stored, and the session hears of it.
    """
    bench.feed(fx.OperationsStored(store.ingest(operations).operations))


class AfterwardsTests(SynchronousTestCase):
    """
    A session that is over.
    """

    def test_heights_stay(self) -> None:
        """
        What a Rust receiver has confirmed still counts when the session in which it said so is over.
        """
        anna = Log("anna")
        store = Logs()
        store.ingest(anna.write_many(4))
        pacing = Pacing()
        bench = Bench(store, pacing=pacing)
        bench.start()
        bench.receive(encode_have({anna.author: {TOPIC.log_id(): 3}}, LogIds.HASHES))
        bench.session.stop()
        bench.session.let_go()
        self.assertEqual([pacing.covers(anna.author, TOPIC.log_id(), seq_num) for seq_num in (3, 4)], [True, False])
        self.assertTrue(bench.session.begun)


class CatchUpTests(SynchronousTestCase):
    """
    Two sides bring each other up to date.
    """

    def test_both_ways(self) -> None:
        """
        Afterwards both have everything, each operation went over once, and both tell the same numbers.
        """
        shared, left, right = Log("shared"), Log("left"), Log("right")
        alice, bob = Logs(), Logs()
        operations = shared.write_many(30)
        alice.ingest(operations)
        bob.ingest(operations[:10])
        alice.ingest(left.write_many(600))
        bob.ingest(right.write_many(700))
        a, b = Bench(alice), Bench(bob, initiated=False)
        join(a, b)
        self.assertEqual(alice.ids, bob.ids)
        self.assertEqual(len(alice.ids), 1330)
        self.assertEqual((max(alice.counted.values()), max(bob.counted.values())), (1, 1))
        self.assertEqual((a.session.phase, b.session.phase), (Phase.LIVE, Phase.LIVE))
        self.assertEqual(a.session.metrics.sent_bytes, b.session.metrics.received_bytes)
        self.assertEqual(a.session.metrics.outgoing_operations, 620)
        self.assertEqual(b.session.metrics.incoming_operations, 620)
        self.assertEqual(b.session.metrics.sent_operations, 700)
        for bench in (a, b):
            self.assertEqual(bench.event_names, ["SyncStarted", "SyncFinished", "LiveStarted"])

    def test_nothing_to_do(self) -> None:
        """
        Two sides with the same logs say Have and Done, nothing else.
        """
        log = Log("author")
        store = logs_with((log, 3))
        a, b = Bench(store), Bench(store)
        join(a, b)
        sent = Bench(store)
        sent.start()
        sent.receive(encode_have(store.heights().heights, LogIds.HASHES))
        self.assertEqual(sent.sent, [encode_have(store.heights().heights, LogIds.HASHES), DONE_FRAME])
        self.assertIs(a.session.phase, Phase.LIVE)

    def test_have_does_not_wait(self) -> None:
        """
        Our Have goes out before the peer has said anything.
        """
        bench = Bench(Logs())
        bench.start()
        self.assertEqual(bench.sent, [EMPTY_HAVE])

    def test_pruned_log(self) -> None:
        """
        Of a pruned log what is left is sent, beginning with the operation that prunes.
        """
        log = Log("author")
        alice, bob = logs_with((log, 5)), Logs()
        alice.ingest([log.write(None, prune=True), *log.write_many(2)])
        join(Bench(alice), Bench(bob))
        self.assertEqual(sorted(stored.operation.seq_num for stored in bob.arrivals), [5, 6, 7])

    def test_own_log_comes_back(self) -> None:
        """
        Who lost everything is given his own log, too.
        """
        log = Log("alice")
        bob = logs_with((log, 4))
        alice = Logs()
        join(Bench(alice), Bench(bob))
        self.assertEqual(alice.ids, bob.ids)

    def test_what_is_stored_meanwhile(self) -> None:
        """
        What is published during catch-up goes out afterwards, in live mode, once.
        """
        log, other = Log("author"), Log("other")
        alice, bob = logs_with((log, 10)), Logs()
        bench = Bench(alice, hold=(fx.LoadLogPage,))
        bench.start()
        bench.receive(EMPTY_HAVE)
        publish(bench, alice, *log.write_many(2), other.write())
        bench.let_go()
        self.assertEqual(bench.frames[-1], b"\x00\x03")
        self.assertEqual(len(bench.frames), 13)
        bench.receive(DONE_FRAME)
        self.assertEqual([frame[0] for frame in bench.frames[13:]], [1, 1, 1])
        receiver = Bench(bob)
        receiver.start()
        for data in bench.sent:
            receiver.receive(data)
        self.assertEqual((bob.ids, receiver.failure), (alice.ids, None))

    def test_one_page_ahead(self) -> None:
        """
        While the transport has enough, one page more is read and then nothing, however much there is.
        """
        log = Log("author")
        alice = logs_with((log, 3000))
        bench = Bench(alice, hold=(fx.LoadLogPage,))
        bench.start()
        bench.receive(EMPTY_HAVE)
        self.assertEqual(len(bench.held), 1)
        bench.let_go()
        self.assertEqual((len(bench.frames), len(bench.held)), (2 + 512, 1))
        bench.feed(fx.WritingPaused())
        bench.let_go()
        self.assertEqual((len(bench.frames), len(bench.held)), (2 + 512, 0))
        bench.feed(fx.WritingResumed())
        self.assertEqual((len(bench.frames), len(bench.held)), (2 + 1024, 1))
        while bench.held:
            bench.let_go()
        self.assertEqual(len(bench.frames), 2 + 3000 + 1)
        self.assertEqual(bench.sent[-1], DONE_FRAME)

    def test_reads_while_writing(self) -> None:
        """
        A side that cannot write goes on reading, so two that send much never block each other.
        """
        log = Log("author")
        alice = logs_with((Log("mine"), 2000))
        bench = Bench(alice)
        bench.start()
        bench.feed(fx.WritingPaused())
        bench.receive(EMPTY_HAVE)
        bench.receive(encode_pre_sync(100, 20_000))
        bench.receive(old(*log.write_many(100)))
        bench.receive(DONE_FRAME)
        self.assertEqual(len(alice.ids), 2100)
        self.assertIs(bench.session.phase, Phase.OPERATIONS)
        self.assertNotIn(DONE_FRAME, bench.sent)
        bench.feed(fx.WritingResumed())
        self.assertIs(bench.session.phase, Phase.LIVE)

    def test_one_batch_at_a_time(self) -> None:
        """
        While a batch is in the store nothing more is read; batches have 256 operations at most, about equal ones.
        """
        log = Log("author")
        bob = Logs()
        bench = Bench(bob, hold=(fx.Ingest,))
        bench.start()
        bench.receive(EMPTY_HAVE)
        bench.receive(encode_pre_sync(600, 1))
        self.assertTrue(bench.session.reading)
        bench.receive(old(*log.write_many(600)))
        self.assertFalse(bench.session.reading)
        self.assertGreater(bench.session.held, 100_000)
        self.assertEqual(len(bench.held), 1)
        while bench.held:
            bench.let_go()
        self.assertTrue(bench.session.reading)
        self.assertEqual(bench.batches, [200, 200, 200])
        self.assertLessEqual(max(bench.batches), BATCH_OPERATIONS)
        self.assertLess(bench.session.held, 1000)

    def test_progress(self) -> None:
        """
        The application hears how far catch-up is, four times a second at most.
        """
        log = Log("author")
        bench = Bench(Logs())
        bench.start()
        bench.receive(EMPTY_HAVE)
        bench.receive(encode_pre_sync(100, 1))
        for operation in log.write_many(100):
            bench.now += 0.01
            bench.receive(old(operation))
        counts = [event.metrics.received_operations for event in bench.events if isinstance(event, SyncProgress)]
        self.assertIn(len(counts), (3, 4))
        self.assertEqual(counts, sorted(counts))

    def test_unknown_until_recognised(self) -> None:
        """
        Nothing but the Have goes out before it is clear how to send to the peer; what it sends is taken meanwhile.
        """
        log = Log("author")
        alice = logs_with((log, 3))
        bench = Bench(alice)
        bench.feed(fx.Started())
        bench.receive(EMPTY_HAVE)
        bench.receive(encode_pre_sync(2, 1))
        bench.receive(old(*Log("other").write_many(2)))
        self.assertEqual((len(bench.sent), len(alice.ids)), (1, 5))
        bench.feed(fx.PeerRecognised(None))
        self.assertEqual(bench.sent[-1], DONE_FRAME)
        self.assertEqual(len(bench.frames), 1 + 1 + 3 + 1)


class LiveTests(SynchronousTestCase):
    """
    New operations go to whoever lacks them.
    """

    def test_handed_over(self) -> None:
        """
        Who is right behind gets new operations without anything being read from the store.
        """
        log = Log("author")
        store = Logs()
        bench = begun(store, hold=(fx.LoadStoredPage,))
        publish(bench, store, *log.write_many(3))
        publish(bench, store, log.write())
        self.assertEqual([frame[0] for frame in bench.frames[2:]], [1, 1, 1, 1])
        self.assertEqual((len(bench.held), bench.session.behind), (0, 0))

    def test_no_echo(self) -> None:
        """
        What a peer sent does not come back to it, but goes to everybody else.
        """
        store = Logs()
        alice, bob = begun(store), begun(store)
        for bench in (alice, bob):
            store.listen(lambda operations, bench=bench: bench.feed(fx.OperationsStored(operations)))  # type: ignore[misc]  # each its own
        alice.receive(live(*Log("author").write_many(5)))
        self.assertEqual((len(alice.frames), len(bob.frames)), (2, 2 + 5))
        self.assertEqual((alice.session.behind, bob.session.behind), (0, 0))

    def test_known_is_not_sent(self) -> None:
        """
        What two peers send at the same time goes back to neither.
        """
        store = Logs()
        alice, bob = begun(store, log_id=TOPIC.log_id()), begun(store, log_id=TOPIC.log_id(), hold=(fx.Ingest,))
        store.listen(lambda operations: bob.feed(fx.OperationsStored(operations)))
        operations = Log("author").write_many(5)
        bob.receive(live(*operations))
        alice.receive(live(*operations))
        bob.let_go()
        self.assertEqual((len(alice.frames), len(bob.frames)), (2, 2))

    def test_catch_up_is_not_echoed(self) -> None:
        """
        After a long catch-up from one peer nothing has to be read to know that it has all of it.
        """
        log = Log("author")
        store = Logs()
        bench = Bench(store, hold=(fx.LoadStoredPage,))
        store.listen(lambda operations: bench.feed(fx.OperationsStored(operations)))
        bench.start()
        bench.receive(EMPTY_HAVE)
        bench.receive(encode_pre_sync(1000, 1))
        bench.receive(old(*log.write_many(1000)))
        bench.receive(DONE_FRAME)
        self.assertIs(bench.session.phase, Phase.LIVE)
        self.assertEqual((len(bench.held), len(bench.frames), bench.session.behind), (0, 2, 0))

    def test_same_from_two_peers(self) -> None:
        """
        After a catch-up from two peers at once neither is sent what it listed in its Have.
        """
        log = Log("author")
        operations = log.write_many(50)
        full = logs_with((Log("author"), 50))
        store = Logs()
        alice, bob = Bench(store, log_id=TOPIC.log_id()), Bench(store, log_id=TOPIC.log_id())
        for bench in (alice, bob):
            store.listen(lambda stored, bench=bench: bench.feed(fx.OperationsStored(stored)))  # type: ignore[misc]  # each its own
            bench.start()
            bench.receive(encode_have(full.heights().heights, LogIds.HASHES))
            bench.receive(encode_pre_sync(50, 1))
        alice.receive(old(*operations[:25]))
        bob.receive(old(*operations))
        alice.receive(old(*operations[25:]))
        for bench in (alice, bob):
            bench.receive(DONE_FRAME)
            self.assertEqual((len(bench.frames), bench.session.behind), (2, 0))

    def test_have_is_forgotten(self) -> None:
        """
        Once a peer has everything, the memory that its Have took is free again.
        """
        have = encode_have(
            logs_with(*[(Log(f"author{number}"), 1) for number in range(50)]).heights().heights, LogIds.HASHES
        )
        bench = Bench(Logs())
        bench.start()
        bench.receive(have)
        self.assertGreater(bench.session.held, 3000)
        bench.receive(encode_pre_sync(50, 1))
        bench.receive(DONE_FRAME)
        self.assertEqual(bench.session.held, 0)

    def test_slow_peer_lags_and_catches_up(self) -> None:
        """
        A peer that takes nothing for a while gets everything later, in order, and memory does not grow meanwhile.
        """
        log = Log("author")
        store, other = Logs(), Logs()
        bench = begun(store)
        bench.feed(fx.WritingPaused())
        for _ in range(20):
            publish(bench, store, *log.write_many(100))
        self.assertEqual((len(bench.frames), bench.session.behind), (2, 2000))
        bench.feed(fx.WritingResumed())
        self.assertEqual((len(bench.frames), bench.session.behind), (2002, 0))
        receiver = begun(other)
        for data in bench.sent[2:]:
            receiver.receive(data)
        self.assertEqual(other.ids, store.ids)

    def test_parallel_sessions_take_turns(self) -> None:
        """
        Of two sessions with one of our nodes one sends. When it ends the other goes on where its peer was.
        """
        log = Log("author")
        store = Logs()
        turn = LiveTurn()
        first, second = begun(store, turn=turn, number=1), begun(store, turn=turn, number=2)
        for bench in (first, second):
            store.listen(lambda operations, bench=bench: bench.feed(fx.OperationsStored(operations)))  # type: ignore[misc]  # each its own
        store.ingest(log.write_many(3))
        self.assertEqual((len(first.frames), len(second.frames)), (5, 2))
        first.feed(fx.ConnectionClosed("It broke."))
        second.feed(fx.TurnCame())
        self.assertEqual(len(second.frames), 5)

    def test_gap_is_reported(self) -> None:
        """
        An operation ahead of its log is reported as a gap, and the session goes on.
        """
        log = Log("author")
        operations = log.write_many(3)
        bench = begun(Logs())
        bench.receive(live(operations[2]))
        (found,) = [output for output in bench.others if isinstance(output, fx.GapsFound)]
        self.assertEqual([(gap.expected, gap.found) for gap in found.gaps], [(0, 2)])
        self.assertFalse(bench.over)

    def test_fork_is_reported(self) -> None:
        """
        A second operation for a position is reported; the first one stays, and the session goes on.
        """
        store = Logs()
        bench = begun(store)
        first, second = Log("author").write(b"one"), Log("author").write(b"two")
        bench.receive(live(first))
        bench.receive(live(second))
        (event,) = [event for event in bench.events if isinstance(event, ForkSeen)]
        self.assertEqual((event.seq_num, {event.kept}), (0, store.ids))
        self.assertFalse(bench.over)

    def test_refused_operation(self) -> None:
        """
        An operation with another body, or of another topic, is refused and the session goes on.
        """
        bench = begun(Logs())
        bench.receive(live(Log("author").write(b"body")._replace(body=b"another body")))
        bench.receive(live(Log("author", topic=Topic(bytes(32))).write()))
        bench.receive(live(Log("author").write()._replace(body=b"")))
        reasons = [output.refusal.reason for output in bench.others if isinstance(output, fx.Refuse)]
        self.assertEqual(len(reasons), 3)
        self.assertFalse(bench.over)
        self.assertEqual(len(bench.frames), 2)

    def test_bad_signature(self) -> None:
        """
        A wrong signature ends the session in either phase, and is told in live mode, too.
        """
        header, body = Log("author").write()
        forged = RawOperation(header[:40] + bytes([header[40] ^ 1]) + header[41:], body)
        for phase in (Phase.OPERATIONS, Phase.LIVE):
            bench = Bench(Logs())
            bench.start()
            bench.receive(EMPTY_HAVE)
            if phase is Phase.LIVE:
                bench.receive(DONE_FRAME)
                bench.receive(live(forged))
            else:
                bench.receive(encode_pre_sync(1, 1))
                bench.receive(old(forged))
            self.assertEqual(bench.failure, "The signature of a header is wrong.")
            self.assertIsInstance(bench.events[-1], SyncFailed)


class OversizedTests(SynchronousTestCase):
    """
    Operations that are too large are read past.
    """

    def oversized(self, operation: RawOperation, kind: bytes) -> OversizedFrame:
        head = kind + varint(len(operation.header)) + operation.header + b"\x01" + varint(MAX_PAYLOAD) + bytes(1000)
        return OversizedFrame(MAX_PAYLOAD + 300, head)

    def test_log_is_left_out(self) -> None:
        """
        The refusal names the author, the rest of this log is left out, everything else goes on.
        """
        log, other = Log("author"), Log("other")
        store = Logs()
        bench = begun(store)
        before, large, after = log.write_many(3)
        bench.receive(live(before))
        bench.feed(fx.FramesReceived([self.oversized(large, LIVE_OPERATION)]))
        bench.receive(live(after, other.write(), after))
        (refused,) = [output.refusal for output in bench.others if isinstance(output, fx.Refuse)]
        self.assertEqual((refused.author, refused.seq_num, refused.fatal), (log.author, 1, False))
        self.assertEqual((len(store.ids), bench.over), (2, False))
        self.assertFalse(any(isinstance(output, fx.GapsFound) for output in bench.others))

    def test_no_operation(self) -> None:
        """
        Something large that is no operation, or not signed by its author, ends the session.
        """
        operation = Log("author").write()
        forged = operation._replace(header=operation.header[:-1] + bytes([operation.header[-1] ^ 1]))
        for frame in (
            OversizedFrame(MAX_PAYLOAD + 1, b"\x00\x00" + bytes(1000)),
            OversizedFrame(MAX_PAYLOAD + 1, b"\x01\x05abc"),
            self.oversized(forged, LIVE_OPERATION),
            self.oversized(operation, CATCH_UP_OPERATION),
        ):
            bench = begun(Logs())
            bench.feed(fx.FramesReceived([frame]))
            self.assertIsNotNone(bench.failure)


class EndTests(SynchronousTestCase):
    """
    How sessions end.
    """

    def test_close(self) -> None:
        """
        When we close, what is there goes out first; any end by the peer is then a good one, and what it sends until then
        is still taken.
        """
        log = Log("author")
        for end in (fx.EndOfStream(), fx.ConnectionClosed("closed")):
            store = Logs()
            bench = begun(store)
            bench.feed(fx.WritingPaused())
            publish(bench, store, log.write())
            bench.feed(fx.CloseRequested())
            self.assertNotIn(CLOSE_FRAME, bench.sent)
            bench.feed(fx.WritingResumed())
            self.assertEqual([frame[:1] for frame in bench.frames[2:]], [b"\x01", b"\x02"])
            publish(bench, store, log.write())
            self.assertEqual(len(bench.frames), 4)
            bench.receive(live(Log("other").write()))
            bench.feed(end)
            self.assertEqual((bench.over, bench.failure, len(store.ids)), (True, None, 3))
            self.assertEqual(bench.event_names[-1], "SessionEnded")
            log = Log("author")

    def test_close_during_catch_up(self) -> None:
        """
        A close request during catch-up takes effect after it.
        """
        bench = Bench(Logs())
        bench.start()
        bench.feed(fx.CloseRequested())
        bench.receive(EMPTY_HAVE)
        self.assertNotIn(CLOSE_FRAME, bench.sent)
        bench.receive(DONE_FRAME)
        self.assertEqual(bench.sent[-1], CLOSE_FRAME)

    def test_grace(self) -> None:
        """
        A peer that does not answer Close in five seconds is left.
        """
        bench = begun(Logs())
        bench.feed(fx.CloseRequested())
        self.assertIn(fx.Schedule(CLOSE_GRACE, fx.Timer.CLOSE_GRACE), bench.others)
        bench.feed(fx.TimerExpired(fx.Timer.CLOSE_GRACE))
        self.assertEqual((bench.over, bench.failure), (True, None))

    def test_grace_without_end_of_catch_up(self) -> None:
        """
        A catch-up that is not over by then is broken off, without an end of stream.
        """
        bench = Bench(Logs())
        bench.start()
        bench.feed(fx.CloseRequested())
        bench.feed(fx.TimerExpired(fx.Timer.CLOSE_GRACE))
        self.assertIsNotNone(bench.failure)
        self.assertNotIn(fx.Finish(), bench.others)

    def test_both_close(self) -> None:
        """
        Both may say Close at the same time.
        """
        bench = begun(Logs())
        bench.feed(fx.CloseRequested())
        bench.receive(CLOSE_FRAME)
        self.assertEqual((bench.over, bench.failure), (True, None))

    def test_peer_closes(self) -> None:
        """
        When the peer closes we end our direction; what it sent before is stored first.
        """
        store = Logs()
        bench = begun(store, hold=(fx.Ingest,))
        bench.receive(live(*Log("author").write_many(3)) + CLOSE_FRAME)
        self.assertFalse(bench.over)
        bench.let_go()
        self.assertEqual((bench.over, bench.failure, len(store.ids)), (True, None, 3))
        self.assertIn(fx.Finish(), bench.others)

    def test_never_an_end_of_stream_before_done(self) -> None:
        """
        Whatever goes wrong before our Done, the connection is broken off; an end of stream would spin a Rust node.
        """
        wrongs: list[fx.Input] = [
            fx.EndOfStream(),
            fx.ConnectionClosed("It broke."),
            fx.GarbageReceived("garbage"),
            fx.StoreFailed("The disk is full."),
            fx.FramesReceived([b"\x02"]),
            fx.FramesReceived([b"\xff"]),
        ]
        for wrong in wrongs:
            for count in range(3):
                bench = Bench(logs_with((Log("author"), 3)), hold=(fx.LoadLogPage,))
                bench.start()
                for data in [EMPTY_HAVE, encode_pre_sync(1, 1)][:count]:
                    bench.receive(data)
                bench.feed(wrong)
                self.assertIsNotNone(bench.failure)
                self.assertNotIn(fx.Finish(), bench.others)
                self.assertNotIn(DONE_FRAME, bench.sent)

    def test_lost_in_live_mode(self) -> None:
        """
        A live session that breaks off is reported, but what had arrived is stored.
        """
        store = Logs()
        bench = begun(store, hold=(fx.Ingest,))
        bench.receive(live(*Log("author").write_many(300)))
        bench.feed(fx.ConnectionClosed("It broke."))
        while bench.held:
            bench.let_go()
        self.assertEqual((bench.failure, len(store.ids)), ("It broke.", 300))

    def test_unknown_topic(self) -> None:
        """
        A peer that closes before its Have is said to have the topic perhaps not open.
        """
        bench = Bench(Logs())
        bench.start()
        bench.feed(fx.ConnectionClosed("The connection was lost."))
        assert bench.failure is not None
        self.assertIn("may not have this topic open", bench.failure)

    def test_short_session(self) -> None:
        """
        A session that only asks for what is missing closes as soon as it has that.
        """
        bench = begun(Logs(), purpose=Purpose.SHORT)
        self.assertEqual(bench.sent, [EMPTY_HAVE, DONE_FRAME, CLOSE_FRAME])

    def test_unexpected_messages(self) -> None:
        """
        Every message at a wrong moment ends the session, and nothing is done after that.
        """
        operation = Log("author").write()
        moments = {
            (): [encode_pre_sync(1, 1), old(operation), DONE_FRAME, live(operation), CLOSE_FRAME],
            (EMPTY_HAVE,): [EMPTY_HAVE, old(operation), live(operation), CLOSE_FRAME],
            (EMPTY_HAVE, encode_pre_sync(1, 1)): [EMPTY_HAVE, encode_pre_sync(1, 1), live(operation), CLOSE_FRAME],
            (EMPTY_HAVE, DONE_FRAME): [EMPTY_HAVE, encode_pre_sync(1, 1), old(operation), encode_frame(b"\x07")],
        }
        for before, wrongs in moments.items():
            for wrong in wrongs:
                bench = Bench(Logs())
                bench.start()
                for data in before:
                    bench.receive(data)
                sent = len(bench.sent)
                bench.receive(wrong)
                self.assertIsNotNone(bench.failure)
                bench.receive(DONE_FRAME)
                bench.feed(fx.CloseRequested(), fx.WritingResumed(), fx.TurnCame())
                self.assertEqual(len(bench.sent), sent)

    def test_events_in_order(self) -> None:
        """
        A whole session is told from beginning to end.
        """
        log = Log("author")
        a, b = Bench(logs_with((log, 5))), Bench(Logs())
        queue: deque[tuple[Bench, bytes]] = deque()
        join(a, b)
        a.on_send = lambda data: queue.append((b, data))
        a.feed(fx.CloseRequested())
        while queue:
            receiver, data = queue.popleft()
            receiver.receive(data)
        names = ["SyncStarted", "SyncFinished", "LiveStarted", "SessionEnded"]
        self.assertEqual(b.event_names, names)
        a.feed(fx.EndOfStream())
        self.assertEqual(a.event_names, names)
        self.assertIsInstance(a.events[1], SyncFinished)
        self.assertEqual(a.events[2], LiveStarted(a.session.node_id, 0))
