# -*- test-case-name: tests.endpoint.test_ticket -*-
"""
A ticket: one line that a person copies, so that somebody else finds a node and, mostly, a topic.

C{p2panda1} is followed by lower-case base32 (RFC 4648, without padding) of::

    node id 32 | option network id 32 | option topic 32 | form u8 | addresses | checksum 4

Options have a byte 00 (none) or 01 before them, addresses look as in L{p2panda_tw.endpoint.addresses}, the checksum is
the beginning of BLAKE3 of all before it. A ticket with a topic is a secret: who has it can read and write the topic.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import override

from p2panda_tw.core.hash import HASH_LENGTH, Hash
from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import Address, decode_addresses, encode_addresses
from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.postcard import Reader

__all__ = ["MAX_TICKET_LENGTH", "Ticket"]

MAX_TICKET_LENGTH: Final = 1024
"""
Longest ticket, in characters.
"""

_MAX_PASTED: Final = 16 * MAX_TICKET_LENGTH
"""
Longest text that is searched for a ticket, white space included, in characters. A guess with room for indentation.
"""

_WORD: Final = "p2panda"
_PREFIX: Final = _WORD + "1"
_CHECKSUM_LENGTH: Final = 4
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")

_CUT: Final = "The ticket is incomplete: a part of it, mostly its end, is missing. Copy it whole."
_CHANGED: Final = "The ticket is damaged: a character was lost or changed. Copy it once more."


def _checksum(data: bytes) -> bytes:
    return Hash.of(data).raw[:_CHECKSUM_LENGTH]


def _spell(data: bytes) -> str:
    """
    @return: The ticket made of these bytes.
    """
    return _PREFIX + b32encode(data + _checksum(data)).decode("ascii").rstrip("=").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """
    What a ticket says. Its C{str} is the ticket, its C{repr} keeps the secret.

    @ivar node_id: Whom to connect to.
    @ivar network_id: 32 bytes, or C{None} for the default network.
    @ivar topic: What to talk about, if anything in particular. Secret.
    @ivar form: How operations of that topic look.
    @ivar addresses: Where the node may be reached, best first.
    """

    node_id: NodeId
    network_id: bytes | None = None
    topic: Topic | None = None
    form: Form = Form.NODE
    addresses: Sequence[Address] = ()

    def __post_init__(self) -> None:
        """
        @raise ValueError: The network id does not have 32 bytes.
        """
        if self.network_id is not None and len(self.network_id) != HASH_LENGTH:
            raise ValueError(f"A network id takes {HASH_LENGTH} bytes, not {len(self.network_id)}.")
        object.__setattr__(self, "addresses", tuple(self.addresses))

    def encode(self) -> str:
        """
        @return: One line of at most L{MAX_TICKET_LENGTH} characters. Addresses that would make it longer are left out,
            from the last one on.
        """
        head = b"".join(
            (
                self.node_id.raw,
                b"\0" if self.network_id is None else b"\1" + self.network_id,
                b"\0" if self.topic is None else b"\1" + self.topic.raw,
                bytes((self.form,)),
            )
        )
        addresses = list(self.addresses)
        while len(text := _spell(head + encode_addresses(addresses))) > MAX_TICKET_LENGTH:
            addresses.pop()
        return text

    __str__ = encode

    @classmethod
    def decode(cls, text: str) -> Self:
        """
        Read a ticket as a person pasted it: white space and line breaks anywhere, and capitals, do not matter.

        @raise DecodeError: This is no ticket. The message says what became of it, and never contains it.
        """
        data = _read_base32(_read_prefix(text))
        body, checksum = data[:-_CHECKSUM_LENGTH], data[-_CHECKSUM_LENGTH:]
        if checksum != _checksum(body):
            raise _damaged(data)
        reader = Reader(body)
        ticket = cls(
            node_id=_read_node_id(reader),
            network_id=_read_option(reader),
            topic=None if (topic := _read_option(reader)) is None else Topic(topic),
            form=_read_form(reader),
            addresses=decode_addresses(reader),
        )
        if reader.remaining:
            raise DecodeError("The ticket holds more than a ticket of this version does.")
        return ticket

    @override
    def __repr__(self) -> str:
        return f"<Ticket for {self.node_id!r} topic={self.topic!r} {len(self.addresses)} addresses>"


def _read_prefix(text: str) -> str:
    """
    @return: The characters after C{p2panda1}, without white space and in lower case.
    """
    if len(text) > _MAX_PASTED:
        raise DecodeError("This is no ticket: it is far too long.")
    text = "".join(text.split()).lower()
    if not text:
        raise DecodeError("There is no ticket here, only empty space.")
    if not text.startswith(_WORD):
        if _WORD.startswith(text):
            raise DecodeError(_CUT)
        raise DecodeError(f"This is no ticket: a ticket starts with {_PREFIX}.")
    if not text.startswith(_PREFIX):
        if text[len(_WORD) :][:1].isdigit():
            raise DecodeError("The ticket was made by a newer version of p2panda_tw. Update this program to read it.")
        raise DecodeError(_CUT if text == _WORD else f"This is no ticket: a ticket starts with {_PREFIX}.")
    if len(text) > MAX_TICKET_LENGTH:
        raise DecodeError(f"This is no ticket: it is longer than {MAX_TICKET_LENGTH} characters.")
    return text[len(_PREFIX) :]


def _read_base32(letters: str) -> bytes:
    """
    @return: The bytes. Every ticket has one spelling only.
    """
    odd = sorted(set(letters) - _ALPHABET)
    if odd:
        raise DecodeError(f"The ticket is damaged: {odd[0]!r} does not occur in tickets. Copy it once more.")
    if len(letters) % 8 in (1, 3, 6):  # no number of bytes is spelled with so many characters
        raise DecodeError(_CUT)
    data = b32decode(letters.upper() + "=" * (-len(letters) % 8))
    if b32encode(data).decode("ascii").rstrip("=").lower() != letters:
        raise _damaged(data)
    return data


def _read_node_id(reader: Reader) -> NodeId:
    """
    @return: The node id that comes next.
    """
    try:
        return NodeId(reader.fixed(HASH_LENGTH))
    except ValueError as error:
        raise DecodeError("The node id in the ticket is no key.") from error


def _read_option(reader: Reader) -> bytes | None:
    """
    @return: The 32 bytes that come next, if they do.
    """
    return reader.fixed(HASH_LENGTH) if reader.option() else None


def _read_form(reader: Reader) -> Form:
    """
    @return: The form that comes next.
    """
    number = reader.u8()
    if number not in list(Form):
        raise DecodeError("The ticket is for a form of operations that only a newer version of p2panda_tw knows.")
    return Form(number)


def _damaged(data: bytes) -> DecodeError:
    """
    @return: What to say of a ticket that is not as it was made.
    """
    return DecodeError(_CUT if _is_cut(data) else _CHANGED)


def _is_cut(data: bytes) -> bool:
    """
    @return: Whether the fields of a damaged ticket go on beyond its end. A guess: the bytes may be wrong anywhere.
    """
    reader = Reader(data + bytes(MAX_TICKET_LENGTH))
    try:
        reader.fixed(HASH_LENGTH)
        _read_option(reader)
        _read_option(reader)
        reader.u8()
        for _ in range(reader.varint(32)):
            reader.varint(32)
            reader.bytes(MAX_TICKET_LENGTH)
    except DecodeError:
        return False
    return reader.position + _CHECKSUM_LENGTH > len(data)
