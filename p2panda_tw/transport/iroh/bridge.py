# -*- test-case-name: tests.transport.test_iroh_bridge -*-
"""
The fence between Twisted's reactor and the asyncio loop that the wheel needs.

On the asyncio reactor the loop is the reactor's own, and a crossing is a plain call. On every other reactor one loop
runs in a thread of its own, shared by all transports of the process (the wheel knows one loop only), and a crossing
is queued for the other thread. Either way calls cross in the order in which they were made, and an exception in one
is logged and harms nobody else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial

# Reactors are typed as Any: they provide IReactorTime and IReactorFromThreads, which no one type says.
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.transport.iroh.binding import set_event_loop

__all__ = ["Bridge", "open_bridge"]

P = ParamSpec("P")
T = TypeVar("T")


class _LoopThread:
    """
    An asyncio loop in a thread of its own.

    @ivar users: How many bridges use it.
    """

    _running: _LoopThread | None = None

    def __init__(self) -> None:
        self.users = 0
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="iroh loop", daemon=True)
        self._ended: Callable[[], None] = lambda: None

    @classmethod
    def take(cls) -> _LoopThread:
        """
        @return: The one of this process, started if there is none.
        """
        thread = cls._running
        if thread is None:
            thread = cls._running = cls()
            set_event_loop(thread.loop)
            thread._thread.start()
        thread.users += 1
        return thread

    def release(self, reactor: Any) -> Deferred[None]:
        """
        Use it no more. The last user ends it.

        @return: Fires when the thread is gone, if it had to go.
        """
        done: Deferred[None] = Deferred()
        self.users -= 1
        if self.users:
            done.callback(None)
            return done

        def joined() -> None:
            self._thread.join()  # it has nothing left to do
            done.callback(None)

        _LoopThread._running = None
        set_event_loop(None)
        self._ended = partial(reactor.callFromThread, joined)
        self.loop.call_soon_threadsafe(self.loop.stop)
        return done

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self.loop.close()
            self._ended()


class Bridge:
    """
    @ivar loop: Where coroutines of the wheel run.
    """

    _log = Logger()

    def __init__(self, reactor: Any, loop: asyncio.AbstractEventLoop, thread: _LoopThread | None) -> None:
        self.loop = loop
        self._reactor = reactor
        self._thread = thread

    def _call(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception:
            self._log.failure("A call of the iroh transport failed.")

    def deliver(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """
        Make a call on the reactor's side. To be used on the loop's.
        """
        if self._thread is None:
            self._call(call, *args, **kwargs)
        else:
            self._reactor.callFromThread(self._call, call, *args, **kwargs)

    def tell(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """
        Make a call on the loop's side. To be used on the reactor's.
        """
        if self._thread is None:
            self._call(call, *args, **kwargs)
        else:
            try:
                self.loop.call_soon_threadsafe(partial(self._call, call, *args, **kwargs))
            except RuntimeError:
                pass  # the loop is closed: nothing lives there that could be told

    async def ask(self, call: Callable[[], T]) -> T:
        """
        Make a call on the reactor's side. To be used on the loop's.

        @return: What it returns, or raises.
        """
        if self._thread is None:
            return call()
        answer: asyncio.Future[T] = self.loop.create_future()

        def tell(settle: Callable[[Any], None], result: Any) -> None:
            if not answer.done():
                settle(result)

        def make() -> None:
            try:
                result = call()
            except Exception as error:
                self.tell(tell, answer.set_exception, error)
            else:
                self.tell(tell, answer.set_result, result)

        self.deliver(make)
        return await answer

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """
        Run a coroutine on the loop. To be used on the reactor's side.

        @return: Fires with its result. Cancelling it cancels the coroutine and fails with Twisted's C{CancelledError}.
        """
        done: Deferred[T] = Deferred(lambda _: self.tell(cancel))
        task: asyncio.Task[T] | None = None

        def start() -> None:
            nonlocal task
            task = self.loop.create_task(coroutine)
            task.add_done_callback(lambda ended: self.deliver(fire, ended))

        def cancel() -> None:
            if task is not None:
                task.cancel()

        def fire(ended: asyncio.Task[T]) -> None:
            error = CancelledError() if ended.cancelled() else ended.exception()
            if done.called:
                return  # it was cancelled
            if error is None:
                done.callback(ended.result())
            elif isinstance(error, asyncio.CancelledError):
                done.errback(CancelledError())
            else:
                done.errback(Failure(error))

        self.tell(start)
        return done

    def close(self) -> Deferred[None]:
        """
        Use the bridge no more.

        @return: Fires when nothing of it is left.
        """
        if self._thread is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return self._thread.release(self._reactor)


def open_bridge(reactor: Any) -> Deferred[Bridge]:
    """
    Find or start the loop that goes with C{reactor}, and give it to the wheel.

    @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
    """

    def opened(_: object) -> Bridge:
        try:
            loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        except RuntimeError:
            thread = _LoopThread.take()
            return Bridge(reactor, thread.loop, thread)
        set_event_loop(loop)
        return Bridge(reactor, loop, None)

    # While services start the asyncio reactor's loop is not yet running. One turn later it is.
    turn: Deferred[object] = deferLater(reactor, 0)
    return turn.addCallback(opened)
