"""
The topic handshake beyond the recorded ones.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import RemoteProtocolError
from p2panda_tw.sync.messages import HandshakeDone, HandshakeTopic, encode_handshake_message
from p2panda_tw.sync.topic_handshake import accept, initiate
from tests.sync.handshakes import drive
from tests.sync.logs import TOPIC

TOPIC_FRAME = encode_handshake_message(HandshakeTopic(TOPIC))
DONE_FRAME = encode_handshake_message(HandshakeDone())


class TopicHandshakeTests(SynchronousTestCase):
    """
    Both sides agree on a topic.
    """

    def test_in_one_flight(self) -> None:
        """
        A node that knows its peer says everything at once, and the acceptor notices no difference.
        """
        sent: list[bytes] = []
        result, _ = drive(initiate(TOPIC, in_one_flight=True), [HandshakeDone()], sent)
        self.assertEqual((result, sent), (None, [TOPIC_FRAME, DONE_FRAME]))
        result, answers = drive(accept(), [frame[4:] for frame in sent])
        self.assertEqual((result, answers), (TOPIC, [DONE_FRAME]))

    def test_in_one_flight_refused(self) -> None:
        """
        Having said everything does not mean that any answer is right.
        """
        with self.assertRaises(RemoteProtocolError):
            drive(initiate(TOPIC, in_one_flight=True), [HandshakeTopic(TOPIC)])

    def test_nothing_at_all(self) -> None:
        """
        A stream that ends at once is no handshake.
        """
        with self.assertRaises(RemoteProtocolError):
            drive(accept(), [None])
