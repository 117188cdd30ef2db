# -*- test-case-name: tests.sync.test_service -*-
"""
Log sync as a service: keeps the topics that were opened in step with their peers, and serves whoever comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from typing_extensions import override

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.once import OncePerCause
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.interfaces import IConnection, IEndpoint
from p2panda_tw.sync.budget import HeldBytes
from p2panda_tw.sync.limits import MAX_SESSIONS, MAX_SESSIONS_PER_PEER, PROTOCOL_ID
from p2panda_tw.sync.opening import IncomingConnection
from p2panda_tw.sync.runner import SessionRunner
from p2panda_tw.sync.state import TopicState
from p2panda_tw.sync.store import SyncStore
from p2panda_tw.sync.topic_sync import Listener, TopicSync

__all__ = ["LogSync", "SyncStore", "is_our_transport"]

TICK: float = 1.0
"""
How often sessions are looked at for progress, in seconds.
"""

OUR_TRANSPORTS = frozenset({"tls", "memory", "tor"})
"""
Only p2panda_tw speaks on these.
"""


def is_our_transport(connection: IConnection) -> bool:
    """
    @return: Whether the other side must be p2panda_tw, judging by the transport.
    """
    return connection.transport_name in OUR_TRANSPORTS


class LogSync(Service):
    """
    See the module. Use it while it is running.

    @ivar clock: For timers and intervals.
    @ivar store: Where operations are.
    @ivar rng: For jitter.
    @ivar held: What all sessions hold.
    @ivar once: What was said about whom.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IEndpoint,
        store: SyncStore,
        rng: Random,
        *,
        is_ours: Callable[[IConnection], bool | Deferred[bool]] = is_our_transport,
        knows_us: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        """
        @param is_ours: Is the other side of a connection p2panda_tw? If not, or as long as it is unknown, it is sent to
            with care (L{p2panda_tw.sync.pacing}).
        @param knows_us: Does this node have an address of ours? If so, and if it has the smaller node id, it is given a
            moment to dial first.
        """
        self.clock = clock
        self.store = store
        self.rng = rng
        self.held = HeldBytes()
        self.once = OncePerCause()
        self._endpoint = endpoint
        self._is_ours = is_ours
        self._knows_us = knows_us
        self._topics: dict[Topic, TopicSync] = {}
        self._ending: dict[TopicSync, Deferred[None]] = {}
        self._connections: Counter[NodeId] = Counter()
        self._incoming: dict[IncomingConnection, None] = {}
        self._runners: dict[SessionRunner, None] = {}
        self._tick_call: IDelayedCall | None = None

    # The service.

    @override
    def startService(self) -> None:
        """
        Serve others.
        """
        super().startService()
        self._endpoint.accept(PROTOCOL_ID, self._accepted)

    @override
    def stopService(self) -> Deferred[None]:
        """
        Close all topics.

        @return: Fires when no session is left.
        """
        super().stopService()
        self._endpoint.withdraw(PROTOCOL_ID)
        for incoming in list(self._incoming):
            incoming.connection.abort("The node is stopping.")
        for topic in list(self._topics):
            self.close(topic)
        return gatherResults([_follow(ended) for ended in self._ending.values()]).addCallback(lambda _: None)

    # Topics.

    def open(self, topic: Topic, form: Form) -> None:
        """
        Sync a topic from now on. The store has to know it.

        @raise LocalProtocolError: It is open in another form, or the service does not run.
        """
        if not self.running:
            raise LocalProtocolError("Log sync is not running.")
        opened = self._topics.get(topic)
        if opened is None:
            self._topics[topic] = TopicSync(topic, form, self)
        elif opened.form is not form:
            raise LocalProtocolError("The topic is open in another form.")

    def close(self, topic: Topic) -> Deferred[None]:
        """
        Sync it no more. What is stored is sent before, as far as that is possible in a few seconds.

        @return: Fires when no session of it is left, 5 s later at most.
        """
        opened = self._topics.pop(topic, None)
        if opened is None:
            return succeed(None)
        ended = opened.close()
        if not ended.called:
            self._ending[opened] = ended
            ended.addCallback(lambda _: self._ending.pop(opened, None) and None)
        return _follow(ended)

    def add_peer(self, topic: Topic, node_id: NodeId) -> None:
        """
        Keep up a session with this node.

        @raise LocalProtocolError: The topic is not open.
        """
        if node_id != self._endpoint.node_id:
            self._opened(topic).link(node_id).want()

    def remove_peer(self, topic: Topic, node_id: NodeId) -> None:
        """
        End the sessions with this node. It is still served when it comes by itself.

        @raise LocalProtocolError: The topic is not open.
        """
        opened = self._opened(topic)
        link = opened.links.get(node_id)
        if link is not None:
            link.unwant()
            if not link.runners:
                opened.link_idle(link)

    def listen(self, topic: Topic, callback: Listener) -> Callable[[], None]:
        """
        Hear of what happens in the sessions of a topic: L{p2panda_tw.sync.events}.

        @return: Stops it.

        @raise LocalProtocolError: The topic is not open.
        """
        return self._opened(topic).listen(callback)

    def state(self, topic: Topic) -> TopicState:
        """
        @return: How its sync stands.

        @raise LocalProtocolError: The topic is not open.
        """
        return self._opened(topic).state

    def _opened(self, topic: Topic) -> TopicSync:
        opened = self._topics.get(topic)
        if opened is None:
            raise LocalProtocolError("The topic is not open.")
        return opened

    # What topics ask for.

    def connect(self, node_id: NodeId) -> Deferred[IConnection]:
        """
        Make a connection for a session.
        """
        return self._endpoint.connect(node_id, PROTOCOL_ID)

    def recognise(self, connection: IConnection) -> bool | Deferred[bool]:
        """
        Whether the other side is p2panda_tw.
        """
        return self._is_ours(connection)

    def yields_to(self, node_id: NodeId) -> bool:
        """
        Whether to give this node a moment to dial us.
        """
        return self.is_smaller(node_id) and self._knows_us(node_id)

    def is_smaller(self, node_id: NodeId) -> bool:
        """
        Whether it has the smaller node id.
        """
        return node_id < self._endpoint.node_id

    def is_being_accepted(self, node_id: NodeId) -> bool:
        """
        Whether it has dialled us and not named its topic yet.
        """
        return any(not incoming.unknown and incoming.connection.node_id == node_id for incoming in self._incoming)

    def runner_began(self, runner: SessionRunner) -> None:
        """
        Tick it.
        """
        self._runners[runner] = None
        if self._tick_call is None:
            self._tick_call = self.clock.callLater(TICK, self._tick)

    def runner_over(self, runner: SessionRunner) -> None:
        """
        No more.
        """
        self._runners.pop(runner, None)
        if not self._runners and self._tick_call is not None and self._tick_call.active():
            self._tick_call.cancel()
            self._tick_call = None

    def _tick(self) -> None:
        self._tick_call = self.clock.callLater(TICK, self._tick)
        now = self.clock.seconds()
        for runner in list(self._runners):
            runner.tick(now)
        self.held.sending.tick(now)
        self.held.opening.tick(now)

    # Incoming connections.

    def _accepted(self, connection: IConnection) -> None:
        node_id = connection.node_id
        if self._connections[node_id] >= MAX_SESSIONS_PER_PEER or self._connections.total() >= MAX_SESSIONS:
            self._complain(node_id, "It opens more sessions than there is room for.", to_blame=True)
            connection.abort("too many sessions")
            return
        self._connections[node_id] += 1
        connection.closed.addCallback(lambda _: self._forget(node_id))
        incoming = IncomingConnection(connection, self, self.clock)
        self._incoming[incoming] = None
        incoming.begin()

    def _forget(self, node_id: NodeId) -> None:
        self._connections[node_id] -= 1
        if not self._connections[node_id]:
            del self._connections[node_id]

    def topic_named(self, incoming: IncomingConnection, topic: Topic) -> SessionRunner | None:
        """
        @return: A session for it, if the topic is open.
        """
        opened = self._topics.get(topic)
        if opened is None or not self.running:
            return None
        self._incoming.pop(incoming, None)
        return opened.accept(incoming.connection)

    def incoming_settled(self, incoming: IncomingConnection) -> None:
        """
        Whoever waited for it may dial now.
        """
        self._incoming.pop(incoming, None)
        for opened in self._topics.values():
            link = opened.links.get(incoming.connection.node_id)
            if link is not None:
                link.update()

    def incoming_failed(self, incoming: IncomingConnection, reason: str, to_blame: bool) -> None:
        """
        It was no session.
        """
        self._complain(incoming.connection.node_id, reason, to_blame)

    def _complain(self, node_id: NodeId, reason: str, to_blame: bool) -> None:
        if to_blame and self.once.is_news(node_id, reason):
            self._log.warn("{node_id}: {reason}", node_id=node_id, reason=reason)


def _follow(ended: Deferred[None]) -> Deferred[None]:
    """
    @return: Fires when C{ended} does, for one more who waits.
    """
    follower: Deferred[None] = Deferred()

    def tell(result: None) -> None:
        follower.callback(None)

    ended.addCallback(tell)
    return follower
