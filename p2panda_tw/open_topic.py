# -*- test-case-name: tests.test_node -*-
"""
A topic that a node has open: known to its store, synced with the nodes that share it, for as long as somebody uses it.

After a lost or restored store (L{p2panda_tw.store.confirm}) nothing is published to a topic that other nodes share
before a session with one of them has finished: it brings back what is missing of our own log, so that no position of it
is used twice. A topic that was confirmed stays so until the store is lost once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LogNotConfirmed, NodeStopped
from p2panda_tw.gate import Gate
from p2panda_tw.store.service import Store
from p2panda_tw.sync.events import SyncFinished, SyncStarted
from p2panda_tw.sync.service import LogSync
from p2panda_tw.sync.state import PeerState

__all__ = ["CONFIRMATION_TIMEOUT", "MAX_MET", "OpenTopic", "confirmed_key", "must_confirm"]

CONFIRMATION_TIMEOUT: Final = 30.0
"""
Seconds that publishing waits for a finished session after a lost or restored store.
"""

MAX_MET: Final = 256
"""
How many nodes of a topic are remembered, and dialled at each start, because a session with them has begun (a guess).
Others are served when they come; whom a ticket or the application names is dialled in any case.
"""

_NOT_CONFIRMED: Final = (
    "The store was lost or restored, and no other node could be asked for what it has of ours. Publishing now might "
    "use a position of our log a second time, which other nodes refuse for good. Connect to a node that shares the "
    "topic; where there is none that has more, use `p2panda identity confirm`."
)


class OpenTopic:
    """
    One topic.

    @ivar topic: The topic. Secret.
    @ivar form: How its operations look.
    @ivar name: What to call it; empty: what the store calls it.
    @ivar reactor: For time.
    @ivar store: The store that has it; there once it is open.
    @ivar handles: How many use it.
    """

    _log = Logger()

    store: Store

    def __init__(
        self, reactor: Any, topic: Topic, form: Form, name: str, release: Callable[[Topic], Deferred[None]]
    ) -> None:
        """
        @param release: Called when somebody who used the topic does so no more.
        """
        self.reactor = reactor
        self.topic = topic
        self.form = form
        self.name = name
        self.handles = 0
        self._release = release
        self._sync: LogSync | None = None
        self._opened = Gate()
        self._confirmed = Gate()
        self._opening: Deferred[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._stop_hearing: Callable[[], None] | None = None
        self._peers: dict[NodeId, None] = {}
        self._watchers: dict[Callable[[object], None], None] = {}
        self._listeners: dict[Callable[[], None], None] = {}

    @property
    def is_open(self) -> bool:
        """
        Whether the store has it.
        """
        return self._opened.is_open

    # Opening and closing, by the node

    def begin(self, store: Store, sync: LogSync | None, after: Deferred[None] | None = None) -> None:
        """
        Open it, unless that was begun.

        @param sync: C{None}: use the store only.
        @param after: Wait for this first.
        """
        if self._opening is None:
            self._opening = Deferred.fromCoroutine(self._begin(store, sync, after))
            self._opening.addErrback(self._opened.fail)

    async def _begin(self, store: Store, sync: LogSync | None, after: Deferred[None] | None) -> None:
        if after is not None:
            await after
        self.store = store
        is_new = all(record.topic != self.topic for record in await store.topics())
        await store.add_topic(self.topic, self.form, self.name)
        if not store.loss or await store.setting(confirmed_key(self.topic)) == str(store.loss):
            self._confirmed.open()
        self._peers = {} if is_new else dict.fromkeys(await store.topic_peers(self.topic))
        self._stop_listening = store.listen(self.topic, self._stored)
        if sync is not None and self.handles:
            self._sync = sync
            sync.open(self.topic, self.form)
            self._stop_hearing = sync.listen(self.topic, self._heard)
            for peer in self._peers:
                sync.add_peer(self.topic, peer)
        self._opened.open()
        self._stored(())

    async def close(self) -> None:
        """
        Nobody uses it any more.
        """
        await self.end_sync()
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    async def end_sync(self) -> None:
        """
        Sync it no longer. What is stored can still be read.
        """
        if self._opening is not None:
            await self._opening
        if self._stop_hearing is not None:
            self._stop_hearing()
            self._stop_hearing = None
        sync, self._sync = self._sync, None
        if sync is not None:
            await sync.close(self.topic)

    def stopped(self) -> None:
        """
        The node has stopped, and what was opened is closed with it. L{begin} works again, and readers go on then.
        """
        self.fail(Failure(NodeStopped("The node was stopped.")))
        self._opened, self._confirmed = Gate(), Gate()
        self._opening = self._stop_listening = self._stop_hearing = self._sync = None

    def fail(self, failure: Failure) -> None:
        """
        The node did not start. Everything that waits for the topic fails.
        """
        self._opened.fail(failure)

    @property
    def peer_states(self) -> tuple[PeerState, ...]:
        """
        With whom it is synced, and how far that is.
        """
        return () if self._sync is None else self._sync.state(self.topic).peers

    # What streams need

    def ready(self) -> Deferred[None]:
        """
        @return: Fires when the topic is open; fails when it cannot be opened.
        """
        return self._opened.wait()

    def publish(self, body: bytes | None, *, prune: bool = False) -> Deferred[StoredOperation]:
        """
        Make the next operation of our own log.

        @return: As L{p2panda_tw.stream.Stream.publish}.
        """
        if self._opened.is_open and (self._confirmed.is_open or not self._peers):
            return self.store.publish(self.topic, body, prune=prune)
        return Deferred.fromCoroutine(self._publish_later(body, prune))

    async def _publish_later(self, body: bytes | None, prune: bool) -> StoredOperation:
        await self._opened.wait()
        if self._peers and not self._confirmed.is_open:
            await self._wait_until_confirmed()
        return await self.store.publish(self.topic, body, prune=prune)

    async def _wait_until_confirmed(self) -> None:
        if self._sync is None:
            raise LogNotConfirmed(_NOT_CONFIRMED)
        self._log.warn(
            "The store was lost or restored: publishing to {topic} waits until another node has told what it has of us",
            topic=self.topic,
        )
        await self._confirmed.wait().addTimeout(CONFIRMATION_TIMEOUT, self.reactor, _not_confirmed)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """
        Have C{callback} called whenever there may be something new to read.

        @return: Ends it.
        """
        self._listeners[callback] = None

        def stop() -> None:
            self._listeners.pop(callback, None)

        return stop

    def _stored(self, operations: Sequence[StoredOperation]) -> None:
        for listener in list(self._listeners):
            listener()

    def acknowledge(self, name: str, arrival: int) -> None:
        """
        Note that the reader C{name} is done with everything up to an arrival number. While the node is stopped that is
        not possible, and the reader gets it again.
        """
        if self._opened.is_open:
            self.store.set_cursor(self.topic, name, arrival)

    def watch(self, callback: Callable[[object], None]) -> Callable[[], None]:
        """
        Hear how syncing goes.

        @return: Ends it.
        """
        self._watchers[callback] = None

        def stop() -> None:
            self._watchers.pop(callback, None)

        return stop

    def release(self) -> Deferred[None]:
        """
        One user less. After the last one the topic is not synced any more.

        @return: Fires once that is done.
        """
        return self._release(self.topic)

    # Other nodes

    def confirm(self) -> Deferred[None]:
        """
        Our own log is complete here.
        """
        if self._confirmed.is_open:
            return succeed(None)
        self._confirmed.open()
        return self.store.set_setting(confirmed_key(self.topic), str(self.store.loss))

    def add_peer(self, node_id: NodeId) -> Deferred[None]:
        """
        Sync with a node, now and after each start.
        """
        if node_id not in self._peers:
            self._peers[node_id] = None
            if self._sync is not None:
                self._sync.add_peer(self.topic, node_id)
        return self.store.add_topic_peer(self.topic, node_id)

    def _heard(self, event: object) -> None:
        if isinstance(event, SyncStarted) and event.node_id not in self._peers and len(self._peers) < MAX_MET:
            self.add_peer(event.node_id).addErrback(self._not_noted)
        elif isinstance(event, SyncFinished):
            self.confirm().addErrback(self._not_noted)
        for watcher in list(self._watchers):
            watcher(event)

    def _not_noted(self, failure: Failure) -> None:
        self._log.error(
            "What was learned of {topic} could not be noted: {reason}", topic=self.topic, reason=failure.value
        )


async def must_confirm(store: Store, topic: Topic) -> bool:
    """
    @return: Whether publishing to a topic waits for a finished session first.
    """
    if not store.must_confirm or await store.setting(confirmed_key(topic)) == str(store.loss):
        return False
    return bool(await store.topic_peers(topic))


def confirmed_key(topic: Topic) -> str:
    """
    @return: The setting that says so. It must not give the topic away.
    """
    return f"confirmed/{Hash.of(topic.raw)}"


def _not_confirmed(*_: object) -> None:
    raise LogNotConfirmed(_NOT_CONFIRMED)
