# -*- test-case-name: tests.test_tap -*-
"""
C{twistd -n p2panda} and C{twist p2panda}: a node as a daemon, which keeps and passes on every topic it knows.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.cli.loop import install
from p2panda_tw.process import settle

if TYPE_CHECKING:
    from p2panda_tw.node import Node

__all__ = ["Announcer", "Options", "fail_process", "makeService"]


class Options(usage.Options):
    """
    What follows C{p2panda} on the command line of twistd.
    """

    synopsis = "[options]"
    longdesc = (
        "Keep and pass on every topic of the data directory. Without options: the user's data directory, or "
        "$P2PANDA_HOME, with p2panda.toml in it if there is one."
    )
    optParameters = [  # noqa: RUF012 -- as Twisted spells it
        ["config", "c", None, "File with the settings, in place of p2panda.toml in the data directory."],
        ["data", "d", None, "Data directory: identity, store, control socket."],
    ]

    @override
    def postOptions(self) -> None:
        """
        Choose the reactor here already: C{twist} asks for one before it calls L{makeService}.
        """
        install()


class ConfigurationMistake(usage.UsageError, SystemExit):
    """
    A usage error; where nobody catches it (twistd does not), it ends the process with its sentence in place of a
    traceback.
    """

    def __init__(self, sentence: str) -> None:
        SystemExit.__init__(self, f"p2panda: {sentence}")

    @override
    def __str__(self) -> str:
        return str(self.code)


def makeService(options: Options, *, exit_with: Callable[[int], None] | None = None) -> IService:
    """
    @param exit_with: Called after a failed start to end the process; L{fail_process} by default.

    @return: The node.

    @raise usage.UsageError: The configuration is wrong; one sentence that names the key.
    """
    from p2panda_tw.config import Config
    from p2panda_tw.errors import ConfigurationError

    install()
    try:
        config = Config.load(options["config"], options["data"])
    except ConfigurationError as error:
        raise ConfigurationMistake(str(error)) from None

    from twisted.internet import reactor

    from p2panda_tw.node import Node

    node = Node(reactor, config, sync_remembered=True)
    Announcer(node.when_started, exit_with or fail_process).setServiceParent(node)
    return node


class Announcer(Service):
    """
    Logs how the start of a node went; ends the process if it failed.
    """

    _log = Logger()

    def __init__(self, when_started: Callable[[], Deferred[Node]], exit_with: Callable[[int], None]) -> None:
        """
        @param exit_with: Called with the exit code.
        """
        self._when_started = when_started
        self._exit_with = exit_with

    @override
    def startService(self) -> None:
        super().startService()
        self._when_started().addCallbacks(self._succeeded, self._failed)

    def _succeeded(self, node: Node) -> None:
        settle()
        self._log.info("Node {node_id} runs. Ticket: {ticket}", node_id=node.node_id, ticket=node.ticket())

    def _failed(self, failure: Failure) -> None:
        from p2panda_tw.errors import NodeStopped, P2pandaError

        if failure.check(NodeStopped):
            return
        if failure.check(P2pandaError):
            self._log.critical("The node did not start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("The node did not start", failure)
        self._exit_with(1)


def fail_process(code: int) -> None:
    """
    Stop the reactor in order and let the process end with an exit code, which twistd has no way to say.
    """
    from twisted.internet import reactor

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)
    cast(IReactorCore, reactor).stop()  # the module is replaced by the reactor
