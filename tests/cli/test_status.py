"""
What C{p2panda status} prints.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.status import describe


class DescribeTests(SynchronousTestCase):
    """
    Values inside of values, for a person.
    """

    def test_nested(self) -> None:
        """
        Lists and objects are indented, names are words, nothing is harmful to the terminal.
        """
        self.assertEqual(
            list(
                describe(
                    {
                        "running": True,
                        "node_id": "ab",
                        "peers": [],
                        "topics": [{"name": "a\x1b", "bytes": 1234567}, {"name": "", "bytes": 0}],
                        "addresses": ["tls 1", "tls 2"],
                    }
                )
            ),
            [
                "running  yes",
                "node id  ab",
                "peers    -",
                "topics",
                "  name   a␛",
                "  bytes  1,234,567",
                "",
                "  name   -",
                "  bytes  0",
                "addresses",
                "  tls 1",
                "  tls 2",
            ],
        )
