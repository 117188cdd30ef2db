# -*- test-case-name: tests.core.test_validation -*-
"""
Logs whose beginning may be gone. An operation with the prune flag says that all before it in its log may be deleted, so
it has to be accepted without a predecessor. Mirrors p2panda-core/src/prune.rs.
"""

from __future__ import annotations

from p2panda_tw.core.header import Header
from p2panda_tw.core.validation import OperationError, validate_backlink

__all__ = ["validate_prunable_backlink"]


def validate_prunable_backlink(past: Header | None, header: Header, prune_flag: bool) -> None:
    """
    Does C{header} continue a log of which C{past} is the latest that is known?

    Like upstream's rule this takes an operation with prune flag at any position but the first, above or below the tip.

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
