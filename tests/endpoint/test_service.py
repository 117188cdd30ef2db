from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from p2panda_tw.core.identity import NodeId
from p2panda_tw.endpoint.addresses import Address, IrohAddress, OnionAddress, RelayAddress, TlsAddress
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, alpn
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.errors import ConfigurationError, ConnectError, LocalProtocolError, NoCommonProtocol
from p2panda_tw.interfaces import IConnection, IEndpoint
from tests.endpoint.doubles import ALICE, BOB, CAROL, FakeConnection, FakeTransport

TLS_1, TLS_2 = TlsAddress("192.0.2.1", 1), TlsAddress("192.0.2.2", 2)
IROH_1 = IrohAddress("192.0.2.1", 3)
RELAY = RelayAddress("https://relay.example/")
ECHO = b"test/echo/v1"
ECHO_ALPN = alpn(ECHO, DEFAULT_NETWORK_ID)
A_NODE, B_NODE, C_NODE = ALICE.verifying_key, BOB.verifying_key, CAROL.verifying_key


class EndpointCase(SynchronousTestCase):
    """
    Alice's endpoint with a TLS and an iroh transport, on a clock.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.now = 1_000_000
        self.tls = FakeTransport("tls", TlsAddress)
        self.iroh = FakeTransport("iroh", IrohAddress, RelayAddress)
        self.endpoint = self.make()

    def make(self, *transports: FakeTransport, **options: Any) -> Endpoint:
        """
        An endpoint of Alice.
        """
        return Endpoint(
            self.clock,
            ALICE,
            DEFAULT_NETWORK_ID,
            transports or (self.tls, self.iroh),
            clock_us=lambda: self.now,
            **options,
        )

    def open(self) -> None:
        """
        Open Alice's endpoint.
        """
        self.successResultOf(self.endpoint.open())

    def tearDown(self) -> None:
        """
        Nothing is left behind.
        """
        self.successResultOf(self.endpoint.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LifeTests(EndpointCase):
    """
    Opening and closing.
    """

    def test_interface(self) -> None:
        """
        The endpoint is what protocols expect.
        """
        verifyObject(IEndpoint, self.endpoint)
        self.assertEqual((self.endpoint.node_id, self.endpoint.network_id), (A_NODE, DEFAULT_NETWORK_ID))

    def test_open(self) -> None:
        """
        All transports listen when it is open, one after the other, and none when it is closed; and that again.
        """
        for _ in range(2):
            self.tls.listen_result = Deferred()
            opened = self.endpoint.open()
            also = self.endpoint.open()
            self.assertEqual((self.tls.listening, self.iroh.listening), (True, False))
            self.tls.listen_result.callback(None)
            self.successResultOf(opened)
            self.successResultOf(also)
            self.assertTrue(self.iroh.listening)
            self.successResultOf(self.endpoint.open())
            self.successResultOf(self.endpoint.close())
            self.assertEqual((self.tls.listening, self.iroh.listening), (False, False))

    def test_service(self) -> None:
        """
        As a service it opens when it starts and is closed when it has stopped.
        """
        self.endpoint.startService()
        self.assertTrue(self.tls.listening)
        self.iroh.stop_result = Deferred()
        stopped = self.endpoint.stopService()
        self.assertNoResult(stopped)
        self.iroh.stop_result.callback(None)
        self.successResultOf(stopped)

    def test_closed_while_opening(self) -> None:
        """
        Closing while a transport is about to listen waits for that.
        """
        self.tls.listen_result = Deferred()
        opened = self.endpoint.open()
        closed = self.endpoint.close()
        self.assertNoResult(closed)
        self.tls.listen_result.callback(None)
        self.successResultOf(opened)
        self.successResultOf(closed)
        self.assertEqual((self.tls.listening, self.iroh.listening), (False, False))

    def test_port_taken(self) -> None:
        """
        A transport that cannot listen ends the start with its sentence, and the others stop again.
        """
        self.iroh.problem = "The port 4242 is taken."
        error = self.failureResultOf(self.endpoint.open(), ConfigurationError).value
        self.assertEqual(str(error), "The port 4242 is taken.")
        self.assertFalse(self.tls.listening)
        self.assertEqual(self.endpoint.problems, {"iroh": "The port 4242 is taken."})
        self.iroh.problem = None
        self.open()
        self.assertEqual(self.endpoint.problems, {})

    def test_optional(self) -> None:
        """
        Without the package iroh everything else works, and it can be asked why iroh does not.
        """
        self.iroh.problem = "The package iroh is not installed."
        self.endpoint = self.make(optional=["iroh"])
        self.open()
        self.assertTrue(self.tls.listening)
        self.assertEqual(self.endpoint.problems, {"iroh": "The package iroh is not installed."})
        self.endpoint.add_addresses(B_NODE, [IROH_1])
        error = self.failureResultOf(self.endpoint.connect(B_NODE, ECHO), ConnectError).value
        self.assertIn("iroh 192.0.2.1:3", str(error))
        self.assertIn("The package iroh is not installed.", str(error))

    def test_missing(self) -> None:
        """
        A node that only a missing package could reach is not reachable, with that as the reason.
        """
        self.endpoint = self.make(self.tls, missing={"iroh": "The package iroh is not installed."})
        self.open()
        self.assertEqual(self.endpoint.problems, {"iroh": "The package iroh is not installed."})
        self.endpoint.add_addresses(B_NODE, [IROH_1])
        error = self.failureResultOf(self.endpoint.connect(B_NODE, ECHO), ConnectError).value
        self.assertIn("The package iroh is not installed.", str(error))

    def test_nothing_left(self) -> None:
        """
        When no transport at all can listen, the start fails although all are optional.
        """
        self.tls.problem, self.iroh.problem = "No TLS.", "No iroh."
        self.endpoint = self.make(optional=["tls", "iroh"])
        message = str(self.failureResultOf(self.endpoint.open(), ConfigurationError).value)
        self.assertEqual(message, "No way to other nodes is left. No TLS. No iroh.")

    def test_closing_gives_up(self) -> None:
        """
        Who waits for a connection when the endpoint is closed is told so.
        """
        self.open()
        self.endpoint.add_addresses(B_NODE, [TLS_1])
        result = self.endpoint.connect(B_NODE, ECHO)
        self.successResultOf(self.endpoint.close())
        self.assertIn("closed", str(self.failureResultOf(result, ConnectError).value))
        self.assertTrue(self.tls.attempts[0].cancelled)
        self.assertIn("not open", str(self.failureResultOf(self.endpoint.connect(B_NODE, ECHO), ConnectError).value))

    def test_own_addresses(self) -> None:
        """
        Our addresses are those of all transports, best first; changes are told.
        """
        told: list[list[Address]] = []
        stop = self.endpoint.watch(lambda: told.append(self.endpoint.local_addresses()))
        self.iroh.own, self.tls.own = [RELAY, IROH_1], [TLS_1]
        self.assertEqual(self.endpoint.local_addresses(), [])
        self.open()
        self.iroh.changed()
        self.assertEqual(told, [[TLS_1, IROH_1, RELAY]] * 2)
        stop()
        self.tls.changed()
        self.assertEqual(len(told), 2)


class AcceptTests(EndpointCase):
    """
    Connections that others make.
    """

    def setUp(self) -> None:
        super().setUp()
        self.open()
        self.taken: list[IConnection] = []
        self.endpoint.accept(ECHO, self.taken.append)

    def incoming(self, node_id: NodeId = B_NODE, negotiated: bytes = ECHO_ALPN) -> FakeConnection:
        """
        A connection arrives over TLS.
        """
        assert self.tls.incoming is not None
        connection = FakeConnection(node_id, negotiated)
        self.tls.incoming(connection)
        return connection

    def test_offered(self) -> None:
        """
        Transports offer what is registered at the moment, mixed with the network.
        """
        other = alpn(b"other", DEFAULT_NETWORK_ID)
        self.assertEqual(self.tls.offered(), (ECHO_ALPN,))
        self.endpoint.accept(b"other", self.taken.append)
        self.assertEqual(self.iroh.offered(), (ECHO_ALPN, other))
        self.endpoint.withdraw(ECHO)
        self.endpoint.withdraw(ECHO)
        self.assertEqual(self.iroh.offered(), (other,))

    def test_routed(self) -> None:
        """
        A connection goes to whoever speaks its protocol.
        """
        others: list[IConnection] = []
        self.endpoint.accept(b"other", others.append)
        first = self.incoming()
        second = self.incoming(negotiated=alpn(b"other", DEFAULT_NETWORK_ID))
        self.assertEqual((self.taken, others), ([first], [second]))

    def test_withdrawn(self) -> None:
        """
        A connection for a protocol that was withdrawn meanwhile is ended.
        """
        self.endpoint.withdraw(ECHO)
        self.assertIsNotNone(self.incoming().ended)

    def test_twice(self) -> None:
        """
        A protocol can be offered once.
        """
        self.assertRaises(LocalProtocolError, self.endpoint.accept, ECHO, self.taken.append)

    def test_bug(self) -> None:
        """
        A mistake in a protocol is logged, and the connection is ended.
        """
        self.endpoint.accept(b"broken", lambda connection: 1 // 0)  # type: ignore[arg-type,return-value]  # fails first
        connection = self.incoming(negotiated=alpn(b"broken", DEFAULT_NETWORK_ID))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNotNone(connection.ended)

    def test_twin(self) -> None:
        """
        Another program with our own identity is refused.
        """
        connection = self.incoming(A_NODE)
        self.assertEqual(self.taken, [])
        self.assertIsNotNone(connection.ended)

    def test_open_connections(self) -> None:
        """
        It can be asked which connections are open, with one node or all.
        """
        told: list[tuple[IConnection, bool]] = []
        self.endpoint.on_connection(lambda connection, dialled: told.append((connection, dialled)))
        first, second = self.incoming(), self.incoming(C_NODE)
        self.assertEqual(told, [(first, False), (second, False)])
        self.assertEqual(self.endpoint.connections(), [first, second])
        self.assertEqual(self.endpoint.connections(C_NODE), [second])
        first.close("done")
        self.assertEqual(self.endpoint.connections(), [second])
        self.assertEqual(self.endpoint.connections(B_NODE), [])

    def test_callback_fails(self) -> None:
        """
        The mistake of one listener does not keep the news from the others.
        """
        self.endpoint.on_connection(lambda connection, dialled: [][0])
        self.incoming()
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.assertEqual(len(self.taken), 1)


class ConnectTests(EndpointCase):
    """
    Connections that we make.
    """

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_unknown(self) -> None:
        """
        A node without any address cannot be reached; neither can we ourselves.
        """
        message = str(self.failureResultOf(self.endpoint.connect(B_NODE, ECHO), ConnectError).value)
        self.assertEqual(message, f"No address of node {B_NODE.hex()[:10]} is known.")
        self.failureResultOf(self.endpoint.connect(A_NODE, ECHO), ConnectError)

    def test_no_transport(self) -> None:
        """
        An address that no transport reaches is named.
        """
        self.endpoint.add_addresses(B_NODE, [OnionAddress(80)])
        message = str(self.failureResultOf(self.endpoint.connect(B_NODE, ECHO), ConnectError).value)
        self.assertIn("onion port 80", message)

    def test_chooses(self) -> None:
        """
        Each address goes to the transport that reaches it, direct ones first, all of iroh in one attempt.
        """
        self.endpoint.add_addresses(B_NODE, [RELAY, IROH_1, OnionAddress(80), TLS_1])
        result = self.endpoint.connect(B_NODE, ECHO)
        self.clock.advance(0.25)
        self.assertEqual([attempt.addresses for attempt in self.tls.attempts], [(TLS_1,)])
        self.assertEqual([attempt.addresses for attempt in self.iroh.attempts], [(IROH_1, RELAY)])
        self.assertEqual(self.iroh.attempts[0].alpn, ECHO_ALPN)
        connection = self.iroh.attempts[0].succeed()
        self.assertIs(self.successResultOf(result), connection)
        self.assertTrue(self.tls.attempts[0].cancelled)
        self.assertEqual(self.endpoint.connections(B_NODE), [connection])

    def test_worked_last(self) -> None:
        """
        The address that worked goes first the next time, after a restart too.
        """
        changes: list[tuple[NodeId, tuple[Address, ...], int | None]] = []
        self.endpoint.add_addresses(B_NODE, [TLS_1, TLS_2])
        self.endpoint.on_change(lambda node_id, addresses, at: changes.append((node_id, tuple(addresses), at)))
        result = self.endpoint.connect(B_NODE, ECHO)
        self.tls.attempts[0].fail(ConnectError("refused"))
        self.tls.attempts[1].succeed()
        self.successResultOf(result)
        self.assertEqual(changes, [(B_NODE, (TLS_2, TLS_1), self.now)])

        restarted = self.make()
        restarted.add_addresses(*changes[0])
        known = restarted.known(B_NODE)
        assert known is not None
        self.assertEqual((known.addresses, known.worked), ((TLS_2, TLS_1), TLS_2))
        self.assertEqual(restarted.known_nodes(), [known])
        cancelled = self.endpoint.connect(B_NODE, ECHO)
        self.assertEqual(self.tls.attempts[2].addresses, (TLS_2,))
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)

    def test_told(self) -> None:
        """
        What a node says of itself is written down, and replaces what it said before.
        """
        changes: list[tuple[Address, ...]] = []
        stop = self.endpoint.on_change(lambda node_id, addresses, at: changes.append(tuple(addresses)))
        self.endpoint.told_addresses(B_NODE, [TLS_1])
        self.endpoint.told_addresses(B_NODE, [TLS_1])
        self.endpoint.told_addresses(B_NODE, [TLS_2])
        stop()
        self.endpoint.told_addresses(B_NODE, [])
        self.assertEqual(changes, [(TLS_1,), (TLS_2,)])

    def test_no_common_protocol(self) -> None:
        """
        A node that does not speak the protocol was reached all the same.
        """
        unreachable: list[NodeId] = []
        self.endpoint.on_unreachable(unreachable.append)
        self.endpoint.add_addresses(B_NODE, [TLS_1])
        result = self.endpoint.connect(B_NODE, ECHO)
        self.tls.attempts[0].fail(NoCommonProtocol("alert 120"))
        self.failureResultOf(result, NoCommonProtocol)
        self.assertEqual(unreachable, [])

    def test_unreachable(self) -> None:
        """
        A node that cannot be reached is reported as such.
        """
        unreachable: list[NodeId] = []
        stop = self.endpoint.on_unreachable(unreachable.append)
        self.endpoint.add_addresses(B_NODE, [TLS_1])
        for _ in range(2):
            result = self.endpoint.connect(B_NODE, ECHO)
            self.tls.attempts[-1].fail(ConnectError("refused"))
            self.failureResultOf(result, ConnectError)
            stop()
        self.assertEqual(unreachable, [B_NODE])
