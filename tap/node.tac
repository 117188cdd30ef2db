"""
A node as an application file, for those who add services of their own:

    twistd --nodaemon --python tap/node.tac

It takes its settings from the environment variable P2PANDA_CONFIG (a TOML file), else as C{p2panda} does.
"""

import os

from twisted.application.service import Application
from twisted.internet import reactor

from p2panda_tw import Config, Node
from p2panda_tw.process import prepare
from p2panda_tw.tap import Announcer, fail_process

prepare()  # let the threads of the node come to their turn quickly

application = Application("p2panda")

node = Node(reactor, Config.load(os.environ.get("P2PANDA_CONFIG")), sync_remembered=True)
node.setServiceParent(application)
Announcer(node.when_started, fail_process).setServiceParent(node)  # logs a ticket, or ends the process with one sentence

# Your own services go here. They may use node.stream(topic) at once; what a stream does waits until the node has started.
