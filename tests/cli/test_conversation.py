"""
A chat, with a stream that is made of lists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.conversation import Conversation
from p2panda_tw.cli.plain_view import plain
from p2panda_tw.cli.transcript import Entry, NewDay
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LogNotConfirmed, StoreFull
from p2panda_tw.subscription import Start
from p2panda_tw.sync.events import LiveStarted, SyncFailed, SyncFinished, SyncMetrics, SyncStarted

ANN = SigningKey(bytes(31) + b"\1").verifying_key
BOB = SigningKey(bytes(31) + b"\2").verifying_key


@dataclass
class Message:
    value: Any
    author: Any = BOB
    timestamp: int | None = None
    arrival: int = 0


@dataclass
class Peer:
    last_failure: str | None = None


class MemoryStream:
    """
    A stream whose store is a list.
    """

    def __init__(self, form: Form = Form.NODE) -> None:
        self.topic = Topic(bytes(32))
        self.form = form
        self.stored: list[Message] = []
        self.news: DeferredQueue[Message] = DeferredQueue()
        self.happened: DeferredQueue[object] = DeferredQueue()
        self.is_full = False
        self.waits: Deferred[None] | None = None
        self.cursor = 0

    def opened(self) -> Deferred[None]:
        return succeed(None)

    def publish(self, value: Any) -> Deferred[Any]:
        if self.waits is not None:
            return self.waits
        if self.is_full:
            return fail(StoreFull("The disk is full."))
        self.receive(value, ANN)
        return succeed(None)

    def receive(self, value: Any, author: Any = BOB) -> None:
        message = Message(value, author, arrival=len(self.stored) + 1)
        self.stored.append(message)
        self.news.put(message)

    async def subscribe(
        self, name: str, start: Start = Start.CURSOR, *, until: int | None = None
    ) -> AsyncIterator[Message]:
        if start is Start.BEGINNING:
            self.cursor = 0
        while until is None or self.cursor < until:
            message = await self.news.get()
            self.cursor = message.arrival
            yield message

    async def events(self) -> AsyncIterator[object]:
        while True:
            yield await self.happened.get()


class MemoryNode:
    """
    A node that knows one topic and how much of it was sent.
    """

    def __init__(self, stream: MemoryStream) -> None:
        self.reactor = Clock()
        self.node_id = ANN
        self.stream = stream
        self.settings: dict[str, str] = {}
        self.sent: Deferred[bool] = succeed(True)
        self.flush_timeouts: list[float] = []
        self.peers: list[Peer] = []

    def peer_states(self, topic: Topic) -> list[Peer]:
        return self.peers

    def set_setting(self, key: str, value: str) -> Deferred[None]:
        self.settings[key] = value
        return succeed(None)

    def newest_arrival(self, topic: Topic) -> Deferred[int]:
        return succeed(len(self.stream.stored))

    def flushed(self, topic: Topic, timeout: float) -> Deferred[bool]:
        self.flush_timeouts.append(timeout)
        return self.sent


@dataclass
class ListView:
    """
    A view that keeps lines.
    """

    lines: list[str] = field(default_factory=list)
    is_broken: bool = False

    def show(self, entry: Entry) -> None:
        if self.is_broken:
            raise BrokenPipeError
        if not isinstance(entry, NewDay):
            self.lines.append(plain(entry).partition(" ")[2])

    def notice(self, text: str) -> None:
        self.lines.append(f"* {text}")

    def changed(self) -> None:
        pass

    def take(self) -> list[str]:
        """
        @return: What came since the last call.
        """
        lines, self.lines = self.lines, []
        return lines


class ConversationTestCase(SynchronousTestCase):
    """
    One conversation.
    """

    def make(self, stream: MemoryStream, *, history: int = 50) -> Conversation:
        self.stream = stream
        self.node = MemoryNode(stream)
        self.view = ListView()
        self.conversation = Conversation(
            self.node,  # type: ignore[arg-type]  # a double
            stream,  # type: ignore[arg-type]  # a double
            self.view,
            history=history,
            ticket_line="p2panda1xyz",
        )
        self.addCleanup(self.conversation.close)
        return self.conversation

    def open(self, stream: MemoryStream | None = None, *, nickname: str | None = None, history: int = 50) -> None:
        opening = self.make(stream or MemoryStream(), history=history).open(nickname)
        self.successResultOf(Deferred.fromCoroutine(opening))

    def say(self, text: str) -> bool:
        return self.successResultOf(Deferred.fromCoroutine(self.conversation.say(text)))


class ConversationTests(ConversationTestCase):
    """
    What comes in is shown, what is typed is published or obeyed.
    """

    def test_talk(self) -> None:
        """
        Own messages and those of others appear in order of arrival.
        """
        self.open()
        self.say("hello")
        self.stream.receive("hi")
        self.assertEqual(self.view.take(), [f"{ANN.hex()[:8]}: hello", f"{BOB.hex()[:8]}: hi"])

    def test_history(self) -> None:
        """
        Of old messages the last ones are shown, with the names that were given before.
        """
        stream = MemoryStream()
        for value in ("/nick bob", "one", "two", "three"):
            stream.receive(value)
        self.open(stream, history=2)
        self.assertEqual(
            self.view.take(), ["* … 2 earlier messages; `p2panda tail` prints all.", "bob: two", "bob: three"]
        )
        stream.receive("four")
        self.assertEqual(self.view.take(), ["bob: four"])

    def test_nickname(self) -> None:
        """
        A nickname is told to a topic that does not know it, once, and remembered.
        """
        self.open(nickname="ann")
        self.assertEqual(self.view.take(), [f"* {ANN.hex()[:8]} is now ann"])
        self.assertEqual(self.node.settings, {"chat.nickname": "ann"})
        self.conversation.close()
        stream = MemoryStream()
        stream.receive("/nick ann", ANN)
        self.open(stream, nickname="ann")
        self.assertEqual(len(stream.stored), 1)

    def test_rename(self) -> None:
        """
        `/nick` takes a name without control characters.
        """
        self.open()
        self.say("/nick  ann \x1b lee")
        self.assertEqual(self.stream.stored[0].value, "/nick ann ␛ lee")
        self.say("/nick")
        self.assertEqual(self.view.take()[-1], "* Say which name: /nick NAME")

    def test_slashes(self) -> None:
        """
        A command that does not exist is not sent; two slashes send one.
        """
        self.open()
        self.say("/who?")
        self.assertIn("There is no /who?", self.view.take()[0])
        self.say("//etc/hosts")
        self.say("  ")
        self.assertEqual([message.value for message in self.stream.stored], ["/etc/hosts"])
        self.assertFalse(self.say("/quit"))

    def test_who_and_ticket(self) -> None:
        """
        `/who` tells who is connected and who wrote, `/ticket` how others come in.
        """
        self.open()
        self.stream.receive("/nick bob")
        self.view.take()
        self.say("/who")
        self.assertEqual(
            self.view.take(),
            [
                f"* {ANN.hex()[:8]} ({ANN.hex()[:8]}), this is you",
                f"* bob ({BOB.hex()[:8]}), not connected to us",
            ],
        )
        self.stream.happened.put(LiveStarted(BOB, 0))
        self.assertEqual(self.view.take(), ["* bob is connected."])
        self.say("/who")
        self.assertEqual(self.view.take()[1:], [f"* bob ({BOB.hex()[:8]}), connected"])
        self.say("/ticket")
        self.assertEqual(self.view.take(), ["* p2panda1xyz"])

    def test_full_disk(self) -> None:
        """
        A message that could not be stored is told, and the chat goes on.
        """
        self.open()
        self.stream.is_full = True
        self.assertTrue(self.say("hello"))
        self.assertEqual(self.view.take(), ["* Not sent: The disk is full."])
        self.stream.is_full = False
        self.say("hello")
        self.assertEqual(self.view.take(), [f"{ANN.hex()[:8]}: hello"])

    def test_slow_store(self) -> None:
        """
        Nobody is kept from typing by a message that has to wait.
        """
        self.open()
        self.stream.waits = waits = Deferred()
        saying = Deferred.fromCoroutine(self.conversation.say("hello"))
        self.node.reactor.advance(0.9)
        self.assertNoResult(saying)
        self.node.reactor.advance(0.2)
        self.assertTrue(self.successResultOf(saying))
        self.assertEqual(self.view.take(), ["* This message could not be stored yet, it waits."])
        waits.errback(LogNotConfirmed("Nobody has told how far our log goes."))
        self.assertEqual(self.view.take(), ["* Not sent: Nobody has told how far our log goes."])

    def test_broken_view(self) -> None:
        """
        When nobody can see the messages any more, the chat ends.
        """
        self.open()
        talking: Deferred[None] = Deferred()

        async def talk() -> None:
            await talking

        attending = Deferred.fromCoroutine(self.conversation.attend(talk()))
        self.view.is_broken = True
        self.stream.receive("hello")
        self.failureResultOf(attending, BrokenPipeError)

    def test_chat_form(self) -> None:
        """
        Messages for upstream's chat end with a newline.
        """
        self.open(MemoryStream(Form.CHAT))
        self.say("hello")
        self.assertEqual(self.stream.stored[0].value, "hello\n")
        self.assertEqual(self.view.take(), [f"{ANN.hex()[:8]}: hello"])


class FinishTests(ConversationTestCase):
    """
    At the end of the input a chat waits until the others have everything.
    """

    def finish(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.conversation.finish(5.0))

    def test_alone(self) -> None:
        """
        Nobody is waited for if nobody is known.
        """
        self.open()
        self.successResultOf(self.finish())

    def test_unreachable(self) -> None:
        """
        Who cannot be reached is waited for no longer than until that is clear.
        """
        self.open()
        peer = Peer()
        self.node.peers.append(peer)
        finishing = self.finish()
        self.node.reactor.advance(1)
        self.assertNoResult(finishing)
        peer.last_failure = "Nothing listens there."
        self.stream.happened.put(SyncFailed(node_id=BOB, session=None, reason="Nothing listens there."))
        self.successResultOf(finishing)

    def test_expected_peer(self) -> None:
        """
        Who is known is waited for, then what they send, then what we send.
        """
        self.open()
        self.node.peers.append(Peer())
        self.node.sent = sent = Deferred()
        finishing = self.finish()
        self.node.reactor.advance(1)
        self.stream.happened.put(
            SyncStarted(
                node_id=BOB, session=0, outgoing_operations=1, outgoing_bytes=1, incoming_operations=1, incoming_bytes=1
            )
        )
        self.node.reactor.advance(1)
        self.assertEqual(self.node.flush_timeouts, [])
        self.stream.happened.put(SyncFinished(node_id=BOB, session=0, metrics=SyncMetrics()))
        self.stream.happened.put(LiveStarted(BOB, 0))
        self.assertEqual(self.node.flush_timeouts, [3.0])
        self.assertNoResult(finishing)
        sent.callback(True)
        self.successResultOf(finishing)
        self.assertEqual(self.node.reactor.getDelayedCalls(), [])

    def test_nobody_comes(self) -> None:
        """
        After five seconds it is enough.
        """
        self.open()
        self.node.peers.append(Peer())
        finishing = self.finish()
        self.node.reactor.advance(4.9)
        self.assertNoResult(finishing)
        self.node.reactor.advance(0.2)
        self.successResultOf(finishing)
        self.assertEqual(self.node.flush_timeouts, [0.0])
