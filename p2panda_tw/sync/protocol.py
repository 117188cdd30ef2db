# -*- test-case-name: tests.sync.test_service -*-
"""
The two streams of a session as Twisted protocols: bytes to frames, frames to whoever decides. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as TypingProtocol
from typing import cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import RemoteProtocolError
from p2panda_tw.interfaces import IStream
from p2panda_tw.sync.limits import MAX_HANDSHAKE_PAYLOAD
from p2panda_tw.sync.messages import (
    HandshakeTopic,
    TopicHandshakeMessage,
    decode_handshake_message,
    encode_handshake_message,
)
from p2panda_tw.sync.topic_handshake import Acceptor, Initiator
from p2panda_tw.wire.frames import FrameDecoder

__all__ = ["HandshakeProtocol", "SessionProtocol", "StreamOwner"]


@implementer(IHalfCloseableProtocol)
class HandshakeProtocol(Protocol):
    """
    The first stream: drives a conversation of the topic handshake.
    """

    def __init__(
        self,
        conversation: Initiator | Acceptor,
        *,
        topic_named: Callable[[Topic], None] | None = None,
        succeeded: Callable[[], None],
        failed: Callable[[str, bool], None],
    ) -> None:
        """
        @param topic_named: Called with the topic as soon as the initiator has named it; the handshake goes on.
        @param succeeded: Called at the end.
        @param failed: Called instead, with a sentence for a person, and whether the other side is to blame.
        """
        self._conversation: Initiator | Acceptor | None = conversation
        self._topic_named = topic_named
        self._succeeded = succeeded
        self._failed = failed
        self._decoder = FrameDecoder(MAX_HANDSHAKE_PAYLOAD)

    @override
    def connectionMade(self) -> None:
        """
        The initiator speaks first.
        """
        self._advance(lambda conversation: next(conversation))

    @override
    def dataReceived(self, data: bytes) -> None:
        """
        Whatever comes after the handshake is ignored.
        """
        try:
            for payload in self._decoder.receive_data(data) if self._conversation is not None else ():
                self._on_message(decode_handshake_message(cast(bytes, payload)))
        except RemoteProtocolError as error:
            self._fail(str(error), True)

    def _on_message(self, message: TopicHandshakeMessage) -> None:
        if self._topic_named is not None and isinstance(message, HandshakeTopic):
            topic_named, self._topic_named = self._topic_named, None
            topic_named(message.topic)
        self._advance(lambda conversation: conversation.send(message))

    def readConnectionLost(self) -> None:
        """
        After the handshake that means nothing.
        """
        self._advance(lambda conversation: conversation.send(None))

    def writeConnectionLost(self) -> None:
        """
        Our direction has ended.
        """

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        After the handshake that means nothing, either.
        """
        self._fail("The connection was lost during the topic handshake.", False)

    def _advance(self, step: Callable[[Initiator | Acceptor], object]) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        try:
            self._send(step(conversation))
        except StopIteration as stop:
            self._conversation = None
            if isinstance(stop.value, list):
                self._send(stop.value)
            cast(IStream, self.transport).loseConnection()
            self._succeeded()
        except RemoteProtocolError as error:
            self._fail(str(error), True)

    def _send(self, messages: object) -> None:
        for message in cast("list[TopicHandshakeMessage]", messages):
            cast(IStream, self.transport).write(encode_handshake_message(message))

    def _fail(self, reason: str, to_blame: bool) -> None:
        if self._conversation is not None:
            self._conversation = None
            self._failed(reason, to_blame)


class StreamOwner(TypingProtocol):
    """
    Who decides what happens on a session stream.
    """

    def stream_opened(self, stream: IStream) -> None:
        """
        It can be written to.
        """

    def data_received(self, data: bytes) -> None:
        """
        Bytes have come, cut anywhere.
        """

    def end_of_stream(self) -> None:
        """
        No more will come.
        """

    def stream_closed(self, reason: str) -> None:
        """
        The stream is gone.
        """

    def writing_paused(self) -> None:
        """
        The transport has enough to write.
        """

    def writing_resumed(self) -> None:
        """
        The transport takes more.
        """


@implementer(IHalfCloseableProtocol, IPushProducer)
class SessionProtocol(Protocol):
    """
    The second stream. It may be there before anybody knows whose it is; until then it is not read.
    """

    def __init__(self) -> None:
        self._owner: StreamOwner | None = None
        self._early: list[bytes] = []
        self._ended = False
        self._lost: str | None = None

    def attach(self, owner: StreamOwner) -> None:
        """
        Say who decides. What happened before is told to him first.
        """
        self._owner = owner
        if self.transport is None:
            return
        self._introduce(owner)
        early, self._early = self._early, []
        for data in early:
            owner.data_received(data)
        if self._ended:
            owner.end_of_stream()
        if self._lost is not None:
            owner.stream_closed(self._lost)

    def _introduce(self, owner: StreamOwner) -> None:
        stream = cast(IStream, self.transport)
        owner.stream_opened(stream)
        if self._lost is None:
            stream.registerProducer(self, True)

    @override
    def connectionMade(self) -> None:
        """
        The stream is there.
        """
        if self._owner is None:
            cast(IStream, self.transport).pauseProducing()
        else:
            self._introduce(self._owner)

    @override
    def dataReceived(self, data: bytes) -> None:
        """
        Hand them on.
        """
        if self._owner is None:
            self._early.append(data)
        else:
            self._owner.data_received(data)

    def readConnectionLost(self) -> None:
        """
        Hand it on.
        """
        if self._owner is None:
            self._ended = True
        else:
            self._owner.end_of_stream()

    def writeConnectionLost(self) -> None:
        """
        Our direction has ended.
        """

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Hand it on.
        """
        self._lost = "The stream is closed." if reason.check(ConnectionDone) else "The connection was lost."
        if self._owner is not None:
            self._owner.stream_closed(self._lost)

    def pauseProducing(self) -> None:
        """
        The transport has enough to write.
        """
        if self._owner is not None:
            self._owner.writing_paused()

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        if self._owner is not None:
            self._owner.writing_resumed()

    def stopProducing(self) -> None:
        """
        The transport is gone; L{connectionLost} tells so, too.
        """
