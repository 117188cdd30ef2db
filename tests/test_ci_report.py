"""
C{.ci/report.py} reads trial's output: a skip or failure that it overlooks would go unnoticed for good.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import ROOT, WHY_NOT

RULE: Final = "=" * 79
SKIPPED: Final = f"""\
tests.docs.test_pages
  PageTests
    test_links ...                                                    [SKIPPED]

{RULE}
[SKIPPED]
These tests need a checkout around them.

tests.docs.test_pages.PageTests.test_links
tests.docs.test_pages.PageTests.test_index_is_complete
{RULE}
[SKIPPED]
The moon is full.

tests.sync.test_session.SessionTests.test_waves
-------------------------------------------------------------------------------
Ran 10 tests in 0.1s

PASSED (skips=3, successes=7)
"""


class ReportTests(SynchronousTestCase):
    """
    What a run says at its end.
    """

    skip = WHY_NOT

    def report(self, log: str, *arguments: str) -> tuple[int, list[str]]:
        path = Path(self.mktemp())
        path.write_text(log)
        mode, *rest = arguments
        done = subprocess.run(
            [sys.executable, str(ROOT / ".ci" / "report.py"), mode, str(path), *rest],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, [line.strip() for line in done.stdout.splitlines()]

    def test_count(self) -> None:
        """
        The last line has the numbers of the last summary.
        """
        self.assertEqual(self.report(SKIPPED, "count"), (0, ["7 passed, 0 failed, 3 skipped"]))
        log = "FAILED (skips=1, expectedFailures=2, failures=3, errors=4, unexpectedSuccesses=5, successes=6)\n"
        self.assertEqual(self.report(log, "count"), (0, ["8 passed, 12 failed, 1 skipped"]))

    def test_no_summary(self) -> None:
        """
        A run that broke off counts as failed.
        """
        self.assertEqual(self.report("Segmentation fault\n", "count"), (0, ["0 passed, 1 failed, 0 skipped"]))
        self.assertEqual(self.report("Segmentation fault\n", "check"), (1, ["trial came to no end"]))

    def test_listed_skips(self) -> None:
        """
        A skip passes only where the list allows it, under the conditions that hold.
        """
        code, sentences = self.report(SKIPPED, "check", "alone")
        self.assertEqual(
            (code, sentences),
            (
                1,
                ["skipped, but not on the list: tests.sync.test_session.SessionTests.test_waves (The moon is full.)"],
            ),
        )
        code, sentences = self.report(SKIPPED, "check")
        self.assertEqual((code, len(sentences)), (1, 3))

    def test_untold_skips(self) -> None:
        """
        A skip that was counted but cannot be found in the output fails the run.
        """
        code, sentences = self.report("PASSED (skips=1, successes=7)\n", "check")
        self.assertEqual((code, sentences), (1, ["1 skips were counted, but 0 were told"]))

    def test_failures(self) -> None:
        """
        Failed tests fail the run, passed ones do not.
        """
        self.assertEqual(self.report("FAILED (errors=1)\n", "check"), (1, ["tests failed"]))
        self.assertEqual(self.report("PASSED (successes=7)\n", "check"), (0, []))
