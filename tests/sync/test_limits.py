"""
The small parts that keep bad peers within limits.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.stored import Gap, StoredOperation
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync.backoff import Backoff
from p2panda_tw.sync.budget import HeldBytes, StoreGate
from p2panda_tw.sync.gaps import MAX_ASKABLE, MAX_ASKED, MAX_GAPS, OpenGaps
from p2panda_tw.sync.incoming import Incoming, read_oversized
from p2panda_tw.sync.limits import BACKOFF_CAP, BACKOFF_START, BATCH_BYTES, PROGRESS_BYTES, PROGRESS_INTERVAL
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION, encode_operations
from p2panda_tw.sync.progress import ProgressWatch
from p2panda_tw.wire.frames import FrameDecoder, OversizedFrame
from tests.sync.logs import Log, Logs, key

NODE = key("node").verifying_key


class ProgressWatchTests(SynchronousTestCase):
    """
    Who owes something gets on with it.
    """

    def overdue(self, *looks: tuple[float, int, object, bool]) -> float | None:
        """
        @return: When it was too late.
        """
        watch = ProgressWatch()
        for now, received, owed, reading in looks:
            if watch.is_overdue(now, received, owed, reading):
                return now
        return None

    def test_silence(self) -> None:
        """
        Nothing for half a minute is too little.
        """
        self.assertEqual(self.overdue(*[(now, 5, "it", True) for now in range(100)]), PROGRESS_INTERVAL)

    def test_slow_but_steady(self) -> None:
        """
        16 KiB in half a minute are enough, a byte less is not.
        """
        rate = PROGRESS_BYTES / PROGRESS_INTERVAL
        self.assertIsNone(self.overdue(*[(now, int(now * rate * 1.1), "it", True) for now in range(1000)]))
        self.assertIsNotNone(self.overdue(*[(now, int(now * rate * 0.9), "it", True) for now in range(1000)]))

    def test_not_reading(self) -> None:
        """
        Time in which we do not read is not the peer's.
        """
        self.assertIsNone(self.overdue(*[(now, 5, "it", False) for now in range(1000)]))
        mixed = [(now, 5, "it", now % 3 == 0) for now in range(1000)]
        self.assertEqual(self.overdue(*mixed), 3 * PROGRESS_INTERVAL)

    def test_owing_nothing(self) -> None:
        """
        Who owes nothing may be silent, and each thing that is owed has its own time.
        """
        self.assertIsNone(self.overdue(*[(now, 5, None, True) for now in range(1000)]))
        self.assertIsNone(self.overdue(*[(now, 5, now // 20, True) for now in range(1000)]))


class HeldBytesTests(SynchronousTestCase):
    """
    The memory of all sessions together.
    """

    def test_largest_goes(self) -> None:
        """
        When there is too much the session that holds most has to go.
        """
        held = HeldBytes(100)
        gone: list[str] = []

        def session(name: str) -> object:
            def end() -> None:
                gone.append(name)
                held.update(end, 0)

            return end

        first, second = session("first"), session("second")
        held.update(first, 60)  # type: ignore[arg-type]  # see above
        held.update(second, 40)  # type: ignore[arg-type]  # see above
        self.assertEqual((gone, held.total), ([], 100))
        held.update(second, 50)  # type: ignore[arg-type]  # see above
        self.assertEqual((gone, held.total), (["first"], 50))
        held.update(second, 0)  # type: ignore[arg-type]  # see above
        self.assertEqual(held.total, 0)


class StoreGateTests(SynchronousTestCase):
    """
    What is in the store at once.
    """

    def setUp(self) -> None:
        self.gate = StoreGate(100)
        self.begun: list[str] = []

    def enter(self, name: str, size: int) -> Callable[[], None]:
        """
        Come with a batch.

        @return: What names it.
        """

        def begin() -> None:
            self.begun.append(name)

        self.gate.enter(size, begin)
        return begin

    def test_in_turn(self) -> None:
        """
        Who finds no room waits, and nobody overtakes. What is larger than the room goes alone.
        """
        for name, size in (("a", 60), ("b", 40), ("large", 500), ("c", 1)):
            self.enter(name, size)
        self.assertEqual((self.begun, self.gate.inside), (["a", "b"], 100))
        self.gate.leave(60)
        self.assertEqual(self.begun, ["a", "b"])
        self.gate.leave(40)
        self.assertEqual((self.begun, self.gate.inside), (["a", "b", "large"], 500))
        self.gate.leave(500)
        self.assertEqual((self.begun, self.gate.inside), (["a", "b", "large", "c"], 1))

    def test_crowded(self) -> None:
        """
        As long as something very large is inside, sessions are told to receive no more; then they are called.
        """
        called: list[bool] = []
        self.enter("a", 100)
        self.assertFalse(self.gate.crowded)
        self.gate.leave(100)
        self.enter("large", 500)
        self.assertTrue(self.gate.crowded)
        self.gate.when_free(lambda: called.append(self.gate.crowded))
        self.enter("b", 1)
        self.assertEqual(called, [])
        self.gate.leave(500)
        self.assertEqual((called, self.begun), ([False], ["a", "large", "b"]))

    def test_withdrawn(self) -> None:
        """
        A session that ends does not wait any more, and holds nobody up.
        """
        self.enter("a", 60)
        waiting = self.enter("large", 500)
        self.enter("b", 40)
        self.gate.withdraw(waiting)
        self.assertEqual(self.begun, ["a", "b"])


class BackoffTests(SynchronousTestCase):
    """
    Pauses grow and end.
    """

    def test_bounds(self) -> None:
        """
        Each pause lies between nothing and a bound that doubles up to a minute, also after a thousand failures.
        """
        backoff = Backoff(Random(1))
        for number in range(1000):
            bound = backoff.bound
            self.assertEqual(bound, min(BACKOFF_CAP, BACKOFF_START * 2 ** min(number, 30)))
            self.assertTrue(0 <= backoff.failed() <= bound)
        backoff.succeeded()
        self.assertEqual(backoff.bound, BACKOFF_START)


class IncomingTests(SynchronousTestCase):
    """
    What came in and waits.
    """

    def test_batches(self) -> None:
        """
        A delivery becomes batches of about the same number of operations, 256 at most.
        """
        incoming = Incoming()
        frames = FrameDecoder(1 << 20).receive_data(
            b"".join(encode_operations(CATCH_UP_OPERATION, Log("author").write_many(600)))
        )
        incoming.put(frames[:300])
        incoming.put(frames[300:])
        held = incoming.held
        counts = []
        while not incoming.empty:
            counts.append(incoming.take_batch(CATCH_UP_OPERATION).count)
        self.assertEqual((counts, incoming.held), ([200, 200, 200], 0))
        self.assertEqual(held, sum(map(len, frames)))

    def test_bytes_of_a_batch(self) -> None:
        """
        A batch ends before its operations exceed 1 MiB; a larger one goes alone.
        """
        incoming = Incoming()
        log = Log("author")
        operations = [log.write(bytes(400_000)) for _ in range(3)]
        operations.append(log.write(bytes(2 * BATCH_BYTES)))
        incoming.put(FrameDecoder(1 << 24).receive_data(b"".join(encode_operations(LIVE_OPERATION, operations))))
        self.assertEqual([incoming.take_batch(LIVE_OPERATION).count for _ in range(4)], [2, 1, 1, 0])

    def test_left_out(self) -> None:
        """
        Operations of a log that is left out are counted and thrown away.
        """
        incoming = Incoming()
        log, other = Log("author"), Log("other")
        operations = [log.write(), other.write(), log.write()]
        incoming.leave_out(log.headers[0])
        incoming.put(FrameDecoder(1 << 20).receive_data(b"".join(encode_operations(LIVE_OPERATION, operations))))
        batch = incoming.take_batch(LIVE_OPERATION)
        self.assertEqual((batch.count, batch.operations), (3, operations[1:2]))

    def test_oversized_garbage(self) -> None:
        """
        Something large that is no operation is a breach.
        """
        for head in (b"", b"\x00", b"\x00\x02", b"\x00\x02\x7f", b"\x00\x02\x03abc"):
            with self.assertRaises(DecodeError):
                read_oversized(OversizedFrame(1 << 25, head), CATCH_UP_OPERATION)


class GapPeersTests(SynchronousTestCase):
    """
    Whom to ask for what is missing.
    """

    def test_many_peers(self) -> None:
        """
        However many nodes send something that is ahead, a few are kept in mind: the last ones.
        """
        log = Log("author")
        gap = Gap(author=log.author, log_id=1, expected=0, found=1)
        peers = [key(f"peer {number}").verifying_key for number in range(MAX_ASKABLE + 3)]
        gaps = OpenGaps()
        for peer in peers:
            gaps.found(peer, [gap])
        self.assertEqual([peer for peer in peers if gaps.missing_from(peer)], peers[3 : 3 + MAX_ASKED])


class OpenGapsTests(SynchronousTestCase):
    """
    What is missing, and who to ask.
    """

    def gap(self, name: str, expected: int) -> Gap:
        return Gap(author=key(name).verifying_key, log_id=1, expected=expected, found=expected + 3)

    def stored(self, name: str, count: int) -> list[StoredOperation]:
        logs = Logs(log_id=1)
        logs.ingest(Log(name).write_many(count))
        return logs.arrivals

    def test_closed(self) -> None:
        """
        A gap is gone as soon as what was missing first is stored.
        """
        gaps = OpenGaps()
        gaps.found(NODE, [self.gap("a", 2)])
        gaps.stored(self.stored("a", 2))
        self.assertTrue(gaps.missing_from(NODE))
        gaps.stored(self.stored("a", 3))
        self.assertFalse(gaps.missing_from(NODE))

    def test_who(self) -> None:
        """
        Only those are asked who sent what waits.
        """
        gaps = OpenGaps()
        gaps.found(NODE, [self.gap("a", 2)])
        self.assertFalse(gaps.missing_from(key("other").verifying_key))

    def test_not_for_ever(self) -> None:
        """
        A gap that nobody closes is given up, until it is found again.
        """
        gaps = OpenGaps()
        gaps.found(NODE, [self.gap("a", 2)])
        self.assertEqual([gaps.missing_from(NODE) for _ in range(MAX_ASKED + 1)], [True] * MAX_ASKED + [False])
        gaps.found(NODE, [self.gap("a", 2)])
        self.assertTrue(gaps.missing_from(NODE))

    def test_bounded(self) -> None:
        """
        Only so many are kept in mind; who reports a thousand and goes away does not keep out later ones.
        """
        gaps = OpenGaps()
        author = key("a").verifying_key
        gaps.found(NODE, [Gap(author=author, log_id=number, expected=0, found=1) for number in range(2 * MAX_GAPS)])
        self.assertEqual(len(gaps._open), MAX_GAPS)
        other = key("other").verifying_key
        gaps.found(other, [self.gap("b", 2)])
        self.assertTrue(gaps.missing_from(other))
        self.assertEqual(len(gaps._open), MAX_GAPS)
