"""
The TLS transport as a stranger would write it: from C{docs/tls-transport.md}, with pyOpenSSL, PyNaCl and blake3. Blocking,
and only the dialling side. Nothing here imports p2panda_tw.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Callable
from functools import partial

from blake3 import blake3
from nacl.signing import SigningKey, VerifyKey
from OpenSSL import SSL, crypto

DEFAULT_NETWORK = blake3(b"p2panda").digest()
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW = 256 * 1024
MAX_DATA = 64 * 1024
HEAD = struct.Struct(">BBHII")
ED25519 = bytes.fromhex("300506032b6570")


class Lost(Exception):
    """
    The connection or the stream is gone.
    """


def der(tag: int, *parts: bytes) -> bytes:
    """
    @return: One DER value of up to 65,535 bytes.
    """
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    return bytes([tag, 0x81, size]) + content if size < 256 else bytes([tag, 0x82]) + size.to_bytes(2, "big") + content


def certificate(key: SigningKey) -> bytes:
    """
    @return: The node's key as a self-signed certificate in DER.
    """
    name = der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0C, b"p2panda"))))
    serial = der(0x02, bytes([secrets.randbelow(127) + 1]) + secrets.token_bytes(15))
    validity = der(0x30, der(0x17, b"000101000000Z"), der(0x18, b"99991231235959Z"))
    public = der(0x30, ED25519, der(0x03, b"\0" + bytes(key.verify_key)))
    signed = der(0x30, der(0xA0, der(0x02, b"\2")), serial, ED25519, name, validity, name, public)
    return der(0x30, signed, ED25519, der(0x03, b"\0" + key.sign(signed).signature))


def node_id_of(cert: crypto.X509) -> bytes:
    """
    @return: The key in a certificate, after checking that the certificate is signed with it.
    """
    public = crypto.dump_publickey(crypto.FILETYPE_ASN1, cert.get_pubkey())
    node_id, raw = public[-32:], crypto.dump_certificate(crypto.FILETYPE_ASN1, cert)
    if public[:-32] != bytes.fromhex("302a") + ED25519 + bytes.fromhex("032100"):
        raise Lost("The certificate is not of a node: no Ed25519 key.")
    start = 2 if raw[1] < 128 else 2 + (raw[1] & 127)
    end = len(raw) - 64 - 3 - len(ED25519)
    VerifyKey(node_id).verify(raw[start:end], raw[-64:])
    return node_id


class Stream:
    """
    A two-way stream that we opened.
    """

    def __init__(self, connection: Connection, stream_id: int) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self.window = WINDOW
        self.received = bytearray()
        self.consumed = 0
        self.ended = self.reset = False
        self._flags = SYN
        self.write(b"\0")

    def write(self, data: bytes) -> None:
        while data:
            self._connection.pump_until(lambda: self.window > 0 or self.reset)
            if self.reset:
                raise Lost("The stream was reset.")
            part = data[: min(MAX_DATA, self.window)]
            data = data[len(part) :]
            self.window -= len(part)
            self._connection.send(DATA, self._flags, self.stream_id, len(part), part)
            self._flags = 0

    def read_exactly(self, size: int) -> bytes:
        self._connection.pump_until(lambda: len(self.received) >= size or self.ended or self.reset)
        if self.reset or len(self.received) < size:
            raise Lost("The stream was reset." if self.reset else "The stream has ended.")
        data = bytes(self.received[:size])
        del self.received[:size]
        self.consumed += size
        if self.consumed >= WINDOW // 2 and not self.ended:
            self._connection.send(WINDOW_UPDATE, 0, self.stream_id, self.consumed)
            self.consumed = 0
        return data

    def wait_for_end(self) -> bytes:
        """
        @return: What was not read before the other side ended the stream.
        """
        self._connection.pump_until(lambda: self.ended or self.reset)
        return bytes(self.received)

    def finish(self) -> None:
        self._connection.send(DATA, FIN, self.stream_id, 0)


class Connection:
    """
    A TLS connection to one node for one protocol.
    """

    def __init__(
        self,
        key: SigningKey,
        node_id: bytes,
        address: tuple[str, int],
        protocol_id: bytes,
        network_id: bytes = DEFAULT_NETWORK,
        timeout: float = 10.0,
    ) -> None:
        self._timeout = timeout
        self._streams: dict[int, Stream] = {}
        self._incoming = b""
        self.heard = self.gone = False
        alpn = blake3(protocol_id + network_id).digest()
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_alpn_protos([alpn])
        private = bytes.fromhex("302e020100") + ED25519 + bytes.fromhex("04220420") + bytes(key)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_ASN1, private))
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, certificate(key)))
        self._socket = socket.create_connection(address, timeout)
        self._socket.setblocking(False)
        self._tls = SSL.Connection(context, self._socket)
        self._tls.set_connect_state()
        try:
            self._open(node_id, alpn)
        except BaseException:
            self._socket.close()
            raise

    def _open(self, node_id: bytes, alpn: bytes) -> None:
        self._retry(self._tls.do_handshake)
        peer, chain = self._tls.get_peer_certificate(), self._tls.get_peer_cert_chain()
        if peer is None or len(chain or []) != 1 or node_id_of(peer) != node_id:
            raise Lost("Another node answered.")
        if self._tls.get_alpn_proto_negotiated() != alpn:
            raise Lost("No common protocol.")
        self.pump_until(lambda: self.heard)

    def _retry(self, call: Callable[[], bytes | int | None]) -> bytes | int | None:
        """
        Call until TLS has what it needs.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            wanted: tuple[list[socket.socket], list[socket.socket]]
            try:
                return call()
            except SSL.WantReadError:
                wanted = [self._socket], []
            except SSL.WantWriteError:
                wanted = [], [self._socket]
            except SSL.Error as error:
                raise Lost(f"TLS: {error!r}") from error
            left = deadline - time.monotonic()
            if left <= 0 or not any(select.select(*wanted, [], left)):
                raise Lost("Time is up.")

    def send(self, kind: int, flags: int, stream_id: int, length: int, data: bytes = b"") -> None:
        frame = HEAD.pack(0, kind, flags, stream_id, length) + data
        while frame:
            sent = self._retry(partial(self._tls.send, frame))
            assert isinstance(sent, int)
            frame = frame[sent:]

    def open_stream(self) -> Stream:
        stream_id = 2 * len(self._streams) + 1
        self._streams[stream_id] = Stream(self, stream_id)
        return self._streams[stream_id]

    def pump_until(self, done: Callable[[], bool]) -> None:
        """
        Read frames until C{done()}.
        """
        while not done():
            if self.gone:
                raise Lost("The other side has closed the connection.")
            kind, flags, stream_id, length = HEAD.unpack(self._exactly(HEAD.size))[1:]
            self.heard = True
            if kind == PING and flags & SYN:
                self.send(PING, ACK, 0, length)
            elif kind == GO_AWAY:
                self.gone = True
            elif kind in (DATA, WINDOW_UPDATE):
                self._stream_frame(kind, flags, stream_id, length)

    def _stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        data = self._exactly(length) if kind == DATA else b""
        stream = self._streams.get(stream_id)
        if stream is None:
            if flags & SYN:
                self.send(WINDOW_UPDATE, RST, stream_id, 0)  # nobody opens streams to us
            return
        stream.received += data
        if kind == WINDOW_UPDATE:
            stream.window += length
        stream.ended |= bool(flags & FIN)
        stream.reset |= bool(flags & RST)

    def _exactly(self, size: int) -> bytes:
        while len(self._incoming) < size:
            data = self._retry(lambda: self._tls.recv(MAX_DATA))
            assert isinstance(data, bytes)
            self._incoming += data
        data, self._incoming = self._incoming[:size], self._incoming[size:]
        return data

    def close(self) -> None:
        try:
            self.send(GO_AWAY, 0, 0, 0)
            self._tls.shutdown()
        except (Lost, SSL.Error):
            pass  # the other side was faster
        self._socket.close()
