"""
Log sync between whole nodes.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.sync.events import ForkSeen, OperationRefused, SyncFailed
from p2panda_tw.sync.limits import (
    BACKOFF_CAP,
    BACKOFF_START,
    HANDSHAKE_TIMEOUT,
    HELD_BYTES,
    INITIATE_PATIENCE,
    MAX_HAVE,
    MAX_IDLE_PEERS,
    MAX_SESSIONS_PER_PEER,
    PROGRESS_INTERVAL,
)
from p2panda_tw.sync.messages import CLOSE_FRAME, DONE_FRAME, HandshakeTopic, encode_handshake_message, encode_pre_sync
from p2panda_tw.sync.operation_frames import CATCH_UP_OPERATION, LIVE_OPERATION, encode_operations
from p2panda_tw.wire.frames import encode_frame
from p2panda_tw.wire.postcard import varint
from tests.sync.logs import TOPIC, Log, key
from tests.sync.network import Network, Node, result_of
from tests.sync.raw_peer import EMPTY_HAVE, HANDSHAKE_DONE, TOPIC_FRAME, RawPeer, RawSession, RawStream

OTHER_TOPIC = Topic(bytes(range(32, 64)))


class NetworkTestCase(SynchronousTestCase):
    """
    Nodes on one clock; in the end nothing is left of them.
    """

    def setUp(self) -> None:
        self.network = Network()
        self.peers: list[RawPeer] = []
        self.warnings: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_level") in (LogLevel.warn, LogLevel.critical) and "sync" in event.get(
                "log_namespace", ""
            ):
                self.warnings.append(str(event.get("reason", event.get("log_format"))))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def raw(self, name: str = "raw") -> RawPeer:
        peer = RawPeer(self.network, name)
        self.peers.append(peer)
        return peer

    def tearDown(self) -> None:
        self.network.stop()
        for peer in self.peers:
            peer.endpoint.close()
        self.network.run(6, step=0.1)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])


class TwoNodesTests(NetworkTestCase):
    """
    What users do.
    """

    def test_catch_up_and_live(self) -> None:
        """
        What was written before and after they meet is on both nodes, in both directions.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        alice.publish(b"1", b"2")
        bob.publish(b"3")
        bob.meet(alice)
        self.network.until(lambda: alice.status == bob.status == ["live"])
        self.assertEqual((sorted(alice.bodies()), sorted(bob.bodies())), ([b"1", b"2", b"3"],) * 2)
        alice.publish(b"4")
        bob.publish(b"5")
        self.network.until(lambda: len(alice.ids()) == len(bob.ids()) == 5)
        for node in (alice, bob):
            self.assertEqual(node.event_names, ["SyncStarted", "SyncFinished", "LiveStarted"])

    def test_first_answer_is_quick(self) -> None:
        """
        Between our nodes everything is said in one flight: after one round trip both have what the other had.
        """
        network = Network(delay=0.1)
        alice, bob = network.node("alice"), network.node("bob")
        alice.publish(b"1")
        bob.meet(alice)
        network.until(lambda: len(bob.ids()) == 1)
        # Connecting takes three ways here; then Topic, Done and Have go there, the other Have and operations come back.
        self.assertLess(network.clock.seconds(), 0.62)
        network.stop()

    def test_chat_form(self) -> None:
        """
        Topics in the chat form are synced, too.
        """
        alice, bob = (self.network.node(name, opened=False) for name in ("alice", "bob"))
        for node in (alice, bob):
            node.open(form=Form.CHAT)
        alice.publish(b"hello\n")
        bob.meet(alice)
        self.network.until(lambda: bob.bodies() == [b"hello\n"])

    def test_several_topics(self) -> None:
        """
        Two topics with the same peer have a session each, and do not mix.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        for node in (alice, bob):
            node.open(OTHER_TOPIC)
        alice.publish(b"one")
        alice.publish(b"two", topic=OTHER_TOPIC)
        bob.meet(alice)
        bob.meet(alice, OTHER_TOPIC)
        self.network.until(lambda: bob.bodies() == [b"one"] and len(bob.ids(OTHER_TOPIC)) == 1)

    def test_chain(self) -> None:
        """
        A node in the middle passes on what it gets, in catch-up and live, and no node gets anything twice.
        """
        nodes = [self.network.node(f"node{number}") for number in range(4)]
        nodes[0].publish(*[b"%d" % number for number in range(300)])
        for left, right in pairwise(nodes):
            right.meet(left)
        self.network.until(lambda: all(len(node.ids()) == 300 for node in nodes))
        nodes[-1].publish(b"back")
        self.network.until(lambda: all(len(node.ids()) == 301 for node in nodes))
        self.network.run(1)
        for node in nodes:
            for link in node.sync._topics[TOPIC].links.values():
                for runner in link.runners.values():
                    metrics = runner.session.metrics
                    sent = metrics.sent_operations + metrics.sent_live_operations
                    received = metrics.received_operations + metrics.received_live_operations
                    self.assertEqual(sent + received, 301)

    def test_both_dial(self) -> None:
        """
        When both know each other and dial at the same moment, one session stays and nobody hears of the other.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        alice.publish(b"1")
        alice.meet(bob)
        bob.meet(alice)
        self.network.until(lambda: len(bob.ids()) == 1)
        self.network.run(3)
        for node in (alice, bob):
            self.assertEqual([peer.sessions for peer in node.sync.state(TOPIC).peers], [1])
            self.assertEqual(node.event_names, ["SyncStarted", "SyncFinished", "LiveStarted"])
        before = [self.received(node) for node in (alice, bob)]
        alice.publish(b"2")
        bob.publish(b"3")
        self.network.run(1)
        self.assertEqual([self.received(node) for node in (alice, bob)], [count + 1 for count in before])

    def received(self, node: Node) -> int:
        link = next(iter(node.sync._topics[TOPIC].links.values()))
        return sum(runner.session.metrics.received_live_operations for runner in link.runners.values())

    def test_close_sends_what_is_there(self) -> None:
        """
        Closing a topic sends what was published before, ends the session in order on both sides, and fires.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        bob.meet(alice)
        self.network.until(lambda: alice.status == ["live"])
        alice.publish(*[b"%d" % number for number in range(50)])
        closed: list[None] = []
        alice.sync.close(TOPIC).addCallback(closed.append)
        self.network.until(lambda: closed == [None], longest=1)
        self.assertEqual(len(bob.ids()), 50)
        self.assertEqual((alice.event_names[-1], bob.event_names[-1]), ("SessionEnded", "SessionEnded"))
        self.assertEqual(self.warnings, [])

    def test_close_of_a_peer_that_does_not_answer(self) -> None:
        """
        A peer that does not react holds up closing for five seconds.
        """
        alice = self.network.node("alice")
        stream = self.raw().dial(alice).begin()
        stream.send(EMPTY_HAVE + DONE_FRAME)
        self.network.until(lambda: alice.status == ["live"])
        closed: list[None] = []
        alice.sync.close(TOPIC).addCallback(closed.append)
        self.network.run(4.9)
        self.assertEqual(closed, [])
        self.network.run(0.2)
        self.assertEqual(closed, [None])
        self.assertEqual(stream.payloads[-1], b"\x02")

    def test_restart(self) -> None:
        """
        After stopping and starting again the service works as before.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        bob.meet(alice)
        self.network.until(lambda: bob.status == ["live"])
        stopped: list[None] = []
        alice.sync.stopService().addCallback(stopped.append)
        self.network.until(lambda: stopped == [None])
        alice.publish(b"meanwhile")
        alice.sync.startService()
        alice.sync.open(TOPIC, Form.NODE)
        self.network.until(lambda: len(bob.ids()) == 1)

    def test_remove_peer(self) -> None:
        """
        A peer that is removed is not dialled any more.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        bob.meet(alice)
        self.network.until(lambda: bob.status == ["live"])
        bob.sync.remove_peer(TOPIC, alice.node_id)
        self.network.run(70, step=0.1)
        self.assertEqual((bob.status, alice.status), ([], []))

    def test_store_fails(self) -> None:
        """
        Where the store cannot take what comes, the session ends with the store's reason and is tried again later.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")
        bob.meet(alice)
        self.network.until(lambda: bob.status == ["live"])
        alice.publish(b"1")
        bob.store.close()
        self.network.run(5)
        (failed,) = {event.reason for event in bob.events if isinstance(event, SyncFailed) and "store" in event.reason}
        self.assertEqual(failed, "The store is not open.")
        self.assertEqual(self.warnings, [])

    def test_wrong_use(self) -> None:
        """
        A topic must be open before peers are added, and cannot be opened in another form.
        """
        alice = self.network.node("alice")
        for wrong in (
            lambda: alice.sync.add_peer(OTHER_TOPIC, key("x").verifying_key),
            lambda: alice.sync.listen(OTHER_TOPIC, print),
            lambda: alice.sync.state(OTHER_TOPIC),
            lambda: alice.sync.open(TOPIC, Form.CHAT),
        ):
            with self.assertRaises(LocalProtocolError):
                wrong()
        alice.sync.open(TOPIC, Form.NODE)
        alice.sync.add_peer(TOPIC, alice.node_id)
        self.assertEqual(alice.status, [])
        self.assertIsNone(result_of(alice.sync.close(OTHER_TOPIC)))

    def test_failing_listener(self) -> None:
        """
        A listener that fails keeps nobody else from hearing, and the session goes on.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob")

        def fail(event: object) -> None:
            raise RuntimeError("a listener's own mistake")

        stop = bob.sync.listen(TOPIC, fail)
        heard: list[object] = []
        bob.sync.listen(TOPIC, heard.append)
        bob.meet(alice)
        self.network.until(lambda: len(heard) == 3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)
        stop()
        stop()
        self.warnings.clear()


class DiallingTests(NetworkTestCase):
    """
    When a peer is dialled.
    """

    def test_back_off(self) -> None:
        """
        A peer that cannot be reached is tried with pauses that double up to a minute, each anywhere between nothing and that;
        the application is told once. After success it starts anew.
        """
        alice = self.network.node("alice")
        peer = self.raw()
        times = alice.dialled
        alice.sync.add_peer(TOPIC, peer.node_id)
        self.network.run(600, step=0.05)
        expected = Random("alice")
        due = 0.0
        for number, when in enumerate(times):
            self.assertTrue(due - 0.06 <= when <= due + 0.12, (number, when, due))
            due = when + expected.uniform(0, min(BACKOFF_CAP, BACKOFF_START * 2**number))
        self.assertGreater(len(times), 15)
        self.assertEqual(alice.event_names, ["SyncFailed"])
        self.assertEqual(alice.status, ["waiting"])
        (state,) = alice.sync.state(TOPIC).peers
        self.assertTrue(state.next_attempt is not None and state.last_failure)

        peer.serve()
        peer.known_to(alice)
        self.network.until(lambda: bool(peer.accepted), longest=200)
        self.network.until(lambda: len(peer.accepted[0].streams) == 2)
        handshake, stream = peer.accepted[0].streams
        handshake.send(HANDSHAKE_DONE)
        stream.send(EMPTY_HAVE + DONE_FRAME)
        self.network.until(lambda: alice.status == ["live"])
        peer.accepted[0].connection.abort("broken")
        now = self.network.clock.seconds()
        self.network.until(lambda: len(peer.accepted) == 2)
        self.assertLess(self.network.clock.seconds() - now, BACKOFF_START + 0.1)

    def test_unknown_topic(self) -> None:
        """
        A peer without the topic completes the handshake and closes; it is tried again with pauses, and that is said once.
        """
        alice, bob = self.network.node("alice"), self.network.node("bob", opened=False)
        times = alice.dialled
        alice.meet(bob)
        self.network.run(100, step=0.05)
        self.assertTrue(5 < len(times) < 40, len(times))
        reasons = {event.reason for event in alice.events if isinstance(event, SyncFailed)}
        self.assertEqual(len(reasons), 1)
        self.assertIn("may not have this topic open", reasons.pop())
        self.assertEqual(self.warnings, [])
        bob.open()
        self.network.until(lambda: alice.status == ["live"], longest=130)

    def test_unknown_topic_as_upstream(self) -> None:
        """
        To a stranger's topic we answer as Rust does: the handshake is completed, then the connection closed.
        """
        session = self.raw().dial(self.network.node("alice"))
        stream = session.begin(OTHER_TOPIC)
        stream.send(EMPTY_HAVE)
        self.network.until(lambda: session.closed)
        self.assertEqual((session.streams[0].payloads, stream.payloads), ([b"\x01"], []))

    def test_stop_while_one_asks_for_an_unknown_topic(self) -> None:
        """
        Whoever named an unknown topic and then says nothing more is not waited for when the service stops.
        """
        alice = self.network.node("alice")
        session = self.raw().dial(alice)
        session.open().send(encode_handshake_message(HandshakeTopic(OTHER_TOPIC)))
        self.network.run(0.1)
        self.assertFalse(session.closed)
        alice.sync.stopService()
        self.network.run(0.1)
        self.assertTrue(session.closed)

    def test_not_running(self) -> None:
        """
        Nothing is opened once the service has stopped, so nothing is left to dial for.
        """
        alice = self.network.node("alice", opened=False)
        alice.sync.stopService()
        self.assertRaises(LocalProtocolError, alice.sync.open, TOPIC, Form.NODE)

    def test_larger_waits(self) -> None:
        """
        The node with the larger id leaves it to the other one to dial, if that one can, for a second.
        """
        small, large = sorted(("alice", "bob"), key=lambda name: key(name).verifying_key)
        first = self.network.node(large, knows_us=lambda node_id: True)
        second = self.network.node(small, knows_us=lambda node_id: True)
        times = first.dialled
        first.meet(second)
        self.network.run(INITIATE_PATIENCE - 0.05)
        self.assertEqual(times, [])
        second.meet(first)
        self.network.run(5)
        self.assertEqual((times, first.status, second.status), ([], ["live"], ["live"]))
        (peer,) = first.sync.state(TOPIC).peers
        self.assertEqual(peer.sessions, 1)

    def test_larger_does_not_wait_for_ever(self) -> None:
        """
        After that second it dials itself.
        """
        small, large = sorted(("alice", "bob"), key=lambda name: key(name).verifying_key)
        first, second = self.network.node(large, knows_us=lambda node_id: True), self.network.node(small)
        first.meet(second)
        self.network.until(lambda: first.status == ["live"], longest=INITIATE_PATIENCE + 0.2)
        self.assertGreater(self.network.clock.seconds(), INITIATE_PATIENCE)

    def test_no_second_session(self) -> None:
        """
        While a session runs, or is being accepted, none is initiated.
        """
        alice, peer = self.network.node("alice"), self.raw()
        times = alice.dialled
        session = peer.dial(alice)
        self.network.run(0.1)
        peer.serve()
        peer.known_to(alice)
        alice.sync.add_peer(TOPIC, peer.node_id)
        self.network.run(3)
        self.assertEqual(times, [])
        session.begin().send(EMPTY_HAVE + DONE_FRAME)
        self.network.run(60, step=0.1)
        self.assertEqual((times, alice.status), ([], ["live"]))
        session.connection.abort("over")
        self.network.until(lambda: bool(times), longest=2)

    def test_gap(self) -> None:
        """
        What stays missing for a second is asked for by a further session with whoever sent what waits for it.
        """
        alice, peer = self.network.node("alice"), self.raw()
        peer.serve()
        peer.known_to(alice)
        operations = Log("author").write_many(3)
        stream = peer.dial(alice).begin()
        stream.send(EMPTY_HAVE + DONE_FRAME + b"".join(encode_operations(LIVE_OPERATION, operations[2:])))
        self.network.run(0.9)
        self.assertEqual(peer.accepted, [])
        self.network.until(lambda: bool(peer.accepted), longest=0.3)
        self.network.until(lambda: len(peer.accepted[0].streams) == 2)
        handshake, second = peer.accepted[0].streams
        handshake.send(HANDSHAKE_DONE)
        second.send(EMPTY_HAVE + encode_pre_sync(2, 1))
        second.send(b"".join(encode_operations(CATCH_UP_OPERATION, operations[:2])) + DONE_FRAME)
        self.network.until(lambda: len(alice.ids()) == 3)
        self.network.until(lambda: second.payloads[-1] == b"\x02")
        second.transport.loseWriteConnection()
        self.network.run(30, step=0.1)
        self.assertEqual((len(peer.accepted), alice.status), (1, ["live"]))

    def test_gap_that_closes_itself(self) -> None:
        """
        What comes in over another way within a second is not asked for.
        """
        alice, peer = self.network.node("alice"), self.raw()
        peer.serve()
        peer.known_to(alice)
        operations = Log("author").write_many(3)
        stream = peer.dial(alice).begin()
        stream.send(EMPTY_HAVE + DONE_FRAME + b"".join(encode_operations(LIVE_OPERATION, operations[2:])))
        self.network.run(0.5)
        stream.send(b"".join(encode_operations(LIVE_OPERATION, operations[:2])))
        self.network.run(5)
        self.assertEqual((len(alice.ids()), peer.accepted), (3, []))

    def test_unknown_kind_of_peer(self) -> None:
        """
        While it is being found out whether a peer is one of ours, the handshake goes on, and nothing is sent that a Rust node
        could lose.
        """
        answer: Deferred[bool] = Deferred()
        alice = self.network.node("alice", is_ours=lambda connection: answer)
        alice.publish(b"1")
        session = self.raw().dial(alice)
        stream = session.begin()
        stream.send(EMPTY_HAVE)
        self.network.run(2)
        self.assertEqual(session.streams[0].payloads, [b"\x01"])
        self.assertEqual(len(stream.payloads), 1)
        answer.callback(False)
        self.network.run(0.1)
        self.assertEqual([payload[:2] for payload in stream.payloads[1:]], [b"\x00\x01", b"\x00\x02", b"\x00\x03"])

    def test_many_strangers(self) -> None:
        """
        Of peers that take something and never come back only so many are remembered.
        """
        alice = self.network.node("alice", is_ours=lambda connection: False)
        alice.publish(b"1")
        for number in range(MAX_IDLE_PEERS + 20):
            session = self.raw(f"stranger {number}").dial(alice)
            session.begin().send(EMPTY_HAVE + DONE_FRAME)
            self.network.run(0.02)
            session.connection.abort("enough")
            self.network.run(0.02)
        self.assertEqual(len(alice.sync.state(TOPIC).peers), MAX_IDLE_PEERS)


class BadInputTests(NetworkTestCase):
    """
    What peers may try.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.network.node("alice")
        self.peer = self.raw()

    def dial(self) -> RawSession:
        return self.peer.dial(self.alice)

    def begin(self) -> tuple[RawSession, RawStream]:
        session = self.dial()
        return session, session.begin()

    def check_cut_off(self, session: RawSession, *, warnings: int = 1, within: float = 1.0) -> None:
        self.network.until(lambda: session.closed, longest=within)
        self.assertEqual(len(self.warnings), warnings, self.warnings)

    def test_garbage(self) -> None:
        """
        Whatever is no message at its moment ends that session alone, with one warning however often it is tried.
        """
        _, good = self.begin()
        good.send(EMPTY_HAVE + DONE_FRAME)
        for data in (
            b"\xff" * 100,
            encode_frame(b"\x09"),
            encode_frame(b"\x00\x02"),
            bytes(4),
            (MAX_HAVE + 1).to_bytes(4, "big"),
            EMPTY_HAVE + encode_frame(b"\x00\x07"),
            EMPTY_HAVE + encode_pre_sync(1, 1) + encode_frame(b"\x00\x02\x7f"),
            EMPTY_HAVE + encode_pre_sync(1, 1) + (1 << 28).to_bytes(4, "big"),
            EMPTY_HAVE + CLOSE_FRAME,
        ):
            self.warnings.clear()
            self.peer = self.raw(f"raw{len(self.peers)}")
            for _ in range(3):
                session, stream = self.begin()
                stream.send(data)
                self.check_cut_off(session)
        self.assertEqual(self.alice.status, ["live"])
        self.assertIsNone(good.lost)

    def test_garbage_in_the_handshake(self) -> None:
        """
        The same in the topic handshake.
        """
        for data in (b"\xff" * 100, encode_frame(b"\x01"), encode_frame(b"\x00\x01a"), TOPIC_FRAME + TOPIC_FRAME):
            self.warnings.clear()
            self.peer = self.raw(f"raw{len(self.peers)}")
            for _ in range(3):
                session = self.dial()
                session.open().send(data)
                self.check_cut_off(session)

    def test_end_in_the_handshake(self) -> None:
        """
        A stream that ends in the middle of the handshake is no session.
        """
        session = self.dial()
        stream = session.open()
        stream.send(TOPIC_FRAME)
        stream.transport.loseWriteConnection()
        self.check_cut_off(session)

    def test_silence(self) -> None:
        """
        Who connects and says nothing, or stops in the handshake, is cut off after 10 seconds.
        """
        sessions = [self.dial() for _ in range(3)]
        sessions[1].open().send(TOPIC_FRAME)
        sessions[2].open().send(TOPIC_FRAME + HANDSHAKE_DONE)
        self.network.run(HANDSHAKE_TIMEOUT - 0.5, step=0.1)
        self.assertEqual([session.closed for session in sessions], [False] * 3)
        self.network.run(1, step=0.1)
        self.assertEqual([session.closed for session in sessions], [True] * 3)
        self.assertEqual(len(self.warnings), 1, self.warnings)

    def test_trickle(self) -> None:
        """
        Who sends a byte a second is cut off after half a minute, in catch-up and inside a live message; who says nothing in
        live mode is not.
        """
        session, stream = self.begin()
        stream.send(EMPTY_HAVE + encode_pre_sync(1, 1) + (100_000).to_bytes(4, "big") + b"\x00\x02")
        quiet, quiet_stream = self.begin()
        quiet_stream.send(EMPTY_HAVE + DONE_FRAME)
        slow, slow_stream = self.begin()
        slow_stream.send(EMPTY_HAVE + DONE_FRAME + (100_000).to_bytes(4, "big") + b"\x01")
        for _ in range(int(PROGRESS_INTERVAL) + 3):
            stream.send(b"x")
            slow_stream.send(b"x")
            self.network.run(1, step=0.1)
        self.assertEqual((session.closed, slow.closed, quiet.closed), (True, True, False))
        self.network.run(300, step=0.5)
        self.assertFalse(quiet.closed)
        self.assertEqual(len(self.warnings), 1, self.warnings)

    def test_small_operations_without_end(self) -> None:
        """
        A catch-up that brings an operation now and then, for ever, is cut off too; a slow one that goes on is not.
        """
        session, stream = self.begin()
        fair, fair_stream = self.begin()
        stream.send(EMPTY_HAVE + encode_pre_sync(1, 1))
        fair_stream.send(EMPTY_HAVE + encode_pre_sync(1, 1))
        small, large = Log("small"), Log("large")
        for _ in range(20):
            stream.send(b"".join(encode_operations(CATCH_UP_OPERATION, [small.write()])))
            fair_stream.send(b"".join(encode_operations(CATCH_UP_OPERATION, [large.write(bytes(4000))])))
            self.network.run(4, step=0.1)
        self.assertEqual((session.closed, fair.closed), (True, False))

    def test_too_many_sessions(self) -> None:
        """
        One peer may have 64 sessions with us, and no more; that is said once.
        """
        sessions = [self.dial() for _ in range(MAX_SESSIONS_PER_PEER)]
        for session in sessions:
            session.begin().send(EMPTY_HAVE + DONE_FRAME)
        self.network.run(1)
        refused = [self.peer.try_to_dial(self.alice) for _ in range(3)]
        self.network.run(1)
        self.assertEqual([session.closed for session in sessions], [False] * MAX_SESSIONS_PER_PEER)
        self.assertEqual(refused, [[], [], []])
        self.assertEqual(len(self.warnings), 1, self.warnings)
        sessions[0].connection.abort("over")
        self.network.run(0.1)
        self.assertFalse(self.dial().closed)

    def test_memory(self) -> None:
        """
        Many sessions that each send half of something large are ended, largest first, before they fill the memory.
        """
        large = encode_frame(CATCH_UP_OPERATION + varint(200) + bytes(15 * 1024 * 1024))
        sessions = []
        for number in range(6):
            session, stream = self.begin()
            sessions.append(session)
            stream.send(EMPTY_HAVE + encode_pre_sync(1, 1) + large[: (10 - number) * 1024 * 1024])
            self.network.run(3, step=0.02)
            self.assertLessEqual(self.alice.sync.held.total, HELD_BYTES)
        self.assertGreaterEqual(sum(session.closed for session in sessions), 3)
        self.assertEqual(len(self.warnings), 1, self.warnings)

    def test_refused_operations(self) -> None:
        """
        Operations that break a rule are refused with one warning for each cause, forks are reported, and the session goes on.
        """
        session, stream = self.begin()
        stream.send(EMPTY_HAVE + DONE_FRAME)
        first, second = Log("author"), Log("author")
        stream.send(b"".join(encode_operations(LIVE_OPERATION, [first.write(b"one"), second.write(b"two")])))
        foreign = Log("foreign", topic=OTHER_TOPIC)
        wrong = Log("wrong")
        for _ in range(5):
            stream.send(b"".join(encode_operations(LIVE_OPERATION, [foreign.write()])))
            stream.send(b"".join(encode_operations(LIVE_OPERATION, [wrong.write()._replace(body=b"another")])))
        self.network.run(1)
        self.assertFalse(session.closed)
        self.assertEqual(len(self.warnings), 2, self.warnings)
        names = [type(event) for event in self.alice.events]
        self.assertEqual((names.count(ForkSeen), names.count(OperationRefused)), (1, 2))
        self.assertEqual(self.alice.bodies(), [b"one"])

    def test_bad_signature(self) -> None:
        """
        A wrong signature ends the session, is told to the application and logged once.
        """
        header, body = Log("author").write()
        forged = [(header[:40] + bytes([header[40] ^ 1]) + header[41:], body)]
        for _ in range(2):
            session, stream = self.begin()
            stream.send(EMPTY_HAVE + DONE_FRAME + b"".join(encode_operations(LIVE_OPERATION, forged)))
            self.check_cut_off(session)
        self.assertEqual(self.alice.event_names[-1], "SyncFailed")
        self.assertEqual(self.alice.ids(), [])

    def test_third_stream(self) -> None:
        """
        Streams that are not part of a session are reset; the session goes on.
        """
        session, stream = self.begin()
        stream.send(EMPTY_HAVE + DONE_FRAME)
        third = session.open()
        third.send(b"?")
        self.network.run(0.5)
        self.assertIsNotNone(third.lost)
        self.assertFalse(session.closed)

    def test_oversized_operation(self) -> None:
        """
        An operation beyond 16 MiB is read past without keeping it, refused by name, and everything else goes on.
        """
        session, stream = self.begin()
        log, other = Log("author"), Log("other")
        stream.send(EMPTY_HAVE + DONE_FRAME)
        header, _ = log.write()
        length = 20 * 1024 * 1024
        head = LIVE_OPERATION + varint(len(header)) + header + b"\x01" + varint(length)
        stream.send((len(head) + length).to_bytes(4, "big") + head)
        for _ in range(20):
            stream.send(bytes(1024 * 1024))
            self.network.run(0.5, step=0.02)
            self.assertLess(self.alice.sync.held.total, 1 << 20)
        stream.send(b"".join(encode_operations(LIVE_OPERATION, [log.write(), other.write(b"fine")])))
        self.network.run(1)
        (refused,) = [event for event in self.alice.events if isinstance(event, OperationRefused)]
        self.assertEqual((refused.author, refused.seq_num), (log.author, 0))
        self.assertEqual((self.alice.bodies(), session.closed), ([b"fine"], False))

    def test_early_session_stream(self) -> None:
        """
        What comes on the second stream before the topic is known waits for it.
        """
        session = self.dial()
        handshake = session.open()
        stream = session.open()
        handshake.send(TOPIC_FRAME[:10])
        stream.send(EMPTY_HAVE + DONE_FRAME)
        self.network.run(0.5)
        self.assertEqual(stream.payloads, [])
        handshake.send(TOPIC_FRAME[10:] + HANDSHAKE_DONE)
        self.network.run(0.5)
        self.assertEqual((len(stream.payloads), self.alice.status), (2, ["live"]))
