# -*- test-case-name: tests.system.test_command_line -*-
"""
The node that already runs on a data directory, spoken to over its control socket (L{p2panda_tw.control}). Blocking, for
programs that have nothing else to do.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final

from p2panda_tw.errors import ConfigurationError, P2pandaError

__all__ = ["CommandFailed", "NotRunning", "RunningNode"]

ANSWER_TIMEOUT: Final = 60.0
"""
Seconds to wait for an answer. Publishing after a restored store takes up to 30.
"""


class NotRunning(Exception):
    """
    Nobody listens at the socket.
    """


class CommandFailed(P2pandaError):
    """
    The node said no; the message is its sentence.
    """


class _UnixConnection(HTTPConnection):
    """
    HTTP over a Unix socket.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """
        Called by the base class when it needs a socket.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
        except BaseException:
            self.sock.close()
            raise


class RunningNode:
    """
    The other end of a control socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _UnixConnection(path)

    def call(self, name: str, /, **arguments: Any) -> Any:
        """
        @return: What the method of L{p2panda_tw.commands.Commands} of that name returned.

        @raise NotRunning: Nobody listens there.
        @raise CommandFailed: The node said no, or did not answer.
        """
        try:
            return json.loads(self._post(name, arguments).read())
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(error) from error

    def tail(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        """
        @return: The messages of a topic. Ends when the node says so.

        @raise NotRunning: Nobody listens there.
        @raise CommandFailed: The node said no, or stopped in between.
        """
        response = self._post("tail", arguments)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(None)
        try:
            while line := response.readline():
                yield json.loads(line)
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """
        Hang up.
        """
        self._connection.close()

    def _post(self, name: str, arguments: dict[str, Any]) -> HTTPResponse:
        try:
            self._connection.request("POST", f"/{name}", json.dumps(arguments), {"content-type": "application/json"})
        except (FileNotFoundError, ConnectionRefusedError, AttributeError) as error:
            # AttributeError: a system without Unix sockets
            raise NotRunning(str(self._path)) from error
        except PermissionError as error:
            raise ConfigurationError(
                f"The node's control socket {self._path} belongs to another user; run this as that user."
            ) from error
        except OSError as error:
            raise self._broken(error) from error
        try:
            response = self._connection.getresponse()
            if response.status != 200:
                raise CommandFailed(json.loads(response.read())["error"])
        except (OSError, HTTPException, ValueError, KeyError) as error:
            raise self._broken(error) from error
        return response

    def _broken(self, error: Exception) -> CommandFailed:
        self._connection.close()
        if isinstance(error, TimeoutError):
            return CommandFailed(f"The node at {self._path} does not answer.")
        return CommandFailed(f"The node at {self._path} stopped before it had answered.")
