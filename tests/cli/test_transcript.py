"""
What a chat shows of its messages.
"""

from __future__ import annotations

from datetime import date, datetime

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.clock import local_time
from p2panda_tw.cli.transcript import (
    MAX_CHARACTERS,
    MAX_LINES,
    Names,
    NewDay,
    Renamed,
    Said,
    Transcript,
    fit,
)
from p2panda_tw.core.identity import SigningKey

ANN = SigningKey(bytes(31) + b"\1").verifying_key
BOB = SigningKey(bytes(31) + b"\2").verifying_key
NOON = datetime(2026, 11, 24, 12, 0)


class TranscriptTests(SynchronousTestCase):
    """
    Messages become entries.
    """

    def test_message(self) -> None:
        """
        A message shows who said what, and when.
        """
        said = Transcript().read(ANN, "hello", NOON)
        self.assertEqual(said, Said(time=NOON, author=ANN, name=ANN.hex()[:8], text="hello"))

    def test_rename(self) -> None:
        """
        `/nick NAME` is shown as a rename, and later messages carry the name.
        """
        transcript = Transcript()
        self.assertEqual(
            transcript.read(ANN, "/nick ann\n", NOON),
            Renamed(time=NOON, author=ANN, before=ANN.hex()[:8], after="ann"),
        )
        self.assertEqual(transcript.read(ANN, "hi", NOON), Said(time=NOON, author=ANN, name="ann", text="hi"))

    def test_same_name_again(self) -> None:
        """
        Who says the same name at each start bores nobody.
        """
        transcript = Transcript()
        transcript.read(ANN, "/nick ann", NOON)
        self.assertIsNone(transcript.read(ANN, "/nick ann", NOON))

    def test_nothing(self) -> None:
        """
        Empty messages and names are not shown.
        """
        transcript = Transcript()
        self.assertIsNone(transcript.read(ANN, "\n", NOON))
        self.assertIsNone(transcript.read(ANN, "/nick  ", NOON))

    def test_trailing_newline(self) -> None:
        """
        Messages of upstream's chat end with a newline, which is not shown.
        """
        said = Transcript().read(ANN, "hello\n", NOON)
        assert isinstance(said, Said)
        self.assertEqual(said.text, "hello")

    def test_other_values(self) -> None:
        """
        Values of other programs on the same topic appear as JSON.
        """
        self.assertEqual(fit({"a": [1, b"\xff"]}), '{"a": [1, "ff"]}')

    def test_days(self) -> None:
        """
        A line separates the days, also when messages of an earlier day come in later.
        """
        transcript = Transcript()
        today = Said(time=NOON, author=ANN, name="ann", text="x")
        before = Said(time=datetime(2026, 11, 23, 23, 59), author=ANN, name="ann", text="y")
        unknown = Said(time=None, author=ANN, name="ann", text="z")
        self.assertEqual(
            [entry for said in (before, before, today, unknown, before) for entry in transcript.dated(said)],
            [
                NewDay(date(2026, 11, 23)),
                before,
                before,
                NewDay(date(2026, 11, 24)),
                today,
                unknown,
                NewDay(date(2026, 11, 23)),
                before,
            ],
        )

    def test_impossible_times(self) -> None:
        """
        A clock that is wrong by millions of years does no harm.
        """
        for timestamp in (2**64 - 1, 2**63, -(2**63)):
            self.assertIsNone(local_time(timestamp))
        self.assertIsNone(local_time(None))


class FitTests(SynchronousTestCase):
    """
    Long messages are cut.
    """

    def test_long_line(self) -> None:
        """
        A long message is cut, and says that and where the rest is.
        """
        text = fit("x" * 5000)
        self.assertTrue(text.startswith("x" * MAX_CHARACTERS + " …"), text)
        self.assertIn("5,000 characters", text)

    def test_many_lines(self) -> None:
        """
        A message of many lines does not push the others off the screen.
        """
        self.assertEqual(fit("x\n" * 1000).count("\n"), MAX_LINES - 1)

    def test_short(self) -> None:
        """
        A message that fits is whole.
        """
        self.assertEqual(fit("a\nb"), "a\nb")


class NamesTests(SynchronousTestCase):
    """
    Who is called what.
    """

    def test_two_of_the_same_name(self) -> None:
        """
        Nobody passes for somebody else by taking the same name.
        """
        names = Names()
        names.give(ANN, "ann")
        names.give(BOB, "Ann")
        self.assertEqual(names.of(ANN), "ann")
        self.assertEqual(names.of(BOB), f"Ann~{BOB.hex()[:4]}")

    def test_free_again(self) -> None:
        """
        A name that its owner gave up may be taken.
        """
        names = Names()
        names.give(ANN, "ann")
        names.give(ANN, "eve")
        names.give(BOB, "ann")
        self.assertEqual((names.of(ANN), names.of(BOB)), ("eve", "ann"))
