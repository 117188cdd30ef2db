# -*- test-case-name: tests.test_node -*-
"""
Where all is put together: an identity, a store, ways to reach other nodes, and log sync. A L{Node} is a service; give
it a parent, open streams, and it delivers.

Nothing needs to be awaited before a stream is opened: what a stream does waits until the node has started.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random, SystemRandom
from typing import Any, Final

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from p2panda_tw.codec import CBOR, TEXT, Codec
from p2panda_tw.commands import Commands
from p2panda_tw.config import Config
from p2panda_tw.control import Control, socket_path
from p2panda_tw.core.hash import HASH_LENGTH
from p2panda_tw.core.identity import NodeId, SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import Address, TlsAddress, decode_addresses, encode_addresses
from p2panda_tw.endpoint.exchange import AddressExchange
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID
from p2panda_tw.endpoint.service import Endpoint
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.errors import ConfigurationError, LocalProtocolError, NodeStopped, P2pandaError
from p2panda_tw.gate import Gate
from p2panda_tw.identity_file import create_identity, forget_import, is_imported, load_identity
from p2panda_tw.interfaces import IConnection, INodeTransport
from p2panda_tw.open_topic import OpenTopic, confirmed_key
from p2panda_tw.open_topics import OpenTopics
from p2panda_tw.status import describe_node
from p2panda_tw.store.records import TopicRecord
from p2panda_tw.store.service import Store
from p2panda_tw.stream import Stream
from p2panda_tw.sync.service import LogSync
from p2panda_tw.sync.state import PeerState
from p2panda_tw.transports import bound_ports, make_transports, missing_transports, usual_addresses
from p2panda_tw.wire.postcard import Reader

__all__ = ["DATABASE_FILE", "Node"]

DATABASE_FILE: Final = "p2panda.sqlite3"
"""
Name of the store in the data directory.
"""

_PORT: Final = "port/"
"""
Settings that keep the ports chosen at first start: tickets and other nodes name them.
"""

_RECOGNITION_TIMEOUT: Final = 1.0
"""
Seconds after which a node that does not say whether it is one of ours is sent to with care.
"""

_LOOK_AGAIN: Final = 0.02
"""
Seconds between two looks at what is still to be sent.
"""


class Node(MultiService):
    """
    One identity with its data directory: signs, stores and syncs what its streams publish.

    @ivar config: The settings it was made with.
    @ivar reactor: Its reactor.
    @ivar node_id: Who it is. This and the following are there once the node has started.
    @ivar store: Its store.
    @ivar endpoint: Connections to other nodes; not there when offline.
    @ivar exchange: Knows which nodes are of our kind; not there when offline.
    @ivar sync: Log sync; not there when offline.
    """

    _log = Logger()

    node_id: NodeId
    store: Store
    endpoint: Endpoint
    exchange: AddressExchange
    sync: LogSync

    def __init__(
        self,
        reactor: Any,
        config: Config | None = None,
        *,
        transports: Callable[[SigningKey], Sequence[INodeTransport]] | None = None,
        rng: Random | None = None,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        sync_remembered: bool = False,
        offline: bool = False,
    ) -> None:
        """
        @param reactor: The reactor, or a fake of its clock, threads and sockets.
        @param config: Settings; by default those of the user's data directory.
        @param transports: Makes the ways to reach other nodes, instead of those that the settings name.
        @param rng: Source of jitter.
        @param clock_us: The time in microseconds since 1970.
        @param sync_remembered: Also sync every topic that the store remembers, not only those with an open stream.
        @param offline: Use the store and nothing else: no network, no control socket.
        """
        super().__init__()
        self.reactor = reactor
        self.config = config if config is not None else Config.load()
        self._transports = transports
        self._rng = rng if rng is not None else SystemRandom()
        self._clock_us = clock_us
        self._sync_remembered = sync_remembered
        self._offline = offline
        self._started = Gate()
        self._starting: Deferred[None] = succeed(None)
        self._parts: list[Service] = []
        self._open = OpenTopics(reactor)
        self._usual_addresses: list[TlsAddress] = []

    # Life

    @override
    def startService(self) -> None:
        """
        Begin to start; L{when_started} tells how that went.
        """
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addBoth(self._start_ended)

    def when_started(self) -> Deferred[Node]:
        """
        @return: Fires with the node once it listens and syncs. Fails with L{p2panda_tw.errors.ConfigurationError} or
            L{p2panda_tw.errors.StoreError}, whose message is one sentence for a person, when it cannot.
        """
        return self._started.wait().addCallback(lambda _: self)

    def _start_ended(self, result: Failure | None) -> None:
        self._starting = succeed(None)  # who hears of it now may stop the node at once, and must not wait for this here
        if isinstance(result, Failure):
            self._not_started(result)
        else:
            self._started.open()

    def _not_started(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            failure = Failure(NodeStopped("The node was stopped."))
        self._started.fail(failure)
        self._open.failed(failure)

    async def _start(self) -> None:
        directory = self.config.data_directory
        signing_key = load_identity(directory)
        is_new = signing_key is None
        if signing_key is None:
            signing_key = create_identity(directory)
        self.node_id = signing_key.verifying_key
        self.store = Store(
            self.reactor,
            str(directory / DATABASE_FILE),
            signing_key,
            durability=self.config.durability,
            clock_us=self._clock_us,
            new_identity=is_new,
            imported=is_imported(directory),
        )
        opening = self.store.open()
        self._add(self.store)
        await opening
        forget_import(directory)  # from now on the store remembers
        if self._offline:
            self._usual_addresses = usual_addresses(self.config, int(await self.store.setting(_PORT + "tls") or 0))
        else:
            await self._start_network(signing_key)
        self._open.started(self.store, None if self._offline else self.sync)
        await self._hold_configured()

    def _add(self, part: Service) -> None:
        self._parts.append(part)
        part.setServiceParent(self)

    async def _start_network(self, signing_key: SigningKey) -> None:
        if self._transports is not None:
            transports = self._transports(signing_key)
            missing: dict[str, str] = {}
        else:
            ports = [int(await self.store.setting(_PORT + name) or 0) for name in ("tls", "iroh")]
            transports = make_transports(self.reactor, self.config, signing_key, *ports)
            missing = missing_transports(self.config)
        optional = () if self.config.iroh.enabled else ("iroh",)
        self.endpoint = Endpoint(
            self.reactor, signing_key, self.config.network_id, transports, optional=optional, missing=missing
        )
        for peer in await self.store.peers():
            self.endpoint.add_addresses(peer.node_id, decode_addresses(Reader(peer.addresses)), peer.last_success)
        self.endpoint.on_change(self._remember_addresses)
        try:
            await self.endpoint.open()
        except BaseException:
            await self.endpoint.close()
            raise
        self._add(self.endpoint)
        for name, port in bound_ports(transports).items():
            await self.store.set_setting(_PORT + name, str(port))
        self.exchange = AddressExchange(self.reactor, self.endpoint, signing_key, clock_us=self._clock_us)
        self._add(self.exchange)
        self.sync = LogSync(
            self.reactor,
            self.endpoint,
            self.store,
            self._rng,
            is_ours=self._is_ours,
            knows_us=self.exchange.has_our_addresses,
        )
        self._add(self.sync)
        self._add(Control(self.reactor, Commands(self), socket_path(self.config.data_directory)))

    def _remember_addresses(self, node_id: NodeId, addresses: Sequence[Address], last_success: int | None) -> None:
        self._in_background(self.store.remember_peer(node_id, encode_addresses(addresses), last_success))

    def _is_ours(self, connection: IConnection) -> Deferred[bool]:
        if connection.transport_name != "iroh":
            return succeed(True)
        asking = self.exchange.ask(connection.node_id)
        return asking.addTimeout(_RECOGNITION_TIMEOUT, self.reactor, lambda *_: False)

    async def _hold_configured(self) -> None:
        """
        Keep the topics and peers that the settings name, and those that the store remembers if we were told to.
        """
        for number, topic in enumerate(self.config.topics, 1):
            try:
                await self._open.hold(topic.id, topic.form, topic.name).ready()
            except LocalProtocolError as error:
                raise ConfigurationError(f"form of [[topic]] number {number} is wrong. {error}") from error
        for peer in self.config.peers:
            ticket = peer.ticket
            self._meet(ticket)
            if ticket.topic is not None:
                await self._share(self._open.hold(ticket.topic, ticket.form), ticket.node_id)
        if self._sync_remembered:
            for record in await self.store.topics():
                if not record.is_left:
                    self._open.hold(record.topic, record.form, record.name)

    @override
    def stopService(self) -> Deferred[None]:
        """
        Take leave of the other nodes, write what is to be written, and close everything.

        @return: Fires when nothing is left. The node can be started again.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._starting.cancel()
        await self._starting  # it may have to give up what it has begun
        for part in reversed(self._parts):
            await maybeDeferred(part.disownServiceParent)
        self._parts.clear()
        self._open.stopped()
        self._started = Gate()
        await maybeDeferred(super().stopService)

    def _in_background(self, work: Deferred[Any]) -> None:
        work.addErrback(lambda failure: self._log.error("{reason}", reason=failure.getErrorMessage()))

    # Topics

    def stream(self, topic: Topic, form: Form = Form.NODE, codec: Codec | None = None) -> Stream:
        """
        Open a topic: from now on it is synced with every node that is known to share it.

        @param topic: Thirty-two secret bytes that the application shares.
        @param form: How operations of the topic look. It is fixed when the topic is used first; with another form
            everything that is done with the stream fails with L{LocalProtocolError}.
        @param codec: What the values are; by default CBOR, in the chat form text.

        @return: At once. What is done with it waits until the node has started.
        """
        return Stream(self._open.take(topic, form), codec or (CBOR if form is Form.NODE else TEXT))

    def join(self, ticket: Ticket | str, name: str = "") -> Deferred[Stream]:
        """
        Open the topic of a ticket and sync it with the node that made the ticket, now and after each start.

        @param ticket: As L{ticket} gave it, there.
        @param name: What to call the topic; only this node knows it.

        @return: Fails with L{p2panda_tw.errors.DecodeError} or L{LocalProtocolError} when the ticket is damaged, of
            another network, or names no topic.
        """
        return Deferred.fromCoroutine(self._join(ticket, name))

    async def _join(self, ticket: Ticket | str, name: str) -> Stream:
        if isinstance(ticket, str):
            ticket = Ticket.decode(ticket)
        if ticket.topic is None:
            raise LocalProtocolError("The ticket leads to a node, but into no topic.")
        await self.when_started()
        self._meet(ticket)
        codec = CBOR if ticket.form is Form.NODE else TEXT
        opened = self._open.take(ticket.topic, ticket.form, name)
        try:
            await self._share(opened, ticket.node_id)
        except P2pandaError:
            await opened.release()
            raise
        return Stream(opened, codec)

    def _meet(self, ticket: Ticket) -> None:
        """
        Take note of where the node of a ticket may be reached.
        """
        if (ticket.network_id or DEFAULT_NETWORK_ID) != self.config.network_id:
            raise LocalProtocolError(
                f"The ticket is for another network than this node's, {self.config.describe_network()}."
            )
        if ticket.node_id == self.node_id:
            return
        if self._offline:
            self._remember_addresses(ticket.node_id, ticket.addresses, None)
        else:
            self.endpoint.add_addresses(ticket.node_id, ticket.addresses)

    async def _share(self, opened: OpenTopic, node_id: NodeId) -> None:
        """
        Sync a topic with the node of a ticket.
        """
        await opened.ready()
        if node_id != self.node_id:
            await opened.add_peer(node_id)

    def new_topic(self, name: str = "", form: Form = Form.NODE) -> Deferred[Topic]:
        """
        Make a topic from random bytes.

        @param name: What to call it; only this node knows it.
        """
        return Deferred.fromCoroutine(self._new_topic(name, form))

    async def _new_topic(self, name: str, form: Form) -> Topic:
        await self.when_started()
        topic = Topic(secrets.token_bytes(HASH_LENGTH))
        await self.store.add_topic(topic, form, name)
        await self.store.set_setting(confirmed_key(topic), str(self.store.loss))  # nobody can have seen anything of it
        if self._sync_remembered:
            self._open.hold(topic, form, name)
        return topic

    def topics(self) -> Deferred[list[TopicRecord]]:
        """
        @return: All topics that the store remembers, left ones included.
        """
        return self.when_started().addCallback(lambda _: self.store.topics())

    def leave_topic(self, topic: Topic) -> Deferred[None]:
        """
        Sync a topic no longer, now and after each start. What is stored stays, streams can go on reading it.
        """
        return Deferred.fromCoroutine(self._leave(topic))

    def forget_topic(self, topic: Topic) -> Deferred[None]:
        """
        Sync a topic no longer and delete everything of it.
        """
        return Deferred.fromCoroutine(self._leave(topic, forget=True))

    async def _leave(self, topic: Topic, forget: bool = False) -> None:
        await self.when_started()
        await self._open.end_sync(topic)
        await (self.store.forget_topic(topic) if forget else self.store.leave_topic(topic))

    def ticket(self, topic: Topic | None = None, form: Form | None = None) -> str:
        """
        @param topic: Lead into this topic, too. Then the ticket is a secret: who has it can read and write the topic.
        @param form: The topic's form, if it is not open.

        @return: One line that a person can copy; another node's L{join} takes it. It names where we may be reached now.
        """
        opened = None if topic is None else self._open.get(topic)
        if form is None:
            form = opened.form if opened is not None else Form.NODE
        is_default = self.config.network_id == DEFAULT_NETWORK_ID
        return str(
            Ticket(
                node_id=self.node_id,
                network_id=None if is_default else self.config.network_id,
                topic=topic,
                form=form,
                addresses=self.local_addresses(),
            )
        )

    def confirm_own_logs(self) -> Deferred[None]:
        """
        Publish without waiting for other nodes, though the store was lost or restored: the caller knows that nobody has
        operations of ours that are missing here. If that is wrong our logs fork, and others refuse what follows.
        """
        return Deferred.fromCoroutine(self._confirm_own_logs())

    async def _confirm_own_logs(self) -> None:
        await self.when_started()
        await self.store.confirm_own_logs()
        for opened in self._open:
            await opened.confirm()

    # How it is

    def status(self) -> Deferred[dict[str, Any]]:
        """
        @return: What L{p2panda_tw.status.describe_node} says.
        """
        return self.when_started().addCallback(lambda _: Deferred.fromCoroutine(describe_node(self)))

    def local_addresses(self) -> list[Address]:
        """
        @return: Where others may reach us now, best first. Offline: where they may once we are not.
        """
        return list(self._usual_addresses) if self._offline else self.endpoint.local_addresses()

    def problems(self) -> Mapping[str, str]:
        """
        @return: Why a transport is not in use, by its name; a sentence for a person.
        """
        return {} if self._offline else self.endpoint.problems

    def peer_states(self, topic: Topic) -> Sequence[PeerState]:
        """
        @return: With whom a topic is synced, and how far that is.
        """
        opened = self._open.get(topic)
        return () if opened is None else opened.peer_states

    def flushed(self, topic: Topic, timeout: float) -> Deferred[bool]:
        """
        Wait until everything that is stored of a topic is on its way to the nodes that we have a session with.

        @param timeout: Seconds to wait at most.

        @return: Whether it is. C{True} also when nobody is connected.
        """
        return Deferred.fromCoroutine(self._flushed(topic, timeout))

    async def _flushed(self, topic: Topic, timeout: float) -> bool:
        until = self.reactor.seconds() + timeout
        while any(peer.sessions and (peer.behind or peer.unconfirmed) for peer in self.peer_states(topic)):
            if self.reactor.seconds() >= until:
                return False
            await deferLater(self.reactor, _LOOK_AGAIN)
        return True

    def newest_arrival(self, topic: Topic) -> Deferred[int]:
        """
        @return: The newest arrival number of a topic, 0 if nothing was ever stored.
        """
        return self.store.heights(topic).addCallback(lambda heights: heights.newest)

    def setting(self, key: str) -> Deferred[str | None]:
        """
        @return: A small value that an application keeps with the store.
        """
        return self.store.setting(f"application/{key}")

    def set_setting(self, key: str, value: str | None) -> Deferred[None]:
        """
        @param value: C{None} removes it.
        """
        return self.store.set_setting(f"application/{key}", value)
