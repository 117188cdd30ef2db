# -*- test-case-name: tests.sync.test_send_gate -*-
"""
How much is in memory to be sent, over all sessions. One page of the store for each is little, but a page can be a
single operation of 16 MiB, and who does not read can have many sessions.

So pages are loaded one after the other, as there is room for them: a little for each peer, and some in all. A page that
turns out to be a large operation is let go of and loaded again when its turn has come; large ones have room of their
own, so that small ones need not wait for them. Who holds up others by reading too slowly is cut off.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from p2panda_tw.core.identity import NodeId
from p2panda_tw.sync.limits import LARGE_PAGE, SEND_BYTES, SEND_LARGE_BYTES, SEND_PATIENCE, SEND_PEER_BYTES, SEND_RATE

__all__ = ["SendGate", "Sender"]

Load = Callable[[], None]


@dataclass(eq=False, slots=True)
class Sender:
    """
    A session as the gate sees it.

    @ivar node_id: Its peer.
    @ivar end: Called when it has to go.
    @ivar small: Bytes that wait to be sent, apart from those of a large page.
    @ivar large: Bytes of a large page, from before it is loaded until it is sent.
    @ivar reserved: Whether that page is still to be written.
    @ivar deadline: When that should have been sent.
    """

    node_id: NodeId
    end: Callable[[], None]
    small: int = 0
    large: int = 0
    reserved: bool = False
    deadline: float = 0.0


class SendGate:
    """
    Lets sessions load pages.

    @ivar small: Bytes of all small pages that wait to be sent.
    @ivar large: The same of large ones.
    """

    def __init__(
        self,
        small: int = SEND_BYTES,
        of_peer: int = SEND_PEER_BYTES,
        large: int = SEND_LARGE_BYTES,
        large_page: int = LARGE_PAGE,
    ) -> None:
        """
        @param small: How many bytes of small pages there may be before no more are loaded.
        @param of_peer: How many of these for one peer.
        @param large: How many bytes of large pages.
        @param large_page: Pages of more bytes are large.
        """
        self.small = 0
        self.large = 0
        self._most_small = small
        self._most_of_peer = of_peer
        self._most_large = large
        self._large_page = large_page
        self._of_peer: Counter[NodeId] = Counter()
        self._holders: dict[Sender, None] = {}
        self._waiting: deque[tuple[Sender, Load]] = deque()
        self._large_waiting: deque[tuple[Sender, int, Load]] = deque()
        self._loading = False

    def enter(self, sender: Sender, load: Load) -> None:
        """
        @param load: Called when there is room, perhaps at once. L{answered} has to follow.
        """
        self._waiting.append((sender, load))
        self._go_on()

    def fits(self, sender: Sender, size: int, load: Load) -> bool:
        """
        A page is loaded. To be asked before L{answered}.

        @param load: Called again if it has to wait; then L{answered} follows again, too.

        @return: Whether it can be kept.
        """
        if size <= self._large_page or sender.reserved:
            return True
        if self._has_large_room(size) and not sender.large:
            self._take(sender, size, reserved=True)
            return True
        self._large_waiting.append((sender, size, load))
        return False

    def answered(self) -> None:
        """
        What was to be loaded is there, or failed.
        """
        self._loading = False
        self._go_on()

    def written(self, sender: Sender, size: int, now: float) -> None:
        """
        So much waits to be sent now, because the peer has to read first.
        """
        self._release(sender)
        if size > self._large_page:
            self._take(sender, size, reserved=False)
        else:
            sender.small = size
            self.small += size
            self._of_peer[sender.node_id] += size
            self._holders[sender] = None
        sender.deadline = now + SEND_PATIENCE + size / SEND_RATE

    def drained(self, sender: Sender) -> None:
        """
        Everything was sent.
        """
        if sender in self._holders:
            self._release(sender)
            self._go_on()

    def leave(self, sender: Sender) -> None:
        """
        The session is over.
        """
        self._waiting = deque([entry for entry in self._waiting if entry[0] is not sender])
        self._large_waiting = deque([entry for entry in self._large_waiting if entry[0] is not sender])
        self._release(sender)
        self._go_on()

    def tick(self, now: float) -> None:
        """
        End those who hold up others and are late. To be called about once a second.
        """
        late = [sender for sender in self._holders if 0 < sender.deadline <= now]
        if not self._large_waiting and self.small < self._most_small:
            # Those who wait do so because of the same peer only.
            peers = {sender.node_id for sender, _ in self._waiting}
            late = [sender for sender in late if sender.node_id in peers]
        if self._large_waiting or self._waiting:
            for sender in late:
                self._release(sender)
                sender.end()
            self._go_on()

    def _has_large_room(self, size: int) -> bool:
        return not self.large or self.large + size <= self._most_large

    def _take(self, sender: Sender, size: int, *, reserved: bool) -> None:
        sender.large = size
        sender.reserved = reserved
        self.large += size
        self._holders[sender] = None

    def _release(self, sender: Sender) -> None:
        self.small -= sender.small
        self.large -= sender.large
        self._of_peer[sender.node_id] -= sender.small
        if not self._of_peer[sender.node_id]:
            del self._of_peer[sender.node_id]
        sender.small = sender.large = 0
        sender.reserved = False
        sender.deadline = 0.0
        self._holders.pop(sender, None)

    def _go_on(self) -> None:
        while not self._loading:
            load = self._next()
            if load is None:
                return
            self._loading = True
            load()

    def _next(self) -> Load | None:
        for position, (sender, size, load) in enumerate(self._large_waiting):
            if not sender.large:  # else it is still sending the one before
                if not self._has_large_room(size):
                    break
                del self._large_waiting[position]
                self._take(sender, size, reserved=True)
                return load
        if self.small < self._most_small:
            for position, (sender, load) in enumerate(self._waiting):
                if self._of_peer[sender.node_id] < self._most_of_peer:
                    del self._waiting[position]
                    return load
        return None
