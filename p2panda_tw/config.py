# -*- test-case-name: tests.test_config -*-
"""
The settings of a node: frozen values, and how they are read from a TOML file.

A setting that is not there has a default, one that is wrong or unknown ends the start with one sentence. The data
directory is found first, because the file may lie in it:

  1. what the caller says (C{--data}),
  2. C{data_directory} in the file that the caller names (C{--config}),
  3. the environment variable C{P2PANDA_HOME},
  4. the user's data directory, as the operating system has it.

Without C{--config} the file is C{p2panda.toml} in the data directory, if there is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

import platformdirs

from p2panda_tw.core.hash import HASH_LENGTH
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import RelayAddress, TlsAddress, format_host_port, parse_host_port
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, network_id_of
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.errors import ConfigurationError, DecodeError
from p2panda_tw.toml_table import TomlTable, boolean, one_or_more, text

__all__ = [
    "CONFIG_FILE",
    "HOME_VARIABLE",
    "Config",
    "IrohConfig",
    "ListenAddress",
    "PeerConfig",
    "RelayConfig",
    "TlsConfig",
    "TopicConfig",
    "topic_name",
]

CONFIG_FILE: Final = "p2panda.toml"
"""
Name of the file in the data directory.
"""

HOME_VARIABLE: Final = "P2PANDA_HOME"
"""
Environment variable with the data directory.
"""

Durability = Literal["full", "fast"]

_MAX_NAME_LENGTH: Final = 100
_FORMS: Final = {"node": Form.NODE, "chat": Form.CHAT}


class ListenAddress(NamedTuple):
    """
    Where to listen.

    @ivar host: IP address of an interface, C{0.0.0.0} or C{::} for all.
    @ivar port: 0 asks for a free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return format_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """
    The section C{[tls]}.

    @ivar enabled: Whether to use TLS over TCP.
    @ivar listen: Where to listen; by default on all interfaces, on a port that is chosen at the first start and kept.
    @ivar advertise: What others are told in place of the addresses of the interfaces (a host behind NAT).
    """

    enabled: bool = True
    listen: tuple[ListenAddress, ...] = ()
    advertise: tuple[TlsAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """
    One relay for iroh.

    @ivar token: What the relay asks for, if it does. Secret.
    """

    address: RelayAddress
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IrohConfig:
    """
    The section C{[iroh]}.

    @ivar enabled: Whether to use iroh; C{None}: where its package is installed.
    @ivar listen: At most one IPv4 and one IPv6 address; by default all interfaces, by IPv4 on a port that is kept as
        above.
    @ivar relays: No relay is used but these.
    """

    enabled: bool | None = None
    listen: tuple[ListenAddress, ...] = ()
    relays: tuple[RelayConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig:
    """
    One C{[[topic]]} that the node keeps.

    @ivar name: For people; empty if it has none.
    """

    id: Topic
    name: str = ""
    form: Form = Form.NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """
    One C{[[peer]]} that the node connects to. If the ticket names a topic, the node keeps that topic, too.
    """

    ticket: Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    All settings of a node.

    @ivar data_directory: Where identity and store lie.
    @ivar network_id: 32 bytes; nodes of other networks are not reached.
    @ivar network_name: What C{network_id} is the hash of, if it was given as a name.
    @ivar durability: C{"full"}: what was published is on the disk before anybody is told; C{"fast"}: it may be lost
        with the power.
    """

    data_directory: Path
    network_id: bytes = DEFAULT_NETWORK_ID
    network_name: str | None = None
    durability: Durability = "full"
    tls: TlsConfig = field(default_factory=TlsConfig)
    iroh: IrohConfig = field(default_factory=IrohConfig)
    topics: tuple[TopicConfig, ...] = ()
    peers: tuple[PeerConfig, ...] = ()

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: C{network_id} or C{durability} cannot be.
        """
        if len(self.network_id) != HASH_LENGTH:
            raise ConfigurationError(f"network_id takes {HASH_LENGTH} bytes, not {len(self.network_id)}.")
        if self.durability not in ("full", "fast"):
            raise ConfigurationError(f'durability is "full" or "fast", not {self.durability!r}.')

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        data_directory: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """
        Read the settings.

        @param path: The file; without it C{p2panda.toml} in the data directory, which need not exist.
        @param data_directory: The data directory, whatever file and environment say.

        @raise ConfigurationError: A setting is wrong; one sentence that names it.
        """
        said = None if data_directory is None else _absolute(data_directory)
        if path is not None:
            file = _absolute(path)
            table = TomlTable.read(file)
            named = _named_directory(table, file)
            return cls._from_table(table, said or named or _default_directory(environ))
        directory = said or _default_directory(environ)
        file = directory / CONFIG_FILE
        if not file.exists():
            return cls(data_directory=directory)
        table = TomlTable.read(file)
        named = _named_directory(table, file)
        if said is None and named not in (None, directory):
            raise table.error("data_directory points elsewhere, but this is read too late for that. Use --data.")
        return cls._from_table(table, directory)

    @classmethod
    def _from_table(cls, table: TomlTable, directory: Path) -> Self:
        """
        Take all settings but C{data_directory} from the file.
        """
        network_name, network_id = table.take("network_id", _network, (None, DEFAULT_NETWORK_ID))
        config = cls(
            data_directory=directory,
            network_id=network_id,
            network_name=network_name,
            durability=table.take("durability", _durability, "full"),
            tls=_tls(table.table("tls")),
            iroh=_iroh(table.table("iroh")),
            topics=tuple(_topic(entry) for entry in table.tables("topic")),
            peers=tuple(_peer(entry, network_id) for entry in table.tables("peer")),
        )
        table.finish()
        for number, topic in enumerate(config.topics):
            earlier = config.topics[:number]
            if topic.id in [other.id for other in earlier]:
                raise table.error(f"[[topic]] number {number + 1} has the same id as an earlier one.")
            if topic.name and topic.name in [other.name for other in earlier]:
                raise table.error(f"[[topic]] number {number + 1} has the same name as an earlier one.")
        return config

    def describe_network(self) -> str:
        """
        @return: The network for a person, with a word that says where the setting came from.
        """
        if self.network_id == DEFAULT_NETWORK_ID:
            return "the default network"
        if self.network_name is not None:
            return f"the network named {self.network_name!r}, id {self.network_id.hex()}"
        return f"the network with id {self.network_id.hex()}"


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(f"{os.fspath(path)} names the home directory of nobody who is known here.") from error


def _default_directory(environ: Mapping[str, str]) -> Path:
    """
    @return: The data directory where neither caller nor file name one.
    """
    return _absolute(environ.get(HOME_VARIABLE) or platformdirs.user_data_path("p2panda_tw", appauthor=False))


def _named_directory(table: TomlTable, file: Path) -> Path | None:
    """
    @return: The data directory that the file names; relative to the file.
    """
    named = table.take("data_directory", _path, None)
    return None if named is None else file.parent / named


def _path(value: object) -> Path:
    if not text(value):
        raise ValueError("must be the path of a directory.")
    try:
        return Path(text(value)).expanduser()
    except RuntimeError:
        raise ValueError("names the home directory of nobody who is known here.") from None


def _durability(value: object) -> Durability:
    if value == "full":
        return "full"
    if value == "fast":
        return "fast"
    raise ValueError(f'must be "full" or "fast", not {value!r}.')


def _network(value: object) -> tuple[str | None, bytes]:
    """
    @return: Name and id; the name is C{None} where the id was given.
    """
    given = text(value)
    if re.fullmatch(r"[0-9a-fA-F]{32,}", given, re.ASCII):
        if len(given) != 2 * HASH_LENGTH:
            raise ValueError(f"looks like hex digits, but has {len(given)} of them; a network id has 64.")
        return None, bytes.fromhex(given)
    if not given:
        raise ValueError("must be 64 hex digits or a name.")
    return given, network_id_of(given)


def _topic_id(value: object) -> Topic:
    try:
        return Topic.from_hex(text(value))
    except ValueError:
        # The wrong value is not repeated: it may be most of a secret.
        raise ValueError('must be 64 hex digits in quotation marks; "p2panda topic new --json" makes one.') from None


def topic_name(value: object) -> str:
    """
    @return: The name.

    @raise ValueError: It cannot be one.
    """
    if len(text(value)) > _MAX_NAME_LENGTH or not text(value).isprintable():
        raise ValueError(f"must be one line of at most {_MAX_NAME_LENGTH} characters.")
    return text(value)


def _form(value: object) -> Form:
    if text(value) not in _FORMS:
        raise ValueError(f'must be "node" or "chat", not {value!r}.')
    return _FORMS[text(value)]


def _ticket(value: object) -> Ticket:
    try:
        return Ticket.decode(text(value))
    except DecodeError as error:
        raise ValueError(f"must be a ticket. {error}") from None


def _listen(given: str) -> ListenAddress:
    try:
        host, port = parse_host_port(given, any_port=True)
        ip_address(host)
    except ValueError:
        raise ValueError(f'must be like "0.0.0.0:4242" or "[::]:4242" (port 0: any), not {given!r}.') from None
    return ListenAddress(host, port)


def _listen_per_family(value: object) -> tuple[ListenAddress, ...]:
    found = one_or_more(_listen)(value)
    if len({":" in address.host for address in found}) < len(found):
        raise ValueError("must be at most one IPv4 and one IPv6 address.")
    return found


def _advertised(given: str) -> TlsAddress:
    try:
        return TlsAddress.parse(given)
    except ValueError as error:
        raise ValueError(f'must be like "example.org:4242" or "[2001:db8::1]:4242", not {given!r}. {error}') from None


def _relay(value: object) -> RelayConfig:
    table = {"url": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not {"url"} <= table.keys() <= {"url", "token"}:
        raise ValueError('must be a list of URLs, or of { url = "https://...", token = "..." }.')
    token = None if "token" not in table else text(table["token"])
    if token is not None and re.fullmatch(r"[!-~]+", token, re.ASCII) is None:
        raise ValueError("must have a token of printable ASCII characters without spaces.")
    try:
        return RelayConfig(address=RelayAddress(text(table["url"])), token=token)
    except ValueError as error:
        raise ValueError(f"must name relays by their URLs. {error}") from None


def _relays(value: object) -> tuple[RelayConfig, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list, such as ["https://relay.example.org/"].')
    return tuple(_relay(item) for item in value)


def _tls(table: TomlTable) -> TlsConfig:
    return TlsConfig(
        enabled=table.take("enabled", boolean, True),
        listen=table.take("listen", one_or_more(_listen), ()),
        advertise=table.take("advertise", one_or_more(_advertised), ()),
    )


def _iroh(table: TomlTable) -> IrohConfig:
    return IrohConfig(
        enabled=table.take("enabled", boolean, None),
        listen=table.take("listen", _listen_per_family, ()),
        relays=table.take("relays", _relays, ()),
    )


def _topic(table: TomlTable) -> TopicConfig:
    return TopicConfig(
        id=table.need("id", _topic_id),
        name=table.take("name", topic_name, ""),
        form=table.take("form", _form, Form.NODE),
    )


def _peer(table: TomlTable, network_id: bytes) -> PeerConfig:
    ticket = table.need("ticket", _ticket)
    if (ticket.network_id or DEFAULT_NETWORK_ID) != network_id:
        raise table.error(f"{table.name('ticket')} is for another network than network_id says.")
    return PeerConfig(ticket=ticket)
