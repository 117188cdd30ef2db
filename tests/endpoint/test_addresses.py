from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.endpoint.addresses import (
    MAX_ADDRESSES,
    Address,
    IrohAddress,
    OnionAddress,
    RelayAddress,
    TlsAddress,
    decode_addresses,
    describe,
    encode_addresses,
    parse_host_port,
    without_scope,
)
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.postcard import Reader, bytes_, varint

ports = st.integers(1, 65535)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.split(".")[-1].isdigit())
hosts = st.one_of(st.ip_addresses().map(str), names).filter(lambda host: "%" not in host)
relays = st.builds("https://{}:{}/{}".format, names, ports, st.from_regex(r"[a-z]{0,5}", fullmatch=True))
addresses: st.SearchStrategy[Address] = st.one_of(
    st.builds(TlsAddress, hosts, ports),
    st.builds(IrohAddress, hosts, ports),
    st.builds(RelayAddress, relays),
    st.builds(OnionAddress, ports),
)


class TextTests(SynchronousTestCase):
    """
    Addresses as people write them.
    """

    def test_host_and_port(self) -> None:
        """
        An address is read from what a person writes and written back the same way.
        """
        for text, host in [
            ("127.0.0.1:4242", "127.0.0.1"),
            ("example.org:4242", "example.org"),
            ("[2001:db8::1]:4242", "2001:db8::1"),
            ("my_box-1.lan:4242", "my_box-1.lan"),
        ]:
            address = TlsAddress.parse(text)
            self.assertEqual(address, TlsAddress(host, 4242))
            self.assertEqual(str(address), text)

    def test_one_spelling(self) -> None:
        """
        Two spellings of one host are the same address.
        """
        self.assertEqual(TlsAddress("Example.ORG", 1), TlsAddress("example.org", 1))
        self.assertEqual(TlsAddress.parse("[2001:DB8:0:0::1]:1"), TlsAddress("2001:db8::1", 1))

    def test_kinds_differ(self) -> None:
        """
        A TLS address and an iroh address with the same host and port are two addresses.
        """
        self.assertNotEqual(TlsAddress("::1", 1), IrohAddress("::1", 1))

    def test_refused(self) -> None:
        """
        What is no address is refused with a sentence.
        """
        for text in [
            "",
            ":",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:080",
            "host:+80",
            "host:٣",
            "host:80 ",
            " host:80",
            "ho st:80",
            "host\n:80",
            "::1:80",
            "2001:db8::1:80",
            "[::1]",
            "[::1]80",
            "[::1:80",
            "[127.0.0.1]:80",
            "[host]:80",
            "[]:80",
            "[fe80::1%eth0]:80",
            "[fe80::1%]:80",
            "999.1.1.1:80",
            "1.2.3:80",
            "12:80",
            "-host:80",
            "host-:80",
            "a..b:80",
            "host.:80",
            "hóst:80",
            "\u212aelvin:80",
            "a" * 64 + ":80",
            "a." * 127 + "a:80",
            "a" * 5000 + ":80",
        ]:
            with self.subTest(text=text[:80]):
                error = self.assertRaises(ValueError, TlsAddress.parse, text)
                self.assertTrue(str(error).endswith("."), str(error))

    def test_any_port(self) -> None:
        """
        Port 0 asks for a free port where one listens, and is no port of an address.
        """
        self.assertEqual(parse_host_port("[::]:0", any_port=True), ("::", 0))
        self.assertRaises(ValueError, parse_host_port, "[::]:0")
        self.assertRaises(ValueError, TlsAddress, "::", 0)

    def test_scope(self) -> None:
        """
        The scope id that an operating system adds can be dropped.
        """
        self.assertEqual(without_scope("fe80::1%eth0"), "fe80::1")
        self.assertEqual(without_scope("10.0.0.1"), "10.0.0.1")

    def test_what_a_host_is(self) -> None:
        """
        An address tells whether its host is an IP address, and whether that works on one link only.
        """
        hosts = ["10.0.0.1", "::1", "fe80::1", "host", "a1.b2"]
        self.assertEqual([TlsAddress(host, 1).is_ip for host in hosts], [True, True, True, False, False])
        self.assertEqual([TlsAddress(host, 1).is_link_local for host in hosts], [False, False, True, False, False])

    def test_relay(self) -> None:
        """
        A relay is an https or http URL without secrets in it.
        """
        for url in ["https://relay.example/", "http://127.0.0.1:3340", "https://[::1]:3340/"]:
            self.assertEqual(str(RelayAddress.parse(url)), url)
        for url in [
            "",
            "relay.example",
            "ftp://relay.example/",
            "https://",
            "https:///path",
            "https://me:secret@relay.example/",
            "https://me@relay.example/",
            "https://relay.example:0/",
            "https://relay.example:99999/",
            "https://relay.example:x/",
            "https://[::1/",
            "https://rel ay.example/",
            "https://relay.example/\n",
            "https://" + "a" * 600,
        ]:
            with self.subTest(url=url[:80]):
                self.assertRaises(ValueError, RelayAddress, url)

    def test_onion(self) -> None:
        """
        An onion address is a port alone.
        """
        self.assertEqual(OnionAddress.parse("4242"), OnionAddress(4242))
        for text in ["", "0", "65536", "host:1", "-1"]:
            self.assertRaises(ValueError, OnionAddress.parse, text)

    def test_describe(self) -> None:
        """
        For a person the way is named, too.
        """
        self.assertEqual(
            [
                describe(address)
                for address in [
                    TlsAddress("::1", 1),
                    IrohAddress("10.0.0.1", 2),
                    RelayAddress("https://relay.example/"),
                    OnionAddress(3),
                ]
            ],
            ["tls [::1]:1", "iroh 10.0.0.1:2", "relay https://relay.example/", "onion port 3"],
        )


class BytesTests(SynchronousTestCase):
    """
    Addresses in tickets and records.
    """

    def decode(self, data: bytes) -> list[Address]:
        """
        Read one list that fills C{data}.
        """
        reader = Reader(data)
        found = decode_addresses(reader)
        self.assertEqual(reader.remaining, 0)
        return found

    def test_layout(self) -> None:
        """
        A list is a count, then kind, length and text of each address.
        """
        data = encode_addresses([TlsAddress("127.0.0.1", 4242), OnionAddress(80)])
        self.assertEqual(data.hex(), "02" + "010e" + b"127.0.0.1:4242".hex() + "0402" + b"80".hex())
        self.assertEqual(self.decode(data), [TlsAddress("127.0.0.1", 4242), OnionAddress(80)])

    @given(st.lists(addresses, max_size=MAX_ADDRESSES, unique=True))
    def test_round_trip(self, given: list[Address]) -> None:
        """
        What was written is read back in the same order.
        """
        self.assertEqual(self.decode(encode_addresses(given)), given)

    def test_doubles(self) -> None:
        """
        An address that occurs twice counts once.
        """
        address = TlsAddress("::1", 1)
        self.assertEqual(encode_addresses([address, address])[0], 1)
        entry = encode_addresses([address])[1:]
        self.assertEqual(self.decode(varint(2) + entry + entry), [address])

    def test_unknown_kind(self) -> None:
        """
        Kinds that only a newer program knows are skipped, whatever they hold.
        """
        known = encode_addresses([TlsAddress("::1", 1)])[1:]
        self.assertEqual(self.decode(varint(2) + varint(9) + bytes_(b"\xff\x00") + known), [TlsAddress("::1", 1)])

    def test_malformed(self) -> None:
        """
        A wrong address of a known kind makes the whole list wrong.
        """
        for kind, text in [
            (1, b""),
            (1, b"\xff:1"),
            (1, b"host"),
            (2, "hóst:1".encode()),
            (2, b"[fe80::1%3]:99"),
            (3, b"x"),
            (4, b"65536"),
        ]:
            with self.subTest(kind=kind, text=text):
                self.assertRaises(DecodeError, self.decode, varint(1) + varint(kind) + bytes_(text))

    def test_limits(self) -> None:
        """
        Too many addresses and too long ones are refused before they are read.
        """
        self.assertRaises(DecodeError, self.decode, varint(MAX_ADDRESSES + 1) + varint(9) * 99)
        self.assertRaises(DecodeError, self.decode, varint(1) + varint(9) + bytes_(b"x" * 600))
        many = [OnionAddress(port) for port in range(1, MAX_ADDRESSES + 2)]
        self.assertRaises(ValueError, encode_addresses, many)

    @given(st.binary(max_size=200))
    def test_arbitrary_bytes(self, data: bytes) -> None:
        """
        Whatever arrives is a list of addresses or a decode error, nothing else.
        """
        try:
            found = decode_addresses(Reader(data))
        except DecodeError:
            return
        self.assertEqual(self.decode(encode_addresses(found)), found)
