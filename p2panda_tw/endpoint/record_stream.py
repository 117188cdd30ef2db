# -*- test-case-name: tests.endpoint.test_exchange -*-
"""
The one stream of an exchange of addresses: each side sends u32 length and record, then the end of the stream.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.endpoint.record import MAX_RECORD_LENGTH
from p2panda_tw.errors import ConnectError, DecodeError, RemoteProtocolError
from p2panda_tw.interfaces import IStream
from p2panda_tw.wire.frames import FrameDecoder, encode_frame

__all__ = ["OneStream", "RecordStream"]


@implementer(IHalfCloseableProtocol)
class RecordStream(Protocol):
    """
    One side of the stream: sends one frame and expects one.

    @ivar received: Fires with the frame of the other side after the end of its direction. Fails with
        L{RemoteProtocolError}.
    """

    transport: IStream

    def __init__(self, to_send: bytes) -> None:
        self.received: Deferred[bytes] = Deferred()
        self._to_send = to_send
        self._decoder = FrameDecoder(MAX_RECORD_LENGTH)
        self._frames: list[bytes] = []

    @override
    def connectionMade(self) -> None:
        """
        Send our record and nothing else.
        """
        self.transport.write(encode_frame(self._to_send))
        self.transport.loseWriteConnection()

    @override
    def dataReceived(self, data: bytes) -> None:
        """
        Take a part of the other record.
        """
        if self.received.called:
            return
        try:
            self._frames += [frame for frame in self._decoder.receive_data(data) if isinstance(frame, bytes)]
            if len(self._frames) > 1:
                raise DecodeError("More than one record of addresses came.")
        except DecodeError as error:
            self._fail(error)

    def readConnectionLost(self) -> None:
        """
        The other side has sent everything.
        """
        if self.received.called:
            return
        try:
            self._decoder.receive_eof()
            if not self._frames:
                raise DecodeError("No record of addresses came.")
        except DecodeError as error:
            self._fail(error)
        else:
            self.received.callback(self._frames[0])

    def writeConnectionLost(self) -> None:
        """
        We have sent everything.
        """

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The stream is over, perhaps too early.
        """
        if not self.received.called:
            self.received.errback(RemoteProtocolError("The connection ended before the record of addresses had come."))

    def give_up(self) -> None:
        """
        The connection is gone; perhaps there never was a stream.
        """
        if not self.received.called:
            self.received.errback(ConnectError("The connection was closed."))

    def _fail(self, error: DecodeError) -> None:
        self.transport.abortConnection()
        if not self.received.called:
            self.received.errback(error)


class OneStream(Factory):
    """
    Gives one protocol to the first stream; others are reset.
    """

    noisy = False

    def __init__(self, protocol: RecordStream) -> None:
        self._protocol: RecordStream | None = protocol

    @override
    def buildProtocol(self, addr: object) -> RecordStream | None:
        """
        @return: The protocol, once.
        """
        protocol, self._protocol = self._protocol, None
        return protocol
