# -*- test-case-name: tests.core.test_validation -*-
"""
The rules that say whether a header is consistent, whether a body belongs to it, and whether it continues a log. Mirrors
p2panda-core/src/operation/validation.rs.
"""

from __future__ import annotations

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header
from p2panda_tw.errors import P2pandaError

__all__ = ["OperationError", "validate_backlink", "validate_header", "validate_operation"]


class OperationError(P2pandaError):
    """
    An operation breaks a rule.

    @ivar kind: Upstream's name of the rule (C{OperationError} in p2panda-core).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


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
