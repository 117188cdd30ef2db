# -*- test-case-name: tests.endpoint.test_known -*-
"""
What is known of other nodes: their addresses, what worked last and when. A table in memory; who owns it is told of
changes and may write them down.

Addresses come from two sources. Those that were I{given} (a ticket, the configuration, what was written down earlier)
are added to what there is. Those that the node itself I{told} in a signed record replace what it told before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from p2panda_tw.core.identity import NodeId
from p2panda_tw.endpoint.addresses import MAX_ADDRESSES, Address

__all__ = ["MAX_NODES", "WORTH_NOTING", "KnownNode", "KnownNodes"]

MAX_NODES: Final = 4096
"""
So many nodes are kept in mind. A guess: about 4 MiB when all have the most addresses. The one that was of no use for
the longest time goes first, and nodes that only told of themselves go before those that somebody gave us.
"""

WORTH_NOTING: Final = 60_000_000
"""
A success is news when the last one was another address, or so long ago, in microseconds.
"""


@dataclass(frozen=True, slots=True)
class KnownNode:
    """
    What is known of one node.

    @ivar addresses: What worked last, then what is known best.
    @ivar last_success: When a connection was made last, in microseconds since 1970. Then C{addresses[0]} worked.
    """

    node_id: NodeId
    addresses: tuple[Address, ...]
    last_success: int | None

    @property
    def worked(self) -> Address | None:
        """
        What the last connection was made with.
        """
        return self.addresses[0] if self.addresses and self.last_success is not None else None


@dataclass(slots=True)
class _Entry:
    """
    One node of the table.
    """

    given: dict[Address, None] = field(default_factory=dict)
    told: dict[Address, None] = field(default_factory=dict)
    worked: Address | None = None
    last_success: int | None = None

    def addresses(self) -> tuple[Address, ...]:
        known = {**self.told, **self.given}
        if self.worked is not None:
            known = {self.worked: None, **known}
        return tuple(known)[:MAX_ADDRESSES]


class KnownNodes:
    """
    The table.
    """

    def __init__(self) -> None:
        self._entries: dict[NodeId, _Entry] = {}

    def __iter__(self) -> Iterator[KnownNode]:
        return (self._view(node_id, entry) for node_id, entry in self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, node_id: NodeId) -> KnownNode | None:
        """
        @return: What is known of a node, if anything.
        """
        entry = self._entries.get(node_id)
        return None if entry is None else self._view(node_id, entry)

    def give(self, node_id: NodeId, addresses: Iterable[Address], last_success: int | None = None) -> bool:
        """
        Add addresses.

        @param addresses: Best first.
        @param last_success: When C{addresses[0]} worked, if it did.

        @return: Whether there is another list of addresses now.
        """
        entry = self._entry(node_id)
        before = entry.addresses()
        new = list(addresses)
        entry.given = dict.fromkeys([*new, *entry.given][: 2 * MAX_ADDRESSES])
        if new and last_success is not None and last_success > (entry.last_success or 0):
            entry.worked, entry.last_success = new[0], last_success
        return entry.addresses() != before

    def tell(self, node_id: NodeId, addresses: Iterable[Address]) -> bool:
        """
        Take the addresses that a node itself tells, in place of those it told before.

        @return: Whether there is another list of addresses now.
        """
        entry = self._entry(node_id)
        before = entry.addresses()
        told = dict.fromkeys(addresses)
        if entry.worked in entry.told and entry.worked not in told and entry.worked not in entry.given:
            entry.worked = None
        entry.told = told
        return entry.addresses() != before

    def succeeded(self, node_id: NodeId, address: Address, now: int) -> bool:
        """
        A connection was made.

        @param now: Microseconds since 1970.

        @return: Whether that is news.
        """
        entry = self._entry(node_id)
        self._entries[node_id] = self._entries.pop(node_id)  # to the young end
        is_news = entry.worked != address or entry.last_success is None or now >= entry.last_success + WORTH_NOTING
        entry.worked = address
        if is_news:
            entry.last_success = now
        return is_news

    def _entry(self, node_id: NodeId) -> _Entry:
        """
        @return: The entry of a node, a new one if need be.
        """
        entry = self._entries.get(node_id)
        if entry is None:
            if len(self._entries) >= MAX_NODES:
                self._drop_one()
            entry = self._entries[node_id] = _Entry()
        return entry

    def _drop_one(self) -> None:
        """
        Forget the node that is missed least.
        """
        strangers = (node_id for node_id, entry in self._entries.items() if not entry.given)
        del self._entries[next(strangers, next(iter(self._entries)))]

    @staticmethod
    def _view(node_id: NodeId, entry: _Entry) -> KnownNode:
        return KnownNode(node_id, entry.addresses(), entry.last_success)
