"""
What may be in memory to be sent.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.sync.limits import LARGE_PAGE, SEND_PATIENCE, SEND_RATE
from p2panda_tw.sync.send_gate import Sender, SendGate
from tests.sync.logs import key

ALICE, BOB, CAROL = (key(name).verifying_key for name in ("alice", "bob", "carol"))
LARGE = LARGE_PAGE + 1


class SendGateTests(SynchronousTestCase):
    """
    Pages are loaded in turn, and those who do not read hold up others for a while only.
    """

    def setUp(self) -> None:
        self.gate = SendGate(small=300, of_peer=200, large=2 * LARGE)
        self.loading: list[str] = []
        self.ended: list[str] = []

    def sender(self, name: str, node_id: object = ALICE) -> Sender:
        return Sender(node_id, lambda: self.ended.append(name))  # type: ignore[arg-type]  # one of the keys above

    def load(self, name: str) -> Callable[[], None]:
        return lambda: self.loading.append(name)

    def send(self, name: str, node_id: object = ALICE, size: int = 100, now: float = 0.0) -> Sender:
        """
        Load a page and write it to a peer who does not read.
        """
        sender = self.sender(name, node_id)
        self.gate.enter(sender, self.load(name))
        self.assertTrue(self.gate.fits(sender, size, self.load(name)))
        self.gate.written(sender, size, now)
        self.gate.answered()
        return sender

    def test_one_at_a_time(self) -> None:
        """
        The next page is loaded when the last one is there, in the order in which they were asked for.
        """
        for name in ("a", "b", "c"):
            self.gate.enter(self.sender(name), self.load(name))
        self.assertEqual(self.loading, ["a"])
        self.gate.answered()
        self.assertEqual(self.loading, ["a", "b"])
        self.gate.answered()
        self.assertEqual(self.loading, ["a", "b", "c"])

    def test_peer(self) -> None:
        """
        A peer who does not read what it was sent gets no more pages; others do.
        """
        first = self.send("a")
        self.send("b")
        self.gate.enter(self.sender("c"), self.load("c"))
        self.gate.enter(self.sender("d", BOB), self.load("d"))
        self.assertEqual(self.loading, ["a", "b", "d"])
        self.gate.answered()
        self.gate.drained(first)
        self.assertEqual(self.loading, ["a", "b", "d", "c"])

    def test_many_peers(self) -> None:
        """
        When many do not read all wait, until those are ended because they are late.
        """
        for name, node_id in (("a", ALICE), ("b", BOB), ("c", CAROL)):
            self.send(name, node_id, now=1.0)
        self.gate.enter(self.sender("d", BOB), self.load("d"))
        self.gate.tick(SEND_PATIENCE)
        self.assertEqual((self.loading, self.ended), (["a", "b", "c"], []))
        self.gate.tick(1.0 + SEND_PATIENCE + 100 / SEND_RATE)
        self.assertEqual((self.loading, self.ended, self.gate.small), (["a", "b", "c", "d"], ["a", "b", "c"], 0))

    def test_waits_for_himself(self) -> None:
        """
        Who waits for other sessions of the same peer only is no reason to end those of others.
        """
        self.send("a")
        self.send("b")
        self.send("of bob", BOB, size=50)
        self.gate.enter(self.sender("c"), self.load("c"))
        self.gate.tick(1e6)
        self.assertEqual((self.ended, self.loading), (["a", "b"], ["a", "b", "of bob", "c"]))

    def test_nobody_waits(self) -> None:
        """
        Who holds up nobody may take his time.
        """
        self.send("a")
        self.gate.tick(1e6)
        self.assertEqual(self.ended, [])

    def test_large(self) -> None:
        """
        A large page that finds no room is let go of, and loaded again when there is some; small ones overtake it.
        """
        first = self.send("a", size=2 * LARGE)
        waiting = self.sender("b", BOB)
        self.gate.enter(waiting, self.load("b"))
        self.assertFalse(self.gate.fits(waiting, LARGE, self.load("b again")))
        self.gate.answered()
        self.gate.enter(self.sender("c", CAROL), self.load("c"))
        self.gate.answered()
        self.assertEqual((self.loading, self.gate.large), (["a", "b", "c"], 2 * LARGE))
        self.gate.drained(first)
        self.assertEqual((self.loading, self.gate.large), (["a", "b", "c", "b again"], LARGE))
        self.assertTrue(self.gate.fits(waiting, LARGE, self.load("never")))

    def test_next_large(self) -> None:
        """
        A session has one large page at a time, also when there is room for two.
        """
        sender = self.send("a", size=LARGE)
        self.gate.enter(sender, self.load("next"))
        self.assertFalse(self.gate.fits(sender, LARGE, self.load("next again")))
        self.gate.answered()
        self.gate.drained(sender)
        self.assertEqual((self.loading, self.gate.large), (["a", "next", "next again"], LARGE))

    def test_large_and_slow(self) -> None:
        """
        A large page may take long, by its size.
        """
        self.send("a", size=2 * LARGE)
        waiting = self.sender("b", BOB)
        self.gate.enter(waiting, self.load("b"))
        self.gate.fits(waiting, LARGE, self.load("b again"))
        self.gate.answered()
        due = SEND_PATIENCE + 2 * LARGE / SEND_RATE
        self.gate.tick(due - 1)
        self.assertEqual(self.ended, [])
        self.gate.tick(due)
        self.assertEqual((self.ended, self.loading[-1]), (["a"], "b again"))

    def test_leaves(self) -> None:
        """
        Nothing is left of a session that is over, whatever it waited for.
        """
        first = self.send("a")
        second = self.send("b", size=2 * LARGE)
        waiting = self.sender("c", BOB)
        self.gate.enter(waiting, self.load("c"))
        self.gate.fits(waiting, LARGE, self.load("c again"))
        self.gate.answered()
        for sender in (waiting, first, second):
            self.gate.leave(sender)
        self.assertEqual((self.gate.small, self.gate.large, self.loading), (0, 0, ["a", "b", "c"]))
