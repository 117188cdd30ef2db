# -*- test-case-name: tests.transport.test_mux -*-
"""
Several streams on one pair of byte streams: frames, windows, and all the limits of docs/tls-transport.md. Pure:
received bytes go in, events come out; calls change the state, L{Mux.data_to_send} says what to write.

Payloads are handed on as they arrive, so that nothing but an incomplete header is ever held here. What the reader of a
stream has not consumed yet is held by whoever drives this machine, and counted here.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.transport.frames import (
    ACK,
    BATCH,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    IDLE_WORTH,
    INITIAL_WINDOW,
    MAX_CONTROL,
    MAX_CREDIT,
    MAX_IDLE_FRAMES,
    MAX_PAYLOAD,
    MAX_PEER_STREAMS,
    MAX_UNREAD,
    MAX_WINDOW,
    NORMAL,
    ONE_WAY,
    PING,
    PROTOCOL_ERROR,
    RST,
    SYN,
    TWO_WAY,
    WINDOW_UPDATE,
)
from p2panda_tw.transport.mux_stream import (
    DataReceived,
    EndReceived,
    Event,
    GoneAway,
    MuxStream,
    PongReceived,
    StreamOpened,
    StreamRefused,
    StreamReset,
    Violated,
)

__all__ = ["Mux"]


class _Violation(Exception):
    """
    Carries L{Violated} out of the depth of the parser.
    """

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.event = Violated(cause, sentence)


class Places(Protocol):
    """
    Room for streams that other nodes open, in the whole process.
    """

    def take(self) -> bool:
        """
        @return: Whether there was a place; it is taken now.
        """

    def leave(self) -> None:
        """
        A place is free again.
        """


class Mux:
    """
    One side of a connection.

    @ivar streams: Those that are not gone and have a number, by number.
    @ivar unread: Bytes on all streams that were received and not yet consumed.
    @ivar frames: Headers that were received.
    @ivar payload: Bytes of payload that were received.
    @ivar progressed: Streams of which L{data_to_send} gave something out; whoever looks at them clears the list.
    """

    def __init__(self, dialler: bool, places: Places) -> None:
        """
        @param dialler: Which side we are; stream numbers are odd if opened by the dialler.
        @param places: Where streams that the other side opens find a place.
        """
        self.streams: dict[int, MuxStream] = {}
        self.unread = 0
        self.frames = 0
        self.payload = 0
        self.progressed: list[MuxStream] = []
        self._next_id = 1 if dialler else 2
        self._peer_parity = 0 if dialler else 1
        self._last_peer_id = 0
        self._places = places
        self._ours = self._theirs = 0  # streams that are not gone, or held
        self._header = b""
        self._left = 0
        self._receiving: MuxStream | None = None
        self._flags = 0
        self._stray_credit = 0
        self._idle = 0  # in bytes, IDLE_WORTH per frame
        self._control = bytearray()
        self._ready: deque[MuxStream] = deque()
        self._deaf = self._mute = False

    # What we do.

    @property
    def may_open(self) -> bool:
        """
        Whether the other side takes one more stream of ours.
        """
        return self._ours < MAX_PEER_STREAMS and not self._mute

    @property
    def in_frame(self) -> bool:
        """
        Whether a frame has begun to arrive and is not complete.
        """
        return bool(self._left or self._header)

    @property
    def pending(self) -> bool:
        """
        Whether L{data_to_send} would give something now.
        """
        return bool(self._control or self._ready)

    @property
    def drained(self) -> bool:
        """
        Whether everything that was written has been given out.
        """
        return not self.pending and not any(stream.queued for stream in self.streams.values())

    def open(self, one_way: bool = False) -> MuxStream:
        """
        Make a stream. The other side hears of it with the first byte or the end. Whoever opened it, and whoever hears
        of one that the other side opened, releases it in the end.

        @raise LocalProtocolError: There are too many, or the connection is closing.
        """
        if not self.may_open:
            raise LocalProtocolError("The connection takes no more streams.")
        self._ours += 1
        return MuxStream(ours=True, one_way=one_way, stream_id=0)

    def write(self, stream: MuxStream, data: bytes) -> None:
        """
        Send bytes on a stream, when windows and other streams allow it. On an ended stream nothing happens.
        """
        if not data or stream._ending or stream.gone:
            return
        if stream._queue is None:
            stream._queue = deque()
        stream._queue.append(data)
        stream.queued += len(data)
        self._schedule(stream)

    def end(self, stream: MuxStream) -> None:
        """
        End our direction after what was written.
        """
        if not stream._ending and not stream.gone:
            stream._ending = True
            self._schedule(stream)

    def reset(self, stream: MuxStream) -> None:
        """
        End a stream at once in both directions.
        """
        if stream.gone:
            return
        if stream.id:
            self._answer(WINDOW_UPDATE, RST, stream.id, 0)
        if not stream.end_received:
            self._stray_credit += stream._receive_credit
        self._forget(stream)

    def release(self, stream: MuxStream) -> None:
        """
        The owner needs a stream no longer.
        """
        if stream.held:
            stream.held = False
            if stream.gone:
                self._leave(stream)

    def close(self) -> None:
        """
        The connection is gone, and so are all streams.
        """
        self._deaf = self._mute = True
        self._ready.clear()
        for stream in list(self.streams.values()):
            stream._ready = False
            self._forget(stream)

    def consumed(self, stream: MuxStream, count: int, window: int = MAX_WINDOW) -> None:
        """
        The reader is done with some bytes; the other side may send as many more.

        @param window: What the stream may have under way at most from now on. Less memory, smaller windows.
        """
        stream.unread -= count
        self.unread -= count
        if stream.gone or stream.end_received:
            return
        stream._consumed += count
        if stream._consumed >= stream._window and not stream.unread:
            stream._consumed = 0
            stream._window = min(stream._window * 2, MAX_WINDOW)
        target = min(stream._window, window)
        room = target - stream._receive_credit - stream.unread
        if room * 2 >= target:
            stream._receive_credit += room
            self._answer(WINDOW_UPDATE, 0, stream.id, room)

    def ping(self, value: int) -> None:
        """
        Ask for a sign of life.
        """
        self._answer(PING, SYN, 0, value)

    def go_away(self, code: int = NORMAL) -> None:
        """
        Say that nothing more will come. What waits to be sent is dropped.
        """
        if not self._mute:
            self._ready.clear()
            self._answer(GO_AWAY, 0, 0, code)
            self._mute = True

    def renew_allowance(self) -> None:
        """
        To be called every few seconds: forget how many frames without payload have come.
        """
        self._idle = 0

    def data_to_send(self) -> bytes:
        """
        @return: What to write next, about L{BATCH} bytes at most; nothing when there is nothing to say. Answers go
            first, then one frame of each stream in turn.
        """
        parts: list[bytes | bytearray | memoryview] = []
        size = len(self._control)
        if size:
            parts.append(self._control)
            self._control = bytearray()
        while self._ready and BATCH - size > 2 * HEADER.size:
            stream = self._ready.popleft()
            stream._ready = False
            size += self._give(stream, BATCH - size, parts)
            self.progressed.append(stream)
            self._schedule(stream)
        return b"".join(parts)

    def _schedule(self, stream: MuxStream) -> None:
        sendable = stream._send_credit if stream._queue else stream._ending and not stream.end_sent
        if sendable and not stream._ready and not stream.gone and not self._mute:
            stream._ready = True
            self._ready.append(stream)

    def _give(self, stream: MuxStream, room: int, parts: list[bytes | bytearray | memoryview]) -> int:
        """
        Append the next frame of a stream, with the one that opens it if need be.

        @return: Bytes appended.
        """
        size = 0
        if not stream.id:
            stream.id = self._next_id
            self._next_id += 2
            self.streams[stream.id] = stream
            kind = ONE_WAY if stream.one_way else TWO_WAY
            parts.append(HEADER.pack(0, DATA, SYN, stream.id, 1) + bytes([kind]))
            stream._send_credit -= 1
            size = HEADER.size + 1
        length = min(stream.queued, stream._send_credit, MAX_PAYLOAD, max(room - size - HEADER.size, 1))
        ends = stream._ending and length == stream.queued
        parts.append(HEADER.pack(0, DATA, FIN if ends else 0, stream.id, length))
        stream.queued -= length
        stream._send_credit -= length
        self._idle = max(self._idle - length, 0)
        left = length
        queue = stream._queue
        while left and queue:
            piece = queue.popleft()
            if len(piece) > left:
                view = memoryview(piece)
                queue.appendleft(view[left:])
                piece = view[:left]
            parts.append(piece)
            left -= len(piece)
        if ends:
            stream.end_sent = True
            self._close_if_done(stream)
        return size + HEADER.size + length

    def _answer(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        if not self._mute:
            self._control += HEADER.pack(0, kind, flags, stream_id, value)

    def _close_if_done(self, stream: MuxStream) -> None:
        if stream.end_sent and stream.end_received:
            self._forget(stream)

    def _forget(self, stream: MuxStream) -> None:
        if stream.gone:
            return
        stream.gone = True
        stream._queue = None
        stream.queued = 0
        if stream._ready:
            stream._ready = False
            self._ready.remove(stream)
        self.streams.pop(stream.id, None)
        if not stream.held:
            self._leave(stream)

    def _leave(self, stream: MuxStream) -> None:
        if stream.ours:
            self._ours -= 1
        else:
            self._theirs -= 1
            self._places.leave()

    # What they do.

    def receive_data(self, data: bytes) -> list[Event]:
        """
        @param data: Any cut of what the other side sent.

        @return: What became of it. After L{Violated} or L{GoneAway} always nothing.
        """
        events: list[Event] = []
        at = 0
        try:
            while at < len(data) and not self._deaf:
                if self._left:
                    piece = data[at : at + self._left]
                    at += len(piece)
                    self._left -= len(piece)
                    self._on_payload(piece, events)
                else:
                    piece = data[at : at + HEADER.size - len(self._header)]
                    at += len(piece)
                    header = self._header + piece
                    if len(header) < HEADER.size:
                        self._header = header
                        break
                    self._header = b""
                    self._on_header(events, *HEADER.unpack(header))
            if len(self._control) > MAX_CONTROL:
                raise _Violation("flood", "More answers were asked for than are read.")
        except _Violation as violation:
            self._deaf = True
            self._left = 0
            self._header = b""
            self._receiving = None
            self.go_away(PROTOCOL_ERROR)
            events.append(violation.event)
        return events

    def _on_header(self, events: list[Event], version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version or kind > GO_AWAY or flags > SYN | ACK | FIN | RST:
            raise _Violation("garbage", "What arrived is no frame.")
        if (stream_id == 0) != (kind in (PING, GO_AWAY)):
            raise _Violation("garbage", "A frame has a stream number that does not fit its type.")
        if kind == DATA and length > MAX_PAYLOAD:
            raise _Violation("frame too long", f"A frame announced {length} bytes, {MAX_PAYLOAD} are allowed.")
        self.frames += 1
        if kind != DATA or not length:
            self._idle += IDLE_WORTH
            if self._idle > MAX_IDLE_FRAMES * IDLE_WORTH:
                raise _Violation("flood", "Too many frames arrived that carry nothing.")
        if kind == PING:
            if flags & SYN:
                self._answer(PING, ACK, 0, length)
            elif flags & ACK:
                events.append(PongReceived(length))
        elif kind == GO_AWAY:
            self._deaf = True
            events.append(GoneAway(length))
        else:
            self._on_stream_frame(kind, flags, stream_id, length, events)

    def _on_stream_frame(self, kind: int, flags: int, stream_id: int, length: int, events: list[Event]) -> None:
        stream = self._accept(stream_id, events) if flags & SYN else self._find(stream_id)
        size = length if kind == DATA else 0
        if stream is not None and flags & RST:
            self._stray_credit += size
            self._forget(stream)
            if stream._announced:
                events.append(StreamReset(stream, None))
            stream = None
        if stream is None:
            if size > self._stray_credit:
                raise _Violation("no such stream", "Data arrived for a stream that is over.")
            self._stray_credit -= size
        elif kind == WINDOW_UPDATE:
            stream._send_credit = min(stream._send_credit + length, MAX_CREDIT)
            self._schedule(stream)
        elif stream.end_received and (size or flags & FIN):
            raise _Violation("data after the end", "Something arrived on a stream after its end.")
        elif size > stream._receive_credit:
            raise _Violation("window exceeded", "More data arrived on a stream than its window allows.")
        elif size and stream.ours and stream.one_way:
            raise _Violation("answer on a one-way stream", "Data arrived on a one-way stream of ours.")
        self._left, self._receiving, self._flags = size, stream, flags
        if not size:
            self._on_frame_end(events)

    def _accept(self, stream_id: int, events: list[Event]) -> MuxStream | None:
        """
        @return: The new stream, or C{None} if there are too many.
        """
        if stream_id & 1 != self._peer_parity or stream_id <= self._last_peer_id:
            raise _Violation("wrong stream number", "A stream was opened with a number that is not its turn.")
        self._last_peer_id = stream_id
        if self._theirs >= MAX_PEER_STREAMS or not self._places.take():
            events.append(StreamRefused("The other node wants to open too many streams."))
            self._stray_credit += INITIAL_WINDOW
            self._answer(WINDOW_UPDATE, RST, stream_id, 0)
            return None
        self._theirs += 1
        stream = self.streams[stream_id] = MuxStream(ours=False, one_way=False, stream_id=stream_id)
        self._answer(WINDOW_UPDATE, ACK, stream_id, 0)
        return stream

    def _find(self, stream_id: int) -> MuxStream | None:
        """
        @return: The stream, or C{None} if it is gone.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            theirs = stream_id & 1 == self._peer_parity
            if stream_id > self._last_peer_id if theirs else stream_id >= self._next_id:
                raise _Violation("no such stream", "A frame belongs to a stream that was never opened.")
        return stream

    def _on_payload(self, piece: bytes, events: list[Event]) -> None:
        stream = self._receiving
        self.payload += len(piece)
        self._idle = max(self._idle - len(piece), 0)
        if stream is not None and stream.gone:  # reset since the frame began, its credit is among the strays now
            self._stray_credit -= len(piece)
        elif stream is not None:
            stream._receive_credit -= len(piece)
            if not stream._announced:
                piece = self._announce(stream, piece, events)
            if self.unread + len(piece) > MAX_UNREAD:
                self.reset(stream)
                events.append(StreamReset(stream, f"More than {MAX_UNREAD >> 20} MiB on a connection are unread."))
            elif piece:
                stream.unread += len(piece)
                self.unread += len(piece)
                events.append(DataReceived(stream, piece))
        if not self._left:
            self._on_frame_end(events)

    def _announce(self, stream: MuxStream, piece: bytes, events: list[Event]) -> bytes:
        """
        Read the first byte of a stream.

        @return: What follows it.
        """
        if piece[0] not in (TWO_WAY, ONE_WAY):
            raise _Violation("unknown kind of stream", "A stream began with a byte that means nothing.")
        stream._announced = stream.held = True
        stream.one_way = piece[0] == ONE_WAY
        if stream.one_way:
            self._answer(DATA, FIN, stream.id, 0)
            stream._ending = stream.end_sent = True
        events.append(StreamOpened(stream))
        return piece[1:]

    def _on_frame_end(self, events: list[Event]) -> None:
        stream, self._receiving = self._receiving, None
        if stream is None or stream.gone or not self._flags & FIN:
            return
        stream.end_received = True
        if stream._announced:
            events.append(EndReceived(stream))
        else:
            self.end(stream)  # ended before it said what it is: nobody hears of it
        self._close_if_done(stream)
