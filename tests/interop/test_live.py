"""
Living with Rust nodes: live operations, restarts, several topics, Python between two Rust nodes.
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults, maybeDeferred

from p2panda_tw.core.topic import Topic
from p2panda_tw.node import Node
from p2panda_tw.stream import Stream
from tests.interop.case import FORMS, InteropTestCase
from tests.interop.rust import Kind, RustNode, free_port


class LiveTests(InteropTestCase):
    """
    What is published while the nodes are connected.
    """

    async def _both_ways(self, kind: Kind) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind, quiet=False)
        await rust.open(topic)
        node = await self.python()
        stream = await self.join(node, rust, topic)
        await self.until_live(node, topic, rust)

        # One at a time, there and back.
        messages = stream.subscribe().__aiter__()
        started = self.now()
        for number in range(50):
            await rust.publish(topic, f"there {number}")
            self.assertEqual((await messages.__anext__()).value, f"there {number}")
            heard = (
                rust.next("operation", body=f"back {number}")
                if kind == "peer"
                else rust.next("processed", message=f"back {number}")
            )
            await stream.publish(f"back {number}")
            await heard
            self.assertEqual((await messages.__anext__()).value, f"back {number}")
        self.figure(f"50 round trips with a {kind}", seconds=self.now() - started)

        # Many at once, both sides at the same moment.
        started = self.now()
        flooding = self.start(rust.flood(topic, 1500))
        await self.publish(stream, 1500)
        await flooding
        await self.until_count(3100, topic, node, rust, patience=60.0)
        self.figure(f"1500 live each way with a {kind}", seconds=self.now() - started)
        await self.until_live(node, topic, rust)
        await self.assert_same(topic, node, rust, count=3100)

    async def test_live_with_a_peer(self) -> None:
        """
        Messages come and go one by one and in bursts, and none is lost.
        """
        await self._both_ways("peer")

    async def test_live_with_a_node(self) -> None:
        """
        The same with the high-level Node.
        """
        await self._both_ways("node")

    async def test_several_topics(self) -> None:
        """
        Several topics are shared with one Node, and each keeps to itself.
        """
        rust = await self.rust("node")
        node = await self.python()
        topics = [self.new_topic() for _ in range(4)]
        for number, topic in enumerate(topics):
            await rust.open(topic)
            await rust.flood(topic, 100 + number)
            stream = await self.join(node, rust, topic)
            await self.publish(stream, 50 + number)
        for number, topic in enumerate(topics):
            await self.until_count(150 + 2 * number, topic, node, rust)
        for number, topic in enumerate(topics):
            await self.until_live(node, topic, rust)
            await rust.publish(topic, "more")
            await self.until_count(151 + 2 * number, topic, node)
            await self.assert_same(topic, node, rust, count=151 + 2 * number)


class PruneTests(InteropTestCase):
    """
    What we delete is deleted at a Rust Node, too.
    """

    async def test_prune(self) -> None:
        """
        A snapshot replaces what was before it: at a Node that is connected, and at one that comes later.
        """
        topic = self.new_topic()
        first, second = await self.rust("node"), await self.rust("node")
        node = await self.python()
        await first.open(topic)
        stream = await self.join(node, first, topic)
        await self.publish(stream, 20)
        await self.until_count(20, topic, first)
        await stream.prune("snapshot")
        await stream.publish("afterwards")

        async def has_two(rust: RustNode) -> bool:
            return await rust.count(topic) == 2

        await self.until("the first Node has pruned", lambda: has_two(first))
        await second.open(topic)
        await self.join(node, second, topic)
        await self.until("the second Node has the rest", lambda: has_two(second))
        await self.publish(stream, 3)
        await self.until_count(5, topic, node, first, second)
        stored = await self.assert_same(topic, node, first, second, count=5)
        self.assertEqual(sorted(seq_num for _, seq_num in stored), [20, 21, 22, 23, 24])


class RestartTests(InteropTestCase):
    """
    Either side goes away in the middle and comes back.
    """

    async def _restart_rust(self, kind: Kind, same_port: bool) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        await rust.open(topic)
        await rust.flood(topic, 1000)
        node = await self.python()
        await self.publish(node.stream(topic, FORMS[kind]), 1000)
        stream = await self.join(node, rust, topic)
        await self.until_count(1300, topic, node)
        await rust.kill()

        again = await self.rust(again=rust, port=None if same_port else free_port())
        await again.open(topic)
        started = self.now()
        if not same_port:
            await self.join(node, again, topic)
        await again.flood(topic, 100)
        await self.publish(stream, 100)
        await self.until_count(2200, topic, node, again, patience=90.0)
        self.figure(f"{kind} restarted on {'the same' if same_port else 'another'} port", seconds=self.now() - started)
        await self.until_live(node, topic, again)
        await self.assert_same(topic, node, again, count=2200)

    async def _restart_python(self, kind: Kind, same_port: bool) -> None:
        topic = self.new_topic()
        rust = await self.rust(kind)
        await rust.open(topic)
        await rust.flood(topic, 5000 if kind == "peer" else 1000)
        count = 6000 if kind == "peer" else 2000
        directory, port = self.new_directory(), free_port()
        node = await self.python(directory, port=port)
        await self.publish(node.stream(topic, FORMS[kind]), 1000)
        await self.join(node, rust, topic)
        await self.until_count(1300, topic, node)
        await maybeDeferred(node.stopService)

        # It remembers whom it shared the topic with, and where that node is.
        node = await self.python(directory, port=port if same_port else free_port())
        stream = node.stream(topic, FORMS[kind])
        started = self.now()
        await rust.flood(topic, 100)
        await self.publish(stream, 100)
        await self.until_count(count + 200, topic, node, rust, patience=90.0)
        self.figure(f"Python restarted beside a {kind}", seconds=self.now() - started)
        await self.until_live(node, topic, rust)
        await self.assert_same(topic, node, rust, count=count + 200)

    async def test_peer_on_the_same_port(self) -> None:
        """
        A Rust peer that crashed in the middle of a catch-up gets the rest after it came back.
        """
        await self._restart_rust("peer", True)

    async def test_peer_on_another_port(self) -> None:
        """
        The same, and it comes back at another address.
        """
        await self._restart_rust("peer", False)

    async def test_node_on_the_same_port(self) -> None:
        """
        The same with the high-level Node.
        """
        await self._restart_rust("node", True)

    async def test_node_on_another_port(self) -> None:
        """
        The same with the high-level Node at another address.
        """
        await self._restart_rust("node", False)

    async def test_python_on_the_same_port(self) -> None:
        """
        Our node stops in the middle of a catch-up and goes on after it was started again.
        """
        await self._restart_python("peer", True)

    async def test_python_on_another_port(self) -> None:
        """
        The same with the high-level Node on the other side, and our node comes back at another address.
        """
        await self._restart_python("node", False)


class BetweenTests(InteropTestCase):
    """
    Two Rust nodes that know only our node.
    """

    async def _between(self, kind: Kind, count: int) -> None:
        topic = self.new_topic()
        rust = [await self.rust(kind) for _ in range(2)]
        node = await self.python()
        for one in rust:
            await one.open(topic)
        await rust[0].flood(topic, count)  # before they meet
        streams: list[Stream] = [await self.join(node, one, topic) for one in rust]
        await self._until_live(node, rust, topic)
        started = self.now()
        await gatherResults([self.start(one.flood(topic, count)) for one in rust])  # live, at the same time
        await self.publish(streams[0], count)
        await self.until_count(4 * count, topic, node, *rust, patience=90.0)
        self.figure(f"{count} from each of three, two of them {kind}s", seconds=self.now() - started)
        await self._until_live(node, rust, topic)
        await self.assert_same(topic, node, *rust, count=4 * count)

    async def _until_live(self, node: Node, rust: list[RustNode], topic: Topic) -> None:
        for one in rust:
            await self.until_live(node, topic, one)

    async def test_between_peers(self) -> None:
        """
        Each of two Rust peers gets what the other one publishes, through us.
        """
        await self._between("peer", 800)

    async def test_between_nodes(self) -> None:
        """
        The same with two high-level Nodes.
        """
        await self._between("node", 400)
