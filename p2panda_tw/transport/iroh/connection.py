# -*- test-case-name: tests.transport.test_iroh,tests.transport.test_iroh_streams -*-
"""
A connection to a node over QUIC. Lives on the reactor's side; its tasks are in L{p2panda_tw.transport.iroh.link}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId
from p2panda_tw.errors import ConnectError
from p2panda_tw.interfaces import IConnection
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.iroh.binding import cleaned
from p2panda_tw.transport.iroh.bridge import Bridge
from p2panda_tw.transport.iroh.link import Halves, Link
from p2panda_tw.transport.iroh.stream import IrohStream
from p2panda_tw.transport.limits import ReceiveBudget
from p2panda_tw.transport.node_address import NodeAddress

__all__ = ["IrohConnection"]

UNREAD_TIME: Final = 5.0
"""
After the other node has closed in order, a protocol that does not read has so many seconds to take what had arrived.
"""

LOST_TIME: Final = 0.25
"""
The same after any other end.
"""


@implementer(IConnection)
class IrohConnection:
    """
    @ivar node_id: The proven identity of the other node.
    @ivar transport_name: C{'iroh'}.
    @ivar alpn: The negotiated 32 bytes.
    @ivar closed: Fires once nothing of the connection is left.
    @ivar link: The loop's side of it.
    @ivar peer: The other node, as streams name it.
    @ivar host: Our own.
    """

    _log = Logger()

    transport_name = "iroh"

    def __init__(
        self,
        reactor: Any,
        bridge: Bridge,
        link: Link,
        budget: ReceiveBudget,
        node_id: NodeId,
        own_id: NodeId,
        alpn: bytes,
        gone: Callable[[IrohConnection], None],
        complaints: Complaints,
    ) -> None:
        """
        @param gone: Called when nothing is left.
        """
        self.node_id = node_id
        self.alpn = alpn
        self.closed: Deferred[None] = Deferred()
        self.link = link
        self.peer = NodeAddress(node_id, self.transport_name)
        self.host = NodeAddress(own_id, self.transport_name)
        self._reactor = reactor
        self._budget = budget
        self._bridge = bridge
        self._streams: dict[IrohStream, ReceiveBudget | None] = {}  # those of the other node with what counts them
        self._factory: IProtocolFactory | None = None
        self._reason: str | None = None
        self._ended = False
        self._tasks_left = True
        self._overdue: IDelayedCall | None = None
        self._gone = gone
        self._complaints = complaints
        self._closers: list[Deferred[None]] = []
        self._finished = False
        bridge.tell(link.start, self._over, self._no_tasks_left)

    @property
    def end(self) -> str:
        """
        @return: Why the connection is over: our own reason, or what the wheel says.
        """
        return self._reason or cleaned(self.link.end or "The connection is gone.")

    def complain(self, cause: str, sentence: str) -> None:
        """
        Tell the operator, once, what the other node did.
        """
        self._complaints.complain(str(self.node_id), cause, sentence)

    def open_stream(self, factory: IProtocolFactory, one_way: bool = False) -> Deferred[IProtocol]:
        """
        Open a stream to the other node and connect a protocol of C{factory} to it.
        """
        if self._ended or self._reason is not None:
            return fail(ConnectError(f"The connection is closed: {self.end}."))

        def opened(halves: Halves) -> IProtocol:
            stream = IrohStream(self, *halves, self._reactor, self._budget)
            try:
                protocol = factory.buildProtocol(self.peer)
            except Exception:
                stream.drop("not wanted")
                raise
            if protocol is None:
                stream.drop("not wanted")
                raise ConnectError("The factory made no protocol for the stream.")
            if self._ended or self._reason is not None:
                stream.drop(self.end)
                raise ConnectError(f"The connection is closed: {self.end}.")
            self._streams[stream] = None
            stream.connect(protocol)
            return protocol

        return self._bridge.run(self.link.open(one_way)).addCallback(opened)

    def accept_streams(self, factory: IProtocolFactory) -> None:
        """
        Connect a protocol of C{factory} to every stream that the other node opens.
        """
        first = self._factory is None
        self._factory = factory
        if first and not self._ended:
            self._bridge.tell(self.link.accept, self._accepted)

    def close(self, reason: str) -> Deferred[None]:
        """
        End the connection in order.
        """
        if not self._ended and self._reason is None:
            self._reason = reason
            for stream in list(self._streams):
                stream.part(reason)
            self._bridge.run(self.link.close(reason)).addErrback(self._failed)
        if self._finished:
            return succeed(None)
        done: Deferred[None] = Deferred()  # its own, so that giving up waiting disturbs nobody else
        self._closers.append(done)
        return done

    def abort(self, reason: str) -> None:
        """
        End the connection at once.
        """
        if not self._ended:
            self._reason = self._reason or reason
            self._bridge.tell(self.link.abort, reason)

    def stream_gone(self, stream: IrohStream) -> None:
        """
        A stream is over.
        """
        budget = self._streams.pop(stream, None)
        if budget is not None:
            budget.leave()
        self._maybe_closed()

    def _accepted(self, halves: Halves) -> None:
        if self._reason is not None:
            return  # the link keeps it until the connection is closed
        stream = IrohStream(self, *halves, self._reactor, self._budget)
        if self._ended or not self._budget.take():
            stream.drop(self.end)
            return
        self._streams[stream] = self._budget
        stream.await_first_byte()

    def build_protocol(self) -> IProtocol | None:
        """
        @return: A protocol for a stream that the other node has opened, if it is wanted.
        """
        return None if self._factory is None else self._factory.buildProtocol(self.peer)

    def _failed(self, failure: Any) -> None:
        self._log.failure("Closing a connection failed.", failure)
        self._bridge.tell(self.link.abort, self._reason or "")

    def _over(self, text: str) -> None:
        """
        The connection is closed, by us, by the other node, or by silence. What had arrived is still delivered.
        """
        self._ended = True
        if self._reason is not None:
            self._drop_streams()
        elif self._streams:
            in_order = text.startswith("closed by peer")
            self._overdue = self._reactor.callLater(UNREAD_TIME if in_order else LOST_TIME, self._drop_streams)
        self._maybe_closed()

    def _no_tasks_left(self) -> None:
        self._tasks_left = False
        self._maybe_closed()

    def _drop_streams(self) -> None:
        for stream in list(self._streams):
            stream.drop(self.end)

    def _maybe_closed(self) -> None:
        if not self._ended or self._tasks_left or self._streams or self._finished:
            return
        self._finished = True
        if self._overdue is not None and self._overdue.active():
            self._overdue.cancel()
        self._gone(self)
        for done in [self.closed, *self._closers]:
            if not done.called:  # somebody may have cancelled it
                done.callback(None)
