"""
Processes that are killed while they store: nothing that they had reported as stored is lost, and no repair is needed.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

from tests.system.support import SystemTestCase

KILLS = 20
"""
How many times a process is killed, from 5 to 95 % of its work.
"""

OPERATIONS = 2000
SIZE = 700


class KillTests(SystemTestCase):
    """
    C{kill -9} at measured points, of the sender and of the receiver alternately, while it catches up or publishes.
    """

    def test_killed(self) -> None:
        """
        Whoever is killed, at whatever point: what it had said is stored is there when it starts again, and soon both have
        the same bytes.
        """
        self.seed = int.from_bytes(os.urandom(4), "big")
        random = Random(self.seed)
        self.unfinished = 0
        self.sender, self.receiver = self.node("sender"), self.node("receiver")
        for number in range(KILLS):
            share = 0.05 + 0.9 * (number + random.random()) / KILLS
            self.round(number, share)
        for node in (self.sender, self.receiver):
            node.end()
            self.assert_no_traces(node)
        # Hardly any work was through before the signal came.
        self.assertGreater(self.unfinished, KILLS * 3 // 4, f"seed {self.seed}")

    def round(self, number: int, share: float) -> None:
        """
        @param number: Says who is killed, and at which work.
        @param share: How much of the work has been reported as done by then.
        """
        where = f"round {number} at {share:.0%}, seed {self.seed}"
        publishing, of_sender = number % 4 >= 2, number % 2 == 0
        made = self.sender.ask("topic")
        topic = made["topic"]
        work = None
        self.receiver.told.clear()
        self.sender.told.clear()
        if publishing:
            self.receiver.ask("join", ticket=made["ticket"])
            self.receiver.ask("follow", topic=topic)
            work = self.sender.begin("publish", topic=topic, count=OPERATIONS, size=SIZE, in_flight=20)
        else:
            self.sender.ask("fill", topic=topic, count=OPERATIONS, size=SIZE)
            self.receiver.begin("join", ticket=made["ticket"])
            self.receiver.ask("follow", topic=topic)
        measured = self.sender if publishing and of_sender else self.receiver
        measured.wait_until_told(lambda told: stored_of(told) >= share * OPERATIONS)
        killed = self.sender if of_sender else self.receiver
        killed.kill()
        self.unfinished += stored_of(measured.told) < OPERATIONS
        reported = OPERATIONS if of_sender and not publishing else stored_of(killed.told)
        again = self.node(killed.home.name)
        again.ask("open", topic=topic)
        self.assertGreaterEqual(again.ask("count", topic=topic)["count"], reported, where)
        if of_sender:
            self.sender = again
            again.ask("fill", topic=topic, count=10, size=SIZE)
        else:
            self.receiver = again
            if work is not None:
                work()
        self.converge(topic, where)

    def converge(self, topic: str, where: str) -> None:
        """
        Soon the receiver has as many operations as the sender, and they are the same.
        """
        count = self.sender.ask("count", topic=topic)["count"]
        self.assertGreaterEqual(count, 10, where)
        self.receiver.ask("wait", topic=topic, count=count)
        theirs, ours = (node.ask("digest", topic=topic) for node in (self.sender, self.receiver))
        self.assertEqual(theirs["digest"], ours["digest"], where)
        self.assertEqual((theirs["count"], ours["count"]), (count, count), where)


def stored_of(told: list[dict[str, Any]]) -> int:
    """
    @return: How many operations a process has reported as stored.
    """
    return max((said.get("arrived", said.get("stored", -1) + 1) for said in told), default=0)
