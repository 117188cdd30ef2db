# -*- test-case-name: tests.test_commands -*-
"""
How the C{p2panda} command talks to a running node: HTTP and JSON over a Unix socket in the data directory. What can be
asked is in L{p2panda_tw.commands}.

Whoever can open the socket can do everything its owner can; it has mode 0600.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IPushProducer, IReactorUNIX
from twisted.logger import Logger
from twisted.web.http import BAD_REQUEST, INTERNAL_SERVER_ERROR, NOT_FOUND, Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.commands import Commands
from p2panda_tw.errors import ConfigurationError, LocalProtocolError, P2pandaError

__all__ = ["Control", "control_site", "socket_path"]

SOCKET_PATH_LENGTH: Final = 100
"""
Longest path of a Unix socket, in bytes, that every system takes (Linux 107, macOS 103).
"""


def socket_path(data_directory: Path) -> Path:
    """
    @return: Where the node of this data directory listens: C{control.sock} in it, or, where that path is too long for a
        socket, a name derived from it in the directory for temporary files.
    """
    path = data_directory.absolute() / "control.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LENGTH:
        return path
    digest = sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"p2panda-{digest}.sock"


class Control(Service):
    """
    The node's end of the socket.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorUNIX, commands: Commands, path: Path) -> None:
        """
        @param path: Where to listen. What a dead process left there is replaced: the caller holds the lock of the data
            directory.
        """
        self._reactor = reactor
        self._commands = commands
        self._path = path
        self._port: IListeningPort | None = None

    @override
    def startService(self) -> None:
        """
        @raise p2panda_tw.errors.ConfigurationError: The socket cannot be made there.
        """
        super().startService()
        try:
            self._path.unlink(missing_ok=True)
            # mypy sees no factory of protocols in a Site, whose protocol is an adapter.
            self._port = self._reactor.listenUNIX(
                os.fspath(self._path), cast(Any, control_site(self._commands)), mode=0o600
            )
        except OSError as error:
            raise ConfigurationError(f"The control socket {self._path} cannot be made: {error.strerror}.") from error

    @override
    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
            self._path.unlink(missing_ok=True)


def control_site(commands: Commands) -> Site:
    """
    @return: What is served on the socket.
    """
    return _ControlSite(_Api(commands))


class _ControlSite(Site):
    """
    Writes nothing to the log of the node for every command.
    """

    noisy = False

    @override
    def log(self, request: Request) -> None:
        """
        Unlike the base class, which logs each request.
        """


class _Api(Resource):
    """
    C{POST /NAME} with a JSON object of arguments calls the method of L{Commands} of that name; the answer is its result
    as JSON, or an object with C{error}, a sentence. C{tail} answers with one JSON object per line, as long as the
    client stays.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "status": commands.status,
            "topics": commands.topics,
            "new_topic": commands.new_topic,
            "leave_topic": commands.leave_topic,
            "forget_topic": commands.forget_topic,
            "ticket": commands.ticket,
            "publish": commands.publish,
            "confirm_own_logs": commands.confirm_own_logs,
        }
        self._commands = commands

    def render_POST(self, request: Request) -> int:
        """
        Answer one call.
        """
        gone: Deferred[Any] = request.notifyFinish()
        answering = Deferred.fromCoroutine(self._answer(request))
        gone.addErrback(lambda failure: answering.cancel())
        answering.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> None:
        name = request.path.strip(b"/").decode("ascii", "replace")
        request.setHeader(b"content-type", b"application/json")
        try:
            content = request.content
            arguments = json.loads((content.read() if content is not None else b"") or b"{}")
            if not isinstance(arguments, dict):
                raise LocalProtocolError("The arguments are a JSON object.")
            if name == "tail":
                await self._tail(request, arguments)
                return
            if name not in self._calls:
                request.setResponseCode(NOT_FOUND)
                raise LocalProtocolError(f"There is no command {name!r}.")
            result = await self._calls[name](**arguments)
        except (P2pandaError, TypeError, ValueError) as error:
            if request.code != NOT_FOUND:
                request.setResponseCode(BAD_REQUEST)
            result = {"error": str(error)}
        request.write(json.dumps(result).encode() + b"\n")
        request.finish()

    async def _tail(self, request: Request, arguments: dict[str, Any]) -> None:
        pace = _Pace()
        messages = self._commands.tail(**arguments)
        try:
            message = await anext(messages, None)
            request.registerProducer(pace, True)
            while message is not None:
                request.write(json.dumps(message).encode() + b"\n")
                await pace.wait()
                message = await anext(messages, None)
            request.unregisterProducer()
            request.finish()
        finally:
            await messages.aclose()

    def _failed(self, failure: Any, request: Request) -> None:
        if request._disconnected:
            return
        self._log.failure("A command failed", failure)
        if not request.startedWriting:
            request.setResponseCode(INTERNAL_SERVER_ERROR)
            request.write(json.dumps({"error": f"The node failed: {failure.getErrorMessage()}"}).encode() + b"\n")
        request.finish()


@implementer(IPushProducer)
class _Pace:
    """
    Lets a writer wait while its reader is slow.
    """

    def __init__(self) -> None:
        self._paused: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        self.resumeProducing()

    async def wait(self) -> None:
        if self._paused is not None:
            await self._paused
