# -*- test-case-name: tests.test_gate -*-
"""
Something that many wait for and that happens once: it opens, or it fails.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

__all__ = ["Gate"]


class Gate:
    """
    Closed at first. Whoever comes later than the opening does not wait.

    @ivar is_open: Whether C{open} was called.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._failure: Failure | None = None
        self._waiting: dict[Deferred[None], None] = {}

    def wait(self) -> Deferred[None]:
        """
        @return: Fires when the gate opens, fails when it fails. Each caller has its own and may cancel it.
        """
        if self._failure is not None:
            return fail(self._failure)
        if self.is_open:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.pop)
        self._waiting[waiting] = None
        return waiting

    def open(self) -> None:
        """
        Let everybody through, now and later.
        """
        if self._failure is None and not self.is_open:
            self.is_open = True
            waiting, self._waiting = self._waiting, {}
            for each in waiting:
                each.callback(None)

    def fail(self, failure: Failure) -> None:
        """
        Turn everybody away, now and later.
        """
        if self._failure is None and not self.is_open:
            self._failure = failure
            waiting, self._waiting = self._waiting, {}
            for each in waiting:
                each.errback(failure)
