"""
What can be configured of the iroh transport, and how mistakes are told.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import ConfigurationError
from p2panda_tw.transport.iroh.settings import EVERYWHERE, Bind, Relay, parse_bind, parse_relays


class BindTests(SynchronousTestCase):
    """
    Where to listen.
    """

    def test_default(self) -> None:
        """
        Both kinds of IP address, and IPv6 may be missing.
        """
        self.assertEqual(parse_bind(EVERYWHERE), Bind("0.0.0.0:0", "[::]:0", True))

    def test_one_kind(self) -> None:
        """
        A kind that was not asked for is not opened to other machines.
        """
        self.assertEqual(parse_bind(["192.0.2.1:4242"]), Bind("192.0.2.1:4242", "[::1]:0", True))
        self.assertEqual(parse_bind(["[2001:DB8::1]:4242"]), Bind("127.0.0.1:0", "[2001:db8::1]:4242", False))

    def test_wrong(self) -> None:
        """
        A mistake is one sentence that names the key and shows what would be right.
        """
        for texts in (["localhost:1"], ["0.0.0.0"], ["0.0.0.0:70000"], ["0.0.0.0:1", "127.0.0.1:1"], ["[fe80::1%3]:1"]):
            with self.assertRaises(ConfigurationError) as caught:
                parse_bind(texts)
            self.assertTrue(str(caught.exception).startswith("[iroh] listen: "), str(caught.exception))


class RelayTests(SynchronousTestCase):
    """
    Relays.
    """

    def test_last_counts(self) -> None:
        """
        Of two entries for a relay the last one counts.
        """
        url = "https://relay.example/"
        self.assertEqual(parse_relays([(url, None), (url, "token")]), (Relay(url, "token"),))

    def test_token_is_secret(self) -> None:
        """
        A token is not shown.
        """
        self.assertNotIn("sesame", repr(parse_relays([("https://relay.example/", "sesame")])))

    def test_wrong(self) -> None:
        """
        A mistake is one sentence that names the key and not the token.
        """
        for relay in (
            ("relay.example", None),
            ("https://relay.example/", "two\nlines"),
            ("https://relay.example/", ""),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                parse_relays([relay])
            self.assertTrue(str(caught.exception).startswith("[iroh] relays: "), str(caught.exception))
            self.assertNotIn("two\nlines", str(caught.exception))
