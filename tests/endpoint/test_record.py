from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import MAX_ADDRESSES, Address, RelayAddress, TlsAddress
from p2panda_tw.endpoint.record import ADDRESSES_PROTOCOL_ID, MAX_AHEAD, MAX_RECORD_LENGTH, AddressRecord
from p2panda_tw.errors import DecodeError
from tests.endpoint.test_addresses import addresses

ALICE = SigningKey(bytes(range(32)))
NOW = 1_760_000_000_123_456
RECORD = AddressRecord(node_id=ALICE.verifying_key, time=NOW, addresses=[TlsAddress("127.0.0.1", 4242)])


def signed(body: bytes) -> bytes:
    """
    Any bytes with Alice's signature.
    """
    return body + ALICE.sign(ADDRESSES_PROTOCOL_ID + body)


class AddressRecordTests(SynchronousTestCase):
    """
    Signed records of addresses.
    """

    def test_layout(self) -> None:
        """
        The bytes are laid out as in docs/tls-transport.md, section 6.
        """
        body = bytes.fromhex(
            "01"
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
            "c0c4bff6de969003"
            "01010e" + b"127.0.0.1:4242".hex()
        )
        self.assertEqual(RECORD.sign(ALICE), body + ALICE.sign(b"p2panda_tw/addresses/v1" + body))

    @given(st.integers(0, 2**64 - 1), st.lists(addresses, max_size=8, unique=True))
    def test_round_trip(self, time: int, given: list[Address]) -> None:
        """
        What one node signs, another reads.
        """
        record = AddressRecord(node_id=ALICE.verifying_key, time=time, addresses=given)
        self.assertEqual(AddressRecord.decode(record.sign(ALICE), time), record)

    def test_length(self) -> None:
        """
        A record never becomes longer than 4 KiB; the worst addresses are left out.
        """
        many = [RelayAddress(f"https://relay.example/{'x' * 400}/{number}") for number in range(MAX_ADDRESSES)]
        data = AddressRecord(node_id=ALICE.verifying_key, time=NOW, addresses=many).sign(ALICE)
        self.assertLessEqual(len(data), MAX_RECORD_LENGTH)
        found = list(AddressRecord.decode(data, NOW).addresses)
        self.assertEqual(found, many[: len(found)])
        self.assertGreater(len(found), 7)

    def test_every_byte_counts(self) -> None:
        """
        A record with any byte changed, and any part of it, is refused.
        """
        data = RECORD.sign(ALICE)
        for position in range(len(data)):
            changed = data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]
            self.assertRaises(DecodeError, AddressRecord.decode, changed, NOW)
            self.assertRaises(DecodeError, AddressRecord.decode, data[:position], NOW)

    def test_somebody_elses(self) -> None:
        """
        Nobody can sign for another node.
        """
        self.assertRaises(DecodeError, AddressRecord.decode, RECORD.sign(SigningKey(bytes(32))), NOW)

    def test_future(self) -> None:
        """
        A clock may be 10 minutes ahead, not more.
        """
        data = RECORD.sign(ALICE)
        self.assertEqual(AddressRecord.decode(data, NOW - MAX_AHEAD), RECORD)
        self.assertRaises(DecodeError, AddressRecord.decode, data, NOW - MAX_AHEAD - 1)

    def test_contents(self) -> None:
        """
        A record whose signature is right but whose contents are not is refused.
        """
        body = RECORD.sign(ALICE)[:-64]
        for wrong in [b"", b"\2" + body[1:], body + b"\0", body[:33], body[:1] + b"\x02" + bytes(31) + body[33:]]:
            self.assertRaises(DecodeError, AddressRecord.decode, signed(wrong), NOW)
        self.assertRaises(DecodeError, AddressRecord.decode, b"\1" * (MAX_RECORD_LENGTH + 1), NOW)

    @given(st.binary(max_size=300))
    def test_arbitrary_bytes(self, data: bytes) -> None:
        """
        Whatever arrives is a record or a decode error, nothing else.
        """
        for candidate in [data, signed(data), signed(b"\1" + ALICE.verifying_key.raw + data)]:
            try:
                AddressRecord.decode(candidate, 2**64)
            except DecodeError:
                pass
