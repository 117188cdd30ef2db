"""
Tickets as people give them.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.ticket import read_ticket
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Topic
from p2panda_tw.endpoint.ticket import Ticket

TICKET = Ticket(node_id=SigningKey(bytes(32)).verifying_key, topic=Topic(bytes(32)))


class ReadTicketTests(SynchronousTestCase):
    """
    From the command line, a file, or standard input.
    """

    def from_input(self, content: str) -> tuple[Ticket, bytes]:
        """
        @return: What is read with C{content} on standard input, and what is left of it.
        """
        saved = os.dup(0)
        reader, writer = os.pipe()
        try:
            os.dup2(reader, 0)
            os.write(writer, content.encode())
            os.close(writer)
            return read_ticket("-"), os.read(0, 65536)
        finally:
            os.dup2(saved, 0)
            os.close(saved)
            os.close(reader)

    def test_argument(self) -> None:
        """
        A ticket is taken as it was pasted, blanks, line breaks and capitals included.
        """
        text = str(TICKET)
        for pasted in (text, f"  {text}\n", f"{text[:40]}\n   {text[40:]}", text.upper()):
            self.assertEqual(read_ticket(pasted), TICKET)

    def test_file(self) -> None:
        """
        A ticket that came by mail is read from the file it was saved to.
        """
        path = Path(self.mktemp())
        path.write_text(f"\n{TICKET}\n\n")
        self.assertEqual(read_ticket(str(path)), TICKET)

    def test_standard_input(self) -> None:
        """
        What follows the ticket on standard input is left for the chat.
        """
        self.assertEqual(self.from_input(f"{TICKET}\nhello\nworld\n"), (TICKET, b"hello\nworld\n"))

    def test_standard_input_wrapped(self) -> None:
        """
        A ticket that a mail program has wrapped is put together again.
        """
        text = str(TICKET)
        self.assertEqual(self.from_input(f"\n  {text[:30]}\n  {text[30:70]}\n  {text[70:]}\nhi\n"), (TICKET, b"hi\n"))

    def test_standard_input_without_newline(self) -> None:
        """
        The ticket may be all there is.
        """
        self.assertEqual(self.from_input(str(TICKET)), (TICKET, b""))

    def test_wrong(self) -> None:
        """
        A damaged ticket is told by a sentence that does not repeat the secret.
        """
        text = str(TICKET)
        error = self.assertRaises(click.UsageError, read_ticket, text[:60] + "aaaa" + text[64:])
        self.assertIn("damaged", error.message)
        self.assertNotIn(text[10:40], error.message)

    def test_no_file_name(self) -> None:
        """
        What can be no ticket is no ticket, also where it could be the name of no file.
        """
        for text in ("x" * 5000, "a\0b", "~nobody-of-this-name"):
            error = self.assertRaises(click.UsageError, read_ticket, text)
            self.assertIn("This is no ticket", str(error))

    def test_nothing(self) -> None:
        """
        An empty standard input is no ticket.
        """
        self.assertRaises(click.UsageError, self.from_input, "")
