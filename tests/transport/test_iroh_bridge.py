"""
The bridge between the reactor and the loop, on whatever reactor the tests run.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.transport.iroh_node import NO_IROH

if NO_IROH is None:
    from p2panda_tw.transport.iroh.bridge import Bridge, open_bridge


class BridgeTests(TestCase):
    """
    Coroutines of the wheel for Twisted.
    """

    skip = NO_IROH
    timeout = 20

    async def open(self) -> Bridge:
        from twisted.internet import reactor

        bridge = await open_bridge(reactor)
        self.addCleanup(bridge.close)
        return bridge

    async def test_result(self) -> None:
        """
        What a coroutine returns comes out of a Deferred, on the reactor's thread.
        """
        bridge = await self.open()

        async def answer() -> int:
            await asyncio.sleep(0)
            return 42

        self.assertEqual(await bridge.run(answer()), 42)
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_error(self) -> None:
        """
        What a coroutine raises fails the Deferred.
        """
        bridge = await self.open()

        async def fail() -> None:
            raise KeyError("no")

        with self.assertRaises(KeyError):
            await bridge.run(fail())

    async def test_cancelled(self) -> None:
        """
        A cancelled Deferred cancels the coroutine and fails as Twisted's do.
        """
        bridge = await self.open()
        begun: Deferred[None] = Deferred()
        ended: Deferred[None] = Deferred()

        async def wait() -> None:
            bridge.deliver(begun.callback, None)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                bridge.deliver(ended.callback, None)

        running = bridge.run(wait())
        await begun
        running.cancel()
        with self.assertRaises(CancelledError):
            await running
        await ended

    async def test_cancelled_inside(self) -> None:
        """
        A coroutine that cancels itself fails as Twisted's do.
        """
        bridge = await self.open()

        async def give_up() -> None:
            raise asyncio.CancelledError

        with self.assertRaises(CancelledError):
            await bridge.run(give_up())

    async def test_order(self) -> None:
        """
        Calls cross in the order in which they were made.
        """
        bridge = await self.open()
        seen: list[int] = []
        done: Deferred[None] = Deferred()

        def arrived(number: int) -> None:
            seen.append(number)
            if number == 99:
                done.callback(None)

        for number in range(100):
            bridge.tell(bridge.deliver, arrived, number)
        await done
        self.assertEqual(seen, list(range(100)))

    async def test_ask(self) -> None:
        """
        A coroutine can ask the reactor's side, and hears of its errors.
        """
        bridge = await self.open()
        here = threading.current_thread()

        async def ask(call: Any) -> Any:
            return await bridge.ask(call)

        self.assertIs(await bridge.run(ask(threading.current_thread)), here)
        with self.assertRaises(ZeroDivisionError):
            await bridge.run(ask(lambda: 1 // 0))

    async def test_failing_call(self) -> None:
        """
        A call that fails is logged and stops nothing.
        """
        bridge = await self.open()
        done: Deferred[None] = Deferred()

        def fail() -> None:
            raise ValueError("oops")

        bridge.tell(fail)
        bridge.tell(bridge.deliver, fail)
        bridge.tell(bridge.deliver, done.callback, None)
        await done
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    async def test_nothing_left(self) -> None:
        """
        After the last user there is no thread left, and it can begin again.
        """
        from twisted.internet import reactor

        threads = set(threading.enumerate())
        for _ in range(2):
            first, second = await open_bridge(reactor), await open_bridge(reactor)
            self.assertIs(first.loop, second.loop)
            self.assertLessEqual(len(set(threading.enumerate()) - threads), 1)
            await first.close()
            await second.close()
            self.assertEqual(set(threading.enumerate()) - threads, set())
