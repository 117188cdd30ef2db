# -*- test-case-name: tests.system.test_command_line -*-
"""
Where a subcommand gets its answers: from the node that runs on the data directory, over its control socket; where none
runs, from a node of its own that uses the store and no network. The subcommand does not see which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from p2panda_tw.cli.loop import run
from p2panda_tw.cli.running import NotRunning, RunningNode
from p2panda_tw.cli.settings import Settings

if TYPE_CHECKING:
    from p2panda_tw.commands import Commands
    from p2panda_tw.config import Config

__all__ = ["Answers", "ask", "with_answers"]

T = TypeVar("T")

ATTEMPTS: Final = 10
"""
How often to try when the directory is locked, but nobody listens: a node that just starts or stops.
"""

ATTEMPT_DELAY: Final = 0.3
"""
Seconds between them.
"""


class Answers(Protocol):
    """
    What can be asked.

    @ivar is_running: A node runs, so that messages may come in.
    """

    is_running: bool

    def call(self, name: str, /, **arguments: Any) -> Awaitable[Any]:
        """
        Call the method of L{Commands} of that name.
        """

    def tail(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """
        The messages of a topic.
        """


def ask(settings: Settings, name: str, /, **arguments: Any) -> Any:
    """
    @return: What L{p2panda_tw.commands.Commands} answers to one question.
    """

    async def question(answers: Answers) -> Any:
        return await answers.call(name, **arguments)

    return with_answers(settings, question)


def with_answers(settings: Settings, work: Callable[[Answers], Coroutine[Any, Any, T]]) -> T:
    """
    Do something that takes several questions. May be called once per process.
    """
    from p2panda_tw.control import socket_path

    config = settings.load()
    running = _FromSocket(RunningNode(socket_path(config.data_directory)))
    try:
        return running.finish(work(running))
    except NotRunning:
        pass
    finally:
        running.close()
    import p2panda_tw.node  # noqa: F401 -- takes longer than a turn of the reactor may

    return run(lambda reactor: _with_own_node(reactor, config, work), debug=settings.debug)


async def _with_own_node(reactor: Any, config: Config, work: Callable[[Answers], Coroutine[Any, Any, T]]) -> T:
    from twisted.internet.task import deferLater

    from p2panda_tw.commands import Commands
    from p2panda_tw.control import socket_path
    from p2panda_tw.errors import StoreLocked
    from p2panda_tw.node import Node

    for attempts_left in reversed(range(ATTEMPTS)):
        node = Node(reactor, config, offline=True)
        node.startService()
        try:
            await node.when_started()
            return await work(_FromStore(Commands(node)))
        except StoreLocked:
            if not attempts_left:
                raise
        finally:
            await node.stopService()
        running = _FromSocket(RunningNode(socket_path(config.data_directory)))
        try:
            return running.finish(work(running))
        except NotRunning:
            await deferLater(reactor, ATTEMPT_DELAY)
        finally:
            running.close()
    raise AssertionError("The last attempt returned or raised.")


class _FromSocket:
    """
    A running node. Its methods are coroutines that never wait for a reactor: they block.
    """

    is_running = True

    def __init__(self, node: RunningNode) -> None:
        self._node = node

    async def call(self, name: str, /, **arguments: Any) -> Any:
        return self._node.call(name, **arguments)

    async def tail(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        for message in self._node.tail(**arguments):
            yield message

    def close(self) -> None:
        self._node.close()

    @staticmethod
    def finish(work: Coroutine[Any, Any, T]) -> T:
        """
        Run a coroutine that never waits.
        """
        try:
            work.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            work.close()
        raise AssertionError("A coroutine waited where there is no reactor.")


class _FromStore:
    """
    A node in this process.
    """

    is_running = False

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def call(self, name: str, /, **arguments: Any) -> Any:
        return await getattr(self._commands, name)(**arguments)

    def tail(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        return self._commands.tail(**arguments)
