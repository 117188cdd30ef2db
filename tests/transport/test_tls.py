"""
The TLS transport keeps the promises of every transport, here over memory instead of sockets.
"""

from __future__ import annotations

from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import Address, IrohAddress, TlsAddress
from p2panda_tw.errors import ConnectError, WrongNode
from p2panda_tw.interfaces import IConnection, INodeTransport
from p2panda_tw.transport.certificate import make_certificate
from p2panda_tw.transport.complaints import Complaints
from p2panda_tw.transport.frames import HEADER
from p2panda_tw.transport.limits import ConnectionLimits, ReceiveBudget
from p2panda_tw.transport.tls import TlsTransport
from tests.transport.contract import (
    ALICE,
    BOB,
    CAROL,
    CHAT,
    MIB,
    OTHER,
    Echo,
    Inbox,
    Node,
    OnClock,
    Sleepy,
    TransportContract,
    opening,
)
from tests.transport.fake_reactor import FakeReactor
from tests.transport.raw_peer import RawPeer, RawTls, connect_tcp, connect_tls, listen_tls
from tests.transport.test_certificate import certificate_of


class TlsContractTests(OnClock, TransportContract, SynchronousTestCase):
    """
    The contract, with real TLS on a fake network.
    """

    transport_name = "tls"
    refused_within = 0.5
    bulk = 16 * MIB

    reactor: FakeReactor

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.addCleanup(self.assert_nothing_left)

    @override
    def make_transport(self, key: SigningKey) -> INodeTransport:
        return TlsTransport(self.reactor, key, interfaces=lambda: ["192.0.2.1", "127.0.0.1", "::1"])

    @override
    def dead_address(self) -> Address:
        return TlsAddress("192.0.2.7", self.reactor.new_port())

    @override
    def silent_address(self) -> Address:
        address = TlsAddress("192.0.2.8", self.reactor.new_port())
        self.reactor.silent.add((address.host, address.port))
        return address

    @override
    def vanish(self, node: Node) -> bool:
        for ends in self.reactor.pipes:
            for end in ends:
                end.frozen = True
        return True

    @override
    def in_pieces(self) -> bool:
        self.reactor.piece, self.reactor.delay = 1, 0.0
        return True


class Hostile(SynchronousTestCase):
    """
    One node with a real transport, and raw peers.
    """

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.addCleanup(self.clean_up)
        self.warnings: list[LogEvent] = []
        self.budget = ReceiveBudget()
        self.limits = ConnectionLimits()
        self.transport = self.make(BOB)
        self.accepted: list[IConnection] = []
        self.successResultOf(self.transport.listen(self.accepted.append, lambda: [CHAT]))
        assert self.transport.port is not None
        self.port = self.transport.port

    def make(self, key: SigningKey) -> TlsTransport:
        """
        A transport whose warnings are kept.
        """
        transport = TlsTransport(
            self.reactor, key, interfaces=lambda: ["127.0.0.1"], budget=self.budget, limits=self.limits
        )
        transport.complaints = Complaints(Logger(observer=cast(ILogObserver, self.warnings.append)))
        return transport

    def clean_up(self) -> None:
        """
        Everything can be stopped, and nothing is left.
        """
        stopped = self.transport.stop()
        self.let(8)
        self.successResultOf(stopped)
        self.assertEqual((self.limits.total, self.budget.used, self.budget.streams), (0, 0, 0))
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])

    def let(self, seconds: float, step: float = 0.01) -> None:
        """
        Let time pass.
        """
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.advance(step)

    def causes(self) -> list[tuple[str, str]]:
        """
        Peer and cause of each warning.
        """
        return [(event["peer"], event["cause"]) for event in self.warnings]

    def raw(self, key: SigningKey = ALICE) -> RawPeer:
        """
        A peer that has done its handshake.
        """
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(key, [CHAT]))
        self.let(0.1)
        self.assertEqual(peer.frames(), [(2, 1, 0, 1)])
        return peer


class HandshakeTests(Hostile):
    """
    Who is no node does not get in.
    """

    def test_garbage(self) -> None:
        """
        Bytes that are no TLS end the connection, with one warning however often it is tried.
        """
        for _ in range(3):
            peer = connect_tcp(self.reactor, "127.0.0.1", self.port)
            self.let(0.1)
            peer.transport.write(b"GET / HTTP/1.1\r\n\r\n")
            self.let(0.1)
            self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [("127.0.0.1", "no handshake")])
        self.assertEqual(self.transport.complaints.counts, {"no handshake": 3})

    def test_silence(self) -> None:
        """
        Who connects and says nothing is cut off after ten seconds.
        """
        peer = connect_tcp(self.reactor, "127.0.0.1", self.port)
        self.let(9.9)
        self.assertIsNone(peer.lost)
        self.let(0.3)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [("127.0.0.1", "slow handshake")])

    def test_trickle(self) -> None:
        """
        A handshake that comes in bit by bit is cut off after ten seconds, too.
        """
        peer = connect_tcp(self.reactor, "127.0.0.1", self.port)
        self.let(0.1)
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh":
            peer.transport.write(bytes([byte]))
            self.let(1)
            if peer.lost is not None:
                break
        self.assertIsNotNone(peer.lost)
        self.assertTrue(9.9 < self.reactor.seconds() < 11.5, self.reactor.seconds())
        self.assertEqual(self.causes(), [("127.0.0.1", "slow handshake")])

    def test_no_certificate(self) -> None:
        """
        A node has to show who it is.
        """
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(None, [CHAT]))
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual((self.accepted, self.causes()), ([], [("127.0.0.1", "no handshake")]))

    def test_other_kind_of_key(self) -> None:
        """
        A certificate with another kind of key is none of a node.
        """
        tls = RawTls(None, [CHAT])
        key = ec.generate_private_key(ec.SECP256R1())
        tls.context.use_certificate(certificate_of(key.public_key(), key, hashes.SHA256()))
        tls.context.use_privatekey(key)
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, tls)
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual((self.accepted, self.causes()), ([], [("127.0.0.1", "no node")]))
        self.assertIn("no Ed25519 key", self.warnings[0]["sentence"])

    def test_two_certificates(self) -> None:
        """
        A node shows exactly one certificate.
        """
        tls = RawTls(ALICE, [CHAT])
        tls.context.add_extra_chain_cert(make_certificate(CAROL)[0])
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, tls)
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.accepted, [])
        self.assertIn("exactly one certificate", self.warnings[0]["sentence"])

    def test_old_tls(self) -> None:
        """
        TLS 1.2 is not taken.
        """
        tls = RawTls(None, [CHAT])
        tls.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, tls)
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.accepted, [])

    def test_no_alpn(self) -> None:
        """
        Who asks for no protocol gets none.
        """
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(ALICE, []))
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.accepted, [])

    def test_another_protocol_is_no_offence(self) -> None:
        """
        Asking for a protocol that we do not speak is answered with alert 120, and no warning.
        """
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(ALICE, [OTHER]))
        self.let(0.2)
        assert peer.lost is not None
        self.assertIn("no application protocol", str(peer.lost.value))
        self.assertEqual((self.accepted, self.causes()), ([], []))

    def test_unfinished_handshakes(self) -> None:
        """
        From one address 32 handshakes may be under way; others are refused until one is over.
        """
        peers = [connect_tcp(self.reactor, "127.0.0.1", self.port) for _ in range(40)]
        self.let(0.1)
        self.assertEqual(sum(peer.lost is None for peer in peers), 32)
        self.assertEqual(self.causes(), [("127.0.0.1", "too many connections")])
        peers[0].transport.loseConnection()
        self.let(0.1)
        self.raw()

    def test_connections_of_one_node(self) -> None:
        """
        One node may have 256 connections with us, and the next one is told that it was closed.
        """
        self.limits = ConnectionLimits(per_node=3)
        self.transport._limits = self.limits
        for _ in range(3):
            self.raw()
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(ALICE, [CHAT]))
        self.let(0.1)
        self.assertEqual((bytes(peer.received), peer.lost is None), (b"", False))
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "too many connections")])
        self.raw(CAROL)

    def test_connections_in_all(self) -> None:
        """
        No more than 1,024 connections come in; we may dial nevertheless.
        """
        self.limits = ConnectionLimits(total=2)
        self.transport._limits = self.limits
        self.raw(), self.raw(CAROL)
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(ALICE, [CHAT]))
        self.let(0.1)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [("127.0.0.1", "too many connections")])

    def test_node_fails(self) -> None:
        """
        A mistake in whoever takes connections costs that connection alone.
        """

        def fail(connection: IConnection) -> None:
            raise ZeroDivisionError("a mistake")

        self.transport._accept = fail
        peer = connect_tls(self.reactor, "127.0.0.1", self.port, RawTls(ALICE, [CHAT]))
        self.let(0.1)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop_in_a_handshake(self) -> None:
        """
        Stopping does not wait for handshakes.
        """
        peer = connect_tcp(self.reactor, "127.0.0.1", self.port)
        self.let(0.1)
        stopped = self.transport.stop()
        self.let(0.1)
        self.successResultOf(stopped)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [])


class DialTests(Hostile):
    """
    What a dialler hears of addresses where no proper node is.
    """

    def dial(self, port: int, key: SigningKey = ALICE) -> BaseException | None:
        """
        The error of dialling a port of this machine.
        """
        attempt = self.transport.connect(key.verifying_key, [TlsAddress("127.0.0.1", port)], CHAT)
        begun = self.reactor.seconds()
        results: list[Failure] = []
        attempt.addErrback(results.append)
        while not results and self.reactor.seconds() - begun < 20:
            self.reactor.advance(0.01)
        self.took = self.reactor.seconds() - begun
        return results[0].value

    def test_web_server(self) -> None:
        """
        Something that is no TLS.
        """
        made = listen_tls(self.reactor, 8080, None)
        attempt = self.transport.connect(ALICE.verifying_key, [TlsAddress("127.0.0.1", 8080)], CHAT)
        self.let(0.1)
        made[0].transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.let(0.1)
        error = self.failureResultOf(attempt, ConnectError).value
        self.assertEqual(str(error), "The TLS handshake with 127.0.0.1:8080 failed.")

    def test_closes_at_once(self) -> None:
        """
        Something that hangs up.
        """
        made = listen_tls(self.reactor, 8080, None)
        attempt = self.transport.connect(ALICE.verifying_key, [TlsAddress("127.0.0.1", 8080)], CHAT)
        self.let(0.1)
        made[0].transport.loseConnection()
        self.let(0.1)
        error = self.failureResultOf(attempt, ConnectError).value
        self.assertEqual(str(error), "The node at 127.0.0.1:8080 closed the connection before it was open.")

    def test_never_answers(self) -> None:
        """
        Something that takes the connection and says nothing.
        """
        listen_tls(self.reactor, 8080, None)
        self.assertEqual(str(self.dial(8080)), "The node did not answer within 10 seconds.")
        self.assertTrue(9.9 < self.took < 10.1, self.took)

    def test_handshake_and_silence(self) -> None:
        """
        A node that proves its key and then says nothing is not connected to.
        """
        listen_tls(self.reactor, 8080, RawTls(ALICE, [CHAT]))
        self.assertEqual(str(self.dial(8080)), "The node did not answer within 10 seconds.")
        self.assertTrue(9.9 < self.took < 10.1, self.took)

    def test_open_with_the_first_frame(self) -> None:
        """
        The first whole frame opens the connection, and a half one does not.
        """
        made = listen_tls(self.reactor, 8080, RawTls(ALICE, [CHAT]))
        attempt = self.transport.connect(ALICE.verifying_key, [TlsAddress("127.0.0.1", 8080)], CHAT)
        self.let(0.1)
        made[0].transport.write(HEADER.pack(0, 2, 1, 0, 1)[:11])
        self.let(0.1)
        self.assertNoResult(attempt)
        made[0].transport.write(HEADER.pack(0, 2, 1, 0, 1)[11:])
        self.let(0.1)
        self.successResultOf(attempt)

    def test_nobody(self) -> None:
        """
        A port where nothing listens.
        """
        self.assertEqual(str(self.dial(8080)), "Nothing listens at 127.0.0.1:8080.")

    def test_another_node(self) -> None:
        """
        The address belongs to somebody else.
        """
        listen_tls(self.reactor, 8080, RawTls(CAROL, [CHAT]))
        error = self.dial(8080)
        self.assertIsInstance(error, WrongNode)
        self.assertEqual(str(error), "Another node answers at 127.0.0.1:8080.")

    def test_garbage_after_the_handshake(self) -> None:
        """
        A node that sends garbage in place of the first frame.
        """
        made = listen_tls(self.reactor, 8080, RawTls(ALICE, [CHAT]))
        attempt = self.transport.connect(ALICE.verifying_key, [TlsAddress("127.0.0.1", 8080)], CHAT)
        self.let(0.1)
        made[0].transport.write(b"garbage, garbage")
        self.let(0.1)
        self.failureResultOf(attempt, ConnectError)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "garbage")])

    def test_many_at_once(self) -> None:
        """
        A hundred connections to one node may be wished for at once; they do not get in each other's way.
        """
        other = self.make(CAROL)
        other._limits = ConnectionLimits()
        self.successResultOf(other.listen(lambda _: None, list))
        attempts = [other.connect(BOB.verifying_key, self.transport.addresses(), CHAT) for _ in range(100)]
        self.let(1)
        for attempt in attempts:
            self.successResultOf(attempt)
        self.assertEqual((len(self.accepted), self.causes()), (100, []))
        stopped = other.stop()
        self.let(1)
        self.successResultOf(stopped)

    def test_not_ourselves(self) -> None:
        """
        Another node is not looked for at our own address.
        """
        error = self.failureResultOf(
            self.transport.connect(CAROL.verifying_key, self.transport.addresses(), CHAT), ConnectError
        ).value
        self.assertEqual(str(error), "No address of the node is known.")

    def test_no_address(self) -> None:
        """
        Nothing to dial is an error, not a crash.
        """
        self.failureResultOf(self.transport.connect(ALICE.verifying_key, [], CHAT), ConnectError)

    def test_not_listening(self) -> None:
        """
        A transport that was not started does not dial.
        """
        other = self.make(CAROL)
        self.failureResultOf(
            other.connect(ALICE.verifying_key, [TlsAddress("127.0.0.1", self.port)], CHAT), ConnectError
        )

    def test_reaches(self) -> None:
        """
        Addresses that only other transports can dial, or nobody, are told apart.
        """
        self.assertEqual(
            [
                self.transport.reaches(address)
                for address in (
                    TlsAddress("192.0.2.1", 4242),
                    TlsAddress("node.example", 4242),
                    TlsAddress("2001:db8::1", 4242),
                    TlsAddress("fe80::1", 4242),
                    TlsAddress("memory.invalid", 4242),
                    IrohAddress("192.0.2.1", 4242),
                )
            ],
            [True, True, True, False, False, False],
        )


class FrameTests(Hostile):
    """
    A proven node that breaks the rules afterwards.
    """

    def test_garbage(self) -> None:
        """
        Garbage ends the connection with a protocol error, and one warning for all times.
        """
        for _ in range(3):
            peer = self.raw()
            peer.transport.write(b"garbage, garbage")
            self.let(0.2)
            self.assertEqual(peer.frames()[-1], (3, 0, 0, 1))
            self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "garbage")])

    def test_does_not_leave(self) -> None:
        """
        Who stays after that is cut off within a second, whatever it sends.
        """
        peer = self.raw()
        peer.transport.write(b"garbage, garbage")
        self.let(0.0015, step=0.0015)
        for end in self.reactor.pipes[-1]:
            end.frozen = True
        self.let(0.5)
        self.assertEqual(len(self.transport._roster.connections), 1)
        self.let(0.6)
        self.assertEqual(self.transport._roster.connections, {})

    def test_two_causes(self) -> None:
        """
        Each cause is told once.
        """
        self.raw().transport.write(b"garbage, garbage")
        self.raw().transport.write(HEADER.pack(0, 0, 1, 1, 70_000))
        self.raw(CAROL).transport.write(b"garbage, garbage")
        self.let(0.1)
        alice, carol = str(ALICE.verifying_key), str(CAROL.verifying_key)
        self.assertEqual(self.causes(), [(alice, "garbage"), (alice, "frame too long"), (carol, "garbage")])

    def test_silence(self) -> None:
        """
        A node that does not even answer pings is given up between 10 and 15 seconds.
        """
        begun = self.reactor.seconds()
        peer = self.raw()
        while peer.lost is None:
            self.reactor.advance(0.1)
        self.assertTrue(10 <= self.reactor.seconds() - begun <= 15.3, self.reactor.seconds() - begun)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "silent")])

    def test_trickle(self) -> None:
        """
        A frame that comes in byte by byte is given up after half a minute.
        """
        begun = self.reactor.seconds()
        peer = self.raw()
        for byte in HEADER.pack(0, 0, 1, 1, 60_000) + b"\0" + bytes(100):
            peer.transport.write(bytes([byte]))
            self.let(2, step=0.1)
            if peer.lost is not None:
                break
        self.assertIsNotNone(peer.lost)
        self.assertTrue(30 <= self.reactor.seconds() - begun <= 62, self.reactor.seconds() - begun)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "trickle")])

    def test_trickle_below_tls(self) -> None:
        """
        So is a TLS record.
        """
        begun = self.reactor.seconds()
        peer = self.raw()
        for byte in b"\x17\x03\x03\x40\x00" + bytes(100):
            self.reactor.pipes[-1][0].write(bytes([byte]))
            self.let(2, step=0.1)
            if peer.lost is not None:
                break
        self.assertIsNotNone(peer.lost)
        self.assertLess(self.reactor.seconds() - begun, 41)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "trickle")])

    def test_flood_of_pings(self) -> None:
        """
        Pings without end are cut off.
        """
        peer = self.raw()
        peer.transport.write(HEADER.pack(0, 2, 1, 0, 1) * 10_000)
        self.let(0.2)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "flood")])

    def test_end_without_goodbye(self) -> None:
        """
        A TLS session that ends properly, but without a go-away frame, is a lost connection and no end of streams.
        """
        peer = self.raw()
        inbox = Inbox()
        self.accepted[0].accept_streams(inbox)
        peer.transport.write(HEADER.pack(0, 0, 1, 1, 3) + b"\0hi")
        self.let(0.1)
        stream = self.successResultOf(inbox.next())
        peer.transport.loseConnection()
        self.let(0.1)
        self.assertEqual((bytes(stream.received), stream.ended), (b"hi", False))
        self.assertIs(stream.lost.type, ConnectionLost)
        self.assertIsNone(self.successResultOf(self.accepted[0].closed))

    def test_go_away_with_an_error(self) -> None:
        """
        A node that gives up on us is reported to the streams.
        """
        peer = self.raw()
        inbox = Inbox()
        self.accepted[0].accept_streams(inbox)
        peer.transport.write(HEADER.pack(0, 0, 1, 1, 3) + b"\0hi" + HEADER.pack(0, 3, 0, 0, 1))
        self.let(0.1)
        stream = self.successResultOf(inbox.next())
        self.assertIs(stream.lost.type, ConnectionLost)
        self.assertIn("protocol error", str(stream.lost.value))

    def test_goodbye_but_never_leaves(self) -> None:
        """
        Who says goodbye and stays is disconnected after five seconds.
        """
        peer = self.raw()
        peer.transport.write(HEADER.pack(0, 3, 0, 0, 0))
        self.let(0.02)
        for end in self.reactor.pipes[-1]:
            end.frozen = True
        self.let(4.8)
        self.assertEqual(len(self.transport._roster.connections), 1)
        self.let(0.3)
        self.assertEqual(self.transport._roster.connections, {})

    def test_stalled_close(self) -> None:
        """
        An orderly close waits five seconds for a peer that does not read, not longer.
        """
        self.raw()
        stream = cast(Any, self.successResultOf(self.accepted[0].open_stream(opening())))
        stream.transport.write(b"z" * 1_000_000)
        closed = self.accepted[0].close("over")
        self.let(4.9)
        self.assertNoResult(closed)
        self.let(0.3)
        self.successResultOf(closed)

    def test_too_many_streams(self) -> None:
        """
        Streams beyond the 256th are reset, with one warning, and the others go on.
        """
        peer = self.raw()
        inbox = Inbox(Echo)
        self.accepted[0].accept_streams(inbox)
        for number in range(1, 2 * 300, 2):
            peer.transport.write(HEADER.pack(0, 0, 1, number, 2) + b"\0x")
        self.let(0.2)
        self.assertEqual(inbox.count, 256)
        self.assertEqual(sum(frame[1] & 8 == 8 for frame in peer.frames()), 44)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "too many streams")])
        self.assertIsNone(peer.lost)

    def test_unread_on_a_connection(self) -> None:
        """
        More than 8 MiB of unread data on a connection cost the stream that brings it.
        """
        peer = self.raw()
        inbox = Inbox(Sleepy)
        self.accepted[0].accept_streams(inbox)
        for number in range(1, 2 * 33, 2):
            peer.transport.write(HEADER.pack(0, 0, 1, number, 65536) + b"\0" + bytes(65535))
            for _ in range(3):
                peer.transport.write(HEADER.pack(0, 0, 0, number, 65536) + bytes(65536))
        self.let(3)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "too much unread")])
        resets = [frame[2] for frame in peer.frames() if frame[1] & 8]
        self.assertEqual(resets, [65])
        self.assertLessEqual(self.budget.used, 8 * MIB)

    def test_unread_in_the_process(self) -> None:
        """
        More than 24 MiB of unread data in the process, over any connections, cost the stream that holds most.
        """
        self.budget.limit = 1_800_000
        inbox = Inbox(Sleepy)
        for turn in range(10):
            peer = self.raw()
            self.accepted[-1].accept_streams(inbox)
            for _ in range(4 if turn == 5 else 3):
                first = peer.frames() == [(2, 1, 0, 1)]
                size = 65536 if turn == 5 else 60_000
                peer.transport.write(
                    HEADER.pack(0, 0, 1 if first else 0, 1, size) + (b"\0" + bytes(size - 1) if first else bytes(size))
                )
                self.let(0.1)
        streams = [self.successResultOf(inbox.next()) for _ in range(10)]
        self.let(0.1)
        self.assertTrue(streams[5].lost is not None and streams[5].lost.check(ConnectionAborted))
        self.assertEqual(sum(stream.lost is None for stream in streams), 9)
        self.assertLessEqual(self.budget.used, 1_800_000)
        self.assertEqual(self.causes(), [(str(ALICE.verifying_key), "too much unread")])
