# -*- test-case-name: tests.endpoint.test_service -*-
"""
The transports of an endpoint: which of them are in use, and why the others are not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.endpoint.addresses import Address
from p2panda_tw.endpoint.dial import Attempt
from p2panda_tw.errors import ConfigurationError
from p2panda_tw.interfaces import IConnection, INodeTransport

__all__ = ["Transports"]


class Transports:
    """
    Some ways to reach nodes, opened and closed together.

    @ivar is_open: From the begin of opening to the begin of closing.
    @ivar working: Those that listen.
    @ivar problems: Why a transport does not, by its name; a sentence for a person.
    """

    _log = Logger()

    def __init__(
        self, transports: Sequence[INodeTransport], optional: Collection[str], missing: Mapping[str, str]
    ) -> None:
        """
        @param optional: Names of those that are left out when they cannot listen, instead of failing the start.
        @param missing: Why others are not among them, by their names.
        """
        self.is_open = False
        self.working: list[INodeTransport] = []
        self.problems: dict[str, str] = {}
        self._transports = tuple(transports)
        self._optional = frozenset(optional)
        self._missing = dict(missing)
        self._waiting: list[Deferred[None]] = []

    def open(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        """
        Have them listen, one after the other. If they do, or are about to, wait for that.

        @return: Fails with L{ConfigurationError} when one that is not optional cannot listen, or none can. Then nothing
            is left, and it can be tried again.
        """
        if self.is_open and not self._waiting:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if not self.is_open:
            self.is_open = True
            Deferred.fromCoroutine(self._open(accept, offered)).addBoth(self._tell)
        return waiter

    async def _open(self, accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> None:
        self.problems = dict(self._missing)
        for name, reason in self._missing.items():
            self._log.info("Without {transport}: {reason}", transport=name, reason=reason)
        try:
            for transport in self._transports:
                await self._listen(transport, accept, offered)
            if self._transports and not self.working:
                raise ConfigurationError(f"No way to other nodes is left. {' '.join(self.problems.values())}")
        except BaseException:
            await self._stop()
            raise

    async def _listen(
        self,
        transport: INodeTransport,
        accept: Callable[[IConnection], None],
        offered: Callable[[], Sequence[bytes]],
    ) -> None:
        try:
            await transport.listen(accept, offered)
        except ConfigurationError as error:
            self.problems[transport.name] = str(error)
            if transport.name not in self._optional:
                raise
            self._log.warn("Going on without {transport}: {reason}", transport=transport.name, reason=str(error))
        else:
            self.working.append(transport)

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)  # a failure takes the way of errors

    def close(self) -> Deferred[None]:
        """
        Close all connections in order.

        @return: Fires when nothing is left.
        """
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._waiting:
            opened: Deferred[None] = Deferred()
            self._waiting.append(opened)
            await opened.addErrback(lambda _: None)  # whoever opened it is told
        await self._stop()

    async def _stop(self) -> None:
        self.is_open = False
        working, self.working = self.working, []
        for stopping in [maybeDeferred(transport.stop) for transport in working]:
            await stopping.addErrback(lambda failure: self._log.failure("A transport failed to stop", failure))

    def ways(self, groups: Sequence[Sequence[Address]]) -> list[Attempt]:
        """
        @param groups: Addresses that make one attempt each.

        @return: The attempts that can be made here, in the same order.
        """
        found = []
        for group in groups:
            for transport in self.working:
                if reached := [address for address in group if transport.reaches(address)]:
                    found.append(Attempt(transport, reached))
                    break
        return found
