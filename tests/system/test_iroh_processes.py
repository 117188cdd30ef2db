"""
The iroh transport between processes: what a long life, a sudden death and a new beginning look like from the other side.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredQueue, gatherResults
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, IrohAddress
from p2panda_tw.interfaces import IConnection
from tests.system.iroh_peer import ALPN, holdings
from tests.transport.contract import ALICE, Inbox, Node, Recorder, opening
from tests.transport.iroh_node import IrohCase

PEER = SigningKey(b"\x07" * 32)


class Peer(ProcessProtocol):
    """
    The process of L{tests.system.iroh_peer}.

    @ivar addresses: Where it listens.
    """

    def __init__(self) -> None:
        self.answers: DeferredQueue[Any] = DeferredQueue()
        self.ended: Deferred[None] = Deferred()
        self.addresses: list[Address] = []
        self._rest = b""

    @override
    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.answers.put(json.loads(line))

    @override
    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    @override
    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    def kill(self) -> Deferred[None]:
        """
        End it as C{kill -9} does.

        @return: Fires when it is gone.
        """
        if not self.ended.called:
            cast(Any, self.transport).signalProcess("KILL")
        return self.ended

    def holdings(self) -> Deferred[dict[str, int]]:
        """
        @return: What it holds.
        """
        cast(Any, self.transport).write(b"\n")
        return self.answers.get()


class IrohProcessTests(IrohCase):
    """
    Two processes.
    """

    async def peer(self, *command: str) -> Peer:
        """
        @return: A running peer, killed at the end.
        """
        peer = Peer()
        kind = "asyncio" if "asyncio" in type(self.reactor).__module__ else "default"
        program = Path(__file__).with_name("iroh_peer.py")
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self.reactor.spawnProcess(
            peer,
            sys.executable,
            [sys.executable, str(program), kind, "07", *command],
            env={**os.environ, "PYTHONPATH": path},
        )
        self.addCleanup(peer.kill)
        peer.addresses = [IrohAddress.parse(text) for text in await peer.answers.get()]
        return peer

    async def talk(self, node: Node, peer: Peer) -> tuple[IConnection, Any]:
        """
        @return: A new connection, and a stream on which a word went there and back.
        """
        connection = await node.transport.connect(PEER.verifying_key, peer.addresses, ALPN)
        stream = cast(Any, await connection.open_stream(opening()))
        stream.transport.write(b"hello")
        await stream.until_received(5)
        return connection, stream

    async def test_thousand_connections(self) -> None:
        """
        A thousand connections, opened, used and closed, leave nothing behind on either side.
        """
        if not Path("/proc/self/statm").exists():
            raise SkipTest("memory is read from /proc")
        node, peer = await self.start(ALICE), await self.peer()

        async def use(count: int) -> None:
            for _ in range(count):
                connection, stream = await self.talk(node, peer)
                stream.transport.loseWriteConnection()
                self.assertIs(await stream.until_lost(), ConnectionDone)
                await connection.close("done")

        async def crowd(count: int) -> None:
            await gatherResults([Deferred.fromCoroutine(use(count // 20)) for _ in range(20)])
            await self.sleep(1)

        await crowd(200)
        before = [holdings(), await peer.holdings()]
        await crowd(1000)
        for _ in range(25):  # a lost packet may delay the end of a connection until silence is noticed
            after = [holdings(), await peer.holdings()]
            more = [
                {what: now[what] - then[what] for what in now if what != "memory" and now[what] > then[what]}
                for then, now in zip(before, after, strict=True)
            ]
            if not any(more):
                break
            await self.sleep(1)
        self.assertEqual(more, [{}, {}], (before, after))
        for then, now in zip(before, after, strict=True):
            self.assertLess(now["memory"] - then["memory"], 4096, (before, after))

    async def test_killed(self) -> None:
        """
        A node that is killed is noticed in time, with a reason, and nothing looks finished.
        """
        node, peer = await self.start(ALICE), await self.peer()
        connection, stream = await self.talk(node, peer)
        begun = time.monotonic()
        await peer.kill()
        self.assertIs(await stream.until_lost(), ConnectionLost)
        await connection.closed
        self.assertLess(time.monotonic() - begun, 36)
        self.assertFalse(stream.ended)
        self.assertIn("Nothing was heard", str(stream.lost.value))

    async def test_restarted_elsewhere(self) -> None:
        """
        A node that was killed and started again on another port is reached there at once, though its old connection
        still looks alive.
        """
        node, first = await self.start(ALICE), await self.peer()
        connection, stream = await self.talk(node, first)
        await first.kill()
        second = await self.peer()
        second.addresses = [*first.addresses, *second.addresses]
        begun = time.monotonic()
        await self.talk(node, second)
        self.assertLess(time.monotonic() - begun, 3)
        self.assertIs(await stream.until_lost(), ConnectionLost)
        await connection.closed

    async def test_restarted_in_place(self) -> None:
        """
        The same on the same port.
        """
        node, first = await self.start(ALICE), await self.peer()
        await self.talk(node, first)
        await first.kill()
        second = await self.peer(str(cast(IrohAddress, first.addresses[0]).port))
        begun = time.monotonic()
        await self.talk(node, second)
        self.assertLess(time.monotonic() - begun, 3)

    async def test_living_connections_stay(self) -> None:
        """
        While a node cannot be reached at one address, its connections that work are left alone.
        """
        node, peer = await self.start(ALICE), await self.peer()
        connection, stream = await self.talk(node, peer)
        stranger = await self.start(SigningKey(b"\x08" * 32))
        attempt = node.transport.connect(PEER.verifying_key, stranger.transport.addresses(), ALPN)
        attempt.addErrback(lambda failure: None)
        await self.sleep(1.5)
        attempt.cancel()
        stream.transport.write(b"still there")
        await stream.until_received(16)
        await connection.close("done")

    async def test_calls_back(self) -> None:
        """
        A node that was killed and started again can call us while we still believe in its old connection.
        """
        node = await self.start(ALICE, bind=["127.0.0.1:0", "[::1]:0"])
        node.offered = [ALPN]
        where = str(node.transport.addresses()[0])
        peer = await self.peer("0", ALICE.verifying_key.raw.hex(), where)
        old = await node.accepted.get()
        inbox: Inbox = Inbox(Recorder)
        old.accept_streams(inbox)
        await (await inbox.next()).until_received(5)
        await peer.kill()
        begun = time.monotonic()
        await self.peer("0", ALICE.verifying_key.raw.hex(), where)
        new = await node.accepted.get()
        new.accept_streams(inbox)
        await (await inbox.next()).until_received(5)
        self.assertLess(time.monotonic() - begun, 5)
