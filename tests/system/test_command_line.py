"""
The command line as a script uses it: real processes, one data directory each.
"""

from __future__ import annotations

import json
import signal
import sys

from p2panda_tw.endpoint.ticket import Ticket
from tests.system.commands import CommandTestCase, Process


class StoreTests(CommandTestCase):
    """
    Without a running node, commands use the store themselves.
    """

    async def test_publish_and_tail(self) -> None:
        """
        What was published is printed, in order, and a named reader goes on where it stopped.
        """
        await self.ask("topic", "new", "work", data="a")
        await self.ask("publish", "work", "one", data="a")
        await self.ask("publish", "work", data="a", input="two\n\nthree")
        first = await self.ask("tail", "work", "--name", "me", "--json", data="a")
        self.assertEqual([json.loads(line)["value"] for line in first.output.splitlines()], ["one", "two", "three"])
        await self.ask("publish", "work", "-", "--whole", data="a", input="four\nfive\n")
        await self.ask("publish", "work", "--values", '{"six": [7]}', data="a")
        second = await self.ask("tail", "work", "--name", "me", "--json", data="a")
        self.assertEqual(
            [json.loads(line)["value"] for line in second.output.splitlines()], ["four\nfive\n", {"six": [7]}]
        )
        again = await self.ask("tail", "work", "--name", "me", "--from-beginning", data="a")
        self.assertEqual(len(again.output.splitlines()), 5)

    async def test_ids(self) -> None:
        """
        `publish` prints the id of each message, under which `tail` shows it.
        """
        await self.ask("topic", "new", "work", data="a")
        published = await self.ask("publish", "work", "--json", data="a", input="x\ny\n")
        printed = await self.ask("tail", "work", "--json", data="a")
        self.assertEqual(
            [(m["id"], m["seq_num"]) for m in map(json.loads, published.output.splitlines())],
            [(m["id"], m["seq_num"]) for m in map(json.loads, printed.output.splitlines())],
        )

    async def test_topics(self) -> None:
        """
        Topics are made, listed, left and forgotten; a name is taken once.
        """
        ticket = await self.ask("topic", "new", "work", data="a")
        self.assertTrue(ticket.output.startswith("p2panda1"), ticket.output)
        taken = await self.ask("topic", "new", "work", data="a", code=1)
        self.assertEqual(len(taken.errors.splitlines()), 1, taken.errors)
        await self.ask("topic", "new", "upstream", "--form", "chat", data="a")
        await self.ask("topic", "leave", "work", data="a")
        listed = json.loads((await self.ask("topic", "list", "--json", data="a")).output)
        self.assertEqual(
            sorted((r["name"], r["form"], r["left"]) for r in listed),
            [("upstream", "chat", False), ("work", "node", True)],
        )
        shown = (await self.ask("topic", "list", data="a")).output
        for record in listed:
            self.assertNotIn(record["topic"], shown)
        await self.ask("topic", "forget", "upstream", data="a", input="n\n", code=1)
        await self.ask("topic", "forget", "upstream", "--yes", data="a")
        left = json.loads((await self.ask("topic", "list", "--json", data="a")).output)
        self.assertEqual([r["name"] for r in left], ["work"])

    async def test_beginning_of_an_id(self) -> None:
        """
        A topic without a name is addressed by what `topic list` shows of it.
        """
        made = json.loads((await self.ask("topic", "new", "--json", data="a")).output)
        shown = (await self.ask("topic", "list", data="a")).output.split()[0]
        self.assertTrue(made["topic"].startswith(shown))
        await self.ask("publish", shown, "hello", data="a")
        self.assertIn("hello", (await self.ask("tail", shown, data="a")).output)

    async def test_unknown_topic(self) -> None:
        """
        A topic that is not there is told in one sentence.
        """
        process = await self.ask("tail", "nothing", data="a", code=1)
        self.assertEqual(process.errors.count("\n"), 1)
        self.assertIn("'nothing'", process.errors)

    async def test_status(self) -> None:
        """
        `status` tells id and topics also when nothing runs.
        """
        await self.ask("topic", "new", "work", data="a")
        node_id = (await self.ask("id", data="a")).output.strip()
        status = json.loads((await self.ask("status", "--json", data="a")).output)
        self.assertEqual((status["running"], status["node_id"]), (False, node_id))
        self.assertIn("work", (await self.ask("status", data="a")).output)

    async def test_ticket(self) -> None:
        """
        A ticket of a node that does not run leads to where it will run.
        """
        ticket = Ticket.decode((await self.ask("ticket", data="a")).output)
        self.assertEqual([address.host for address in ticket.addresses], ["127.0.0.1"])
        nowhere = await self.ask("ticket", "--data", str(self.root / "b"))
        self.assertEqual(Ticket.decode(nowhere.output).addresses, ())
        self.assertIn("names no address yet", nowhere.errors)

    async def test_not_text(self) -> None:
        """
        Bytes that are no text are refused by line, what came before is published.
        """
        await self.ask("topic", "new", "work", data="a")
        process = self.start("publish", "work", data="a")
        process.transport.write(b"fine\n\xff\xfe\n")
        process.end_input()
        self.assertEqual(await process.end(), 1)
        self.assertIn("Line 2 is not UTF-8 text.", process.errors)
        self.assertIn("fine", (await self.ask("tail", "work", data="a")).output)


class IdentityTests(CommandTestCase):
    """
    Who a node is.
    """

    async def test_id(self) -> None:
        """
        The id is made at first use, said so once, and stays.
        """
        first = await self.ask("id", data="a")
        second = await self.ask("id", data="a")
        self.assertEqual(first.output, second.output)
        self.assertIn("Made a new identity", first.errors)
        self.assertEqual(second.errors, "")

    async def test_move(self) -> None:
        """
        An identity is exported and imported elsewhere, each time with the warning about two devices.
        """
        node_id = (await self.ask("id", data="a")).output
        exported = await self.ask("identity", "export", data="a")
        self.assertIn("two devices", exported.errors)
        imported = await self.ask("identity", "import", data="b", input=exported.output)
        self.assertIn("two devices", imported.errors)
        self.assertEqual(imported.output, node_id)
        self.assertEqual((await self.ask("id", data="b")).output, node_id)

    async def test_file(self) -> None:
        """
        An exported file is for the owner's eyes, and overwrites nothing.
        """
        await self.ask("id", data="a")
        path = self.root / "backup"
        await self.ask("identity", "export", str(path), data="a")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        again = await self.ask("identity", "export", str(path), data="a", code=1)
        self.assertIn("exists", again.errors)
        await self.ask("identity", "import", str(path), data="b")

    async def test_other_identity(self) -> None:
        """
        An identity that is there is not replaced by accident.
        """
        mine = (await self.ask("id", data="a")).output
        other = await self.ask("identity", "export", data=await self.with_identity("b"))
        refused = await self.ask("identity", "import", data="a", input=other.output, code=2)
        self.assertIn("another identity", refused.errors)
        self.assertEqual((await self.ask("id", data="a")).output, mine)
        await self.ask("identity", "import", "--force", data="a", input=other.output)
        self.assertNotEqual((await self.ask("id", data="a")).output, mine)

    async def with_identity(self, data: str) -> str:
        await self.ask("id", data=data)
        return data


class TwistdTests(CommandTestCase):
    """
    The daemon, and commands that talk to it.
    """

    def start_twistd(self, data: str, *, program: str = "twistd") -> Process:
        directory = self.directory(data)
        code = f"import sys; from twisted.scripts.{program} import run; sys.exit(run())"
        if program == "twist":
            code = "import sys; from twisted.application.twist._twist import Twist; sys.exit(Twist.main())"
            arguments = ["--log-format=text", "p2panda", "--data", str(directory)]
        else:
            arguments = ["-n", "--pidfile=", "p2panda", "--data", str(directory)]
        return self.start_program([sys.executable, "-c", code, *arguments])

    async def test_commands(self) -> None:
        """
        While the daemon runs, every command asks it; it ends in order at SIGTERM.
        """
        await self.ask("topic", "new", "work", data="a")
        node_id = (await self.ask("id", data="a")).output.strip()
        daemon = self.start_twistd("a")
        await daemon.expect(f"Node {node_id} runs. Ticket: p2panda1")
        reader = self.start("tail", "work", data="a")
        await self.ask("publish", "work", "hello", data="a")
        await reader.expect("hello")
        await self.ask("publish", "work", data="a", input="a\nb\n")
        await reader.expect("  b\n")
        self.assertEqual(len((await self.ask("tail", "--no-follow", "work", data="a")).output.splitlines()), 3)
        status = json.loads((await self.ask("status", "--json", data="a")).output)
        self.assertEqual((status["running"], status["node_id"]), (True, node_id))
        self.assertTrue((await self.ask("ticket", "work", data="a")).output.startswith("p2panda1"))
        await self.ask("topic", "new", "more", data="a")
        self.assertIn("more", (await self.ask("topic", "list", data="a")).output)
        await self.ask("tail", "nothing", data="a", code=1)
        reader.kill(signal.SIGINT)
        self.assertEqual(await reader.end(), 130)
        daemon.kill(signal.SIGTERM)
        self.assertIn(await daemon.end(), (0, -signal.SIGTERM))
        self.assertFalse((self.directory("a") / "control.sock").exists())
        self.assertEqual(len((await self.ask("tail", "work", data="a")).output.splitlines()), 3)

    async def test_nobody_reads(self) -> None:
        """
        A reader whose output nobody takes any more, `p2panda tail work | head -1`, ends without waiting for a message.
        """
        await self.ask("topic", "new", "work", data="a")
        await self.ask("publish", "work", "hello", data="a")
        daemon = self.start_twistd("a")
        await daemon.expect("Ticket:")
        reader = self.start("tail", "work", data="a")
        await reader.expect("hello")
        reader.transport.closeStdout()
        self.assertEqual(await reader.end(), 1)
        self.assertEqual(reader.errors, "")

    async def test_reader_outlives_daemon(self) -> None:
        """
        A reader whose daemon stops is told so, and fails.
        """
        await self.ask("topic", "new", "work", data="a")
        daemon = self.start_twistd("a")
        await daemon.expect("Ticket:")
        reader = self.start("tail", "work", data="a")
        await self.ask("publish", "work", "hello", data="a")
        await reader.expect("hello")
        daemon.kill()
        self.assertEqual(await reader.end(), 1)
        self.assertEqual(reader.errors.count("\n"), 1, reader.errors)

    async def test_twist(self) -> None:
        """
        `twist p2panda` is the same.
        """
        daemon = self.start_twistd("a", program="twist")
        await daemon.expect("Ticket: p2panda1")
        second = self.start_twistd("a", program="twist")
        self.assertEqual(await second.end(), 1)
        await second.expect("did not start")
        daemon.kill()
        await daemon.end()

    async def test_reactor(self) -> None:
        """
        Nobody has to ask for the asyncio reactor, on which iroh is fastest; another one can be asked for.
        """
        for more, reactor in (("[]", "AsyncioSelectorReactor"), ("['--reactor=select']", "SelectReactor")):
            code = (
                "from twisted.application.twist._options import TwistOptions; "
                f"TwistOptions().parseOptions([*{more}, 'p2panda']); "
                "from twisted.internet import reactor; print(type(reactor).__name__)"
            )
            process = self.start_program([sys.executable, "-c", code])
            self.assertEqual(await process.end(), 0)
            self.assertEqual(process.output.strip(), reactor)

    async def test_second_process(self) -> None:
        """
        A second daemon on one data directory is refused with one sentence and a non-zero exit code, and so is a chat.
        """
        daemon = self.start_twistd("a")
        await daemon.expect("Ticket:")
        second = self.start_twistd("a")
        self.assertEqual(await second.end(), 1)
        told = [line for line in (second.output + second.errors).splitlines() if "did not start" in line]
        self.assertEqual(len(told), 1)
        self.assertNotIn("Traceback", second.output + second.errors)
        chat = await self.ask("chat", data="a", code=3)
        self.assertEqual(chat.errors.count("\n"), 1)
        self.assertIn("--data DIR", chat.errors)
        daemon.kill()
        await daemon.end()

    async def test_configuration_mistake(self) -> None:
        """
        A wrong setting ends the start with one sentence that names the key.
        """
        (self.directory("a") / "p2panda.toml").write_text('[tls]\nlisten = "everywhere"\n')
        daemon = self.start_twistd("a")
        self.assertEqual(await daemon.end(), 1)
        (sentence,) = (daemon.output + daemon.errors).splitlines()
        self.assertIn("listen", sentence)
        chat = await self.ask("chat", data="a", code=2)
        self.assertEqual(chat.errors.count("\n"), 1)
        self.assertIn("listen", chat.errors)

    async def test_killed(self) -> None:
        """
        The socket that a killed daemon left behind is in nobody's way.
        """
        await self.ask("topic", "new", "work", data="a")
        daemon = self.start_twistd("a")
        await daemon.expect("Ticket:")
        daemon.kill(signal.SIGKILL)
        await daemon.end()
        await self.ask("publish", "work", "hello", data="a")
        daemon = self.start_twistd("a")
        await daemon.expect("Ticket:")
        self.assertIn("hello", (await self.ask("tail", "--no-follow", "work", data="a")).output)
        daemon.kill()
        await daemon.end()
