"""
Text from other people on one's own terminal.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.harmless import MAX_NAME_LENGTH, harmless, harmless_name


class HarmlessTests(SynchronousTestCase):
    """
    A peer does not drive the terminal.
    """

    def test_ordinary_text(self) -> None:
        """
        What people write stays as it is, in any script, emoji included.
        """
        for text in ("hello", "Grüße, 世界", "👩‍👩‍👧 ❤️", "שלום", ""):
            self.assertEqual(harmless(text), text)

    def test_escape_sequences(self) -> None:
        """
        A colour, a window title or a clipboard write is shown, not obeyed.
        """
        self.assertEqual(harmless("\x1b[31mred\x1b]0;title\x07"), "␛[31mred␛]0;title␇")

    def test_eight_bit_controls(self) -> None:
        """
        The one-byte form of an escape sequence is no way around.
        """
        self.assertEqual(harmless("\x9b31mred\x7f"), "�31mred␡")

    def test_directions(self) -> None:
        """
        Nobody turns around what stands behind a text, to make one command look like another.
        """
        self.assertEqual(harmless("a\u202eb\u2066c"), "a�b�c")

    def test_carriage_return(self) -> None:
        """
        A message does not overwrite the name in front of it.
        """
        self.assertEqual(harmless("\rbob: hi"), "␍bob: hi")

    def test_lines(self) -> None:
        """
        Line breaks are kept where they are wanted, and nowhere else.
        """
        self.assertEqual(harmless("a\r\nb\nc\td", lines=True), "a\nb\nc    d")
        self.assertEqual(harmless("a\nb"), "a␊b")

    @given(st.text(st.characters(codec=None)))
    def test_anything(self, text: str) -> None:
        """
        Whatever comes in, what goes out can be written and holds no control character.
        """
        shown = harmless(text)
        shown.encode()
        self.assertFalse([c for c in shown if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0])


class NameTests(SynchronousTestCase):
    """
    Nicknames.
    """

    def test_blanks(self) -> None:
        """
        A name is one line without superfluous blanks.
        """
        self.assertEqual(harmless_name("  ann \t \n  lee \n"), "ann lee")
        self.assertEqual(harmless_name("   "), "")

    def test_length(self) -> None:
        """
        A name leaves room for the message.
        """
        self.assertEqual(len(harmless_name("x" * 100)), MAX_NAME_LENGTH)
