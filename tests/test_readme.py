"""
The commands of the README are such that C{.ci/run} and a stranger can run them.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import ROOT, WHY_NOT


class ReadmeTests(SynchronousTestCase):
    """
    The first page that anybody reads.
    """

    skip = WHY_NOT

    def setUp(self) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        self.commands = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    def test_one_line_each(self) -> None:
        """
        One line installs and chats, one tests, and then come those of the second person.
        """
        self.assertEqual([command.count("\n") for command in self.commands], [1, 1, 1, 1])

    def test_what_they_do(self) -> None:
        """
        The first command ends in the chat, the second in the tests.
        """
        chat, tests, *second = self.commands
        self.assertTrue(chat.startswith("python3.11 -m venv"))
        self.assertTrue(chat.endswith(".venv/bin/p2panda chat\n"))
        self.assertTrue(tests.endswith(".venv/bin/python -m twisted.trial tests\n"))
        for command in second:
            self.assertIn(" chat TICKET", command)
