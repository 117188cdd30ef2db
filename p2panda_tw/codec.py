# -*- test-case-name: tests.test_codec -*-
"""
How values of an application become bodies of operations, and back.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from p2panda_tw.errors import DecodeError, LocalProtocolError
from p2panda_tw.wire import cbor

__all__ = ["CBOR", "MAX_ITEMS", "TEXT", "Codec"]

MAX_ITEMS: Final = 100_000
"""
How many items a value may consist of, nested ones included: a body of 16 MiB could have as many million, which take a
gigabyte and half a minute. Large data goes into byte strings.
"""


class Codec(Protocol):
    """
    How values of an application become bodies of operations.
    """

    def encode(self, value: Any) -> bytes:
        """
        @raise p2panda_tw.errors.LocalProtocolError: The value cannot be written.
        """

    def decode(self, body: bytes) -> Any:
        """
        @raise p2panda_tw.errors.DecodeError: The bytes are no value.
        """


class _Cbor:
    """
    The deterministic CBOR of p2panda: what a Rust node reads and writes.
    """

    def encode(self, value: Any) -> bytes:
        body = cbor.encode(value)
        if len(body) > MAX_ITEMS:
            try:
                cbor.check_item(body, max_items=MAX_ITEMS)
            except DecodeError as error:
                raise LocalProtocolError(f"A value may consist of {MAX_ITEMS} items at most.") from error
        return body

    def decode(self, body: bytes) -> Any:
        return cbor.decode(body, max_items=MAX_ITEMS)


class _Text:
    """
    Plain UTF-8, as upstream's chat example writes it.
    """

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise LocalProtocolError(f"This topic takes text, not {type(value).__name__}.")
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("A text with a lone surrogate cannot be written as UTF-8.") from None

    def decode(self, body: bytes) -> Any:
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise DecodeError("The body is not UTF-8 text.") from error


CBOR: Final[Codec] = _Cbor()
TEXT: Final[Codec] = _Text()
