"""
C{twistd p2panda}, as far as it gets without a reactor.
"""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import IServiceMaker, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.plugin import IPlugin, getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from p2panda_tw.errors import NodeStopped, StoreLocked
from p2panda_tw.tap import Announcer, Options, makeService


class PluginTests(SynchronousTestCase):
    """
    What twistd finds.
    """

    def test_found(self) -> None:
        """
        `twistd` lists p2panda among its plugins.
        """
        (maker,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "p2panda"]
        verifyObject(IServiceMaker, maker)
        verifyObject(IPlugin, maker)
        self.assertIs(maker.options, Options)


class OptionsTests(SynchronousTestCase):
    """
    The command line of the daemon.
    """

    def test_none(self) -> None:
        """
        Nothing needs to be said.
        """
        options = Options()
        options.parseOptions([])
        self.assertEqual((options["config"], options["data"]), (None, None))

    def test_service(self) -> None:
        """
        The service is a node on the directory that was asked for; making it touches nothing.
        """
        directory = Path(self.mktemp())
        options = Options()
        options.parseOptions(["--data", str(directory)])
        node = makeService(options)
        self.assertEqual(node.config.data_directory, directory.absolute())
        self.assertFalse(directory.exists())

    def test_configuration_mistake(self) -> None:
        """
        A wrong setting ends the start with one sentence that names the key.
        """
        path = Path(self.mktemp())
        path.write_text("[tls]\nlisten = 4242\n")
        options = Options()
        options.parseOptions(["--config", str(path)])
        error = self.assertRaises(usage.UsageError, makeService, options)
        self.assertIn("listen", str(error))
        self.assertNotIn("\n", str(error))


class AnnouncerTests(SynchronousTestCase):
    """
    How the start of the node went.
    """

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.codes: list[int] = []
        self.started: Deferred[object] = Deferred()
        parent = MultiService()
        Announcer(lambda: self.started, self.codes.append).setServiceParent(parent)  # type: ignore[arg-type, return-value]  # any object with an id and a ticket
        parent.startService()

    def test_started(self) -> None:
        """
        The log has the node id and a ticket without topic.
        """

        class Node:
            node_id = "ab" * 32

            def ticket(self) -> str:
                return "p2panda1xyz"

        self.started.callback(Node())
        (event,) = self.events
        self.assertEqual((event["node_id"], event["ticket"]), ("ab" * 32, "p2panda1xyz"))
        self.assertEqual(self.codes, [])

    def test_failed(self) -> None:
        """
        A failed start is one critical sentence, and the process fails.
        """
        self.started.errback(StoreLocked("Another process uses it."))
        (event,) = self.events
        self.assertEqual((event["log_level"], event["reason"]), (LogLevel.critical, "Another process uses it."))
        self.assertNotIn("log_failure", event)
        self.assertEqual(self.codes, [1])

    def test_our_mistake(self) -> None:
        """
        A mistake of ours is logged with its traceback.
        """
        self.started.errback(KeyError("x"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.codes, [1])

    def test_stopped_early(self) -> None:
        """
        Who stops the daemon while it starts gets no complaint.
        """
        self.started.errback(NodeStopped("The node was stopped."))
        self.assertEqual((self.events, self.codes), ([], []))
