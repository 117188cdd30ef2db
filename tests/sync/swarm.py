"""
Many nodes in one queue ordered by time: sessions over lines that delay, block, break and are parted, all from one seed.
Nodes dial each other without further ado; what is tested is what the sessions do.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random

from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.feed import LiveTurn
from p2panda_tw.sync.limits import MAX_FRAME, MAX_PAYLOAD
from p2panda_tw.sync.messages import LogIds
from p2panda_tw.sync.receiving import Phase
from p2panda_tw.sync.session import Purpose, Session
from p2panda_tw.wire.frames import FrameDecoder
from tests.sync.logs import TOPIC, Log, Logs

HIGH_WATER = 4000
"""
Bytes under way on a line at which writing pauses.
"""


class Node:
    """
    Logs, an author, and sessions.
    """

    def __init__(self, swarm: Swarm, name: str) -> None:
        self.swarm = swarm
        self.name = name
        self.log = Log(name)
        self.logs = Logs()
        self.ends: dict[str, list[End]] = {}
        self.turns: dict[str, LiveTurn] = {}
        self.sessions = 0
        self.logs.listen(self._stored)

    def _stored(self, operations: Sequence[StoredOperation]) -> None:
        """
        Sessions hear of it in their turn, before or after the answer to whoever stored it.
        """
        for ends in self.ends.values():
            for end in ends:
                self.swarm.after(self.swarm.rng.choice((0.0, 0.002)), end.feed_later(fx.OperationsStored(operations)))

    def publish(self) -> None:
        """
        Append to the own log.
        """
        self.logs.ingest([self.log.write(self.swarm.rng.randbytes(self.swarm.rng.randrange(1, 300)))])


class End:
    """
    One side of one session.
    """

    def __init__(self, node: Node, peer: Node, initiated: bool, purpose: Purpose) -> None:
        self.node = node
        self.peer = peer
        self.other: End
        self.session = Session(
            node_id=peer.log.author,
            number=node.sessions,
            log_id=TOPIC.log_id(),
            log_ids=LogIds.HASHES,
            initiated=initiated,
            turn=node.turns.setdefault(peer.name, LiveTurn()),
            purpose=purpose,
        )
        node.sessions += 1
        self.decoder = FrameDecoder(MAX_PAYLOAD, max_discarded=MAX_FRAME)
        self.under_way = 0
        self.paused = False
        self.unread: list[bytes] = []
        self.last = 0.0
        node.ends.setdefault(peer.name, []).append(self)

    def feed_later(self, event: fx.Input) -> Callable[[], None]:
        return lambda: self.feed(event)

    def feed(self, event: fx.Input) -> None:
        """
        Tell the machine, carry out what it asks for.
        """
        swarm, logs = self.node.swarm, self.node.logs
        for output in self.session.handle(event, swarm.now):
            match output:
                case fx.Send(writes):
                    for data in writes:
                        self._write(data)
                case fx.LoadHeights():
                    self._answer(fx.HeightsLoaded(logs.heights()))
                case fx.LoadRangeSize(ranges):
                    self._answer(fx.RangeSizeLoaded(*logs.range_size(ranges)))
                case fx.LoadLogPage(author=author, log_id=log_id, after=after, until=until):
                    self._answer(fx.LogPageLoaded(logs.log_page(author, log_id, after, until, 7)))
                case fx.LoadStoredPage(after):
                    self._answer(fx.StoredPageLoaded(logs.page(after, 5)))
                case fx.Ingest(operations):
                    self._answer(fx.IngestFinished(logs.ingest(operations)))
                case fx.GapsFound():
                    swarm.after(1.0, lambda: swarm.ask_again(self.node, self.peer))
                case fx.Schedule(delay, timer):
                    swarm.after(delay, self.feed_later(fx.TimerExpired(timer)))
                case fx.Finish():
                    self._over()
                    swarm.after(swarm.latency(), self.other.feed_later(fx.EndOfStream()))
                case fx.Abort(reason, to_blame):
                    if to_blame:
                        swarm.breaches.append(reason)
                    self._over()
                    swarm.after(swarm.latency(), self.other.feed_later(fx.ConnectionClosed("aborted")))
                case _:
                    pass
        self._read()

    def _answer(self, event: fx.Input) -> None:
        swarm = self.node.swarm
        swarm.after(swarm.rng.uniform(0.0, 0.004), self.feed_later(event))

    def _write(self, data: bytes) -> None:
        swarm = self.node.swarm
        # Bytes keep their order, however the latency changes.
        self.last = max(self.last, swarm.now + swarm.latency())
        while data:
            piece = data[: swarm.rng.randrange(1, 700)]
            data = data[len(piece) :]
            self.under_way += len(piece)
            swarm.at(self.last, lambda piece=piece: self.other.arrive(piece))  # type: ignore[misc]  # each its own
        if self.under_way > HIGH_WATER and not self.paused:
            self.paused = True
            swarm.after(0.0, self.feed_later(fx.WritingPaused()))

    def arrive(self, data: bytes) -> None:
        """
        Bytes have come; they wait until the session reads.
        """
        self.unread.append(data)
        self._read()

    def _read(self) -> None:
        while self.unread and self.session.reading and self.session.phase is not Phase.OVER:
            data = self.unread.pop(0)
            self.other.taken(len(data))
            frames = self.decoder.receive_data(data)
            if frames:
                self.feed(fx.FramesReceived(frames))

    def taken(self, count: int) -> None:
        """
        The other side has read.
        """
        self.under_way -= count
        if self.paused and self.under_way < HIGH_WATER // 2:
            self.paused = False
            self.node.swarm.after(0.0, self.feed_later(fx.WritingResumed()))

    def _over(self) -> None:
        ends = self.node.ends[self.peer.name]
        if self in ends:
            ends.remove(self)
        for end in ends:
            self.node.swarm.after(0.0, end.feed_later(fx.TurnCame()))


class Swarm:
    """
    The network and its time.

    @ivar breaches: What sessions blamed their peers for.
    """

    def __init__(self, seed: int, count: int, *, degree: int = 3) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.breaches: list[str] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self.nodes = [Node(self, f"node{index}") for index in range(count)]
        self.lines: list[tuple[Node, Node]] = []
        for index, node in enumerate(self.nodes):
            # A ring, so that everybody is reached, and some lines across.
            self.lines.append((node, self.nodes[(index + 1) % count]))
            for _ in range(degree - 2):
                other = self.rng.choice(self.nodes)
                if other is not node:
                    self.lines.append((node, other))
        self.parted: set[Node] = set()

    def latency(self) -> float:
        return self.rng.uniform(0.001, 0.05)

    def at(self, when: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, act))

    def after(self, delay: float, act: Callable[[], None]) -> None:
        self.at(self.now + delay, act)

    def dial(self, node: Node, peer: Node, purpose: Purpose = Purpose.LIVE) -> None:
        """
        Begin a session, if the line is open.
        """
        if (node in self.parted) != (peer in self.parted):
            return
        here, there = End(node, peer, True, purpose), End(peer, node, False, Purpose.LIVE)
        here.other, there.other = there, here
        for end in (here, there):
            self.after(self.latency(), end.feed_later(fx.PeerRecognised(None)))
            self.after(self.latency(), end.feed_later(fx.Started()))

    def ask_again(self, node: Node, peer: Node) -> None:
        if node.logs._waiting:
            self.dial(node, peer, Purpose.SHORT)

    def keep_dialling(self) -> None:
        """
        Wherever there is no session, begin one.
        """
        for node, peer in self.lines:
            if not node.ends.get(peer.name):
                self.dial(node, peer)
        self.after(0.3, self.keep_dialling)

    def break_line(self, node: Node, peer: Node) -> None:
        """
        What was under way is lost.
        """
        for end in list(node.ends.get(peer.name, ())):
            for side in (end, end.other):
                side.unread.clear()
                side.decoder = FrameDecoder(MAX_PAYLOAD)
                side.feed(fx.ConnectionClosed("It broke."))

    def part(self, nodes: set[Node]) -> None:
        """
        Cut some nodes off from the others.
        """
        self.parted = nodes
        for node in self.nodes:
            for name in list(node.ends):
                peer = next(other for other in self.nodes if other.name == name)
                if (node in nodes) != (peer in nodes):
                    self.break_line(node, peer)

    def run(self, until: float, holds: Callable[[], bool] = lambda: False) -> bool:
        """
        @return: Whether C{holds} came true.
        """
        steps = 0
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            steps += 1
            if steps % 50 == 0 and holds():
                return True
        self.now = until
        return holds()

    def converged(self) -> bool:
        """
        @return: Whether all have the same.
        """
        first = self.nodes[0].logs.ids
        return all(node.logs.ids == first for node in self.nodes[1:])
