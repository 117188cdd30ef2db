# -*- test-case-name: tests.transport.test_mux -*-
"""
What the multiplexer tells of: a stream, and the events on it and on the whole connection.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from p2panda_tw.transport.frames import INITIAL_WINDOW

__all__ = [
    "DataReceived",
    "EndReceived",
    "Event",
    "GoneAway",
    "MuxStream",
    "PongReceived",
    "StreamOpened",
    "StreamRefused",
    "StreamReset",
    "Violated",
]


class MuxStream:
    """
    One stream as the machine sees it. Read its attributes, change it through L{Mux}.

    @ivar id: Its number; 0 until the first byte goes out.
    @ivar ours: We opened it.
    @ivar one_way: Only its opener sends.
    @ivar queued: Bytes that were written and not yet given out.
    @ivar end_received: The other side sends no more.
    @ivar end_sent: We send no more, and the other side has been told.
    @ivar gone: Nothing more will happen on it: both sides have ended, or it was reset.
    @ivar unread: Bytes received and not yet consumed.
    @ivar owner: For whoever drives the machine.
    @ivar held: The owner needs it, from the start until L{Mux.release<p2panda_tw.transport.mux.Mux.release>}. So long
        it counts against the limits, although it may be gone.
    """

    __slots__ = (
        "_announced",
        "_consumed",
        "_ending",
        "_queue",
        "_ready",
        "_receive_credit",
        "_send_credit",
        "_window",
        "end_received",
        "end_sent",
        "gone",
        "held",
        "id",
        "one_way",
        "ours",
        "owner",
        "queued",
        "unread",
    )

    def __init__(self, ours: bool, one_way: bool, stream_id: int) -> None:
        self.id = stream_id
        self.ours = ours
        self.one_way = one_way
        self.queued = 0
        self.end_received = self.end_sent = self.gone = False
        self.unread = 0
        self.owner: Any = None
        self.held = ours
        self._announced = ours
        self._queue: deque[bytes | memoryview] | None = None  # made when needed: an empty one has 760 bytes
        self._ready = self._ending = False
        self._send_credit = self._receive_credit = self._window = INITIAL_WINDOW
        self._consumed = 0  # since the window last grew


# Events are named tuples rather than dataclasses: one is made per delivery, and these are made in a third of the time.


class StreamOpened(NamedTuple):
    """
    The other side has opened a stream and sent its first byte.
    """

    stream: MuxStream


class DataReceived(NamedTuple):
    """
    Bytes on a stream. They count as unread until L{Mux.consumed} says otherwise.
    """

    stream: MuxStream
    data: bytes


class EndReceived(NamedTuple):
    """
    The other side sends no more on this stream.
    """

    stream: MuxStream


class StreamReset(NamedTuple):
    """
    The stream is over at once.

    @ivar limit: The limit that it exceeded, as a sentence; C{None} when the other side has reset it.
    """

    stream: MuxStream
    limit: str | None


class StreamRefused(NamedTuple):
    """
    The other side wanted to open one stream too many; it was reset.

    @ivar limit: The limit, as a sentence.
    """

    limit: str


class PongReceived(NamedTuple):
    """
    The answer to a ping.
    """

    value: int


class GoneAway(NamedTuple):
    """
    The other side will send nothing more on the whole connection.

    @ivar code: 0 normal, 1 protocol error, 2 internal error.
    """

    code: int


class Violated(NamedTuple):
    """
    The other side broke a rule. A go-away frame is ready to be sent; whatever comes in now is ignored.

    @ivar cause: A short constant word for the rule.
    @ivar sentence: What happened, for a person.
    """

    cause: str
    sentence: str


Event = StreamOpened | DataReceived | EndReceived | StreamReset | StreamRefused | PongReceived | GoneAway | Violated
