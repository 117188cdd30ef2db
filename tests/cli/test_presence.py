"""
Who is connected, and how catching up goes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.presence import Presence
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.sync.events import (
    ForkSeen,
    LiveStarted,
    SessionEnded,
    SyncFailed,
    SyncFinished,
    SyncMetrics,
    SyncProgress,
    SyncStarted,
)

BOB = SigningKey(bytes(31) + b"\2").verifying_key


def started(incoming: int, session: int = 0) -> SyncStarted:
    return SyncStarted(
        node_id=BOB,
        session=session,
        outgoing_operations=0,
        outgoing_bytes=0,
        incoming_operations=incoming,
        incoming_bytes=0,
    )


def metrics(received: int) -> SyncMetrics:
    return SyncMetrics(received_operations=received)


class PresenceTests(SynchronousTestCase):
    """
    Events become sentences.
    """

    def setUp(self) -> None:
        self.presence = Presence(lambda node_id: "bob")

    def test_nobody(self) -> None:
        """
        Whoever is alone is told so.
        """
        self.assertEqual(self.presence.describe(), "nobody is connected")

    def test_catching_up(self) -> None:
        """
        A large catch-up shows how far it is, and tells when it is done.
        """
        self.assertEqual(self.presence.hear(started(20_000)), ["bob has 20,000 messages for us."])
        self.presence.hear(SyncProgress(node_id=BOB, session=0, metrics=metrics(1200)))
        self.assertEqual(self.presence.describe(), "catching up with bob: 1,200 of 20,000")
        self.assertTrue(self.presence.is_catching_up)
        self.assertEqual(
            self.presence.hear(SyncFinished(node_id=BOB, session=0, metrics=metrics(20_000))),
            ["Caught up with bob: 20,000 messages."],
        )
        self.assertFalse(self.presence.is_catching_up)
        self.assertEqual(self.presence.hear(LiveStarted(BOB, 0)), ["bob is connected."])
        self.assertEqual(self.presence.describe(), "connected: bob")

    def test_two_sessions(self) -> None:
        """
        A node with several sessions comes and goes once.
        """
        self.assertEqual(self.presence.hear(LiveStarted(BOB, 0)), ["bob is connected."])
        self.assertEqual(self.presence.hear(LiveStarted(BOB, 1)), [])
        self.assertEqual(self.presence.hear(SessionEnded(node_id=BOB, session=0, metrics=metrics(0))), [])
        self.assertEqual(self.presence.hear(SessionEnded(node_id=BOB, session=1, metrics=metrics(0))), ["bob is gone."])

    def test_unreachable(self) -> None:
        """
        A node that cannot be reached is named once, not with each attempt.
        """
        failed = SyncFailed(node_id=BOB, session=None, reason="Connection refused.")
        self.assertEqual(
            self.presence.hear(failed), ["bob cannot be reached now. Trying again; `p2panda status` says why."]
        )
        self.assertEqual(self.presence.hear(failed), [])

    def test_gone(self) -> None:
        """
        That somebody who left cannot be reached is no news.
        """
        self.presence.hear(LiveStarted(BOB, 3))
        self.assertEqual(self.presence.hear(SessionEnded(node_id=BOB, session=3, metrics=metrics(0))), ["bob is gone."])
        self.assertEqual(self.presence.hear(SyncFailed(node_id=BOB, session=None, reason="No.")), [])

    def test_failed_session(self) -> None:
        """
        A node that breaks the protocol is told with what it did.
        """
        failed = SyncFailed(node_id=BOB, session=2, reason="It sent \x1b garbage.")
        self.assertEqual(self.presence.hear(failed), ["Syncing with bob failed: It sent ␛ garbage. Trying again."])
        self.assertEqual(self.presence.hear(failed), [])

    def test_broken_session(self) -> None:
        """
        A session that fails ends its catch-up, and who it was with is gone.
        """
        self.presence.hear(LiveStarted(BOB, 1))
        self.presence.hear(started(5, session=2))
        self.presence.hear(SyncFailed(node_id=BOB, session=2, reason="Cut."))
        self.assertFalse(self.presence.is_catching_up)
        self.assertEqual(self.presence.describe(), "connected: bob")

    def test_fork(self) -> None:
        """
        An identity that is used in two places is told to everybody.
        """
        (told,) = self.presence.hear(
            ForkSeen(author=BOB, log_id=1, seq_num=7, kept=Hash(bytes(32)), refused=Hash(bytes(31) + b"\1"))
        )
        self.assertIn("two messages number 7 of bob", told)
