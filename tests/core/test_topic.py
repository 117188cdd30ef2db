from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.topic import CHAT_LOG_ID, Form, Topic

TOPIC = Topic(bytes(range(32)))


class TopicTests(SynchronousTestCase):
    """
    The secret that an application shares.
    """

    def test_log_id(self) -> None:
        """
        Logs of a topic are named by its hash in the Node form, and by the number 1 in the chat form.
        """
        self.assertEqual(TOPIC.log_id().hex(), "e528e95798037df410543d9f31e396ecdd458d71b157d6014398bae32fb56c65")
        self.assertEqual(Form.NODE.log_id(TOPIC), TOPIC.log_id())
        self.assertEqual(Form.CHAT.log_id(TOPIC), CHAT_LOG_ID)

    def test_secret(self) -> None:
        """
        However a topic is printed, its bytes do not show.
        """
        for text in (repr(TOPIC), str(TOPIC), f"{TOPIC}"):
            self.assertEqual(text, "<Topic ~e528e957>")
