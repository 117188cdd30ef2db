"""
Tests for L{p2panda_tw.commands} and L{p2panda_tw.control}: what the command line asks of a node.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred

from p2panda_tw.commands import Commands
from p2panda_tw.control import SOCKET_PATH_LENGTH, Control, control_site, socket_path
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.node import DATABASE_FILE
from tests.nodes import NodeTestCase


class CommandsTests(NodeTestCase):
    """
    The commands themselves.
    """

    def setUp(self) -> None:
        """
        A node with a named topic.
        """
        super().setUp()
        self.alice = self.started("alice", sync_remembered=True)
        self.commands = Commands(self.alice)
        self.made = self.run_(self.commands.new_topic("ours"))

    def everything(self, **arguments: Any) -> list[Any]:
        """
        @return: The values that C{tail} gives.
        """

        async def read() -> list[Any]:
            return [each["value"] async for each in self.commands.tail("ours", follow=False, **arguments)]

        values: list[Any] = self.run_(read())
        return values

    def refused(self, command: Coroutine[Any, Any, object]) -> str:
        """
        @return: Why.
        """
        return self.failed(Deferred.fromCoroutine(command), LocalProtocolError).getErrorMessage()

    def test_reading_a_left_topic(self) -> None:
        """
        Who reads a topic that was left has not come back to it.
        """
        self.run_(self.commands.publish("ours", "old"))
        self.run_(self.commands.leave_topic("ours"))
        self.assertEqual(self.everything(), ["old"])
        (record,) = self.run_(self.commands.topics())
        self.assertTrue(record["left"])

    def test_publishing_to_a_left_topic(self) -> None:
        """
        Nor has who publishes something into it.
        """
        self.run_(self.commands.leave_topic("ours"))
        self.run_(self.commands.publish("ours", "a note"))
        self.assertEqual(self.everything(), ["a note"])
        (record,) = self.run_(self.commands.topics())
        self.assertTrue(record["left"])

    def test_new_topic(self) -> None:
        """
        A new topic has a name, a form and a ticket that leads into it; names are used once.
        """
        self.assertEqual(
            self.run_(self.commands.topics()),
            [{"topic": self.made["topic"], "name": "ours", "form": "node", "left": False}],
        )
        self.assertTrue(self.made["ticket"].startswith("p2panda1"))
        self.refused(self.commands.new_topic("ours"))
        self.refused(self.commands.new_topic("b", "diary"))
        for name in ("two\nlines", "x" * 101):
            self.assertIn("one line", self.refused(self.commands.new_topic(name)))

    def test_publish_and_tail(self) -> None:
        """
        What was published can be read, by name or by topic; whoever reads under a name gets each message once.
        """
        published = self.run_(self.commands.publish("ours", "one"))
        self.assertEqual(published["seq_num"], 0)
        self.run_(self.commands.publish(self.made["topic"], {"two": b"\x02", "of": [None, 1.5]}))
        both = ["one", {"two": "02", "of": [None, 1.5]}]
        self.assertEqual(self.everything(), both)
        self.assertEqual(self.everything(name="me"), both)
        self.assertEqual(self.everything(name="me"), [])
        self.assertEqual(self.everything(name="me", beginning=True), both)

    def test_tail_of_nothing(self) -> None:
        """
        A topic without messages ends at once if nobody waits for more.
        """
        self.assertEqual(self.everything(), [])

    def test_confirm(self) -> None:
        """
        The user may say that nobody has more of our logs than we do.
        """
        self.wait(self.alice.stopService())
        (self.home / "alice" / DATABASE_FILE).unlink()
        alice = self.started("alice")
        self.assertTrue(alice.store.must_confirm)
        self.run_(Commands(alice).confirm_own_logs())
        self.assertFalse(alice.store.must_confirm)

    def test_leave_and_forget(self) -> None:
        """
        A topic can be left and forgotten; an unknown one is named in the answer.
        """
        self.run_(self.commands.leave_topic("ours"))
        self.assertEqual([topic["left"] for topic in self.run_(self.commands.topics())], [True])
        self.run_(self.commands.forget_topic("ours"))
        self.assertIn("'ours'", self.refused(self.commands.ticket("ours")))


class SocketTests(NodeTestCase):
    """
    The commands over HTTP.
    """

    def setUp(self) -> None:
        """
        A node and a client of its control socket.
        """
        super().setUp()
        self.alice = self.started("alice")
        self.commands = Commands(self.alice)
        self.client = StubTreq(control_site(self.commands).resource)

    def call(self, name: str, body: bytes = b"{}") -> tuple[int, Any]:
        """
        @return: Code and content of an answer.
        """
        answering = self.client.post(f"http://node/{name}", data=body)
        self.until(lambda: self.client.flush() is None and answering.called)
        response = self.successResultOf(answering)
        reading: Deferred[bytes] = response.content()
        self.until(lambda: self.client.flush() is None and reading.called)
        return response.code, json.loads(self.successResultOf(reading))

    def test_answers(self) -> None:
        """
        A command is answered with JSON.
        """
        code, made = self.call("new_topic", b'{"name": "ours"}')
        self.assertEqual((code, made["name"]), (200, "ours"))
        self.assertEqual(self.call("publish", b'{"topic": "ours", "value": "x"}')[1]["seq_num"], 0)
        self.assertEqual(self.call("status")[1]["node_id"], self.alice.node_id.hex())

    def test_refuses(self) -> None:
        """
        What cannot be done is answered with a sentence.
        """
        self.assertEqual(self.call("dance"), (404, {"error": "There is no command 'dance'."}))
        self.assertEqual(self.call("ticket", b"[]"), (400, {"error": "The arguments are a JSON object."}))
        for name, body in (("ticket", b"{"), ("ticket", b'{"colour": 1}'), ("ticket", b'{"topic": "none"}')):
            code, answer = self.call(name, body)
            self.assertEqual((code, list(answer)), (400, ["error"]))

    def test_tail(self) -> None:
        """
        C{tail} answers with one object per line.
        """
        self.call("new_topic", b'{"name": "ours"}')
        self.call("publish", b'{"topic": "ours", "value": "x"}')
        self.assertEqual(self.call("tail", b'{"topic": "ours", "follow": false}')[1]["value"], "x")
        self.assertEqual(self.call("tail", b'{"topic": "none", "follow": false}')[0], 400)

    def test_path(self) -> None:
        """
        The socket is in the data directory, unless its path were too long for a socket.
        """
        self.assertEqual(socket_path(Path("/data")), Path("/data/control.sock"))
        long = socket_path(Path("/" + "d" * SOCKET_PATH_LENGTH))
        self.assertLessEqual(len(str(long)), SOCKET_PATH_LENGTH)
        self.assertEqual(long, socket_path(Path("/" + "d" * SOCKET_PATH_LENGTH)))

    def test_listens_privately(self) -> None:
        """
        Only the owner may open the socket; what a dead process left is replaced.
        """
        path = self.home / "left.sock"
        path.touch()
        control = Control(self.reactor, self.commands, path)
        control.startService()
        self.assertEqual([(server[0], server[3]) for server in self.reactor.unixServers[-1:]], [(str(path), 0o600)])
        self.assertFalse(path.exists())
        self.wait(control.stopService())
