# -*- test-case-name: tests.store.test_ingest -*-
"""
The rules by which operations get into the store. Everything here happens inside one transaction of the writing thread,
and knows nothing of threads.

A received batch is looked at in three passes: decode, and set apart what is known; check the signatures of the rest,
all at once; then append one by one, by the rules of logs:

  - The operation after the tip, with the tip as its backlink, is stored.
  - One with a prune flag is stored anywhere above the tip, and everything before it is deleted. Unlike upstream, which
    takes prune flags at any position: then two operations could have the same position.
  - One further ahead waits for its predecessor (L{p2panda_tw.store.gaps}).
  - At a position that is there, the same operation is known, another one is a fork: the first stays.
  - What lies before the first that is there was pruned, and is refused.

Known means that exactly these header bytes are stored at that position. They contain the signature, so that it need not
be checked again; the body is outside and is.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2panda_tw.core.extensions import ForeignLog, NodeExtensions, check_form
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, HeaderTooLong, build_header, decode_header
from p2panda_tw.core.identity import SigningKey, VerifyingKey
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.core.operation import Operation, RawOperation
from p2panda_tw.core.stored import Fork, Gap, Ingested, Refusal, StoredOperation
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.store.gaps import Gaps, Waiting
from p2panda_tw.store.heads import Head, Heads
from p2panda_tw.store.limits import MAX_BODY, MAX_LOGS
from p2panda_tw.store.rows import OperationRows
from p2panda_tw.store.topics import OpenTopic
from p2panda_tw.store.verify import body_problem, check_signatures

__all__ = ["Ingest"]


class _Candidate:
    """
    An operation of a batch that is not known yet.

    @ivar prune: Its prune flag; C{None} if it is another topic's.
    """

    __slots__ = ("body", "header", "prune")

    def __init__(self, header: Header, body: bytes | None, prune: bool | None) -> None:
        self.header = header
        self.body = body
        self.prune = prune


class _Report:
    """
    What became of a batch so far.

    @ivar touched: Logs that this batch touched: author to the lowest C{seq_num} that came too early and found no room.
    """

    __slots__ = ("ahead", "forks", "known", "refused", "touched")

    def __init__(self) -> None:
        self.known = 0
        self.forks: list[Fork] = []
        self.refused: list[Refusal] = []
        self.touched: dict[VerifyingKey, int | None] = {}

    def refuse(self, header: Header, reason: str, *, fatal: bool = False) -> None:
        self.refused.append(Refusal(reason=reason, fatal=fatal, author=header.verifying_key, seq_num=header.seq_num))


class Ingest:
    """
    Appends operations to logs, received ones and our own.
    """

    def __init__(self, heads: Heads, gaps: Gaps, rows: OperationRows, signing_key: SigningKey) -> None:
        self._heads = heads
        self._gaps = gaps
        self._rows = rows
        self._signing_key = signing_key
        self._touched: dict[OpenTopic, None] = {}

    def take_touched(self) -> list[OpenTopic]:
        """
        @return: Topics that operations were added to since the last call.
        """
        touched = list(self._touched)
        self._touched.clear()
        return touched

    def batch(self, topic: OpenTopic, raw_operations: Sequence[RawOperation]) -> Ingested:
        """
        Take a batch as it was received.
        """
        report = _Report()
        self._touched[topic] = None
        begin = len(topic.news)
        candidates = self._decode(topic, raw_operations, report)
        headers = [candidate.header for candidate in candidates]
        if self._gaps:
            headers = [header for header in headers if not self._gaps.holds(topic.key, header)]
        forged = {id(header) for header, right in zip(headers, check_signatures(headers), strict=True) if not right}
        for candidate in candidates:
            header = candidate.header
            if id(header) in forged:
                report.refuse(header, "The signature of an operation is wrong.", fatal=True)
                break
            if candidate.prune is None:
                report.refuse(header, "An operation belongs to another topic.")
                continue
            problem = body_problem(header, candidate.body)
            if problem is not None:
                report.refuse(header, problem)
                continue
            self._append(topic, header, candidate.body, candidate.prune, report)
        return Ingested(
            operations=topic.news[begin:],
            known=report.known,
            gaps=self._open_gaps(topic, report),
            forks=report.forks,
            refused=report.refused,
        )

    def _decode(self, topic: OpenTopic, raw_operations: Sequence[RawOperation], report: _Report) -> list[_Candidate]:
        """
        @return: What is not known. Ends at bytes that are no operation: nothing honest follows.
        """
        candidates = []
        for raw in raw_operations:
            prune: bool | None = None
            try:
                header = decode_header(raw.header, verify=False)
                prune = check_form(header, topic.form, topic.topic)
            except ForeignLog:
                pass  # refused once its signature is known to be right
            except HeaderTooLong as error:
                report.refused.append(Refusal(reason=f"{error} Its log is left out.", fatal=False))
                continue
            except DecodeError as error:
                report.refused.append(Refusal(reason=str(error), fatal=True))
                break
            head = self._heads.get(topic, header.verifying_key)
            if head.first <= header.seq_num <= head.tip and self._rows.header(head, header.seq_num) == raw.header:
                problem = body_problem(header, raw.body)
                if problem is None:
                    report.known += 1
                else:
                    report.refuse(header, problem)
                continue
            candidates.append(_Candidate(header, raw.body, prune))
        return candidates

    def _append(self, topic: OpenTopic, header: Header, body: bytes | None, prune: bool, report: _Report) -> None:
        head = self._heads.get(topic, header.verifying_key)
        seq_num = header.seq_num
        if not head.key and topic.logs >= MAX_LOGS:
            report.refuse(header, f"A topic takes operations of at most {MAX_LOGS} authors. Further ones are left out.")
        elif seq_num == head.tip + 1 or (prune and seq_num > head.tip):
            if seq_num and not prune and header.backlink != head.tip_id:
                report.refuse(header, f"Operation {seq_num} does not follow the operation {head.tip} that is stored.")
                return
            self._store(topic, head, header, body, prune)
            if self._gaps:
                report.touched.setdefault(header.verifying_key, None)
                self._close_gap(topic, head, header.verifying_key, report)
        elif seq_num > head.tip:
            kept = self._gaps.put(topic.key, Waiting(header, body))
            lost = report.touched.get(header.verifying_key)
            if not kept and (lost is None or seq_num < lost):
                lost = seq_num
            report.touched[header.verifying_key] = lost
        elif seq_num < head.first:
            report.refuse(header, f"Operation {seq_num} comes after a prune point at {head.first}.")
        else:
            self._compare(topic, head, header, report)

    def _compare(self, topic: OpenTopic, head: Head, header: Header, report: _Report) -> None:
        """
        Something came in for a position that is taken.
        """
        stored = self._rows.header(head, header.seq_num)
        if stored == header.raw:
            report.known += 1
            return
        report.forks.append(
            Fork(
                author=header.verifying_key,
                log_id=topic.log_id,
                seq_num=header.seq_num,
                kept=Hash.of(stored),
                refused=header.hash,
            )
        )

    def _store(
        self, topic: OpenTopic, head: Head, header: Header, body: bytes | None, prune: bool, *, singly: bool = False
    ) -> StoredOperation:
        if not head.key:
            self._heads.begin(head, topic, header.verifying_key)
            topic.logs += 1
            head.first = header.seq_num
        self._heads.move(head, singly=singly)
        before = head.bytes_until
        head.bytes_until = before + len(header.raw) + header.payload_size
        position = head.position(header.seq_num)
        topic.newest += 1
        self._rows.add(topic.places + topic.newest, position, head.bytes_until, header.raw, body)
        head.tip = header.seq_num
        head.tip_id = header.hash
        stored = StoredOperation(topic.newest, topic.log_id, Operation(header, body))
        topic.news.append(stored)
        if prune and header.seq_num > head.first:
            self._rows.delete_operations(head.position(head.first), position - 1)
            head.first = header.seq_num
            head.bytes_before = before
            self._heads.mark(head)
            topic.pruned[header.verifying_key.raw] = header.seq_num
        return stored

    def _close_gap(self, topic: OpenTopic, head: Head, author: VerifyingKey, report: _Report) -> None:
        """
        Store what waited for the operation that was stored last, and so on.
        """
        while (waiting := self._gaps.take(topic.key, author, head.tip + 1)) is not None:
            if waiting.header.backlink != head.tip_id:
                reason = f"Operation {head.tip + 1} does not follow the operation {head.tip} that is stored."
                report.refuse(waiting.header, reason)
                return
            self._store(topic, head, waiting.header, waiting.body, prune=False)
        self._gaps.drop_until(topic.key, author, head.tip)

    def _open_gaps(self, topic: OpenTopic, report: _Report) -> list[Gap]:
        gaps = []
        for author, lost in report.touched.items():
            lowest = self._gaps.lowest(topic.key, author)
            tip = self._heads.get(topic, author).tip
            found = [seq_num for seq_num in (lowest, lost) if seq_num is not None and seq_num > tip]
            if found:
                gaps.append(Gap(author=author, log_id=topic.log_id, expected=tip + 1, found=min(found)))
        return gaps

    def forge(self, topic: OpenTopic, body: bytes | None, timestamp: int, *, prune: bool) -> StoredOperation:
        """
        Make the next operation of our own log.

        @param timestamp: In microseconds since 1970.

        @raise LocalProtocolError: There can be no such operation. Nothing was changed.
        """
        if body is not None and len(body) > MAX_BODY:
            raise LocalProtocolError(f"A body of {len(body)} bytes is too long; at most {MAX_BODY} are possible.")
        if prune and topic.form is Form.CHAT:
            raise LocalProtocolError("Operations in the chat form cannot prune.")
        author = self._signing_key.verifying_key
        head = self._heads.get(topic, author)
        if head.tip >= MAX_SEQ_NUM:
            raise LocalProtocolError("This log is full: it has reached the highest position that there is.")
        extensions = None
        if topic.form is Form.NODE:
            extensions = NodeExtensions(topic.topic.log_id(), timestamp, prune).encode()
        body = body or None
        self._touched[topic] = None
        header = build_header(
            self._signing_key, body=body, seq_num=head.tip + 1, backlink=head.tip_id, extensions=extensions
        )
        stored = self._store(topic, head, header, body, prune, singly=True)
        if self._gaps:
            self._close_gap(topic, head, author, _Report())
        return stored
