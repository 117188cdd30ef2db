# -*- test-case-name: tests.transport.test_iroh,tests.transport.test_iroh_streams -*-
"""
A connection of the wheel, on the loop's side: its tasks, its streams, its end.

The wheel closes a connection, or ends a stream, when the last reference is dropped, and each of these would tell the
other node something that we do not mean. So everything is referred to from here until the connection has been closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import iroh
from iroh import IrohError
from twisted.logger import Logger

from p2panda_tw.errors import ConnectError
from p2panda_tw.transport.iroh.binding import cause
from p2panda_tw.transport.iroh.bridge import Bridge
from p2panda_tw.transport.iroh.reading import ABORTED, ReadingHalf
from p2panda_tw.transport.iroh.writing import WritingHalf

__all__ = ["CLOSE_TIME", "OPEN_TIME", "RECEIVE_WINDOW", "SILENCE", "Halves", "Link"]

CLOSE_TIME: Final = 5.0
"""
Longest time for delivering what was written before a connection is closed in order, in seconds.
"""

OPEN_TIME: Final = 10.0
"""
Longest time to wait until the other node allows one more stream, in seconds.
"""

RECEIVE_WINDOW: Final = 8 * 1024 * 1024
"""
Bytes that all streams of a connection together may have under way to us. One stream has 1.25 MB at most.
"""

ALIVE_TIME: Final = 0.4
"""
A living node answers within so many seconds, plus three round trips. A guess.
"""

TICK_TIME: Final = 5.0
"""
Seconds between looks whether anything has come from the other node. Both sides send something every 5 s.
"""

SILENT_TICKS: Final = 3
"""
After so many looks without anything new the other node is gone. The wheel itself would wait for 30 s and more. Looks
are counted, not seconds, so that a process that was stopped for a while does not blame its peers.
"""

QUIET_TIME: Final = 0.03
"""
When nothing was sent again for so long (seconds) and three round trips, the other node has everything: it acknowledges
within 25 ms, and a lost packet would have been sent again by then.
"""

IDLE_TIME: Final = 5.0
"""
What was written longer ago (seconds) has arrived, if all was sent.
"""

MAX_REASON: Final = 256
"""
Longest reason that is told to the other node, in bytes.
"""

SILENCE: Final = f"Nothing was heard from the other node for {TICK_TIME * SILENT_TICKS:.0f} s."
"""
Why a connection ended that way, as a sentence.
"""

Halves = tuple[ReadingHalf | None, WritingHalf | None]
"""
The directions that a stream has on our side.
"""


class Link:
    """
    Only here the connection of the wheel is referred to, until it is over: it keeps the sockets open.
    """

    _log = Logger()

    def __init__(self, bridge: Bridge, raw: iroh.Connection) -> None:
        self._raw: iroh.Connection | None = raw
        self._end: str | None = None
        self._sent = 0
        self._bridge = bridge
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[ReadingHalf] = set()
        self._writing: set[WritingHalf] = set()
        self._closing = False
        self._over: asyncio.Task[None] | None = None
        self._tick_call: asyncio.TimerHandle | None = None
        self._heard = 0
        self._silent_ticks = 0

    @property
    def raw(self) -> iroh.Connection:
        """
        @return: The connection of the wheel.

        @raise ConnectError: It is closed, and everything of it over.
        """
        if self._raw is None:
            raise ConnectError("The connection is closed.")
        return self._raw

    @property
    def end(self) -> str | None:
        """
        @return: Why it is over, once it is, as the wheel words it. May be asked on either side.
        """
        raw = self._raw
        return self._end if raw is None or self._end is not None else raw.close_reason()

    def start(self, closed: Callable[[str], None], gone: Callable[[], None]) -> None:
        """
        Watch for the end.

        @param closed: Called on the reactor's side with the cause, as the wheel words it.

        @param gone: Called there, last, when no task is left.
        """
        self.raw.set_receive_window(RECEIVE_WINDOW)
        self._over = self._bridge.loop.create_task(self._watch(closed, gone))
        self._tick_call = self._bridge.loop.call_later(TICK_TIME, self._tick)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """
        Start a task that belongs to this connection.
        """
        task = self._bridge.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def halves(self, send: iroh.SendStream | None, recv: iroh.RecvStream | None) -> Halves:
        """
        @return: The directions of a new stream, not yet started.
        """
        reading = None if recv is None else ReadingHalf(self._bridge, self.spawn, recv, self._reading.discard)
        if reading is not None:
            self._reading.add(reading)
        writing = None if send is None else WritingHalf(self._bridge, self.spawn, send, self._forget)
        if writing is not None:
            self._writing.add(writing)
        return reading, writing

    def _forget(self, writing: WritingHalf) -> None:
        self._sent += writing.written
        self._writing.discard(writing)

    async def open(self, one_way: bool) -> Halves:
        """
        Open a stream.

        @raise ConnectError: The other node takes no more, or the connection is over.
        """
        opening = self._bridge.loop.create_task(self._open(one_way))
        try:
            async with asyncio.timeout(OPEN_TIME):
                return await asyncio.shield(opening)
        except IrohError as error:
            raise ConnectError(f"No stream can be opened: {cause(error)}.") from error
        except TimeoutError:
            opening.add_done_callback(self._opened_too_late)
            raise ConnectError("The other node takes no more streams on this connection.") from None
        except asyncio.CancelledError:
            opening.add_done_callback(self._opened_too_late)
            raise

    async def _open(self, one_way: bool) -> Halves:
        if one_way:
            return self.halves(await self.raw.open_uni(), None)
        both = await self.raw.open_bi()
        return self.halves(both.send(), both.recv())

    def _opened_too_late(self, opening: asyncio.Task[Halves]) -> None:
        if opening.cancelled() or opening.exception() is not None:
            return
        reading, writing = opening.result()
        if writing is not None:
            writing.abort()
        if reading is not None:
            reading.give_up(ABORTED)

    def accept(self, accepted: Callable[[Halves], None]) -> None:
        """
        Take the streams that the other node opens, from now on.

        @param accepted: Called on the reactor's side.
        """
        self.spawn(self._accept_both_ways(accepted))
        self.spawn(self._accept_one_way(accepted))

    async def _accept_both_ways(self, accepted: Callable[[Halves], None]) -> None:
        try:
            while True:
                both = await self.raw.accept_bi()
                self._bridge.deliver(accepted, self.halves(both.send(), both.recv()))
        except (ConnectError, IrohError):
            pass  # the connection is closed

    async def _accept_one_way(self, accepted: Callable[[Halves], None]) -> None:
        try:
            while True:
                self._bridge.deliver(accepted, self.halves(None, await self.raw.accept_uni()))
        except (ConnectError, IrohError):
            pass  # the connection is closed

    async def is_alive(self) -> bool:
        """
        Make the other node acknowledge something.
        """
        raw = self._raw
        if raw is None:
            return False
        try:
            before = raw.stats().udp_rx_datagrams
            raw.send_datagram(b"\0")  # nobody reads it
        except IrohError:
            return raw.close_reason() is None  # it does not take datagrams: nothing is known
        await asyncio.sleep(ALIVE_TIME + 3 * (raw.rtt() or 0) / 1000)
        return raw.stats().udp_rx_datagrams > before

    def _tick(self) -> None:
        heard = self.raw.stats().udp_rx_datagrams
        self._silent_ticks = self._silent_ticks + 1 if heard == self._heard else 0
        self._heard = heard
        if self._silent_ticks >= SILENT_TICKS:
            self._end = SILENCE
            self.abort("nothing is heard from you")
        else:
            self._tick_call = self._bridge.loop.call_later(TICK_TIME, self._tick)

    async def close(self, reason: str) -> None:
        """
        Deliver what was written, then close.
        """
        if not self._closing:
            self._closing = True
            try:
                async with asyncio.timeout(CLOSE_TIME):
                    await self._deliver()
            except TimeoutError:
                self._log.debug("Not everything could be delivered before the connection was closed.")
            self.abort(reason)

    def abort(self, reason: str) -> None:
        """
        Close at once.
        """
        if self._raw is not None:
            self._raw.close(0, reason.encode("utf-8")[:MAX_REASON])

    async def _deliver(self) -> None:
        writing = list(self._writing)
        await asyncio.gather(*(half.delivered() for half in writing))
        last_write = max((half.last_write for half in self._writing if not half.finishing), default=0.0)
        if last_write:
            await self._settle(last_write, self._sent + sum(half.written for half in self._writing))

    async def _settle(self, last_write: float, sent: int) -> None:
        """
        Wait until streams that are not ended have reached the other node. The wheel does not tell when; an end of
        stream, of which it would tell, is nothing that may be sent here.

        @param last_write: When the last of it was written.

        @param sent: At least so many bytes have to leave.
        """
        raw = self._raw
        if raw is None:
            return
        pause = QUIET_TIME + 3 * (raw.rtt() or 0) / 1000
        before: int | None = None
        while raw.close_reason() is None:
            stats = raw.stats()
            settled = stats.udp_tx_bytes == before or self._bridge.loop.time() - last_write > IDLE_TIME
            if settled and stats.udp_tx_bytes - stats.lost_bytes >= sent:
                return
            before = stats.udp_tx_bytes
            await asyncio.sleep(pause)

    async def _watch(self, closed: Callable[[str], None], gone: Callable[[], None]) -> None:
        text = await self.raw.closed()
        self._end = self._end or text
        if self._tick_call is not None:
            self._tick_call.cancel()
        self._bridge.deliver(closed, self._end)
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        self._reading.clear()
        self._writing.clear()
        self._raw = None
        self._bridge.deliver(gone)
