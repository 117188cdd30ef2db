"""
Logs to fill a store with, and a store to fill, stepped by hand.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import NodeExtensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.operation import RawOperation, build_header, decode_header
from p2panda_tw.core.stored import Ingested, StoredOperation
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.store.schema import IN_MEMORY
from p2panda_tw.store.service import Store

TOPIC = Topic(bytes(range(32)))
OTHER_TOPIC = Topic(bytes(range(32, 64)))
NOW_US = 1_700_000_000_000_000


def signing_key(number: int) -> SigningKey:
    """
    An identity that is the same in every run.
    """
    return SigningKey(number.to_bytes(2, "big") * 16)


OWN_KEY = signing_key(1)


class Log:
    """
    The log of one author in one topic, as the author has it.
    """

    def __init__(self, author: int = 2, topic: Topic = TOPIC, form: Form = Form.NODE) -> None:
        self.signing_key = signing_key(author)
        self.author = self.signing_key.verifying_key
        self.topic = topic
        self.form = form
        self.log_id = form.log_id(topic)
        self.operations: list[RawOperation] = []
        self.ids: list[Hash] = []

    def make(
        self,
        seq_num: int,
        backlink: Hash | None,
        body: bytes | None = b"hello",
        *,
        prune: bool = False,
        topic: Topic | None = None,
    ) -> RawOperation:
        """
        Sign an operation at any position.
        """
        extensions = None
        if self.form is Form.NODE:
            extensions = NodeExtensions((topic or self.topic).log_id(), NOW_US + seq_num, prune).encode()
        header = build_header(self.signing_key, body=body, seq_num=seq_num, backlink=backlink, extensions=extensions)
        return RawOperation(header.raw, body)

    def append(self, body: bytes | None = b"hello", *, prune: bool = False) -> RawOperation:
        """
        Sign the next one.
        """
        operation = self.make(len(self.operations), self.ids[-1] if self.ids else None, body, prune=prune)
        self.note(operation)
        return operation

    def note(self, operation: RawOperation) -> None:
        """
        Take one that its author has made elsewhere.
        """
        self.operations.append(operation)
        self.ids.append(Hash.of(operation.header))

    def extend(self, count: int) -> list[RawOperation]:
        """
        Sign some more.
        """
        return [self.append(b"message %d" % len(self.operations)) for _ in range(count)]


class StoreTestCase(SynchronousTestCase):
    """
    Has a store in memory that does everything at once, on a clock of its own.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = self.open_store()
        self.successResultOf(self.store.add_topic(TOPIC, Form.NODE))

    def open_store(self, path: str = IN_MEMORY, **options: Any) -> Store:
        """
        Open one that is closed at the end of the test.
        """
        options.setdefault("clock_us", lambda: NOW_US)
        store = Store(self.clock, path, options.pop("signing_key", OWN_KEY), **options)
        self.successResultOf(store.open())
        self.addCleanup(self.close_store, store)
        return store

    def close_store(self, store: Store) -> None:
        """
        Close it, and see that nothing is left.
        """
        self.successResultOf(store.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def ingest(self, *operations: RawOperation, topic: Topic = TOPIC, store: Store | None = None) -> Ingested:
        """
        Hand over a batch.
        """
        result: Ingested = self.successResultOf((store or self.store).ingest(topic, list(operations)))
        return result

    def publish(self, body: bytes | None = b"mine", *, topic: Topic = TOPIC, prune: bool = False) -> StoredOperation:
        """
        Publish something.
        """
        stored: StoredOperation = self.successResultOf(self.store.publish(topic, body, prune=prune))
        return stored

    def heights(self, topic: Topic = TOPIC) -> dict[Any, int]:
        """
        Author to height.
        """
        heights = self.successResultOf(self.store.heights(topic)).heights
        return {author: height for author, logs in heights.items() for height in logs.values()}

    def stored(self, topic: Topic = TOPIC, store: Store | None = None) -> list[tuple[int, RawOperation]]:
        """
        Everything that is there, by arrival, read from the database.
        """
        store = store or self.store
        found: list[tuple[int, RawOperation]] = []
        after = 0
        while True:
            page = self.successResultOf(store.page(topic, after))
            found += [
                (stored.arrival, RawOperation(stored.operation.header.raw, stored.operation.body))
                for stored in page.operations
            ]
            after = page.until
            if page.until == page.newest:
                return found


def seq_nums(ingested: Ingested) -> list[int]:
    """
    The positions of what is new.
    """
    return [stored.operation.seq_num for stored in ingested.operations]


def decoded(operation: RawOperation) -> Any:
    """
    The header of an operation.
    """
    return decode_header(operation.header)
