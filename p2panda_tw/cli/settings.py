# -*- test-case-name: tests.cli.test_application -*-
"""
What every subcommand takes: C{--data}, C{--config} and C{--debug}, before the subcommand as well as after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from p2panda_tw.config import Config

__all__ = ["Settings", "common_options", "pass_settings"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """
    What the common options say.
    """

    data: Path | None = None
    config: Path | None = None
    debug: bool = False

    def load(self) -> Config:
        """
        Read the configuration.

        @raise p2panda_tw.errors.ConfigurationError: It is wrong.
        """
        from p2panda_tw.config import Config

        return Config.load(self.config, self.data)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """
    The last one given counts, wherever it stands.
    """
    settings = context.find_root().ensure_object(Settings)
    if value and parameter.name is not None:
        setattr(settings, parameter.name, value)


def common_options(command: Command) -> Command:
    """
    Give a subcommand or a group the common options.
    """
    options = (
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            callback=_remember,
            expose_value=False,
            help="Data directory: identity, store, socket. Each node needs one of its own.  [$P2PANDA_HOME]",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            callback=_remember,
            expose_value=False,
            help="Settings to use in place of p2panda.toml in the data directory.",
        ),
        click.option(
            "--debug",
            is_flag=True,
            callback=_remember,
            expose_value=False,
            help="Log to stderr; report what blocks for more than 10 ms; show tracebacks.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


pass_settings = click.make_pass_decorator(Settings, ensure=True)
