"""
Many random lives of connections: whatever protocols do, in whatever order, they are told the truth once, and nothing is
left.
"""

from __future__ import annotations

from random import Random
from typing import Any, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import ConnectError
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.transport.limits import ConnectionLimits, ReceiveBudget
from p2panda_tw.transport.memory import MemoryNetwork
from p2panda_tw.transport.tls import TlsTransport
from tests.transport.actors import ALICE, BOB, CHAT, Inbox, PlainRecorder, Recorder, opening
from tests.transport.fake_reactor import FakeReactor


class Life:
    """
    Two nodes, one connection, and random things that happen on it.

    @ivar sent: What each protocol has written before its end.
    """

    def __init__(self, case: SynchronousTestCase, seed: int, clock: Clock, nodes: list[INodeTransport]) -> None:
        self.case = case
        self.rng = Random(seed)
        self.clock = clock
        self.nodes = nodes
        self.all: list[PlainRecorder] = []
        self.sent: dict[PlainRecorder, bytearray] = {}
        self.ended: set[PlainRecorder] = set()
        self.disturbed = False

    def make(self) -> PlainRecorder:
        protocol = self.rng.choice([Recorder, Recorder, PlainRecorder])()
        self.all.append(protocol)
        self.sent[protocol] = bytearray()
        return protocol

    def live(self) -> None:
        """
        Connect, let things happen, end.
        """
        accepted: list[Any] = []
        a, b = self.nodes
        self.case.successResultOf(a.listen(lambda _: None, list))
        self.case.successResultOf(b.listen(accepted.append, lambda: [CHAT]))
        connecting = a.connect(BOB.verifying_key, b.addresses(), CHAT)
        self.let(0.2)
        ends: list[Any] = [self.case.successResultOf(connecting), accepted[0]]
        for end in ends:
            if self.rng.random() < 0.8:
                end.accept_streams(Inbox(self.make))
        for _ in range(self.rng.randint(5, 80)):
            self.step(ends)
        for end in ends:
            end.accept_streams(Inbox(self.make))
        for protocol in self.all:
            if protocol.made and protocol.lost is None:
                protocol.transport.resumeProducing()
                protocol.transport.loseWriteConnection()
        self.let(3)
        stopped = [node.stop() for node in self.nodes]
        self.let(12)
        for stop in stopped:
            self.case.successResultOf(stop)

    def let(self, seconds: float) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(0.01)

    def step(self, ends: list[Any]) -> None:
        """
        One thing happens.
        """
        rng = self.rng
        alive = [protocol for protocol in self.all if protocol.made and protocol.lost is None]
        one = rng.choice(alive) if alive else None
        match rng.randint(0, 11):
            case 0 | 1:
                opened = rng.choice(ends).open_stream(opening(self.make), rng.random() < 0.3)
                opened.addErrback(lambda failure: failure.trap(ConnectError))
            case 2 | 3 | 4 if one is not None and self.may_write(one):
                data = rng.randbytes(rng.choice([1, 10, 1000, 100_000, 400_000]))
                one.transport.write(data)
                self.sent[one] += data
            case 5 if one is not None:
                one.transport.pauseProducing()
            case 6 if one is not None:
                one.transport.resumeProducing()
            case 7 if one is not None and rng.random() < 0.4:
                one.transport.loseWriteConnection()
                self.ended.add(one)
            case 8 if one is not None and rng.random() < 0.2:
                one.transport.loseConnection()
                self.ended.add(one)
                self.disturbed = True
            case 9 if one is not None and rng.random() < 0.2:
                one.transport.abortConnection()
                self.disturbed = True
            case 10 if rng.random() < 0.04:
                self.disturbed = True
                end = rng.choice(ends)
                if rng.random() < 0.5:
                    end.close("enough")
                else:
                    end.abort("enough")
            case _:
                self.let(rng.choice([0.0, 0.01, 0.1]))

    def may_write(self, protocol: PlainRecorder) -> bool:
        stream = cast(Any, protocol.transport)
        return (
            protocol not in self.ended and not stream.disconnecting and (not stream.one_way or stream._mux_stream.ours)
        )

    def check(self) -> None:
        """
        Everybody was told the end, once, and what arrived is what was sent.
        """
        sent = sorted(bytes(data) for data in self.sent.values() if data)
        for protocol in self.all:
            if not protocol.made:
                continue
            self.case.assertIsNotNone(protocol.lost)
            got = bytes(protocol.received)
            if not got:
                continue
            self.case.assertTrue(any(data.startswith(got) for data in sent), "bytes that nobody has sent")
            assert protocol.lost is not None
            if protocol.ended and not self.disturbed:
                self.case.assertIn(got, sent, "an end before the end")
            if not self.disturbed:
                self.case.assertTrue(protocol.lost.check(ConnectionDone, ConnectionLost))


class RandomTests(SynchronousTestCase):
    """
    Lives by their seeds.
    """

    def lives(self, seeds: range, tls: bool) -> None:
        for seed in seeds:
            budget, limits = ReceiveBudget(), ConnectionLimits()
            clock: Clock
            if tls:
                clock = fake = FakeReactor()
                nodes: list[INodeTransport] = [
                    TlsTransport(fake, key, interfaces=lambda: ["127.0.0.1"], budget=budget, limits=limits)
                    for key in (ALICE, BOB)
                ]
            else:
                clock = Clock()
                network = MemoryNetwork(clock, delay=Random(seed).choice([0.0, 0.001, 0.03]))
                nodes = [network.transport(key, budget=budget, limits=limits) for key in (ALICE, BOB)]
            life = Life(self, seed, clock, nodes)
            try:
                life.live()
                life.check()
                self.assertEqual((budget.used, budget.streams, limits.total), (0, 0, 0))
                self.assertEqual([str(call) for call in clock.getDelayedCalls()], [])
            except Exception:
                print(f"\nThe life of seed {seed} ended badly.")  # noqa: T201  # what to replay
                raise
            self.assertEqual(self.flushLoggedErrors(), [])

    def test_memory(self) -> None:
        """
        Over memory.
        """
        self.lives(range(150), tls=False)

    def test_tls(self) -> None:
        """
        Over TLS.
        """
        self.lives(range(1000, 1040), tls=True)
