# -*- test-case-name: tests.system.test_chat -*-
"""
C{p2panda chat}: a node, a topic, and a person or a pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from p2panda_tw.cli.settings import Settings, common_options, pass_settings
from p2panda_tw.cli.ticket import find_file, looks_like_ticket, read_ticket

if TYPE_CHECKING:
    from p2panda_tw.cli.conversation import Conversation
    from p2panda_tw.cli.terminal import Terminal
    from p2panda_tw.config import Config
    from p2panda_tw.endpoint.ticket import Ticket
    from p2panda_tw.node import Node
    from p2panda_tw.stream import Stream

__all__ = ["chat"]

FINISH_TIMEOUT: Final = 5.0
"""
Seconds that a chat waits at the end of its input until everything is sent.
"""

_LAST_TOPIC: Final = "chat.topic"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """
    What the command line asks for.

    @ivar ticket: Whom to join.
    @ivar name: The name or id of a topic of this node.
    @ivar rest: What of standard input was read behind the ticket.
    """

    ticket: Ticket | None
    name: str | None
    new: bool
    form: str | None
    nickname: str | None
    history: int
    rest: bytes


@click.command(short_help="Chat. Shows a ticket for a friend, or joins with one.")
@click.argument("ticket", required=False)
@click.option("--nick", metavar="NAME", help="Take a name; it is remembered. Like /nick NAME.")
@click.option("--new", is_flag=True, help="Begin with a new topic.")
@click.option(
    "--form",
    type=click.Choice(["node", "chat"]),
    help="Of a new topic: `chat` to meet the chat example of Rust p2panda.",
)
@click.option(
    "--history", type=click.IntRange(0), default=50, show_default=True, metavar="N", help="Old messages to show first."
)
@common_options
@pass_settings
def chat(
    settings: Settings, ticket: str | None, nick: str | None, new: bool, form: str | None, history: int
) -> int | None:
    """
    Chat with everybody who has the topic's ticket. Messages reach who was away once they are back.

    TICKET is a ticket, a file that holds one, or `-` to read it from standard input. In its place stands the name of a
    topic of this node, too. Without it the last chat is opened again; the first time, a new one begins.

    In a terminal, /help lists what can be typed besides messages. In a pipe, every line of standard input that is not
    empty is published, messages are printed to standard output and everything else to standard error; at the end of the
    input the command waits up to 5 s until everything is sent to the nodes that can be reached.
    """
    if ticket is not None and new:
        raise click.UsageError("--new begins a topic of its own, a TICKET joins one that exists: give one of them.")
    if form is not None and ticket is not None:
        raise click.UsageError("--form is for new topics; the TICKET says which form its topic has.")
    config = settings.load()
    read, name = _read_argument(ticket)
    rest = _enter_terminal() if ticket == "-" else b""
    wish = _Wish(
        ticket=read, name=name, new=new or form is not None, form=form, nickname=nick, history=history, rest=rest
    )
    import p2panda_tw.node  # noqa: F401 -- takes longer than a turn of the reactor may
    from p2panda_tw.cli.loop import run

    return run(lambda reactor: _chat(reactor, config, wish), debug=settings.debug)


def _read_argument(argument: str | None) -> tuple[Ticket | None, str | None]:
    """
    @return: A ticket, or the name of a topic.
    """
    if argument is None:
        return None, None
    if argument != "-" and not looks_like_ticket(argument) and find_file(argument) is None:
        return None, argument
    ticket = read_ticket(argument)
    if ticket.topic is None:
        raise click.UsageError("This ticket leads to a node, but not into a topic. Ask for one with a topic.")
    return ticket, None


def _enter_terminal() -> bytes:
    """
    After the ticket came through a pipe, nothing follows, and there is a terminal: take what is typed there.

    @return: What followed in the pipe.
    """
    import os

    if sys.stdin.isatty() or not sys.stdout.isatty():
        return b""
    rest = os.read(0, 4096)
    if not rest:
        try:
            os.dup2(os.open("/dev/tty", os.O_RDWR), 0)
        except OSError:
            pass  # there is none: the input has ended
    return rest


async def _chat(reactor: Any, config: Config, wish: _Wish) -> int:
    from p2panda_tw.cli.conversation import NICKNAME, Conversation
    from p2panda_tw.cli.harmless import harmless_name
    from p2panda_tw.cli.plain_view import PlainView
    from p2panda_tw.identity_file import IDENTITY_FILE
    from p2panda_tw.node import Node
    from p2panda_tw.process import settle

    is_first = not (config.data_directory / IDENTITY_FILE).exists()
    node = Node(reactor, config)
    node.startService()
    try:
        await node.when_started()
        settle()
        stream, name = await _open_topic(node, wish)
        ticket = node.ticket(stream.topic)
        nickname = harmless_name(wish.nickname or "") or await node.setting(NICKNAME)
        view: PlainView | Terminal
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        if interactive:
            from p2panda_tw.cli.terminal import Terminal

            view = Terminal(reactor, node.node_id)
        else:
            view = PlainView(sys.stdout, sys.stderr)
        conversation = Conversation(node, stream, view, history=wish.history, ticket_line=ticket)
        introduction = _introduction(config, node, name, nickname, ticket, is_first=is_first)
        try:
            if isinstance(view, PlainView):
                view.introduce(introduction)
                await conversation.open(nickname)
                return await conversation.attend(_read_pipe(reactor, conversation, wish))
            with view:
                view.introduce(introduction)
                view.attend(lambda: conversation.own_name, conversation.presence.describe)
                await conversation.open(nickname)
                await conversation.attend(_read_terminal(conversation, view))
                return 0
        finally:
            conversation.close()
    finally:
        await node.stopService()


async def _open_topic(node: Node, wish: _Wish) -> tuple[Stream, str]:
    """
    @return: The topic to chat about, and what this node calls it.
    """
    from p2panda_tw.commands import Commands, read_form
    from p2panda_tw.core.topic import Form, Topic
    from p2panda_tw.errors import LocalProtocolError

    records = {record.topic: record for record in await node.topics()}
    free_name = _free_name([record.name for record in records.values()])
    if wish.ticket is not None and wish.ticket.topic is not None:
        known = records.get(wish.ticket.topic)
        name = known.name if known is not None and known.name else free_name
        stream = await node.join(wish.ticket, name)
    else:
        topic: Topic | None = None
        if wish.name is not None:
            try:
                topic = await Commands(node).find_topic(wish.name)
            except LocalProtocolError as error:
                raise LocalProtocolError(
                    f"{wish.name!r} is no ticket, no file, and no topic of this node: see `p2panda topic list`."
                ) from error
        elif not wish.new and (last := await node.setting(_LAST_TOPIC)) is not None:
            record = records.get(Topic.from_hex(last))
            topic = None if record is None or record.is_left else record.topic
        if topic is None:
            form = Form.NODE if wish.form is None else read_form(wish.form)
            name = free_name
            stream = node.stream(await node.new_topic(name, form), form)
        else:
            name = records[topic].name
            stream = node.stream(topic, records[topic].form)
    await node.set_setting(_LAST_TOPIC, stream.topic.hex())
    return stream, name


def _free_name(taken: list[str]) -> str:
    """
    @return: C{chat}, C{chat-2} ...
    """
    number = 1
    while (name := "chat" if number == 1 else f"chat-{number}") in taken:
        number += 1
    return name


def _introduction(
    config: Config, node: Node, name: str, nickname: str | None, ticket: str, *, is_first: bool
) -> Iterator[str]:
    from p2panda_tw.cli.transcript import short_id

    if is_first:
        yield f"Made a new identity in {config.data_directory}."
    who = (
        f"{nickname} ({short_id(node.node_id)})"
        if nickname
        else f"{short_id(node.node_id)}; /nick NAME gives you a name"
    )
    yield f"You are {who}. The topic is called {name!r} here." if name else f"You are {who}."
    yield "Let others join with this command (it is secret: whoever has it can read and write here):"
    yield ""
    yield f"p2panda chat {ticket}"
    yield ""
    yield "On this same machine a second node needs a directory of its own: p2panda --data DIR chat TICKET"


async def _read_terminal(conversation: Conversation, terminal: Terminal) -> None:
    """
    Until the person leaves.
    """
    while (line := await terminal.read_line()) is not None:
        if not await conversation.say(line):
            return


async def _read_pipe(reactor: Any, conversation: Conversation, wish: _Wish) -> int:
    """
    Until the end of the input.

    @return: The exit code.
    """
    from p2panda_tw.cli.lines import InputLines

    complete = True
    async for lines in InputLines(reactor, first=wish.rest):
        if texts := [text for line in lines if (text := line.rstrip(b"\r").decode("utf-8", "replace")).strip()]:
            complete = await conversation.publish(texts) and complete
    await conversation.finish(FINISH_TIMEOUT)
    return 0 if complete else 1
