# -*- test-case-name: tests.test_transports -*-
"""
The ways to reach other nodes that the settings ask for.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from p2panda_tw.config import Config
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import IrohAddress, TlsAddress
from p2panda_tw.interfaces import INodeTransport
from p2panda_tw.transport.limits import ConnectionLimits, ReceiveBudget
from p2panda_tw.transport.listening import EVERYWHERE
from p2panda_tw.transport.local_addresses import interface_hosts, to_addresses
from p2panda_tw.transport.tls import TlsTransport

__all__ = ["bound_ports", "free_udp_port", "make_transports", "missing_transports", "usual_addresses"]


def make_transports(
    reactor: Any, config: Config, signing_key: SigningKey, tls_port: int, iroh_port: int
) -> list[INodeTransport]:
    """
    @param tls_port: Where to listen if the settings name no port; 0 for a free one.
    @param iroh_port: The same for iroh, by IPv4. If somebody else has it now, another one is taken.

    @raise p2panda_tw.errors.ConfigurationError: The settings ask for something that is not installed or cannot be.
    """
    limits = ConnectionLimits()
    budget = ReceiveBudget()
    transports: list[INodeTransport] = []
    if config.tls.enabled:
        tls = TlsTransport(
            reactor,
            signing_key,
            listen=_listening(config, tls_port),
            advertise=config.tls.advertise,
            limits=limits,
            budget=budget,
        )
        transports.append(tls)
    if config.iroh.enabled is not False and "iroh" not in missing_transports(config):
        from p2panda_tw.transport.iroh import IrohTransport

        bind = [str(address) for address in config.iroh.listen]
        if not bind:
            bind = [f"0.0.0.0:{free_udp_port(iroh_port)}", "[::]:0"]
        relays = [(relay.address.url, relay.token) for relay in config.iroh.relays]
        transports.append(IrohTransport(reactor, signing_key, bind=bind, relays=relays, limits=limits, budget=budget))
    return transports


def missing_transports(config: Config, find_package: Callable[[str], object | None] = find_spec) -> dict[str, str]:
    """
    @return: Which transports are left out because their package is not installed, and how to get it.
    """
    if config.iroh.enabled is None and find_package("iroh") is None:
        return {"iroh": "The package iroh is not installed. Get it with: pip install 'p2panda-tw[iroh]'"}
    return {}


def free_udp_port(wanted: int) -> int:
    """
    @return: The port, or 0 if somebody listens there now.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", wanted))
        except OSError:
            return 0
    return wanted


def bound_ports(transports: Sequence[INodeTransport]) -> dict[str, int]:
    """
    @return: Where each transport listens, by its name, to be kept for the next start.
    """
    ports: dict[str, int] = {}
    for transport in transports:
        if isinstance(transport, TlsTransport) and transport.port is not None:
            ports[transport.name] = transport.port
        for address in transport.addresses():
            if isinstance(address, IrohAddress) and ":" not in address.host:
                ports.setdefault(transport.name, address.port)
    return ports


def usual_addresses(config: Config, tls_port: int) -> list[TlsAddress]:
    """
    @param tls_port: The port of the last start; 0 if there was none.

    @return: Where a node with these settings can be reached when it runs, as far as that is known before.
    """
    if not config.tls.enabled:
        return []
    if config.tls.advertise:
        return list(config.tls.advertise)
    return to_addresses([(host, port) for host, port in _listening(config, tls_port) if port], interface_hosts())


def _listening(config: Config, tls_port: int) -> list[tuple[str, int]]:
    """
    @return: Host and port of each place to listen at.
    """
    if config.tls.listen:
        return [(address.host, address.port or tls_port) for address in config.tls.listen]
    return [(host, tls_port) for host in EVERYWHERE]
