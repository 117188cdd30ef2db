# -*- test-case-name: tests.system.test_command_line -*-
"""
C{p2panda topic}: the topics that a node keeps.
"""

from __future__ import annotations

import json

import click

from p2panda_tw.cli.settings import Settings, common_options, pass_settings

__all__ = ["topic"]


@click.group(short_help="The topics of this node: new, list, leave, forget.")
@common_options
def topic() -> None:
    """
    The topics of this node.

    A topic is a secret that people share; whoever knows it can read and write what is published there. Names are known
    to this node only.
    """


@topic.command()
@click.argument("name", default="")
@click.option(
    "--form", type=click.Choice(["node", "chat"]), default="node", show_default=True, help="How messages look."
)
@click.option("--json", "as_json", is_flag=True, help="Print an object with topic, name, form and ticket.")
@common_options
@pass_settings
def new(settings: Settings, name: str, form: str, as_json: bool) -> None:
    """
    Make a topic and print a ticket for it.

    The form cannot be changed later: `node` for everything, `chat` to meet the chat example of Rust p2panda.
    """
    from p2panda_tw.cli.asking import ask

    answer = ask(settings, "new_topic", name=name, form=form)
    click.echo(json.dumps(answer) if as_json else answer["ticket"])


@topic.command(name="list")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a list of objects, whole topics included: these are secrets."
)
@common_options
@pass_settings
def list_topics(settings: Settings, as_json: bool) -> None:
    """
    List the topics: id, name, form, and whether they are synced.

    The id is the beginning of the secret, enough to name the topic in other commands of this node.
    """
    from p2panda_tw.cli.asking import ask

    topics = ask(settings, "topics")
    if as_json:
        click.echo(json.dumps(topics))
        return
    if not topics:
        click.echo("No topics yet; `p2panda topic new NAME` makes one.", err=True)
    width = max((len(record["name"]) for record in topics), default=0)
    for record in topics:
        state = "left" if record["left"] else "kept"
        click.echo(f"{record['topic'][:8]}  {record['name']:{width}}  {record['form']}  {state}")


@topic.command()
@click.argument("topic")
@common_options
@pass_settings
def leave(settings: Settings, topic: str) -> None:
    """
    Stop syncing a topic and keep what is stored of it.
    """
    from p2panda_tw.cli.asking import ask

    ask(settings, "leave_topic", topic=topic)


@topic.command()
@click.argument("topic")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_settings
def forget(settings: Settings, topic: str, yes: bool) -> None:
    """
    Stop syncing a topic and delete all that is stored of it here.

    Other nodes keep what they have. Without a ticket of theirs, the topic cannot be found again.
    """
    from p2panda_tw.cli.asking import ask

    if not yes:
        click.confirm(f"Delete everything that is stored here of topic {topic!r}?", abort=True, err=True)
    ask(settings, "forget_topic", topic=topic)
