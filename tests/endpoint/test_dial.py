from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import NodeId
from p2panda_tw.endpoint.addresses import Address, IrohAddress, RelayAddress, TlsAddress
from p2panda_tw.endpoint.dial import Attempt, Dial, Dialled
from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.interfaces import IConnection
from tests.endpoint.doubles import ALICE, BOB, FakeConnection, FakeTransport

TLS_1, TLS_2, TLS_3 = (TlsAddress("192.0.2.1", port) for port in (1, 2, 3))
IROH = (IrohAddress("192.0.2.1", 4), RelayAddress("https://relay.example/"))
ALPN = b"\x07" * 32


class StubbornTransport(FakeTransport):
    """
    An attempt that is given up gives a connection nevertheless.
    """

    def __init__(self, late: FakeConnection) -> None:
        super().__init__("tls", TlsAddress)
        self.late = late

    def connect(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes) -> Deferred[IConnection]:
        return Deferred(lambda result: result.callback(self.late))


class DialTests(SynchronousTestCase):
    """
    Dialling on a clock, with transports that do as the test says.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.tls = FakeTransport("tls", TlsAddress)
        self.iroh = FakeTransport("iroh", IrohAddress, RelayAddress)

    def tearDown(self) -> None:
        """
        Nothing is left behind, whatever happened.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for attempt in [*self.tls.attempts, *self.iroh.attempts]:
            self.assertTrue(attempt.result.called)

    def dial(self, *ways: tuple[FakeTransport, Sequence[Address]]) -> Deferred[Dialled]:
        """
        Dial Alice.
        """
        attempts = [Attempt(transport, addresses) for transport, addresses in ways]
        return Dial(self.clock, ALICE.verifying_key, ALPN, attempts).start()

    def test_first(self) -> None:
        """
        The best address is dialled first, and when it answers nothing else is.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        self.assertEqual([attempt.addresses for attempt in self.tls.attempts], [(TLS_1,)])
        self.assertEqual((self.tls.attempts[0].node_id, self.tls.attempts[0].alpn), (ALICE.verifying_key, ALPN))
        connection = self.tls.attempts[0].succeed()
        dialled = self.successResultOf(result)
        self.assertIs(dialled.connection, connection)
        self.assertEqual(dialled.attempt, Attempt(self.tls, [TLS_1]))
        self.assertEqual(len(self.tls.attempts), 1)
        self.assertIsNone(connection.ended)

    def test_silent_address(self) -> None:
        """
        An address that swallows everything delays the next one by 250 ms and is given up when that one answers.
        """
        result = self.dial((self.tls, [TLS_1]), (self.iroh, IROH))
        self.clock.advance(0.249)
        self.assertEqual(self.iroh.attempts, [])
        self.clock.advance(0.001)
        self.assertEqual([attempt.addresses for attempt in self.iroh.attempts], [IROH])
        connection = self.iroh.attempts[0].succeed()
        self.assertIs(self.successResultOf(result).connection, connection)
        self.assertTrue(self.tls.attempts[0].cancelled)

    def test_all_fail(self) -> None:
        """
        When nothing answers, the sentence lists what was tried and why it failed.
        """
        result = self.dial((self.tls, [TLS_1]), (self.iroh, IROH))
        self.tls.attempts[0].fail(ConnectError("Connection refused."))
        self.iroh.attempts[0].fail(ConnectError("The relay does not know the node."))
        error = self.failureResultOf(result, ConnectError).value
        self.assertIs(type(error), ConnectError)
        self.assertEqual(
            str(error),
            f"Node {ALICE.verifying_key.hex()[:10]} could not be reached (tls 192.0.2.1:1: Connection refused; "
            "iroh 192.0.2.1:4, relay https://relay.example/: The relay does not know the node).",
        )

    def test_at_once(self) -> None:
        """
        Attempts that fail while they are being made follow each other without a pause.
        """
        self.tls.at_once = ConnectError("no route")
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]), (self.tls, [TLS_3]))
        self.failureResultOf(result, ConnectError)
        self.assertEqual([attempt.addresses for attempt in self.tls.attempts], [(TLS_1,), (TLS_2,), (TLS_3,)])

    def test_timeout(self) -> None:
        """
        After 10 s without an answer dialling ends, and says what was silent.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        self.clock.pump([0.25, 9.7])
        self.assertNoResult(result)
        self.clock.advance(0.05)
        message = str(self.failureResultOf(result, ConnectError).value)
        self.assertIn("within 10 s", message)
        self.assertIn("192.0.2.1:1: no answer; tls 192.0.2.1:2: no answer", message)

    def test_cancel(self) -> None:
        """
        Who does not want the connection any more gives up all attempts.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        self.clock.advance(0.25)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual([attempt.cancelled for attempt in self.tls.attempts], [True, True])

    def test_wrong_key(self) -> None:
        """
        A connection to another node is no connection, although the transport gave it; the next address is tried.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        wrong = self.tls.attempts[0].succeed(BOB.verifying_key)
        self.assertIsNotNone(wrong.ended)
        right = self.tls.attempts[1].succeed()
        self.assertIs(self.successResultOf(result).connection, right)

    def test_wrong_node(self) -> None:
        """
        When only other nodes answer, the error says so.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        self.tls.attempts[0].succeed(BOB.verifying_key)
        self.tls.attempts[1].fail(WrongNode("Another node answers."))
        message = str(self.failureResultOf(result, WrongNode).value)
        self.assertIn(f"node {BOB.verifying_key.hex()[:10]} answered", message)

    def test_no_common_protocol(self) -> None:
        """
        When one address says that the protocol is not spoken there, the error says so, also when others were silent.
        """
        result = self.dial((self.tls, [TLS_1]), (self.tls, [TLS_2]))
        self.tls.attempts[0].fail(NoCommonProtocol("alert 120"))
        self.tls.attempts[1].fail(ConnectError("refused"))
        self.failureResultOf(result, NoCommonProtocol)

    def test_other_protocol(self) -> None:
        """
        A connection for another protocol is no connection.
        """
        result = self.dial((self.tls, [TLS_1]))
        wrong = self.tls.attempts[0].succeed(alpn=b"\x08" * 32)
        self.failureResultOf(result, NoCommonProtocol)
        self.assertIsNotNone(wrong.ended)

    def test_bug(self) -> None:
        """
        A mistake in a transport is logged as one and does not keep the others from trying.
        """
        result = self.dial((self.tls, [TLS_1]), (self.iroh, IROH))
        self.tls.attempts[0].fail(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        connection = self.iroh.attempts[0].succeed()
        self.assertIs(self.successResultOf(result).connection, connection)

    def test_two_winners(self) -> None:
        """
        A connection that arrives although its attempt was given up is ended.
        """
        late = FakeConnection(ALICE.verifying_key, ALPN)
        stubborn = StubbornTransport(late)
        result = self.dial((stubborn, [TLS_1]), (self.tls, [TLS_2]))
        self.clock.advance(0.25)
        connection = self.tls.attempts[0].succeed()
        self.assertIs(self.successResultOf(result).connection, connection)
        self.assertIsNotNone(late.ended)
        self.assertIsNone(connection.ended)
