# -*- test-case-name: tests.sync.test_service -*-
"""
How a connection becomes a session (docs/sync.md, section 2): the first stream carries the topic handshake, the
second one the session, and both are opened by the dialling side.

A node of ours is told everything in one flight: Topic, Done, and our C{Have} on the second stream, without waiting
for its answer. Any other node is asked first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import P2pandaError
from p2panda_tw.interfaces import IConnection
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.limits import HANDSHAKE_TIMEOUT
from p2panda_tw.sync.protocol import HandshakeProtocol, SessionProtocol, StreamOwner
from p2panda_tw.sync.topic_handshake import accept, initiate

__all__ = ["IncomingConnection", "IncomingHost", "OutgoingConnection", "SessionOwner"]


class SessionOwner(StreamOwner, Protocol):
    """
    A session that can be told of what happens before its stream is there.
    """

    def feed(self, event: fx.Input) -> None:
        """
        Tell it.
        """


class _Streams(Factory):
    """
    Builds protocols by calling a function.
    """

    noisy = False

    def __init__(self, build: Callable[[], IProtocol | None]) -> None:
        self._build = build

    @override
    def buildProtocol(self, addr: IAddress) -> IProtocol | None:  # type: ignore[override]  # Twisted: or nothing
        """
        Each stream gets its own.
        """
        return self._build()


class OutgoingConnection:
    """
    The dialling side of one connection.
    """

    _log = Logger()

    def __init__(
        self, connection: IConnection, topic: Topic, owner: SessionOwner, clock: IReactorTime, *, in_one_flight: bool
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._owner = owner
        self._clock = clock
        self._in_one_flight = in_one_flight
        self._deadline: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Open the first stream.
        """
        self._deadline = self._clock.callLater(HANDSHAKE_TIMEOUT, self._too_late)
        self._connection.closed.addCallback(self._closed)
        conversation = initiate(self._topic, in_one_flight=self._in_one_flight)
        protocol = HandshakeProtocol(conversation, succeeded=self._succeeded, failed=self._failed)
        self._open(protocol, self._open_session if self._in_one_flight else lambda: None)

    def _open(self, protocol: HandshakeProtocol | SessionProtocol, then: Callable[[], None]) -> None:
        factory = cast(IProtocolFactory, _Streams(lambda: cast(IProtocol, protocol)))
        opened = self._connection.open_stream(factory)
        opened.addCallbacks(lambda _: then(), self._not_opened)
        opened.addErrback(lambda failure: self._log.failure("A session stumbled at its beginning.", failure))

    def _not_opened(self, failure: Failure) -> None:
        if not failure.check(P2pandaError):
            self._log.failure("A stream could not be opened.", failure)
        self._failed(failure.getErrorMessage(), False)

    def _open_session(self) -> None:
        protocol = SessionProtocol()
        protocol.attach(self._owner)
        self._open(protocol, lambda: None)

    def _succeeded(self) -> None:
        self._stop_clock()
        if not self._in_one_flight:
            self._open_session()

    def _failed(self, reason: str, to_blame: bool) -> None:
        self._stop_clock()
        self._owner.feed(fx.GarbageReceived(reason) if to_blame else fx.ConnectionClosed(reason))

    def _too_late(self) -> None:
        self._deadline = None
        self._owner.feed(fx.GarbageReceived("The topic handshake takes too long."))

    def _closed(self, result: None) -> None:
        self._failed("The connection was closed.", False)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class IncomingHost(Protocol):
    """
    Who knows the topics.
    """

    def topic_named(self, incoming: IncomingConnection, topic: Topic) -> SessionOwner | None:
        """
        @return: A session for it, if the topic is known.
        """

    def incoming_settled(self, incoming: IncomingConnection) -> None:
        """
        It has become a session, or never will.
        """

    def incoming_failed(self, incoming: IncomingConnection, reason: str, to_blame: bool) -> None:
        """
        It ends before it became a session.
        """


class IncomingConnection:
    """
    The dialled side of one connection.

    @ivar connection: The connection.
    @ivar unknown: Whether it has named a topic that we do not know.
    """

    def __init__(self, connection: IConnection, host: IncomingHost, clock: IReactorTime) -> None:
        self.connection = connection
        self._host = host
        self._clock = clock
        self._owner: SessionOwner | None = None
        self._stream: SessionProtocol | None = None
        self._streams = 0
        self.unknown = self._settled = False
        self._deadline: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Wait for the streams.
        """
        self._deadline = self._clock.callLater(HANDSHAKE_TIMEOUT, self._too_late)
        self.connection.closed.addCallback(self._closed)
        self.connection.accept_streams(cast(IProtocolFactory, _Streams(self._build)))

    def _build(self) -> IProtocol | None:
        self._streams += 1
        if self._streams == 1:
            handshake = HandshakeProtocol(
                accept(), topic_named=self._topic_named, succeeded=self._succeeded, failed=self._failed
            )
            return cast(IProtocol, handshake)
        if self._streams == 2:
            self._stream = SessionProtocol()
            if self._owner is not None:
                self._stream.attach(self._owner)
                self._settle()
            return cast(IProtocol, self._stream)
        return None

    def _topic_named(self, topic: Topic) -> None:
        self._owner = self._host.topic_named(self, topic)
        self.unknown = self._owner is None
        if self._owner is not None and self._stream is not None:
            self._stream.attach(self._owner)
            self._settle()

    def _succeeded(self) -> None:
        if self.unknown:
            # As upstream: there is no message for that.
            self._settle()
            self.connection.close("")

    def _failed(self, reason: str, to_blame: bool) -> None:
        self._settle()
        if self._owner is not None:
            self._owner.feed(fx.GarbageReceived(reason) if to_blame else fx.ConnectionClosed(reason))
        else:
            self._host.incoming_failed(self, reason, to_blame)
            self.connection.abort(reason)

    def _too_late(self) -> None:
        self._deadline = None
        self._failed("The topic handshake takes too long.", True)

    def _closed(self, result: None) -> None:
        if not self._settled:
            self._settle()
            if self._owner is not None:
                self._owner.feed(fx.ConnectionClosed("The connection was closed."))

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._settled:
            self._settled = True
            self._host.incoming_settled(self)
