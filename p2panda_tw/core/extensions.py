# -*- test-case-name: tests.core.test_extensions -*-
"""
Header extensions as the high-level Node of p2panda 0.7.1 writes them, and what each form of a topic asks for. Mirrors
p2panda/src/operation.rs.

::

    85                array of
    01                version of the extensions
    00                variant: 0 basic, 1 causal (a placeholder of upstream's that nothing writes)
    5820, 32 bytes    log_id, BLAKE3 of the topic
    u64               timestamp, microseconds since 1970
    f4 / f5           prune_flag (in the causal variant an array of hashes)

A Node ends the session over any other version or variant. Further elements are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2panda_tw.core.hash import HASH_LENGTH, Hash
from p2panda_tw.core.header_error import HeaderError
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError, RemoteProtocolError
from p2panda_tw.wire.cbor import encode_uint
from p2panda_tw.wire.cbor_check import read_head, skip_tags

if TYPE_CHECKING:
    from p2panda_tw.core.header import Header

__all__ = ["EXTENSIONS_VERSION", "ForeignLog", "NodeExtensions", "check_form", "decode_node_extensions", "is_plain"]

EXTENSIONS_VERSION: Final = 1
"""
The only version of Node extensions there is.
"""

_MAX_TIMESTAMP: Final = 2**64 - 1
_BASIC: Final = 0
_CAUSAL: Final = 1
_PLAIN_START: Final = b"\x85\x01\x00\x58\x20"


class ForeignLog(RemoteProtocolError):
    """
    An operation of another topic came in. It is refused, but nothing is wrong with it.
    """

    def __init__(self) -> None:
        super().__init__("An operation belongs to another topic.")


@dataclass(frozen=True, slots=True)
class NodeExtensions:
    """
    What every operation of a topic in the Node form says of itself.

    @ivar log_id: Hash of its topic.
    @ivar timestamp: When it was made, by its author's clock, in microseconds since 1970. Nobody checks it.
    @ivar prune_flag: Whether everything before it in its log may be deleted.
    """

    log_id: Hash
    timestamp: int
    prune_flag: bool

    def encode(self) -> bytes:
        """
        @return: The CBOR item.

        @raise LocalProtocolError: The timestamp does not fit 64 bits.
        """
        if not 0 <= self.timestamp <= _MAX_TIMESTAMP:
            raise LocalProtocolError(f"A timestamp of {self.timestamp} does not fit 64 bits.")
        flag = b"\xf5" if self.prune_flag else b"\xf4"
        return _PLAIN_START + self.log_id.raw + encode_uint(self.timestamp) + flag


def is_plain(item: bytes) -> bool:
    """
    Recognise what every Node writes today without looking at each element: 47 bytes, the timestamp in nine of them.
    Such an item is strict CBOR.
    """
    return (
        len(item) == 47
        and item[:5] == _PLAIN_START
        and item[37] == 0x1B
        and item[38:42] > b"\0\0\0\0"
        and item[46] & 0xFE == 0xF4
    )


def decode_node_extensions(item: bytes) -> NodeExtensions:
    """
    @param item: A strict CBOR item, as L{Header.extensions}.

    @raise HeaderError: It is something else; C{kind} is C{DecodingExtensions}.
    """
    if is_plain(item):
        return NodeExtensions(Hash(item[5:37]), int.from_bytes(item[38:46], "big"), item[46] == 0xF5)
    return _Elements(item).read()


class _Elements:
    """
    Reads the array element by element. Tags are skipped, as upstream's typed decoder does; here they are harmless,
    because the bytes are kept.
    """

    def __init__(self, item: bytes) -> None:
        self.item = item
        self.position = 0
        self.left = 1

    def read(self) -> NodeExtensions:
        """
        @raise HeaderError: The array is not one of Node extensions.
        """
        self._array()
        if self._integer(0xFFFF) != EXTENSIONS_VERSION:
            raise _unreadable("Their version is unknown.")
        variant = self._integer(0xFFFF)
        if variant not in (_BASIC, _CAUSAL):
            raise _unreadable("Their variant is unknown.")
        log_id = self._hash()
        timestamp = self._integer(_MAX_TIMESTAMP)
        if variant == _BASIC:
            return NodeExtensions(log_id, timestamp, self._bool())
        for _ in range(self._array()):
            self._hash()
        return NodeExtensions(log_id, timestamp, prune_flag=False)

    def _head(self) -> tuple[int, int]:
        """
        @return: First byte and argument of the next element's head.
        """
        if not self.left:
            raise _unreadable("An element is missing.")
        self.left -= 1
        initial, argument, self.position = read_head(self.item, skip_tags(self.item, self.position))
        return initial, argument

    def _array(self) -> int:
        initial, self.left = self._head()
        if initial >> 5 != 4:
            raise _unreadable("Something is no array.")
        return self.left

    def _integer(self, highest: int) -> int:
        initial, argument = self._head()
        if initial >> 5 != 0 or argument > highest:
            raise _unreadable("An element is not an integer of the right size.")
        return argument

    def _hash(self) -> Hash:
        initial, argument = self._head()
        if initial >> 5 != 2 or argument != HASH_LENGTH:
            raise _unreadable("An element is not a hash.")
        self.position += HASH_LENGTH
        return Hash(self.item[self.position - HASH_LENGTH : self.position])

    def _bool(self) -> bool:
        initial, _ = self._head()
        if initial not in (0xF4, 0xF5):
            raise _unreadable("The prune flag is not a truth value.")
        return initial == 0xF5


def _unreadable(why: str) -> HeaderError:
    return HeaderError("DecodingExtensions", f"The extensions of a header cannot be read. {why}")


def check_form(header: Header, form: Form, topic: Topic) -> bool:
    """
    Does an operation belong into a topic, as far as its extensions tell?

    @return: Its prune flag.

    @raise DecodeError: The extensions are not those of the form. An honest node of this topic passes on no such thing.
    @raise ForeignLog: They name another log than the topic's.
    """
    item = header.extensions
    if form is Form.CHAT:
        if item is not None:
            raise HeaderError("UnexpectedExtensions", "A header has extensions where the topic's form has none.")
        return False
    if item is None:
        raise HeaderError("MissingExtensions", "A header has no extensions where the topic's form asks for some.")
    log_id = topic.log_id()
    if is_plain(item) and item[5:37] == log_id.raw:
        return item[46] == 0xF5
    extensions = decode_node_extensions(item)
    if extensions.log_id != log_id:
        raise ForeignLog
    return extensions.prune_flag
