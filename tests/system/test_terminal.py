"""
C{p2panda chat} as a person sees it: a process with a terminal.
"""

from __future__ import annotations

import re
import signal

from tests.system.commands import CommandTestCase, Process


class TerminalTests(CommandTestCase):
    """
    Somebody types.
    """

    async def start_chat(self, *arguments: str, data: str) -> Process:
        process = self.start("chat", *arguments, data=data, terminal=True)
        await process.expect("You are ")
        await process.expect("nobody is connected")
        return process

    async def test_talk(self) -> None:
        """
        A message that is entered appears once, with name and time, also at the other end.
        """
        ann = await self.start_chat("--nick", "ann", data="a")
        found = re.search(r"p2panda chat (p2panda1[a-z2-7\s]+)", ann.output)
        assert found is not None
        bob = self.start("chat", "".join(found.group(1).split()), data="b")
        await ann.expect("connected: ")
        ann.type("hello\r")
        await bob.expect(" ann: hello\n")
        bob.type("/nick bob\nhi ann\n")
        await ann.expect("is now bob")
        await ann.expect("hi ann")
        ann.type("\x04")
        self.assertEqual(await ann.end(), 0)

    async def test_commands(self) -> None:
        """
        Lines with a slash are obeyed, not sent.
        """
        ann = await self.start_chat(data="a")
        ann.type("/help\r")
        await ann.expect("who is connected, and who wrote here")
        ann.type("/nick ann\r")
        await ann.expect("is now ann")
        ann.type("/who\r")
        await ann.expect("this is you")
        ann.type("/nonsense\r")
        await ann.expect("There is no /nonsense")
        ann.type("//slash\r")
        await ann.expect("/slash")
        ann.type("/quit\r")
        self.assertEqual(await ann.end(), 0)
        self.assertEqual(
            [line.split("  ")[2] for line in (await self.ask("tail", "chat", data="a")).output.splitlines()],
            ["/nick ann", "/slash"],
        )

    async def test_control_c(self) -> None:
        """
        Ctrl-C leaves, with the exit code that shells know.
        """
        ann = await self.start_chat(data="a")
        ann.type("\x03")
        self.assertEqual(await ann.end(), 130)
        self.assertNotIn("Traceback", ann.output)

    async def test_terminated(self) -> None:
        """
        SIGTERM leaves in order, too, and gives the terminal back as it was.
        """
        ann = await self.start_chat(data="a")
        ann.type("unfinished")
        await ann.expect("unfinished")
        ann.kill(signal.SIGTERM)
        self.assertEqual(await ann.end(), 143)
        self.assertTrue(ann.output.rstrip().endswith("\x1b[?2004l") or "\x1b[?2004l" in ann.output, ann.output[-200:])
