# -*- test-case-name: tests.endpoint.test_record -*-
"""
What a node of ours says of itself: a signed record with all its addresses, also those that upstream's records cannot
carry (docs/tls-transport.md, section 6). As postcard, followed by a signature::

    version u8 = 1 | node id 32 | time u64, microseconds since 1970 | addresses | signature 64

Addresses look as in L{p2panda_tw.endpoint.addresses}. Signed are the ASCII bytes of L{ADDRESSES_PROTOCOL_ID} and all
before the signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from p2panda_tw.core.hash import HASH_LENGTH
from p2panda_tw.core.identity import SIGNATURE_LENGTH, NodeId, SigningKey, verifying_key
from p2panda_tw.endpoint.addresses import Address, decode_addresses, encode_addresses
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.postcard import Reader, varint

__all__ = ["ADDRESSES_PROTOCOL_ID", "MAX_AHEAD", "MAX_RECORD_LENGTH", "AddressRecord"]

ADDRESSES_PROTOCOL_ID: Final = b"p2panda_tw/addresses/v1"
"""
The protocol by which our nodes recognise each other and exchange such records.
"""

MAX_RECORD_LENGTH: Final = 4096
"""
Longest record, in bytes.
"""

MAX_AHEAD: Final = 10 * 60 * 1_000_000
"""
How far the time of a record may be ahead of our clock, in microseconds. One far in the future could never be replaced.
"""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRecord:
    """
    The addresses of one node at one time.

    @ivar time: When it was signed, in microseconds since 1970. Of two records of a node the younger one holds.
    @ivar addresses: Best first.
    """

    node_id: NodeId
    time: int
    addresses: Sequence[Address]

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", tuple(self.addresses))

    def sign(self, signing_key: SigningKey) -> bytes:
        """
        @param signing_key: The one that C{node_id} belongs to.

        @return: At most L{MAX_RECORD_LENGTH} bytes. Addresses that do not fit are left out, from the last one on.
        """
        addresses = list(self.addresses)
        head = b"".join((bytes((_VERSION,)), self.node_id.raw, varint(self.time)))
        while len(body := head + encode_addresses(addresses)) > MAX_RECORD_LENGTH - SIGNATURE_LENGTH:
            addresses.pop()
        return body + signing_key.sign(ADDRESSES_PROTOCOL_ID + body)

    @classmethod
    def decode(cls, data: bytes, now: int) -> Self:
        """
        Read a record that another node sent.

        @param now: Microseconds since 1970.

        @raise DecodeError: It is no such record, not signed by the node it is about, or from the future.
        """
        if len(data) > MAX_RECORD_LENGTH:
            raise DecodeError(f"A record of addresses has {len(data)} bytes; {MAX_RECORD_LENGTH} are allowed.")
        body, signature = data[:-SIGNATURE_LENGTH], data[-SIGNATURE_LENGTH:]
        reader = Reader(body)
        if (version := reader.u8()) != _VERSION:
            raise DecodeError(f"A record of addresses has version {version}, we know {_VERSION}.")
        try:
            node_id = verifying_key(reader.fixed(HASH_LENGTH))
        except ValueError as error:
            raise DecodeError("The node id in a record of addresses is no key.") from error
        time = reader.varint(64)
        addresses = decode_addresses(reader)
        if reader.remaining:
            raise DecodeError("A record of addresses is longer than its contents.")
        if not node_id.verify(ADDRESSES_PROTOCOL_ID + body, signature):
            raise DecodeError("The signature of a record of addresses is wrong.")
        if time > now + MAX_AHEAD:
            raise DecodeError("A record of addresses is more than 10 minutes ahead of our clock.")
        return cls(node_id=node_id, time=time, addresses=addresses)
