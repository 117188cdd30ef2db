# -*- test-case-name: tests.endpoint.test_service -*-
"""
Callbacks that are told when something happens, each until it says stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

from twisted.logger import Logger

__all__ = ["Listeners"]

_P = ParamSpec("_P")


class Listeners(Generic[_P]):
    """
    The callbacks for one kind of news. The mistake of one is logged and does not keep the news from the others.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[_P, None]] = {}

    def add(self, callback: Callable[_P, None]) -> Callable[[], None]:
        """
        @return: Call it to hear no more; more than once does no harm.
        """
        key = object()
        self._callbacks[key] = callback
        return lambda: (self._callbacks.pop(key, None), None)[1]

    def tell(self, *args: _P.args, **kwargs: _P.kwargs) -> None:
        """
        Call all of them.
        """
        for callback in list(self._callbacks.values()):
            try:
                callback(*args, **kwargs)
            except Exception:
                self._log.failure("A callback failed")
