# -*- test-case-name: tests.core.test_topic -*-
"""
A topic: the secret that an application shares. Whoever knows its 32 bytes can read and write it, so they appear in no
log line and in no C{repr}.
"""

from __future__ import annotations

import enum
from functools import lru_cache

from typing_extensions import override

from p2panda_tw.core.hash import Bytes32, Hash

__all__ = ["CHAT_LOG_ID", "Form", "LogId", "Topic"]

LogId = int | Hash
"""
What tells the logs of one author in one topic apart: a number (chat form), or 32 bytes (Node form).
"""

CHAT_LOG_ID = 1
"""
The log id that upstream's chat example uses for every topic (p2panda-net/examples/chat.rs).
"""


class Topic(Bytes32):
    """
    Thirty-two secret bytes.
    """

    __slots__ = ()

    def log_id(self) -> Hash:
        """
        @return: The log id of every author's log of this topic in the Node form, BLAKE3 of the topic. It hides the
            topic.
        """
        return _log_id(self.raw)

    @override
    def __repr__(self) -> str:
        return f"<Topic ~{self.log_id().raw[:4].hex()}>"

    __str__ = __repr__


@lru_cache(maxsize=1024)
def _log_id(topic: bytes) -> Hash:
    return Hash.of(topic)


class Form(enum.IntEnum):
    """
    How operations of a topic look. Fixed when a topic is used first. The numbers are those in tickets.
    """

    NODE = 0
    """
    As the high-level Node of p2panda makes them: log id L{Topic.log_id}, extensions with log id, time and prune flag.
    """

    CHAT = 1
    """
    As upstream's chat example makes them: log id 1, no extensions.
    """

    def log_id(self, topic: Topic) -> LogId:
        """
        @return: The log id that every operation of C{topic} in this form belongs to.
        """
        return topic.log_id() if self is Form.NODE else CHAT_LOG_ID
