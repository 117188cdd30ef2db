# -*- test-case-name: tests.transport.test_iroh,tests.transport.test_iroh_streams -*-
"""
The outgoing direction of a stream, on the loop's side: one permanent task that writes, and one that waits for what the
other node says of it.

What was queued is joined into calls worth making. As when L{reading<p2panda_tw.transport.iroh.reading>}, no call is
cancelled unless the stream is reset, and each side writes its own counters only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from iroh import IrohError, SendStream
from twisted.logger import Logger

from p2panda_tw.transport.iroh.binding import Ending, stream_ending
from p2panda_tw.transport.iroh.bridge import Bridge
from p2panda_tw.transport.iroh.reading import ABORTED, NOT_WANTED, Spawn, quietly

__all__ = ["WritingHalf"]

WRITE_SIZES: Final = (64 * 1024, 256 * 1024)
"""
Small writes are joined until they have the first size, large ones are cut at the second. A call into the wheel costs as
much as copying some tens of kilobytes.
"""

_log = Logger()


class WritingHalf:
    """
    What goes out. Lives on the loop's side, but for the methods that say otherwise.

    @ivar last_write: When the wheel last took bytes, by the loop's clock.
    """

    def __init__(self, bridge: Bridge, spawn: Spawn, stream: SendStream, over: Callable[[WritingHalf], None]) -> None:
        """
        @param over: Called on the loop's side when the other node has everything, or will never have it.
        """
        self.last_write = 0.0
        self._bridge = bridge
        self._spawn = spawn
        self._is_over = over
        self._stream: SendStream | None = stream
        self._tasks: list[asyncio.Task[None]] = []
        self._pending: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._written = 0
        self._finishing = False
        self._idle = False
        self._work: asyncio.Future[None] | None = None
        self._flushed: list[asyncio.Future[None]] = []
        self._drained_below: int | None = None

    def start(self, drained: Callable[[], None], ended: Callable[[Ending], None]) -> None:
        """
        Begin to write. To be called once, on either side.

        @param drained: Called on the reactor's side after L{tell_below}.

        @param ended: Called there once, unless it was aborted before.
        """
        self._bridge.tell(self._start, drained, ended)

    # On the reactor's side.

    @property
    def size(self) -> int:
        """
        @return: Bytes that wait to be written. May be asked on either side.
        """
        return self._queued - self._written

    def write(self, data: bytes) -> None:
        """
        Queue some bytes. To be called on the reactor's side.
        """
        self._queued += len(data)
        self._pending.append(data)
        self._wake()

    def finish(self) -> None:
        """
        End the stream after everything that was queued. To be called on the reactor's side.
        """
        self._finishing = True
        self._wake()

    def abort(self) -> None:
        """
        Reset the stream. To be called on the reactor's side.
        """
        self._bridge.tell(self._abort)

    def tell_below(self, size: int) -> bool:
        """
        Have C{drained} called once when no more than C{size} bytes wait. To be called on the reactor's side.

        @return: Whether it will be. Otherwise they are so few already.
        """
        self._drained_below = size
        if self.size > size:
            return True
        self._drained_below = None
        return False

    def _wake(self) -> None:
        if self._idle:
            self._idle = False
            self._bridge.tell(self._resume)

    # On the loop's side.

    @property
    def written(self) -> int:
        """
        @return: Bytes that the wheel has taken.
        """
        return self._written

    @property
    def finishing(self) -> bool:
        """
        @return: Whether the stream is about to be ended in order, or was.
        """
        return self._finishing

    async def delivered(self) -> None:
        """
        Wait until everything is with the other node, or will never be. Of a stream that is not ended the wheel tells
        only when it has taken over the bytes.
        """
        if self._stream is not None and (self._finishing or self.size):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flushed.append(done)
            await done

    def _start(self, drained: Callable[[], None], ended: Callable[[Ending], None]) -> None:
        stream = self._stream
        if stream is not None:
            self._tasks = [self._spawn(self._run(stream, drained, ended)), self._spawn(self._watch(stream, ended))]

    def _resume(self) -> None:
        if self._work is not None and not self._work.done():
            self._work.set_result(None)

    def _abort(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._spawn(self._reset(stream))

    async def _reset(self, stream: SendStream) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()  # a pending write would delay what follows
        if tasks:
            await asyncio.wait(tasks)
        del tasks
        await quietly(stream.reset(ABORTED))
        self._tell_flushed()
        self._is_over(self)

    def _over(self, ended: Callable[[Ending], None], ending: Ending) -> None:
        """
        The stream takes no more, whichever of the two tasks hears of it first.
        """
        if self._stream is None:
            return
        self._stream = None
        self._pending.clear()
        tasks, self._tasks = self._tasks, []  # a cancelled task refers to the stream, which keeps the sockets open
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tell_flushed()
        self._is_over(self)
        self._bridge.deliver(ended, ending)

    def _tell_flushed(self) -> None:
        waiting, self._flushed = self._flushed, []
        for done in waiting:
            if not done.done():
                done.set_result(None)

    async def _run(self, stream: SendStream, drained: Callable[[], None], ended: Callable[[Ending], None]) -> None:
        try:
            while True:
                if self._pending:
                    chunk = self._take()
                    await stream.write_all(chunk)  # type: ignore[arg-type] # anything like bytes will do
                    self._written += len(chunk)
                    self.last_write = self._bridge.loop.time()
                    if self._drained_below is not None and self.size <= self._drained_below:
                        self._drained_below = None
                        self._bridge.deliver(drained)
                elif self._finishing:
                    await stream.finish()
                    self._bridge.deliver(ended, Ending.FINISHED)
                    return
                else:
                    self._tell_flushed()
                    await self._wait_for_work()
        except IrohError as error:
            self._over(ended, stream_ending(error))
        except Exception:
            _log.failure("Writing with the iroh library failed.")
            self._over(ended, Ending.LOST)

    async def _wait_for_work(self) -> None:
        self._work = asyncio.get_running_loop().create_future()
        self._idle = True
        try:
            if not self._pending and not self._finishing:
                await self._work
        finally:
            self._idle = False
            self._work = None

    def _take(self) -> bytes | memoryview:
        """
        @return: The next bytes to write, joined or cut as L{WRITE_SIZES} says.
        """
        enough, most = WRITE_SIZES
        first = self._pending.popleft()
        if len(first) > most:
            view = memoryview(first)
            self._pending.appendleft(view[most:])
            return view[:most]
        if len(first) >= enough or not self._pending:
            return first
        parts = [first]
        size = len(first)
        while self._pending and size < enough:
            part = self._pending.popleft()
            if size + len(part) > most:
                self._pending.appendleft(part)
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    async def _watch(self, stream: SendStream, ended: Callable[[Ending], None]) -> None:
        """
        Wait until the other node has everything, or wants nothing, or is gone.
        """
        try:
            code = await stream.stopped()
        except IrohError as error:
            self._over(ended, stream_ending(error))
            return
        if code is None:
            self._stream = None
            self._tell_flushed()
            self._is_over(self)
        else:
            self._over(ended, Ending.UNWANTED if code == NOT_WANTED else Ending.RESET)
