"""
Tests for L{p2panda_tw.node}, L{p2panda_tw.stream}, L{p2panda_tw.subscription} and L{p2panda_tw.open_topic}: nodes as an
application uses them, without sockets and threads.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from p2panda_tw.codec import CBOR
from p2panda_tw.config import Config, PeerConfig, TopicConfig
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.errors import (
    ConfigurationError,
    DecodeError,
    LocalProtocolError,
    LogNotConfirmed,
    NodeStopped,
    StoreError,
)
from p2panda_tw.identity_file import export_identity, import_identity
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.node import DATABASE_FILE, Node
from p2panda_tw.open_topic import CONFIRMATION_TIMEOUT, MAX_MET
from p2panda_tw.stream import Stream
from p2panda_tw.subscription import (
    EVENT_QUEUE_LENGTH,
    MESSAGES_PER_TURN,
    DecodeFailed,
    Lagged,
    Message,
    Start,
    Subscription,
)
from p2panda_tw.sync.events import SyncFinished, SyncStarted
from tests.nodes import NodeTestCase

TOPIC = Topic(bytes(range(32)))


@implementer(INodeTransport)
class LateTransport:
    """
    Takes its time to listen.

    @ivar listening: Fires when the test lets it.
    @ivar is_asked: It was told to listen.
    @ivar is_stopped: It was told to stop.
    """

    name = "late"

    def __init__(self) -> None:
        self.listening: Deferred[None] = Deferred()
        self.is_asked = self.is_stopped = False

    def listen(self, accept: object, offered: object) -> Deferred[None]:
        self.is_asked = True
        return self.listening

    def reaches(self, address: object) -> bool:
        return False

    def connect(self, node_id: object, addresses: object, alpn: bytes) -> Deferred[Any]:
        raise NotImplementedError("It reaches nothing.")

    def addresses(self) -> tuple[()]:
        return ()

    def watch(self, changed: object) -> None:
        pass

    def stop(self) -> Deferred[None]:
        self.is_stopped = True
        return succeed(None)


async def take(subscription: Subscription, count: int) -> list[Any]:
    """
    @return: The values of so many messages.
    """
    return [(await anext(subscription)).value for _ in range(count)]


class SharingTests(NodeTestCase):
    """
    Two or three nodes and a topic.
    """

    def test_both_ways(self) -> None:
        """
        What one publishes the other one reads, from before they met and after.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic("ours"))
        of_alice = alice.stream(topic)
        self.wait(of_alice.publish("before"))
        of_bob = self.wait(bob.join(alice.ticket(topic)))
        reading = of_bob.subscribe()
        self.assertEqual(self.run_(take(reading, 1)), ["before"])
        self.wait(of_alice.publish("after"))
        self.assertEqual(self.run_(take(reading, 1)), ["after"])
        self.wait(of_bob.publish("back"))
        self.assertEqual(self.run_(take(of_alice.subscribe(), 3)), ["before", "after", "back"])

    def test_message(self) -> None:
        """
        A message says who published it, and when by the author's clock.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        operation = self.wait(alice.stream(topic).publish({"n": 1}))
        message = self.run_(anext(self.wait(bob.join(alice.ticket(topic))).subscribe()))
        self.assertEqual(
            message,
            Message(
                value={"n": 1},
                author=alice.node_id,
                timestamp=operation.timestamp,
                operation=operation,
                arrival=1,
            ),
        )

    def test_through_the_middle(self) -> None:
        """
        Nodes that never meet get everything through one that keeps the topic.
        """
        middle = self.started("middle")
        topic = self.wait(middle.new_topic())
        ticket = middle.ticket(topic)
        left, right = self.started("left"), self.started("right")
        of_left, of_right = self.wait(left.join(ticket)), self.wait(right.join(ticket))
        middle.stream(topic)
        self.wait(of_left.publish("to the right"))
        self.assertEqual(self.run_(take(of_right.subscribe(), 1)), ["to the right"])

    def test_offline_and_back(self) -> None:
        """
        What was published while one side was away is there when it is back.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        of_alice = alice.stream(topic)
        of_bob = self.wait(bob.join(alice.ticket(topic)))
        self.wait(of_alice.publish(1))
        self.assertEqual(self.run_(take(of_bob.subscribe(), 1)), [1])
        self.wait(bob.stopService())
        for value in range(2, 7):
            self.wait(of_alice.publish(value))
        bob.startService()
        self.assertEqual(self.run_(take(of_bob.subscribe("again"), 6)), [1, 2, 3, 4, 5, 6])

    def test_remembers_its_peers(self) -> None:
        """
        After a restart a node finds the nodes again that it met, and syncs the topics that it remembers.
        """
        alice = self.started("alice")
        topic = self.wait(alice.new_topic())
        of_alice = alice.stream(topic)
        first = self.started("bob")
        self.wait(first.join(alice.ticket(topic)))
        self.wait(first.stopService())
        second = self.started("bob", sync_remembered=True)
        self.wait(of_alice.publish("hello"))
        self.assertEqual(self.run_(take(second.stream(topic).subscribe(), 1)), ["hello"])

    def test_configured(self) -> None:
        """
        Topics and peers in the settings are kept without any stream.
        """
        alice = self.started("alice")
        of_alice = alice.stream(TOPIC)
        self.wait(of_alice.publish("kept"))
        keeper = self.started(
            "keeper",
            config=Config(
                data_directory=self.home / "keeper",
                topics=(TopicConfig(id=TOPIC, name="kept"),),
                peers=(PeerConfig(ticket=Ticket.decode(alice.ticket(TOPIC))),),
            ),
        )
        self.until(lambda: self.wait(keeper.newest_arrival(TOPIC)) == 1)
        self.assertEqual([record.name for record in self.wait(keeper.topics())], ["kept"])

    def test_chat_form(self) -> None:
        """
        A ticket leads into a topic of the chat form too: plain text, no time.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic(form=Form.CHAT))
        self.wait(alice.stream(topic, Form.CHAT).publish("hi\n"))
        message = self.run_(anext(self.wait(bob.join(alice.ticket(topic))).subscribe()))
        self.assertEqual((message.value, message.timestamp, message.operation.body), ("hi\n", None, b"hi\n"))

    def test_prune(self) -> None:
        """
        Pruning deletes what we published before, here and there; a snapshot may take its place.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        of_alice = alice.stream(topic)
        for value in range(5):
            self.wait(of_alice.publish(value))
        of_bob = self.wait(bob.join(alice.ticket(topic)))
        self.run_(take(of_bob.subscribe(), 5))
        self.wait(of_alice.prune("snapshot"))
        self.until(lambda: self.wait(bob.newest_arrival(topic)) == 6)
        self.assertEqual(self.run_(take(of_bob.subscribe(None), 1)), ["snapshot"])
        self.failed(alice.stream(TOPIC, Form.CHAT).prune(), LocalProtocolError)

    def test_events(self) -> None:
        """
        An application hears how syncing goes.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        self.wait(alice.stream(topic).publish(1))
        events = bob.stream(topic).events()
        self.wait(bob.join(alice.ticket(topic)))

        async def finished() -> object:
            async for event in events:
                if isinstance(event, SyncFinished):
                    return event
            return None

        event = self.run_(finished())
        self.assertEqual((event.node_id, event.metrics.received_operations), (alice.node_id, 1))

    def test_many_nodes(self) -> None:
        """
        Of nodes that turn up in a topic only so many are remembered and dialled at each start.
        """
        alice = self.started("alice", offline=True)
        self.wait(alice.stream(TOPIC).publish(1))
        opened = alice._open.get(TOPIC)
        assert opened is not None
        for number in range(MAX_MET + 10):
            node_id = SigningKey(number.to_bytes(32, "big")).verifying_key
            opened._heard(
                SyncStarted(
                    node_id=node_id,
                    session=number,
                    outgoing_operations=0,
                    outgoing_bytes=0,
                    incoming_operations=0,
                    incoming_bytes=0,
                )
            )
        self.assertEqual(len(self.wait(alice.store.topic_peers(TOPIC))), MAX_MET)

    def test_closing_ends_sync(self) -> None:
        """
        When the last stream of a topic is closed it is not synced any more; an earlier one changes nothing.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        alice.stream(topic)
        first = self.wait(bob.join(alice.ticket(topic)))
        second = bob.stream(topic)
        self.until(lambda: len(bob.endpoint.connections()) > 0)
        self.wait(first.close())
        self.assertNotEqual(bob.peer_states(topic), ())
        self.wait(second.close())
        self.until(lambda: not bob.endpoint.connections())
        self.failed(second.publish(1), LocalProtocolError)
        self.assertRaises(LocalProtocolError, second.subscribe)

    def test_flushed(self) -> None:
        """
        A node can be asked to wait until what it has is sent.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        of_alice = alice.stream(topic)
        self.assertTrue(self.wait(alice.flushed(topic, 1)))
        self.wait(bob.join(alice.ticket(topic)))
        self.wait(of_alice.publish(1))
        self.assertTrue(self.wait(alice.flushed(topic, 5)))


class SubscriptionTests(NodeTestCase):
    """
    Reading a topic.
    """

    def setUp(self) -> None:
        """
        A node with ten messages.
        """
        super().setUp()
        self.alice = self.started("alice")
        self.stream = self.alice.stream(TOPIC)
        for value in range(10):
            self.wait(self.stream.publish(value))

    def test_continues_where_it_was(self) -> None:
        """
        Asking for the next message acknowledges the one before; a later subscription of the same name goes on there.
        """
        self.assertEqual(self.run_(take(self.stream.subscribe("reader"), 4)), [0, 1, 2, 3])
        self.assertEqual(self.run_(take(self.stream.subscribe("reader"), 2)), [3, 4])
        self.assertEqual(self.run_(take(self.stream.subscribe("another"), 1)), [0])

    def test_continues_after_restart(self) -> None:
        """
        The acknowledgement survives a restart, and a stream that is open goes on being so.
        """
        reading = self.stream.subscribe("reader")
        self.run_(take(reading, 4))
        reading.acknowledge()
        self.wait(self.alice.stopService())
        self.alice.startService()
        self.assertEqual(self.run_(take(self.stream.subscribe("reader"), 1)), [4])

    def test_waits_through_a_restart(self) -> None:
        """
        Who waits for a message while the node is restarted gets it then.
        """
        reading = self.stream.subscribe("reader")
        self.run_(take(reading, 10))
        waiting = Deferred.fromCoroutine(take(reading, 1))
        self.wait(self.alice.stopService())
        self.assertNoResult(waiting)
        self.alice.startService()
        self.wait(self.stream.publish("new"))
        self.assertEqual(self.wait(waiting), ["new"])

    def test_from_the_beginning(self) -> None:
        """
        A subscription may start over, and is then where a new one would be.
        """
        self.run_(take(self.stream.subscribe("reader"), 4))
        self.assertEqual(self.run_(take(self.stream.subscribe("reader", Start.BEGINNING), 2)), [0, 1])
        self.assertEqual(self.run_(take(self.stream.subscribe("reader"), 1)), [1])

    def test_until(self) -> None:
        """
        A subscription may end behind an arrival number, here without a cursor.
        """

        async def everything() -> list[Any]:
            return [message.value async for message in self.stream.subscribe(None, until=7)]

        self.assertEqual(self.run_(everything()), list(range(7)))
        self.assertEqual(self.run_(everything()), list(range(7)))

    def test_cancel(self) -> None:
        """
        Cancelling ends the iteration, also for who waits.
        """
        reading = self.stream.subscribe(None)
        self.run_(take(reading, 10))

        async def rest() -> list[Any]:
            return [message.value async for message in reading]

        waiting = Deferred.fromCoroutine(rest())
        self.assertNoResult(waiting)
        reading.cancel()
        self.assertEqual(self.wait(waiting), [])

    def test_one_at_a_time(self) -> None:
        """
        Two cannot wait for the next message of one subscription.
        """
        reading = self.stream.subscribe(None)
        self.run_(take(reading, 10))
        first = Deferred.fromCoroutine(take(reading, 1))
        self.failureResultOf(Deferred.fromCoroutine(take(reading, 1)), LocalProtocolError)
        self.wait(self.stream.publish("x"))
        self.assertEqual(self.wait(first), ["x"])

    def test_gives_the_reactor_its_turn(self) -> None:
        """
        A reader who never waits does not keep the reactor busy without end.
        """
        for value in range(2 * MESSAGES_PER_TURN):
            self.wait(self.stream.publish(value))
        reading = Deferred.fromCoroutine(take(self.stream.subscribe(None), 2 * MESSAGES_PER_TURN))
        self.assertNoResult(reading)
        self.assertEqual(len(self.wait(reading)), 2 * MESSAGES_PER_TURN)

    def test_callback(self) -> None:
        """
        A callback gets one message after the other, and the next one when it is done with the last.
        """
        seen: list[Any] = []
        done: list[Deferred[None]] = []

        def callback(message: Message) -> Deferred[None]:
            seen.append(message.value)
            done.append(Deferred())
            return done[-1]

        delivery = self.stream.deliver(callback)
        self.until(lambda: bool(seen))
        self.assertEqual(seen, [0])
        done[-1].callback(None)
        self.until(lambda: len(seen) > 1)
        self.assertEqual(seen, [0, 1])
        delivery.cancel()
        done[-1].callback(None)
        self.assertEqual(self.run_(take(self.stream.subscribe(), 1)), [1])

    def test_nothing_is_left_of_readers(self) -> None:
        """
        A stream that is open for months lets go of every reader that has ended, however it did.
        """

        def fail(message: Message) -> None:
            raise ValueError("a mistake of the application")

        async def read_all() -> list[Any]:
            return [message.value async for message in self.stream.subscribe(None, until=1)]

        opened = self.alice._open.get(self.stream.topic)
        assert opened is not None
        before = len(opened._listeners), len(opened._watchers), len(self.stream._readers)
        for _ in range(3):
            self.assertEqual(self.run_(read_all()), [0])
            self.stream.subscribe("cancelled").cancel()
            self.stream.events().cancel()
            self.stream.deliver(fail, "failed")
            self.until(lambda: bool(self.flushLoggedErrors(ValueError)))
        self.assertEqual((len(opened._listeners), len(opened._watchers), len(self.stream._readers)), before)

    def test_callback_fails(self) -> None:
        """
        A callback that fails ends the delivery; the message is there for the next one.
        """

        def callback(message: Message) -> None:
            raise ValueError("broken subscriber")

        self.stream.deliver(callback)
        self.until(lambda: len(self.flushLoggedErrors(ValueError)) == 1)
        self.assertEqual(self.run_(take(self.stream.subscribe(), 1)), [0])

    def test_not_decodable(self) -> None:
        """
        A body that is no value of the codec is skipped and told of.
        """

        class Odd:
            def encode(self, value: Any) -> bytes:
                return bytes(CBOR.encode(value))

            def decode(self, body: bytes) -> Any:
                value = CBOR.decode(body)
                if value % 2:
                    raise DecodeError("An odd number.")
                return value

        stream = self.alice.stream(TOPIC, codec=Odd())
        events = stream.events()
        self.assertEqual(self.run_(take(stream.subscribe(None), 3)), [0, 2, 4])
        event = self.run_(anext(events))
        self.assertIsInstance(event, DecodeFailed)
        self.assertEqual((event.operation.seq_num, event.reason), (1, "An odd number."))

    def test_slow_reader_of_events(self) -> None:
        """
        Who reads events too slowly is told how many were left out.
        """
        events = self.stream.events()
        for number in range(EVENT_QUEUE_LENGTH + 3):
            events.add(number)

        async def read() -> list[object]:
            return [await anext(events) for _ in range(EVENT_QUEUE_LENGTH + 1)]

        self.assertEqual(self.run_(read()), [*range(EVENT_QUEUE_LENGTH), Lagged(3)])
        waiting = Deferred.fromCoroutine(anext(events))
        events.cancel()
        self.failureResultOf(waiting, StopAsyncIteration)


class LifeTests(NodeTestCase):
    """
    Starting, stopping, and what can go wrong.
    """

    def test_before_the_start(self) -> None:
        """
        A stream can be used before the node has started.
        """
        node = Node(
            self.reactor,
            Config(data_directory=self.home / "early"),
            transports=lambda key: [self.network.transport(key)],
        )
        self.nodes.append(node)
        publishing = node.stream(TOPIC).publish(1)
        self.assertNoResult(publishing)
        node.startService()
        self.assertEqual(self.wait(publishing).seq_num, 0)

    def test_stop_before_it_has_started(self) -> None:
        """
        Stopping a node that is still starting waits until nothing is left of that; then it can be started again.
        """
        ways = [LateTransport(), LateTransport()]
        first, second = ways
        node = Node(self.reactor, Config(data_directory=self.home / "late"), transports=lambda key: [ways.pop(0)])
        self.nodes.append(node)
        node.startService()
        started, leaving = node.when_started(), node.leave_topic(TOPIC)
        self.until(lambda: first.is_asked)
        stopping = node.stopService()
        self.reactor.advance(1)
        self.assertNoResult(stopping)
        first.listening.callback(None)
        self.wait(stopping)
        self.assertTrue(first.is_stopped)
        for waiting in (started, leaving):
            self.failed(waiting, NodeStopped)
        node.startService()
        self.until(lambda: second.is_asked)
        second.listening.callback(None)
        self.assertIs(self.wait(node.when_started()), node)

    def test_second_process(self) -> None:
        """
        A data directory serves one node at a time; the second one says so in a sentence.
        """
        self.started("alice")
        second = self.node("alice")
        stream = second.stream(TOPIC)
        failure = self.failed(second.when_started(), StoreError)
        self.assertIn("uses", failure.getErrorMessage())
        self.failed(stream.publish(1), StoreError)

    def test_stopped_in_the_answer(self) -> None:
        """
        A program may stop the node at once when it hears how the start went, and gets the sentence all the same.
        """

        async def use(node: Node) -> None:
            try:
                await node.when_started()
            finally:
                await node.stopService()

        self.started("alice")
        late = LateTransport()
        node = Node(self.reactor, Config(data_directory=self.home / "late"), transports=lambda key: [late])
        second = Node(self.reactor, Config(data_directory=self.home / "alice"), transports=lambda key: [])
        self.nodes += [node, second]
        using, failing = (Deferred.fromCoroutine(use(each)) for each in (node, second))
        second.startService()
        self.failed(failing, StoreError)
        self.assertEqual((second.running, list(second)), (0, []))
        node.startService()
        self.until(lambda: late.is_asked)
        late.listening.callback(None)
        self.wait(using)
        self.assertTrue(late.is_stopped)

    def test_other_form(self) -> None:
        """
        A topic keeps the form in which it was used first.
        """
        alice = self.started("alice")
        self.wait(alice.stream(TOPIC).close())
        stream = alice.stream(TOPIC, Form.CHAT)
        self.failed(stream.publish("x"), LocalProtocolError)
        self.assertRaises(LocalProtocolError, alice.stream, TOPIC, Form.NODE)

    def test_configured_form(self) -> None:
        """
        A topic in the settings with another form than before ends the start with a sentence that names the key.
        """
        alice = self.started("alice")
        self.wait(alice.stream(TOPIC).publish(1))
        self.wait(alice.stopService())
        topics = (TopicConfig(id=TOPIC, form=Form.CHAT),)
        failure = self.failed(
            self.node("alice", config=Config(data_directory=self.home / "alice", topics=topics)).when_started(),
            ConfigurationError,
        )
        self.assertIn("form of [[topic]] number 1", failure.getErrorMessage())

    def test_wrong_tickets(self) -> None:
        """
        A ticket of another network, without a topic, or damaged is refused.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        other = str(Ticket(node_id=alice.node_id, network_id=bytes(32), topic=topic))
        self.failed(bob.join(other), LocalProtocolError)
        self.failed(bob.join(alice.ticket()), LocalProtocolError)
        self.failed(bob.join(alice.ticket(topic)[:-3]), DecodeError)
        self.assertEqual(self.wait(bob.topics()), [])

    def test_unpublishable(self) -> None:
        """
        What cannot be published fails the Deferred, so that an errback hears of it: a value that cannot be encoded, a
        prune in the chat form, anything on a closed stream.
        """
        alice = self.started("alice")
        stream, chat = alice.stream(TOPIC), alice.stream(Topic(bytes(32)), Form.CHAT)
        self.failed(stream.publish(object()), LocalProtocolError)
        self.failed(stream.prune(object()), LocalProtocolError)
        self.failed(chat.prune(), LocalProtocolError)
        self.wait(stream.close())
        self.failed(stream.publish("x"), LocalProtocolError)

    def test_leave(self) -> None:
        """
        A topic that was left is not synced, but its data stays.
        """
        alice = self.started("alice", sync_remembered=True)
        topic = self.wait(alice.new_topic())
        stream = alice.stream(topic)
        self.wait(stream.publish("kept"))
        self.wait(alice.leave_topic(topic))
        self.assertEqual([record.is_left for record in self.wait(alice.topics())], [True])
        self.assertEqual(self.run_(take(stream.subscribe(None), 1)), ["kept"])
        self.assertEqual(alice.peer_states(topic), ())

    def test_forget(self) -> None:
        """
        A topic that was forgotten is gone with its data.
        """
        alice = self.started("alice", sync_remembered=True)
        topic = self.wait(alice.new_topic())
        stream = alice.stream(topic)
        self.wait(stream.publish("gone"))
        self.wait(alice.forget_topic(topic))
        self.assertEqual(self.wait(alice.topics()), [])
        self.failed(stream.publish("x"), LocalProtocolError)

    def test_offline(self) -> None:
        """
        A node without network works on its store.
        """
        alice = self.started("alice", offline=True)
        stream = alice.stream(TOPIC)
        self.wait(stream.publish(1))
        self.assertEqual(self.run_(take(stream.subscribe(), 1)), [1])
        self.assertEqual(self.wait(alice.status())["addresses"], [])

    def test_status(self) -> None:
        """
        A node tells how it is, without secrets.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic("ours"))
        alice.stream(topic)
        self.wait(self.wait(bob.join(alice.ticket(topic))).publish(1))
        self.until(lambda: [peer.status.value for peer in bob.peer_states(topic)] == ["live"])
        status = self.wait(bob.status())
        self.assertEqual(status["node_id"], bob.node_id.hex())
        self.assertEqual(status["topics"][0]["operations"], 1)
        self.assertEqual(status["topics"][0]["peers"][0]["node_id"], alice.node_id.hex())
        self.assertNotIn(topic.hex(), repr(status))


class LostStoreTests(NodeTestCase):
    """
    After the store was lost no position of an own log is used twice.
    """

    def lose_store(self, name: str) -> None:
        """
        Remove the database of a node that was stopped.
        """
        for suffix in ("", "-wal", "-shm"):
            path = self.home / name / (DATABASE_FILE + suffix)
            if path.exists():
                os.unlink(path)

    def meet(self) -> tuple[Node, Node, Topic]:
        """
        Two nodes that share a topic in which each has published.
        """
        alice, bob = self.started("alice"), self.started("bob")
        topic = self.wait(alice.new_topic())
        of_alice: Stream = alice.stream(topic)
        of_bob = self.wait(bob.join(alice.ticket(topic)))
        self.wait(of_alice.publish("a0"))
        self.wait(of_alice.publish("a1"))
        self.run_(take(of_bob.subscribe(), 2))
        return alice, bob, topic

    def test_gets_its_log_back(self) -> None:
        """
        Publishing waits for a finished session, which brings the own log back, and goes on behind it.
        """
        alice, bob, topic = self.meet()
        self.wait(alice.stopService())
        self.lose_store("alice")
        again = self.started("alice")
        self.assertTrue(again.store.must_confirm)
        self.assertTrue(self.wait(again.status())["must_confirm_own_logs"])
        stream = self.wait(again.join(bob.ticket(topic)))
        self.assertEqual(self.wait(stream.publish("a2")).seq_num, 2)
        self.assertFalse(self.wait(again.status())["must_confirm_own_logs"])
        self.wait(again.new_topic())
        self.assertFalse(self.wait(again.status())["must_confirm_own_logs"])

    def test_lost_once_more(self) -> None:
        """
        A copy of the store from before is recognised whenever it is put back, also when its topic had been confirmed
        after an earlier loss.
        """
        alice, bob, topic = self.meet()
        self.wait(alice.stopService())
        self.lose_store("alice")
        alice = self.started("alice")
        self.wait(self.wait(alice.join(bob.ticket(topic))).publish("a2"))
        self.wait(alice.stopService())
        database = self.home / "alice" / DATABASE_FILE
        copy = database.read_bytes()
        for position in (3, 4):
            alice = self.started("alice")
            self.assertEqual(self.wait(alice.stream(topic).publish("next")).seq_num, position)
            self.run_(take(bob.stream(topic).subscribe(None), position + 1))
            self.wait(alice.stopService())
        self.lose_store("alice")
        database.write_bytes(copy)
        alice = self.started("alice")
        self.assertEqual(self.wait(alice.stream(topic).publish("a5")).seq_num, 5)

    def test_nobody_answers(self) -> None:
        """
        Where no other node answers in time, publishing fails; the caller may know better.
        """
        alice, bob, topic = self.meet()
        ticket = bob.ticket(topic)
        self.wait(alice.stopService())
        self.wait(bob.stopService())
        self.lose_store("alice")
        again = self.started("alice")
        stream = self.wait(again.join(ticket))
        publishing = stream.publish("a0 again")
        failures: list[Failure] = []
        publishing.addErrback(failures.append)
        self.reactor.advance(CONFIRMATION_TIMEOUT)
        self.until(lambda: bool(failures))
        failures[0].trap(LogNotConfirmed)
        self.assertTrue(self.wait(again.status())["must_confirm_own_logs"])
        self.wait(again.confirm_own_logs())
        self.assertFalse(self.wait(again.status())["must_confirm_own_logs"])
        self.assertEqual(self.wait(stream.publish("a0 again")).seq_num, 0)

    def test_imported_identity(self) -> None:
        """
        An identity that was imported waits for a finished session, too; one that made its topic itself does not.
        """
        alice, bob, topic = self.meet()
        self.wait(alice.stopService())
        import_identity(self.home / "new", export_identity(self.home / "alice"))
        moved = self.started("new")
        self.assertTrue(moved.store.must_confirm)
        stream = self.wait(moved.join(bob.ticket(topic)))
        self.assertEqual(self.wait(stream.publish("a2")).seq_num, 2)
        own = self.wait(moved.new_topic())
        self.assertEqual(self.wait(moved.stream(own).publish("first")).seq_num, 0)
