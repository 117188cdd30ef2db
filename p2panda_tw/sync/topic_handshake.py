# -*- test-case-name: tests.sync.test_topic_handshake -*-
"""
The topic handshake: on the first stream of a connection the initiator names the topic that the session is about.
Mirrors p2panda-sync/src/protocols/topic_handshake.rs.

::

    initiator                acceptor
        Topic  ------------->
               <------------- Done
        Done   ------------->

Each role is a generator. It yields the messages to send before it needs the next one, and is sent that message, or
C{None} at the end of the stream. Its result comes by C{return}, a breach of the protocol rises from it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from p2panda_tw.core.topic import Topic
from p2panda_tw.errors import RemoteProtocolError
from p2panda_tw.sync.messages import HandshakeDone, HandshakeTopic, TopicHandshakeMessage

__all__ = ["Acceptor", "Initiator", "accept", "initiate"]

Initiator = Generator[Sequence[TopicHandshakeMessage], TopicHandshakeMessage | None, Sequence[TopicHandshakeMessage]]
"""
The conversation of the dialling side. It returns what is left to send; nothing is awaited after that.
"""

Acceptor = Generator[Sequence[TopicHandshakeMessage], TopicHandshakeMessage | None, Topic]
"""
The conversation of the dialled side. It returns the topic.
"""


def initiate(topic: Topic, *, in_one_flight: bool = False) -> Initiator:
    """
    @param in_one_flight: Send C{Done} along with the topic instead of waiting for the acceptor's. It takes the messages
        in that order anyway, and a round trip is saved.

    @raise RemoteProtocolError: The acceptor does something else.
    """
    if in_one_flight:
        _expect_done((yield [HandshakeTopic(topic), HandshakeDone()]))
        return []
    _expect_done((yield [HandshakeTopic(topic)]))
    return [HandshakeDone()]


def accept() -> Acceptor:
    """
    @raise RemoteProtocolError: The initiator does something else.
    """
    message = yield []
    if not isinstance(message, HandshakeTopic):
        raise _unexpected(message)
    _expect_done((yield [HandshakeDone()]))
    return message.topic


def _expect_done(message: TopicHandshakeMessage | None) -> None:
    if not isinstance(message, HandshakeDone):
        raise _unexpected(message)


def _unexpected(message: TopicHandshakeMessage | None) -> RemoteProtocolError:
    if message is None:
        return RemoteProtocolError("The topic handshake ends too early.")
    name = "Topic" if isinstance(message, HandshakeTopic) else "Done"
    return RemoteProtocolError(f"An unexpected {name} in the topic handshake.")
