"""
A hostile client against our node while a Rust node is connected: nothing wedges, and nothing wrong is stored or passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from iroh import IrohError

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import RawOperation, build_header
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.node import Node
from p2panda_tw.transport.iroh.bridge import Bridge, open_bridge
from tests.interop import raw
from tests.interop.case import FORMS, InteropTestCase
from tests.interop.raw import DONE, LIVE, OPERATION, Log, RawConnection, RawNode, RawStream, frame
from tests.interop.rust import Kind, RustNode, free_port, reactor

Fault = Literal["garbage", "fin", "reset", "stop", "close", "leave"]

FAULTS: Final[tuple[Fault, ...]] = ("garbage", "fin", "reset", "stop", "close", "leave")

FATAL: Final = frozenset(
    (
        "signature",
        "tag before the header",
        "byte behind the header",
        "no header",
        "extensions",
        "no extensions",
    )
)
"""
What no honest node passes on, because it is no operation of this form at all: the session ends. Of the rest of
L{wrong_operations} only the operation is refused.
"""

FAST: Final = 0.2
"""
Seconds that the hostile client waits for an answer to what need not be answered.
"""


def wrong_operations(topic: Topic, form: Form) -> dict[str, list[RawOperation]]:
    """
    @return: By name what must not be stored: the last of each list. The others are good.
    """
    found: dict[str, list[RawOperation]] = {}

    def log() -> tuple[Log, RawOperation]:
        one = Log(topic, form)
        return one, one.next("good")

    def forged(one: Log, **changed: object) -> RawOperation:
        body = one.body("wrong")
        fields: dict[str, object] = {
            "body": body,
            "seq_num": len(one.headers),
            "backlink": one.headers[-1].hash if one.headers else None,
            "extensions": one.extensions(),
        }
        header = build_header(one.key, **{**fields, **changed})  # type: ignore[arg-type]  # fields by name
        return RawOperation(header.raw, body)

    one, good = log()
    right = forged(one)
    found["signature"] = [
        good,
        RawOperation(right.header[:50] + bytes((right.header[50] ^ 1,)) + right.header[51:], right.body),
    ]
    found["tag before the header"] = [good, RawOperation(b"\xc1" + right.header, right.body)]
    found["byte behind the header"] = [good, RawOperation(right.header + b"\x00", right.body)]
    found["no header"] = [good, RawOperation(b"", right.body)]
    one, good = log()
    found["backlink"] = [good, forged(one, backlink=Hash.of(b"something else"))]
    one, good = log()
    found["gap"] = [good, forged(one, seq_num=5, backlink=Hash.of(b"the one before"))]
    one, good = log()
    found["fork"] = [good, forged(one, seq_num=0, backlink=None)]
    one, good = log()
    right = forged(one)
    found["other body"] = [good, RawOperation(right.header, one.body("wrung"))]
    found["longer body"] = [good, RawOperation(right.header, one.body("wrong and longer"))]
    one, good = log()
    found["empty body"] = [good, RawOperation(forged(one, body=None).header, b"")]
    one, good = log()
    other = one.extensions(Topic(b"\x07" * 32)) if form is Form.NODE else Log(topic, Form.NODE).extensions()
    found["foreign topic" if form is Form.NODE else "extensions"] = [good, forged(one, extensions=other)]
    if form is Form.NODE:
        one, good = log()
        found["no extensions"] = [good, forged(one, extensions=None)]
        one, good = log()
        found["prune at the tip"] = [good, forged(one, seq_num=0, backlink=None, extensions=one.extensions(prune=True))]
    return found


class HostileTests(InteropTestCase):
    """
    Our node has a Rust node on one side and somebody who does everything wrong on the other.
    """

    async def _stage(self, kind: Kind) -> tuple[Topic, RustNode, Node, Bridge]:
        topic = self.new_topic()
        rust = await self.rust(kind, quiet=False)
        await rust.open(topic)
        node = await self.python(port=(port := free_port()))
        self.port = port
        await self.join(node, rust, topic)
        await self.until_live(node, topic, rust)
        bridge = await open_bridge(reactor)
        self.addCleanup(bridge.close)
        self.complaints: list[dict[str, Any]] = []
        bridge.loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.addCleanup(bridge.loop.set_exception_handler, None)
        return topic, rust, node, bridge

    async def _raw(self, bridge: Bridge) -> RawNode:
        client = RawNode(bridge, SigningKey.generate())
        self.client_address = await client.run(client.bind())
        self.addCleanup(lambda: client.run(client.close()))
        return client

    # Wrong operations.

    async def _wrong_operations(self, kind: Kind) -> None:
        topic, rust, node, bridge = await self._stage(kind)
        client = await self._raw(bridge)
        good: set[bytes] = set()
        wrong: set[bytes] = set()

        async def offer(operations: list[RawOperation], live: bool, patience: float) -> bool:
            connection = await client.dial(node.node_id, self.port)
            try:
                stream = await connection.catch_up(Log(topic, FORMS[kind]), [] if live else operations)
                if live:
                    await stream.write(b"".join(raw.operation(LIVE, one) for one in operations))
            except (IrohError, EOFError):
                pass  # it was ended in the middle
            ended = await connection.closed(patience) is not None
            connection.close()
            return ended

        for live in (False, True):
            for name, operations in wrong_operations(topic, FORMS[kind]).items():
                good |= {one.header for one in operations[:-1]}
                wrong.add(operations[-1].header)
                ended = await client.run(offer(operations, live, 10.0 if name in FATAL else FAST))
                self.assertEqual(ended, name in FATAL, f"{name}, {'live' if live else 'catch-up'}")
        # What was right before the wrong one was stored and passed on, and nothing else.
        await self.until_count(len(good), topic, node, rust)
        await rust.publish(topic, "still here")
        await self.until_count(len(good) + 1, topic, node)
        stored = await self.assert_same(topic, node, rust, count=len(good) + 1)
        headers = {bytes.fromhex(header) for header, _ in stored.values()}
        self.assertEqual((good - headers, wrong & headers - good), (set(), set()))
        if kind == "peer":
            told = {event["hash"] for event in rust.events if event["event"] == "operation"}
            self.assertEqual(told - {Hash.of(header).hex() for header in headers}, set())
        self.assertEqual(rust.losses, [])

    async def test_wrong_operations_in_the_chat_form(self) -> None:
        """
        Forged, damaged and misplaced operations end at our node.
        """
        await self._wrong_operations("peer")

    async def test_wrong_operations_in_the_node_form(self) -> None:
        """
        The same in the form of the high-level Node.
        """
        await self._wrong_operations("node")

    # Broken streams and connections.

    def _script(self, connection: RawConnection, log: Log, initiate: bool) -> list[Callable[[], Awaitable[None]]]:
        """
        A whole session in steps; the last step of each message is its second half.
        """
        self.stream: RawStream | None = None
        steps: list[Callable[[], Awaitable[None]]] = []

        async def open_stream() -> None:
            self.stream = await (connection.open() if initiate else connection.accepted())

        async def read() -> None:
            assert self.stream is not None
            await self.stream.read_frame()

        def write(data: bytes) -> None:
            async def part(some: bytes) -> None:
                assert self.stream is not None
                await self.stream.write(some)

            half = len(data) // 2
            steps.append(lambda: part(data[:half]))
            steps.append(lambda: part(data[half:]))

        operations = [log.next(f"number {number}") for number in range(3)]
        steps.append(open_stream)
        if initiate:
            write(raw.topic_message(log.topic))
            steps.append(read)
            write(frame(raw.HANDSHAKE_DONE))
        else:
            steps.append(read)
            write(frame(raw.HANDSHAKE_DONE))
            steps.append(read)
        steps.append(open_stream)
        write(raw.have(log.heights))
        write(raw.pre_sync(2, 600))
        write(raw.operation(OPERATION, operations[0]))
        write(raw.operation(OPERATION, operations[1]))
        write(frame(DONE))
        write(raw.operation(LIVE, operations[2]))
        return steps

    async def _break(
        self, connection: RawConnection, steps: list[Callable[[], Awaitable[None]]], after: int, fault: Fault
    ) -> None:
        try:
            for step in steps[:after]:
                await step()
            stream = self.stream
            if fault == "close":
                connection.close(7, b"enough")
            elif fault == "leave" or stream is None:
                pass  # nothing more, and then the end of the connection
            elif fault == "garbage":
                await stream.write(b"\xff" * 2000)
            elif fault == "fin":
                await stream.sending.finish()
            elif fault == "reset":
                await stream.sending.reset(7)
            elif fault == "stop":
                await stream.receiving.stop(9)
            await connection.closed(FAST)
        except IrohError:
            pass  # our node was faster
        connection.close()

    async def _broken(self, kind: Kind, initiate: bool) -> None:
        topic, rust, node, bridge = await self._stage(kind)
        form = FORMS[kind]
        count = 0
        stages = len(self._script(RawConnection(None), Log(topic, form), initiate))  # type: ignore[arg-type]  # not used
        logs: list[Log] = []
        for after in range(stages + 1):
            for fault in FAULTS:
                client = await self._raw(bridge)
                log = Log(topic, form)
                logs.append(log)

                async def play(
                    client: RawNode = client, log: Log = log, after: int = after, fault: Fault = fault
                ) -> None:
                    connection = await (client.dial(node.node_id, self.port) if initiate else client.accept())
                    await self._break(connection, self._script(connection, log, initiate), after, fault)

                played = client.run(play())
                if not initiate:
                    ticket = Ticket(node_id=client.node_id, topic=topic, form=form, addresses=[self.client_address])
                    await node.join(ticket)
                await played
                if not initiate:
                    node.sync.remove_peer(topic, client.node_id)
                await client.run(client.close())
                count += 1
        # Our node is still there for others, and what came in whole is everywhere.
        await rust.publish(topic, "still here")
        client = await self._raw(bridge)
        log = Log(topic, form)

        async def honest() -> None:
            connection = await client.dial(node.node_id, self.port)
            await connection.catch_up(log, [log.next("honest")])
            await connection.closed(FAST)
            connection.close()

        await client.run(honest())
        keys = {str(log.key.verifying_key) for log in logs}
        await self.until_live(node, topic, rust)
        stored = await self.stored_here(node, topic)
        await self.until_count(len(stored), topic, rust)
        stored = await self.assert_same(topic, node, rust, count=len(stored))
        self.assertIn((str(log.key.verifying_key), 0), stored)
        made = {header.raw.hex() for log in logs for header in log.headers}
        self.assertEqual(
            [one[0][:8] for position, one in stored.items() if position[0] in keys and one[0] not in made], []
        )
        self.assertEqual(self.complaints, [])  # of the loop that iroh runs in
        self.figure(f"{count} broken sessions beside a {kind}", stored=len(stored))

    async def test_broken_sessions_that_are_dialled(self) -> None:
        """
        A client that dials us and stops in every conceivable way, at every point, harms nobody.
        """
        await self._broken("peer", True)

    async def test_broken_sessions_that_we_dial(self) -> None:
        """
        The same with nodes that we dial.
        """
        await self._broken("node", False)

    # Bursts.

    async def _wedged(self, kind: Kind, burst: int, count: int) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        await rust.open(topic)
        bridge = await open_bridge(reactor)
        self.addCleanup(bridge.close)
        client = await self._raw(bridge)

        async def flood() -> None:
            log = Log(topic, FORMS[kind])
            connection = await client.dial(rust.node_id, rust.port)
            await connection.catch_up(log, [log.next("burst " * 3) for _ in range(burst)])
            await asyncio.sleep(1.0)
            connection.close()

        await client.run(flood())
        self.assertLess(await rust.count(topic), burst)

        node = await self.python()
        await self.publish(node.stream(topic, FORMS[kind]), count)
        await self.join(node, rust, topic)

        async def has_all() -> bool:
            return await rust.count(topic, node.node_id) == count

        took = await self.until("everything has arrived", has_all, 120.0)
        self.figure(f"{count} to a wedged {kind}", seconds=took, sessions=rust.sessions, memory=await rust.memory())
        here, there = await self.stored_here(node, topic), await rust.dump(topic)
        self.assertEqual([at for at in there if at in here and there[at] != here[at]], [])

    async def test_wedged_peer(self) -> None:
        """
        A topic that somebody else has wedged by a burst at the Rust side comes to life again.
        """
        await self._wedged("peer", 4000, 20_000)

    async def test_wedged_node(self) -> None:
        """
        The same with the high-level Node.
        """
        await self._wedged("node", 3000, 3000)
