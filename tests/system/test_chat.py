"""
C{p2panda chat} in pipes: real processes that meet over TLS on the loopback interface.
"""

from __future__ import annotations

import re
import signal
import sys

from tests.system.commands import CommandTestCase, Process


def ticket_of(process: Process) -> str:
    """
    @return: The ticket that a chat has shown.
    """
    found = re.search(r"p2panda chat (p2panda1\S+)", process.output + process.errors)
    assert found is not None, process.errors
    return found.group(1)


class ChatTests(CommandTestCase):
    """
    People who talk.
    """

    async def start_chat(self, *arguments: str, data: str) -> Process:
        process = self.start("chat", *arguments, data=data)
        await process.expect("p2panda chat p2panda1")
        return process

    async def test_both_ways(self) -> None:
        """
        Two people meet by a ticket; messages go both ways, with names.
        """
        ann = await self.start_chat("--nick", "ann", data="a")
        bob = await self.start_chat(ticket_of(ann), "--nick", "bob", data="b")
        await bob.expect("is now ann")
        await ann.expect("is now bob")
        ann.type("hello bob\n")
        await bob.expect(" ann: hello bob\n")
        bob.type("hello ann\n")
        await ann.expect(" bob: hello ann\n")
        await ann.expect(" ann: hello bob\n")
        for process in (ann, bob):
            process.end_input()
        self.assertEqual([await ann.end(), await bob.end()], [0, 0])

    async def test_connected(self) -> None:
        """
        Who comes and goes is told, on standard error: standard output has messages only.
        """
        ann = await self.start_chat(data="a")
        bob = await self.start_chat(ticket_of(ann), data="b")
        await ann.expect(" is connected.")
        bob.end_input()
        self.assertEqual(await bob.end(), 0)
        await ann.expect(" is gone.")
        self.assertEqual(ann.output, "")

    async def test_offline(self) -> None:
        """
        What was written while somebody was away is there when they come back, without a ticket.
        """
        ann = await self.start_chat(data="a")
        bob = await self.start_chat(ticket_of(ann), data="b")
        await ann.expect(" is connected.")
        ann.type("first\n")
        await bob.expect(": first")
        bob.kill(signal.SIGTERM)
        self.assertEqual(await bob.end(), 143)
        await ann.expect(" is gone.")
        ann.type("".join(f"while away {n}\n" for n in range(100)))
        await ann.expect(": while away 99")
        bob = await self.start_chat(data="b")
        await bob.expect(": first\n")
        await bob.expect(": while away 99\n")
        for n in range(100):
            self.assertIn(f": while away {n}\n", bob.output)
        bob.type("back\n")
        await ann.expect(": back\n")

    async def test_both_were_offline(self) -> None:
        """
        What both wrote alone is with both after they met again.
        """
        ann = await self.start_chat(data="a")
        bob = await self.start_chat(ticket_of(ann), data="b")
        await ann.expect(" is connected.")
        for process in (ann, bob):
            process.end_input()
            await process.end()
        await self.ask("chat", data="a", input="from ann\n")
        await self.ask("publish", "chat", "from bob", data="b")
        ann, bob = await self.start_chat(data="a"), await self.start_chat(data="b")
        await ann.expect(": from bob\n")
        await bob.expect(": from ann\n")

    async def test_one_shot(self) -> None:
        """
        `echo hello | p2panda chat TICKET` delivers before it ends.
        """
        ann = await self.start_chat(data="a")
        await self.ask("chat", ticket_of(ann), data="b", input="hello\nworld")
        await ann.expect(": hello\n")
        await ann.expect(": world\n")

    async def test_empty_input(self) -> None:
        """
        With nothing to say and nobody there, the chat ends at once, in order.
        """
        process = await self.ask("chat", data="a")
        self.assertIn("Made a new identity in", process.errors)
        self.assertNotIn("Made a new identity in", (await self.ask("chat", data="a")).errors)

    async def test_no_input(self) -> None:
        """
        A standard input that is closed from the beginning has ended, too; nothing else is read in its place.
        """
        command = f'exec "{sys.executable}" -m p2panda_tw.cli --data "{self.directory("a")}" chat <&-'
        process = self.start_program(["/bin/sh", "-c", command])
        self.assertEqual(await process.end(), 0, process.errors)
        self.assertEqual(process.output, "")

    async def test_nobody_there(self) -> None:
        """
        When the other one cannot be reached, the chat still ends after a few seconds, and the message is kept.
        """
        ann = await self.start_chat(data="a")
        ticket = ticket_of(ann)
        ann.kill(signal.SIGKILL)
        await ann.end()
        await self.ask("chat", ticket, data="b", input="hello\n")
        ann = await self.start_chat(data="a")
        bob = await self.start_chat(data="b")
        await ann.expect(": hello\n")
        bob.end_input()

    async def test_tickets(self) -> None:
        """
        A ticket comes from a file, too, or from standard input in front of the messages.
        """
        ann = await self.start_chat(data="a")
        ticket = ticket_of(ann)
        path = self.root / "ticket.txt"
        path.write_text(f"{ticket[:50]}\n{ticket[50:]}\n")
        await self.ask("chat", str(path), data="b", input="from a file\n")
        await ann.expect(": from a file\n")
        await self.ask("chat", "-", data="c", input=f"{ticket}\nfrom standard input\n")
        await ann.expect(": from standard input\n")

    async def test_wrong_ticket(self) -> None:
        """
        A wrong ticket is a usage error, told in a sentence.
        """
        process = await self.ask("chat", "p2panda1abc", data="a", code=2)
        self.assertIn("ticket", process.errors)
        process = await self.ask("chat", "no-such-topic", data="a", code=1)
        self.assertIn("'no-such-topic' is no ticket, no file, and no topic of this node", process.errors)

    async def test_new(self) -> None:
        """
        Without a ticket the last chat is opened again; --new begins another one, and each has its name.
        """
        tickets = [ticket_of(await self.ask("chat", *extra, data="a")) for extra in ((), (), ("--new",), (), ("chat",))]
        from p2panda_tw.endpoint.ticket import Ticket

        topics = [Ticket.decode(ticket).topic for ticket in tickets]
        self.assertEqual([topics.index(topic) for topic in topics], [0, 0, 2, 2, 0])

    async def test_nickname_is_remembered(self) -> None:
        """
        A nickname is chosen once.
        """
        await self.ask("chat", "--nick", "ann", data="a", input="hello\n")
        again = await self.ask("chat", data="a", input="me again\n")
        self.assertIn("You are ann", again.errors)
        self.assertIn(" ann: hello\n", again.output)
        self.assertIn(" ann: me again\n", again.output)
        self.assertEqual(again.output.count("is now ann"), 1)
        other = await self.ask("chat", "--new", data="a", input="here, too\n")
        self.assertIn(" ann: here, too\n", other.output)

    async def test_history(self) -> None:
        """
        Old messages are shown at the beginning, as many as one wants.
        """
        await self.ask("chat", data="a", input="".join(f"message {n}\n" for n in range(10)))
        again = await self.ask("chat", "--history", "3", data="a")
        self.assertEqual(re.findall(r"message \d", again.output), ["message 7", "message 8", "message 9"])
        self.assertIn("7 earlier messages", again.errors)

    async def test_hostile_text(self) -> None:
        """
        What a peer writes cannot drive the terminal.
        """
        ann = await self.start_chat(data="a")
        await self.ask("chat", ticket_of(ann), data="b", input="\x1b[2J\x1b]0;owned\x07\n")
        await ann.expect("␛[2J␛]0;owned␇")
        self.assertNotIn("\x1b", ann.output + ann.errors)

    async def test_many_lines(self) -> None:
        """
        A long input is published whole, and arrives whole.
        """
        ann = await self.start_chat(data="a")
        await self.ask("chat", ticket_of(ann), data="b", input="".join(f"line {n}.\n" for n in range(2000)))
        await ann.expect(": line 1999.\n")
        self.assertEqual(re.findall(r"line (\d+)\.", ann.output), [str(n) for n in range(2000)])

    async def test_interrupted(self) -> None:
        """
        Ctrl-C leaves in order: the other one sees it at once, and what was written has arrived.
        """
        ann = await self.start_chat(data="a")
        bob = await self.start_chat(ticket_of(ann), data="b")
        await ann.expect(" is connected.")
        bob.type("last words\n")
        await bob.expect("last words")
        bob.kill(signal.SIGINT)
        self.assertEqual(await bob.end(), 130)
        await ann.expect("last words")
        await ann.expect(" is gone.")
        self.assertNotIn("Traceback", bob.errors)

    async def test_chat_form(self) -> None:
        """
        A topic in the form of upstream's chat works alike.
        """
        ann = await self.start_chat("--form", "chat", data="a")
        bob = await self.start_chat(ticket_of(ann), "--nick", "bob", data="b")
        bob.type("hello\n")
        await ann.expect("is now bob\n")
        await ann.expect(" bob: hello\n")
        tail = await self.ask("tail", "--no-follow", "--json", "chat", data="a")
        self.assertIn('"value": "hello\\n"', tail.output)

    async def test_commands_meanwhile(self) -> None:
        """
        While a chat is open, other commands work through it.
        """
        ann = await self.start_chat(data="a")
        await self.ask("publish", "chat", "from a script", data="a")
        await ann.expect(": from a script\n")
        self.assertIn("chat", (await self.ask("status", data="a")).output)


class KeeperTests(CommandTestCase):
    """
    A node that is always there.
    """

    async def test_third(self) -> None:
        """
        A daemon that was given a ticket keeps the topic for somebody who joins when its author has left.
        """
        ann = self.start("chat", data="a")
        await ann.expect("p2panda chat p2panda1")
        ann.type("hello from before\n")
        await ann.expect("hello from before")
        path = self.directory("keeper") / "p2panda.toml"
        path.write_text(path.read_text() + f'[[peer]]\nticket = "{ticket_of(ann)}"\n')
        code = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
        keeper = self.start_program(
            [sys.executable, "-c", code, "-n", "--pidfile=", "p2panda", "--data", str(self.directory("keeper"))]
        )
        await ann.expect(" is connected.")
        ann.end_input()
        self.assertEqual(await ann.end(), 0)
        (topic,) = (await self.ask("topic", "list", data="keeper")).output.splitlines()
        ticket = (await self.ask("ticket", topic.split()[0], data="keeper")).output.strip()
        carl = self.start("chat", ticket, data="c")
        await carl.expect(": hello from before")
        keeper.kill()
        await keeper.end()
