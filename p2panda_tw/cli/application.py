# -*- test-case-name: tests.cli.test_application -*-
"""
C{p2panda} itself: its help, its common options, and the list of its subcommands.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from p2panda_tw.cli.bench import bench
from p2panda_tw.cli.chat import chat
from p2panda_tw.cli.identity import identity, show_id
from p2panda_tw.cli.outcome import report
from p2panda_tw.cli.publish import publish
from p2panda_tw.cli.settings import Settings, common_options
from p2panda_tw.cli.status import status
from p2panda_tw.cli.tail import tail
from p2panda_tw.cli.ticket import ticket
from p2panda_tw.cli.topic import topic

__all__ = ["invoke", "p2panda"]

__docformat__ = "plaintext"  # the docstring of a command is its help


class _InOrder(click.Group):
    """
    Lists its subcommands in the order in which a newcomer needs them.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        """
        Unlike the base class, not by the alphabet.
        """
        return list(self.commands)


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"p2panda_tw {version('p2panda-tw')}")
        except PackageNotFoundError:
            click.echo("p2panda_tw (not installed)")
        context.exit()


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@common_options
def p2panda() -> None:
    """
    Share messages without a server, peer to peer; they survive being offline.

    \b
    Begin with    p2panda chat
    It shows a ticket. Your friend, anywhere, types
                  p2panda chat TICKET
    A second node on the same machine needs a data directory of its own:
                  p2panda --data DIR chat TICKET

    publish, tail, ticket, topic and status ask the node that runs on the data directory (a chat, or `twistd p2panda`);
    where none runs, they open its store themselves.

    \b
    Exit codes: 0 done; 1 failed, stderr says why;
    2 wrong usage, configuration or identity file;
    3 the data directory cannot be used (another process has it, damaged, full);
    130 ended by Ctrl-C, 143 by SIGTERM.
    """


for _command in (chat, publish, tail, ticket, topic, status, show_id, identity, bench):
    p2panda.add_command(_command)


def invoke(arguments: Sequence[str]) -> int:
    """
    Run one command line.

    @return: Its exit code.
    """
    settings = Settings()
    try:
        result = p2panda.main(list(arguments), prog_name="p2panda", standalone_mode=False, obj=settings)
    except BaseException as error:
        return report(error, debug=settings.debug)
    return result if isinstance(result, int) else 0
