"""
Two nodes share a topic: what one publishes, the other one reads. Run it with: python two_nodes.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react

from p2panda_tw import Config, Node


async def main(reactor):
    with TemporaryDirectory() as home:
        alice = Node(reactor, Config(data_directory=Path(home, "alice")))
        bob = Node(reactor, Config(data_directory=Path(home, "bob")))
        alice.startService()
        bob.startService()

        topic = await alice.new_topic()
        await alice.stream(topic).publish({"text": "Hello, Bob!", "attempt": 1})

        shared = await bob.join(alice.ticket(topic))
        async for message in shared.subscribe():
            print(f"{message.author} says {message.value['text']}")
            break

        await bob.stopService()
        await alice.stopService()


if __name__ == "__main__":
    react(lambda reactor: ensureDeferred(main(reactor)))
