"""
Nodes without sockets and threads, for tests: on a clock that the test moves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.config import Config
from p2panda_tw.node import Node
from p2panda_tw.testing import MemoryNetwork, pump

__all__ = ["NodeTestCase"]

T = TypeVar("T")


class NodeTestCase(SynchronousTestCase):
    """
    Makes nodes that reach each other through memory.
    """

    def setUp(self) -> None:
        """
        Begin with a clock, a network and no nodes.
        """
        self.reactor = MemoryReactorClock()
        self.network = MemoryNetwork(self.reactor)
        self.home = Path(self.mktemp())
        self.nodes: list[Node] = []

    def tearDown(self) -> None:
        """
        Stop what still runs; nothing may be left.
        """
        for node in self.nodes:
            if node.running:
                self.wait(node.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def node(self, name: str, **arguments: Any) -> Node:
        """
        Make a node with a data directory of this name, and start it.
        """
        config = arguments.pop("config", None) or Config(data_directory=self.home / name)
        node = Node(
            self.reactor,
            config,
            transports=lambda key: [self.network.transport(key)],
            rng=Random(1),
            clock_us=lambda: int(self.reactor.seconds() * 1_000_000) + 1_700_000_000_000_000,
            **arguments,
        )
        self.nodes.append(node)
        node.startService()
        return node

    def started(self, name: str, **arguments: Any) -> Node:
        """
        Make a node and wait until it has started.
        """
        return self.wait(self.node(name, **arguments).when_started())

    def until(self, condition: Callable[[], bool]) -> None:
        """
        Let time pass until something holds.
        """
        pump(self.reactor, condition)

    def wait(self, waiting: Deferred[T]) -> T:
        """
        Let time pass until a Deferred has fired.

        @return: What it fired with.
        """
        fired: list[Any] = []
        waiting.addBoth(fired.append)
        self.until(lambda: bool(fired))
        done: Deferred[T] = Deferred()
        done.callback(fired[0])
        return self.successResultOf(done)

    def run_(self, coroutine: Any) -> Any:
        """
        Let time pass until a coroutine has returned.
        """
        return self.wait(Deferred.fromCoroutine(coroutine))

    def failed(self, waiting: Deferred[Any], *kinds: type[Exception]) -> Failure:
        """
        Let time pass until a Deferred has failed.

        @return: With what.
        """
        failures: list[Failure] = []
        waiting.addErrback(failures.append)
        self.until(lambda: bool(failures))
        failures[0].trap(*kinds)
        return failures[0]
