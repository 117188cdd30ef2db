"""
The multiplexer: frames, windows, limits.
"""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.transport.frames import (
    ACK,
    BATCH,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    INITIAL_WINDOW,
    MAX_CONTROL,
    MAX_IDLE_FRAMES,
    MAX_PAYLOAD,
    MAX_PEER_STREAMS,
    MAX_UNREAD,
    MAX_WINDOW,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
)
from p2panda_tw.transport.limits import ReceiveBudget
from p2panda_tw.transport.mux import Mux
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


def mux(dialler: bool) -> Mux:
    return Mux(dialler, ReceiveBudget())


def frame(kind: int, flags: int, stream_id: int, length: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream_id, length) + payload


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, len(payload), payload)


def everything(side: Mux) -> bytes:
    """
    All that a side has to say now.
    """
    parts = []
    while part := side.data_to_send():
        parts.append(part)
    return b"".join(parts)


def exchange(a: Mux, b: Mux) -> tuple[list[Event], list[Event]]:
    """
    Let both sides say everything until there is silence. Data is consumed as it comes.

    @return: What A and B heard.
    """
    heard: tuple[list[Event], list[Event]] = ([], [])
    while a.pending or b.pending:
        for here, there, events in ((a, b, heard[1]), (b, a, heard[0])):
            new = there.receive_data(everything(here))
            for event in new:
                if isinstance(event, DataReceived):
                    there.consumed(event.stream, len(event.data))
            events += new
    return heard


def received(events: list[Event]) -> dict[int, bytes]:
    """
    The bytes of each stream.
    """
    found: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, DataReceived):
            found[event.stream.id] = found.get(event.stream.id, b"") + event.data
    return found


class BytesTests(SynchronousTestCase):
    """
    The bytes of docs/tls-transport.md, section 7.
    """

    def test_opening(self) -> None:
        """
        The dialler's first stream begins with the bytes that the page names.
        """
        side = mux(True)
        stream = side.open()
        self.assertEqual(everything(side), b"")
        side.write(stream, b"hi")
        self.assertEqual(
            everything(side).hex(" "),
            "00 00 00 01 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 00 01 00 00 00 02 68 69",
        )

    def test_answer(self) -> None:
        """
        The acceptor answers with a window update that carries ACK.
        """
        side = mux(False)
        side.receive_data(bytes.fromhex("00 00 0001 00000001 00000001 00"))
        self.assertEqual(everything(side), bytes.fromhex("00 01 0002 00000001 00000000"))

    def test_pings(self) -> None:
        """
        A ping is answered with its value.
        """
        here, there = mux(True), mux(False)
        here.ping(1)
        asked = everything(here)
        self.assertEqual(asked, bytes.fromhex("00 02 0001 00000000 00000001"))
        self.assertEqual(there.receive_data(asked), [])
        answered = everything(there)
        self.assertEqual(answered, bytes.fromhex("00 02 0002 00000000 00000001"))
        self.assertEqual(here.receive_data(answered), [PongReceived(1)])

    def test_end(self) -> None:
        """
        The end of a stream is an empty data frame with FIN.
        """
        side = mux(True)
        stream = side.open()
        side.write(stream, b"hi")
        everything(side)
        side.end(stream)
        self.assertEqual(everything(side), bytes.fromhex("00 00 0004 00000001 00000000"))

    def test_one_way(self) -> None:
        """
        A one-way stream begins with 01, and the acceptor ends its direction at once.
        """
        here, there = mux(True), mux(False)
        stream = here.open(one_way=True)
        here.write(stream, b"x")
        opening = everything(here)
        self.assertEqual(opening[:13], bytes.fromhex("00 00 0001 00000001 00000001 01"))
        opened, _ = there.receive_data(opening)
        assert isinstance(opened, StreamOpened)
        self.assertTrue(opened.stream.one_way)
        self.assertEqual(everything(there), bytes.fromhex("00 01 0002 00000001 00000000 00 00 0004 00000001 00000000"))

    def test_numbers(self) -> None:
        """
        The acceptor's streams have even numbers, in the order in which they speak.
        """
        side = mux(False)
        first, second = side.open(), side.open()
        side.write(second, b"2")
        side.write(first, b"1")
        everything(side)
        self.assertEqual((second.id, first.id), (2, 4))

    def test_go_away(self) -> None:
        """
        Going away is one frame, and the last.
        """
        side = mux(True)
        side.write(side.open(), b"never sent")
        side.go_away()
        side.ping(7)
        self.assertEqual(everything(side), bytes.fromhex("00 03 0000 00000000 00000000"))
        self.assertEqual(mux(False).receive_data(bytes.fromhex("00 03 0000 00000000 00000002")), [GoneAway(2)])


class StreamTests(SynchronousTestCase):
    """
    What streams do.
    """

    def setUp(self) -> None:
        self.a, self.b = mux(True), mux(False)

    def opened(self) -> tuple[MuxStream, MuxStream]:
        stream = self.a.open()
        self.a.write(stream, b"!")
        _, heard = exchange(self.a, self.b)
        assert isinstance(heard[0], StreamOpened)
        return stream, heard[0].stream

    def test_life(self) -> None:
        """
        A stream lives until both sides have ended it.
        """
        here, there = self.opened()
        self.a.end(here)
        self.assertEqual(exchange(self.a, self.b)[1], [EndReceived(there)])
        self.assertEqual((here.gone, there.gone, here.end_sent), (False, False, True))
        self.b.write(there, b"answer")
        self.b.end(there)
        heard, _ = exchange(self.a, self.b)
        self.assertEqual(heard, [DataReceived(here, b"answer"), EndReceived(here)])
        self.assertEqual((here.gone, there.gone, self.a.streams, self.b.streams), (True, True, {}, {}))

    def test_nothing_after_the_end(self) -> None:
        """
        What is written after the end goes nowhere.
        """
        here, _ = self.opened()
        self.a.end(here)
        self.a.write(here, b"too late")
        self.assertEqual(received(exchange(self.a, self.b)[1]), {})

    def test_reset(self) -> None:
        """
        A reset drops what was not sent, and both sides are done with the stream.
        """
        here, there = self.opened()
        self.a.write(here, b"never sent")
        self.a.reset(here)
        self.assertEqual(exchange(self.a, self.b)[1], [StreamReset(there, None)])
        self.assertEqual((self.a.streams, self.b.streams, self.a.drained), ({}, {}, True))

    def test_reset_crosses_data(self) -> None:
        """
        Data that was under way when the stream was reset disturbs nobody.
        """
        here, there = self.opened()
        self.b.write(there, b"x" * 100_000)
        under_way = everything(self.b)
        self.a.reset(here)
        self.assertEqual(self.a.receive_data(under_way), [])
        again = self.a.open()
        self.a.write(again, b"fine")
        self.assertEqual(received(exchange(self.a, self.b)[1]), {3: b"fine"})

    def test_reset_in_a_frame(self) -> None:
        """
        The rest of a frame whose stream was reset meanwhile is skipped.
        """
        here, there = self.opened()
        self.b.write(there, b"x" * 1000)
        under_way = everything(self.b)
        self.a.receive_data(under_way[:500])
        self.a.reset(here)
        self.b.ping(9)
        self.assertEqual(self.a.receive_data(under_way[500:]), [])
        self.a.receive_data(everything(self.b))
        self.assertIn(frame(PING, ACK, 0, 9), everything(self.a))

    def test_unannounced(self) -> None:
        """
        A stream that ends or is reset before its first byte is never heard of.
        """
        self.assertEqual(self.b.receive_data(frame(DATA, SYN, 1, 0)), [])
        self.assertEqual(self.b.receive_data(frame(DATA, FIN, 1, 0)), [])
        self.assertEqual(self.b.receive_data(frame(DATA, SYN, 3, 0)), [])
        self.assertEqual(self.b.receive_data(frame(WINDOW_UPDATE, RST, 3, 0)), [])
        sent = everything(self.b)
        self.assertIn(frame(DATA, FIN, 1, 0), sent)
        self.assertEqual(self.b.streams, {})

    def test_opened_and_ended_in_one_frame(self) -> None:
        """
        A single frame may open a stream, fill it and end it.
        """
        heard = self.b.receive_data(data(1, b"\0all", SYN | FIN))
        stream = heard[0].stream  # type: ignore[union-attr]  # the first is StreamOpened
        self.assertEqual(heard, [StreamOpened(stream), DataReceived(stream, b"all"), EndReceived(stream)])

    def test_alternation(self) -> None:
        """
        Streams take turns, a frame each.
        """
        streams = [self.a.open() for _ in range(3)]
        for stream in streams:
            self.a.write(stream, b"z" * 150_000)
        order: list[int] = []
        sent = everything(self.a)
        at = 0
        while at < len(sent):
            _, _, flags, stream_id, length = HEADER.unpack_from(sent, at)
            self.assertLessEqual(length, MAX_PAYLOAD)
            if not flags & SYN:
                order.append(stream_id)
            at += HEADER.size + length
        self.assertEqual(order, [1, 3, 5] * 3)

    def test_small_writes_travel_together(self) -> None:
        """
        What was written in small pieces is sent in one frame, and frames of several streams in one write.
        """
        streams = [self.a.open() for _ in range(10)]
        for stream in streams:
            for _ in range(50):
                self.a.write(stream, b"0123456789")
        sent = self.a.data_to_send()
        self.assertEqual(len(sent), 10 * (13 + 12 + 500))
        self.assertFalse(self.a.pending)

    def test_large_writes_fill_records(self) -> None:
        """
        A bulk transfer is written in pieces of exactly 64 KiB, headers included.
        """
        stream = self.a.open()
        self.a.write(stream, b"z" * 200_000)
        self.assertEqual([len(self.a.data_to_send()) for _ in range(3)], [BATCH, BATCH, BATCH])


class WindowTests(SynchronousTestCase):
    """
    Nobody sends more than the other side wants.
    """

    def setUp(self) -> None:
        self.a, self.b = mux(True), mux(False)
        self.here = self.a.open()

    def test_closed_window(self) -> None:
        """
        A stream that nobody reads stops after its first window; reading opens it again.
        """
        self.a.write(self.here, b"z" * 1_000_000)
        heard = self.b.receive_data(everything(self.a))
        self.assertEqual(sum(len(got) for got in received(heard).values()), INITIAL_WINDOW - 1)
        self.assertFalse(self.a.pending)
        self.assertFalse(self.a.drained)
        there = heard[0].stream  # type: ignore[union-attr]  # the first is StreamOpened
        self.b.consumed(there, INITIAL_WINDOW // 2 - 2)
        self.assertEqual(everything(self.b), frame(WINDOW_UPDATE, ACK, 1, 0))
        self.b.consumed(there, 1)
        self.a.receive_data(everything(self.b))
        self.assertEqual(len(everything(self.a)), INITIAL_WINDOW // 2 + 3 * 12)

    def test_growing_window(self) -> None:
        """
        The window of a stream that is read as fast as it comes grows to its largest size.
        """
        self.a.write(self.here, b"z" * 8_000_000)
        most = 0
        while self.a.pending:
            sent = everything(self.a)
            most = max(most, len(sent))
            for event in self.b.receive_data(sent):
                if isinstance(event, DataReceived):
                    self.b.consumed(event.stream, len(event.data))
            self.a.receive_data(everything(self.b))
        self.assertTrue(self.a.drained)
        self.assertLessEqual(most, MAX_WINDOW + 1000)
        self.assertGreater(most, MAX_WINDOW // 2)

    def test_shrinking_window(self) -> None:
        """
        When memory is short, the window shrinks as far as it is told.
        """
        self.a.write(self.here, b"z" * 1_000_000)
        largest = 0
        for turn in range(20):
            sent = everything(self.a)
            if turn > 8:
                largest = max(largest, len(sent))
            for event in self.b.receive_data(sent):
                if isinstance(event, DataReceived):
                    self.b.consumed(event.stream, len(event.data), 64 * 1024)
            self.a.receive_data(everything(self.b))
        self.assertTrue(0 < largest < 66 * 1024, largest)

    def test_window_of_an_ended_stream(self) -> None:
        """
        No window is opened for a stream from which nothing more can come.
        """
        self.a.write(self.here, b"z" * 200_000)
        self.a.end(self.here)
        heard = self.b.receive_data(everything(self.a))
        everything(self.b)
        self.b.consumed(heard[0].stream, 200_000)  # type: ignore[union-attr]  # the first is StreamOpened
        self.assertEqual(everything(self.b), b"")


class LimitTests(SynchronousTestCase):
    """
    A peer that breaks a rule is cut off, with the rule's name.
    """

    def setUp(self) -> None:
        self.side = mux(False)

    def assert_violated(self, cause: str, received: bytes) -> None:
        """
        These bytes are the end of the connection.
        """
        heard = self.side.receive_data(received)
        self.assertTrue(heard, "nothing happened")
        last = heard[-1]
        assert isinstance(last, Violated), last
        self.assertEqual(last.cause, cause)
        self.assertTrue(last.sentence.endswith("."))
        self.assertEqual(everything(self.side)[-12:], frame(GO_AWAY, 0, 0, 1))
        self.assertEqual(self.side.receive_data(frame(PING, SYN, 0, 1)), [])
        self.assertFalse(self.side.pending)

    def test_version(self) -> None:
        """
        Another version is no frame.
        """
        self.assert_violated("garbage", b"GET / HTTP/1.1\r\n\r\n")

    def test_type(self) -> None:
        """
        There are four types.
        """
        self.assert_violated("garbage", frame(4, 0, 1, 0))

    def test_flags(self) -> None:
        """
        There are four flags.
        """
        self.assert_violated("garbage", frame(DATA, 16, 1, 0))

    def test_stream_number_of_ping(self) -> None:
        """
        A ping belongs to no stream.
        """
        self.assert_violated("garbage", frame(PING, SYN, 1, 0))

    def test_no_stream_number(self) -> None:
        """
        Data belongs to a stream.
        """
        self.assert_violated("garbage", data(0, b"x"))

    def test_frame_length(self) -> None:
        """
        A data frame has 64 KiB at most; its header is enough to see that.
        """
        self.assert_violated("frame too long", frame(DATA, SYN, 1, MAX_PAYLOAD + 1))

    def test_kind(self) -> None:
        """
        A stream begins with 00 or 01.
        """
        self.assert_violated("unknown kind of stream", data(1, b"\2", SYN))

    def test_unopened(self) -> None:
        """
        A stream has to be opened before it is used.
        """
        self.assert_violated("no such stream", data(1, b"\0"))

    def test_our_unopened(self) -> None:
        """
        The other side cannot use a stream that we have not opened.
        """
        self.assert_violated("no such stream", frame(WINDOW_UPDATE, ACK, 2, 0))

    def test_wrong_parity(self) -> None:
        """
        Even numbers are ours.
        """
        self.assert_violated("wrong stream number", data(2, b"\0", SYN))

    def test_descending(self) -> None:
        """
        Numbers ascend, and are not used twice.
        """
        self.side.receive_data(data(3, b"\0", SYN))
        self.assert_violated("wrong stream number", data(3, b"\0", SYN))

    def test_window_exceeded(self) -> None:
        """
        Data beyond the window ends the connection.
        """
        self.side.receive_data(data(1, b"\0" + bytes(MAX_PAYLOAD - 1), SYN))
        for _ in range(3):
            self.side.receive_data(data(1, bytes(MAX_PAYLOAD)))
        self.assert_violated("window exceeded", data(1, b"x"))

    def test_after_the_end(self) -> None:
        """
        An end is an end.
        """
        self.side.receive_data(data(1, b"\0", SYN | FIN))
        self.assert_violated("data after the end", data(1, b"x"))

    def test_after_it_is_gone(self) -> None:
        """
        Nor may anything come once both sides have ended.
        """
        (opened, _) = self.side.receive_data(data(1, b"\0", SYN | FIN))
        assert isinstance(opened, StreamOpened)
        self.side.end(opened.stream)
        everything(self.side)
        self.assertTrue(opened.stream.gone)
        self.assert_violated("no such stream", data(1, b"x"))

    def test_answer_on_one_way(self) -> None:
        """
        A one-way stream of ours brings nothing.
        """
        stream = self.side.open(one_way=True)
        self.side.write(stream, b"x")
        everything(self.side)
        self.assert_violated("answer on a one-way stream", data(2, b"x"))

    def test_too_many_streams(self) -> None:
        """
        The stream after the 256th is reset, the connection goes on, and a place is free when another one is gone.
        """
        (first,) = self.side.receive_data(data(1, b"\0", SYN))
        assert isinstance(first, StreamOpened)
        for number in range(1, MAX_PEER_STREAMS):
            self.side.receive_data(data(1 + 2 * number, b"\0", SYN))
        everything(self.side)
        (refused,) = self.side.receive_data(data(1001, b"\0more", SYN))
        assert isinstance(refused, StreamRefused)
        self.assertEqual(everything(self.side), frame(WINDOW_UPDATE, RST, 1001, 0))
        self.assertEqual(self.side.receive_data(data(1001, b"more")), [])
        self.side.receive_data(frame(WINDOW_UPDATE, RST, 1, 0))
        self.side.release(first.stream)
        self.assertIsInstance(self.side.receive_data(data(1003, b"\0", SYN))[0], StreamOpened)

    def test_held_streams_count(self) -> None:
        """
        A stream that is gone counts as long as somebody still reads it.
        """
        budget = ReceiveBudget(max_streams=1)
        side = Mux(False, budget)
        (opened,) = side.receive_data(data(1, b"\0", SYN))
        assert isinstance(opened, StreamOpened)
        side.receive_data(frame(WINDOW_UPDATE, RST, 1, 0))
        self.assertIsInstance(side.receive_data(data(3, b"\0", SYN))[0], StreamRefused)
        side.release(opened.stream)
        (opened,) = side.receive_data(data(5, b"\0", SYN))
        assert isinstance(opened, StreamOpened)
        side.close()
        side.release(opened.stream)
        self.assertEqual(budget.streams, 0)

    def test_own_streams(self) -> None:
        """
        We do not open more streams than the other side takes.
        """
        streams = [self.side.open() for _ in range(MAX_PEER_STREAMS)]
        self.assertFalse(self.side.may_open)
        with self.assertRaises(LocalProtocolError):
            self.side.open()
        self.side.reset(streams[0])
        self.side.release(streams[0])
        self.side.open()

    def test_unread(self) -> None:
        """
        The stream with which more than 8 MiB are unread on a connection is reset, the others stay.
        """
        piece = bytes(MAX_PAYLOAD - 1)
        streams = 0
        reset: list[Event] = []
        while not reset:
            streams += 1
            number = 2 * streams - 1
            heard = self.side.receive_data(data(number, b"\0" + piece, SYN))
            for _ in range(3):
                heard += self.side.receive_data(data(number, piece))
            reset = [event for event in heard if isinstance(event, StreamReset)]
            self.assertLessEqual(self.side.unread, MAX_UNREAD)
            everything(self.side)
        self.assertEqual(len(reset), 1)
        self.assertEqual(streams, MAX_UNREAD // (4 * len(piece)) + 1)
        self.assertEqual(len(self.side.streams), streams - 1)

    def test_flood_of_pings(self) -> None:
        """
        Pings without end are a flood.
        """
        self.side.receive_data(frame(PING, SYN, 0, 1) * MAX_IDLE_FRAMES)
        everything(self.side)
        self.assert_violated("flood", frame(PING, SYN, 0, 1))

    def test_flood_of_empty_frames(self) -> None:
        """
        So are empty data frames and window updates.
        """
        self.side.receive_data(data(1, b"\0", SYN))
        self.side.receive_data((data(1, b"") + frame(WINDOW_UPDATE, 0, 1, 1)) * (MAX_IDLE_FRAMES // 2))
        self.assert_violated("flood", data(1, b""))

    def test_flood_of_streams(self) -> None:
        """
        So are streams that are opened and reset at once, the rapid reset.
        """
        flood = b"".join(
            frame(DATA, SYN, number, 0) + frame(WINDOW_UPDATE, RST, number, 0)
            for number in range(1, MAX_IDLE_FRAMES + 2, 2)
        )
        for at in range(0, len(flood), 24_000):
            heard = self.side.receive_data(flood[at : at + 24_000])
            self.assertLess(len(everything(self.side)), MAX_CONTROL)
        self.assertIsInstance(heard[-1], Violated)

    def test_answers_pile_up(self) -> None:
        """
        Who asks for answers and does not read them is cut off before they cost memory.
        """
        for _ in range(3):
            self.side.receive_data(frame(PING, SYN, 0, 1) * 2000)
            self.side.renew_allowance()
        self.assertLess(len(self.side.data_to_send()), MAX_CONTROL + 2001 * 12)

    def test_allowance(self) -> None:
        """
        Pings over a long time are no flood.
        """
        for _ in range(10):
            self.assertEqual(self.side.receive_data(frame(PING, SYN, 0, 1) * 1000), [])
            everything(self.side)
            self.side.renew_allowance()

    def test_data_makes_up(self) -> None:
        """
        Window updates that go with a lot of data are no flood.
        """
        heard = self.side.receive_data(data(1, b"\0", SYN))
        stream = heard[0].stream  # type: ignore[union-attr]  # the first is StreamOpened
        for _ in range(MAX_IDLE_FRAMES * 2):
            self.side.write(stream, bytes(8192))
            everything(self.side)
            self.assertEqual(self.side.receive_data(frame(WINDOW_UPDATE, 0, 1, 8192)), [])

    def test_stray_data(self) -> None:
        """
        To a stream that we have reset no more may come than was under way.
        """
        heard = self.side.receive_data(data(1, b"\0", SYN))
        self.side.reset(heard[0].stream)  # type: ignore[union-attr]  # the first is StreamOpened
        everything(self.side)
        for _ in range(3):
            self.assertEqual(self.side.receive_data(data(1, bytes(MAX_PAYLOAD))), [])
        self.assertEqual(self.side.receive_data(data(1, bytes(MAX_PAYLOAD - 1))), [])
        self.assert_violated("no such stream", data(1, b"x"))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """
    Bytes that look like frames, and some that do not.
    """
    kind = draw(st.integers(0, 4))
    flags = draw(st.sampled_from([0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, FIN | RST, 16]))
    stream_id = draw(st.integers(0, 8))
    if kind == DATA:
        payload = draw(st.binary(max_size=40))
        return data(stream_id, payload, flags)
    return frame(kind, flags, stream_id, draw(st.sampled_from([0, 1, 255, 70_000, 2**32 - 1])))


class ArbitraryTests(SynchronousTestCase):
    """
    Whatever comes, the machine stays within its limits.
    """

    def check(self, side: Mux) -> None:
        """
        It holds little.
        """
        self.assertLess(len(side._header), HEADER.size)
        self.assertLessEqual(len(side.streams), 2 * MAX_PEER_STREAMS)
        self.assertLessEqual(side.unread, MAX_UNREAD)
        self.assertEqual(side.unread, sum(stream.unread for stream in side.streams.values()) + self.gone_unread)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.one_of(st.binary(max_size=60), frames()), max_size=30), st.booleans())
    def test_bytes(self, pieces: list[bytes], dialler: bool) -> None:
        """
        Any bytes give events, and at most one violation, which is the last.
        """
        side = mux(dialler)
        own = side.open()
        side.write(own, b"hello")
        everything(side)
        heard: list[Event] = []
        for piece in pieces:
            heard += side.receive_data(piece)
            self.gone_unread = sum(
                stream.unread
                for stream in {event.stream for event in heard if isinstance(event, DataReceived)}
                if stream.gone
            )
            self.check(side)
            self.assertLess(len(everything(side)), MAX_CONTROL)
        self.assertFalse(any(isinstance(event, Violated) for event in heard[:-1]))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(frames(), max_size=15), st.lists(st.integers(1, 30), min_size=1, max_size=20))
    def test_cuts(self, pieces: list[bytes], cuts: list[int]) -> None:
        """
        However the bytes are cut, the same becomes of them.
        """
        whole, cut = mux(False), mux(False)
        raw = b"".join(pieces)
        at_once = whole.receive_data(raw)
        bit_by_bit: list[Event] = []
        at = turn = 0
        while at < len(raw):
            size = cuts[turn % len(cuts)]
            bit_by_bit += cut.receive_data(raw[at : at + size])
            at += size
            turn += 1
        self.assertEqual(received(bit_by_bit), received(at_once))
        self.assertEqual(shape(bit_by_bit), shape(at_once))
        self.assertEqual(everything(cut), everything(whole))

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 2**32))
    def test_two_sides(self, seed: int) -> None:
        """
        Whatever two sides write, in whatever order it travels, everything arrives in order.
        """
        rng = Random(seed)
        sides = (mux(True), mux(False))
        wire = (bytearray(), bytearray())  # to side 0, to side 1
        sent: dict[tuple[int, int], bytes] = {}
        got: dict[tuple[int, int], bytes] = {}
        ended: set[tuple[int, int]] = set()
        streams: list[tuple[int, MuxStream]] = []
        unread: list[tuple[int, MuxStream, int]] = []
        for _ in range(rng.randint(20, 120)):
            who = rng.randint(0, 1)
            side = sides[who]
            match rng.randint(0, 5):
                case 0 if len(streams) < 6:
                    streams.append((who, side.open()))
                case 1 | 2 if streams:
                    writer, stream = rng.choice(streams)
                    chunk = rng.randbytes(rng.choice([1, 100, 70_000, 300_000]))
                    if not stream._ending:
                        sent[writer, id(stream)] = sent.get((writer, id(stream)), b"") + chunk
                        sides[writer].write(stream, chunk)
                case 3 if streams and rng.random() < 0.3:
                    writer, stream = rng.choice(streams)
                    sides[writer].end(stream)
                case _:
                    self._move(rng, sides, wire, got, ended, unread, slowly=True)
        for writer, stream in streams:
            sides[writer].end(stream)
        while any(side.pending for side in sides) or wire[0] or wire[1] or unread:
            self._move(rng, sides, wire, got, ended, unread, slowly=False)
        for writer, stream in streams:
            if stream.id:
                self.assertEqual(got.get((1 - writer, stream.id), b""), sent.get((writer, id(stream)), b""))
                self.assertIn((1 - writer, stream.id), ended)

    def _move(
        self,
        rng: Random,
        sides: tuple[Mux, Mux],
        wire: tuple[bytearray, bytearray],
        got: dict[tuple[int, int], bytes],
        ended: set[tuple[int, int]],
        unread: list[tuple[int, MuxStream, int]],
        slowly: bool,
    ) -> None:
        for who in (0, 1):
            wire[1 - who].extend(sides[who].data_to_send())
            size = rng.randint(1, 100_000)
            piece = bytes(wire[who][:size])
            del wire[who][:size]
            for event in sides[who].receive_data(piece):
                match event:
                    case DataReceived(stream, payload):
                        got[who, stream.id] = got.get((who, stream.id), b"") + payload
                        unread.append((who, stream, len(payload)))
                    case EndReceived(stream):
                        ended.add((who, stream.id))
                        sides[who].end(stream)
                    case Violated() | StreamReset() | GoneAway():
                        self.fail(f"{event}")
        while unread and (not slowly or rng.random() < 0.4):
            who, stream, size = unread.pop(0)
            sides[who].consumed(stream, size, rng.choice([64 * 1024, 256 * 1024, 1024 * 1024]))


def shape(events: list[Event]) -> list[object]:
    """
    Events without what depends on how the bytes were cut.
    """
    found: list[object] = []
    for event in events:
        if isinstance(event, DataReceived):
            continue
        if isinstance(event, StreamOpened | EndReceived | StreamReset):
            found.append((type(event), event.stream.id))
        else:
            found.append(event)
    return found
