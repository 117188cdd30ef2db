# -*- test-case-name: tests.test_node -*-
"""
Which topics a node has open, and for how many users each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.gate import Gate
from p2panda_tw.open_topic import OpenTopic
from p2panda_tw.store.service import Store
from p2panda_tw.sync.service import LogSync

__all__ = ["OpenTopics"]


class OpenTopics:
    """
    The table. Topics may be taken before the node has started; then they open when it does.
    """

    def __init__(self, reactor: Any) -> None:
        """
        @param reactor: For time.
        """
        self._reactor = reactor
        self._store: Store | None = None
        self._sync: LogSync | None = None
        self._failure: Failure | None = None
        self._topics: dict[Topic, OpenTopic] = {}
        self._held: dict[Topic, None] = {}
        self._closing: dict[Topic, Gate] = {}

    def __iter__(self) -> Iterator[OpenTopic]:
        return iter(list(self._topics.values()))

    def get(self, topic: Topic) -> OpenTopic | None:
        """
        @return: The topic, if it is open.
        """
        return self._topics.get(topic)

    # The node's life

    def started(self, store: Store, sync: LogSync | None) -> None:
        """
        Open what was taken, and from now on what is taken.

        @param sync: C{None}: nothing is synced.
        """
        self._store, self._sync = store, sync
        for opened in self:
            self._begin(opened, store)

    def failed(self, failure: Failure) -> None:
        """
        The node did not start. What is taken fails, until it has stopped.
        """
        self._failure = failure
        for opened in self:
            opened.fail(failure)

    def stopped(self) -> None:
        """
        The node has stopped. What streams have taken opens again when it starts again.
        """
        self._store = self._sync = self._failure = None
        for opened in self:
            opened.stopped()
        for topic in self._held:
            self._drop(topic)
        self._held.clear()

    # Users

    def take(self, topic: Topic, form: Form, name: str = "") -> OpenTopic:
        """
        One user more.

        @param name: What to call it; empty: what the store calls it.

        @raise LocalProtocolError: It is open in another form.
        """
        opened = self._topics.get(topic)
        if opened is None:
            opened = self._topics[topic] = OpenTopic(self._reactor, topic, form, name, self.release)
        elif opened.form is not form:
            raise LocalProtocolError(f"The topic is open in the {opened.form.name.lower()} form.")
        opened.handles += 1
        if self._store is not None:
            self._begin(opened, self._store)
        elif self._failure is not None:
            opened.fail(self._failure)
        return opened

    def release(self, topic: Topic) -> Deferred[None]:
        """
        One user less. After the last one the topic is not synced any more.

        @return: Fires once that is done.
        """
        opened = self._drop(topic)
        if opened is None:
            return succeed(None)
        gate = self._closing[topic] = Gate()

        def ended(result: Any) -> Any:
            if self._closing.get(topic) is gate:
                del self._closing[topic]
            gate.open()
            return result

        return Deferred.fromCoroutine(opened.close()).addBoth(ended)

    def hold(self, topic: Topic, form: Form, name: str = "") -> OpenTopic:
        """
        The node itself is a user from now on, until it stops.

        @raise LocalProtocolError: It is open in another form.
        """
        held = self._topics.get(topic) if topic in self._held else None
        if held is None:
            held = self.take(topic, form, name)
            self._held[topic] = None
        return held

    async def end_sync(self, topic: Topic) -> None:
        """
        Sync a topic no longer, whoever uses it.
        """
        if topic in self._held:
            del self._held[topic]
            await self.release(topic)
        opened = self._topics.get(topic)
        if opened is not None:
            await opened.end_sync()

    def _begin(self, opened: OpenTopic, store: Store) -> None:
        closing = self._closing.get(opened.topic)
        opened.begin(store, self._sync, None if closing is None else closing.wait())

    def _drop(self, topic: Topic) -> OpenTopic | None:
        """
        @return: The topic, if nobody uses it any more.
        """
        opened = self._topics[topic]
        opened.handles -= 1
        return None if opened.handles else self._topics.pop(topic)
