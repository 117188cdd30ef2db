"""
A Twisted application with a node in it: run it with twistd -n -y embedded.py. It counts what it hears in a topic, and
continues where it was after each start.
"""

import os

from twisted.application.internet import TimerService
from twisted.application.service import Application
from twisted.internet import reactor

from p2panda_tw import Config, Node, Topic

topic = Topic.from_hex(os.environ["TOPIC"])
node = Node(reactor, Config.load())
stream = node.stream(topic)  # before the start; what is done with it waits


def heard(message):
    """Handle one message. It counts as handled once this has returned."""
    print(f"{message.arrival}: {message.value}")


def say():
    """Publish something. The Deferred is returned so that the next one waits for it."""
    return stream.publish({"pid": os.getpid(), "alive": True})


stream.deliver(heard, name="counter")
application = Application("embedded")
node.setServiceParent(application)
TimerService(60, say).setServiceParent(application)
