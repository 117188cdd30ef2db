"""
Processes of the command line, for tests: start one, type, wait for what it prints.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from typing_extensions import override

import p2panda_tw

__all__ = ["CommandTestCase", "Process"]

PATIENCE: Final = 30.0
"""
Seconds after which a test gives up. Nothing takes a tenth of it on a quiet machine.
"""

CURSOR_QUESTION: Final = b"\x1b[6n"
"""
Asks a terminal where its cursor is.
"""

reactor: Any = global_reactor


def environment() -> dict[str, str]:
    """
    @return: What a process needs to find this package and nothing of the user's.
    """
    root = str(Path(p2panda_tw.__path__[0]).parent)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": root, "TERM": "xterm", "COLUMNS": "200", "LINES": "50", "PYTHONWARNINGS": "ignore"}


class Process(ProcessProtocol):
    """
    A running command.

    @ivar output: What it wrote to standard output so far.
    @ivar errors: The same of standard error; in a terminal everything is output.
    @ivar ended: Fires with the exit code; a negative one is the signal that ended it.
    """

    def __init__(self, arguments: list[str], directory: Path, *, terminal: bool = False) -> None:
        self.output = ""
        self.errors = ""
        self.ended: Deferred[int] = Deferred()
        self.code: int | None = None
        self._buffers = {1: bytearray(), 2: bytearray()}
        self._waiting: list[tuple[str, Deferred[None]]] = []
        self.arguments = arguments
        reactor.spawnProcess(self, arguments[0], arguments, environment(), str(directory), usePTY=terminal)

    @override
    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        if CURSOR_QUESTION in data:  # only asked of terminals
            self.transport.write(b"\x1b[1;1R")
        self._buffers[descriptor] += data
        self.output = self._buffers[1].decode("utf-8", "replace")
        self.errors = self._buffers[2].decode("utf-8", "replace")
        self._look()

    @override
    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.code = value.exitCode if value.signal is None else -value.signal
        waiting, self._waiting = self._waiting, []
        for text, waiter in waiting:
            waiter.errback(AssertionError(f"{self} ended before it wrote {text!r}:\n{self.output}\n{self.errors}"))
        self.ended.callback(self.code)

    def expect(self, text: str) -> Deferred[None]:
        """
        @return: Fires when C{text} was written to standard output or standard error, now or earlier.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append((text, waiter))
        if self.code is None:
            self._look()
            waiter.addTimeout(PATIENCE, reactor, self._late(text))
        else:
            self._look()
            if not waiter.called:
                waiter.errback(AssertionError(f"{self} has ended without {text!r}:\n{self.output}\n{self.errors}"))
        return waiter

    def type(self, text: str) -> None:
        """
        Write to its standard input.
        """
        self.transport.write(text.encode())

    def end_input(self) -> None:
        """
        Close its standard input.
        """
        self.transport.closeStdin()

    def kill(self, number: int = signal.SIGTERM) -> None:
        """
        Send it a signal.
        """
        self.transport.signalProcess(number)

    def end(self) -> Deferred[int]:
        """
        @return: The exit code, once it has ended.
        """
        waiter: Deferred[int] = Deferred()

        def ended(code: int) -> int:
            if not waiter.called:
                waiter.callback(code)
            return code

        self.ended.addCallback(ended)
        return waiter.addTimeout(PATIENCE, reactor, self._late("its end"))

    def _look(self) -> None:
        found = [item for item in self._waiting if item[0] in self.output or item[0] in self.errors]
        for item in found:
            self._waiting.remove(item)
            item[1].callback(None)

    def _late(self, what: str) -> Any:
        def late(result: Any, timeout: float) -> Any:
            if isinstance(result, Failure) and result.check(TimeoutError, Exception):
                raise AssertionError(f"{self} did not come to {what!r}:\n{self.output}\n{self.errors}")
            return result

        return late

    def __repr__(self) -> str:
        return " ".join(self.arguments)


class CommandTestCase(TestCase):
    """
    Starts commands, and leaves none behind.
    """

    timeout = 120

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir()
        self._processes: list[Process] = []

    async def tearDown(self) -> None:
        for process in self._processes:
            if process.code is None:
                process.kill(signal.SIGKILL)
                await process.end()

    def start(self, *arguments: str, data: str | None = None, terminal: bool = False) -> Process:
        """
        Start C{p2panda}.

        @param data: Name of its data directory below the directory of this test.
        @param terminal: Give it a terminal.
        """
        common = [] if data is None else ["--data", str(self.directory(data))]
        return self.start_program([sys.executable, "-m", "p2panda_tw.cli", *common, *arguments], terminal=terminal)

    def start_program(self, arguments: list[str], *, terminal: bool = False) -> Process:
        """
        Start any program.
        """
        process = Process(arguments, self.root, terminal=terminal)
        self._processes.append(process)
        return process

    def directory(self, data: str) -> Path:
        """
        @return: A data directory, which listens on the loopback interface only, always at the same port.
        """
        path = self.root / data
        if not path.exists():
            path.mkdir(mode=0o700)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            (path / "p2panda.toml").write_text(f'[tls]\nlisten = "127.0.0.1:{port}"\n[iroh]\nenabled = false\n')
        return path

    async def ask(self, *arguments: str, data: str | None = None, input: str = "", code: int = 0) -> Process:
        """
        Run C{p2panda} to its end, and check the exit code.
        """
        process = self.start(*arguments, data=data)
        process.type(input)
        process.end_input()
        self.assertEqual(await process.end(), code, f"{process}\n{process.output}\n{process.errors}")
        return process
