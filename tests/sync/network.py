"""
Whole nodes, as far as sync is concerned: real store, real endpoint, a network in memory, one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.interfaces import IConnection, IEndpoint
from p2panda_tw.store.service import Store
from p2panda_tw.store.workers import InlineWorkers
from p2panda_tw.sync.events import SyncEvent
from p2panda_tw.sync.service import LogSync
from p2panda_tw.testing import MemoryNetwork, pump
from tests.sync.logs import TOPIC, key


@implementer(IEndpoint)
class CountedEndpoint:
    """
    The endpoint as log sync sees it, with a note of each dialling.

    @ivar dialled: When something was dialled.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.node_id = endpoint.node_id
        self.network_id = endpoint.network_id
        self.accept = endpoint.accept
        self.withdraw = endpoint.withdraw
        self.dialled: list[float] = []
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, node_id: NodeId, protocol_id: bytes) -> Deferred[IConnection]:
        self.dialled.append(self._clock.seconds())
        return self._endpoint.connect(node_id, protocol_id)


class Node:
    """
    One node.

    @ivar events: Of L{TOPIC}.
    @ivar dialled: When it dialled.
    """

    def __init__(self, network: Network, name: str, **options: Any) -> None:
        self.name = name
        self.signing_key = key(name)
        self.node_id: NodeId = self.signing_key.verifying_key
        self.clock = network.clock
        self.transport = network.memory.transport(self.signing_key)
        self.endpoint = Endpoint(self.clock, self.signing_key, DEFAULT_NETWORK_ID, [self.transport])
        self.store = Store(
            self.clock,
            ":memory:",
            self.signing_key,
            clock_us=lambda: int(1_783_382_400_000_000 + self.clock.seconds() * 1_000_000),
            workers=InlineWorkers(),
        )
        counted = CountedEndpoint(self.endpoint, self.clock)
        self.dialled = counted.dialled
        self.sync = LogSync(self.clock, counted, self.store, Random(name), **options)
        self.events: list[SyncEvent] = []
        self.endpoint.open()
        self.store.open()
        self.sync.startService()

    def open(self, topic: Topic = TOPIC, form: Form = Form.NODE) -> None:
        """
        Open a topic.
        """
        self.store.add_topic(topic, form)
        self.sync.open(topic, form)
        if topic == TOPIC:
            self.sync.listen(topic, self.events.append)

    def meet(self, other: Node, topic: Topic = TOPIC) -> None:
        """
        Learn where another node is, and that it has the topic.
        """
        self.endpoint.add_addresses(other.node_id, other.endpoint.local_addresses())
        self.sync.add_peer(topic, other.node_id)

    def publish(self, *bodies: bytes, topic: Topic = TOPIC) -> None:
        """
        Append to the own log.
        """
        for body in bodies:
            self.store.publish(topic, body)

    def ids(self, topic: Topic = TOPIC) -> list[Hash]:
        """
        @return: What is stored of a topic, in order of arrival.
        """
        found: list[Hash] = []
        after = 0
        while True:
            page = result_of(self.store.page(topic, after))
            found += [stored.operation.id for stored in page.operations]
            after = page.until
            if after >= page.newest:
                return found

    def bodies(self, topic: Topic = TOPIC) -> list[bytes | None]:
        """
        @return: What is stored of a topic, in order of arrival.
        """
        return [stored.operation.body for stored in result_of(self.store.page(topic, 0)).operations]

    @property
    def event_names(self) -> list[str]:
        """
        What the application heard.
        """
        return [type(event).__name__ for event in self.events]

    @property
    def status(self) -> list[str]:
        """
        How it stands with each peer.
        """
        return [peer.status.value for peer in self.sync.state(TOPIC).peers]

    def stop(self) -> None:
        """
        Stop sync, endpoint and store.
        """
        self.sync.stopService()
        self.endpoint.close()


class Network:
    """
    Nodes that can reach each other.
    """

    def __init__(self, *, delay: float = 0.001) -> None:
        self.clock = Clock()
        self.memory = MemoryNetwork(self.clock, delay)
        self.nodes: list[Node] = []

    def node(self, name: str, *, opened: bool = True, **options: Any) -> Node:
        """
        @return: A new node with L{TOPIC} open.
        """
        node = Node(self, name, **options)
        self.nodes.append(node)
        if opened:
            node.open()
        return node

    def run(self, seconds: float, *, step: float = 0.01) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def until(self, holds: Callable[[], bool], *, longest: float = 60.0) -> None:
        """
        Let time pass until something holds.
        """
        pump(self.clock, holds, longest=longest)

    def stop(self) -> None:
        """
        Stop all nodes; nothing may be left of them.
        """
        for node in self.nodes:
            node.sync.stopService()
        self.run(6, step=0.1)
        for node in self.nodes:
            node.endpoint.close()
        self.run(6, step=0.1)
        for node in self.nodes:
            node.store.close()
        self.clock.advance(1)


def result_of(deferred: Deferred[Any]) -> Any:
    """
    @return: What a Deferred that has fired gives.
    """
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0]
