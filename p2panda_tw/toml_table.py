# -*- test-case-name: tests.test_config -*-
"""
A TOML file that explains itself: values are asked for by key with a conversion, what is wrong or was never asked for
becomes one sentence that names the key and says what would be right.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

from p2panda_tw.errors import ConfigurationError

__all__ = ["TomlTable", "boolean", "one_or_more", "text"]

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")

_MAX_FILE_SIZE: Final = 1024 * 1024
"""
Larger files are not read, in bytes. Nobody writes a configuration of that size.
"""


class TomlTable:
    """
    A table of a TOML file that knows where it stands and which of its keys were asked for.
    """

    def __init__(self, file: Path, where: str, values: Mapping[str, object]) -> None:
        self._file = file
        self._where = where
        self._values = values
        self._asked: list[str] = []
        self._inner: list[TomlTable] = []

    @classmethod
    def read(cls, file: Path) -> TomlTable:
        """
        @raise ConfigurationError: The file cannot be read, or is no TOML.
        """
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_FILE_SIZE + 1)
        except OSError as error:
            raise ConfigurationError(f"The configuration {file} cannot be read: {error.strerror}.") from error
        if len(data) > _MAX_FILE_SIZE:
            raise ConfigurationError(f"The configuration {file} is larger than 1 MiB.")
        try:
            return cls(file, "", tomllib.loads(data.decode("utf-8")))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigurationError(f"The configuration {file} is not valid TOML: {error}.") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"The configuration {file} is not UTF-8 text.") from error

    def error(self, sentence: str) -> ConfigurationError:
        """
        @return: The error that says so of this file.
        """
        return ConfigurationError(f"In {self._file}: {sentence}")

    def take(self, key: str, convert: Callable[[object], _Value], default: _Default) -> _Value | _Default:
        """
        @param convert: Raises C{ValueError} with half a sentence that says what would be right.

        @return: The converted value of C{key}, or C{default}.
        """
        self._asked.append(key)
        if key not in self._values:
            return default
        return self._convert(key, convert)

    def need(self, key: str, convert: Callable[[object], _Value]) -> _Value:
        """
        The same for a key that must be there.
        """
        self._asked.append(key)
        if key not in self._values:
            raise self.error(f"{self.name(key)} is missing.")
        return self._convert(key, convert)

    def table(self, key: str) -> TomlTable:
        """
        @return: The inner table, empty if there is none.
        """
        empty: Mapping[str, object] = {}
        values = self.take(key, _mapping, empty)
        self._inner.append(TomlTable(self._file, f"{self._where}{key}.", values))
        return self._inner[-1]

    def tables(self, key: str) -> list[TomlTable]:
        """
        @return: The array of tables.
        """
        entries = self.take(key, _mappings, ())
        found = [TomlTable(self._file, f"{key}[{number}].", entry) for number, entry in enumerate(entries, 1)]
        self._inner.extend(found)
        return found

    def finish(self) -> None:
        """
        @raise ConfigurationError: The file has a key that nobody asked for, here or further in.
        """
        for key in self._values:
            if key not in self._asked:
                near = get_close_matches(key.lower(), self._asked, 1)
                advice = f"Did you mean {self.name(near[0])}?" if near else f"Known are {', '.join(self._asked)}."
                raise self.error(f"there is no key {self.name(key)}. {advice}")
        for inner in self._inner:
            inner.finish()

    def name(self, key: str) -> str:
        """
        @return: What the key is called in sentences: C{tls.listen}, C{peer[1].ticket}.
        """
        return self._where + key

    def _convert(self, key: str, convert: Callable[[object], _Value]) -> _Value:
        """
        @raise ConfigurationError: The conversion says no.
        """
        try:
            return convert(self._values[key])
        except ValueError as error:
            raise self.error(f"{self.name(key)} {error}") from error


def text(value: object) -> str:
    """
    Convert a string.
    """
    if not isinstance(value, str):
        raise ValueError("must be text in quotation marks.")
    return value


def one_or_more(convert: Callable[[str], _Value]) -> Callable[[object], tuple[_Value, ...]]:
    """
    @return: Converts a text, or a list of texts.
    """

    def convert_all(value: object) -> tuple[_Value, ...]:
        if isinstance(value, list):
            return tuple(convert(text(item)) for item in value)
        return (convert(text(value)),)

    return convert_all


def boolean(value: object) -> bool:
    """
    Convert a truth value.
    """
    if not isinstance(value, bool):
        raise ValueError("must be true or false.")
    return value


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("must be a table.")
    return value


def _mappings(value: object) -> Sequence[Mapping[str, object]]:
    if not isinstance(value, list):
        raise ValueError("must be a list of tables: its head is written with double brackets.")
    return [_mapping(entry) for entry in value]
