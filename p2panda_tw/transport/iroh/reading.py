# -*- test-case-name: tests.transport.test_iroh,tests.transport.test_iroh_streams -*-
"""
The incoming direction of a stream, on the loop's side: one permanent task that reads.

The wheel loses data when a call is cancelled, so none is, unless the direction is given up with it. A reader that wants
to wait leaves bytes unconsumed: the task reads on until L{READ_WINDOW} bytes wait, then QUIC's own flow control reaches
the sender.

Counters are written by one side and read by the other. No wake-up is missed, because each side first writes its own
counter or flag and then looks at the other's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from iroh import IrohError, RecvStream
from twisted.logger import Logger

from p2panda_tw.transport.iroh.binding import Ending, stream_ending
from p2panda_tw.transport.iroh.bridge import Bridge

__all__ = ["ABORTED", "NOT_WANTED", "READ_WINDOW", "ReadingHalf", "Spawn", "quietly"]

READ_WINDOW: Final = 512 * 1024
"""
So many bytes may wait for a protocol that reads slowly, before nothing more is read from the wheel (plus one read). The
wheel itself holds up to 1.25 MB per stream.
"""

READ_SIZES: Final = (64 * 1024, 256 * 1024)
"""
Bytes asked for in one read: usually, and while there is always more.
"""

NOT_WANTED: Final = 0
"""
Code with which reading is given up in order; what a Rust node sends when it lets go of its half.
"""

ABORTED: Final = 1
"""
Code of a stream that was aborted. Others tell it from L{NOT_WANTED} only.
"""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""
Starts a task that the connection keeps track of.
"""

_log = Logger()


async def quietly(call: Coroutine[Any, Any, None]) -> None:
    """
    Make a last call that may come too late.
    """
    try:
        await call
    except IrohError:
        pass  # the stream, or the connection, was over already


class ReadingHalf:
    """
    What comes in. Lives on the loop's side, but for the methods that say otherwise.
    """

    def __init__(self, bridge: Bridge, spawn: Spawn, stream: RecvStream, over: Callable[[ReadingHalf], None]) -> None:
        """
        @param over: Called on the loop's side when nothing will come any more.
        """
        self._bridge = bridge
        self._spawn = spawn
        self._is_over = over
        self._stream: RecvStream | None = stream
        self._detached: RecvStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting = False
        self._given = 0
        self._consumed = 0

    def start(self, received: Callable[[bytes], None], ended: Callable[[Ending], None]) -> None:
        """
        Begin to read. To be called once, on either side.

        @param received: Called on the reactor's side with what came.

        @param ended: Called there once, after the last data, unless reading was given up before.
        """
        self._bridge.tell(self._start, received, ended)

    def consumed(self, count: int) -> None:
        """
        Bytes were taken by the protocol. To be called on the reactor's side.
        """
        self._consumed += count
        if self._waiting:
            self._bridge.tell(self._make_room)

    def give_up(self, code: int) -> None:
        """
        Read no more, and tell the other node so. To be called on the reactor's side.
        """
        self._bridge.tell(self._give_up, code)

    def detach(self) -> None:
        """
        Read no more and tell the other node nothing: the connection is about to be closed. To be called on the
        reactor's side.
        """
        self._bridge.tell(self._detach)

    def _start(self, received: Callable[[bytes], None], ended: Callable[[Ending], None]) -> None:
        if self._stream is not None:
            self._task = self._spawn(self._run(self._stream, received, ended))

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _give_up(self, code: int) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._spawn(self._stop(stream, code))

    async def _stop(self, stream: RecvStream, code: int) -> None:
        if self._task is not None:
            self._task.cancel()  # a pending read would delay what follows
            await asyncio.wait([self._task])
            self._task = None  # once cancelled it refers to the stream, which keeps the sockets open
        await quietly(stream.stop(code))
        self._is_over(self)

    def _detach(self) -> None:
        self._detached, self._stream = self._stream, None  # to let go of it would tell the other node
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(
        self, stream: RecvStream, received: Callable[[bytes], None], ended: Callable[[Ending], None]
    ) -> None:
        usual, large = READ_SIZES
        size = usual
        ending = Ending.FINISHED
        try:
            while True:
                if self._given - self._consumed >= READ_WINDOW:
                    await self._wait_for_room()
                data = await stream.read(size)
                if not data:
                    break
                size = large if len(data) == size else usual
                self._given += len(data)
                self._bridge.deliver(received, data)
        except IrohError as error:
            ending = stream_ending(error)
        except Exception:
            _log.failure("Reading from the iroh library failed.")
            ending = Ending.LOST
        if self._stream is not None:
            self._stream = None
            self._is_over(self)
            self._bridge.deliver(ended, ending)

    async def _wait_for_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        self._waiting = True
        try:
            if self._given - self._consumed >= READ_WINDOW:
                await self._room
        finally:
            self._waiting = False
            self._room = None
