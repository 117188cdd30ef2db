# -*- test-case-name: tests.core.test_operation -*-
"""
Operations: a header and, unless it was withheld or deleted, its body; and the rules that say whether the two fit and
whether an operation continues a log. Mirrors p2panda-core/src/operation/ and prune.rs.
"""

from __future__ import annotations

from typing import NamedTuple

from typing_extensions import override

from p2panda_tw.core.extensions import decode_node_extensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, HeaderError, InvalidSignature, build_header, decode_header
from p2panda_tw.core.identity import VerifyingKey
from p2panda_tw.errors import DecodeError, P2pandaError

__all__ = [
    "Header",
    "HeaderError",
    "InvalidSignature",
    "Operation",
    "OperationError",
    "RawOperation",
    "build_header",
    "decode_header",
    "validate_backlink",
    "validate_header",
    "validate_operation",
    "validate_prunable_backlink",
]


class OperationError(P2pandaError):
    """
    An operation breaks a rule.

    @ivar kind: Upstream's name of the rule (C{OperationError} in p2panda-core).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class RawOperation(NamedTuple):
    """
    An operation as it travels: nothing is decoded or checked.

    @ivar header: The encoded header.
    @ivar body: The body, if it comes along.
    """

    header: bytes
    body: bytes | None


class Operation:
    """
    A header with its body. Two are equal if they have the same id, with or without a body.

    @ivar header: The decoded header.
    @ivar body: The body; C{None} if there is none, or if it is not here.
    """

    __slots__ = ("body", "header")

    header: Header
    body: bytes | None

    def __init__(self, header: Header, body: bytes | None) -> None:
        self.header = header
        self.body = body

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


def validate_header(header: Header) -> None:
    """
    Are the fields of a header consistent? For one that was decoded or built by us they always are.

    @raise OperationError: They are not.
    """
    if (header.payload_hash is None) != (header.payload_size == 0):
        raise OperationError("InconsistentPayloadInfo", "Size and hash of the body do not go together.")
    if header.backlink is not None and header.seq_num == 0:
        raise OperationError("SeqNumMismatch", "The first operation of a log has a backlink.")
    if header.backlink is None and header.seq_num > 0:
        raise OperationError("BacklinkMissing", "An operation inside a log has no backlink.")


def validate_operation(header: Header, body: bytes | None) -> None:
    """
    Does the body belong to the header? Without a body there is nothing to check.

    @param body: C{b""} is a body, and never right.

    @raise OperationError: It does not.
    """
    validate_header(header)
    if body is None:
        return
    if len(body) != header.payload_size or header.payload_hash is None or Hash.of(body) != header.payload_hash:
        raise OperationError("PayloadMismatch", "The body is not the one that the header speaks of.")


def validate_backlink(past: Header, header: Header) -> None:
    """
    Does C{header} continue the log right after C{past}?

    @raise OperationError: It does not.
    """
    if past.verifying_key != header.verifying_key:
        raise OperationError("TooManyAuthors", "Two authors in one log.")
    if header.seq_num != past.seq_num + 1:
        message = f"An operation at position {header.seq_num} where {past.seq_num + 1} comes next."
        raise OperationError("SeqNumNonIncremental", message)
    if header.backlink is None:
        raise OperationError("BacklinkMissing", "An operation inside a log has no backlink.")
    if header.backlink != past.hash:
        raise OperationError("BacklinkMismatch", "The operation follows another one than the log has.")


def validate_prunable_backlink(past: Header | None, header: Header, prune_flag: bool) -> None:
    """
    The same for logs whose beginning may be gone: an operation with prune flag needs no predecessor.

    @param past: The latest operation of the log, if there is one.
    @param prune_flag: Of C{header}'s extensions.

    @raise OperationError: It does not continue the log.
    """
    if header.seq_num > 0 and prune_flag:
        return
    if past is not None:
        validate_backlink(past, header)
    elif header.seq_num > 0:
        raise OperationError("BacklinkMissing", "The operation before is not here.")
