# -*- test-case-name: tests.transport.test_listening -*-
"""
Listening at several addresses on one port, whatever of IPv4 and IPv6 the machine has.

The wildcard C{::} goes first. Where it takes IPv4, too (Linux, macOS), C{0.0.0.0} on the same port is then taken by
ourselves, which is fine.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from typing_extensions import override

from p2panda_tw.endpoint.addresses import format_host_port, parse_host_port
from p2panda_tw.errors import ConfigurationError

__all__ = ["EVERYWHERE", "Listening", "parse_listen"]

EVERYWHERE: Final = ("::", "0.0.0.0")

_BACKLOG: Final = 256
_TRIES: Final = 10
"""
Random ports to try until one is free in both families. A guess.
"""


def parse_listen(wanted: Sequence[str | tuple[str, int]], key: str) -> list[tuple[str, int]]:
    """
    @param wanted: Texts like C{0.0.0.0:4242} or C{[::]:0}, or pairs of host and port.
    @param key: The setting, for the error.

    @raise ConfigurationError: One of them is no IP address with a port.
    """
    found = []
    for one in wanted:
        try:
            host, port = parse_host_port(one, any_port=True) if isinstance(one, str) else one
            found.append((str(ip_address(host)), port))
        except ValueError as error:
            raise ConfigurationError(f"{key}: {one!r} is no IP address with a port, such as 0.0.0.0:4242.") from error
    return found


class Listening:
    """
    The ports that we listen at.

    @ivar bound: Their hosts and ports.
    """

    def __init__(self) -> None:
        self.bound: list[tuple[str, int]] = []
        self._ports: list[IListeningPort] = []

    def start(self, reactor: Any, factory: IProtocolFactory, wanted: Sequence[tuple[str, int]], key: str) -> None:
        """
        Listen at all of C{wanted}. Port 0 stands for one free port, the same for all.

        @param reactor: Provides C{IReactorTCP}.
        @param key: The setting, for the error.

        @raise ConfigurationError: One of them is taken or cannot be.
        """
        ordered = sorted(wanted, key=lambda pair: pair[0] != "::")
        for tries_left in reversed(range(_TRIES)):
            try:
                self._start(reactor, factory, ordered)
                return
            except CannotListenError as error:
                self._abandon()
                random = any(port == 0 for _, port in wanted)
                if not (random and tries_left and _number(error) == errno.EADDRINUSE):
                    raise ConfigurationError(_sentence(error, key)) from error

    def _start(self, reactor: Any, factory: IProtocolFactory, ordered: Sequence[tuple[str, int]]) -> None:
        hosts = [host for host, _ in ordered]
        chosen = 0
        for host, port in ordered:
            try:
                listening = reactor.listenTCP(port or chosen, factory, backlog=_BACKLOG, interface=host)
            except CannotListenError as error:
                number = _number(error)
                covered = host == "0.0.0.0" and number == errno.EADDRINUSE and ("::", port or chosen) in self.bound
                if covered:
                    self.bound.append((host, port or chosen))
                    continue
                if host == "::" and "0.0.0.0" in hosts and number != errno.EADDRINUSE:
                    continue  # no IPv6 here
                raise
            self._ports.append(listening)
            actual = listening.getHost().port
            if not port:
                chosen = actual
            self.bound.append((host, actual))

    def take(self) -> list[IListeningPort]:
        """
        @return: The ports, to be stopped. Afterwards there are none.
        """
        ports, self._ports, self.bound = self._ports, [], []
        return ports

    def _abandon(self) -> None:
        for port in self.take():
            port.stopListening()

    @override
    def __repr__(self) -> str:
        return f"<Listening at {', '.join(format_host_port(host, port) for host, port in self.bound) or 'nothing'}>"


def _number(error: CannotListenError) -> int | None:
    number: int | None = getattr(error.socketError, "errno", None)
    return number


def _sentence(error: CannotListenError, key: str) -> str:
    where = format_host_port(str(error.interface or "0.0.0.0"), int(error.port))
    if _number(error) == errno.EADDRINUSE:
        return f"{key}: port {error.port} is in use; end the program that listens at {where}, or set another port."
    if _number(error) == errno.EACCES:
        return f"{key}: this user may not listen at {where}; set a port above 1023."
    if _number(error) == errno.EADDRNOTAVAIL:
        return f"{key}: {error.interface} is no address of this machine; set one of its own, or 0.0.0.0 for all."
    return f"{key}: cannot listen at {where}: {error.socketError}."
