"""
Own addresses.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.transport.local_addresses import MAX_OWN_ADDRESSES, interface_hosts, rank_hosts, to_addresses


class RankTests(SynchronousTestCase):
    """
    Best first.
    """

    def test_order(self) -> None:
        """
        Global, private, loopback; IPv4 first in each; what nobody can dial is left out.
        """
        self.assertEqual(
            rank_hosts(
                [
                    "127.0.0.1",
                    "::1",
                    "fe80::1",
                    "169.254.3.4",
                    "192.168.1.5",
                    "fd00::2",
                    "2600::5",
                    "8.8.4.4",
                    "10.0.0.1",
                    "8.8.4.4",
                    "0.0.0.0",
                    "224.0.0.1",
                ]
            ),
            ["8.8.4.4", "2600::5", "192.168.1.5", "10.0.0.1", "fd00::2", "127.0.0.1", "::1"],
        )


class ToAddressesTests(SynchronousTestCase):
    """
    What others are told.
    """

    def told(self, bound: list[tuple[str, int]], *interfaces: str) -> list[str]:
        return [str(address) for address in to_addresses(bound, interfaces)]

    def test_everywhere(self) -> None:
        """
        Who listens everywhere is at every interface, each family at its port.
        """
        self.assertEqual(
            self.told([("::", 4243), ("0.0.0.0", 4242)], "127.0.0.1", "::1", "192.168.1.5"),
            ["192.168.1.5:4242", "127.0.0.1:4242", "[::1]:4243"],
        )

    def test_one_family(self) -> None:
        """
        Who listens on IPv4 alone has no IPv6 address.
        """
        self.assertEqual(self.told([("0.0.0.0", 4242)], "127.0.0.1", "::1"), ["127.0.0.1:4242"])

    def test_one_address(self) -> None:
        """
        Who listens at one address is there alone.
        """
        self.assertEqual(self.told([("127.0.0.1", 4242)], "127.0.0.1", "192.168.1.5"), ["127.0.0.1:4242"])

    def test_many(self) -> None:
        """
        A machine with very many addresses tells some of them, and the loopback interface for its own programs.
        """
        told = self.told([("0.0.0.0", 4242)], *[f"10.0.0.{n}" for n in range(1, 100)], "127.0.0.1")
        self.assertEqual((len(told), told[-1]), (MAX_OWN_ADDRESSES, "127.0.0.1:4242"))


class InterfaceTests(SynchronousTestCase):
    """
    This machine.
    """

    def test_loopback(self) -> None:
        """
        A machine has a loopback interface.
        """
        self.assertIn("127.0.0.1", interface_hosts())
