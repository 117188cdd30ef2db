"""
Many machines, an unreliable network, one seed.
"""

from __future__ import annotations

import os
from random import Random, SystemRandom

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import VerifyingKey
from tests.sync.swarm import Swarm

SEED_VARIABLE = "P2PANDA_SWARM_SEED"
"""
Environment variable that repeats a run.
"""


def a_seed() -> int:
    """
    @return: The given one, or a fresh one.
    """
    given = os.environ.get(SEED_VARIABLE)
    return int(given) if given else SystemRandom().randrange(1 << 32)


class SwarmTests(SynchronousTestCase):
    """
    Whatever the network does, in the end all have the same, and what goes over twice has a reason.
    """

    def check(self, seed: int, swarm: Swarm) -> None:
        """
        All logs are the same and whole; nobody was blamed.
        """
        hint = f"repeat it with {SEED_VARIABLE}={seed}"
        self.assertTrue(swarm.run(swarm.now + 120, swarm.converged), hint)
        self.assertEqual(swarm.breaches, [], hint)
        expected: dict[VerifyingKey, int] = {node.log.author: len(node.log.headers) for node in swarm.nodes}
        for node in swarm.nodes:
            heights = {author: max(logs.values()) + 1 for author, logs in node.logs.heights().heights.items()}
            self.assertEqual(heights, {author: count for author, count in expected.items() if count}, hint)

    def test_quiet_network(self) -> None:
        """
        On lines that never break, between nodes that publish all the time, everything arrives. In a chain each operation
        goes over each line once.
        """
        seed = a_seed()
        swarm = Swarm(seed, 5, degree=2)
        swarm.lines.pop()
        for node in swarm.nodes:
            for _ in range(15):
                node.publish()
        swarm.keep_dialling()
        for _ in range(40):
            swarm.run(swarm.now + 0.05)
            swarm.rng.choice(swarm.nodes).publish()
        self.check(seed, swarm)
        total = sum(len(node.log.headers) for node in swarm.nodes)
        received = sum(node.logs.counted.total() for node in swarm.nodes)
        # Each operation was written once and received once by everybody else.
        self.assertEqual(received, total * len(swarm.nodes), f"repeat it with {SEED_VARIABLE}={seed}")

    def test_breaks_and_partitions(self) -> None:
        """
        Lines break at any moment and the network falls apart for a while; afterwards all have everything.
        """
        seed = a_seed()
        swarm = Swarm(seed, 7)
        rng = Random(seed)
        for node in swarm.nodes:
            for _ in range(rng.randrange(30)):
                node.publish()
        swarm.keep_dialling()
        for round_number in range(60):
            swarm.run(swarm.now + rng.uniform(0.02, 0.3))
            rng.choice(swarm.nodes).publish()
            if rng.random() < 0.4:
                swarm.break_line(*rng.choice(swarm.lines))
            if round_number == 20:
                swarm.part(set(rng.sample(swarm.nodes, 3)))
            elif round_number == 40:
                swarm.part(set())
        self.check(seed, swarm)

    def test_late_comer(self) -> None:
        """
        A node that comes late and asks everybody at once gets all of it, and echoes none of it.
        """
        seed = a_seed()
        swarm = Swarm(seed, 5)
        late = swarm.nodes[0]
        others = [line for line in swarm.lines if late not in line]
        mine = [line for line in swarm.lines if late in line]
        swarm.lines = others
        for node in swarm.nodes[1:]:
            for _ in range(40):
                node.publish()
        swarm.keep_dialling()
        swarm.run(20)
        before = {node.name: node.logs.counted.total() for node in swarm.nodes[1:]}
        swarm.lines = [*others, *mine]
        self.check(seed, swarm)
        swarm.run(swarm.now + 5)
        after = {node.name: node.logs.counted.total() for node in swarm.nodes[1:]}
        self.assertEqual(after, before, f"repeat it with {SEED_VARIABLE}={seed}")
