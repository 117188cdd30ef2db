"""
What gets into the store and what does not: the table in docs/operations.md, section 6, gaps, publishing.
"""

from __future__ import annotations

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.logs import MAX_SEQ_NUM
from p2panda_tw.core.operation import RawOperation
from p2panda_tw.core.stored import Fork, Gap
from p2panda_tw.core.topic import Form
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.limits import MAX_BODY
from tests.store.logs import NOW_US, OTHER_TOPIC, OWN_KEY, TOPIC, Log, StoreTestCase, decoded, seq_nums


class OutcomeTests(StoreTestCase):
    """
    One test per row of the table.
    """

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()

    def assert_refused(self, operation: RawOperation, words: str, *, fatal: bool = False) -> None:
        """
        It is refused alone, with these words, and nothing changes.
        """
        before = (self.heights(), self.stored())
        result = self.ingest(operation)
        self.assertEqual((result.operations, result.known, result.gaps, result.forks), ([], 0, [], []))
        [refusal] = result.refused
        self.assertIn(words, refusal.reason)
        self.assertEqual(refusal.fatal, fatal)
        self.assertEqual((self.heights(), self.stored()), before)

    def test_next(self) -> None:
        """
        The next operation of a log is stored, as received, with the next arrival number.
        """
        operations = self.log.extend(3)
        result = self.ingest(*operations)
        self.assertEqual([stored.arrival for stored in result.operations], [1, 2, 3])
        self.assertEqual({stored.log_id for stored in result.operations}, {TOPIC.log_id()})
        self.assertEqual((result.known, result.gaps, result.forks, result.refused), (0, [], [], []))
        self.assertEqual(self.stored(), list(enumerate(operations, 1)))
        self.assertEqual(self.heights(), {self.log.author: 2})

    def test_many(self) -> None:
        """
        A hundred and twenty-eight operations in a row are stored, however they are cut into batches.
        """
        operations = self.log.extend(128)
        for start in range(0, 128, 13):
            self.ingest(*operations[start : start + 13])
        self.assertEqual(self.stored(), list(enumerate(operations, 1)))

    def test_known(self) -> None:
        """
        An operation that is there already is no error and is not stored twice, with or without its body.
        """
        operations = self.log.extend(3)
        self.ingest(*operations)
        result = self.ingest(*operations, RawOperation(operations[1].header, None))
        self.assertEqual((result.operations, result.known), ([], 4))
        self.assertEqual(len(self.stored()), 3)

    def test_known_in_batch(self) -> None:
        """
        The same operation twice in a batch is stored once.
        """
        operation = self.log.append()
        result = self.ingest(operation, operation)
        self.assertEqual((seq_nums(result), result.known), ([0], 1))

    def test_known_with_wrong_body(self) -> None:
        """
        A known operation with a wrong body is refused: the body is looked at first.
        """
        operation = self.log.append()
        self.ingest(operation)
        self.assert_refused(RawOperation(operation.header, b"other"), "not the one")

    def test_body_not_restored(self) -> None:
        """
        An operation that was stored without its body stays so when the body comes later.
        """
        operation = self.log.append()
        self.ingest(RawOperation(operation.header, None))
        self.assertEqual(self.ingest(operation).known, 1)
        self.assertEqual(self.stored(), [(1, RawOperation(operation.header, None))])

    def test_gap(self) -> None:
        """
        An operation ahead of its log is put aside, reported as a gap, and not stored.
        """
        operations = self.log.extend(5)
        result = self.ingest(operations[0], operations[3], operations[4])
        self.assertEqual(seq_nums(result), [0])
        self.assertEqual(result.gaps, [Gap(author=self.log.author, log_id=self.log.log_id, expected=1, found=3)])
        self.assertEqual(self.heights(), {self.log.author: 0})

    def test_beginning_missing(self) -> None:
        """
        The same for a log of which nothing is known.
        """
        operations = self.log.extend(2)
        result = self.ingest(operations[1])
        self.assertEqual(result.gaps, [Gap(author=self.log.author, log_id=self.log.log_id, expected=0, found=1)])
        self.assertEqual((self.heights(), self.stored()), ({}, []))

    def test_begins_at_prune_point(self) -> None:
        """
        A log can begin at a prune point.
        """
        self.log.extend(4)
        prune = self.log.append(prune=True)
        after = self.log.append()
        result = self.ingest(prune, after)
        self.assertEqual(seq_nums(result), [4, 5])
        self.assertEqual(self.heights(), {self.log.author: 5})

    def test_prune(self) -> None:
        """
        A prune point deletes what was before it in its log, and nothing else.
        """
        other = Log(3)
        operations = self.log.extend(4)
        self.ingest(*operations, other.append())
        prune = self.log.append(b"rest", prune=True)
        self.assertEqual(seq_nums(self.ingest(prune)), [4])
        self.assertEqual(self.stored(), [(5, other.operations[0]), (6, prune)])
        self.assertEqual(self.heights(), {self.log.author: 4, other.author: 0})

    def test_prune_ahead(self) -> None:
        """
        A prune point ahead of its log is taken without what is missing before it.
        """
        operations = self.log.extend(7)
        prune = self.log.append(prune=True)
        self.ingest(*operations[:3], operations[5])
        result = self.ingest(prune)
        self.assertEqual((seq_nums(result), result.gaps), ([7], []))
        self.assertEqual(self.stored(), [(4, prune)])
        self.assertEqual(seq_nums(self.ingest(self.log.append())), [8])

    def test_prune_in_same_batch(self) -> None:
        """
        What a batch brings and prunes is reported, and is gone afterwards.
        """
        operations = self.log.extend(3)
        prune = self.log.append(prune=True)
        self.assertEqual(seq_nums(self.ingest(*operations, prune)), [0, 1, 2, 3])
        self.assertEqual(self.stored(), [(4, prune)])

    def test_old_after_prune(self) -> None:
        """
        An operation from before a prune point is refused.
        """
        operations = self.log.extend(3)
        self.ingest(*operations, self.log.append(prune=True))
        self.assert_refused(operations[1], "prune point at 3")

    def test_first_after_prune(self) -> None:
        """
        So is another first operation of that log.
        """
        self.log.extend(1)
        self.ingest(self.log.append(prune=True))
        self.assert_refused(self.log.make(0, None, b"again"), "prune point at 1")

    def test_fork(self) -> None:
        """
        Another operation for a position that is taken is a fork: the first one stays.
        """
        operations = self.log.extend(3)
        self.ingest(*operations)
        fork = self.log.make(1, self.log.ids[0], b"other")
        result = self.ingest(fork)
        self.assertEqual((result.operations, result.known, result.refused), ([], 0, []))
        self.assertEqual(
            result.forks,
            [
                Fork(
                    author=self.log.author,
                    log_id=self.log.log_id,
                    seq_num=1,
                    kept=self.log.ids[1],
                    refused=Hash.of(fork.header),
                )
            ],
        )
        self.assertEqual(self.stored(), list(enumerate(operations, 1)))

    def test_fork_at_tip(self) -> None:
        """
        The same at the tip, and when both come in one batch.
        """
        first = self.log.append()
        fork = self.log.make(0, None, b"other")
        result = self.ingest(first, fork)
        self.assertEqual((seq_nums(result), [fork.seq_num for fork in result.forks]), ([0], [0]))

    def test_fork_with_prune_flag(self) -> None:
        """
        Unlike upstream, a prune flag opens no position that is taken: it lies above the tip, or it is refused.
        """
        operations = self.log.extend(3)
        self.ingest(*operations)
        result = self.ingest(self.log.make(2, self.log.ids[1], b"other", prune=True))
        self.assertEqual((result.operations, [fork.seq_num for fork in result.forks]), ([], [2]))
        self.assertEqual(len(self.stored()), 3)

    def test_forged_fork(self) -> None:
        """
        Nobody can make an author look like forking: what is not signed by him is no operation.
        """
        self.ingest(self.log.append())
        other = self.log.make(0, None, b"other")
        forged = bytearray(other.header)
        forged[40] ^= 1
        self.assert_refused(RawOperation(bytes(forged), other.body), "signature", fatal=True)

    def test_wrong_backlink(self) -> None:
        """
        An operation that follows another one than the stored tip is refused.
        """
        self.ingest(self.log.append())
        self.assert_refused(self.log.make(1, Hash.of(b"elsewhere")), "does not follow")

    def test_wrong_body(self) -> None:
        """
        An operation with another body than its header says is refused; the session may go on.
        """
        operation = self.log.append()
        self.assert_refused(RawOperation(operation.header, b"hellO"), "not the one")
        self.assert_refused(RawOperation(operation.header, b"hello!"), "not the one")
        self.assertEqual(seq_nums(self.ingest(operation)), [0])

    def test_empty_body(self) -> None:
        """
        A body of no bytes is not the same as no body, and never right.
        """
        operation = self.log.append(None)
        self.assert_refused(RawOperation(operation.header, b""), "not the one")
        self.assertEqual(seq_nums(self.ingest(operation)), [0])

    def test_huge_body(self) -> None:
        """
        A body above the limit is refused by name; the session goes on.
        """
        self.assert_refused(self.log.append(b"x" * (MAX_BODY + 1)), str(MAX_BODY))

    def test_wrong_signature(self) -> None:
        """
        An operation that its author did not sign is worse than a wrong one: no honest node passes it on.
        """
        operation = self.log.append()
        forged = operation.header[:50] + bytes([operation.header[50] ^ 1]) + operation.header[51:]
        self.assert_refused(RawOperation(forged, operation.body), "signature", fatal=True)

    def test_garbage(self) -> None:
        """
        So are bytes that are no operation.
        """
        self.assert_refused(RawOperation(b"garbage", None), "", fatal=True)

    def test_nothing_after_garbage(self) -> None:
        """
        What came before garbage in a batch is stored, what comes after it is not looked at.
        """
        operations = self.log.extend(2)
        result = self.ingest(operations[0], RawOperation(b"garbage", None), operations[1])
        self.assertEqual((seq_nums(result), len(result.refused)), ([0], 1))

    def test_other_form(self) -> None:
        """
        An operation in another form than the topic's is fatal, too.
        """
        self.assert_refused(Log(form=Form.CHAT).append(), "extensions", fatal=True)

    def test_foreign_log(self) -> None:
        """
        An operation of another topic is refused, and prunes nothing here; the session goes on.
        """
        self.ingest(*self.log.extend(2))
        foreign = self.log.make(2, self.log.ids[1], prune=True, topic=OTHER_TOPIC)
        self.assert_refused(foreign, "another topic")

    def test_foreign_and_forged(self) -> None:
        """
        Only what is signed is taken for an operation of another topic.
        """
        foreign = self.log.make(0, None, topic=OTHER_TOPIC)
        forged = foreign.header[:50] + bytes([foreign.header[50] ^ 1]) + foreign.header[51:]
        self.assert_refused(RawOperation(forged, foreign.body), "signature", fatal=True)

    def test_payload_of_prune_checked_first(self) -> None:
        """
        A prune point with a wrong body deletes nothing.
        """
        self.ingest(*self.log.extend(2))
        prune = self.log.append(b"rest", prune=True)
        self.assert_refused(RawOperation(prune.header, b"tampered"), "not the one")

    def test_last_position(self) -> None:
        """
        The last position that a log can have is taken; nothing can follow it.
        """
        last = self.log.make(MAX_SEQ_NUM, Hash.of(b"before"), prune=True)
        self.assertEqual(seq_nums(self.ingest(last)), [MAX_SEQ_NUM])
        self.assertEqual(self.heights(), {self.log.author: MAX_SEQ_NUM})
        self.assertEqual(self.ingest(last).known, 1)

    def test_unknown_topic(self) -> None:
        """
        Operations for a topic that was not added are the caller's mistake.
        """
        self.failureResultOf(self.store.ingest(OTHER_TOPIC, [Log(topic=OTHER_TOPIC).append()]), LocalProtocolError)

    def test_author_in_two_topics(self) -> None:
        """
        One author's logs in two topics of the chat form, which share their log id, are two logs.
        """
        topics = [TOPIC, OTHER_TOPIC]
        store = self.open_store()
        for topic in topics:
            self.successResultOf(store.add_topic(topic, Form.CHAT))
            self.ingest(Log(topic=topic, form=Form.CHAT).append(topic.raw), topic=topic, store=store)
        for topic in topics:
            [(arrival, operation)] = self.stored(topic, store)
            self.assertEqual((arrival, operation.body), (1, topic.raw))
            self.assertEqual(self.successResultOf(store.heights(topic)).heights, {Log(topic=topic).author: {1: 0}})


class GapTests(StoreTestCase):
    """
    Operations that came too early.
    """

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()

    def test_closed_in_batch(self) -> None:
        """
        In whatever order a batch has the operations of a log, all are stored, in the order of the log.
        """
        operations = self.log.extend(5)
        result = self.ingest(*[operations[at] for at in (4, 2, 0, 3, 1)])
        self.assertEqual((seq_nums(result), result.gaps), ([0, 1, 2, 3, 4], []))

    def test_closed_later(self) -> None:
        """
        What waited is stored, and reported, with the batch that closes the gap.
        """
        operations = self.log.extend(6)
        self.ingest(operations[0], operations[2], operations[3])
        self.ingest(operations[5])
        result = self.ingest(operations[1])
        self.assertEqual(seq_nums(result), [1, 2, 3])
        self.assertEqual(result.gaps, [Gap(author=self.log.author, log_id=self.log.log_id, expected=4, found=5)])
        self.assertEqual(seq_nums(self.ingest(operations[4])), [4, 5])

    def test_sent_again(self) -> None:
        """
        An operation that waits and comes again is stored once.
        """
        operations = self.log.extend(3)
        self.ingest(operations[2])
        self.assertEqual(len(self.ingest(operations[2]).gaps), 1)
        result = self.ingest(*operations)
        self.assertEqual((seq_nums(result), result.known, result.gaps), ([0, 1, 2], 1, []))

    def test_forged_does_not_wait(self) -> None:
        """
        Only what its author signed waits.
        """
        operations = self.log.extend(2)
        forged = operations[1].header[:50] + bytes([operations[1].header[50] ^ 1]) + operations[1].header[51:]
        self.assertTrue(self.ingest(RawOperation(forged, operations[1].body)).refused[0].fatal)
        self.assertEqual(seq_nums(self.ingest(operations[0])), [0])

    def test_waiting_on_other_branch(self) -> None:
        """
        If what waited turns out to follow another operation, it is refused then.
        """
        self.log.extend(2)
        self.ingest(self.log.operations[1])
        result = self.ingest(self.log.make(0, None, b"other branch"))
        self.assertEqual((seq_nums(result), [refusal.seq_num for refusal in result.refused]), ([0], [1]))

    def test_gap_before_own(self) -> None:
        """
        Our own operations come back from others after the store was lost, in any order.
        """
        own = Log(1)
        operations = own.extend(3)
        self.ingest(operations[2])
        self.assertEqual(seq_nums(self.ingest(*operations[:2])), [0, 1, 2])
        self.assertEqual(self.publish().operation.seq_num, 3)


class PublishTests(StoreTestCase):
    """
    Operations of our own.
    """

    def test_forged_operations(self) -> None:
        """
        What is published continues our log, is signed by us, and carries the time.
        """
        stored = [self.publish(b"one"), self.publish(None), self.publish(b"")]
        headers = [decoded(operation) for _, operation in self.stored()]
        self.assertEqual([entry.operation.header for entry in stored], headers)
        self.assertEqual([header.seq_num for header in headers], [0, 1, 2])
        self.assertEqual([header.backlink for header in headers], [None, headers[0].hash, headers[1].hash])
        self.assertEqual({header.verifying_key for header in headers}, {OWN_KEY.verifying_key})
        self.assertEqual([operation.body for _, operation in self.stored()], [b"one", None, None])
        self.assertEqual([entry.arrival for entry in stored], [1, 2, 3])
        reader = self.open_store(signing_key=Log(9).signing_key)
        self.successResultOf(reader.add_topic(TOPIC, Form.NODE))
        self.assertEqual(seq_nums(self.ingest(*[raw for _, raw in self.stored()], store=reader)), [0, 1, 2])

    def test_same_as_other_author(self) -> None:
        """
        The bytes are those of any other author of the topic.
        """
        self.publish(b"message 0")
        expected = Log(1).extend(1)
        self.assertEqual(self.stored(), [(1, expected[0])])
        self.assertEqual(decoded(expected[0]).extensions[38:46], NOW_US.to_bytes(8, "big"))

    def test_chat_form(self) -> None:
        """
        In the chat form there are no extensions, and nothing can be pruned.
        """
        store = self.open_store()
        self.successResultOf(store.add_topic(TOPIC, Form.CHAT))
        stored = self.successResultOf(store.publish(TOPIC, b"hello"))
        self.assertEqual((stored.log_id, stored.operation.header.extensions), (1, None))
        self.failureResultOf(store.publish(TOPIC, b"hello", prune=True), LocalProtocolError)

    def test_prune(self) -> None:
        """
        A published prune point deletes what we published before.
        """
        for body in (b"one", b"two"):
            self.publish(body)
        self.publish(b"all of it", prune=True)
        self.assertEqual([(at, operation.body) for at, operation in self.stored()], [(3, b"all of it")])

    def test_after_ingest(self) -> None:
        """
        After our own log came back from another node, it goes on from there.
        """
        operations = Log(1).extend(3)
        self.ingest(*operations)
        stored = self.publish()
        self.assertEqual(stored.operation.seq_num, 3)
        self.assertEqual(stored.operation.header.backlink, Hash.of(operations[2].header))

    def test_log_full(self) -> None:
        """
        At the end of the positions publishing fails in a sentence, and the store goes on.
        """
        self.ingest(Log(1).make(MAX_SEQ_NUM, Hash.of(b"before"), prune=True))
        failure = self.failureResultOf(self.store.publish(TOPIC, b"one more"), LocalProtocolError)
        self.assertIn("full", failure.getErrorMessage())
        self.assertEqual(seq_nums(self.ingest(Log(2).append())), [0])

    def test_huge_body(self) -> None:
        """
        What others would refuse is not published.
        """
        self.failureResultOf(self.store.publish(TOPIC, b"x" * (MAX_BODY + 1)), LocalProtocolError)
        self.assertEqual(self.publish().operation.seq_num, 0)

    def test_unknown_topic(self) -> None:
        """
        Publishing to a topic that was not added is the caller's mistake.
        """
        self.failureResultOf(self.store.publish(OTHER_TOPIC, b"hello"), LocalProtocolError)
