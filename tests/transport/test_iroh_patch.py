"""
The patch of the wheel's slow method.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.transport.iroh.patch import patch_writing
from tests.transport.iroh_node import NO_IROH


class KnownWheelTests(SynchronousTestCase):
    """
    The wheel that is installed.
    """

    skip = NO_IROH

    def setUp(self) -> None:
        from iroh import iroh_ffi

        self.generated: Any = iroh_ffi
        self.builder = self.generated._UniffiRustBufferBuilder

    def written(self, *values: Any) -> bytes:
        builder = self.builder()
        for value in values:
            builder.write(value)
        buffer = builder.finalize()
        try:
            return bytes(buffer.data[0 : buffer.len])
        finally:
            buffer.free()

    def test_is_known(self) -> None:
        """
        The supported version of the iroh library sends fast.
        """
        self.assertTrue(patch_writing(self.builder))
        self.assertEqual(self.builder.write.__module__, "p2panda_tw.transport.iroh.patch")
        self.assertTrue(patch_writing(self.builder))

    def test_same_bytes(self) -> None:
        """
        Exactly what was handed over is sent, whatever the type and length.
        """
        patch_writing(self.builder)
        pieces: list[bytes | bytearray | memoryview] = [
            b"",
            b"x",
            bytes(range(256)),
            bytearray(b"abc"),
            memoryview(b"abcdef")[2:4],
            b"\0" * 100_000,
            b"z",
        ]
        self.assertEqual(self.written(*pieces), b"".join(pieces))

    def test_numbers_between(self) -> None:
        """
        The library's own ways to write go together with it.
        """
        patch_writing(self.builder)
        builder = self.builder()
        builder.write_i32(3)
        builder.write(b"abc")
        builder.write_u8(7)
        buffer = builder.finalize()
        try:
            self.assertEqual(bytes(buffer.data[0 : buffer.len]), b"\0\0\0\3abc\7")
        finally:
            buffer.free()


class OtherWheelTests(SynchronousTestCase):
    """
    A wheel that is not known.
    """

    def test_untouched(self) -> None:
        """
        Another version of the library works as it comes, and the log says that it is slow.
        """

        class Builder:
            def write(self, value: bytes) -> None:
                """
                Done in another way.
                """

        original = Builder.write
        with capturedLogs() as logs:
            self.assertFalse(patch_writing(Builder))
        self.assertIs(Builder.write, original)
        self.assertEqual([event["log_level"] for event in logs], [LogLevel.warn])

    def test_no_source(self) -> None:
        """
        A method whose source is not at hand is not known.
        """

        class Builder:
            write = bytearray.extend

        with capturedLogs() as logs:
            self.assertFalse(patch_writing(Builder))
        self.assertEqual(len(logs), 1)
