"""
Listening, and the sentences when that fails.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from p2panda_tw.errors import ConfigurationError
from p2panda_tw.transport.listening import EVERYWHERE, Listening, parse_listen
from tests.transport.fake_reactor import FakeReactor

KEY = "[tls] listen"


class Picky(FakeReactor):
    """
    A machine with something missing.
    """

    def __init__(self, **numbers: int) -> None:
        super().__init__()
        self.numbers = numbers

    @override
    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        number = self.numbers.get("v6" if ":" in interface else "v4")
        if number is not None:
            raise CannotListenError(interface, port, OSError(number, "no"))
        return super().listenTCP(port, factory, backlog, interface)


def listen(reactor: FakeReactor, *wanted: tuple[str, int]) -> Listening:
    listening = Listening()
    factory: Any = Factory()
    listening.start(reactor, factory, wanted, KEY)
    return listening


class ListenTests(SynchronousTestCase):
    """
    Several addresses, one port.
    """

    def sentence(self, reactor: FakeReactor, *wanted: tuple[str, int]) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            listen(reactor, *wanted)
        self.assertEqual(reactor.ports, {} if isinstance(reactor, Picky) else reactor.ports)
        return str(caught.exception)

    def test_everywhere(self) -> None:
        """
        A random port is the same for IPv4 and IPv6.
        """
        reactor = FakeReactor()
        listening = listen(reactor, *((host, 0) for host in EVERYWHERE))
        self.assertEqual(listening.bound, [("::", 40_001), ("0.0.0.0", 40_001)])
        self.assertEqual(list(reactor.ports), [("::", 40_001)])

    def test_order_does_not_matter(self) -> None:
        """
        Whichever family is named first.
        """
        reactor = FakeReactor()
        self.assertEqual(listen(reactor, ("0.0.0.0", 4242), ("::", 4242)).bound, [("::", 4242), ("0.0.0.0", 4242)])

    def test_no_ipv6(self) -> None:
        """
        A machine without IPv6 listens on IPv4.
        """
        reactor = Picky(v6=errno.EAFNOSUPPORT)
        self.assertEqual(listen(reactor, *((host, 0) for host in EVERYWHERE)).bound, [("0.0.0.0", 40_001)])

    def test_taken(self) -> None:
        """
        A taken port is named, with what to do.
        """
        reactor = FakeReactor()
        listen(reactor, ("127.0.0.1", 4242))
        self.assertEqual(
            self.sentence(reactor, ("127.0.0.1", 4242)),
            "[tls] listen: port 4242 is in use; end the program that listens at 127.0.0.1:4242, or set another port.",
        )
        self.assertEqual(len(reactor.ports), 1)

    def test_nothing_is_left(self) -> None:
        """
        When one of several fails, none is listened at.
        """
        reactor = FakeReactor()
        listen(reactor, ("127.0.0.2", 4242))
        self.sentence(reactor, ("127.0.0.1", 4242), ("127.0.0.2", 4242))
        self.assertEqual(list(reactor.ports), [("127.0.0.2", 4242)])

    def test_random_port_taken_in_the_other_family(self) -> None:
        """
        A random port that is free in one family only is replaced by another.
        """
        reactor = FakeReactor()
        listen(reactor, ("127.0.0.2", 40_001))
        reactor._next_port = 40_000
        listening = listen(reactor, ("127.0.0.1", 0), ("127.0.0.2", 0))
        self.assertEqual(listening.bound, [("127.0.0.1", 40_002), ("127.0.0.2", 40_002)])

    def test_not_allowed(self) -> None:
        """
        Low ports are for root.
        """
        self.assertEqual(
            self.sentence(Picky(v4=errno.EACCES), ("0.0.0.0", 443)),
            "[tls] listen: this user may not listen at 0.0.0.0:443; set a port above 1023.",
        )

    def test_not_ours(self) -> None:
        """
        An address of another machine.
        """
        self.assertEqual(
            self.sentence(Picky(v4=errno.EADDRNOTAVAIL), ("192.0.2.1", 4242)),
            "[tls] listen: 192.0.2.1 is no address of this machine; set one of its own, or 0.0.0.0 for all.",
        )


class ParseTests(SynchronousTestCase):
    """
    The setting.
    """

    def test_forms(self) -> None:
        """
        Texts and pairs.
        """
        self.assertEqual(
            parse_listen(["0.0.0.0:4242", "[::]:0", ("127.0.0.1", 1)], KEY),
            [("0.0.0.0", 4242), ("::", 0), ("127.0.0.1", 1)],
        )

    def test_wrong(self) -> None:
        """
        A name is no address to listen at.
        """
        for wrong in ("localhost:4242", "4242", "1.2.3.4"):
            with self.assertRaises(ConfigurationError) as caught:
                parse_listen([wrong], KEY)
            self.assertEqual(
                str(caught.exception), f"[tls] listen: {wrong!r} is no IP address with a port, such as 0.0.0.0:4242."
            )
