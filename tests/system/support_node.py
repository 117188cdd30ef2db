"""
A node in a process of its own, for tests that flood it, kill it or take its disk away: C{python -m
tests.system.support_node DIRECTORY}.

Requests come as JSON objects, one per line, on standard input: C{do} names the method, C{id} comes back with the answer.
Beside the answers it tells on its own what it was told is stored, at once. Everything in its log from warnings on goes
to C{log.jsonl} in the directory above its data.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from blake3 import blake3
from twisted.internet import protocol, stdio, task
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from typing_extensions import override
from zope.interface import provider

from p2panda_tw.config import Config
from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import P2pandaError
from p2panda_tw.node import Node
from p2panda_tw.process import prepare
from p2panda_tw.stream import Stream

LOG_NAME: Final = "log.jsonl"


def tell(what: dict[str, Any]) -> None:
    """
    Tell the test, at once and in one piece.
    """
    os.write(1, json.dumps(what).encode() + b"\n")


class Worker:
    """
    What the test may ask for.
    """

    def __init__(self, reactor: Any, directory: Path) -> None:
        self.reactor = reactor
        self.node = Node(reactor, Config.load(data_directory=directory))
        self._streams: dict[str, Stream] = {}
        self._ages: dict[str, list[float]] = {}
        self._beats: list[task.LoopingCall] = []

    async def start(self) -> dict[str, Any]:
        self.node.startService()
        await self.node.when_started()
        return {"node_id": self.node.node_id.hex()}

    async def stop(self) -> dict[str, Any]:
        for beat in self._beats:
            beat.stop()
        self._beats.clear()
        if self.node.running:
            await self.node.stopService()
        return {}

    # Topics

    async def topic(self) -> dict[str, Any]:
        topic = await self.node.new_topic()
        return await self.open(topic.raw.hex())

    async def open(self, topic: str) -> dict[str, Any]:
        opened = Topic(bytes.fromhex(topic))
        stream = self._streams[topic] = self.node.stream(opened)
        await self.node.store.setting("nothing")
        return {"topic": topic, "ticket": self.node.ticket(stream.topic)}

    async def join(self, ticket: str) -> dict[str, Any]:
        stream = await self.node.join(ticket)
        topic = stream.topic.raw.hex()
        self._streams[topic] = stream
        return {"topic": topic, "ticket": self.node.ticket(stream.topic)}

    async def count(self, topic: str) -> dict[str, Any]:
        return {"count": await self.node.newest_arrival(Topic(bytes.fromhex(topic)))}

    async def wait(self, topic: str, count: int) -> dict[str, Any]:
        while await self.node.newest_arrival(Topic(bytes.fromhex(topic))) < count:
            await task.deferLater(self.reactor, 0.05)
        return {}

    async def digest(self, topic: str) -> dict[str, Any]:
        """
        @return: A digest of all header and body bytes in the store, and how many operations these are.
        """
        opened, after = Topic(bytes.fromhex(topic)), 0
        found: list[tuple[bytes, int, bytes]] = []
        while True:
            page = await self.node.store.page(opened, after)
            for stored in page.operations:
                raw = stored.operation.raw
                body = b"none" if raw.body is None else blake3(raw.body).digest()
                found.append((stored.operation.author.raw, stored.operation.seq_num, raw.header + body))
            if page.until >= page.newest:
                break
            after = page.until
        found.sort()
        return {"digest": blake3(b"".join(part for *_, part in found)).hexdigest(), "count": len(found)}

    # Publishing and reading

    async def publish(self, topic: str, count: int, size: int, in_flight: int = 1) -> dict[str, Any]:
        """
        Publish, and tell each position as soon as it was reported as stored.
        """
        stream = self._streams[topic]
        body = "x" * size
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                operation = await stream.publish(body)
                tell({"stored": operation.seq_num})

        await gatherResults([Deferred.fromCoroutine(some()) for _ in range(in_flight)], consumeErrors=True)
        return {}

    async def fill(self, topic: str, count: int, size: int) -> dict[str, Any]:
        """
        The same in silence.
        """
        stream = self._streams[topic]
        for start in range(0, count, 100):
            await gatherResults([stream.publish("x" * size) for _ in range(min(100, count - start))])
        return {}

    async def follow(self, topic: str) -> dict[str, Any]:
        """
        Tell how many operations were reported as stored, after each time.
        """

        def stored(operations: Any) -> None:
            last: StoredOperation = operations[-1]
            tell({"arrived": last.arrival})

        self.node.store.listen(Topic(bytes.fromhex(topic)), stored)
        return {}

    async def read(self, topic: str) -> dict[str, Any]:
        """
        Read everything that there is and comes, as an application does.
        """

        async def run() -> None:
            async for message in self._streams[topic].subscribe("reader"):
                del message  # so that only the node's memory counts

        Deferred.fromCoroutine(run())
        return {}

    async def beat(self, topic: str, interval: float) -> dict[str, Any]:
        """
        Publish the time by the machine's clock every C{interval} seconds from now on.
        """

        def publish() -> None:
            self._streams[topic].publish(time.monotonic_ns()).addErrback(lambda _: None)

        call = task.LoopingCall(publish)
        call.clock = self.reactor
        call.start(interval)
        self._beats.append(call)
        return {}

    async def hear(self, topic: str) -> dict[str, Any]:
        """
        Note how old the others' times are when they come in.
        """
        ages = self._ages[topic] = []

        async def run() -> None:
            async for message in self._streams[topic].subscribe("beats"):
                if message.author != self.node.node_id and isinstance(message.value, int):
                    ages.append((time.monotonic_ns() - message.value) / 1e9)

        Deferred.fromCoroutine(run())
        return {}

    async def ages(self, topic: str) -> dict[str, Any]:
        """
        @return: What was noted since the last time, in seconds.
        """
        ages, self._ages[topic][:] = list(self._ages[topic]), []
        return {"ages": ages}

    # The machine

    async def memory(self, reset: bool = False) -> dict[str, Any]:
        """
        @param reset: Let the peak begin at what is in use now.

        @return: Resident bytes now and at most.
        """
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {"rss": int(fields["VmRSS"].split()[0]) * 1024, "peak": int(fields["VmHWM"].split()[0]) * 1024}

    async def limit(self, size: int) -> dict[str, Any]:
        """
        Let files grow to C{size} bytes; -1: as far as they like.
        """
        import resource

        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))
        return {}

    async def status(self) -> dict[str, Any]:
        return await self.node.status()


class _Requests(LineOnlyReceiver):
    """
    Answers each request when it is done, in any order.
    """

    delimiter = b"\n"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.ended: Deferred[None] = Deferred()

    @override
    def lineReceived(self, line: bytes) -> None:
        Deferred.fromCoroutine(self._answer(json.loads(line)))

    async def _answer(self, request: dict[str, Any]) -> None:
        number = request.pop("id")
        try:
            answer = await getattr(self._worker, request.pop("do"))(**request)
        except FirstError as error:
            answer = _describe(error.subFailure.value)
        except Exception as error:
            answer = _describe(error)
        tell({**answer, "id": number})

    @override
    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.ended.callback(None)


def _describe(error: BaseException) -> dict[str, Any]:
    kind = type(error).__name__ if isinstance(error, P2pandaError) else repr(error)
    return {"error": kind, "message": str(error)}


def _log_to(path: Path) -> None:
    """
    Keep what an operator should see.
    """
    file = path.open("a", encoding="utf-8")

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        if level >= LogLevel.warn or event.get("log_failure") is not None:
            # As it would be printed, because traces and what the other side sent would be seen there.
            entry = {"level": level.name, "source": event.get("log_namespace"), "text": eventAsText(event)}
            file.write(json.dumps(entry) + "\n")
            file.flush()

    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


async def serve(reactor: Any, directory: Path) -> None:
    """
    Answer until the end of input.
    """
    worker = Worker(reactor, directory)
    requests = _Requests(worker)
    stdio.StandardIO(requests, reactor=reactor)
    await requests.ended
    await worker.stop()


def main() -> None:
    """
    Run as the C{p2panda} command would.
    """
    from twisted.internet import asyncioreactor

    asyncioreactor.install()
    prepare()
    directory = Path(sys.argv[1])
    _log_to(directory.parent / LOG_NAME)
    task.react(lambda reactor: Deferred.fromCoroutine(serve(reactor, directory)))


if __name__ == "__main__":
    main()
