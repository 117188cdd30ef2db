"""
A chat in a pipe.
"""

from __future__ import annotations

import io
from datetime import date, datetime

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.plain_view import PlainView
from p2panda_tw.cli.transcript import NewDay, Renamed, Said
from p2panda_tw.core.identity import SigningKey

ANN = SigningKey(bytes(32)).verifying_key


class PlainViewTests(SynchronousTestCase):
    """
    Messages and notices go different ways.
    """

    def test_separate(self) -> None:
        """
        A script that reads messages gets nothing else.
        """
        messages, notices = io.StringIO(), io.StringIO()
        view = PlainView(messages, notices)
        view.introduce(["You are ann."])
        view.show(NewDay(date(2026, 11, 24)))
        view.show(Renamed(time=datetime(2026, 11, 24, 7, 5), author=ANN, before="3b6a27bc", after="ann"))
        view.show(Said(time=datetime(2026, 11, 24, 7, 6), author=ANN, name="ann", text="hi"))
        view.show(Said(time=None, author=ANN, name="ann", text="hi"))
        view.notice("bob is connected.")
        view.changed()
        self.assertEqual(
            messages.getvalue(),
            "--- Tuesday, 24 November 2026 ---\n07:05 * 3b6a27bc is now ann\n07:06 ann: hi\n--:-- ann: hi\n",
        )
        self.assertEqual(notices.getvalue(), "* You are ann.\n* bob is connected.\n")
