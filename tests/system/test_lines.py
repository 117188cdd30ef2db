"""
Standard input of every kind.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from p2panda_tw.cli.lines import MAX_LINE, InputLines


class InputLinesTests(TestCase):
    """
    Lines come in as they are written.
    """

    timeout = 30

    async def test_file(self) -> None:
        """
        A file is read to its end, also one that lacks the last newline, and what was read before comes first.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"a\n\nb\nc")
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        lines = [line async for some in InputLines(reactor, descriptor, first=b"x\ny") for line in some]
        self.assertEqual(lines, [b"x", b"ya", b"", b"b", b"c"])

    async def test_nothing(self) -> None:
        """
        An empty input ends at once.
        """
        descriptor = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertEqual([some async for some in InputLines(reactor, descriptor)], [])

    async def test_pipe(self) -> None:
        """
        A line is there as soon as it is complete.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        lines = InputLines(reactor, reader)
        os.write(writer, b"one\ntw")
        self.assertEqual(await anext(lines), [b"one"])
        second = Deferred.fromCoroutine(anext(lines))  # type: ignore[arg-type]  # anext of this is a coroutine
        os.write(writer, b"o\nthree\n")
        self.assertEqual(await second, [b"two", b"three"])
        os.close(writer)
        self.assertEqual([some async for some in lines], [])

    async def test_endless_line(self) -> None:
        """
        A line without end does not fill the memory.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"x" * (3 * MAX_LINE))
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        lines = [line async for some in InputLines(reactor, descriptor) for line in some]
        self.assertEqual(b"".join(lines), b"x" * (3 * MAX_LINE))
        self.assertLess(max(map(len, lines)), 2 * MAX_LINE)
