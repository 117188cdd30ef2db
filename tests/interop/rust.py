"""
A running reference peer: commands go in, events come out, one JSON object a line (peer/README.md).
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.topic import Topic
from p2panda_tw.endpoint.addresses import Address, IrohAddress, RelayAddress

__all__ = ["PATIENCE", "Kind", "RustNode", "free_port"]

PATIENCE: Final = 30.0
"""
Seconds after which something that should have happened counts as failed.
"""

Kind = Literal["peer", "node"]
Event = dict[str, Any]

reactor: Any = global_reactor


def free_port() -> int:
    """
    @return: A UDP port of the loopback that nobody uses at the moment.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RustNode(ProcessProtocol):
    """
    One process. Use L{start}, and L{quit} or L{kill} at the end.

    @ivar kind: C{peer} (p2panda-net as the chat example uses it) or C{node} (the high-level Node).
    @ivar port: Its UDP port.
    @ivar node_id: Who it is.
    @ivar events: What it said, without what it was asked for.
    @ivar ended: Fires when the process is gone.
    """

    transport: Any  # Twisted: IProcessTransport or None

    def __init__(self, kind: Kind, port: int, key: SigningKey, directory: Path) -> None:
        self.kind = kind
        self.port = port
        self.node_id: NodeId = key.verifying_key
        self.relay: str | None = None
        self.events: list[Event] = []
        self.ended: Deferred[None] = Deferred()
        self.over = False
        self._key = key
        self._directory = directory
        self._buffer = b""
        self._errors = b""
        self._waiting: list[tuple[Callable[[Event], bool], Deferred[Event]]] = []
        self._dump: list[Event] = []

    async def start(self, program: str, *, quiet: bool = True, **settings: Any) -> None:
        """
        Run it until it is ready.

        @param quiet: A C{peer} does not print every operation that it receives.
        """
        self.relay = settings.get("relay")
        arguments = [program, self.kind, *(["--quiet"] if quiet and self.kind == "peer" else [])]
        reactor.spawnProcess(self, program, arguments, {"RUST_LOG": "off"}, str(self._directory))
        database = self._directory / f"{self.node_id}.sqlite3"
        settings = {
            "seed": self._key.seed.hex(),
            "port": self.port,
            "db": f"sqlite://{database}?mode=rwc",
            "discovery": False,
            **settings,
        }
        ready = self.next("ready")
        self._write(settings)
        await ready

    @property
    def addresses(self) -> list[Address]:
        """
        Where it listens.
        """
        direct: list[Address] = [IrohAddress("127.0.0.1", self.port)]
        return direct if self.relay is None else [RelayAddress(self.relay)]

    # Talking.

    def _write(self, command: Event) -> None:
        self.transport.write(json.dumps(command).encode() + b"\n")

    async def ask(self, answer: str, cmd: str, patience: float = PATIENCE, **fields: Any) -> Event:
        """
        Give a command.

        @param answer: The event that answers it.
        """
        answered = self.next(answer, patience)
        self._write({"cmd": cmd, **{name: _plain(value) for name, value in fields.items()}})
        return await answered

    def next(self, name: str, patience: float = PATIENCE, **fields: Any) -> Deferred[Event]:
        """
        @return: Fires with the next event of this name and these fields.
        """
        return self._wait(lambda event: _fits(event, name, fields), patience, f"{name} {fields or ''}")

    def seen(self, name: str, patience: float = PATIENCE, **fields: Any) -> Deferred[Event]:
        """
        @return: The same, an event of the past included.
        """
        for event in self.events:
            if _fits(event, name, fields):
                found: Deferred[Event] = Deferred()
                found.callback(event)
                return found
        return self.next(name, patience, **fields)

    def _wait(self, fits: Callable[[Event], bool], patience: float, what: str) -> Deferred[Event]:
        waiter: Deferred[Event] = Deferred(lambda _: None)
        if self.over:
            waiter.errback(AssertionError(f"{self} has ended without {what}: {self._told}"))
            return waiter
        self._waiting.append((fits, waiter))

        def late(result: object, seconds: float) -> Any:
            raise TimeoutError(f"{self} did not say {what} within {seconds} s: {self._told}")

        waiter.addTimeout(patience, reactor, late)
        return waiter

    @property
    def _told(self) -> str:
        return f"{self.events[-5:]} {self._errors[-2000:].decode('utf-8', 'replace')}"

    async def open(self, topic: Topic) -> None:
        """
        Sync a topic.
        """
        await self.ask("ok", "sync" if self.kind == "peer" else "stream", topic=topic)

    async def flood(self, topic: Topic, count: int, size: int = 100) -> None:
        """
        Publish many operations, live.
        """
        await self.ask("flooded", "flood", patience=120.0, topic=topic, count=count, size=size)

    async def publish(self, topic: Topic, text: str) -> None:
        """
        Publish one.
        """
        await self.ask("published", "publish", topic=topic, text=text)

    async def count(self, topic: Topic, author: NodeId | None = None) -> int:
        """
        @return: How many operations it has stored, of one author or all.
        """
        counted = await self.ask("counted", "count", topic=topic)
        return int(counted["count"] if author is None else counted["authors"].get(author.hex(), 0))

    @property
    def sessions(self) -> int:
        """
        How many sessions it has begun.
        """
        return sum("SyncStarted" in str(event) or event["event"] == "sync_started" for event in self.events)

    @property
    def losses(self) -> list[Event]:
        """
        What it said of operations that it lost or could not store.
        """
        signs = ("sync_lagged", "insert_failed", "Lagged", "ProcessingFailed")
        return [event for event in self.events if any(sign in str(event) for sign in signs)]

    async def memory(self) -> int:
        """
        @return: Resident memory, in KiB.
        """
        return int((await self.ask("rss", "rss"))["kib"])

    async def dump(self, topic: Topic) -> dict[tuple[str, int], tuple[str, str | None]]:
        """
        @return: Everything it has stored: author and C{seq_num} to header and body, as hex.
        """
        self._dump = []
        await self.ask("dumped", "dump", topic=topic)
        found, self._dump = self._dump, []
        stored = {(line["author"], line["seq"]): (line["header"], line["body"]) for line in found}
        assert len(stored) == len(found), "one position twice"
        return stored

    # The end.

    async def quit(self) -> None:
        """
        End it in order.
        """
        if not self.over:
            self._write({"cmd": "quit"})
            self.transport.closeStdin()
        await self.ended

    async def kill(self) -> None:
        """
        End it at once, as a crash would.
        """
        try:
            self.transport.signalProcess(signal.SIGKILL)
        except ProcessExitedAlready:
            pass
        await self.ended

    # The process.

    @override
    def outReceived(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line))

    @override
    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-10_000:]

    def _heard(self, event: Event) -> None:
        if event["event"] == "stored":
            self._dump.append(event)
            return
        if event["event"] not in ("ok", "counted", "rss", "dumped"):
            self.events.append(event)
        for pair in list(self._waiting):
            fits, waiter = pair
            if fits(event):
                self._waiting.remove(pair)
                if not waiter.called:
                    waiter.callback(event)

    @override
    def processEnded(self, reason: Failure) -> None:
        self.over = True
        waiting, self._waiting = self._waiting, []
        for _, waiter in waiting:
            if not waiter.called:
                waiter.errback(AssertionError(f"{self} ended: {reason.getErrorMessage()} {self._told}"))
        self.ended.callback(None)

    def __str__(self) -> str:
        return f"The Rust {self.kind} {self.node_id.hex()[:8]}"


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, Topic | NodeId) else value


def _fits(event: Event, name: str, fields: Event) -> bool:
    return event["event"] == name and all(event.get(field) == value for field, value in fields.items())
