"""
A Python node that shares a topic with a Rust node: shows every message, and publishes each line that is typed.

    python meet_rust.py TOPIC NODE_ID ADDRESS-OR-RELAY
"""

import sys
from pathlib import Path

from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

from p2panda_tw import Config, Node, NodeId, Ticket, Topic
from p2panda_tw.config import IrohConfig, RelayConfig
from p2panda_tw.endpoint.addresses import IrohAddress, RelayAddress


class Lines(LineOnlyReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        self.stream.publish(line.decode())


async def main(reactor, topic, node_id, where):
    address = RelayAddress(where) if "://" in where else IrohAddress.parse(where)
    relays = (RelayConfig(address=address),) if isinstance(address, RelayAddress) else ()
    node = Node(reactor, Config(data_directory=Path("python-node"), iroh=IrohConfig(relays=relays)))
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    await node.when_started()
    rust = Ticket(node_id=NodeId.from_hex(node_id), topic=Topic.from_hex(topic), addresses=[address])
    stream = await node.join(rust)
    stream.deliver(lambda message: print(">", message.value))
    lines = Lines()
    lines.stream = stream
    StandardIO(lines, reactor=reactor)
    await Deferred()  # until Ctrl-C


if __name__ == "__main__":
    asyncioreactor.install()  # iroh is quickest here
    react(main, sys.argv[1:])
