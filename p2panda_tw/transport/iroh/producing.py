# -*- test-case-name: tests.transport.test_iroh_streams -*-
"""
The producer that a protocol registers with its stream, and when it is told to wait. Lives on the reactor's side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.interfaces import IProducer, IPullProducer, IPushProducer

from p2panda_tw.transport.iroh.writing import WritingHalf

__all__ = ["HIGH_WATER", "LOW_WATER", "Producing"]

HIGH_WATER: Final = 512 * 1024
"""
A producer is paused while more bytes than this wait to be written.
"""

LOW_WATER: Final = 128 * 1024
"""
It is resumed when no more than this wait.
"""


class Producing:
    """
    At most one producer.
    """

    def __init__(self, guarded: Callable[..., None], call_later: Callable[..., None]) -> None:
        """
        @param guarded: Makes a call into the protocol.

        @param call_later: Makes one in the next turn of the reactor.
        """
        self._guarded = guarded
        self._call_later = call_later
        self._producer: Any = None
        self._writing: WritingHalf | None = None
        self._streaming = False
        self._paused = False

    @property
    def registered(self) -> bool:
        """
        @return: Whether there is one.
        """
        return self._producer is not None

    def register(self, producer: IProducer, streaming: bool, writing: WritingHalf) -> None:
        """
        Tell C{producer} when to wait. A pull producer begins now.

        @raise RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already.")
        self._producer, self._streaming, self._writing, self._paused = producer, streaming, writing, False
        if streaming:
            self.wrote()
        else:
            self._pull()

    def unregister(self) -> None:
        """
        Tell it nothing more.
        """
        self._producer = None

    def stop(self) -> None:
        """
        Nothing more can be written.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            self._guarded(cast(IProducer, producer).stopProducing)

    def wrote(self) -> None:
        """
        Something was queued.
        """
        if self._producer is not None and self._streaming and not self._paused:
            if self._writing is not None and self._writing.size > HIGH_WATER:
                self._pause()

    def drained(self) -> None:
        """
        Little is left.
        """
        if self._producer is None or (self._streaming and not self._paused):
            return
        self._paused = False
        if self._streaming:
            self._guarded(cast(IPushProducer, self._producer).resumeProducing)
        else:
            self._pull()

    def _pause(self) -> None:
        if self._writing is not None and self._writing.tell_below(LOW_WATER):
            self._paused = True
            if self._streaming:
                self._guarded(cast(IPushProducer, self._producer).pauseProducing)

    def _pull(self) -> None:
        """
        Ask a pull producer for more, and again as soon as that is on its way.
        """
        producer = self._producer
        self._guarded(cast(IPullProducer, producer).resumeProducing)
        if self._producer is producer and not self._paused:
            self._pause()
            if not self._paused:
                self._call_later(self.drained)
