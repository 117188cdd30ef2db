from base64 import b32encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import Address, IrohAddress, OnionAddress, RelayAddress, TlsAddress
from p2panda_tw.endpoint.ticket import MAX_TICKET_LENGTH, Ticket
from p2panda_tw.errors import DecodeError
from tests.endpoint.test_addresses import addresses

# The example of docs/tickets.md.
EXAMPLE = (
    "p2panda14qk4igimy7ywi6szf27y4x4qlqvn56murmlvwk24chqukenvcyqaaaiaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4aacai"
    "ogezdolrqfyyc4mj2gqzdimva5c3ly"
)
EXAMPLE_NODE_ID = NodeId.from_hex("e415c4190cc7f1647a592ebf8e5f905c2adef9948b175b2b5c11e14511b51620")
TOPIC = Topic(bytes(range(32)))

node_ids = st.binary(min_size=32, max_size=32).map(lambda seed: SigningKey(seed).verifying_key)
bytes32 = st.binary(min_size=32, max_size=32)
tickets = st.builds(
    Ticket,
    node_id=node_ids,
    network_id=st.none() | bytes32,
    topic=st.none() | bytes32.map(Topic),
    form=st.sampled_from(Form),
    addresses=st.lists(addresses, max_size=6, unique=True),
)


def spell(body: bytes) -> str:
    """
    Make a ticket of any bytes, with the right checksum.
    """
    return "p2panda1" + b32encode(body + Hash.of(body).raw[:4]).decode().rstrip("=").lower()


class TicketTests(SynchronousTestCase):
    """
    Tickets that are right.
    """

    def test_example(self) -> None:
        """
        The example of docs/tickets.md means what it says there.
        """
        ticket = Ticket.decode(EXAMPLE)
        self.assertEqual(ticket.node_id, EXAMPLE_NODE_ID)
        self.assertEqual(ticket.topic, TOPIC)
        self.assertEqual((ticket.network_id, ticket.form), (None, Form.NODE))
        self.assertEqual(ticket.addresses, (TlsAddress("127.0.0.1", 4242),))
        self.assertEqual(ticket.encode(), EXAMPLE)

    @given(tickets)
    def test_round_trip(self, ticket: Ticket) -> None:
        """
        What one person makes, another reads, unless the addresses are too many to fit.
        """
        found = Ticket.decode(ticket.encode())
        self.assertEqual(found.addresses, ticket.addresses[: len(found.addresses)])
        self.assertEqual(
            (found.node_id, found.network_id, found.topic), (ticket.node_id, ticket.network_id, ticket.topic)
        )
        self.assertEqual(found.form, ticket.form)

    def test_every_kind_of_address(self) -> None:
        """
        All ways to reach a node fit into one ticket.
        """
        given: list[Address] = [
            TlsAddress("2001:db8::1", 4242),
            IrohAddress("192.0.2.1", 5),
            RelayAddress("https://relay.example/"),
            OnionAddress(80),
        ]
        ticket = Ticket(node_id=EXAMPLE_NODE_ID, network_id=b"\x07" * 32, form=Form.CHAT, addresses=given)
        self.assertEqual(Ticket.decode(ticket.encode()), ticket)

    def test_pasted(self) -> None:
        """
        White space around it, line breaks that a terminal put in and capitals do no harm.
        """
        for text in [
            f"  {EXAMPLE}\r\n",
            "\n".join(EXAMPLE[start : start + 40] for start in range(0, len(EXAMPLE), 40)),
            "\r\n    ".join(EXAMPLE[start : start + 7] for start in range(0, len(EXAMPLE), 7)),
            EXAMPLE.upper(),
            "\N{NO-BREAK SPACE}" + EXAMPLE,
        ]:
            self.assertEqual(Ticket.decode(text), Ticket.decode(EXAMPLE))

    def test_fits(self) -> None:
        """
        A ticket never becomes longer than 1 KiB; the worst addresses are left out.
        """
        many = [TlsAddress(f"host-{number}.{'long' * 10}.example", 4242) for number in range(32)]
        text = Ticket(node_id=EXAMPLE_NODE_ID, topic=TOPIC, addresses=many).encode()
        self.assertLessEqual(len(text), MAX_TICKET_LENGTH)
        found = Ticket.decode(text).addresses
        self.assertGreater(len(found), 5)
        self.assertEqual(list(found), many[: len(found)])

    def test_secret(self) -> None:
        """
        A log line with a ticket in it does not tell the topic.
        """
        shown = repr(Ticket(node_id=EXAMPLE_NODE_ID, topic=TOPIC))
        self.assertNotIn(TOPIC.hex()[:16], shown)
        self.assertNotIn("p2panda1", shown)

    def test_network_id_length(self) -> None:
        """
        A network id of another length is a mistake of the caller.
        """
        self.assertRaises(ValueError, Ticket, node_id=EXAMPLE_NODE_ID, network_id=b"short")


class WrongTicketTests(SynchronousTestCase):
    """
    Tickets that are not right say what is wrong.
    """

    def message(self, text: str) -> str:
        """
        Read a wrong ticket.
        """
        return str(self.assertRaises(DecodeError, Ticket.decode, text))

    def test_no_ticket(self) -> None:
        """
        Something else than a ticket is called that.
        """
        for text in ["hello", EXAMPLE[1:], "https://p2panda.org", "p2pandaxyz", "x" * 100_000]:
            self.assertIn("This is no ticket", self.message(text))
        self.assertIn("empty", self.message(" \n"))

    def test_newer(self) -> None:
        """
        A ticket of a later version asks for an update.
        """
        self.assertIn("newer", self.message("p2panda2" + EXAMPLE[8:]))
        self.assertIn("newer", self.message(spell(bytes(EXAMPLE_NODE_ID.raw) + b"\0\0\x09\0")))

    def test_cut(self) -> None:
        """
        A ticket that was not copied to its end says so, wherever it was cut.
        """
        for length in range(1, len(EXAMPLE)):
            with self.subTest(length=length):
                self.assertIn("incomplete", self.message(EXAMPLE[:length]))

    def test_changed(self) -> None:
        """
        Each wrong character is noticed.
        """
        for position in range(8, len(EXAMPLE)):
            other = "a" if EXAMPLE[position] != "a" else "b"
            with self.subTest(position=position):
                message = self.message(EXAMPLE[:position] + other + EXAMPLE[position + 1 :])
                self.assertTrue("damaged" in message or "incomplete" in message, message)
        self.assertIn("a character was lost or changed", self.message(EXAMPLE.replace("uculbog", "ucuibog")))

    def test_odd_character(self) -> None:
        """
        A character that occurs in no ticket is named.
        """
        self.assertIn("'0'", self.message(EXAMPLE[:20] + "0" + EXAMPLE[21:]))

    def test_lost(self) -> None:
        """
        A missing character in the middle is noticed.
        """
        for position in range(8, len(EXAMPLE)):
            message = self.message(EXAMPLE[:position] + EXAMPLE[position + 1 :])
            self.assertTrue("damaged" in message or "incomplete" in message, message)

    def test_twice(self) -> None:
        """
        Two tickets pasted one after the other are not one.
        """
        self.message(EXAMPLE + EXAMPLE)
        self.message(EXAMPLE + "\n" + EXAMPLE)

    def test_contents(self) -> None:
        """
        A ticket whose checksum is right but whose contents are not is refused.
        """
        node_id = EXAMPLE_NODE_ID.raw
        for body in [
            b"",
            node_id,
            b"\x02" + bytes(31) + b"\0\0\0\0",  # not on the curve
            node_id + b"\x02\0\0\0",
            node_id + b"\0\0\0\0" + b"more",
            node_id + b"\0\0\0\x01\x01\x03abc",
        ]:
            self.assertNotIn("p2panda1", self.message(spell(body)))

    @given(st.text(max_size=300) | st.text("abcdefghijklmnopqrstuvwxyz234567", max_size=300).map("p2panda1".__add__))
    def test_arbitrary_text(self, text: str) -> None:
        """
        Whatever is pasted is a ticket or a decode error, nothing else.
        """
        try:
            Ticket.decode(text)
        except DecodeError:
            pass

    @given(st.binary(max_size=300))
    def test_arbitrary_bytes(self, body: bytes) -> None:
        """
        The same holds when the checksum is right.
        """
        try:
            ticket = Ticket.decode(spell(body))
        except DecodeError:
            return
        self.assertEqual(Ticket.decode(ticket.encode()), ticket)
