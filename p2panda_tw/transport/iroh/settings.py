# -*- test-case-name: tests.transport.test_iroh_settings -*-
"""
What is configured of the iroh transport, checked before anything is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from p2panda_tw.endpoint.addresses import RelayAddress, format_host_port, parse_host_port
from p2panda_tw.errors import ConfigurationError

__all__ = ["EVERYWHERE", "LOOPBACK", "Bind", "Relay", "parse_bind", "parse_relays"]

EVERYWHERE: Final = ("0.0.0.0:0", "[::]:0")
"""
All interfaces, a free port.
"""

LOOPBACK: Final = ("127.0.0.1:0", "[::1]:0")
"""
This machine only.
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """
    Where to listen, C{ip:port} for each kind of IP address.

    @ivar v6_if_possible: IPv6 may be missing: nothing in particular was asked of it.
    """

    v4: str
    v6: str
    v6_if_possible: bool


@dataclass(frozen=True, slots=True)
class Relay:
    """
    A relay to use.

    @ivar url: As L{RelayAddress} takes it.
    @ivar token: What the relay asks of its users. Secret, told to this relay only.
    """

    url: str
    token: str | None = field(repr=False)


def parse_bind(texts: Sequence[str]) -> Bind:
    """
    Read one or two C{ip:port}. The wheel always listens on both kinds of IP address; one that is not named gets its
    loopback, so that nothing is open to others that nobody asked for.

    @raise ConfigurationError: They are something else.
    """
    found: dict[int, str] = {}
    for text in texts:
        try:
            host, port = parse_host_port(text, any_port=True)
            version = ip_address(host).version
        except ValueError as error:
            raise ConfigurationError(
                f"[iroh] listen: {text!r} is no IP address with a port, like 0.0.0.0:0 or [::]:0. {error}"
            ) from error
        if version in found:
            raise ConfigurationError(f"[iroh] listen: only one IPv{version} address is possible.")
        found[version] = format_host_port(host, port)
    v4, v6 = LOOPBACK
    given = found.get(6)
    return Bind(found.get(4, v4), given or v6, given is None or given == EVERYWHERE[1])


def parse_relays(relays: Sequence[tuple[str, str | None]]) -> tuple[Relay, ...]:
    """
    Read pairs of URL and token. Of two with the same URL the last one counts.

    @raise ConfigurationError: One is no URL, or its token cannot be sent.
    """
    found: dict[str, Relay] = {}
    for url, token in relays:
        try:
            RelayAddress(url)
        except ValueError as error:
            raise ConfigurationError(f"[iroh] relays: {url!r} is no URL of a relay. {error}") from error
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise ConfigurationError(f"[iroh] relays: the token for {url} must be printable ASCII text.")
        found[url] = Relay(url, token)
    return tuple(found.values())
