# -*- test-case-name: tests.transport.test_streams -*-
"""
What a transport has to end when it stops: attempts to connect that are under way, and connections.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure

from p2panda_tw.errors import ConnectError
from p2panda_tw.transport.connection import Connection

__all__ = ["Roster"]

_T = TypeVar("_T")


class Roster:
    """
    The attempts and connections of one transport.

    @ivar connections: Those that are not closed, oldest first.
    """

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}
        self._attempts: dict[Deferred[object], None] = {}
        self._stopping = False

    def attempt(self, connecting: Deferred[_T]) -> Deferred[_T]:
        """
        Give up C{connecting} when everything ends.

        @return: The same Deferred.
        """
        self._attempts[connecting] = None  # type: ignore[index]  # only ever cancelled

        def forget(result: _T | Failure) -> _T | Failure:
            self._attempts.pop(connecting, None)  # type: ignore[arg-type]  # as above
            if self._stopping and isinstance(result, Failure) and result.check(CancelledError):
                return Failure(ConnectError("The attempt was given up, because the node stops."))
            return result

        return connecting.addBoth(forget)

    def add(self, connection: Connection) -> None:
        """
        Remember a connection until it is closed.
        """
        self.connections[connection] = None

        def forget(result: None) -> None:
            self.connections.pop(connection, None)

        connection.closed.addCallback(forget)

    def end(self) -> Deferred[None]:
        """
        Give up all attempts and close all connections in order.

        @return: Fires when nothing is left.
        """
        self._stopping = True
        for attempt in list(self._attempts):
            attempt.cancel()
        self._stopping = False
        closing = [connection.close("The node stops.") for connection in list(self.connections)]
        return gatherResults(closing).addCallback(lambda _: None)
