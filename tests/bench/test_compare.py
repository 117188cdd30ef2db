"""
Tests for L{p2panda_tw.bench.compare}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.bench.compare import make_rows, ratios, read_figures
from p2panda_tw.errors import LocalProtocolError


class CompareTests(SynchronousTestCase):
    """
    Two programs side by side.
    """

    def test_ratios(self) -> None:
        """
        The medians of the rounds are compared, ours over theirs.
        """
        ours = [{"catch_up": 6000.0, "publish": 2000.0, "latency": latency} for latency in (1.0, 2.0, 9.0)]
        node = {"ops_per_s_from_first": 600.0, "publish_per_s": 500.0, "publish_to_processed_ms_p50": 4.0}
        rows = make_rows(ours, [node] * 3, [{"ops_per_s": 3000.0}] * 3)
        found = ratios(rows)
        del found["figures"]
        self.assertEqual(found, {"catch_up_ratio": 10.0, "publish_ratio": 4.0, "latency_ratio": 0.5})
        self.assertEqual(rows[1].ratio, 2.0)

    def test_reference_did_not_finish(self) -> None:
        """
        A figure that the reference never gave has no ratio.
        """
        rows = make_rows([{"catch_up": 1.0, "publish": 1.0, "latency": 1.0}], [{}], [{}])
        self.assertEqual([row.ratio for row in rows], [None] * 4)
        self.assertIsNone(ratios(rows)["catch_up_ratio"])

    def test_figures(self) -> None:
        """
        Lines that are no JSON are passed over; of two figures of one name the first counts.
        """
        lines = ["warning", '{"a": 1, "n": 5}', "[]", '{"b": 2, "n": 6}']
        self.assertEqual(read_figures(lines, "x"), {"a": 1, "b": 2, "n": 5})
        self.assertRaises(LocalProtocolError, read_figures, ["nothing"], "x")
