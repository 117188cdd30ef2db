# -*- test-case-name: tests.transport.test_iroh -*-
"""
The endpoint of the wheel, on the loop's side: its sockets, the calls that come in and those that go out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import iroh
from iroh import IrohError
from twisted.logger import Logger
from typing_extensions import override

from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.endpoint.addresses import Address, IrohAddress, RelayAddress
from p2panda_tw.errors import ConfigurationError, ConnectError
from p2panda_tw.transport.iroh.binding import cause, connect_error
from p2panda_tw.transport.iroh.bridge import Bridge
from p2panda_tw.transport.iroh.link import Link
from p2panda_tw.transport.iroh.settings import Bind, Relay

__all__ = ["CONNECT_TIME", "IrohEndpoint", "own_addresses"]

CONNECT_TIME: Final = 10.0
"""
Longest time for one attempt to connect, in seconds; the wheel itself would try for 30.
"""

RESTART_TIME: Final = 0.3
"""
When an attempt has not succeeded after so many seconds, connections to the same node that are still open are looked at.
"""

MAX_HANDSHAKES: Final = 256
"""
Connections to us whose handshake may be under way at the same time. More are refused at once. A guess.
"""

RELAY_QUIC_PORT: Final = 7842
"""
Where a relay tells us our address; iroh's default. Without it address discovery would be off.
"""


def own_addresses(found: iroh.EndpointAddr) -> list[Address]:
    """
    @return: Where others can reach us, best first: direct ones, then the relay. Loopback addresses only if there are no
        others; link-local ones, which need a scope to be dialled, never.
    """
    direct = []
    for text in found.direct_addresses():
        host, _, port = text.rpartition(":")
        address = IrohAddress(host.strip("[]").partition("%")[0], int(port))
        if not address.is_link_local and address not in direct:
            direct.append(address)
    wide = [address for address in direct if not _is_loopback(address)]
    addresses: list[Address] = [*sorted(wide or direct, key=lambda address: ":" in address.host)]
    relay = found.relay_url()
    if relay is not None:
        addresses.append(RelayAddress(relay))
    return addresses


def _is_loopback(address: IrohAddress) -> bool:
    return address.host == "::1" or address.host.startswith("127.")


class _Watch(iroh.AddrChangeCallback):
    """
    Hears of our own addresses.
    """

    def __init__(self, changed: Callable[[iroh.EndpointAddr], None]) -> None:
        self._changed = changed

    @override
    async def on_change(self, addr: iroh.EndpointAddr) -> None:
        self._changed(addr)


class IrohEndpoint:
    """
    Use L{bind}.
    """

    _log = Logger()

    def __init__(self, bridge: Bridge, raw: iroh.Endpoint) -> None:
        self._bridge = bridge
        self._raw = raw
        self._offered: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes = 0
        self._watch: iroh.WatchHandle | None = None
        self._closed = False

    @classmethod
    async def bind(cls, bridge: Bridge, key: SigningKey, bind: Bind, relays: Sequence[Relay]) -> IrohEndpoint:
        """
        Open the sockets.

        @raise ConfigurationError: They cannot be opened.
        """
        attempts = [(bind.v4, bind.v6), (bind.v4, None)] if bind.v6_if_possible else [(bind.v4, bind.v6)]
        error: IrohError | None = None
        for v4, v6 in attempts:
            try:
                return cls(bridge, await cls._bind(key, v4, v6, relays))
            except IrohError as failed:
                error = error or failed
        assert error is not None  # at least one attempt was made
        raise ConfigurationError(
            f"[iroh] listen: {bind.v4} and {bind.v6} cannot be listened on ({cause(error)}). Are they addresses of "
            "this machine, and are the ports free?"
        )

    @staticmethod
    async def _bind(key: SigningKey, v4: str, v6: str | None, relays: Sequence[Relay]) -> iroh.Endpoint:
        builder = iroh.EndpointBuilder()
        builder.apply_minimal()  # the default would publish us to a public service
        builder.secret_key(key.seed)
        known = iroh.RelayMap.empty()
        for relay in relays:
            known.insert(iroh.RelayConfig(url=relay.url, quic_port=RELAY_QUIC_PORT, auth_token=relay.token))
        builder.relay_mode(iroh.RelayMode.custom(known))
        builder.bind_addr(v4)
        if v6 is not None:
            builder.bind_addr(v6)
        return await builder.bind()

    def start(
        self,
        offered: Callable[[], Sequence[bytes]],
        accepted: Callable[[Link, bytes, bytes], None],
        moved: Callable[[list[Address]], None],
    ) -> None:
        """
        Take connections. All three are called on the reactor's side.

        @param offered: Asked, before each handshake, for the ALPN values that are taken.

        @param accepted: Told of a new connection, the node id of the other side and the ALPN value.

        @param moved: Told our addresses, now and when they have changed.
        """
        self._watch = self._raw.watch_addr(_Watch(lambda found: self._bridge.deliver(moved, own_addresses(found))))
        self._bridge.deliver(moved, own_addresses(self._raw.addr()))
        self._spawn(self._accept(offered, accepted))

    async def dial(self, node_id: NodeId, addresses: Sequence[Address], alpn: bytes, others: Sequence[Link]) -> Link:
        """
        Make a connection.

        @param others: Those to the same node. They are closed if they have died unnoticed: while the wheel believes in
            them it does not look for the node anywhere else.

        @raise ConnectError: It cannot be made.
        """
        direct = [str(address) for address in addresses if isinstance(address, IrohAddress)]
        relay = next((address.url for address in addresses if isinstance(address, RelayAddress)), None)
        target = iroh.EndpointAddr(iroh.EndpointId.from_bytes(node_id.raw), relay, direct)
        try:
            async with asyncio.timeout(CONNECT_TIME):
                return Link(self._bridge, await self._connect(target, alpn, others))
        except IrohError as error:
            raise connect_error(error) from error
        except TimeoutError:
            raise ConnectError(f"The node did not answer over iroh within {CONNECT_TIME:.0f} s.") from None

    async def _connect(self, target: iroh.EndpointAddr, alpn: bytes, others: Sequence[Link]) -> iroh.Connection:
        if not others:
            return await self._raw.connect(target, alpn)
        attempt = self._bridge.loop.create_task(self._raw.connect(target, alpn))
        try:
            await asyncio.wait([attempt], timeout=RESTART_TIME)
            if not attempt.done() and await self._close_dead(others) and not attempt.done():
                attempt.cancel()
                return await self._raw.connect(target, alpn)
            return await attempt
        finally:
            attempt.cancel()

    async def _close_dead(self, links: Sequence[Link]) -> bool:
        """
        @return: Whether there was one to close.
        """
        alive = await asyncio.gather(*(link.is_alive() for link in links))
        for link, answered in zip(links, alive, strict=True):
            if not answered:
                link.abort("the node no longer answers where it was")
        return not all(alive)

    async def close(self) -> None:
        """
        Close the sockets; every connection must be closed. Returns when nothing is left.
        """
        self._closed = True
        if self._watch is not None:
            await self._watch.stop()
        await self._raw.close()
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._bridge.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(
        self, offered: Callable[[], Sequence[bytes]], accepted: Callable[[Link, bytes, bytes], None]
    ) -> None:
        while True:
            try:
                incoming = await self._raw.accept_next()
                if incoming is None:
                    return  # the endpoint is closed
                if self._handshakes < MAX_HANDSHAKES and await self._offer(offered):
                    self._spawn(self._shake_hands(incoming, accepted))
                else:
                    await incoming.refuse()
            except IrohError as error:
                self._log.debug("A connection could not be taken: {cause}", cause=cause(error))

    async def _offer(self, offered: Callable[[], Sequence[bytes]]) -> bool:
        """
        Bring the list up to date: it counts from the beginning of a handshake.

        @return: Whether it is. A mistake of ours does not keep later connections away.
        """
        try:
            wanted = list(await self._bridge.ask(offered))
        except Exception:
            self._log.failure("It cannot be told what is offered to a connection.")
            return False
        if wanted != self._offered:
            self._raw.set_alpns(wanted)
            self._offered = wanted
        return True

    async def _shake_hands(self, incoming: iroh.Incoming, accepted: Callable[[Link, bytes, bytes], None]) -> None:
        self._handshakes += 1
        try:
            async with asyncio.timeout(CONNECT_TIME):
                accepting = await incoming.accept()
                alpn = await accepting.alpn()
                raw = await accepting.connect()
        except IrohError as error:
            self._log.debug("A handshake failed: {cause}", cause=cause(error))
        except TimeoutError:
            self._log.debug("A handshake took too long.")
        else:
            self._bridge.deliver(accepted, Link(self._bridge, raw), raw.remote_id().to_bytes(), alpn)
        finally:
            self._handshakes -= 1
