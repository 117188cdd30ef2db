# -*- test-case-name: tests.sync.test_service -*-
"""
One open topic: its peers, its listeners, and what happens in its sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.once import OncePerCause
from p2panda_tw.core.stored import Gap, Refusal, StoredOperation
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.interfaces import IConnection
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.events import OperationRefused, SyncEvent, SyncFailed, SyncFinished
from p2panda_tw.sync.gaps import OpenGaps
from p2panda_tw.sync.limits import MAX_IDLE_PEERS
from p2panda_tw.sync.link import Link
from p2panda_tw.sync.messages import LogIds
from p2panda_tw.sync.opening import OutgoingConnection
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.sync.runner import SessionRunner
from p2panda_tw.sync.session import Purpose, Session
from p2panda_tw.sync.state import TopicState
from p2panda_tw.sync.store import SyncStore

__all__ = ["Listener", "Surroundings", "TopicSync"]

Listener = Callable[[SyncEvent], None]
"""
Is called with every event of a topic.
"""


class Surroundings(Protocol):
    """
    What all topics share.
    """

    clock: IReactorTime
    store: SyncStore
    rng: Random
    held: HeldBytes
    once: OncePerCause

    def connect(self, node_id: NodeId) -> Deferred[IConnection]:
        """
        Make a connection for a session.
        """

    def recognise(self, connection: IConnection) -> bool | Deferred[bool]:
        """
        Whether the other side is p2panda_tw.
        """

    def yields_to(self, node_id: NodeId) -> bool:
        """
        Whether to give this node a moment to dial us.
        """

    def is_smaller(self, node_id: NodeId) -> bool:
        """
        Whether it has the smaller node id.
        """

    def is_being_accepted(self, node_id: NodeId) -> bool:
        """
        Whether it has dialled us and not named its topic yet.
        """

    def runner_began(self, runner: SessionRunner) -> None:
        """
        It wants to be ticked.
        """

    def runner_over(self, runner: SessionRunner) -> None:
        """
        No more.
        """


class TopicSync:
    """
    One topic.

    @ivar topic: Which.
    @ivar form: How its operations look.
    @ivar open: Whether new sessions may begin.
    @ivar gaps: What the store waits for.
    @ivar links: Its peers.
    """

    _log = Logger()

    def __init__(self, topic: Topic, form: Form, around: Surroundings) -> None:
        self.topic = topic
        self.form = form
        self.open = True
        self.gaps = OpenGaps()
        self.links: dict[NodeId, Link] = {}
        self._around = around
        self._listeners: dict[int, Listener] = {}
        self._listener_number = 0
        self._next_session = 0
        self._closing: list[Deferred[None]] = []
        self._stop_listening = around.store.listen(topic, self._stored)

    # Peers and listeners.

    def link(self, node_id: NodeId) -> Link:
        """
        @return: The one for this peer, made if there is none.
        """
        link = self.links.get(node_id)
        if link is None:
            link = self.links[node_id] = Link(self, node_id, self._around.clock, self._around.rng)
        return link

    def listen(self, listener: Listener) -> Callable[[], None]:
        """
        @return: Stops it.
        """
        self._listener_number += 1
        number = self._listener_number
        self._listeners[number] = listener

        def stop() -> None:
            self._listeners.pop(number, None)

        return stop

    def notify(self, event: SyncEvent) -> None:
        """
        Tell all listeners. A mistake in one does not keep the others from hearing it.
        """
        for listener in list(self._listeners.values()):
            try:
                listener(event)
            except Exception:
                self._log.failure("A listener to sync events failed.")

    @property
    def state(self) -> TopicState:
        """
        How it stands.
        """
        return TopicState(tuple(link.state for link in self.links.values()))

    def _stored(self, operations: Sequence[StoredOperation]) -> None:
        self.gaps.stored(operations)
        event = fx.OperationsStored(operations)
        for link in list(self.links.values()):
            for runner in list(link.runners.values()):
                runner.feed(event)

    def close(self) -> Deferred[None]:
        """
        End all sessions.

        @return: Fires when none is left, 5 s later at most.
        """
        self.open = False
        for link in list(self.links.values()):
            link.unwant()
        if not any(link.runners for link in self.links.values()):
            self._closed()
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        return closed

    def _closed(self) -> None:
        self._stop_listening()
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)

    # What links ask for.

    def dial(self, link: Link) -> Deferred[IConnection]:
        """
        Make a connection.
        """
        return self._around.connect(link.node_id)

    def yields_to(self, node_id: NodeId) -> bool:
        """
        See L{Surroundings.yields_to}.
        """
        return self._around.yields_to(node_id)

    def is_smaller(self, node_id: NodeId) -> bool:
        """
        See L{Surroundings.is_smaller}.
        """
        return self._around.is_smaller(node_id)

    def is_being_accepted(self, node_id: NodeId) -> bool:
        """
        See L{Surroundings.is_being_accepted}.
        """
        return self._around.is_being_accepted(node_id)

    def unreachable(self, link: Link, reason: str) -> None:
        """
        Say so, once until it was reached.
        """
        if not link.runners and self._around.once.is_news(link.node_id, reason):
            self._log.info("{node_id} cannot be reached: {reason}", node_id=link.node_id, reason=reason)
            self.notify(SyncFailed(node_id=link.node_id, session=None, reason=reason))

    def link_idle(self, link: Link) -> None:
        """
        Forget those that came by themselves and are gone.
        """
        if link.is_forgettable:
            self._forget(link)
        elif link.is_idle:
            idle = [other for other in self.links.values() if other.is_idle]
            for other in idle[:-MAX_IDLE_PEERS]:
                self._forget(other)
        if not self.open and not any(other.runners for other in self.links.values()):
            self._closed()

    def _forget(self, link: Link) -> None:
        if self.links.get(link.node_id) is link:
            link.stop_dialling()
            del self.links[link.node_id]

    # Sessions.

    def begin(self, link: Link, connection: IConnection, purpose: Purpose) -> None:
        """
        Run a session that we initiate.
        """
        runner = self._run(link, connection, True, purpose)
        ours = self._around.recognise(connection)
        outgoing = OutgoingConnection(connection, self.topic, runner, self._around.clock, in_one_flight=ours is True)
        self._recognised(link, runner, ours)
        outgoing.begin()

    def accept(self, connection: IConnection) -> SessionRunner:
        """
        Run a session that the other side initiates.
        """
        link = self.link(connection.node_id)
        runner = self._run(link, connection, False, Purpose.LIVE)
        ours = self._around.recognise(connection)
        self._recognised(link, runner, ours)
        if ours is True:
            link.resolve_crossing()
        return runner

    def _run(self, link: Link, connection: IConnection, initiated: bool, purpose: Purpose) -> SessionRunner:
        number, self._next_session = self._next_session, self._next_session + 1
        session = Session(
            node_id=link.node_id,
            number=number,
            log_id=self.form.log_id(self.topic),
            log_ids=LogIds.of(self.form),
            initiated=initiated,
            turn=link.turn,
            purpose=purpose,
        )
        role = "initiate" if initiated else "accept"
        runner = SessionRunner(
            session=session,
            connection=connection,
            topic=self.topic,
            store=self._around.store,
            clock=self._around.clock,
            held=self._around.held,
            host=self,
            farewell=f"sync protocol {role} completed",
        )
        link.add(runner, initiated=initiated)
        self._around.runner_began(runner)
        runner.feed(fx.Started())
        return runner

    def _recognised(self, link: Link, runner: SessionRunner, ours: bool | Deferred[bool]) -> None:
        """
        A peer is a Rust receiver until it is known to be p2panda_tw (docs/sync.md, section 7).
        """
        if isinstance(ours, Deferred):
            ours.addErrback(lambda _: False)
            ours.addCallback(lambda answer: self._recognised(link, runner, bool(answer)))
            ours.addErrback(lambda failure: self._log.failure("A session stumbled at its beginning.", failure))
            return
        if ours:
            link.pacing = None
        elif link.pacing is None:
            link.pacing = Pacing()
        runner.feed(fx.PeerRecognised(None if ours else link.pacing))

    def session_notified(self, runner: SessionRunner, event: SyncEvent) -> None:
        """
        There is news for the application.
        """
        link = self.links.get(runner.session.node_id)
        if isinstance(event, SyncFinished) and link is not None:
            if link.last_failure is not None:
                self._around.once.forget(link.node_id, link.last_failure)
            link.succeeded()
        if isinstance(event, SyncFailed) and link is not None and link.is_needless(runner):
            return
        self.notify(event)

    def session_refused(self, runner: SessionRunner, refusal: Refusal) -> None:
        """
        Tell once per peer and cause.
        """
        node_id = runner.session.node_id
        if self._around.once.is_news(node_id, refusal.reason):
            self._log.warn(
                "An operation of {author} from {node_id} was refused: {reason}",
                author=refusal.author,
                node_id=node_id,
                reason=refusal.reason,
            )
            self.notify(
                OperationRefused(node_id=node_id, author=refusal.author, seq_num=refusal.seq_num, reason=refusal.reason)
            )

    def session_found_gaps(self, runner: SessionRunner, gaps: Sequence[Gap]) -> None:
        """
        Something is missing.
        """
        link = self.links.get(runner.session.node_id)
        if link is not None:
            link.gaps_found(gaps)

    def session_progressed(self, runner: SessionRunner) -> None:
        """
        It may have made room for another one.
        """
        link = self.links.get(runner.session.node_id)
        if link is not None:
            link.progressed(runner)

    def session_over(self, runner: SessionRunner, reason: str | None, to_blame: bool) -> None:
        """
        Note why, and see what is next.
        """
        node_id = runner.session.node_id
        if reason is not None and self._around.once.is_news(node_id, reason):
            if to_blame:
                self._log.warn("A session with {node_id} failed: {reason}", node_id=node_id, reason=reason)
            else:
                self._log.info("A session with {node_id} ended: {reason}", node_id=node_id, reason=reason)
        self._around.runner_over(runner)
        link = self.links.get(node_id)
        if link is not None:
            if reason is not None and not link.is_needless(runner):
                link.last_failure = reason
            link.remove(runner, failed=reason is not None, to_blame=to_blame)
