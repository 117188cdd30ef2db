from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.endpoint.addresses import Address, IrohAddress, OnionAddress, RelayAddress, TlsAddress
from p2panda_tw.endpoint.ranking import (
    AttemptFailed,
    AttemptSucceeded,
    Deadline,
    GiveUp,
    Input,
    Lose,
    NextAttempt,
    Race,
    Schedule,
    Start,
    TimerExpired,
    Win,
    attempts,
    rank,
)
from tests.endpoint.test_addresses import addresses

TLS_1 = TlsAddress("192.0.2.1", 1)
TLS_2 = TlsAddress("2001:db8::1", 2)
IROH_1 = IrohAddress("192.0.2.1", 1)
IROH_2 = IrohAddress("2001:db8::1", 2)
RELAY = RelayAddress("https://relay.example/")
ONION = OnionAddress(80)
LINK = TlsAddress("fe80::1", 1)


class RankTests(SynchronousTestCase):
    """
    The order of addresses.
    """

    def test_order(self) -> None:
        """
        Direct ways are tried before relays, those before Tor; among equals the node's own order stays.
        """
        given: list[Address] = [ONION, LINK, RELAY, IROH_2, TLS_2, IROH_1, TLS_1]
        self.assertEqual(rank(given), [TLS_2, TLS_1, IROH_2, IROH_1, RELAY, ONION, LINK])

    def test_worked(self) -> None:
        """
        What worked last is tried first, whatever it is.
        """
        self.assertEqual(rank([TLS_1, RELAY, ONION], ONION), [ONION, TLS_1, RELAY])
        self.assertEqual(rank([TLS_1, RELAY], ONION), [TLS_1, RELAY])

    def test_attempts(self) -> None:
        """
        Everything of iroh is one attempt, at the place of its best address; each other address is one of its own.
        """
        self.assertEqual(
            attempts([TLS_1, IROH_1, TLS_2, RELAY, IROH_2, ONION]),
            [(TLS_1,), (IROH_1, RELAY, IROH_2), (TLS_2,), (ONION,)],
        )

    @given(st.lists(addresses, max_size=8), st.none() | addresses)
    def test_nothing_is_lost(self, given: list[Address], worked: Address | None) -> None:
        """
        Every address is tried once.
        """
        ranked = rank(given, worked)
        self.assertEqual(len(ranked), len(set(given)))
        self.assertEqual({address for attempt in attempts(ranked) for address in attempt}, set(given))


class RaceTests(SynchronousTestCase):
    """
    When attempts begin and end.
    """

    def begin(self, count: int) -> Race:
        """
        A race whose first attempt has begun.
        """
        race = Race(count)
        expected: list[object] = [Schedule(10.0, Deadline()), Start(0)]
        if count > 1:
            expected.append(Schedule(0.25, NextAttempt(0)))
        self.assertEqual(race.begin(), expected)
        return race

    def test_first_wins(self) -> None:
        """
        When the best address answers, no other is tried.
        """
        race = self.begin(2)
        self.assertEqual(race.handle(AttemptSucceeded(0)), [Win(0)])
        self.assertEqual(race.handle(TimerExpired(NextAttempt(0))), [])
        self.assertEqual(race.handle(TimerExpired(Deadline())), [])

    def test_silence(self) -> None:
        """
        An address that says nothing for 250 ms gets company, and the first to answer ends the others.
        """
        race = self.begin(3)
        self.assertEqual(race.handle(TimerExpired(NextAttempt(0))), [Start(1), Schedule(0.25, NextAttempt(1))])
        self.assertEqual(race.handle(TimerExpired(NextAttempt(1))), [Start(2)])
        self.assertEqual(race.handle(AttemptSucceeded(1)), [GiveUp(0), GiveUp(2), Win(1)])
        self.assertEqual(race.handle(AttemptSucceeded(0)), [])

    def test_failure(self) -> None:
        """
        When an address fails the next one is tried at once, and its 250 ms begin anew.
        """
        race = self.begin(3)
        self.assertEqual(race.handle(AttemptFailed(0)), [Start(1), Schedule(0.25, NextAttempt(1))])
        self.assertEqual(race.handle(TimerExpired(NextAttempt(0))), [])
        self.assertEqual(race.handle(AttemptFailed(1)), [Start(2)])
        self.assertEqual(race.handle(AttemptFailed(2)), [Lose(timed_out=False)])

    def test_only_one(self) -> None:
        """
        A single address that fails ends the race.
        """
        self.assertEqual(self.begin(1).handle(AttemptFailed(0)), [Lose(timed_out=False)])

    def test_late_winner(self) -> None:
        """
        While one address is pending, failures of the others do not end the race.
        """
        race = self.begin(2)
        race.handle(TimerExpired(NextAttempt(0)))
        self.assertEqual(race.handle(AttemptFailed(1)), [])
        self.assertEqual(race.handle(AttemptSucceeded(0)), [Win(0)])

    def test_deadline(self) -> None:
        """
        After 10 s the race is over, whatever is pending.
        """
        race = self.begin(2)
        race.handle(TimerExpired(NextAttempt(0)))
        self.assertEqual(race.handle(TimerExpired(Deadline())), [GiveUp(0), GiveUp(1), Lose(timed_out=True)])
        self.assertEqual(race.handle(AttemptFailed(0)), [])

    @given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("fstd"), st.integers(0, 5)), max_size=30))
    def test_any_order(self, count: int, events: list[tuple[str, int]]) -> None:
        """
        Whatever happens in whatever order, each attempt begins at most once and the race ends at most once.
        """
        race = Race(count)
        outputs = race.begin()
        kinds: dict[str, type[Input]] = {"f": AttemptFailed, "s": AttemptSucceeded}
        for kind, number in events:
            if kind in kinds:
                outputs += race.handle(kinds[kind](number))  # type: ignore[arg-type]  # both take a number
            else:
                outputs += race.handle(TimerExpired(NextAttempt(number) if kind == "t" else Deadline()))
        started = [output.number for output in outputs if isinstance(output, Start)]
        self.assertEqual(started, sorted(set(started)))
        ends = [output for output in outputs if isinstance(output, Win | Lose)]
        self.assertLessEqual(len(ends), 1)
        if ends:
            self.assertEqual(outputs[-1], ends[0])
        given_up = [output.number for output in outputs if isinstance(output, GiveUp)]
        self.assertEqual(len(given_up), len(set(given_up)))
        self.assertLessEqual(set(given_up), set(started))
