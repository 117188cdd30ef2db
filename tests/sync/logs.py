"""
What tests of sync need of a store: logs in memory, without threads and Deferreds, by the rules of core. And a way to make
operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from blake3 import blake3

from p2panda_tw.core.extensions import ForeignLog, NodeExtensions, check_form
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey, VerifyingKey
from p2panda_tw.core.logs import LogHeights, LogRanges
from p2panda_tw.core.operation import (
    Header,
    Operation,
    OperationError,
    RawOperation,
    build_header,
    decode_header,
    validate_operation,
)
from p2panda_tw.core.stored import Fork, Gap, Heights, Ingested, LogPage, Refusal, StoredOperation, StoredPage
from p2panda_tw.core.topic import Form, LogId, Topic
from p2panda_tw.errors import DecodeError

TOPIC = Topic(bytes(range(32)))


def key(name: str) -> SigningKey:
    """
    @return: The identity of this name.
    """
    return SigningKey(blake3(b"tests/sync/" + name.encode()).digest())


class Log:
    """
    One author writing.
    """

    def __init__(self, name: str, form: Form = Form.NODE, topic: Topic = TOPIC) -> None:
        self.signing_key = key(name)
        self.author = self.signing_key.verifying_key
        self.form = form
        self.topic = topic
        self.headers: list[Header] = []

    def write(self, body: bytes | None = b"a message", *, prune: bool = False) -> RawOperation:
        """
        Append an operation.
        """
        extensions = None
        if self.form is Form.NODE:
            extensions = NodeExtensions(self.topic.log_id(), 1_783_382_400_000_000 + len(self.headers), prune).encode()
        header = build_header(
            self.signing_key,
            body=body,
            seq_num=len(self.headers),
            backlink=self.headers[-1].hash if self.headers else None,
            extensions=extensions,
        )
        self.headers.append(header)
        return RawOperation(header.raw, body)

    def write_many(self, count: int, body: bytes = b"a message") -> list[RawOperation]:
        """
        Append several.
        """
        return [self.write(body) for _ in range(count)]


class Logs:
    """
    The logs of one topic.

    @ivar arrivals: Everything stored, in order of arrival.
    @ivar counted: How often each operation (by id) was given to L{ingest}.
    """

    def __init__(self, form: Form = Form.NODE, topic: Topic = TOPIC, log_id: LogId | None = None) -> None:
        """
        @param log_id: Store under this one instead of the form's.
        """
        self.form = form
        self.topic = topic
        self.log_id = form.log_id(topic) if log_id is None else log_id
        self.arrivals: list[StoredOperation] = []
        self.counted: Counter[Hash] = Counter()
        self.verify = True
        self._by_position: dict[tuple[VerifyingKey, int], StoredOperation] = {}
        self._heights: dict[VerifyingKey, int] = {}
        self._first: dict[VerifyingKey, int] = {}
        self._waiting: dict[tuple[VerifyingKey, int], Operation] = {}
        self._listeners: dict[int, Callable[[Sequence[StoredOperation]], None]] = {}

    @property
    def ids(self) -> set[Hash]:
        """
        What is stored.
        """
        return {stored.operation.id for stored in self._by_position.values()}

    def heights(self) -> Heights:
        """
        As the store's.
        """
        heights: LogHeights = {author: {self.log_id: height} for author, height in self._heights.items()}
        return Heights(heights, len(self.arrivals))

    def range_size(self, ranges: LogRanges) -> tuple[int, int]:
        """
        As the store's.
        """
        count = size = 0
        for author, logs in ranges.items():
            for after, until in logs.values():
                for seq_num in range(-1 if after is None else after, until):
                    stored = self._by_position.get((author, seq_num + 1))
                    if stored is not None:
                        count += 1
                        size += len(stored.operation.header.raw) + stored.operation.header.payload_size
        return count, size

    def log_page(self, author: VerifyingKey, log_id: LogId, after: int | None, until: int, limit: int) -> LogPage:
        """
        As the store's.
        """
        found: list[RawOperation] = []
        seq_num = max(-1 if after is None else after, self._first.get(author, 0) - 1)
        while seq_num < until and len(found) < limit:
            seq_num += 1
            stored = self._by_position.get((author, seq_num))
            if stored is not None:
                found.append(stored.operation.raw)
        return LogPage(found, seq_num)

    def page(self, after: int, limit: int = 256) -> StoredPage:
        """
        As the store's.
        """
        found = [stored for stored in self.arrivals[after : after + limit] if self._is_kept(stored)]
        return StoredPage(found, min(after + limit, len(self.arrivals)), len(self.arrivals))

    def _is_kept(self, stored: StoredOperation) -> bool:
        return (stored.operation.author, stored.operation.seq_num) in self._by_position

    def listen(self, callback: Callable[[Sequence[StoredOperation]], None]) -> Callable[[], None]:
        """
        As the store's.
        """
        number = max(self._listeners, default=0) + 1
        self._listeners[number] = callback
        return lambda: self._listeners.pop(number, None) and None

    def ingest(self, operations: Sequence[RawOperation]) -> Ingested:
        """
        As the store's, with the rules of docs/operations.md that matter to sync.
        """
        outcome = _Outcome()
        new: list[StoredOperation] = []
        for raw in operations:
            self._ingest_one(raw, outcome, new)
        for author, seq_num in sorted(self._waiting):
            height = self._heights.get(author, -1)
            gap = Gap(author=author, log_id=self.log_id, expected=height + 1, found=seq_num)
            if not any(known.author == author for known in outcome.gaps):
                outcome.gaps.append(gap)
        if new:
            for callback in list(self._listeners.values()):
                callback(new)
        return Ingested(
            operations=new,
            known=outcome.known,
            gaps=outcome.gaps,
            forks=outcome.forks,
            refused=outcome.refused,
        )

    def _ingest_one(self, raw: RawOperation, outcome: _Outcome, new: list[StoredOperation]) -> None:
        try:
            header = decode_header(raw.header, verify=self.verify)
            prune = check_form(header, self.form, self.topic)
            validate_operation(header, raw.body)
        except ForeignLog as error:
            outcome.refused.append(Refusal(reason=str(error), fatal=False))
            return
        except DecodeError as error:
            outcome.refused.append(Refusal(reason=str(error), fatal=True))
            return
        except OperationError as error:
            outcome.refused.append(Refusal(reason=str(error), fatal=False))
            return
        self.counted[header.hash] += 1
        author, seq_num = header.verifying_key, header.seq_num
        stored = self._by_position.get((author, seq_num))
        height = self._heights.get(author, -1)
        if stored is not None:
            if stored.operation.id == header.hash:
                outcome.known += 1
            else:
                outcome.forks.append(
                    Fork(
                        author=author,
                        log_id=self.log_id,
                        seq_num=seq_num,
                        kept=stored.operation.id,
                        refused=header.hash,
                    )
                )
        elif seq_num == height + 1 or (prune and seq_num > height):
            self._store(Operation(header, raw.body), prune, new)
        elif seq_num > height:
            self._waiting[author, seq_num] = Operation(header, raw.body)
        else:
            outcome.refused.append(Refusal(reason="It was pruned.", fatal=False))

    def _store(self, operation: Operation, prune: bool, new: list[StoredOperation]) -> None:
        author = operation.author
        if prune:
            self.prune(author, operation.seq_num)
        while True:
            stored = StoredOperation(len(self.arrivals) + 1, self.log_id, operation)
            self.arrivals.append(stored)
            new.append(stored)
            self._by_position[author, operation.seq_num] = stored
            self._heights[author] = operation.seq_num
            self._first.setdefault(author, operation.seq_num)
            follower = self._waiting.pop((author, operation.seq_num + 1), None)
            if follower is None:
                return
            operation = follower

    def prune(self, author: VerifyingKey, before: int) -> None:
        """
        Delete what is before a position of a log.
        """
        for seq_num in range(self._first.get(author, 0), before):
            self._by_position.pop((author, seq_num), None)
        self._first[author] = before


class _Outcome:
    def __init__(self) -> None:
        self.known = 0
        self.gaps: list[Gap] = []
        self.forks: list[Fork] = []
        self.refused: list[Refusal] = []
