from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import IrohAddress, TlsAddress
from p2panda_tw.endpoint.exchange import ANSWER_PATIENCE, ASK_DELAY, AddressExchange
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID
from p2panda_tw.endpoint.record import ADDRESSES_PROTOCOL_ID, AddressRecord
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.interfaces import IConnection
from p2panda_tw.testing import MemoryNetwork, pump
from p2panda_tw.wire.frames import encode_frame
from tests.endpoint.doubles import ALICE, BOB, CAROL

ECHO = b"test/echo/v1"
NOW = 1_760_000_000_000_000


class Node:
    """
    An endpoint in a memory network, with the exchange of addresses unless it is foreign.
    """

    def __init__(self, network: MemoryNetwork, signing_key: SigningKey, foreign: bool = False) -> None:
        self.signing_key = signing_key
        self.node_id = signing_key.verifying_key
        self.transport = network.transport(signing_key)
        self.endpoint = Endpoint(network.clock, signing_key, DEFAULT_NETWORK_ID, [self.transport])
        self.exchange = AddressExchange(network.clock, self.endpoint, signing_key, self.now)
        self.connections: list[IConnection] = []
        self.endpoint.on_connection(lambda connection, dialled: self.connections.append(connection))
        self.endpoint.accept(ECHO, lambda connection: None)
        self.endpoint.open()
        if not foreign:
            self.exchange.startService()
        self.time = NOW

    def now(self) -> int:
        """
        What this node's clock says.
        """
        return self.time

    @property
    def address(self) -> TlsAddress:
        """
        Where it is.
        """
        assert self.transport.address is not None
        return self.transport.address

    def meets(self, other: "Node") -> None:
        """
        It is given a ticket of another node.
        """
        self.endpoint.add_addresses(other.node_id, [other.address])


@implementer(IHalfCloseableProtocol)
class SaysAnything(Protocol):
    """
    Sends some bytes, then the end unless told otherwise.
    """

    def __init__(self, data: bytes, ends: bool = True) -> None:
        self.data = data
        self.ends = ends

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.data)
        if self.ends:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """
        Goes on nevertheless.
        """

    def writeConnectionLost(self) -> None:
        """
        As it was meant.
        """


class ExchangeTests(SynchronousTestCase):
    """
    Alice, Bob and the foreign Carol in one network.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, delay=0.01)
        self.alice = Node(self.network, ALICE)
        self.bob = Node(self.network, BOB)
        self.carol = Node(self.network, CAROL, foreign=True)

    def tearDown(self) -> None:
        """
        Nothing is left behind.
        """
        stopped = [self.alice.exchange.stopService(), self.bob.exchange.stopService()]
        stopped += [node.endpoint.close() for node in (self.alice, self.bob, self.carol)]
        pump(self.clock, lambda: all(done.called for done in stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wait(self, result: Deferred[bool]) -> bool:
        """
        Let time pass until the answer is there.
        """
        pump(self.clock, lambda: result.called)
        return self.successResultOf(result)

    def settle(self) -> None:
        """
        Let half a second pass.
        """
        self.clock.pump([0.01] * 50)

    def open_connections(self) -> int:
        """
        How many connections are open, counted at both ends.
        """
        return sum(len(node.endpoint.connections()) for node in (self.alice, self.bob, self.carol))

    def test_ours(self) -> None:
        """
        Two of our nodes recognise each other, and know each other's addresses then.
        """
        self.alice.meets(self.bob)
        self.assertIsNone(self.alice.exchange.is_ours(self.bob.node_id))
        self.assertTrue(self.wait(self.alice.exchange.ask(self.bob.node_id)))
        self.settle()
        self.assertIs(self.bob.exchange.is_ours(self.alice.node_id), True)
        known = self.bob.endpoint.known(self.alice.node_id)
        assert known is not None
        self.assertEqual(known.addresses, (self.alice.address,))
        self.assertTrue(self.alice.exchange.has_our_addresses(self.bob.node_id))
        self.assertTrue(self.bob.exchange.has_our_addresses(self.alice.node_id))
        self.assertEqual(self.open_connections(), 0)

    def test_foreign(self) -> None:
        """
        A node that does not speak the protocol is foreign.
        """
        self.alice.meets(self.carol)
        self.assertFalse(self.wait(self.alice.exchange.ask(self.carol.node_id)))
        self.assertIs(self.alice.exchange.is_ours(self.carol.node_id), False)
        self.assertFalse(self.alice.exchange.has_our_addresses(self.carol.node_id))

    def test_once(self) -> None:
        """
        A node is asked once, however many want to know.
        """
        self.alice.meets(self.bob)
        answers = [self.alice.exchange.ask(self.bob.node_id) for _ in range(3)]
        self.assertEqual([self.wait(answer) for answer in answers], [True] * 3)
        self.assertTrue(self.successResultOf(self.alice.exchange.ask(self.bob.node_id)))
        self.assertEqual(len(self.alice.connections), 1)

    def test_by_the_way(self) -> None:
        """
        Who connects for another reason asks, too; who is connected to waits to be asked.
        """
        self.alice.meets(self.bob)
        connected = self.alice.endpoint.connect(self.bob.node_id, ECHO)
        self.settle()
        self.successResultOf(connected)
        self.assertIs(self.alice.exchange.is_ours(self.bob.node_id), True)
        self.assertIs(self.bob.exchange.is_ours(self.alice.node_id), True)
        self.assertEqual(len(self.alice.connections), 2)

    def test_first_things_first(self) -> None:
        """
        What a connection was made for is not disturbed by the exchange, which follows a moment later.
        """
        self.alice.meets(self.bob)
        connected = self.alice.endpoint.connect(self.bob.node_id, ECHO)
        pump(self.clock, lambda: connected.called)
        self.clock.advance(ASK_DELAY / 2)
        self.assertEqual(len(self.alice.connections), 1)
        self.settle()
        self.assertEqual(len(self.alice.connections), 2)

    def test_who_is_connected_to_waits(self) -> None:
        """
        A node that wants to know of somebody whom it cannot dial, but who has just dialled it, learns it from being
        asked, and not later than that.
        """
        self.alice.meets(self.bob)
        connected = self.alice.endpoint.connect(self.bob.node_id, ECHO)
        pump(self.clock, lambda: connected.called)
        answer = self.bob.exchange.ask(self.alice.node_id)
        self.assertNoResult(answer)
        self.assertTrue(self.wait(answer))
        self.assertLess(self.clock.seconds(), ANSWER_PATIENCE)
        self.settle()

    def test_unreachable(self) -> None:
        """
        A node that cannot be reached is not taken for one of ours, and is asked again when it is back.
        """
        self.assertFalse(self.wait(self.alice.exchange.ask(self.bob.node_id)))
        self.assertIsNone(self.alice.exchange.is_ours(self.bob.node_id))
        self.alice.meets(self.bob)
        self.assertTrue(self.wait(self.alice.exchange.ask(self.bob.node_id)))

    def test_asked_again(self) -> None:
        """
        After a node was unreachable it is asked again: another program may run there now.
        """
        self.alice.meets(self.bob)
        self.assertTrue(self.wait(self.alice.exchange.ask(self.bob.node_id)))
        stopped = self.bob.endpoint.close()
        pump(self.clock, lambda: stopped.called)
        failed = self.alice.endpoint.connect(self.bob.node_id, ECHO)
        failed.addErrback(lambda _: None)
        self.settle()
        self.assertIsNone(self.alice.exchange.is_ours(self.bob.node_id))
        self.assertFalse(self.alice.exchange.has_our_addresses(self.bob.node_id))
        self.bob.exchange.stopService()
        self.bob.endpoint.open()
        self.assertFalse(self.wait(self.alice.exchange.ask(self.bob.node_id)))
        self.assertIs(self.alice.exchange.is_ours(self.bob.node_id), False)

    def test_asked_again_meanwhile(self) -> None:
        """
        A node that was unreachable for somebody while it is asked can be asked again at any moment, and nobody gets a wrong
        answer.
        """
        self.alice.meets(self.bob)
        for steps in range(1, 12):
            exchange = self.alice.exchange
            answers = [exchange.ask(self.bob.node_id)]
            for _ in range(steps):
                self.clock.advance(0.01)
            exchange._unreachable(self.bob.node_id)
            answers.append(exchange.ask(self.bob.node_id))
            self.assertEqual([self.wait(answer) for answer in answers], [True, True], steps)
            self.settle()
            exchange._unreachable(self.bob.node_id)

    def test_stopped_by_an_answer(self) -> None:
        """
        Who stops the service on hearing an answer waits until nothing of the exchange is left.
        """
        self.alice.meets(self.bob)
        exchange = self.alice.exchange
        stopping = exchange.ask(self.bob.node_id).addCallback(lambda _: exchange.stopService())
        pump(self.clock, lambda: stopping.called and not stopping.paused)
        self.successResultOf(stopping)
        self.assertEqual(exchange._running, {})
        exchange.startService()

    def test_newest_wins(self) -> None:
        """
        The youngest record of a node holds, whatever order they come in.
        """
        self.alice.meets(self.bob)
        for time, address in [(NOW + 2, "192.0.2.2"), (NOW + 1, "192.0.2.1"), (NOW + 2, "192.0.2.3")]:
            record = AddressRecord(node_id=self.carol.node_id, time=time, addresses=[IrohAddress(address, 1)])
            self.say(encode_frame(record.sign(CAROL)))
        known = self.alice.endpoint.known(self.carol.node_id)
        assert known is not None
        self.assertEqual(known.addresses, (IrohAddress("192.0.2.2", 1),))

    def test_clock_set_back(self) -> None:
        """
        A node that was unreachable and comes back with an earlier clock is believed again.
        """
        old, new = self.network.new_address(), self.network.new_address()
        for time, address in [(NOW + 2, old), (NOW, new)]:
            record = AddressRecord(node_id=self.carol.node_id, time=time, addresses=[address])
            self.say(encode_frame(record.sign(CAROL)))
            self.alice.endpoint.connect(self.carol.node_id, ECHO).addErrback(lambda _: None)
            self.settle()
        known = self.alice.endpoint.known(self.carol.node_id)
        assert known is not None
        self.assertEqual(known.addresses, (new,))

    def test_signed_once(self) -> None:
        """
        Our record is signed anew only when our addresses have changed.
        """
        self.alice.meets(self.bob)
        self.assertTrue(self.wait(self.alice.exchange.ask(self.bob.node_id)))
        first = self.alice.exchange._own_record()
        self.alice.time += 1
        self.assertEqual(self.alice.exchange._own_record(), first)
        stopped = self.alice.transport.stop()
        pump(self.clock, lambda: stopped.called)
        self.alice.time -= 5
        second = AddressRecord.decode(self.alice.exchange._own_record(), NOW)
        self.assertEqual((second.addresses, second.time), ((), NOW + 1))

    def say(self, data: bytes, ends: bool = True) -> IConnection:
        """
        Carol, of an unknown kind, connects to Alice for the exchange and says something.
        """
        self.carol.meets(self.alice)
        connected = self.carol.endpoint.connect(self.alice.node_id, ADDRESSES_PROTOCOL_ID)
        pump(self.clock, lambda: connected.called)
        connection = self.successResultOf(connected)
        self.protocol = SaysAnything(data, ends)
        connection.open_stream(OneProtocol(self.protocol)).addErrback(lambda _: None)
        self.settle()
        return connection

    def test_wrong_record(self) -> None:
        """
        A wrong record changes nothing, ends the exchange, and is warned of once per cause.
        """
        somebody_elses = AddressRecord(node_id=self.bob.node_id, time=NOW, addresses=[IrohAddress("192.0.2.1", 1)])
        future = AddressRecord(node_id=self.carol.node_id, time=NOW + 10**9, addresses=[])
        right = AddressRecord(node_id=self.carol.node_id, time=NOW, addresses=[]).sign(CAROL)
        for data in [
            b"",
            b"\0\0",
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            encode_frame(b"garbage"),
            encode_frame(bytes(5000)),
            encode_frame(somebody_elses.sign(BOB)),
            encode_frame(future.sign(CAROL)),
            encode_frame(right)[:-1],
            encode_frame(right) * 2,
        ]:
            with self.subTest(data=data[:40]):
                self.say(data or b"\0")
                self.say(data or b"\0")
        self.assertEqual(self.alice.endpoint.known_nodes(), [])
        self.assertEqual(self.open_connections(), 0)

    def test_silent(self) -> None:
        """
        A node that opens an exchange and says nothing, or goes on and on, is cut off after 10 s.
        """
        self.say(b"\0", ends=False)
        self.assertEqual(self.open_connections(), 2)
        self.clock.pump([0.5] * 22)
        self.assertEqual(self.open_connections(), 0)

    def test_no_stream(self) -> None:
        """
        A node that connects for the exchange and opens no stream leaves nothing behind.
        """
        self.carol.meets(self.alice)
        connected = self.carol.endpoint.connect(self.alice.node_id, ADDRESSES_PROTOCOL_ID)
        pump(self.clock, lambda: connected.called)
        self.successResultOf(connected).close("changed my mind")
        self.settle()
        self.assertEqual(self.open_connections(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_dialling(self) -> None:
        """
        Who waits for an answer when the exchange stops has it.
        """
        self.alice.endpoint.add_addresses(self.bob.node_id, [self.network.silent_address()])
        answer = self.alice.exchange.ask(self.bob.node_id)
        self.settle()
        self.assertNoResult(answer)
        self.successResultOf(self.alice.exchange.stopService())
        self.assertFalse(self.successResultOf(answer))
        self.alice.exchange.startService()

    def test_stop(self) -> None:
        """
        Stopping ends what is under way and offers the protocol no more.
        """
        self.say(b"\0", ends=False)
        stopped = self.alice.exchange.stopService()
        pump(self.clock, lambda: stopped.called)
        self.assertFalse(self.successResultOf(self.alice.exchange.ask(self.bob.node_id)))
        self.alice.exchange.startService()


class OneProtocol(Factory):
    """
    A factory for a protocol that is there already.
    """

    noisy = False

    def __init__(self, made: Protocol) -> None:
        self.made = made

    def buildProtocol(self, addr: object) -> IProtocol:
        return self.made
