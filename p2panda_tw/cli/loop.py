# -*- test-case-name: tests.system.test_command_line -*-
"""
The reactor of a command: which one, and what runs in it until it is done or a signal ends it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from p2panda_tw.cli.outcome import Interrupted
from p2panda_tw.process import prepare

__all__ = ["install", "run"]

T = TypeVar("T")


def install() -> None:
    """
    Choose the asyncio reactor, on which iroh has the lowest latency, unless another one is installed already.
    """
    prepare()
    if "twisted.internet.reactor" not in sys.modules:
        from twisted.internet import asyncioreactor

        asyncioreactor.install()


def _report_stall(seconds: float, where: str) -> None:
    from twisted.logger import Logger

    Logger("p2panda_tw.cli").warn("The reactor was busy for {ms} ms, in {where}", ms=round(seconds * 1000), where=where)


def run(work: Callable[[Any], Coroutine[Any, Any, T]], *, debug: bool = False) -> T:
    """
    Begin to log, and run the reactor until C{work} is done. Once per process.

    SIGINT, SIGTERM and SIGHUP cancel the work, which then has the time it needs to leave in order; a second signal ends
    the process at once.

    @param work: Called with the running reactor.
    @param debug: Log everything, and report what blocks the reactor.

    @return: Its result.

    @raise Interrupted: A signal ended it.
    """
    from twisted.internet import reactor as global_reactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.python.failure import Failure

    from p2panda_tw.cli.logs import begin
    from p2panda_tw.cli.stalls import StallWatch

    reactor: Any = global_reactor
    results: list[T | Failure] = []
    signals: list[int] = []

    def start() -> None:
        if debug:
            StallWatch(reactor, _report_stall).start()
        working = Deferred.fromCoroutine(work(reactor))

        def interrupt(number: int, frame: FrameType | None) -> None:
            if signals:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            signals.append(number)
            reactor.callFromThread(working.cancel)

        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, interrupt)
        working.addBoth(results.append).addBoth(lambda _: reactor.stop())

    begin(debug=debug)
    reactor.callWhenRunning(start)
    reactor.run()
    (result,) = results
    if isinstance(result, Failure):
        if signals and result.check(CancelledError):
            raise Interrupted(signals[0])
        result.raiseException()
    return result
