"""
Reaching Rust nodes: through a relay, at wrong addresses, and what is seen of one that crashes.
"""

from __future__ import annotations

import signal
import socket
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.config import RelayConfig
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, IrohAddress, RelayAddress
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.node import Node
from p2panda_tw.sync.events import SyncFailed
from tests.interop.building import relay
from tests.interop.case import FORMS, InteropTestCase
from tests.interop.rust import reactor

TOKEN = "sesame"


class _Relay(ProcessProtocol):
    """
    A relay in its development mode.
    """

    transport: Any  # Twisted: IProcessTransport or None

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    @override
    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    async def stop(self) -> None:
        """
        End it.
        """
        try:
            self.transport.signalProcess(signal.SIGKILL)
        except ProcessExitedAlready:
            pass
        await self.ended


class RelayTests(InteropTestCase):
    """
    Nodes that cannot reach each other directly, as far as they know.
    """

    async def _relay(self, token: str | None) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = self.new_directory() / "relay.toml"
        access = "" if token is None else f'access.shared_token = ["{token}"]\n'
        settings.write_text(f'http_bind_addr = "127.0.0.1:{port}"\nenable_metrics = false\n{access}', "utf-8")
        process = _Relay()
        program = relay()
        reactor.spawnProcess(
            process, program, [program, "--dev", "--config-path", str(settings)], {}, str(self.directory)
        )
        self.addCleanup(process.stop)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await self.until("the relay listens", listens)
        return f"http://127.0.0.1:{port}/"

    async def _through(self, token: str | None) -> None:
        url = await self._relay(token)
        topic = self.new_topic()
        told: dict[str, Any] = {} if token is None else {"relay_token": token}
        rust = await self.rust("peer", quiet=False, relay=url, **told)
        self.assertEqual((await rust.ask("online", "online"))["relays"], [url])
        await rust.open(topic)
        await rust.flood(topic, 500)
        node = await self.python(relays=[RelayConfig(address=RelayAddress(url), token=token)])
        started = self.now()
        stream = await self.join(node, rust, topic)  # the ticket names the relay only
        await self.until_count(500, topic, node)
        self.figure("500 through a relay", seconds=self.now() - started)
        heard = rust.next("operation", body="through the relay")
        await stream.publish("through the relay")
        await heard
        await self.assert_same(topic, node, rust, count=501)

    async def test_relay(self) -> None:
        """
        A relay brings two nodes together.
        """
        await self._through(None)

    async def test_relay_with_token(self) -> None:
        """
        A relay that asks for a token gets it.
        """
        await self._through(TOKEN)

    async def test_relay_with_wrong_token(self) -> None:
        """
        With another token than the relay wants nobody is reached, and our node says so.
        """
        url = await self._relay(TOKEN)
        topic = self.new_topic()
        rust = await self.rust("peer", relay=url, relay_token=TOKEN)
        await rust.ask("online", "online")
        await rust.open(topic)
        node = await self.python(relays=[RelayConfig(address=RelayAddress(url), token="open")])
        failed = await self.first_failure(node, self.ticket(rust, topic))
        self.assertIn("could not be reached", failed.reason)
        self.assertNotIn("open", failed.reason.replace("could not be opened", ""))


class AddressTests(InteropTestCase):
    """
    Addresses that lead nowhere.
    """

    async def test_another_key_at_the_address(self) -> None:
        """
        A node id with the address of somebody else: told as such at once, tried again later, and nothing is given away.
        """
        topic = self.new_topic()
        rust = await self.rust("peer", quiet=False)
        await rust.open(topic)
        await rust.publish(topic, "secret")
        node = await self.python()
        wrong = SigningKey.generate().verifying_key
        started = self.now()
        failed = await self.first_failure(
            node, Ticket(node_id=wrong, topic=topic, form=FORMS["peer"], addresses=rust.addresses)
        )
        self.assertIn("Another node lives at this address", failed.reason)
        self.assertLess(self.now() - started, 5.0)
        await self.until("it is tried again", lambda: node.peer_states(topic)[0].next_attempt is not None)
        self.assertEqual(await self.stored_here(node, topic), {})
        # The right node id at the same address works all the same.
        await self.join(node, rust, topic)
        await self.until_count(1, topic, node)

    async def test_address_that_swallows(self) -> None:
        """
        An address that answers nothing: given up after 10 s, told, tried again; other nodes are not held up.
        """
        topic = self.new_topic()
        node = await self.python()
        swallowing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(swallowing.close)
        swallowing.bind(("127.0.0.1", 0))
        nowhere: list[Address] = [IrohAddress("127.0.0.1", swallowing.getsockname()[1])]
        started = self.now()
        failing = self.start(
            self.first_failure(
                node,
                Ticket(node_id=SigningKey.generate().verifying_key, topic=topic, form=FORMS["peer"], addresses=nowhere),
            )
        )
        rust = await self.rust("peer")
        await rust.open(topic)
        await rust.flood(topic, 10)
        await self.join(node, rust, topic)
        await self.until_count(10, topic, node)
        self.assertLess(self.now() - started, 8.0)
        failed = await failing
        self.assertIn("could not be reached", failed.reason)
        self.assertLess(self.now() - started, 15.0)
        (state,) = [state for state in node.peer_states(topic) if state.node_id != rust.node_id]
        self.assertEqual(state.last_failure, failed.reason)
        self.assertIsNotNone(state.next_attempt)

    async def test_right_and_wrong_address(self) -> None:
        """
        Of several addresses one is right; that is enough.
        """
        topic = self.new_topic()
        rust, other = await self.rust("peer"), await self.rust("peer")
        await rust.open(topic)
        await rust.flood(topic, 10)
        node = await self.python()
        addresses = [IrohAddress("127.0.0.1", 9), *other.addresses, *rust.addresses]
        await node.join(Ticket(node_id=rust.node_id, topic=topic, form=FORMS["peer"], addresses=addresses))
        await self.until_count(10, topic, node)


class CrashTests(InteropTestCase):
    """
    A Rust node that is gone from one moment to the next.
    """

    async def _crash(self, node: Node, *, publishing: bool) -> None:
        topic = self.new_topic()
        rust = await self.rust("peer")
        await rust.open(topic)
        stream = await self.join(node, rust, topic)
        await self.until_live(node, topic, rust)
        failures: list[SyncFailed] = []
        node.sync.listen(topic, lambda event: failures.append(event) if isinstance(event, SyncFailed) else None)
        await rust.kill()
        if publishing:
            await stream.publish("is anybody there?")
        took = await self.until("the crash is noticed", lambda: bool(failures), 20.0)
        self.figure("crash noticed", seconds=took, reason=failures[0].reason, publishing=publishing)
        self.assertLess(took, 16.0)
        self.assertEqual(failures[0].node_id, rust.node_id)
        self.assertTrue(failures[0].reason)
        state = self.peer_state(node, topic, rust)
        self.assertEqual((state.sessions, state.last_failure), (0, failures[0].reason))
        # It is tried again, and after that has failed, too, at a time that was chosen.
        await self.until("an attempt has failed", lambda: len(failures) > 1, 15.0)
        self.assertIn("could not be reached", failures[1].reason)
        self.assertIsNotNone(self.peer_state(node, topic, rust).next_attempt)
        # It comes back, and so does the session.
        again = await self.rust(again=rust)
        await again.open(topic)
        await again.publish(topic, "here I am")
        await self.until_live(node, topic, again)
        await self.until_count(2 if publishing else 1, topic, node, again)

    async def test_crash(self) -> None:
        """
        A node that is killed is noticed within 16 s, whether we publish or nothing happens, reported with a reason, and tried
        again with growing pauses until it is back.
        """
        node = await self.python()
        await gatherResults([self.start(self._crash(node, publishing=publishing)) for publishing in (False, True)])
