"""
Tests for L{p2panda_tw.subscription}: what hostile authors may do to those who read.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from p2panda_tw.codec import TEXT
from p2panda_tw.core.topic import Topic
from p2panda_tw.subscription import BYTES_PER_MESSAGE, MESSAGES_PER_TURN, Message
from tests.nodes import NodeTestCase

TOPIC = Topic(bytes(range(32)))


class TurnTests(NodeTestCase):
    """
    The reactor gets its turn, whatever there is to read.
    """

    def test_unreadable(self) -> None:
        """
        Messages that cannot be read are skipped a few at a time.
        """
        alice = self.started("alice")
        garbage = alice.stream(TOPIC, codec=TEXT)
        for _ in range(MESSAGES_PER_TURN + 1):
            self.wait(garbage.publish("\x7f"))
        stream = alice.stream(TOPIC)
        self.wait(stream.publish("readable"))
        reading = Deferred[Message].fromCoroutine(anext(stream.subscribe(None)))
        self.assertNoResult(reading)
        self.assertEqual(self.wait(reading).value, "readable")

    def test_large(self) -> None:
        """
        So are large ones, by their bytes.
        """
        alice = self.started("alice")
        stream = alice.stream(TOPIC)
        text = "x" * (BYTES_PER_MESSAGE * MESSAGES_PER_TURN)
        self.wait(stream.publish(text))
        reading = Deferred[Message].fromCoroutine(anext(stream.subscribe(None)))
        self.assertNoResult(reading)
        self.assertEqual(self.wait(reading).value, text)

    def test_cancelled_in_between(self) -> None:
        """
        Who cancels while the reactor has its turn gets nothing more.
        """
        alice = self.started("alice")
        stream = alice.stream(TOPIC)
        for letter in "ab":
            self.wait(stream.publish(letter * BYTES_PER_MESSAGE * MESSAGES_PER_TURN))
        subscription = stream.subscribe("reader")
        self.run_(anext(subscription))

        async def rest() -> list[Message]:
            return [message async for message in subscription]

        reading = Deferred.fromCoroutine(rest())
        self.assertNoResult(reading)
        subscription.cancel()
        self.assertEqual(self.wait(reading), [])
