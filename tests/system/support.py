"""
Processes of L{tests.system.support_node}, as tests drive them: without a reactor, because everything that happens does so
in other processes.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import p2panda_tw

__all__ = ["LINUX_ONLY", "PATIENCE", "NodeProcess", "Refused", "SystemTestCase", "environment", "in_threads", "until"]

PATIENCE: Final = 60.0
"""
Seconds after which a test gives up. Nothing takes a tenth of it on a quiet machine.
"""

LINUX_ONLY: Final = "Peak memory, further loopback addresses and limits of file sizes are used as Linux has them."

SETTINGS: Final = """
[tls]
listen = "127.0.0.1:{port}"
[iroh]
enabled = false
"""
"""
Everything else is as by default. The interface is chosen so that tests stay on the machine, the port so that it is the
same after a new start.
"""


def environment() -> dict[str, str]:
    """
    @return: What a process needs to find this package and the tests.
    """
    import tests

    roots = {str(Path(package.__path__[0]).parent) for package in (p2panda_tw, tests)}
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*sorted(roots), os.environ.get("PYTHONPATH", "")])}


def free_port() -> int:
    """
    @return: A port that nobody uses at this moment.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Refused(Exception):
    """
    A request failed in the process.

    @ivar kind: The name of the exception there.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class NodeProcess:
    """
    One process with one node.

    @ivar home: Its data directory lies in it, and its log.
    @ivar node_id: In hex, once it has started.
    @ivar told: What it told on its own, in order.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.node_id = ""
        self.told: list[dict[str, Any]] = []
        self._numbers = itertools.count()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._changed = threading.Condition()
        self._ended = False
        if not self.data.exists():
            self.data.mkdir(parents=True, mode=0o700)
            (self.data / "p2panda.toml").write_text(SETTINGS.format(port=free_port()))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.support_node", str(self.data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        assert self.process.stdout is not None  # it is a pipe
        self._thread = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, output: IO[bytes]) -> None:
        for line in output:
            if not line.endswith(b"\n"):
                break  # it was killed while it told something
            said = json.loads(line)
            with self._changed:
                if "id" in said:
                    self._answers.pop(said["id"]).put(said)
                else:
                    self.told.append(said)
                    self._changed.notify_all()
        output.close()
        with self._changed:
            self._ended = True
            for waiting in self._answers.values():
                waiting.put(None)
            self._changed.notify_all()

    def begin(self, do: str, **arguments: Any) -> Callable[[], dict[str, Any]]:
        """
        Ask for something.

        @return: Call it to wait for the answer. It raises L{Refused} if that is an error.
        """
        number = next(self._numbers)
        answer: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._changed:
            self._answers[number] = answer
            if self._ended:
                answer.put(None)
        assert self.process.stdin is not None  # it is a pipe
        try:
            self.process.stdin.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer tells so

        def wait(timeout: float = PATIENCE) -> dict[str, Any]:
            said = answer.get(timeout=timeout)
            if said is None:
                raise Refused("Ended", f"The process ended before it answered {do}.")
            if "error" in said:
                raise Refused(said["error"], said["message"])
            return said

        return wait

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """
        Ask for something and wait for the answer.
        """
        return self.begin(do, **arguments)()

    def start(self) -> NodeProcess:
        """
        Start the node in it.
        """
        self.node_id = self.ask("start")["node_id"]
        return self

    def wait_until_told(self, done: Callable[[list[dict[str, Any]]], bool], timeout: float = PATIENCE) -> None:
        """
        Wait until what it told is enough.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: done(self.told) or self._ended, timeout) or not done(self.told):
                raise AssertionError(f"It told too little: {self.told[-3:]}")

    def kill(self) -> None:
        """
        Kill it with no chance to do anything, and take what it had told.
        """
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._thread.join()
        self._close()

    def end(self) -> None:
        """
        Let it stop in order; it has got to.
        """
        if self.process.poll() is None:
            assert self.process.stdin is not None  # it is a pipe
            try:
                self.process.stdin.close()
                self.process.wait(PATIENCE)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                raise
            finally:
                self.process.wait()
        self._thread.join()
        self._close()

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                pass  # something was not written that nobody waits for

    @property
    def log(self) -> list[dict[str, str]]:
        """
        What it logged, from warnings on.
        """
        path = self.home / "log.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


class SystemTestCase(SynchronousTestCase):
    """
    Starts nodes, and leaves none behind.
    """

    timeout = 280

    def setUp(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SkipTest(LINUX_ONLY)
        self.home = Path(self.mktemp()).absolute()
        self.processes: list[NodeProcess] = []
        self.addCleanup(self._end)

    def _end(self) -> None:
        for process in self.processes:
            if process.process.poll() is None:
                process.kill()

    def node(self, name: str) -> NodeProcess:
        """
        Start the node C{name}, perhaps again.
        """
        process = NodeProcess(self.home / name)
        self.processes.append(process)
        return process.start()

    def assert_no_traces(self, node: NodeProcess) -> None:
        """
        Nothing in the log is a mistake of ours.
        """
        wrong = [entry for entry in node.log if entry["level"] != "warn" or "Traceback" in entry["text"]]
        self.assertEqual(wrong, [])

    def warnings(self, node: NodeProcess, peer: str) -> list[str]:
        """
        @return: What was warned about a peer.
        """
        return [entry["text"] for entry in node.log if entry["level"] == "warn" and peer in entry["text"]]

    def assert_unique(self, node: NodeProcess) -> None:
        """
        Nothing was said twice.
        """
        again = [text for text, count in Counter(entry["text"] for entry in node.log).items() if count > 1]
        self.assertEqual(again, [])


def until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """
    Look every few milliseconds.
    """
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"It never came to this: {what}.")
        pause.wait(0.02)


def in_threads(calls: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """
    Call all at the same time.

    @return: What each returned. The first exception is raised when all have ended.
    """
    results: dict[str, Any] = {}
    errors: list[BaseException] = []

    def run(name: str, call: Callable[[], Any]) -> None:
        try:
            results[name] = call()
        except BaseException as error:
            error.add_note(f"in {name}")
            errors.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
