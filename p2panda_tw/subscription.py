# -*- test-case-name: tests.test_node -*-
"""
What an application reads of a topic: its messages, and the events of its syncing.

The store is the queue. A L{Subscription} remembers the arrival number up to which its application has acknowledged and
reads on from there: a slow application lags behind and catches up, and after a restart it continues where it was.
Asking for the next message acknowledges the one before, so every message is delivered at least once.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from p2panda_tw.codec import Codec
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.operation import Operation
from p2panda_tw.core.stored import StoredOperation, StoredPage
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import DecodeError, LocalProtocolError

__all__ = ["DecodeFailed", "EventReader", "Lagged", "Message", "Start", "Subscription", "TopicAccess"]

MESSAGES_PER_TURN: Final = 128
"""
So many messages are handed to an application before the reactor gets its turn, so that a subscriber who never waits for
anything cannot starve the node.
"""

BYTES_PER_MESSAGE: Final = 512
"""
A body of so many bytes counts as one more message there, because it takes as much time to read.
"""

EVENT_QUEUE_LENGTH: Final = 256
"""
Events that wait for a slow reader. What does not fit is counted and told as L{Lagged}.
"""


class Start(enum.Enum):
    """
    Where a subscription begins.
    """

    CURSOR = "cursor"
    """
    Behind the last message that was acknowledged under its name; at the beginning when there is none.
    """

    BEGINNING = "beginning"
    """
    With everything the store has, in order of arrival. What had been acknowledged under this name is forgotten.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    A value that somebody published.

    @ivar value: What the codec read from the body.
    @ivar author: Who published it.
    @ivar timestamp: When, in microseconds since 1970 by the author's clock; C{None} in the chat form, which has none.
    @ivar operation: The operation that carried it.
    @ivar arrival: Its arrival number in our store.
    """

    value: Any
    author: VerifyingKey
    timestamp: int | None
    operation: Operation
    arrival: int


@dataclass(frozen=True, slots=True)
class Lagged:
    """
    The reader of events was too slow.

    @ivar missed: How many events were left out here. (Messages are never left out.)
    """

    missed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeFailed:
    """
    An operation is stored and sent on, but its body is no value of the topic's codec. It is skipped.

    @ivar operation: The operation.
    @ivar reason: A sentence for a person.
    """

    operation: Operation
    reason: str


class _Store(Protocol):
    """
    What a subscription needs of the store.
    """

    def page(self, topic: Topic, after: int, /) -> Deferred[StoredPage]: ...
    def recent(self, topic: Topic, after: int, /) -> StoredPage | None: ...
    def listen(self, topic: Topic, callback: Callable[[Sequence[StoredOperation]], None], /) -> Callable[[], None]: ...
    def cursor(self, topic: Topic, name: str, /) -> Deferred[int]: ...


class TopicAccess(Protocol):
    """
    What a stream needs of the open topic it is on, see L{p2panda_tw.open_topic.OpenTopic}.
    """

    topic: Topic
    form: Form
    reactor: Any

    @property
    def store(self) -> _Store: ...  # noqa: D102 -- as OpenTopic says
    def ready(self) -> Deferred[None]: ...  # noqa: D102
    def publish(  # noqa: D102
        self, body: bytes | None, /, *, prune: bool = False
    ) -> Deferred[StoredOperation]: ...
    def listen(self, callback: Callable[[], None], /) -> Callable[[], None]: ...  # noqa: D102
    def acknowledge(self, name: str, arrival: int, /) -> None: ...  # noqa: D102
    def watch(self, callback: Callable[[object], None], /) -> Callable[[], None]: ...  # noqa: D102
    def release(self) -> Deferred[None]: ...  # noqa: D102


class Subscription:
    """
    The messages of a topic, one by one. An asynchronous iterator; without a last arrival number it never ends by
    itself.
    """

    def __init__(
        self,
        access: TopicAccess,
        codec: Codec,
        tell: Callable[[DecodeFailed], None],
        name: str | None,
        start: Start,
        until: int | None,
        ended: Callable[[Subscription], None],
    ) -> None:
        """
        @param tell: Called with what could not be decoded.
        @param ended: Called, perhaps more than once, when nothing more will be read.
        """
        self._access = access
        self._codec = codec
        self._tell = tell
        self._name = name
        self._start = start
        self._until = until
        self._ended = ended
        self._position: int | None = None
        self._handed_over = 0
        self._waiting: deque[StoredOperation] = deque()
        self._in_this_turn = 0
        self._wake: Deferred[None] | None = None
        self._stop_listening = access.listen(self._wake_up)
        self._asked = False
        self._cancelled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """
        Acknowledge the message before and wait for the next one.

        @raise StopAsyncIteration: The subscription was cancelled, its stream closed, or the last message handed over.
        """
        if self._asked:
            raise LocalProtocolError("Somebody else is already waiting for the next message of this subscription.")
        self._asked = True
        try:
            self.acknowledge()
            while not self._cancelled:
                while self._waiting:
                    stored = self._waiting.popleft()
                    self._handed_over = stored.arrival
                    message = self._read(stored)
                    self._in_this_turn += 1 + len(stored.operation.body or b"") // BYTES_PER_MESSAGE
                    if self._in_this_turn >= MESSAGES_PER_TURN:
                        self._in_this_turn = 0
                        await deferLater(self._access.reactor, 0)
                        if self._cancelled:
                            raise StopAsyncIteration
                    if message is not None:
                        return message
                    del stored  # it may be large, and what follows may take long
                if self._is_done():
                    self.acknowledge()
                    self.cancel()
                    break
                await self._fill()
            raise StopAsyncIteration
        finally:
            self._asked = False

    def acknowledge(self) -> None:
        """
        Acknowledge the last message without asking for the next, before leaving a loop for example.
        """
        if self._handed_over and self._name is not None and not self._cancelled:
            self._access.acknowledge(self._name, self._handed_over)
            self._handed_over = 0

    def cancel(self) -> None:
        """
        End the iteration. The message that was handed over last stays unacknowledged.
        """
        self._cancelled = True
        self._waiting.clear()
        self._stop_listening()
        self._wake_up()
        self._ended(self)

    def _read(self, stored: StoredOperation) -> Message | None:
        operation = stored.operation
        if operation.body is None:
            return None
        try:
            value = self._codec.decode(operation.body)
        except DecodeError as error:
            self._tell(DecodeFailed(operation=operation, reason=str(error)))
            return None
        return Message(
            value=value,
            author=operation.author,
            timestamp=operation.timestamp,
            operation=operation,
            arrival=stored.arrival,
        )

    async def _fill(self) -> None:
        """
        Get more to hand over, or wait until there is more.
        """
        access = self._access
        await access.ready()
        if self._position is None:
            self._position = await self._find_start()
        if self._cancelled:
            return
        wake: Deferred[None] = Deferred()
        self._wake = wake
        page = access.store.recent(access.topic, self._position)
        if page is None:
            page = await access.store.page(access.topic, self._position)
            self._in_this_turn = 0
        self._position = page.until
        self._waiting.extend(
            page.operations
            if self._until is None
            else (stored for stored in page.operations if stored.arrival <= self._until)
        )
        if page.until >= page.newest and not (page.operations or self._cancelled or self._is_done()):
            await wake
            self._in_this_turn = 0

    def _is_done(self) -> bool:
        """
        @return: Nothing is to be read any more.
        """
        return self._until is not None and self._position is not None and self._position >= self._until

    async def _find_start(self) -> int:
        """
        @return: The arrival number behind which to begin.
        """
        if self._name is None:
            return 0
        if self._start is Start.CURSOR:
            return await self._access.store.cursor(self._access.topic, self._name)
        self._access.acknowledge(self._name, 0)
        return 0

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)


class EventReader:
    """
    Events of a topic, one by one, beginning with those after its making. An asynchronous iterator.
    """

    def __init__(self, access: TopicAccess, ended: Callable[[EventReader], None]) -> None:
        """
        @param ended: Called, perhaps more than once, when nothing more will be read.
        """
        self._ended = ended
        self._events: deque[object] = deque()
        self._missed = 0
        self._wake: Deferred[None] | None = None
        self._cancelled = False
        self._stop_watching = access.watch(self.add)

    def add(self, event: object) -> None:
        """
        Queue an event for the reader.
        """
        if len(self._events) < EVENT_QUEUE_LENGTH:
            self._events.append(event)
        else:
            self._missed += 1
        self._wake_up()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        """
        @raise StopAsyncIteration: The reader was cancelled, or its stream closed.
        """
        while not self._cancelled:
            if self._events:
                return self._events.popleft()
            if self._missed:
                missed, self._missed = self._missed, 0
                return Lagged(missed)
            self._wake = Deferred()
            await self._wake
        raise StopAsyncIteration

    def cancel(self) -> None:
        """
        End the iteration.
        """
        self._cancelled = True
        self._stop_watching()
        self._wake_up()
        self._ended(self)

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)
