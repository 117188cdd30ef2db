"""
A process with a TLS transport, for tests that send data between processes, kill them, and measure their memory. It prints
one JSON object per line.

    serve               listen; streams with an even first byte are read, others never; "stat" on standard input asks
    watch PORT          connect, open a stream, tell when it is lost
    send PORT BYTES     send so much through one stream
    flood PORT BYTES SEED    send so much over many streams and connections, honestly and not
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import stdio
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogBeginner
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import TlsAddress
from p2panda_tw.errors import ConnectError
from p2panda_tw.transport.frames import HEADER
from p2panda_tw.transport.tls import TlsTransport
from tests.transport.contract import CHAT, Recorder, Source, opening
from tests.transport.raw_peer import RawPeer, RawTls, connect_tls

SERVER = SigningKey(b"\x02" * 32)
LISTEN = "127.0.0.1:0"


def tell(**values: object) -> None:
    """
    Print one line.
    """
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def memory() -> dict[str, int]:
    """
    @return: Resident memory now and at its peak, in KiB, and open descriptors.
    """
    with open("/proc/self/status", encoding="ascii") as status:
        found = dict(line.split(":", 1) for line in status)
    return {
        "rss": int(found["VmRSS"].split()[0]),
        "peak": int(found["VmHWM"].split()[0]),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


class Choosy(Recorder):
    """
    Reads on if the first byte is even, and stops reading for good if it is odd.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def dataReceived(self, data: bytes) -> None:
        if not self.count and data[0] & 1:
            self.transport.pauseProducing()
        self.count += len(data)

    def readConnectionLost(self) -> None:
        self.transport.write(b"%d" % self.count)
        self.transport.loseWriteConnection()


class Questions(LineReceiver):
    """
    Standard input: each line is answered with what the process needs now.
    """

    delimiter = b"\n"

    def __init__(self, answer: Callable[[], None]) -> None:
        self._answer = answer

    @override
    def lineReceived(self, line: bytes) -> None:
        self._answer()


async def serve(reactor: Any) -> None:
    transport = TlsTransport(reactor, SERVER, listen=[LISTEN])
    factory = Factory.forProtocol(Choosy)
    await transport.listen(lambda connection: connection.accept_streams(factory), lambda: [CHAT])
    tell(port=transport.port)
    stdio.StandardIO(Questions(lambda: tell(connections=len(transport._roster.connections), **memory())))
    await Deferred()


async def dialler(reactor: Any, seed: int = 1) -> TlsTransport:
    transport = TlsTransport(reactor, SigningKey(bytes([seed]) * 32), listen=[LISTEN])
    await transport.listen(lambda connection: None, list)
    return transport


async def watch(reactor: Any, port: str) -> None:
    transport = await dialler(reactor)
    connection = await transport.connect(SERVER.verifying_key, [TlsAddress("127.0.0.1", int(port))], CHAT)
    stream: Any = await connection.open_stream(opening(Recorder))
    stream.transport.write(b"\0 hello")
    await deferLater(reactor, 0.1, lambda: None)
    tell(open=True)
    await stream.until(lambda: stream.lost is not None)
    tell(lost=stream.lost.type.__name__, ended=stream.ended, reason=str(stream.lost.value))
    await connection.closed
    await transport.stop()
    tell(closed=True, **memory())


async def send(reactor: Any, port: str, size: str) -> None:
    transport = await dialler(reactor)
    connection = await transport.connect(SERVER.verifying_key, [TlsAddress("127.0.0.1", int(port))], CHAT)
    before = memory()
    begun = reactor.seconds()
    source: Any = await connection.open_stream(opening(lambda: Source(int(size))))
    await source.until_ended()
    seconds = reactor.seconds() - begun
    tell(arrived=int(source.received), seconds=seconds, growth=memory()["peak"] - before["rss"])
    await connection.close("sent")
    await transport.stop()


@implementer(IPushProducer)
class Flood(Protocol):
    """
    Writes as fast as the stream takes it, without end.
    """

    transport: Any
    written = 0
    NOISE = bytes(range(256)) * 128

    def __init__(self, first: int) -> None:
        self._first = first
        self._paused = False

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self.transport.write(bytes([self._first]))
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused:
            Flood.written += len(self.NOISE)
            self.transport.write(self.NOISE)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._paused = True


async def flood_honestly(reactor: Any, transport: TlsTransport, port: int, total: int) -> None:
    """
    Many streams, half of which nobody reads; again and again.
    """
    while Flood.written < total:
        try:
            connection = await transport.connect(SERVER.verifying_key, [TlsAddress("127.0.0.1", port)], CHAT)
            for number in range(64):
                await connection.open_stream(opening(lambda number=number: Flood(number)))  # type: ignore[misc]
        except ConnectError:
            await deferLater(reactor, 0.05, lambda: None)
            continue
        await deferLater(reactor, 1, lambda: None)
        connection.abort("again")
        await connection.closed


async def flood_dishonestly(reactor: Any, port: int, total: int, seed: int) -> None:
    """
    Raw frames that heed no window.
    """
    turn = 0
    while Flood.written < total or turn < 4:  # each kind of lie at least once
        turn += 1
        peer = connect_tls(reactor, "127.0.0.1", port, RawTls(SigningKey(bytes([seed]) * 32), [CHAT]))
        while not peer.received and peer.lost is None:
            await deferLater(reactor, 0.01, lambda: None)
        await _lie(reactor, peer, turn)


async def _lie(reactor: Any, peer: RawPeer, turn: int) -> None:
    payload = b"\0\1" + bytes(65534)  # a stream that nobody reads
    for number in range(1, 200, 2):
        if peer.lost is not None:
            return
        match turn % 4:
            case 0:  # more than the window
                data = HEADER.pack(0, 0, 1 if number == 1 else 0, 1, 65536) + payload
            case 1:  # many streams, full windows
                data = HEADER.pack(0, 0, 1, number, 65536) + payload
            case 2:  # nothing but headers
                data = HEADER.pack(0, 2, 1, 0, number) * 5000
            case _:
                data = payload
        Flood.written += len(data)
        peer.transport.write(data)
        await deferLater(reactor, 0, lambda: None)
    peer.transport.abortConnection()


async def flood(reactor: Any, port: str, size: str, seed: str) -> None:
    transport = await dialler(reactor, int(seed))
    floods = [flood_honestly(reactor, transport, int(port), int(size)) for _ in range(24)]
    floods += [flood_dishonestly(reactor, int(port), int(size), int(seed) + n + 1) for n in range(8)]
    for _, result in await DeferredList([ensureDeferred(one) for one in floods], consumeErrors=True):
        if isinstance(result, Failure):
            result.trap(ConnectError, ConnectionLost)
    tell(written=Flood.written)
    await transport.stop()


def log(event: LogEvent) -> None:
    """
    Warnings and worse are told, too.
    """
    if event["log_level"] >= LogLevel.warn:
        if "cause" in event:
            tell(peer=event["peer"], cause=event["cause"])
        else:
            tell(error=event.get("log_format"), failure=str(event.get("log_failure")))


def main() -> None:
    """
    Do what the arguments say.
    """
    from twisted.internet import reactor

    globalLogBeginner.beginLoggingTo([cast(ILogObserver, log)], redirectStandardIO=False)
    role, *arguments = sys.argv[1:]
    roles: dict[str, Any] = {"serve": serve, "watch": watch, "send": send, "flood": flood}

    def over(result: object) -> None:
        if isinstance(result, Failure):
            tell(error=result.getTraceback())
        reactor.stop()

    reactor.callWhenRunning(lambda: ensureDeferred(roles[role](reactor, *arguments)).addBoth(over))
    reactor.run()


if __name__ == "__main__":
    main()
