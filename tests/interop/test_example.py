"""
The Python program of docs/python-and-rust.md, as a process, with a high-level Rust Node at the other end.
"""

from __future__ import annotations

import os
import secrets
import sys

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SkipTest
from typing_extensions import override

from p2panda_tw.core.topic import Topic
from tests.docs import ROOT
from tests.interop.case import InteropTestCase, reactor


class _Program(ProcessProtocol):
    """
    What it prints is in C{output}.
    """

    def __init__(self) -> None:
        self.output = b""
        self.errors = b""
        self.ended: Deferred[None] = Deferred()

    @override
    def outReceived(self, data: bytes) -> None:
        self.output += data

    @override
    def errReceived(self, data: bytes) -> None:
        self.errors += data

    @override
    def processEnded(self, reason: object) -> None:
        self.ended.callback(None)


class ExampleTests(InteropTestCase):
    """
    What a reader of the documentation types.
    """

    async def test_meet_rust(self) -> None:
        """
        Lines typed on either side appear on both.
        """
        example = ROOT / "docs" / "examples" / "meet_rust.py"
        if not example.is_file():
            raise SkipTest("The examples are not there.")
        topic = Topic(secrets.token_bytes(32))
        rust = await self.rust("node")
        await rust.open(topic)
        await rust.publish(topic, "from Rust")
        program = _Program()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
        arguments = [sys.executable, str(example), topic.hex(), str(rust.node_id), f"127.0.0.1:{rust.port}"]
        process = reactor.spawnProcess(program, sys.executable, arguments, environment, str(self.new_directory()))
        try:
            await self.until("it shows what the Rust node said", lambda: b"> from Rust\n" in program.output)
            process.write(b"from Python\n")
            await rust.seen("processed", message="from Python")
            await self.until("it shows what it said itself", lambda: b"> from Python\n" in program.output)
        finally:
            process.signalProcess("TERM")
            await program.ended
