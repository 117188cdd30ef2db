"""
Questions about operations: heights, sizes and pages say what a look at every single operation would say.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.logs import LogRange, LogRanges
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Heights, LogPage, StoredPage
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.limits import PAGE_HOLES
from p2panda_tw.store.service import Store
from tests.properties import PROPERTIES
from tests.store.logs import NOW_US, OTHER_TOPIC, OWN_KEY, TOPIC, Log, StoreTestCase, decoded


class HeightsTests(StoreTestCase):
    """
    Where the logs of a topic stand.
    """

    def test_nothing(self) -> None:
        """
        A topic without operations has no heights and arrival number 0.
        """
        self.assertEqual(self.successResultOf(self.store.heights(TOPIC)), Heights({}, 0))

    def test_authors(self) -> None:
        """
        Every author with an operation is listed, in the order of their keys, with the newest arrival number.
        """
        logs = [Log(number) for number in (5, 3, 4)]
        for length, log in enumerate(logs, 1):
            self.ingest(*log.extend(length))
        heights = self.successResultOf(self.store.heights(TOPIC))
        self.assertEqual(
            heights, Heights({log.author: {log.log_id: len(log.operations) - 1} for log in logs}, newest=6)
        )
        self.assertEqual(list(heights.heights), sorted(log.author for log in logs))

    def test_other_topic(self) -> None:
        """
        Operations of one topic do not show in another.
        """
        self.ingest(Log().append())
        self.successResultOf(self.store.add_topic(OTHER_TOPIC, Form.NODE))
        self.assertEqual(self.successResultOf(self.store.heights(OTHER_TOPIC)), Heights({}, 0))

    def test_unknown_topic(self) -> None:
        """
        Asking for a topic that was not added is the caller's mistake.
        """
        self.failureResultOf(self.store.heights(OTHER_TOPIC), LocalProtocolError)


class RangeSizeTests(StoreTestCase):
    """
    How much a catch-up will send (docs/sync.md, section 4: stored header sizes plus the payload sizes of the headers).
    """

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()
        self.ingest(*self.log.extend(10))

    def size(self, after: int | None, until: int, log: Log | None = None) -> tuple[int, int]:
        """
        Of one range.
        """
        log = log or self.log
        ranges: LogRanges = {log.author: {log.log_id: LogRange(after, until)}}
        result: tuple[int, int] = self.successResultOf(self.store.range_size(TOPIC, ranges))
        return result

    def test_whole_and_part(self) -> None:
        """
        A whole log, its parts and an empty part.
        """
        sizes = [len(header) + len(body or b"") for header, body in self.log.operations]
        self.assertEqual(self.size(None, 9), (10, sum(sizes)))
        self.assertEqual(self.size(3, 7), (4, sum(sizes[4:8])))
        self.assertEqual(self.size(0, 0), (0, 0))

    def test_beyond(self) -> None:
        """
        What is not there does not count: beyond the tip, or of an unknown author.
        """
        self.assertEqual(self.size(8, 1000), self.size(8, 9))
        self.assertEqual(self.size(None, 5, Log(7)), (0, 0))

    def test_missing_body(self) -> None:
        """
        A body that is not here counts with the size that the header says.
        """
        log = Log(3)
        header, _ = log.append(b"x" * 1000)
        self.ingest(RawOperation(header, None))
        self.assertEqual(self.size(None, 0, log), (1, len(header) + 1000))

    def test_vector(self) -> None:
        """
        The vector of the specification: two entries, their headers and payloads.
        """
        [first, second] = self.log.operations[:2]
        total = sum(len(operation.header) + decoded(operation).payload_size for operation in (first, second))
        self.assertEqual(self.size(None, 1), (2, total))


class ManyAuthorsTests(StoreTestCase):
    """
    A topic with more authors than one statement looks up.
    """

    def test_heights_and_sizes(self) -> None:
        """
        All of them are listed and counted.
        """
        logs = [Log(number) for number in range(100, 1200)]
        for start in range(0, len(logs), 200):
            self.ingest(*[operation for log in logs[start : start + 200] for operation in log.extend(3)])
        heights = self.successResultOf(self.store.heights(TOPIC)).heights
        self.assertEqual(heights, {log.author: {log.log_id: 2} for log in logs})
        self.assertEqual(list(heights), sorted(heights))
        ranges: LogRanges = {log.author: {log.log_id: LogRange(0, 1)} for log in logs}
        sizes = [len(log.operations[1].header) + len(log.operations[1].body or b"") for log in logs]
        self.assertEqual(self.successResultOf(self.store.range_size(TOPIC, ranges)), (len(logs), sum(sizes)))


class LogPageTests(StoreTestCase):
    """
    Pages of one log, as they are sent in a catch-up.
    """

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()
        self.ingest(*self.log.extend(10))

    def page(self, after: int | None, until: int, **limits: int) -> LogPage:
        """
        One page.
        """
        page: LogPage = self.successResultOf(
            self.store.log_page(TOPIC, self.log.author, self.log.log_id, after, until, **limits)
        )
        return page

    def test_whole(self) -> None:
        """
        A short log comes whole, exactly as received.
        """
        self.assertEqual(self.page(None, 9), LogPage(self.log.operations, 9))

    def test_limits(self) -> None:
        """
        A page ends after so many operations, or so many bytes; one operation comes in any case.
        """
        self.assertEqual(self.page(None, 9, limit_ops=3), LogPage(self.log.operations[:3], 2))
        two = sum(len(header) + len(body or b"") for header, body in self.log.operations[4:6])
        self.assertEqual(self.page(3, 9, limit_bytes=two), LogPage(self.log.operations[4:6], 5))
        self.assertEqual(self.page(3, 9, limit_bytes=1), LogPage(self.log.operations[4:5], 4))

    def test_end(self) -> None:
        """
        Beyond the tip, or of an unknown log, nothing is left to ask for.
        """
        self.assertEqual(self.page(7, 20), LogPage(self.log.operations[8:], 20))
        self.assertEqual(self.page(9, 20), LogPage((), 20))
        self.log = Log(9)
        self.assertEqual(self.page(None, 3), LogPage((), 3))

    def test_pruned(self) -> None:
        """
        Of a pruned log comes what is left of the range.
        """
        prune = self.log.append(prune=True)
        self.ingest(prune, self.log.append())
        self.assertEqual(self.page(None, 11), LogPage(self.log.operations[10:], 11))
        self.assertEqual(self.page(2, 5), LogPage((), 5))

    def test_without_body(self) -> None:
        """
        Operations without a body come without one.
        """
        self.log = Log(3)
        self.ingest(self.log.append(None), self.log.append(b"x"))
        self.assertEqual(self.page(None, 1), LogPage(self.log.operations, 1))


class PageTests(StoreTestCase):
    """
    Pages of a topic in the order of arrival.
    """

    def page(self, after: int, **limits: int) -> StoredPage:
        """
        One page, from the database.
        """
        page: StoredPage = self.successResultOf(self.store.page(TOPIC, after, **limits))
        return page

    def test_order(self) -> None:
        """
        Own and received operations come in the order in which they were stored.
        """
        log = Log()
        self.ingest(*log.extend(2))
        self.publish()
        self.ingest(*log.extend(1))
        page = self.page(1)
        self.assertEqual([stored.arrival for stored in page.operations], [2, 3, 4])
        self.assertEqual([stored.operation.seq_num for stored in page.operations], [1, 0, 2])
        self.assertEqual((page.until, page.newest), (4, 4))

    def test_limits(self) -> None:
        """
        A page ends after so many operations, or so many bytes; one operation comes in any case.
        """
        log = Log()
        self.ingest(*log.extend(6))
        size = sum(len(header) + len(body or b"") for header, body in log.operations[:2])
        for limits, length in (({"limit_ops": 4}, 4), ({"limit_bytes": size}, 2), ({"limit_bytes": 1}, 1)):
            page = self.page(0, **limits)
            self.assertEqual((len(page.operations), page.until, page.newest), (length, length, 6))

    def test_end(self) -> None:
        """
        After the newest there is nothing.
        """
        self.assertEqual(self.page(0), StoredPage((), 0, 0))
        self.ingest(Log().append())
        self.assertEqual(self.page(1), StoredPage((), 1, 1))

    def test_holes(self) -> None:
        """
        What was pruned leaves holes: a page may be empty though more follows, and each page ends in bounded time.
        """
        log = Log()
        while len(log.operations) < PAGE_HOLES + 100:
            self.ingest(*log.extend(500))
        self.ingest(log.append(prune=True))
        newest = len(log.operations)
        first = self.page(0)
        self.assertEqual(first, StoredPage([], PAGE_HOLES, newest))
        second = self.page(first.until)
        self.assertEqual([stored.arrival for stored in second.operations], [newest])
        self.assertEqual((second.until, second.newest), (newest, newest))


class BruteForceTests(SynchronousTestCase):
    """
    Random sequences of batches, prune points and gaps.
    """

    @given(st.data())
    @PROPERTIES
    def test_same_as_scan(self, data: st.DataObject) -> None:
        """
        Heights, sizes and pages are those of a list of everything that was stored and not pruned.
        """
        store = Store(Clock(), ":memory:", OWN_KEY, clock_us=lambda: NOW_US)
        self.successResultOf(store.open())
        self.successResultOf(store.add_topic(TOPIC, Form.NODE))
        model = _Model([Log(number) for number in (2, 3)])
        for _ in range(data.draw(st.integers(1, 8), "batches")):
            batch = model.draw_batch(data)
            result = self.successResultOf(store.ingest(TOPIC, batch))
            self.assertEqual(result.refused, [])
            model.note([(stored.arrival, stored.operation) for stored in result.operations])
        for log in model.logs:
            self.successResultOf(store.ingest(TOPIC, log.operations))  # close all gaps
        heights = self.successResultOf(store.heights(TOPIC))
        page = self.successResultOf(store.page(TOPIC, 0, 1000, 1 << 30))
        left = [(stored.arrival, stored.operation) for stored in page.operations]
        for log in model.logs:
            mine = [operation for _, operation in left if operation.author == log.author]
            self.assertEqual([operation.seq_num for operation in mine], model.expected(log))
            self.assertEqual(heights.heights.get(log.author), {log.log_id: len(log.operations) - 1} if mine else None)
            after = data.draw(st.none() | st.integers(0, 12), "after")
            until = data.draw(st.integers(0, 12), "until")
            inside = [op for op in mine if (-1 if after is None else after) < op.seq_num <= until]
            size = sum(len(op.header.raw) + op.header.payload_size for op in inside)
            ranges = {log.author: {log.log_id: LogRange(after, until)}}
            self.assertEqual(self.successResultOf(store.range_size(TOPIC, ranges)), (len(inside), size))
            log_page = self.successResultOf(store.log_page(TOPIC, log.author, log.log_id, after, until))
            self.assertEqual(log_page.operations or [], [RawOperation(op.header.raw, op.body) for op in inside])
        self.assertEqual(page.newest, heights.newest)
        self.assertEqual([arrival for arrival, _ in left], sorted({arrival for arrival, _ in left}))
        self.successResultOf(store.close())


class OwnLogTests(SynchronousTestCase):
    """
    Our own log, which we write and which may also come back from others.
    """

    @given(st.lists(st.sampled_from(("publish", "prune", "receive", "restart")), max_size=12), st.integers(0, 12))
    @settings(PROPERTIES, max_examples=50)
    def test_same_as_list(self, actions: list[str], after: int) -> None:
        """
        However it came about, what comes next in it, its height and its size are those of a list of its operations.
        """
        path = self.mktemp()
        store = self.open(path)
        log = Log(1)
        first = 0
        for action in ("publish", *actions):
            if action == "restart":
                self.successResultOf(store.close())
                store = self.open(path)
            elif action == "receive":
                self.successResultOf(store.ingest(TOPIC, [log.append()]))
            else:
                prune = action == "prune"
                stored = self.successResultOf(store.publish(TOPIC, b"mine", prune=prune))
                header = stored.operation.header
                self.assertEqual(header.seq_num, len(log.operations))
                self.assertEqual(header.backlink, log.ids[-1] if log.ids else None)
                log.note(stored.operation.raw)
                if prune:
                    first = stored.operation.seq_num
            left = log.operations[first:]
            size = sum(len(operation.header) + len(operation.body or b"") for operation in left)
            heights = self.successResultOf(store.heights(TOPIC)).heights
            self.assertEqual(heights, {log.author: {log.log_id: len(log.operations) - 1}})
            stats: Any = self.successResultOf(store.stats())
            self.assertEqual((stats["operations"], stats["bytes"]), (len(left), size))
            inside = log.operations[max(after + 1, first) :]
            size = sum(len(operation.header) + len(operation.body or b"") for operation in inside)
            ranges = {log.author: {log.log_id: LogRange(after, len(log.operations))}}
            self.assertEqual(self.successResultOf(store.range_size(TOPIC, ranges)), (len(inside), size))
        self.successResultOf(store.close())

    def open(self, path: str) -> Store:
        """
        Open the store, as a node does at each start.
        """
        store = Store(Clock(), path, OWN_KEY, clock_us=lambda: NOW_US)
        self.successResultOf(store.open())
        self.successResultOf(store.add_topic(TOPIC, Form.NODE))
        return store


class _Model:
    """
    Authors who write and prune, and what the store should make of it.
    """

    def __init__(self, logs: list[Log]) -> None:
        self.logs = logs
        self.prunes: dict[Log, int] = dict.fromkeys(logs, 0)
        self.arrivals: set[int] = set()

    def draw_batch(self, data: st.DataObject) -> list[RawOperation]:
        """
        Some new operations, a few old ones, in some order.
        """
        batch: list[RawOperation] = []
        for log in self.logs:
            for _ in range(data.draw(st.integers(0, 4), "new")):
                prune = data.draw(st.integers(0, 5), "prune") == 0
                operation = log.append(data.draw(st.sampled_from([None, b"x", b"y" * 300]), "body"), prune=prune)
                if prune:
                    self.prunes[log] = len(log.operations) - 1
                if data.draw(st.integers(0, 3), "sent") > 0 or prune:
                    batch.append(operation)
            batch = [operation for operation in batch if not self._is_pruned(log, operation)]
        return batch

    def _is_pruned(self, log: Log, operation: RawOperation) -> bool:
        return operation in log.operations and log.operations.index(operation) < self.prunes[log]

    def note(self, stored: list[tuple[int, Any]]) -> None:
        """
        No arrival number comes twice.
        """
        for arrival, _ in stored:
            assert arrival not in self.arrivals
            self.arrivals.add(arrival)

    def expected(self, log: Log) -> list[int]:
        """
        What is left of a log in the end.
        """
        return list(range(self.prunes[log], len(log.operations)))
