"""
What tests of the iroh transport share: nodes on the loopback interfaces of this machine, and the way to the wheel's own
objects below them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.errors import ConfigurationError
from tests.transport.contract import ALICE, BOB, CHAT, Inbox, Node, PlainRecorder, Recorder, opening

if TYPE_CHECKING:
    from p2panda_tw.transport.iroh.connection import IrohConnection

try:
    from p2panda_tw.transport.iroh import IrohTransport
except ConfigurationError as error:
    NO_IROH: str | None = str(error)
else:
    NO_IROH = None

LOOPBACK = ("127.0.0.1:0", "[::1]:0")


class IrohCase(TestCase):
    """
    Starts nodes and stops them at the end.
    """

    skip = NO_IROH
    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        @return: Fires after a while.
        """
        return cast("Deferred[None]", deferLater(self.reactor, seconds, lambda: None))

    async def start(self, key: SigningKey, **options: Any) -> Node:
        """
        @return: A node that listens and is stopped after the test.
        """
        options.setdefault("bind", LOOPBACK)
        node = Node(IrohTransport(self.reactor, key, **options), key)
        await node.listen()
        self.addCleanup(node.transport.stop)
        return node

    async def join(self, dialler: Node, acceptor: Node) -> tuple[IrohConnection, IrohConnection]:
        """
        @return: Both ends of a new connection.
        """
        there = acceptor.accepted.get()
        here = await dialler.transport.connect(acceptor.node_id, acceptor.transport.addresses(), CHAT)
        return cast("IrohConnection", here), cast("IrohConnection", await there)

    async def pair(self) -> tuple[IrohConnection, IrohConnection]:
        """
        @return: A connection from Alice to Bob: her end, his end.
        """
        return await self.join(await self.start(ALICE), await self.start(BOB))

    async def streams(
        self,
        opener: Callable[[], IProtocol] = Recorder,
        acceptor: Callable[[], PlainRecorder] = Recorder,
        one_way: bool = False,
    ) -> tuple[Any, Any]:
        """
        @return: Both ends of a stream that Alice opened to Bob, announced by the byte C{!}.
        """
        alice, bob = await self.pair()
        inbox = Inbox(acceptor)
        bob.accept_streams(inbox)
        here = cast(Any, await alice.open_stream(opening(opener), one_way))
        here.transport.write(b"!")
        return here, await inbox.next()


def below(connection: IrohConnection, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine that uses the wheel's own connection, C{connection.link.raw}, on the loop.
    """
    return connection._bridge.run(coroutine)
