# -*- test-case-name: tests.transport.test_streams -*-
"""
Nodes as Twisted's transports name who is at their ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IAddress
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.core.identity import NodeId

__all__ = ["NodeAddress"]


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class NodeAddress:
    """
    Who is at the other end of a stream, or at ours.

    @ivar transport_name: Which transport carries the connection.
    """

    node_id: NodeId
    transport_name: str

    @override
    def __str__(self) -> str:
        return f"{self.node_id} over {self.transport_name}"
