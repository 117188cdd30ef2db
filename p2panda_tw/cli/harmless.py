# -*- test-case-name: tests.cli.test_harmless -*-
"""
Text from other people, made fit for a terminal. Whatever could move the cursor, change colours, write to the clipboard,
or turn the direction of what follows becomes a visible sign.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["MAX_NAME_LENGTH", "harmless", "harmless_name"]

MAX_NAME_LENGTH: Final = 32
"""
Longest nickname that is shown, in characters.
"""

_CONTROL_PICTURES: Final = 0x2400
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _replacement(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return "\u2421"
    if character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "\ufffd"
    return character


def harmless(text: str, *, lines: bool = False) -> str:
    """
    @param lines: Keep line breaks.

    @return: The text without anything that a terminal would obey. Tabs become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\t", "    ")
    if lines:
        text = text.replace("\r\n", "\n")
        return "\n".join(harmless(line) for line in text.split("\n"))
    return "".join(map(_replacement, text))


def harmless_name(text: str) -> str:
    """
    @return: A nickname on one line, without blanks around and inside only single ones, cut to L{MAX_NAME_LENGTH}; empty
        if nothing is left of it.
    """
    return harmless(" ".join(text.split()))[:MAX_NAME_LENGTH].strip()
