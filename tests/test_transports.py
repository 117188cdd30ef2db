"""
Tests for L{p2panda_tw.transports}.
"""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.config import Config, IrohConfig, ListenAddress, TlsConfig
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import TlsAddress
from p2panda_tw.transports import bound_ports, free_udp_port, make_transports, missing_transports, usual_addresses


class MakeTransportsTests(SynchronousTestCase):
    """
    The ways that the settings ask for.
    """

    def names(self, *, tls: bool, iroh: bool | None) -> list[str]:
        """
        @return: The transports that are made.
        """
        config = Config(data_directory=Path(self.mktemp()), tls=TlsConfig(enabled=tls), iroh=IrohConfig(enabled=iroh))
        made = make_transports(MemoryReactorClock(), config, SigningKey(bytes(32)), 0, 0)
        return [transport.name for transport in made]

    def test_tls_alone(self) -> None:
        """
        Without iroh there is TLS.
        """
        self.assertEqual(self.names(tls=True, iroh=False), ["tls"])

    def test_not_installed(self) -> None:
        """
        Who has not installed iroh can ask why it is not in use; who has, or does not want it, is not bothered.
        """
        wanted, unwanted = (
            Config(data_directory=Path(self.mktemp()), iroh=IrohConfig(enabled=enabled)) for enabled in (None, False)
        )
        self.assertIn("pip install", missing_transports(wanted, lambda name: None)["iroh"])
        self.assertEqual(missing_transports(wanted, lambda name: name), {})
        self.assertEqual(missing_transports(unwanted, lambda name: None), {})

    def test_kept_port(self) -> None:
        """
        Where the settings leave the port open, the one of the last start is taken again: tickets name it.
        """
        free = ListenAddress("127.0.0.1", 0)
        config = Config(
            data_directory=Path(self.mktemp()), tls=TlsConfig(listen=(free,)), iroh=IrohConfig(enabled=False)
        )
        (tls,) = make_transports(MemoryReactorClock(), config, SigningKey(bytes(32)), 4242, 0)
        self.successResultOf(tls.listen(lambda connection: None, list))
        self.assertEqual(tls.addresses(), [TlsAddress("127.0.0.1", 4242)])
        self.assertEqual(bound_ports([tls]), {"tls": 4242})
        self.assertEqual(usual_addresses(config, 4242), [TlsAddress("127.0.0.1", 4242)])
        self.successResultOf(tls.stop())

    def test_none(self) -> None:
        """
        A node may be told to use no network.
        """
        self.assertEqual(self.names(tls=False, iroh=False), [])

    def test_port_of_somebody_else(self) -> None:
        """
        A UDP port is taken again only if nobody else has it meanwhile.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", 0))
            port = other.getsockname()[1]
            self.assertEqual(free_udp_port(port), 0)
        self.assertEqual(free_udp_port(port), port)
