"""
Catching up with Rust nodes: nothing is lost in either direction, and what is stored is the same to the byte.
"""

from __future__ import annotations

from tests.interop.case import FORMS, InteropTestCase
from tests.interop.rust import Kind


class CatchUpTests(InteropTestCase):
    """
    Operations that were there before the nodes met.
    """

    async def _from_rust(self, kind: Kind, count: int) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        if kind == "peer":
            await rust.ask("created", "create", patience=60.0, topic=topic, count=count, size=100)
        await rust.open(topic)
        if kind == "node":
            await rust.flood(topic, count)
        node = await self.python()
        await self.join(node, rust, topic)
        took = await self.until_count(count, topic, node)
        self.figure(f"{count} from a {kind}", seconds=took)
        await self.assert_same(topic, node, rust, count=count)

    async def _to_rust(self, kind: Kind, count: int) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        await rust.open(topic)
        node = await self.python()
        stream = node.stream(topic, FORMS[kind])
        await self.publish(stream, count)
        await self.join(node, rust, topic)
        took = await self.until_count(count, topic, rust, patience=120.0)
        self.figure(f"{count} to a {kind}", seconds=took, sessions=rust.sessions, memory=await rust.memory())
        self.assertEqual(rust.losses, [])
        await self.until_live(node, topic, rust)
        await self.assert_same(topic, node, rust, count=count)

    async def _both_ways(self, kind: Kind, count: int) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        await rust.open(topic)
        await rust.flood(topic, count)
        node = await self.python()
        await self.publish(node.stream(topic, FORMS[kind]), count)
        await self.join(node, rust, topic)
        took = await self.until_count(2 * count, topic, node, rust, patience=60.0)
        self.figure(f"{count} each way with a {kind}", seconds=took)
        await self.until_live(node, topic, rust)
        await self.assert_same(topic, node, rust, count=2 * count)

    async def test_thousand_from_a_peer(self) -> None:
        """
        A thousand operations of a program like upstream's chat arrive.
        """
        await self._from_rust("peer", 1000)

    async def test_thousand_from_a_node(self) -> None:
        """
        A thousand operations of the high-level Node arrive.
        """
        await self._from_rust("node", 1000)

    async def test_thousand_to_a_peer(self) -> None:
        """
        A program like upstream's chat gets a thousand of our operations.
        """
        await self._to_rust("peer", 1000)

    async def test_thousand_to_a_node(self) -> None:
        """
        The high-level Node gets a thousand of our operations.
        """
        await self._to_rust("node", 1000)

    async def test_thousand_each_way_with_a_peer(self) -> None:
        """
        Both sides have a thousand operations that the other lacks.
        """
        await self._both_ways("peer", 1000)

    async def test_thousand_each_way_with_a_node(self) -> None:
        """
        The same with the high-level Node.
        """
        await self._both_ways("node", 1000)

    async def test_twenty_thousand_from_a_peer(self) -> None:
        """
        Twenty thousand operations arrive in one session.
        """
        await self._from_rust("peer", 20_000)

    async def test_twenty_thousand_to_a_peer(self) -> None:
        """
        Twenty thousand operations reach a receiver that would lose them if they came at once.
        """
        await self._to_rust("peer", 20_000)

    async def test_three_thousand_to_a_node(self) -> None:
        """
        Three thousand operations reach the high-level Node, which is slower and loses more.
        """
        await self._to_rust("node", 3000)

    async def test_large_operations_each_way(self) -> None:
        """
        Six megabytes each way at the same time, several times what a stream takes unread: neither side waits for the other.
        """
        topic = self.new_topic()
        rust = await self.rust("peer")
        await rust.ask("created", "create", topic=topic, count=60, size=100_000)
        await rust.open(topic)
        node = await self.python()
        await self.publish(node.stream(topic, FORMS["peer"]), 60, 100_000)
        await self.join(node, rust, topic)
        took = await self.until_count(120, topic, node, rust)
        self.figure("6 MB each way with a peer", seconds=took)
        await self.assert_same(topic, node, rust, count=120)
