# -*- test-case-name: tests.test_commands -*-
"""
What can be asked of a node from outside its process, in values that JSON can carry. A running node offers it on its
control socket (L{p2panda_tw.control}); where none runs, the command line makes a node without network and asks that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

from p2panda_tw.config import topic_name
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.subscription import Message, Start

if TYPE_CHECKING:
    from p2panda_tw.node import Node
    from p2panda_tw.stream import Stream

__all__ = ["Commands"]

SHORTEST_ID: Final = 8
"""
So many hex digits of a topic tell it apart from the others of this node: what `p2panda topic list` shows.
"""


def json_value(value: Any) -> Any:
    """
    @return: The nearest thing that JSON can carry; bytes become hex digits.
    """
    match value:
        case bytes():
            return value.hex()
        case list() | tuple():
            return [json_value(item) for item in value]
        case dict():
            return {
                key if isinstance(key, str) else str(json_value(key)): json_value(item) for key, item in value.items()
            }
        case None | bool() | int() | float() | str():
            return value
        case _:
            return repr(value)


def describe_message(message: Message) -> dict[str, Any]:
    """
    @return: A message as C{p2panda tail} prints it.
    """
    return {
        "arrival": message.arrival,
        "author": message.author.hex(),
        "id": message.operation.id.hex(),
        "seq_num": message.operation.seq_num,
        "timestamp": message.timestamp,
        "value": json_value(message.value),
    }


class Commands:
    """
    What can be asked of a node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def status(self) -> dict[str, Any]:
        """
        @return: Who the node is, where it listens, its topics with their sessions, and the size of its store.
        """
        return await self._node.status()

    async def topics(self) -> list[dict[str, Any]]:
        """
        @return: Every topic of the store. The topics themselves are secret and in here.
        """
        return [
            {
                "topic": record.topic.hex(),
                "name": record.name,
                "form": record.form.name.lower(),
                "left": record.is_left,
            }
            for record in await self._node.topics()
        ]

    async def new_topic(self, name: str = "", form: str = "node") -> dict[str, Any]:
        """
        Make a topic from random bytes.

        @param name: What to call it; only this node knows it.
        @param form: C{"node"} or C{"chat"}.
        """
        try:
            topic_name(name)
        except ValueError as error:
            raise LocalProtocolError(f"The name of a topic {error}") from error
        if name and any(record.name == name for record in await self._node.topics()):
            raise LocalProtocolError(f"There is a topic named {name!r} already.")
        topic = await self._node.new_topic(name, read_form(form))
        return {"topic": topic.hex(), "name": name, "form": form, "ticket": self._node.ticket(topic, read_form(form))}

    async def leave_topic(self, topic: str) -> dict[str, Any]:
        """
        Stop syncing a topic and keep its data.
        """
        await self._node.leave_topic(await self.find_topic(topic))
        return {}

    async def forget_topic(self, topic: str) -> dict[str, Any]:
        """
        Stop syncing a topic and delete its data.
        """
        await self._node.forget_topic(await self.find_topic(topic))
        return {}

    async def ticket(self, topic: str | None = None) -> dict[str, Any]:
        """
        @return: A ticket that leads to this node and, if C{topic} is given, into that topic.
        """
        if topic is None:
            return {"ticket": self._node.ticket()}
        record = await self._find(topic)
        return {"ticket": self._node.ticket(record.topic, record.form)}

    async def publish(self, topic: str, value: Any) -> dict[str, Any]:
        """
        @return: Once the value is stored: id and C{seq_num} of its operation.
        """
        record = await self._find(topic)
        stream = self._node.stream(record.topic, record.form)
        try:
            operation = await stream.publish(value)
        finally:
            await self._put_away(stream, record)
        return {"id": operation.id.hex(), "seq_num": operation.seq_num}

    async def tail(
        self, topic: str, name: str | None = None, beginning: bool = False, follow: bool = True
    ) -> AsyncGenerator[dict[str, Any], None]:
        """
        The messages of a topic, in order of arrival.

        @param name: Continue behind what was acknowledged under this name, and acknowledge; C{None} keeps no cursor.
        @param beginning: Start over.
        @param follow: Go on with what comes in from now on, without end.
        """
        record = await self._find(topic)
        stream = self._node.stream(record.topic, record.form)
        until = None if follow else await self._node.newest_arrival(record.topic)
        try:
            if until == 0:
                return
            start = Start.BEGINNING if beginning else Start.CURSOR
            async for message in stream.subscribe(name and f"tail/{name}", start, until=until):
                yield describe_message(message)
        finally:
            await self._put_away(stream, record)

    async def _put_away(self, stream: Stream, record: TopicRecord) -> None:
        """
        Close a stream. Who has read an old topic, or left a note there, has not come back to it.
        """
        await stream.close()
        if record.is_left:
            await self._node.leave_topic(record.topic)

    async def confirm_own_logs(self) -> dict[str, Any]:
        """
        After a lost store: publish without asking other nodes what they have of ours.
        """
        await self._node.confirm_own_logs()
        return {}

    async def find_topic(self, text: str) -> Topic:
        """
        @param text: A name, or the topic in hex digits; its first eight are enough if no other topic has them.

        @raise p2panda_tw.errors.LocalProtocolError: The node has no such topic.
        """
        return (await self._find(text)).topic

    async def _find(self, text: str) -> TopicRecord:
        records = await self._node.topics()
        for record in records:
            if record.name == text:
                return record
        if len(text) >= SHORTEST_ID:
            found = [record for record in records if record.topic.hex().startswith(text.lower())]
            if len(found) == 1:
                return found[0]
        raise LocalProtocolError(f"This node has no topic {text!r}. `p2panda topic list` shows those it has.")


def read_form(text: str) -> Form:
    """
    @raise p2panda_tw.errors.LocalProtocolError: Not the name of a form.
    """
    try:
        return Form[text.upper()]
    except KeyError:
        raise LocalProtocolError(f"A topic's form is 'node' or 'chat', not {text!r}.") from None
