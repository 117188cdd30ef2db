"""
What errors of the wheel mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.errors import ConnectError, NoCommonProtocol, WrongNode
from tests.transport.iroh_node import NO_IROH

if TYPE_CHECKING:
    from iroh import IrohError

if NO_IROH is None:
    from p2panda_tw.transport.iroh.binding import Ending, cause, connect_error, stream_ending

BUILD = """ConnectError::Connecting (/home/x/iroh-1.4.1/src/endpoint.rs:1076:20)
Caused by:
    ConnectingError::ConnectionError (/rustc/core/src/task/poll.rs:258:39)
    """


class Told:
    """
    Looks like an error of the wheel.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def message(self) -> str:
        return self.text


def error(text: str) -> IrohError:
    """
    @return: As the wheel would raise it.
    """
    return cast("IrohError", Told(text))


class CauseTests(SynchronousTestCase):
    """
    Errors while connecting.
    """

    skip = NO_IROH

    def test_kinds(self) -> None:
        """
        A wrong key, an unknown protocol and anything else are told apart by the last cause.
        """
        aborted = (
            "aborted by peer: the cryptographic handshake failed: error 120: peer doesn't support any known protocol"
        )
        wrong = "the cryptographic handshake failed: error 48: invalid peer certificate: UnknownIssuer"
        self.assertEqual(
            [type(connect_error(error(BUILD + text))) for text in (aborted, wrong, "timed out")],
            [NoCommonProtocol, WrongNode, ConnectError],
        )

    def test_only_the_last_counts(self) -> None:
        """
        Paths of the build are neither shown nor taken for a cause.
        """
        told = connect_error(error("failed in /error 120:/x.rs\nCaused by:\n    timed out\n"))
        self.assertEqual((type(told), str(told)), (ConnectError, "The node could not be reached over iroh: timed out."))

    def test_hostile_text(self) -> None:
        """
        What the other node says reaches the log short and harmless.
        """
        told = cause(error("closed by peer: \x1b[2J\u202e" + "x" * 10_000))
        self.assertLessEqual(len(told), 200)
        self.assertTrue(told.isascii() and told.isprintable(), told)

    def test_streams(self) -> None:
        """
        Ends of streams are told apart.
        """
        texts = ("Stopped(0)", "Stopped(9)", "Reset(0)", "Reset(7)", "ConnectionLost(TimedOut)", "ClosedStream", "")
        self.assertEqual(
            [stream_ending(error(text)) for text in texts],
            [Ending.UNWANTED, *[Ending.RESET] * 3, *[Ending.LOST] * 3],
        )
