"""
Drives a topic handshake without a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from p2panda_tw.core.topic import Topic
from p2panda_tw.sync.messages import TopicHandshakeMessage, decode_handshake_message, encode_handshake_message
from p2panda_tw.sync.topic_handshake import Acceptor, Initiator


def drive(
    conversation: Initiator | Acceptor,
    received: Sequence[bytes | TopicHandshakeMessage | None],
    sent: list[bytes] | None = None,
) -> tuple[Topic | None, list[bytes]]:
    """
    @param received: Payloads, or messages; C{None} is the end of the stream.
    @param sent: Where the frames go that were sent, also if the conversation fails.

    @return: The topic, if the conversation tells one, and what was sent.
    """
    sent = [] if sent is None else sent
    waiting = list(received)
    message: Any = None
    try:
        messages = next(conversation)
        while True:
            sent += [encode_handshake_message(each) for each in messages]
            message = waiting.pop(0)
            messages = conversation.send(decode_handshake_message(message) if isinstance(message, bytes) else message)
    except StopIteration as stop:
        if isinstance(stop.value, Topic):
            return stop.value, sent
        sent += [encode_handshake_message(each) for each in stop.value]
        return None, sent
