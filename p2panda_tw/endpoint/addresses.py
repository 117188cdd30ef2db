# -*- test-case-name: tests.endpoint.test_addresses -*-
"""
Where a node may be reached: plain values, their text form, and their form in tickets and signed records.

An address says nothing of the node behind it; the transport proves that by the key. The node id is always kept beside.
Hosts are held in one spelling each (IP addresses as C{ipaddress} writes them, names in lower case), so that equal
addresses compare equal.

In bytes a list of addresses is::

    varint count, then each: varint kind | varint length | UTF-8 text

    kind 1  TLS             host:port or [v6]:port
    kind 2  iroh, direct    host:port or [v6]:port
    kind 3  iroh, relay     URL
    kind 4  onion           port

Other kinds are skipped: a newer program may know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import ClassVar, Final, Self
from urllib.parse import urlsplit

from typing_extensions import override

from p2panda_tw.errors import DecodeError
from p2panda_tw.wire.postcard import Reader, bytes_, varint

__all__ = [
    "MAX_ADDRESSES",
    "MAX_ADDRESS_LENGTH",
    "Address",
    "IrohAddress",
    "OnionAddress",
    "RelayAddress",
    "TlsAddress",
    "decode_addresses",
    "describe",
    "encode_addresses",
    "format_host_port",
    "parse_host",
    "parse_host_port",
    "without_scope",
]

MAX_ADDRESSES: Final = 32
"""
So many addresses one ticket or record may carry, those of unknown kinds included. A guess: a machine with a dozen
interfaces and both kinds of IP address stays below.
"""

MAX_ADDRESS_LENGTH: Final = 512
"""
Longest text of one address, in bytes. A host name has 253 at most, relay URLs are the longest.
"""

_MAX_HOST_LENGTH: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_URL: Final = re.compile(r"https?://[!-~]+", re.ASCII)


def without_scope(host: str) -> str:
    """
    Drop what follows C{%} in an IPv6 address as an operating system reports it (C{fe80::1%eth0}). The scope means
    nothing on another machine.
    """
    return host.partition("%")[0]


def parse_host(text: str) -> str:
    """
    Read an IP address without brackets, or a host name.

    @return: Its one spelling.

    @raise ValueError: It is neither, or has a scope id. The message is a sentence.
    """
    if not text or len(text) > _MAX_HOST_LENGTH:
        raise ValueError(f"A host has 1 to {_MAX_HOST_LENGTH} characters.")
    if not text.isascii():
        raise ValueError("A host is written in ASCII (names with other letters in their xn-- form).")
    if "%" in text:
        raise ValueError("An address with a scope id (the part after %) means nothing on another machine.")
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    labels = text.lower().split(".")
    # What ends in a number would be an IPv4 address, and was none.
    if labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("This is neither an IP address nor a host name.")
    return ".".join(labels)


def parse_host_port(text: str, *, any_port: bool = False) -> tuple[str, int]:
    """
    Read C{host:port} or C{[v6]:port}.

    @param any_port: Also take port 0, which asks the system for a free one when listening.

    @raise ValueError: It is neither. The message is a sentence.
    """
    if len(text) > MAX_ADDRESS_LENGTH:
        raise ValueError(f"An address has at most {MAX_ADDRESS_LENGTH} characters.")
    host, colon, port_text = text.rpartition(":")
    if not colon:
        raise ValueError("An address looks like host:port or [IPv6 address]:port.")
    if _PORT.fullmatch(port_text) is None:
        raise ValueError("After the last colon comes a port, a number from 1 to 65535.")
    port = int(port_text)
    if not (0 if any_port else 1) <= port <= 65535:
        raise ValueError("A port is a number from 1 to 65535.")
    if host.startswith("[") and host.endswith("]"):
        host = parse_host(host[1:-1])
        if ":" not in host:
            raise ValueError("Brackets are for IPv6 addresses.")
        return host, port
    if ":" in host:
        raise ValueError("An IPv6 address is written in brackets: [::1]:4242.")
    return parse_host(host), port


def format_host_port(host: str, port: int) -> str:
    """
    @return: C{host:port}, an IPv6 address in brackets.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError("A port is a number from 1 to 65535.")


@dataclass(frozen=True, slots=True, order=True)
class _HostPort:
    """
    A host and a port.

    @ivar host: An IP address without brackets and scope id, or a host name.
    @ivar port: 1 to 65535.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        """
        @raise ValueError: Host or port cannot be. The message is a sentence.
        """
        _check_port(self.port)
        object.__setattr__(self, "host", parse_host(self.host))  # the way dataclasses offer to normalise a frozen field

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read the text form.

        @raise ValueError: It is something else. The message is a sentence.
        """
        return cls(*parse_host_port(text))

    @property
    def is_ip(self) -> bool:
        """
        Whether the host is an IP address rather than a name.
        """
        return ":" in self.host or self.host.rpartition(".")[2].isdigit()

    @property
    def is_link_local(self) -> bool:
        """
        Whether the host is an IPv6 address that needs a scope id to be dialled (C{fe80::/10}).
        """
        return ":" in self.host and IPv6Address(self.host).is_link_local

    @override
    def __str__(self) -> str:
        return format_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, order=True)
class TlsAddress(_HostPort):
    """
    A TCP port where a node takes TLS connections.
    """

    kind: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, order=True)
class IrohAddress(_HostPort):
    """
    A UDP port where a node takes QUIC connections of iroh.
    """

    kind: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, order=True)
class RelayAddress:
    """
    A relay of iroh through which a node can be reached. Relays are told apart by their URL as it is written.

    @ivar url: C{https://...} or C{http://...}, without user name and password.
    """

    kind: ClassVar[int] = 3

    url: str

    def __post_init__(self) -> None:
        """
        @raise ValueError: This is no URL of a relay. The message is a sentence.
        """
        if len(self.url) > MAX_ADDRESS_LENGTH:
            raise ValueError(f"A relay URL has at most {MAX_ADDRESS_LENGTH} characters.")
        if _URL.fullmatch(self.url) is None:
            raise ValueError("A relay URL starts with https:// or http:// and has only printable ASCII characters.")
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:  # its message would quote what another node wrote
            raise ValueError("Host and port of a relay URL cannot be read.") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("A relay URL carries no user name or password.")
        parse_host(parts.hostname or "")
        if port == 0:
            raise ValueError("A port is a number from 1 to 65535.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        The same as calling the class.

        @raise ValueError: This is no URL of a relay. The message is a sentence.
        """
        return cls(text)

    @override
    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True, order=True)
class OnionAddress:
    """
    A port of the onion service whose address follows from the node id.

    @ivar port: 1 to 65535.
    """

    kind: ClassVar[int] = 4

    port: int

    def __post_init__(self) -> None:
        """
        @raise ValueError: The port is out of range. The message is a sentence.
        """
        _check_port(self.port)

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read the decimal port.

        @raise ValueError: It is something else. The message is a sentence.
        """
        if _PORT.fullmatch(text) is None:
            raise ValueError("A port is a number from 1 to 65535.")
        return cls(int(text))

    @override
    def __str__(self) -> str:
        return str(self.port)


Address = TlsAddress | IrohAddress | RelayAddress | OnionAddress
"""
Any address.
"""

_KINDS: Final[dict[int, type[Address]]] = {
    kind.kind: kind for kind in (TlsAddress, IrohAddress, RelayAddress, OnionAddress)
}

_WORDS: Final = {1: "tls", 2: "iroh", 3: "relay", 4: "onion port"}


def describe(address: Address) -> str:
    """
    @return: The address for a person, with a word that says which way it is: C{tls 192.0.2.7:4242}.
    """
    return f"{_WORDS[address.kind]} {address}"


def encode_addresses(addresses: Iterable[Address]) -> bytes:
    """
    @return: The bytes described above, in the order given, doubles left out.

    @raise ValueError: There are more than L{MAX_ADDRESSES}.
    """
    unique = list(dict.fromkeys(addresses))
    if len(unique) > MAX_ADDRESSES:
        raise ValueError(f"At most {MAX_ADDRESSES} addresses fit, not {len(unique)}.")
    parts = [varint(len(unique))]
    for address in unique:
        parts.append(varint(address.kind))
        parts.append(bytes_(str(address).encode("ascii")))
    return b"".join(parts)


def decode_addresses(reader: Reader) -> list[Address]:
    """
    Read a list of addresses. Unknown kinds and doubles are left out.

    @raise DecodeError: The bytes are no such list, too many, or an address of a known kind is wrong.
    """
    count = reader.varint(32)
    if count > MAX_ADDRESSES:
        raise DecodeError(f"At most {MAX_ADDRESSES} addresses are allowed, not {count}.")
    found: dict[Address, None] = {}
    for _ in range(count):
        kind = reader.varint(32)
        raw = reader.bytes(MAX_ADDRESS_LENGTH)
        known = _KINDS.get(kind)
        if known is None:
            continue
        try:
            found[known.parse(bytes(raw).decode("ascii"))] = None
        except UnicodeDecodeError as error:
            raise DecodeError(f"An address of kind {kind} is not written in ASCII.") from error
        except ValueError as error:
            raise DecodeError(f"An address of kind {kind} is not valid. {error}") from error
    return list(found)
