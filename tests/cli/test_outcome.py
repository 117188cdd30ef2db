"""
How a failed command ends.
"""

from __future__ import annotations

import io
import signal
import sys

import click
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.outcome import Interrupted, report
from p2panda_tw.errors import ConfigurationError, ConnectError, StoreError, StoreLocked


class ReportTests(SynchronousTestCase):
    """
    One sentence, and an exit code that scripts can rely on.
    """

    def reported(self, error: BaseException, *, debug: bool = False) -> tuple[int, str]:
        """
        @return: Exit code, and what was written to stderr.
        """
        saved, sys.stderr = sys.stderr, io.StringIO()
        try:
            return report(error, debug=debug), sys.stderr.getvalue()
        finally:
            sys.stderr = saved

    def test_codes(self) -> None:
        """
        Failure, usage, store and signals have codes of their own.
        """
        self.assertEqual(self.reported(ConnectError("Not there.")), (1, "p2panda: Not there.\n"))
        self.assertEqual(
            self.reported(ConfigurationError("tls.listen is wrong.")), (2, "p2panda: tls.listen is wrong.\n")
        )
        self.assertEqual(self.reported(StoreLocked("Somebody has it.")), (3, "p2panda: Somebody has it.\n"))
        self.assertEqual(self.reported(StoreError("Damaged.")), (3, "p2panda: Damaged.\n"))
        self.assertEqual(self.reported(click.Abort()), (1, ""))
        self.assertEqual(self.reported(KeyboardInterrupt()), (130, ""))
        self.assertEqual(self.reported(Interrupted(signal.SIGTERM)), (143, ""))
        self.assertEqual(self.reported(click.UsageError("No."))[0], 2)

    def test_our_mistake(self) -> None:
        """
        A mistake in the program is one line, too; the traceback comes with --debug.
        """
        code, text = self.reported(KeyError("x"))
        self.assertEqual((code, text.count("\n")), (1, 1))
        self.assertIn("--debug", text)
        try:
            raise KeyError("x")
        except KeyError as error:
            self.assertIn("Traceback", self.reported(error, debug=True)[1])

    def test_files(self) -> None:
        """
        A file that cannot be opened is named.
        """
        self.assertEqual(
            self.reported(FileNotFoundError(2, "No such file or directory", "/nowhere/x")),
            (1, "p2panda: /nowhere/x: No such file or directory.\n"),
        )
