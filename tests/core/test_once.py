"""
What is said once.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.once import MAX_CAUSES, MAX_PEERS, OncePerCause


class OnceTests(SynchronousTestCase):
    """
    Each thing is said once.
    """

    def test_once(self) -> None:
        """
        Once per peer and cause, and again after it was put right.
        """
        once = OncePerCause()
        self.assertEqual(
            [
                once.is_news("node", "a"),
                once.is_news("node", "a"),
                once.is_news("node", "b"),
                once.is_news("other", "a"),
            ],
            [True, False, True, True],
        )
        once.forget("node", "a")
        self.assertTrue(once.is_news("node", "a"))

    def test_bounded(self) -> None:
        """
        A peer that invents causes is not heard for ever. Of many peers the one heard of first is forgotten.
        """
        once = OncePerCause()
        self.assertEqual(sum(once.is_news("node", "x" * number) for number in range(1000)), MAX_CAUSES)
        for number in range(MAX_PEERS):
            self.assertTrue(once.is_news(number, "x"))
        self.assertEqual([once.is_news(peer, "x") for peer in (1, MAX_PEERS - 1, "node")], [False, False, True])

    def test_causes_have_no_numbers(self) -> None:
        """
        The same cause with other numbers or ids is the same cause, also when it is put right.
        """
        once = OncePerCause()
        self.assertTrue(once.is_news("node", "A frame of 17 bytes from ab12cd."))
        self.assertFalse(once.is_news("node", "A frame of 99999 bytes from 77."))
        self.assertTrue(once.is_news("node", "A message of 17 bytes."))
        once.forget("node", "A frame of 3 bytes from 5.")
        self.assertTrue(once.is_news("node", "A frame of 17 bytes from ab12cd."))
