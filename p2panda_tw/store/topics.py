# -*- test-case-name: tests.store.test_ingest -*-
"""
The topics as the writing thread knows them: the table of topics, kept in memory whole.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.core.hash import Hash
from p2panda_tw.core.stored import StoredOperation
from p2panda_tw.core.topic import Form, LogId, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.connection import Connection
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.wire.cbor import encode

__all__ = ["ARRIVAL_BITS", "OpenTopic", "Topics", "encode_log_id", "newest_arrival"]

ARRIVAL_BITS: Final = 40
"""
An arrival is stored at C{topic_key << ARRIVAL_BITS | arrival number}.
"""


def encode_log_id(log_id: LogId) -> bytes:
    """
    @return: The log id as the table of logs has it, CBOR.
    """
    return encode(log_id.raw if isinstance(log_id, Hash) else log_id)


def newest_arrival(connection: Connection, topic_key: int) -> int:
    """
    @return: The newest arrival number of a topic, 0 if there is none.
    """
    first = topic_key << ARRIVAL_BITS
    query = "SELECT MAX(place) FROM arrivals WHERE place BETWEEN ? AND ?"
    place: int | None = connection.sql.execute(query, (first, first + (1 << ARRIVAL_BITS) - 1)).fetchone()[0]
    return 0 if place is None else place - first


class OpenTopic:
    """
    One topic.

    @ivar key: Its short name in the database.
    @ivar log_id: The log id of every log in it.
    @ivar encoded_log_id: The same, CBOR.
    @ivar places: Where its arrivals begin.
    @ivar newest: The newest arrival number.
    @ivar logs: How many logs it has.
    @ivar news: What the transaction that is under way has added.
    @ivar pruned: Logs of which it has deleted operations: author to the lowest C{seq_num} that stays.
    """

    __slots__ = (
        "encoded_log_id",
        "form",
        "is_left",
        "key",
        "log_id",
        "logs",
        "name",
        "newest",
        "news",
        "places",
        "pruned",
        "topic",
    )

    def __init__(self, key: int, topic: Topic, form: Form, name: str, is_left: bool, newest: int, logs: int) -> None:
        self.key = key
        self.topic = topic
        self.form = form
        self.name = name
        self.is_left = is_left
        self.newest = newest
        self.logs = logs
        self.log_id = form.log_id(topic)
        self.encoded_log_id = encode_log_id(self.log_id)
        self.places = key << ARRIVAL_BITS
        self.news: list[StoredOperation] = []
        self.pruned: dict[bytes, int] = {}

    @property
    def record(self) -> TopicRecord:
        """
        What others are told of it.
        """
        return TopicRecord(topic=self.topic, form=self.form, name=self.name, is_left=self.is_left, newest=self.newest)


class Topics:
    """
    All of them, by topic. The methods that write belong into a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.sql
        self._connection = connection
        self._open: dict[Topic, OpenTopic] = {}
        self._keys: set[int] = set()
        self.load()

    def load(self) -> None:
        """
        Take what the database says; also after a transaction has failed.
        """
        query = """
            SELECT topic_key, topic, form, name, is_left,
                (SELECT COUNT(*) FROM logs WHERE logs.topic_key = topics.topic_key)
            FROM topics ORDER BY topic_key
        """
        rows = self._sql.execute(query).fetchall()
        topics = [
            OpenTopic(key, Topic(raw), Form(form), name, bool(is_left), newest_arrival(self._connection, key), logs)
            for key, raw, form, name, is_left, logs in rows
        ]
        self._open = {topic.topic: topic for topic in topics}
        self._keys = {topic.key for topic in topics}

    def all(self) -> list[OpenTopic]:
        """
        @return: All topics, in the order in which they were added.
        """
        return list(self._open.values())

    def has(self, topic_key: int) -> bool:
        """
        @return: Whether there is a topic of this short name.
        """
        return topic_key in self._keys

    def get(self, topic: Topic) -> OpenTopic:
        """
        @raise LocalProtocolError: It was never added, or is forgotten.
        """
        known = self._open.get(topic)
        if known is None:
            raise LocalProtocolError(f"The store does not have the topic {topic!r}; add it first.")
        return known

    def add(self, topic: Topic, form: Form, name: str) -> OpenTopic:
        """
        Add a topic, come back to one that was left, or give it another name (an empty one changes nothing).

        @raise LocalProtocolError: It is known in another form.
        """
        known = self._open.get(topic)
        if known is None:
            statement = "INSERT INTO topics (topic, form, name, is_left) VALUES (?, ?, ?, 0)"
            key = self._sql.execute(statement, (topic.raw, int(form), name)).lastrowid
            assert key is not None  # an INSERT sets it
            self._keys.add(key)
            known = self._open[topic] = OpenTopic(key, topic, form, name, False, 0, 0)
            return known
        if known.form is not form:
            raise LocalProtocolError(
                f"The topic {topic!r} has the {known.form.name.lower()} form since it was used first, not the"
                f" {form.name.lower()} form."
            )
        if known.is_left or (name and name != known.name):
            known.is_left = False
            known.name = name or known.name
            statement = "UPDATE topics SET name = ?, is_left = 0 WHERE topic_key = ?"
            self._sql.execute(statement, (known.name, known.key))
        return known

    def leave(self, topic: Topic) -> OpenTopic:
        """
        Mark a topic as no longer synced.

        @raise LocalProtocolError: It is not known.
        """
        known = self.get(topic)
        self._sql.execute("UPDATE topics SET is_left = 1 WHERE topic_key = ?", (known.key,))
        known.is_left = True
        return known

    def remove(self, topic: Topic) -> OpenTopic:
        """
        Take a topic off the table, with what belongs to it alone. Its operations are not touched.

        @raise LocalProtocolError: It is not known.
        """
        known = self.get(topic)
        for table in ("topic_peers", "cursors", "topics"):
            self._sql.execute(f"DELETE FROM {table} WHERE topic_key = ?", (known.key,))
        del self._open[topic]
        self._keys.discard(known.key)
        return known
