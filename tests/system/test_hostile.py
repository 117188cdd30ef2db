"""
Bad peers against a real process, on each layer, while a good peer goes on.
"""

from __future__ import annotations

import queue
from collections.abc import Callable

from tests.system.support import SystemTestCase, in_threads
from tests.system.support_attacks import ATTACKS, Attack, Outcome

QUICK = 3
"""
How many quick attacks run at the same time. All of those that wait for a limit of time run beside them.
"""

INTERVAL = 0.25
SLOWEST = 5.0
"""
How late a message of the good peer may be, in seconds, on a machine that has other work, too.
"""


class HostileTests(SystemTestCase):
    """
    Each attack is cut off at its limit, told of once, and harms nobody else.
    """

    def test_attacks(self) -> None:
        """
        Every attack ends in time and leaves one warning about the one who did it; meanwhile messages come and go.
        """
        victim, friend = self.node("victim"), self.node("friend")
        made = victim.ask("topic")
        topic, ticket = made["topic"], made["ticket"]
        friend.ask("join", ticket=ticket)
        for node in (victim, friend):
            node.ask("beat", topic=topic, interval=INTERVAL)
            node.ask("hear", topic=topic)
        outcomes = in_threads(schedule(ATTACKS, ticket))
        results: dict[str, Outcome] = {}
        for part in outcomes.values():
            results.update(part)
        self.assertEqual(set(results), set(ATTACKS))
        for node in (victim, friend):
            ages = node.ask("ages", topic=topic)["ages"]
            self.assertGreater(len(ages), 60)
            self.assertLess(max(ages), SLOWEST)
        victim.end()
        friend.end()
        wrong = []
        for name, result in results.items():
            attack = ATTACKS[name]
            told = self.warnings(victim, result.peer)
            expected = attack.says.split("|") if attack.says else []
            if len(told) != len(expected) or not all(says in text for says, text in zip(expected, told, strict=True)):
                wrong.append(f"{name}: expected {expected}, told {told}")
            shortest, longest = attack.within
            if not shortest <= result.seconds <= longest:
                wrong.append(f"{name}: took {result.seconds:.1f} s instead of {shortest} to {longest} s")
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assert_no_traces(victim)
        self.assertEqual(len(victim.log), sum(len(list(filter(None, a.says.split("|")))) for a in ATTACKS.values()))
        self.assertEqual(friend.log, [])


def schedule(attacks: dict[str, Attack], ticket: str) -> dict[str, Callable[[], dict[str, Outcome]]]:
    """
    @return: What to do at the same time: each attack that waits, and a few workers for the others.
    """
    quick: queue.SimpleQueue[str] = queue.SimpleQueue()
    calls: dict[str, Callable[[], dict[str, Outcome]]] = {}

    def work() -> dict[str, Outcome]:
        done = {}
        while not quick.empty():
            name = quick.get()
            try:
                done[name] = attacks[name].run(ticket)
            except BaseException as error:
                error.add_note(f"in {name}")
                raise
        return done

    for name, attack in attacks.items():
        if attack.within[0]:
            calls[name] = lambda name=name: {name: attacks[name].run(ticket)}  # type: ignore[misc]
        else:
            quick.put(name)
    for number in range(QUICK):
        calls[f"worker {number}"] = work
    return calls
