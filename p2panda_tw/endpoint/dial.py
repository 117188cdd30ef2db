# -*- test-case-name: tests.endpoint.test_dial -*-
"""
Dialling a node: carries out what a L{p2panda_tw.endpoint.ranking.Race} says, with transports and a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.identity import NodeId
from p2panda_tw.endpoint.addresses import Address, describe
from p2panda_tw.endpoint.ranking import (
    CONNECT_TIMEOUT,
    AttemptFailed,
    AttemptSucceeded,
    GiveUp,
    Input,
    Lose,
    Output,
    Race,
    Schedule,
    Start,
    TimerExpired,
    Win,
)
from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.interfaces import IConnection, INodeTransport

__all__ = ["Attempt", "Dial", "Dialled", "short"]


def short(node_id: NodeId) -> str:
    """
    @return: A node id for sentences: its first ten hex digits.
    """
    return node_id.hex()[:10]


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One way to reach a node.

    @ivar addresses: Not empty; the transport reaches all of them.
    """

    transport: INodeTransport
    addresses: Sequence[Address]

    def __str__(self) -> str:
        return ", ".join(describe(address) for address in self.addresses)


class Dialled(NamedTuple):
    """
    What came of dialling.

    @ivar attempt: The attempt that made it.
    """

    connection: IConnection
    attempt: Attempt


class Dial:
    """
    One race of attempts to one node. It leaves no attempt, connection or delayed call behind but its result.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, node_id: NodeId, alpn: bytes, attempts: Sequence[Attempt]) -> None:
        """
        @param attempts: Best first, at least one.
        """
        self._clock = clock
        self._node_id = node_id
        self._alpn = alpn
        self._attempts = attempts
        self._race = Race(len(attempts))
        self._result: Deferred[Dialled] = Deferred(lambda _: self._end())
        self._is_over = False
        self._pending: dict[int, Deferred[IConnection]] = {}
        self._connections: dict[int, IConnection] = {}
        self._errors: dict[int, BaseException] = {}
        self._timers: list[IDelayedCall] = []
        self._outputs: deque[Output] = deque()
        self._is_working = False

    def start(self) -> Deferred[Dialled]:
        """
        @return: Fires with the first connection that proved the right node and protocol. Fails with L{ConnectError} or
            a subclass; the message lists what was tried. Cancelling gives up.
        """
        self._carry_out(self._race.begin())
        return self._result

    def _feed(self, event: Input) -> None:
        self._carry_out(self._race.handle(event))

    def _carry_out(self, outputs: Sequence[Output]) -> None:
        """
        Do as the race says. An attempt may end while it is being started; what follows from that waits for its turn.
        """
        self._outputs.extend(outputs)
        if self._is_working:
            return
        self._is_working = True
        try:
            while self._outputs and not self._is_over:
                self._do(self._outputs.popleft())
        finally:
            self._is_working = False

    def _do(self, output: Output) -> None:
        match output:
            case Start(number):
                attempt = self._attempts[number]
                pending: Deferred[IConnection] = maybeDeferred(
                    attempt.transport.connect, self._node_id, attempt.addresses, self._alpn
                )
                self._pending[number] = pending
                pending.addCallback(self._check).addCallbacks(
                    self._connected, self._failed, callbackArgs=(number,), errbackArgs=(number,)
                )
            case Schedule(delay, timer):
                self._timers.append(self._clock.callLater(delay, self._feed, TimerExpired(timer)))
            case GiveUp(number):
                self._errors.setdefault(number, ConnectError("no answer"))
            case Win(number):
                connection = self._connections.pop(number)
                self._end()
                self._result.callback(Dialled(connection, self._attempts[number]))
            case Lose(timed_out):
                self._end()
                self._result.errback(self._error(timed_out))
            case _:
                assert_never(output)

    def _check(self, connection: IConnection) -> IConnection:
        """
        Look at who answered, whatever the transport has looked at.
        """
        if connection.node_id != self._node_id:
            connection.abort("You are not the node that was dialled.")
            raise WrongNode(f"node {short(connection.node_id)} answered")
        if connection.alpn != self._alpn:
            connection.abort("This is not the protocol that was asked for.")
            raise NoCommonProtocol("another protocol was chosen")
        return connection

    def _connected(self, connection: IConnection, number: int) -> None:
        self._pending.pop(number, None)
        if self._is_over:
            connection.abort("Another way was faster.")
            return
        self._connections[number] = connection
        self._feed(AttemptSucceeded(number))

    def _failed(self, failure: Failure, number: int) -> None:
        self._pending.pop(number, None)
        if self._is_over:
            return
        if failure.check(ConnectError, CancelledError) is None:
            self._log.failure("Dialling {attempt} failed", failure, attempt=self._attempts[number])
        self._errors[number] = failure.value or ConnectError()
        self._feed(AttemptFailed(number))

    def _end(self) -> None:
        """
        Give up all that is not the result.
        """
        self._is_over = True
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        for pending in list(self._pending.values()):
            pending.cancel()
        for connection in self._connections.values():
            connection.abort("Another way was faster.")
        self._connections.clear()

    def _error(self, timed_out: bool) -> ConnectError:
        """
        @return: What to say after all attempts failed. If one node had no common protocol that is the answer; wrong
            nodes are it when nobody else answered.
        """
        tried = "; ".join(f"{self._attempts[number]}: {_reason(error)}" for number, error in self._errors.items())
        errors = list(self._errors.values())
        if any(isinstance(error, NoCommonProtocol) for error in errors):
            return NoCommonProtocol(
                f"Node {short(self._node_id)} does not speak this protocol in this network ({tried})."
            )
        if all(isinstance(error, WrongNode) for error in errors):
            return WrongNode(f"Node {short(self._node_id)} is not where it should be ({tried}).")
        when = f" within {CONNECT_TIMEOUT:.0f} s" if timed_out else ""
        return ConnectError(f"Node {short(self._node_id)} could not be reached{when} ({tried}).")


def _reason(error: BaseException) -> str:
    """
    @return: Why an attempt failed, as a part of a sentence.
    """
    if isinstance(error, ConnectError):
        return str(error).rstrip(".") or "failed"
    return "given up" if isinstance(error, CancelledError) else "an error in this program, see the log"
