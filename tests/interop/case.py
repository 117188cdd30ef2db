"""
The stage of the interop tests: Rust nodes in processes of their own, our nodes in this one, and a clean-up after each test.
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from p2panda_tw.config import Config, IrohConfig, ListenAddress, RelayConfig, TlsConfig
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.node import Node
from p2panda_tw.stream import Stream
from p2panda_tw.sync.events import SyncFailed
from p2panda_tw.sync.state import PeerState
from tests.interop.building import reference_peer
from tests.interop.rust import PATIENCE, Kind, RustNode, free_port

__all__ = ["FORMS", "InteropTestCase"]

FORMS: Final[dict[Kind, Form]] = {"peer": Form.CHAT, "node": Form.NODE}
"""
The form of operations that each kind of Rust node speaks.
"""

LOOK_AGAIN: Final = 0.05
"""
Seconds between two looks at something that happens in another process.
"""

Stored = dict[tuple[str, int], tuple[str, str | None]]

T = TypeVar("T")

reactor: Any = global_reactor


class InteropTestCase(TestCase):
    """
    What was started is stopped at the end, whatever became of the test.
    """

    _log = Logger()
    timeout = 150

    def setUp(self) -> None:
        """
        Have the Rust program ready, and a directory.
        """
        self.program = reference_peer()
        # Control sockets have short paths only, so not below trial's directory.
        self.directory = Path(tempfile.mkdtemp(prefix="p2tw-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self._directories = itertools.count()
        # What our commands do, too: libsodium gives the interpreter back late otherwise.
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(0.0005)

    # Nodes.

    def new_directory(self) -> Path:
        """
        @return: An empty one.
        """
        directory = self.directory / str(next(self._directories))
        directory.mkdir()
        return directory

    async def rust(
        self,
        kind: Kind = "peer",
        *,
        again: RustNode | None = None,
        port: int | None = None,
        quiet: bool = True,
        **settings: Any,
    ) -> RustNode:
        """
        Run a Rust node until it is ready.

        @param again: Restart this one, which has ended, with its identity, its store and its port.
        @param port: Another port.
        """
        if again is not None:
            node = RustNode(again.kind, port or again.port, again._key, again._directory)
        else:
            node = RustNode(kind, port or free_port(), SigningKey.generate(), self.new_directory())
        self.addCleanup(node.kill)
        await node.start(self.program, quiet=quiet, **settings)
        return node

    async def python(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        relays: Sequence[RelayConfig] = (),
        tls: bool = False,
    ) -> Node:
        """
        Run one of our nodes, with the loopback only, until it is started.
        """
        listen = (ListenAddress("127.0.0.1", port), ListenAddress("::1", 0))
        loopback = (ListenAddress("127.0.0.1", 0),)
        config = Config(
            data_directory=self.new_directory() if directory is None else directory,
            iroh=IrohConfig(enabled=True, listen=listen, relays=tuple(relays)),
            tls=TlsConfig(enabled=tls, listen=loopback),
        )
        node = Node(reactor, config)
        node.startService()
        self.addCleanup(node.stopService)
        await node.when_started()
        return node

    def new_topic(self) -> Topic:
        """
        @return: A fresh one.
        """
        return Topic(secrets.token_bytes(32))

    def ticket(self, rust: RustNode, topic: Topic) -> Ticket:
        """
        @return: What leads one of our nodes to a Rust node: it cannot be told about us, so we dial.
        """
        return Ticket(node_id=rust.node_id, topic=topic, form=FORMS[rust.kind], addresses=rust.addresses)

    async def join(self, node: Node, rust: RustNode, topic: Topic) -> Stream:
        """
        Sync a topic with a Rust node.
        """
        return await node.join(self.ticket(rust, topic))

    async def first_failure(self, node: Node, ticket: Ticket) -> SyncFailed:
        """
        Join with a ticket.

        @return: The first thing that goes wrong.
        """
        assert ticket.topic is not None
        events = node.stream(ticket.topic, ticket.form).events()
        await node.join(ticket)
        async for event in events:
            if isinstance(event, SyncFailed) and event.node_id == ticket.node_id:
                return event
        raise AssertionError("The stream of events ended.")

    async def publish(self, stream: Stream, count: int, size: int = 100) -> None:
        """
        Publish many operations with our node.
        """
        value = "p" * size
        for start in range(0, count, 500):
            await gatherResults([stream.publish(value) for _ in range(min(500, count - start))])

    # Waiting and comparing.

    async def until(
        self, what: str, condition: Callable[[], bool | Awaitable[bool]], patience: float = PATIENCE
    ) -> float:
        """
        Look again and again until something is so.

        @return: How many seconds it took.
        """
        started = reactor.seconds()
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return float(reactor.seconds() - started)
            if reactor.seconds() - started > patience:
                raise TimeoutError(f"Not within {patience} s: {what}")
            await deferLater(reactor, LOOK_AGAIN)

    async def stored_here(self, node: Node, topic: Topic) -> Stored:
        """
        @return: Everything that our node has stored, as L{RustNode.dump} tells it.
        """
        found: Stored = {}
        after = 0
        while True:
            page = await node.store.page(topic, after)
            for stored in page.operations:
                operation = stored.operation
                body = None if operation.body is None else operation.body.hex()
                found[str(operation.author), operation.seq_num] = (operation.header.raw.hex(), body)
            after = page.until
            if after >= page.newest:
                return found

    async def until_count(self, count: int, topic: Topic, *nodes: Node | RustNode, patience: float = PATIENCE) -> float:
        """
        Wait until everybody has so many operations.

        @return: How many seconds it took.
        """

        async def has(node: Node | RustNode) -> bool:
            if isinstance(node, RustNode):
                return await node.count(topic) >= count
            heights = (await node.store.heights(topic)).heights
            return sum(height + 1 for logs in heights.values() for height in logs.values()) >= count

        took = 0.0
        for node in nodes:
            try:
                took = max(took, await self.until(f"{node} has {count} operations", partial(has, node), patience))
            except TimeoutError as error:
                raise AssertionError(f"{error}\n{await self.describe(topic, *nodes)}") from error
        return took

    async def describe(self, topic: Topic, *nodes: Node | RustNode) -> str:
        """
        @return: What everybody has, and how our nodes see the others; for a person who looks for a mistake.
        """
        lines = []
        for node in nodes:
            if isinstance(node, RustNode):
                stored = await node.dump(topic)
                lines.append(f"{node}: {node.losses}")
            else:
                stored = await self.stored_here(node, topic)
                lines += [f"{node.node_id}:", *(f"    {state}" for state in node.peer_states(topic))]
            logs: dict[str, list[int]] = {}
            for author, seq_num in stored:
                logs.setdefault(author, []).append(seq_num)
            for author, seq_nums in logs.items():
                missing = sorted(set(range(max(seq_nums))) - set(seq_nums))[:5]
                lines.append(f"    {author[:8]}: {len(seq_nums)}, highest {max(seq_nums)}, missing {missing}")
        return "\n".join(lines)

    async def assert_same(self, topic: Topic, node: Node, *others: RustNode, count: int) -> Stored:
        """
        Everybody has stored the same bytes.
        """
        here = await self.stored_here(node, topic)
        self.assertEqual(len(here), count)
        for other in others:
            there = await other.dump(topic)
            self.assertEqual(sorted(there), sorted(here))
            self.assertTrue(there == here, "the same operations, but other bytes")
        return here

    def peer_state(self, node: Node, topic: Topic, rust: RustNode) -> PeerState:
        """
        @return: How our node sees its sessions with a Rust node.
        """
        (found,) = [state for state in node.peer_states(topic) if state.node_id == rust.node_id]
        return found

    async def until_live(self, node: Node, topic: Topic, rust: RustNode, patience: float = PATIENCE) -> float:
        """
        Wait until a session is in live mode and nothing is under way.
        """

        def is_live() -> bool:
            states = [state for state in node.peer_states(topic) if state.node_id == rust.node_id]
            return bool(states) and states[0].status.name == "LIVE" and not states[0].behind

        return await self.until(f"live with {rust}", is_live, patience)

    def now(self) -> float:
        """
        @return: The time of a clock that only goes forward, in seconds.
        """
        return float(reactor.seconds())

    def start(self, work: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        Begin something beside the test; it is to be awaited later.
        """
        return Deferred.fromCoroutine(work)

    def figure(self, name: str, **values: object) -> None:
        """
        Write a figure into the log of the run.
        """
        told = ", ".join(
            f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
        )
        self._log.info("FIGURE {name}: {told}", name=name, told=told)
