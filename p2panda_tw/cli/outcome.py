# -*- test-case-name: tests.cli.test_outcome -*-
"""
How a command ends: its exit code, and the one sentence that a person reads when it failed.
"""

from __future__ import annotations

import enum
import os
import select
import sys
import threading
import traceback

import click

from p2panda_tw.errors import ConfigurationError, P2pandaError, StoreError

__all__ = ["ExitCode", "Interrupted", "leave_with_reader", "report"]


class ExitCode(enum.IntEnum):
    """
    What a script can tell apart.
    """

    OK = 0
    FAILED = 1
    """
    It did not work, for a reason that stderr says.
    """

    USAGE = 2
    """
    The command line, the configuration or the identity file is wrong; nothing was done.
    """

    STORE = 3
    """
    The data directory cannot be used: another process has it, or it is damaged, full, or newer than this program.
    """

    INTERRUPTED = 130
    """
    Ctrl-C.
    """


class Interrupted(Exception):
    """
    A signal ended the command.

    @ivar signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"Ended by signal {signal_number}.")
        self.signal_number = signal_number


def report(error: BaseException, *, debug: bool) -> int:
    """
    Say on stderr what went wrong, in one sentence.

    @param debug: Show the traceback, too.

    @return: The exit code.
    """
    if debug and not isinstance(error, click.ClickException):
        traceback.print_exception(error)
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case SystemExit():
            return error.code if isinstance(error.code, int) else ExitCode.FAILED
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case click.Abort():
            # click turns Ctrl-C into this, and a "no" to a question, too
            return ExitCode.INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else ExitCode.FAILED
        case Interrupted(signal_number=number):
            return 128 + number
        case BrokenPipeError():
            _forget_output()
            return ExitCode.FAILED
        case ConfigurationError():
            return _say(str(error), ExitCode.USAGE)
        case StoreError():
            return _say(str(error), ExitCode.STORE)
        case P2pandaError():
            return _say(str(error), ExitCode.FAILED)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return _say(f"{where}{error.strerror or error}.", ExitCode.FAILED)
        case _:
            hint = "" if debug else " This is a mistake in p2panda; --debug shows more of it."
            return _say(f"{type(error).__name__}: {error}.{hint}", ExitCode.FAILED)


def leave_with_reader() -> None:
    """
    From now on end the process as soon as nobody reads its output any more. Otherwise one that waits for something to
    write, behind C{| head -1} for example, would notice only when it writes again.
    """
    if hasattr(select, "poll"):
        threading.Thread(target=_watch_output, name="standard output", daemon=True).start()


def _watch_output() -> None:
    output = select.poll()
    output.register(1, 0)  # nothing but errors, which are always told
    if any(what & select.POLLERR for _, what in output.poll()):
        os._exit(ExitCode.FAILED)  # whatever is still to be written would go nowhere


def _say(sentence: str, code: ExitCode) -> ExitCode:
    click.echo(f"p2panda: {sentence}", err=True)
    return code


def _forget_output() -> None:
    """
    Whoever read our output has gone. Without this the interpreter would complain about it while it leaves.
    """
    sys.stdout = open("/dev/null", "w")  # noqa: SIM115 -- stays open until the process ends
