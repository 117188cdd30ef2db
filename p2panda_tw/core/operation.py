# -*- test-case-name: tests.core.test_operation -*-
"""
Operations: a header and, unless it was withheld or deleted, its body. What belongs to them is gathered here, too: their
codec (L{p2panda_tw.core.header}) and their rules (L{p2panda_tw.core.validation}, L{p2panda_tw.core.prune}).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from p2panda_tw.core.extensions import decode_node_extensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, HeaderError, InvalidSignature, build_header, decode_header
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.core.prune import validate_prunable_backlink
from p2panda_tw.core.validation import OperationError, validate_backlink, validate_header, validate_operation
from p2panda_tw.errors import DecodeError

__all__ = [
    "Header",
    "HeaderError",
    "InvalidSignature",
    "Operation",
    "OperationError",
    "RawOperation",
    "build_header",
    "decode_header",
    "total_size",
    "validate_backlink",
    "validate_header",
    "validate_operation",
    "validate_prunable_backlink",
]


class RawOperation(NamedTuple):
    """
    An operation as it travels: nothing is decoded or checked.

    @ivar header: The encoded header.
    @ivar body: The body, if it comes along.
    """

    header: bytes
    body: bytes | None


def total_size(operations: Iterable[tuple[bytes, bytes | None]]) -> int:
    """
    @param operations: Header and body of each, as L{RawOperation}.

    @return: Bytes of all headers and bodies.
    """
    return sum([len(header) if body is None else len(header) + len(body) for header, body in operations])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation:
    """
    A header with its body. Two are equal if they have the same id, with or without a body.

    @ivar header: The decoded header.
    @ivar body: The body; C{None} if there is none, or if it is not here.
    """

    header: Header
    body: bytes | None

    @property
    def id(self) -> Hash:
        """
        The hash of the header.
        """
        return self.header.hash

    @property
    def author(self) -> VerifyingKey:
        """
        Who signed it.
        """
        return self.header.verifying_key

    @property
    def seq_num(self) -> int:
        """
        Its position in the log.
        """
        return self.header.seq_num

    @property
    def timestamp(self) -> int | None:
        """
        When its author says it was made, in microseconds since 1970; C{None} if it has no Node extensions.
        """
        item = self.header.extensions
        try:
            return None if item is None else decode_node_extensions(item).timestamp
        except DecodeError:
            return None

    @property
    def raw(self) -> RawOperation:
        """
        The same, as it travels.
        """
        return RawOperation(self.header.raw, self.body)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and other.header.hash == self.header.hash

    @override
    def __hash__(self) -> int:
        return hash(self.header.hash)

    @override
    def __repr__(self) -> str:
        return f"<Operation {self.id.raw[:4].hex()} by {self.author.raw[:4].hex()} at {self.seq_num}>"
