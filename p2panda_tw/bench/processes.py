# -*- test-case-name: tests.system.test_bench -*-
"""
Worker processes of a measurement. Each is a Python of its own that takes one JSON object per line and answers with one
per line; what it prints on its error output goes to ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from p2panda_tw.errors import P2pandaError

__all__ = ["Worker", "WorkerFailed"]


class WorkerFailed(P2pandaError):
    """
    A worker process ended before it answered.
    """


class Worker:
    """
    One worker process. Leaving the C{with} block ends it.
    """

    def __init__(self, role: str) -> None:
        """
        @param role: What it does, one of L{p2panda_tw.bench.worker.ROLES}.
        """
        self._role = role
        self._process = subprocess.Popen(
            [sys.executable, "-m", "p2panda_tw.bench.worker", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **request: Any) -> None:
        """
        Send a request and do not wait.

        @raise WorkerFailed: The process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerFailed(f"The process for {self._role} has ended.") from error

    def answer(self) -> dict[str, Any]:
        """
        Wait for the next answer.

        @raise WorkerFailed: The process ended, or says that it failed.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"The process for {self._role} has ended.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(f"The process for {self._role} failed: {answer['error']}")
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """
        Send a request and wait for its answer.
        """
        self.tell(**request)
        return self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
