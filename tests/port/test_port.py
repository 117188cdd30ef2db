"""
A client that was written from the pages below C{docs/} alone, with pyOpenSSL, PyNaCl and blake3, shares a topic with a
running node. Real processes, loopback.
"""

from __future__ import annotations

import ast
import os
import select
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import IO, Final

from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from tests.port import client, tls
from tests.port.client import LOG_SYNC, Logs, Operation, Session, Ticket

COMMAND: Final = [sys.executable, "-m", "p2panda_tw.cli"]
PATIENCE: Final = 30.0
SETTINGS: Final = """\
[tls]
listen = "127.0.0.1:0"
[iroh]
enabled = false
"""


def read_line(stream: IO[bytes], wanted: str) -> str:
    """
    Read until a line holds C{wanted}.
    """
    deadline = time.monotonic() + PATIENCE
    line = b""
    while time.monotonic() < deadline:
        if select.select([stream], [], [], 0.1)[0]:
            byte = os.read(stream.fileno(), 1)
            if not byte:
                break
            line += byte
            if byte == b"\n":
                if wanted in line.decode():
                    return line.decode().strip()
                line = b""
    raise AssertionError(f"No line with {wanted!r} came; the last one began {line!r}.")


class PortTests(SynchronousTestCase):
    """
    Somebody else's client meets ours.
    """

    def setUp(self) -> None:
        warnings.simplefilter("ignore", DeprecationWarning)  # pyOpenSSL would rather be given cryptography's objects
        self.addCleanup(warnings.resetwarnings)
        directory = Path(self.mktemp())
        directory.mkdir(mode=0o700)
        (directory / "p2panda.toml").write_text(SETTINGS)
        self.command = [*COMMAND, "--data", str(directory)]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.run_command("topic", "new", "tea")
        self.run_command("publish", "tea", "one")
        self.run_command("publish", "tea", "two")
        self.node = subprocess.Popen(
            [*self.command, "chat", "tea"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            bufsize=0,
        )
        self.addCleanup(self.end_node)
        assert self.node.stdin is not None and self.node.stdout is not None and self.node.stderr is not None
        self.input, self.output = self.node.stdin, self.node.stdout
        self.ticket = Ticket.read(read_line(self.node.stderr, "p2panda chat p2panda1").split()[-1])
        self.key = SigningKey.generate()

    def run_command(self, *arguments: str) -> str:
        return subprocess.run(
            [*self.command, *arguments], env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def end_node(self) -> None:
        self.node.kill()
        self.node.communicate()

    def test_share_a_topic(self) -> None:
        """
        It catches up, sees what is published live, publishes, and gets its own messages back after losing everything.
        """
        logs = Logs()
        session = Session(self.key, self.ticket, logs)
        self.assertEqual([operation.text for operation in session.catch_up()], ["one", "two"])
        self.input.write(b"three\n")
        self.assertEqual(session.next_live().text, "three")
        time_us = time.time_ns() // 1000
        first = Operation.write(self.key, self.ticket.topic, "four", time_us, None)
        second = Operation.write(self.key, self.ticket.topic, "fünf " * 100, time_us + 1, first)
        session.publish(first)
        session.publish(second)
        self.assertIn("four", read_line(self.output, "four"))
        self.assertIn("fünf", read_line(self.output, "fünf"))
        session.close()

        session = Session(self.key, self.ticket, logs)
        self.assertEqual(session.catch_up(), [])
        third = Operation.write(self.key, self.ticket.topic, "six", time_us + 2, second)
        session.close()

        logs.add(third)
        session = Session(self.key, self.ticket, logs)
        self.assertEqual(session.catch_up(), [])
        session.close()
        self.assertIn("six", read_line(self.output, "six"))

        forgetful = Logs()
        session = Session(self.key, self.ticket, forgetful)
        session.catch_up()
        session.close()
        self.assertEqual(forgetful, logs)
        self.assertEqual(forgetful.tip(bytes(self.key.verify_key)), third)

    def test_unknown_topic(self) -> None:
        """
        Whoever does not know the topic learns nothing about it: the connection ends after the handshake.
        """
        stranger = Ticket(self.ticket.node_id, self.ticket.network_id, bytes(32), self.ticket.address)
        session = Session(self.key, stranger, Logs())
        self.assertRaises(tls.Lost, session.catch_up)

    def test_other_node_and_protocol(self) -> None:
        """
        A node cannot be taken for another one, and refuses protocols that it does not have.
        """
        with self.assertRaises(tls.Lost):
            tls.Connection(self.key, bytes(self.key.verify_key), self.ticket.address, LOG_SYNC)
        with self.assertRaises(tls.Lost):
            tls.Connection(self.key, self.ticket.node_id, self.ticket.address, b"no such protocol")

    def test_independence(self) -> None:
        """
        The client shares no code with us: it imports pyOpenSSL, PyNaCl, blake3 and the standard library.
        """
        names: set[str] = set()
        for module in (client, tls):
            for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names.add((node.module or "").partition(".")[0])
        self.assertEqual(names - sys.stdlib_module_names, {"OpenSSL", "blake3", "nacl", "tests"})
