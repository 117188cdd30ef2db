# -*- test-case-name: tests.transport.test_local_addresses -*-
"""
Which addresses of this machine others may try, best first: global ones, then those of private networks, and the
loopback interface last, for other programs on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import ifaddr

from p2panda_tw.endpoint.addresses import TlsAddress, without_scope

__all__ = ["MAX_OWN_ADDRESSES", "interface_hosts", "rank_hosts", "to_addresses"]

MAX_OWN_ADDRESSES: Final = 16
"""
More are not told to others. A guess; records take 32 of all kinds.
"""


def interface_hosts() -> list[str]:
    """
    @return: The IP addresses of all interfaces, without scopes.
    """
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            found.append(ip.ip if isinstance(ip.ip, str) else without_scope(ip.ip[0]))
    return found


def rank_hosts(hosts: Iterable[str]) -> list[str]:
    """
    @return: What of these IP addresses others can use, best first. Link-local ones need a scope and are left out.
    """
    ranked: list[tuple[int, str]] = []
    for host in dict.fromkeys(hosts):
        address = ip_address(host)
        if not (address.is_link_local or address.is_multicast or address.is_unspecified):
            ranked.append((_rank(address), str(address)))
    return [host for _, host in sorted(ranked, key=lambda pair: pair[0])]


def _rank(address: IPv4Address | IPv6Address) -> int:
    kind = 2 if address.is_loopback else 0 if address.is_global else 1
    return kind * 2 + (address.version == 6)  # IPv4 first, it is rarely filtered


def to_addresses(bound: Iterable[tuple[str, int]], interfaces: Iterable[str]) -> list[TlsAddress]:
    """
    @param bound: Hosts and ports that we listen at; C{0.0.0.0} and C{::} stand for all interfaces.
    @param interfaces: The IP addresses of the interfaces.

    @return: What others can dial, best first, L{MAX_OWN_ADDRESSES} at most (the loopback interface always has a place).
    """
    ports: dict[str, int] = {}
    interfaces = list(interfaces)
    for host, port in bound:
        if host in ("0.0.0.0", "::"):
            for own in interfaces:
                if (":" in own) == (":" in host):
                    ports.setdefault(own, port)
        else:
            ports.setdefault(host, port)
    ranked = rank_hosts(ports)
    loopback = [host for host in ranked if ip_address(host).is_loopback]
    others = [host for host in ranked if host not in loopback]
    return [TlsAddress(host, ports[host]) for host in [*others[: MAX_OWN_ADDRESSES - len(loopback)], *loopback]]
