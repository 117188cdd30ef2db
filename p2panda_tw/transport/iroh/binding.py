# -*- test-case-name: tests.transport.test_iroh_binding -*-
"""
The door to the wheel: what of its generated module we reach for, and what its errors mean.

Importing this module imports the wheel.
"""

from __future__ import annotations

import enum
from asyncio import AbstractEventLoop

# The generated module types its functions loosely, and its private classes not at all.
from typing import Any, Final, cast

from iroh import IrohError, iroh_ffi

from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from p2panda_tw.transport.iroh.patch import patch_writing

__all__ = ["Ending", "cause", "cleaned", "connect_error", "set_event_loop", "stream_ending"]

_MAX_TEXT: Final = 200
"""
So much of a cause is shown, in characters. Parts of it come from the other node.
"""


class Ending(enum.Enum):
    """
    How one direction of a stream came to its end.
    """

    FINISHED = "finished"
    """
    In order: end of stream when reading, everything handed over and the end of stream behind it when writing.
    """

    UNWANTED = "unwanted"
    """
    The other node wants to read no more (STOP_SENDING with code 0: it let go of its half).
    """

    RESET = "reset"
    """
    The other node aborted it.
    """

    LOST = "lost"
    """
    The connection is gone.
    """


def set_event_loop(loop: AbstractEventLoop | None) -> None:
    """
    Tell the wheel on which loop its futures and callbacks live. It holds one for the whole process; without it
    callbacks fail silently. Also makes sending fast.
    """
    patch_writing(cast(Any, iroh_ffi)._UniffiRustBufferBuilder)
    iroh_ffi.uniffi_set_event_loop(cast(Any, loop))


def cause(error: IrohError) -> str:
    """
    @return: The last cause that an error names. Its text has several lines, the others with paths of the build.
    """
    lines = [line.strip() for line in error.message().splitlines()]
    return cleaned(next((line for line in reversed(lines) if line), "no reason given"))


def cleaned(text: str) -> str:
    """
    @return: What may be shown of a text to which the other node has contributed.
    """
    return text.encode("unicode_escape").decode("ascii")[:_MAX_TEXT]


def connect_error(error: IrohError) -> ConnectError:
    """
    @return: What a failed attempt to connect means.
    """
    text = cause(error)
    if "error 120:" in text:
        return NoCommonProtocol("The other node does not speak this protocol in this network.")
    if "error 48:" in text or "UnknownIssuer" in text:
        return WrongNode("Another node lives at this address.")
    return ConnectError(f"The node could not be reached over iroh: {text}.")


def stream_ending(error: IrohError) -> Ending:
    """
    @return: What an error while reading or writing says of the stream.
    """
    text = cause(error)
    if text == "Stopped(0)":
        return Ending.UNWANTED
    if text.startswith(("Reset(", "Stopped(")):
        return Ending.RESET
    return Ending.LOST
