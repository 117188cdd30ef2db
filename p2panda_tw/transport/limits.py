# -*- test-case-name: tests.transport.test_limits -*-
"""
What other nodes may make us hold beyond single connections: bytes in the whole process, connections, and handshakes
that are under way. One L{ReceiveBudget} is shared by all transports of a process, so may be one L{ConnectionLimits}.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from p2panda_tw.core.identity import NodeId
from p2panda_tw.transport.frames import INITIAL_WINDOW, MAX_WINDOW

__all__ = [
    "CLOSE_TIMEOUT",
    "CONNECT_TIMEOUT",
    "KEEP_ALIVE",
    "ConnectionLimits",
    "KeepAlive",
    "ReceiveBudget",
]

_K = TypeVar("_K")

MAX_RECEIVED: Final = 24 * 1024 * 1024
"""
Bytes received and not yet consumed, in the whole process.
"""

MAX_STREAMS: Final = 4096
"""
Streams that other nodes have opened, in the whole process. A guess: each costs several KiB with the protocol on it.
"""

SMALL_WINDOW: Final = 64 * 1024
"""
What a stream may have under way while the budget is tight, in bytes. A guess: one frame.
"""

MAX_CONNECTIONS: Final = 1024
MAX_PER_NODE: Final = 256
"""
Connections in all, and with one node id.
"""

MAX_UNFINISHED: Final = 32
"""
Connections from one network address that have not finished the handshake.
"""

CONNECT_TIMEOUT: Final = 10.0
"""
Seconds from the start of dialling until a connection is open, and for the handshake of one that came in.
"""

CLOSE_TIMEOUT: Final = 5.0
"""
Seconds that an orderly close may take.
"""


class KeepAlive:
    """
    How a vanished peer is noticed.

    @ivar interval: Seconds between pings.
    @ivar dead_after: Seconds without a byte after which the peer is gone.
    """

    __slots__ = ("dead_after", "interval")

    def __init__(self, interval: float, dead_after: float) -> None:
        self.interval = interval
        self.dead_after = dead_after


KEEP_ALIVE: Final = KeepAlive(5.0, 10.0)
"""
On direct connections. Over Tor 15 and 45 seconds.
"""


class Holder(Protocol):
    """
    Something that holds received bytes until a reader takes them: a stream.
    """

    def overspent(self, sentence: str) -> None:
        """
        It held most when the budget was exceeded. It drops everything and tells the budget.
        """


class ReceiveBudget:
    """
    Counts the received bytes that nobody has consumed yet, and the streams that others have opened.

    @ivar used: All those bytes.
    @ivar limit: So many are allowed.
    @ivar streams: All those streams.
    """

    def __init__(self, limit: int = MAX_RECEIVED, max_streams: int = MAX_STREAMS) -> None:
        self.limit = limit
        self.used = 0
        self.streams = 0
        self._max_streams = max_streams
        self._held: dict[Holder, int] = {}

    def add(self, holder: Holder, count: int) -> None:
        """
        C{holder} keeps so many bytes more. When they are too many, whoever holds most loses them.
        """
        self.used += count
        self._held[holder] = self._held.get(holder, 0) + count
        while self.used > self.limit and self._held:
            most = max(self._held, key=self._held.__getitem__)
            self.used -= self._held.pop(most)
            most.overspent(f"More than {self.limit >> 20} MiB of received data wait for their readers.")

    def remove(self, holder: Holder, count: int) -> None:
        """
        C{holder} keeps so many bytes less. What the budget took away from it before does not count again.
        """
        held = self._held.get(holder, 0)
        count = min(count, held)
        self.used -= count
        if count == held:
            self._held.pop(holder, None)
        else:
            self._held[holder] = held - count

    def take(self) -> bool:
        """
        @return: Whether one more stream has a place; it is taken now.
        """
        if self.streams >= self._max_streams:
            return False
        self.streams += 1
        return True

    def leave(self) -> None:
        """
        A stream is gone.
        """
        self.streams -= 1

    @property
    def window(self) -> int:
        """
        What a stream may have under way, in bytes: less, the less room there is.
        """
        if self.used * 4 < self.limit:
            return MAX_WINDOW
        return INITIAL_WINDOW if self.used * 2 < self.limit else SMALL_WINDOW


class ConnectionLimits:
    """
    Counts connections.

    @ivar total: All of them, handshakes included.
    """

    def __init__(
        self, total: int = MAX_CONNECTIONS, per_node: int = MAX_PER_NODE, unfinished: int = MAX_UNFINISHED
    ) -> None:
        self._max_total = total
        self._max_per_node = per_node
        self._max_unfinished = unfinished
        self.total = 0
        self._by_node: dict[NodeId, int] = {}
        self._by_host: dict[str, int] = {}

    def begin(self, host: str | None) -> str | None:
        """
        A connection begins: from a network address, or from us (C{None}; that is counted, never refused).

        @return: Why it is refused, as a sentence; C{None} if it is counted from now on, until L{finish} or L{fail}.
        """
        if host is not None:
            if self.total >= self._max_total:
                return f"There are {self.total} connections already."
            unfinished = self._by_host.get(host, 0)
            if unfinished >= self._max_unfinished:
                return f"{unfinished} connections from there have not finished the handshake."
            self._by_host[host] = unfinished + 1
        self.total += 1
        return None

    def finish(self, host: str | None, node_id: NodeId) -> str | None:
        """
        The handshake is done and the other node known.

        @return: Why the connection is refused; C{None} if it counts for C{node_id}, until L{leave}.
        """
        self._shake_off(host)
        count = self._by_node.get(node_id, 0)
        if host is not None and count >= self._max_per_node:
            self.total -= 1
            return f"There are {count} connections with this node already."
        self._by_node[node_id] = count + 1
        return None

    def fail(self, host: str | None) -> None:
        """
        The connection ended before L{finish}.
        """
        self._shake_off(host)
        self.total -= 1

    def leave(self, node_id: NodeId) -> None:
        """
        The connection ended after L{finish}.
        """
        self.total -= 1
        _decrease(self._by_node, node_id)

    def _shake_off(self, host: str | None) -> None:
        if host is not None:
            _decrease(self._by_host, host)


def _decrease(counts: dict[_K, int], key: _K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
