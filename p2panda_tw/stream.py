# -*- test-case-name: tests.test_node -*-
"""
A topic as an application has it: publish values, read what everybody published, hear how syncing goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from p2panda_tw.codec import Codec
from p2panda_tw.core.operation import Operation
from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.subscription import DecodeFailed, EventReader, Message, Start, Subscription, TopicAccess

__all__ = ["Stream"]


def _operation_of(stored: StoredOperation) -> Operation:
    return stored.operation


class Stream:
    """
    An open topic. Get one from L{p2panda_tw.node.Node.stream}, close it when done.

    @ivar topic: The topic. Secret.
    @ivar form: How its operations look.
    """

    _log = Logger()

    def __init__(self, access: TopicAccess, codec: Codec) -> None:
        self.topic = access.topic
        self.form = access.form
        self._access = access
        self._codec = codec
        self._readers: dict[Subscription | EventReader, None] = {}
        self._closed = False

    def opened(self) -> Deferred[None]:
        """
        @return: Fires when the topic is open. Fails when the node cannot start, or the topic is stored in another form.
            Nobody needs to wait for this: everything else on a stream does so by itself.
        """
        self._must_be_open()
        return self._access.ready()

    def publish(self, value: Any) -> Deferred[Operation]:
        """
        Sign a value and store it; other nodes get it as soon as they are connected.

        @return: Fires with the operation once it is stored (with the default durability: synced to disk). Fails with
            L{p2panda_tw.errors.LocalProtocolError} when the value cannot be encoded or the stream is closed, with
            L{p2panda_tw.errors.StoreFull} when the disk is full (nothing is stored then), and with
            L{p2panda_tw.errors.LogNotConfirmed} after a lost or restored store.
        """
        return self._publish(value, prune=False)

    def prune(self, value: Any = None) -> Deferred[Operation]:
        """
        Delete everything that we published before in this topic, here and at every other node.

        @param value: Published in its place, a snapshot for example; C{None} leaves nothing.

        @return: As L{publish}. Topics in the chat form cannot be pruned.
        """
        return self._publish(value, prune=True)

    def _publish(self, value: Any, *, prune: bool) -> Deferred[Operation]:
        try:
            self._must_be_open()
            if prune and self.form is Form.CHAT:
                raise LocalProtocolError("Topics in the chat form cannot be pruned.")
            body = None if prune and value is None else self._codec.encode(value)
        except LocalProtocolError as error:
            return fail(error)
        return self._access.publish(body, prune=prune).addCallback(_operation_of)

    def subscribe(
        self, name: str | None = "default", start: Start = Start.CURSOR, *, until: int | None = None
    ) -> Subscription:
        """
        Read the messages of the topic, own ones included, in order of arrival.

        @param name: Whose acknowledgements these are: one cursor is kept per name. C{None} keeps none and begins at the
            beginning.
        @param start: Where to begin.
        @param until: End the iteration behind this arrival number; C{None}: go on with what comes in.

        @return: To be used with C{async for}.
        """
        self._must_be_open()
        subscription = Subscription(self._access, self._codec, self._tell, name, start, until, self._forget)
        self._readers[subscription] = None
        return subscription

    def deliver(
        self,
        callback: Callable[[Message], Awaitable[object] | None],
        name: str = "default",
        start: Start = Start.CURSOR,
    ) -> Subscription:
        """
        Call C{callback} with each message. A message is acknowledged when the callback has returned, or when the
        awaitable that it returned is done; the next one waits for that. A callback that fails is logged and ends the
        delivery; the message stays unacknowledged.

        @return: C{cancel()} it to end the delivery.
        """
        subscription = self.subscribe(name, start)

        async def run() -> None:
            try:
                async for message in subscription:
                    result = callback(message)
                    if result is not None:
                        await result
                    del message, result  # it may be large, and the next one may take long
            finally:
                subscription.cancel()

        Deferred.fromCoroutine(run()).addErrback(
            lambda failure: self._log.failure("A subscriber of {topic} failed", failure, topic=self.topic)
        )
        return subscription

    def events(self) -> EventReader:
        """
        Hear how syncing this topic goes: the events of L{p2panda_tw.sync.events}, L{DecodeFailed}, and L{Lagged} where
        the reader was too slow.
        """
        self._must_be_open()
        reader = EventReader(self._access, self._forget)
        self._readers[reader] = None
        return reader

    def close(self) -> Deferred[None]:
        """
        End all subscriptions of this stream. When it was the last one of its topic, syncing ends too.

        @return: Fires once that is done.
        """
        if not self._closed:
            self._closed = True
            for reader in list(self._readers):
                reader.cancel()
            return self._access.release()
        return succeed(None)

    def _must_be_open(self) -> None:
        if self._closed:
            raise LocalProtocolError("The stream is closed.")

    def _forget(self, reader: Subscription | EventReader) -> None:
        self._readers.pop(reader, None)

    def _tell(self, event: DecodeFailed) -> None:
        for reader in list(self._readers):
            if isinstance(reader, EventReader):
                reader.add(event)
