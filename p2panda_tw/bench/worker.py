# -*- test-case-name: tests.system.test_bench -*-
"""
What a worker process of a measurement does: C{python -m p2panda_tw.bench.worker ROLE}.

Requests come as JSON objects, one per line, on standard input; each is answered by one line. C{do} names the method,
the rest are its arguments. At end of input the process stops its nodes and ends.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import defer, protocol, stdio, task
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver
from typing_extensions import override

from p2panda_tw.bench.measure import Digest, StallTimer
from p2panda_tw.config import Config
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.node import Node
from p2panda_tw.process import prepare, settle
from p2panda_tw.stream import Stream
from p2panda_tw.sync.events import SyncStarted
from p2panda_tw.transport.memory import MemoryNetwork

__all__ = ["ROLES", "main"]

IN_FLIGHT: Final = 100
"""
Publishes under way at once while a topic is filled; not measured.
"""


class Idle:
    """
    Does nothing and watches how late its timer is: how quiet the machine is.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.timer = StallTimer(reactor)

    async def start(self) -> dict[str, Any]:
        """
        Begin to watch.
        """
        self.timer.start()
        return {}

    async def stop(self) -> dict[str, Any]:
        """
        @return: The longest gap since C{start}, in milliseconds.
        """
        self.timer.stop()
        return {"stall_ms": self.timer.longest * 1000}

    async def close(self) -> None:
        """
        Nothing is left to close.
        """
        self.timer.stop()


class Nodes:
    """
    Runs nodes. Those in one process reach each other through memory if they are told to, otherwise by what they find in
    the defaults.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.timer = StallTimer(reactor)
        self._memory = MemoryNetwork(reactor)
        self._nodes: dict[str, Node] = {}
        self._streams: dict[str, Stream] = {}
        self._directory = tempfile.TemporaryDirectory(prefix="p2panda-bench-")

    async def start(self, node: str, transport: str, durability: str = "full") -> dict[str, Any]:
        """
        Start a node with a fresh data directory.
        """
        directory = Path(tempfile.mkdtemp(dir=self._directory.name))
        settings = directory / "p2panda.toml"
        settings.write_text(
            f'durability = "{durability}"\n[iroh]\nenabled = {str(transport == "iroh").lower()}\n'
            f"[tls]\nenabled = {str(transport == 'tls').lower()}\n"
        )
        made = Node(
            self.reactor,
            Config.load(data_directory=directory),
            transports=(lambda key: [self._memory.transport(key)]) if transport == "memory" else None,
        )
        made.startService()
        self._nodes[node] = made
        await made.when_started()
        settle()
        return {"node_id": made.node_id.hex()}

    async def topic(self, node: str) -> dict[str, Any]:
        """
        Make a topic.

        @return: A ticket that leads into it.
        """
        made = await self._nodes[node].new_topic()
        self._streams[node] = self._nodes[node].stream(made)
        return {"ticket": self._nodes[node].ticket(made)}

    async def fill(self, node: str, count: int, size: int) -> dict[str, Any]:
        """
        Publish C{count} messages with bodies of C{size} bytes.
        """
        await self._publish(node, count, IN_FLIGHT, size)
        return {}

    async def _publish(self, node: str, count: int, in_flight: int, size: int) -> None:
        stream = self._streams[node]
        value = "x" * text_length(size)
        left = iter(range(count))

        async def publish_some() -> None:
            for _ in left:
                await stream.publish(value)

        await defer.gatherResults(
            [Deferred.fromCoroutine(publish_some()) for _ in range(min(in_flight, count))], consumeErrors=True
        )

    async def publish(self, node: str, count: int, in_flight: int, size: int) -> dict[str, Any]:
        """
        @return: How long publishing took, in seconds.
        """
        began = self.reactor.seconds()
        await self._publish(node, count, in_flight, size)
        return {"seconds": self.reactor.seconds() - began}

    async def open(self, node: str, ticket: str) -> dict[str, Any]:
        """
        Open the topic of a ticket, and do not connect to anybody.
        """
        topic = Ticket.decode(ticket).topic
        assert topic is not None  # tickets of these measurements have one
        self._streams[node] = self._nodes[node].stream(topic)
        return {}

    async def join(self, node: str, ticket: str) -> dict[str, Any]:
        """
        Open the topic of a ticket.
        """
        self._streams[node] = await self._nodes[node].join(ticket)
        return {}

    async def receive(self, node: str, ticket: str, count: int) -> dict[str, Any]:
        """
        Join a topic and read until C{count} messages were handed over.

        @return: How long that took since joining, and since the first one was handed over, in seconds; the digest of
            what was handed over; by how much the resident memory grew at most, in MiB; the longest gap of the timer, in
            milliseconds.
        """
        seen = Digest()
        self.timer.start()
        before = self.timer.peak
        began = self.reactor.seconds()
        stream = self._streams[node] = await self._nodes[node].join(ticket)
        first = began
        async for message in stream.subscribe():
            if not seen.count:
                first = self.reactor.seconds()
            seen.add(message.operation)
            if seen.count >= count:
                break
        now = self.reactor.seconds()
        self.timer.stop()
        return {
            "seconds": now - began,
            "seconds_from_first": now - first,
            "digest": seen.hex(),
            "growth_mib": (self.timer.peak - before) / 2**20,
            "stall_ms": self.timer.longest * 1000,
        }

    async def wait(self, node: str, count: int) -> dict[str, Any]:
        """
        Wait until the store of a node has C{count} operations of its topic.
        """
        stream = self._streams[node]
        while await self._nodes[node].newest_arrival(stream.topic) < count:
            await task.deferLater(self.reactor, 0.02)
        return {}

    async def digest(self, node: str) -> dict[str, Any]:
        """
        @return: The digest of what the store has, and of how many operations.
        """
        stream = self._streams[node]
        stored = Digest()
        async for message in stream.subscribe(None, until=await self._nodes[node].newest_arrival(stream.topic)):
            stored.add(message.operation)
        return {"digest": stored.hex(), "count": stored.count}

    async def say_times(self, node: str, count: int, interval: float) -> dict[str, Any]:
        """
        Publish the time by the system's monotonic clock, C{count} times.
        """
        for _ in range(count):
            await self._streams[node].publish(time.monotonic_ns())
            await task.deferLater(self.reactor, interval)
        return {}

    async def hear_times(self, node: str, count: int) -> dict[str, Any]:
        """
        @return: How old each of C{count} published times was when it was handed over, in milliseconds.
        """
        ages: list[float] = []
        async for message in self._streams[node].subscribe():
            ages.append((time.monotonic_ns() - message.value) / 1e6)
            if len(ages) >= count:
                break
        return {"ages_ms": ages}

    async def say_and_hear(self, say: str, hear: str, count: int, interval: float) -> dict[str, Any]:
        """
        Both of the above in one process.
        """
        hearing = Deferred.fromCoroutine(self.hear_times(hear, count))
        await self.say_times(say, count, interval)
        return await hearing

    async def connect(self, node: str, ticket: str) -> dict[str, Any]:
        """
        @return: How long it took from opening the topic until the other node had answered what it has, in milliseconds.
        """
        made = self._nodes[node]
        began = self.reactor.seconds()
        stream = self._streams[node] = await made.join(ticket)
        async for event in stream.events():
            if isinstance(event, SyncStarted):
                break
        return {"ms": (self.reactor.seconds() - began) * 1000}

    async def stop(self, node: str) -> dict[str, Any]:
        """
        Stop a node once what it has was sent.
        """
        stopping = self._nodes.pop(node)
        stream = self._streams.pop(node, None)
        if stream is not None and stopping.endpoint.connections():
            await stopping.flushed(stream.topic, 60)
        await stopping.stopService()
        return {}

    async def leave(self, node: str) -> dict[str, Any]:
        """
        Stop a node at once, though others may be sending to it.
        """
        for connection in self._nodes[node].endpoint.connections():
            connection.abort("It has done its part.")
        return await self.stop(node)

    async def close(self) -> None:
        """
        Stop all nodes and remove their directories.
        """
        self.timer.stop()
        for node in self._nodes.values():
            await node.stopService()
        self._directory.cleanup()


def text_length(size: int) -> int:
    """
    @return: How many ASCII characters make a CBOR text of C{size} bytes.
    """
    for head in (1, 2, 3, 5):
        length = size - head
        if length < (24, 256, 65536, 2**32)[(1, 2, 3, 5).index(head)]:
            return max(length, 0)
    return size - 9


ROLES: Final[dict[str, Callable[[Any], Idle | Nodes]]] = {"idle": Idle, "nodes": Nodes}


class _Requests(LineOnlyReceiver):
    """
    Answers requests one after the other.
    """

    delimiter = b"\n"

    def __init__(self, role: Idle | Nodes) -> None:
        self._role = role
        self._last: Deferred[None] = defer.succeed(None)
        self.ended: Deferred[None] = Deferred()

    @override
    def lineReceived(self, line: bytes) -> None:
        self._last.addCallback(lambda _: Deferred.fromCoroutine(self._answer(json.loads(line))))

    async def _answer(self, request: dict[str, Any]) -> None:
        try:
            answer = await getattr(self._role, request.pop("do"))(**request)
        except Exception as error:  # whatever it is: the process that asked has to know
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.sendLine(json.dumps(answer).encode())

    @override
    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self._last.addBoth(lambda _: self.ended.callback(None))


async def serve(reactor: Any, role: str) -> None:
    """
    Answer until the end of input.
    """
    worker = ROLES[role](reactor)
    requests = _Requests(worker)
    stdio.StandardIO(requests, reactor=reactor)
    await requests.ended
    await worker.close()


def main() -> None:
    """
    Run as the C{p2panda} command would.
    """
    from twisted.internet import asyncioreactor

    asyncioreactor.install()
    prepare()
    role = sys.argv[1]
    task.react(lambda reactor: Deferred.fromCoroutine(serve(reactor, role)))


if __name__ == "__main__":
    main()
