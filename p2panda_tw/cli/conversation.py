# -*- test-case-name: tests.cli.test_conversation -*-
"""
A chat about one topic: what comes in goes to a view, what the person types is published or, after a slash, obeyed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, FirstError, TimeoutError, gatherResults
from twisted.python.failure import Failure

from p2panda_tw.cli.clock import local_time
from p2panda_tw.cli.harmless import harmless_name
from p2panda_tw.cli.presence import Presence
from p2panda_tw.cli.transcript import NICK, Entry, Renamed, Said, Transcript, short_id
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import P2pandaError
from p2panda_tw.stream import Stream
from p2panda_tw.subscription import Message, Start

if TYPE_CHECKING:
    from p2panda_tw.node import Node

T = TypeVar("T")

__all__ = ["NICKNAME", "Conversation", "View"]

NICKNAME: Final = "chat.nickname"
"""
The setting that keeps the nickname.
"""

PATIENCE: Final = 1.0
"""
Seconds that a message may take to be stored before the person may type the next one.
"""

_CURSOR: Final = "chat"

_HELP: Final = (
    "/nick NAME  take a name",
    "/who        who is connected, and who wrote here",
    "/ticket     the ticket for others",
    "/quit       leave (or Ctrl-D)",
    "//text      write a message that starts with a slash",
)


class View(Protocol):
    """
    Where a conversation is seen.
    """

    def show(self, entry: Entry) -> None:
        """
        Show a message.
        """

    def notice(self, text: str) -> None:
        """
        Show what no person wrote.
        """

    def changed(self) -> None:
        """
        Who is connected, or how catching up goes, may have changed.
        """


class Conversation:
    """
    One open topic, for one person.

    @ivar presence: Who is connected.
    @ivar transcript: Names and authors so far.
    """

    def __init__(self, node: Node, stream: Stream, view: View, *, history: int, ticket_line: str) -> None:
        """
        @param history: How many old messages are shown at the beginning.
        @param ticket_line: What C{/ticket} answers.
        """
        self.transcript = Transcript()
        self.presence = Presence(self.transcript.names.of)
        self._node = node
        self._stream = stream
        self._view = view
        self._history = history
        self._ticket_line = ticket_line
        self._ending = "\n" if stream.form is Form.CHAT else ""
        self._seen = 0
        self._running: dict[Deferred[object], None] = {}
        self._waiting: list[Deferred[None]] = []
        self._talking: Deferred[Any] | None = None
        self._failure: Failure | None = None

    async def open(self, nickname: str | None) -> None:
        """
        Show the old messages, begin to show what comes in, and tell the others our name if they do not know it.
        """
        self._run(self._hear())
        await self._stream.opened()
        await self._show_history()
        self._run(self._follow())
        if nickname and self.transcript.names.chosen(self._node.node_id) != nickname:
            self._run(self.publish([NICK + nickname]))

    async def attend(self, talking: Coroutine[Any, Any, T]) -> T:
        """
        Let somebody talk as long as the conversation lasts.

        @param talking: Reads what is typed, and says it. Cancelled when nothing can be shown any more.

        @raise Exception: Why nothing can be shown any more.
        """
        self._talking = Deferred.fromCoroutine(talking)
        if self._failure is not None:
            self._talking.cancel()
        try:
            result: T = await self._talking
        except CancelledError:
            if self._failure is not None:
                self._failure.raiseException()
            raise
        return result

    def close(self) -> None:
        """
        Show nothing more. The stream stays open.
        """
        for running in list(self._running):
            running.cancel()

    @property
    def own_name(self) -> str:
        """
        What others see in front of our messages.
        """
        return self.transcript.names.of(self._node.node_id)

    async def say(self, text: str) -> bool:
        """
        Do what the person typed.

        @return: Whether to go on.
        """
        if not text.strip():
            return True
        if not text.startswith("/") or text.startswith("//"):
            await self._publish_patiently(text.removeprefix("/") if text.startswith("//") else text)
            return True
        command, _, argument = text.strip().partition(" ")
        match command:
            case "/quit":
                return False
            case "/nick":
                await self._rename(argument)
            case "/who":
                self._tell(self._who())
            case "/ticket":
                self._tell([self._ticket_line])
            case "/help":
                self._tell(_HELP)
            case _:
                self._tell(
                    [f"There is no {command}. /help lists what there is; // writes a line that starts with a slash."]
                )
        return True

    async def publish(self, texts: Sequence[str]) -> bool:
        """
        Publish messages. What cannot be published is told.

        @return: Whether it went well.
        """
        try:
            await gatherResults([self._stream.publish(text + self._ending) for text in texts], consumeErrors=True)
        except (FirstError, P2pandaError) as error:
            cause = error.subFailure.value if isinstance(error, FirstError) else error
            if not isinstance(cause, P2pandaError):
                raise
            self._view.notice(f"Not sent: {cause}")
            return False
        for text in texts:
            if text.startswith(NICK) and (name := harmless_name(text[len(NICK) :])):
                await self._node.set_setting(NICKNAME, name)
        return True

    async def _publish_patiently(self, text: str) -> None:
        """
        Publish one message. If that takes long, as after a restored store, let the person go on.
        """
        is_done = False

        async def publish() -> None:
            nonlocal is_done
            await self.publish([text])
            is_done = True
            self._wake()

        self._run(publish())
        await self._until(lambda: is_done, self._node.reactor.seconds() + PATIENCE)
        if not is_done:
            self._view.notice("This message could not be stored yet, it waits.")

    async def finish(self, timeout: float) -> None:
        """
        Wait until the others have what we wrote, and we have what they had; but not for ever, and not for nodes that
        cannot be reached.

        @param timeout: Seconds.
        """
        clock = self._node.reactor
        deadline = clock.seconds() + timeout

        def settled() -> bool:
            peers = self._node.peer_states(self._stream.topic)
            is_reached = bool(self.presence.connected) or all(peer.last_failure for peer in peers)
            return is_reached and not self.presence.is_catching_up

        await self._until(settled, deadline)
        await self._node.flushed(self._stream.topic, max(0.0, deadline - clock.seconds()))
        newest = await self._node.newest_arrival(self._stream.topic)
        await self._until(lambda: self._seen >= newest, min(deadline, clock.seconds() + 1))

    # Reading

    async def _show_history(self) -> None:
        newest = await self._node.newest_arrival(self._stream.topic)
        shown: deque[Said | Renamed] = deque(maxlen=self._history)
        count = 0
        if newest:
            async for message in self._stream.subscribe(_CURSOR, Start.BEGINNING, until=newest):
                if (entry := self._read(message, local_time(message.timestamp))) is not None:
                    shown.append(entry)
                    count += 1
        if count > len(shown):
            self._view.notice(f"… {count - len(shown):,} earlier messages; `p2panda tail` prints all.")
        for entry in shown:
            self._show(entry)

    async def _follow(self) -> None:
        async for message in self._stream.subscribe(_CURSOR):
            time = datetime.now() if message.timestamp is None else local_time(message.timestamp)
            if (entry := self._read(message, time)) is not None:
                self._show(entry)
            self._wake()
            del message, entry  # they may be large, and the next one may take long

    def _read(self, message: Message, time: datetime | None) -> Said | Renamed | None:
        self._seen = message.arrival
        return self.transcript.read(message.author, message.value, time)

    def _show(self, entry: Said | Renamed) -> None:
        for each in self.transcript.dated(entry):
            self._view.show(each)
        if isinstance(entry, Renamed):
            self._view.changed()

    async def _hear(self) -> None:
        async for event in self._stream.events():
            self._tell(self.presence.hear(event))
            self._view.changed()
            self._wake()

    # Commands

    async def _rename(self, argument: str) -> None:
        if name := harmless_name(argument):
            await self._publish_patiently(NICK + name)
        else:
            self._tell(["Say which name: /nick NAME"])

    def _who(self) -> list[str]:
        names, connected = self.transcript.names, self.presence.connected
        lines = [f"{self.own_name} ({short_id(self._node.node_id)}), this is you"]
        lines += [f"{names.of(node_id)} ({short_id(node_id)}), connected" for node_id in connected]
        lines += [
            f"{names.of(author)} ({short_id(author)}), not connected to us"
            for author in self.transcript.authors
            if author not in connected and author != self._node.node_id
        ]
        return lines

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._view.notice(line)

    # Waiting

    def _run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        running: Deferred[object] = Deferred.fromCoroutine(coroutine)
        self._running[running] = None
        running.addErrback(self._failed).addBoth(lambda _: self._running.pop(running, None))

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._failure = failure
            if self._talking is not None:
                self._talking.cancel()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def _until(self, condition: Callable[[], bool], deadline: float) -> None:
        clock = self._node.reactor
        while not condition() and (left := deadline - clock.seconds()) > 0:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            try:
                await waiting.addTimeout(left, clock)
            except TimeoutError:
                self._waiting.remove(waiting)
