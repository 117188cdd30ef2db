"""
A disk without room: files of the process may not grow any further, until they may again.
"""

from __future__ import annotations

from tests.system.support import NodeProcess, Refused, SystemTestCase, until

ROOM = 3 * 1024 * 1024
"""
How large files may get, in bytes.
"""

SIZE = 20_000


class FullDiskTests(SystemTestCase):
    """
    Nothing is stored by halves, nothing is lost, and nobody has to start anything again.
    """

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.node("alice")
        made = self.alice.ask("topic")
        self.topic, self.ticket = made["topic"], made["ticket"]

    def assert_same(self, *nodes: NodeProcess) -> None:
        """
        All have the same bytes.
        """
        self.assertEqual(len({node.ask("digest", topic=self.topic)["digest"] for node in nodes}), 1)

    def test_publishing(self) -> None:
        """
        Publishing fails with an error that says so. What was stored before is there, and with more room it goes on at the
        next position; whoever syncs gets it all.
        """
        alice, topic = self.alice, self.topic
        alice.ask("limit", size=ROOM)
        for _ in range(3):
            with self.assertRaises(Refused) as caught:
                alice.ask("publish", topic=topic, count=2000, size=SIZE)
            self.assertEqual(caught.exception.kind, "StoreFull")
            self.assertIn("There is no room", str(caught.exception))
        stored = [said["stored"] for said in alice.told]
        self.assertEqual(stored, list(range(len(stored))))
        self.assertGreater(len(stored), 20)
        self.assertEqual(alice.ask("count", topic=topic)["count"], len(stored))
        alice.ask("limit", size=-1)
        alice.ask("publish", topic=topic, count=100, size=SIZE)
        stored = [said["stored"] for said in alice.told]
        self.assertEqual(stored, list(range(len(stored))))
        bob = self.node("bob")
        bob.ask("join", ticket=self.ticket)
        bob.ask("wait", topic=topic, count=len(stored))
        self.assert_same(alice, bob)
        for node in (alice, bob):
            node.end()
            self.assert_no_traces(node)
            self.assert_unique(node)

    def test_catch_up(self) -> None:
        """
        A session fails, for itself alone; later sessions go on where it was, and with more room everything comes.
        """
        count = 400
        self.alice.ask("fill", topic=self.topic, count=count, size=SIZE)
        bob = self.node("bob")
        bob.ask("limit", size=ROOM)
        bob.ask("join", ticket=self.ticket)

        def failed() -> bool:
            peers = bob.ask("status")["topics"][0]["peers"]
            return any("There is no room" in (peer["last_failure"] or "") for peer in peers)

        until(failed, "a session that fails")
        stored = bob.ask("count", topic=self.topic)["count"]
        self.assertLess(stored, count)
        self.alice.ask("publish", topic=self.topic, count=1, size=10)  # the other side does not mind
        bob.ask("limit", size=-1)
        bob.ask("wait", topic=self.topic, count=count + 1)
        self.assert_same(self.alice, bob)
        for node in (self.alice, bob):
            node.end()
            self.assert_no_traces(node)
            self.assert_unique(node)
