"""
Operations with bodies up to the limit.
"""

from __future__ import annotations

from p2panda_tw.store.limits import LARGE_BODY, MAX_BODY
from tests.store.logs import TOPIC, Log, StoreTestCase


class LargeBodyTests(StoreTestCase):
    """
    Large bodies take another way into the database, and come out the same.
    """

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()
        sizes = (1, LARGE_BODY, LARGE_BODY + 1, 0, 3 * LARGE_BODY + 7, 100, MAX_BODY)
        self.bodies = [bytes([1 + number]) * size for number, size in enumerate(sizes)]
        self.operations = [self.log.append(body or None) for body in self.bodies]
        self.successResultOf(self.store.ingest(TOPIC, self.operations))

    def test_by_log(self) -> None:
        """
        Whoever catches up gets each body as it was received.
        """
        author, log_id = self.log.author, self.log.log_id
        found, after = [], -1
        while after < len(self.operations) - 1:
            page = self.successResultOf(
                self.store.log_page(TOPIC, author, log_id, after, len(self.operations) - 1, limit_bytes=200_000)
            )
            found += page.operations
            after = page.until
        self.assertEqual(found, self.operations)

    def test_by_arrival(self) -> None:
        """
        Whoever reads what came in gets the same.
        """
        found = [operation for _, operation in self.stored()]
        self.assertEqual(found, self.operations)
