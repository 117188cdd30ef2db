"""
A node with nothing but the iroh transport, in a process of its own. It echoes every stream and answers questions, one JSON
object a line: its addresses at the start, then what it holds for every line that it reads.

Usage: C{iroh_peer.py REACTOR SEED [PORT [NODE ADDRESS]]}, reactor C{asyncio} or C{default}, seed two hex digits. With a
node it dials that one and says hello on a stream.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver
from typing_extensions import override

ALPN = b"test" * 8


def holdings() -> dict[str, int]:
    """
    @return: What this process holds: KiB of memory, threads, open files, asyncio tasks.
    """
    gc.collect()
    asyncio = sys.modules.get("asyncio")
    tasks = 0
    if asyncio is not None:
        tasks = len([1 for thing in gc.get_objects() if isinstance(thing, asyncio.Task) and not thing.done()])
    proc = Path("/proc/self")
    pages = int((proc / "statm").read_text("ascii").split()[1]) if proc.is_dir() else 0
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "threads": threading.active_count(),
        "files": len(os.listdir(proc / "fd")) if proc.is_dir() else 0,
        "tasks": tasks,
    }


class Echo(Protocol):
    """
    Sends everything back.
    """

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Hello(Protocol):
    """
    Says so.
    """

    @override
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")


class Questions(LineOnlyReceiver):
    """
    Answers on standard output.
    """

    delimiter = b"\n"

    @override
    def lineReceived(self, line: bytes) -> None:
        say(holdings())


def say(answer: Any) -> None:
    """
    One line for the test.
    """
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """
    Run until standard input or the process ends.
    """
    if sys.argv[1] == "asyncio":
        from twisted.internet import asyncioreactor

        asyncioreactor.install()
    from twisted.internet import reactor
    from twisted.internet.stdio import StandardIO

    from p2panda_tw.core.identity import NodeId, SigningKey
    from p2panda_tw.endpoint.addresses import IrohAddress
    from p2panda_tw.transport.iroh import IrohTransport

    port = sys.argv[3] if len(sys.argv) > 3 else "0"
    transport = IrohTransport(
        reactor, SigningKey(bytes.fromhex(sys.argv[2]) * 32), bind=[f"127.0.0.1:{port}", "[::1]:0"]
    )
    listening = transport.listen(
        lambda connection: connection.accept_streams(Factory.forProtocol(Echo)), lambda: [ALPN]
    )

    def ready(_: object) -> None:
        say([str(address) for address in transport.addresses()])
        StandardIO(Questions())
        if len(sys.argv) > 4:
            Deferred.fromCoroutine(call(bytes.fromhex(sys.argv[4]), sys.argv[5]))

    async def call(node: bytes, address: str) -> None:
        connection = await transport.connect(NodeId(node), [IrohAddress.parse(address)], ALPN)
        await connection.open_stream(Factory.forProtocol(Hello))
        await connection.closed

    listening.addCallback(ready)
    reactor.run()


if __name__ == "__main__":
    main()
