"""
The seams of p2panda_tw: what an embedder may put in place of our own parts.

A I{transport} is one way to reach nodes (TLS, iroh, memory); the L{endpoint<IEndpoint>} chooses among them. Both give
L{connections<IConnection>}, a connection gives streams, and a stream is an ordinary Twisted transport that carries an
ordinary protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProtocol, IProtocolFactory, IPushProducer, ITransport
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from p2panda_tw.core.identity import NodeId
    from p2panda_tw.endpoint.addresses import Address

__all__ = ["IConnection", "IEndpoint", "INodeTransport", "IStream"]


class IStream(ITransport, IConsumer, IPushProducer, Interface):
    """
    What a protocol on a stream finds as its C{transport}; L{IConnection} tells how it behaves.
    """

    connection: IConnection = Attribute("The connection that the stream belongs to.")
    one_way: bool = Attribute("Data goes only from the node that opened the stream to the one that accepted it.")

    def loseWriteConnection() -> None:
        """
        End our direction after everything that was written. The other node sees an end of stream.
        """

    def abortConnection() -> None:
        """
        Reset the stream at once, in both directions. What was not yet sent is dropped.
        """


class IConnection(Interface):
    """
    A connection to one node, for one protocol. Its identity is proven.

    Streams given to factories are L{IStream}s: C{ITransport}s that also provide C{IPushProducer} towards their protocol
    (C{pauseProducing} stops reading, so that flow control reaches the sender), C{IConsumer} (register a producer to be
    told when to stop writing), C{loseWriteConnection()} (end of stream, after everything written), C{loseConnection()}
    (that in our direction, and nothing more is read) and C{abortConnection()} (reset at once; what was not yet sent is
    dropped). Each has an attribute C{connection}.

    Protocols may provide C{IHalfCloseableProtocol}: C{readConnectionLost} is an end of stream, never anything else.
    C{connectionLost} comes once: with C{ConnectionDone} after both directions ended, with C{ConnectionAborted} after a
    reset by either side, with C{ConnectionLost} when the connection is gone. A protocol that is not half-closeable gets
    C{connectionLost} at the end of the incoming direction, and the outgoing one is ended too.

    On a one-way stream the direction that carries nothing counts as ended from the start, silently: the node that
    opened it hears C{connectionLost} alone, after its own end.
    """

    node_id: NodeId = Attribute("The proven identity of the other node.")
    transport_name: str = Attribute("Which transport carries it: C{'tls'}, C{'iroh'} or C{'memory'}.")
    alpn: bytes = Attribute("The negotiated 32 bytes, BLAKE3(protocol id followed by network id).")
    closed: Deferred[None] = Attribute(
        """
        Fires with C{None} once nothing of the connection is left, never with a failure. Callbacks pass the result on.
        """
    )

    def open_stream(factory: IProtocolFactory, one_way: bool = False) -> Deferred[IProtocol]:
        """
        Open a stream to the other node and connect a protocol of C{factory} to it.

        The other node hears of the stream with the first byte that is written. A one-way stream never delivers
        anything.

        @return: Fires with the connected protocol. Fails with L{p2panda_tw.errors.ConnectError} when the connection is
            closed or takes no more streams.
        """

    def accept_streams(factory: IProtocolFactory) -> None:
        """
        Connect a protocol of C{factory} to every stream that the other node opens, also to those that wait since before
        this call. C{buildProtocol} is called with the stream's peer address; if it returns C{None} the stream is reset.
        On one-way streams C{one_way} of the transport is true and writing is a L{p2panda_tw.errors.LocalProtocolError}.
        """

    def close(reason: str) -> Deferred[None]:
        """
        End the connection in order: what was written is delivered first, 5 s at most.

        @param reason: Told to the other node where the transport can, and to our own pending streams.

        @return: C{closed}.
        """

    def abort(reason: str) -> None:
        """
        End the connection at once. Streams never see this as an end of stream.
        """


class INodeTransport(Interface):
    """
    One way to reach nodes. It is given its identity, reactor and settings at construction.
    """

    name: str = Attribute("A short word for tickets, logs and status.")

    def listen(accept: Callable[[IConnection], None], offered: Callable[[], Sequence[bytes]]) -> Deferred[None]:
        """
        Begin to take connections; needed for dialling, too.

        @param accept: Called with every connection that was made to us, after its identity and protocol are known.
        @param offered: Asked for the ALPN values that are taken at this moment.

        @return: Fires when C{addresses} is meaningful. Fails with L{p2panda_tw.errors.ConfigurationError} when the
            address is taken or wrong.
        """

    def reaches(address: Address) -> bool:
        """
        @return: Whether this transport can dial such an address.
        """

    def connect(node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        """
        Make a new connection. All given addresses are ones that C{reaches} said yes to.

        @return: Fires when the other node has accepted. Fails with L{p2panda_tw.errors.ConnectError} or its subclasses,
            a time-out of 10 s included. Cancelling abandons the attempt.
        """

    def addresses() -> Sequence[Address]:
        """
        @return: Where others may reach us now, best first.
        """

    def watch(changed: Callable[[], None]) -> None:
        """
        Call C{changed} whenever C{addresses} becomes another list.
        """

    def stop() -> Deferred[None]:
        """
        Close every connection in order and take no more. Fires when nothing is left. C{listen} works again afterwards.
        """


class IEndpoint(Interface):
    """
    Connections to nodes, by node id and protocol id, whatever the way.
    """

    node_id: NodeId = Attribute("Our own.")
    network_id: bytes = Attribute("32 bytes; nodes of other networks are not reached.")

    def connect(node_id: NodeId, protocol_id: bytes) -> Deferred[IConnection]:
        """
        Make a new connection with the best of the known addresses.

        @return: Fails with L{p2panda_tw.errors.ConnectError} or its subclasses.
        """

    def accept(protocol_id: bytes, handler: Callable[[IConnection], None]) -> None:
        """
        Offer a protocol; C{handler} is called with each connection that chose it.
        """

    def withdraw(protocol_id: bytes) -> None:
        """
        Offer it no more.
        """
