# -*- test-case-name: tests.system.test_command_line -*-
"""
C{p2panda id} and C{p2panda identity}: who this node is, and how that is taken elsewhere.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, TextIO

import click

from p2panda_tw.cli.settings import Settings, common_options, pass_settings

__all__ = ["identity", "show_id"]

_WARNING: Final = (
    "Whoever has it can speak as this node. Never use it on two devices: both would publish under the same numbers, "
    "which forks the node's logs for good, and others keep only one side. To move, stop the old device first and for "
    "all time."
)


@click.command(name="id", short_help="Print this node's id.")
@common_options
@pass_settings
def show_id(settings: Settings) -> None:
    """
    Print this node's id, its public key. At first use the identity is made.
    """
    from p2panda_tw.cli.asking import ask
    from p2panda_tw.identity_file import load_identity

    directory = settings.load().data_directory
    if (signing_key := load_identity(directory)) is not None:
        click.echo(str(signing_key.verifying_key))
        return
    # Identity and store are made together: an identity without a store means that the store was lost.
    node_id = ask(settings, "status")["node_id"]
    click.echo(f"Made a new identity in {directory}.", err=True)
    click.echo(node_id)


@click.group(short_help="Export or import the secret identity of this node.")
@common_options
def identity() -> None:
    """
    The secret identity of this node, for a backup or to move to another device.

    The same identity must never be used on two devices: the logs it signs would fork for good.
    """


@identity.command(name="export", short_help="Print the identity, or write it to a file.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@common_options
@pass_settings
def export_(settings: Settings, file: Path | None) -> None:
    """
    Print the identity, or write it to FILE, which nobody but you can read then.
    """
    from p2panda_tw.identity_file import export_identity

    secret = export_identity(settings.load().data_directory)
    click.echo(f"This is the secret of the node. {_WARNING}", err=True)
    if file is None:
        click.echo(secret)
        return
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(secret + "\n")


@identity.command(name="import", short_help="Take over an identity that was exported.")
@click.argument("file", default="-", type=click.File("r", encoding="utf-8", errors="replace"))
@click.option("--force", is_flag=True, help="Replace another identity that is there; it is lost then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_settings
def import_(settings: Settings, file: TextIO, force: bool, yes: bool) -> None:
    """
    Take an identity from FILE, or from standard input, into the data directory.

    What it published elsewhere comes back from other nodes. Until one of them has told how far its logs go, publishing
    waits, lest a number is used twice.
    """
    from p2panda_tw.identity_file import import_identity
    from p2panda_tw.store.lock import DirectoryLock

    directory = settings.load().data_directory
    text = file.read(1024)
    click.echo(f"You take over the identity of a node. {_WARNING}", err=True)
    if not yes and sys.stdin.isatty():
        click.confirm("Is the old device stopped, for all time?", abort=True, err=True)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(str(directory))  # no node may run on it meanwhile
    try:
        signing_key = import_identity(directory, text, force=force)
    finally:
        lock.release()
    click.echo(str(signing_key.verifying_key))


@identity.command(name="confirm", short_help="Say that nobody has more of this node's logs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_settings
def confirm(settings: Settings, yes: bool) -> None:
    """
    Publish again after the store was lost or restored, though no other node can be asked what it has of this node.

    If somebody has more after all, the logs fork for good. Prefer to connect to a node that shares the topic:
    publishing then goes on by itself.
    """
    from p2panda_tw.cli.asking import ask

    if not yes and sys.stdin.isatty():
        click.confirm(
            "Is it certain that nobody has published operations of this node that are missing here?", abort=True
        )
    ask(settings, "confirm_own_logs")
