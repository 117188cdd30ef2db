# -*- test-case-name: tests.transport.test_mux -*-
"""
The frames of the multiplexer: their layout, which is that of yamux version 0, and the limits of docs/tls-transport.md
that apply to them. Twelve bytes, big endian, and for data that many bytes more::

    version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32

    type  0 data           length: bytes that follow, 64 KiB at most
          1 window update  length: so many bytes more may be sent
          2 ping           length: any value, comes back in the answer; stream id 0
          3 go away        length: 0 normal, 1 protocol error, 2 internal error; stream id 0
    flags 1 SYN   2 ACK   4 FIN   8 RST
"""

from __future__ import annotations

import struct
from typing import Final

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

NORMAL: Final = 0
PROTOCOL_ERROR: Final = 1

TWO_WAY: Final = 0
ONE_WAY: Final = 1

HEADER: Final = struct.Struct(">BBHII")

MAX_PAYLOAD: Final = 64 * 1024
"""
Bytes in one data frame, so that streams alternate.
"""

BATCH: Final = 64 * 1024
"""
Bytes that L{Mux.data_to_send} gives at a time: four full TLS records, headers included.
"""

INITIAL_WINDOW: Final = 256 * 1024
MAX_WINDOW: Final = 1024 * 1024
"""
Bytes that one direction of a stream may have under way: at first, and once its reader has kept up for a while.
"""

MAX_PEER_STREAMS: Final = 256
"""
Streams that one side has opened and that are not yet gone.
"""

MAX_UNREAD: Final = 8 * 1024 * 1024
"""
Bytes on all streams that were received and not yet consumed.
"""

MAX_CONTROL: Final = 64 * 1024
"""
Bytes of answers (pongs, window updates, resets) that wait to be sent. More only pile up for a peer that makes us answer
and does not read. A guess: five thousand frames.
"""

MAX_IDLE_FRAMES: Final = 4096
"""
Frames without payload, beyond one per L{IDLE_WORTH} bytes of payload, between two calls of L{Mux.renew_allowance}.
A guess, far above what pings, window updates and 256 streams need.
"""

IDLE_WORTH: Final = 4096

MAX_CREDIT: Final = 2**31
"""
Window updates add up to so many bytes at most; more is the same.
"""
