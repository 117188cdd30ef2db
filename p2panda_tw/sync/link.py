# -*- test-case-name: tests.sync.test_service -*-
"""
One peer of one topic: which sessions there are with it, and when to dial it for another one.

A session is wanted while the peer is one of the topic's and there is none, when L{Pacing} asks for a further one, or
when something is missing that the peer may have. None is opened while another one is being opened, in either
direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.stored import Gap
from p2panda_tw.errors import P2pandaError
from p2panda_tw.interfaces import IConnection
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.backoff import Backoff
from p2panda_tw.sync.feed import LiveTurn
from p2panda_tw.sync.gaps import OpenGaps
from p2panda_tw.sync.limits import BACKOFF_CAP, GAP_PATIENCE, INITIATE_PATIENCE
from p2panda_tw.sync.pacing import Pacing
from p2panda_tw.sync.receiving import Phase
from p2panda_tw.sync.runner import SessionRunner
from p2panda_tw.sync.session import Purpose
from p2panda_tw.sync.state import PeerState, PeerStatus

__all__ = ["Link", "LinkHost"]

_BREACH_PENALTY: Final = 2
"""
How many failures a breach of the protocol counts for in addition (ours).
"""


class LinkHost(Protocol):
    """
    The topic that a link belongs to.
    """

    open: bool
    gaps: OpenGaps

    def dial(self, link: Link) -> Deferred[IConnection]:
        """
        Make a connection.
        """

    def begin(self, link: Link, connection: IConnection, purpose: Purpose) -> None:
        """
        Run a session that we initiate on it.
        """

    def yields_to(self, node_id: NodeId) -> bool:
        """
        Whether to give this node a moment to dial us.
        """

    def is_smaller(self, node_id: NodeId) -> bool:
        """
        Whether this node has the smaller node id, so that its session counts when both dial at once.
        """

    def is_being_accepted(self, node_id: NodeId) -> bool:
        """
        Whether this node has dialled us and not said yet for which topic.
        """

    def unreachable(self, link: Link, reason: str) -> None:
        """
        Dialling failed.
        """

    def link_idle(self, link: Link) -> None:
        """
        There is no session left.
        """


class Link:
    """
    A peer of a topic.

    @ivar node_id: The peer.
    @ivar wanted: Whether it is one of those that we dial.
    @ivar turn: Which of its sessions sends, if it is one of ours.
    @ivar pacing: How to send to it, if it is not; C{None} until that is known.
    @ivar runners: Its sessions by number.
    @ivar backoff: Pauses between attempts.
    @ivar last_failure: Why the latest attempt or session failed.
    """

    _log = Logger()

    def __init__(self, host: LinkHost, node_id: NodeId, clock: IReactorTime, rng: Random) -> None:
        self.node_id = node_id
        self.wanted = False
        self.turn = LiveTurn()
        self.pacing: Pacing | None = None
        self.runners: dict[int, SessionRunner] = {}
        self.backoff = Backoff(rng)
        self.last_failure: str | None = None
        self._host = host
        self._clock = clock
        self._initiated: set[int] = set()
        self._dialling: Deferred[IConnection] | None = None
        self._purpose = Purpose.LIVE
        self._call: IDelayedCall | None = None
        self._not_before = 0.0
        self._gap_due: float | None = None
        self._gap_pause = GAP_PATIENCE
        self._breaches = 0

    # Wanting.

    def want(self) -> None:
        """
        From now on dial it.
        """
        if not self.wanted:
            self.wanted = True
            self._be_patient()
            self.update()

    def unwant(self) -> None:
        """
        Dial it no more, and end what there is.
        """
        self.wanted = False
        self._gap_due = None
        self.stop_dialling()
        for runner in list(self.runners.values()):
            runner.feed(fx.CloseRequested())

    def _be_patient(self) -> None:
        if self._host.yields_to(self.node_id):
            self._not_before = max(self._not_before, self._clock.seconds() + INITIATE_PATIENCE)

    def stop_dialling(self) -> None:
        """
        Give up what is under way.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()

    def update(self) -> None:
        """
        Plan the next attempt anew.
        """
        due = self._due() if self._host.open and self._dialling is None else None
        if self._call is not None:
            if due is not None and abs(self._call.getTime() - due) < 0.001:
                return
            self._call.cancel()
            self._call = None
        if due is not None:
            self._call = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._dial)

    def _due(self) -> float | None:
        """
        When to dial, and in C{_purpose} what for.
        """
        if not self.runners:
            if self.wanted:
                self._purpose = Purpose.LIVE
                return self._not_before if self.pacing is None else max(self._not_before, self.pacing.resume_at)
            return None
        if self._busy:
            return None
        due = None if self.pacing is None else self.pacing.session_due()
        self._purpose = Purpose.LIVE
        if self._gap_due is not None and (due is None or self._gap_due < due):
            due = self._gap_due
            self._purpose = Purpose.SHORT
        return None if due is None else max(due, self._not_before)

    @property
    def _busy(self) -> bool:
        """
        Whether a session that we opened is still going to end or become the live one.
        """
        live = None if self.pacing is None else self.pacing.live
        held = {} if self.pacing is None else self.pacing.held
        return any(
            number in self._initiated
            and number != live
            and number not in held
            and (runner.session.phase < Phase.LIVE or runner.session.closing or self.pacing is not None)
            for number, runner in self.runners.items()
        )

    # Dialling.

    def _dial(self) -> None:
        self._call = None
        if self._host.is_being_accepted(self.node_id):
            # That may be the session we want. Whoever accepts it calls update.
            return
        if self._purpose is Purpose.SHORT and not self._still_missing():
            self.update()
            return
        purpose = self._purpose
        dialling = self._host.dial(self)
        self._dialling = dialling
        dialling.addCallbacks(self._reached, self._not_reached, callbackArgs=(purpose,))
        dialling.addErrback(lambda failure: self._log.failure("Dialling stumbled.", failure))

    def _still_missing(self) -> bool:
        if self._host.gaps.missing_from(self.node_id):
            self._gap_pause = min(2 * self._gap_pause, BACKOFF_CAP)
            self._gap_due = self._clock.seconds() + self._gap_pause
            return True
        self._gap_due = None
        self._gap_pause = GAP_PATIENCE
        return False

    def _reached(self, connection: IConnection, purpose: Purpose) -> None:
        if self._dialling is None:
            connection.abort("It is not needed any more.")
            return
        self._dialling = None
        self._host.begin(self, connection, purpose)

    def _not_reached(self, failure: Failure) -> None:
        if self._dialling is None:
            failure.trap(CancelledError, P2pandaError)
            return
        self._dialling = None
        if not failure.check(P2pandaError):
            self._log.failure("Dialling failed in an unforeseen way.", failure)
        self.last_failure = failure.getErrorMessage()
        self._retry_later()
        self._host.unreachable(self, self.last_failure)

    def _retry_later(self) -> None:
        self._not_before = self._clock.seconds() + self.backoff.failed()
        self._be_patient()
        self.update()

    # Sessions.

    def add(self, runner: SessionRunner, *, initiated: bool) -> None:
        """
        A session with the peer begins.
        """
        self.runners[runner.session.number] = runner
        if initiated:
            self._initiated.add(runner.session.number)
        elif self._dialling is not None and self._host.is_smaller(self.node_id):
            # Both dial at the same moment; one session is enough.
            self.stop_dialling()
        self.update()

    def resolve_crossing(self) -> None:
        """
        One of our own nodes has opened a session. If ours to it begins at the same moment, the one of the node with the
        smaller id stays.
        """
        if self._host.is_smaller(self.node_id):
            for number in list(self._initiated):
                runner = self.runners[number]
                if not runner.session.begun:
                    runner.feed(fx.Abandoned())

    def is_needless(self, runner: SessionRunner) -> bool:
        """
        @return: Whether its end is no loss: it had not begun, and the peer has another one.
        """
        crossing = runner.session.number not in self._initiated and not runner.session.begun
        return crossing and len(self.runners) > 1

    def remove(self, runner: SessionRunner, *, failed: bool, to_blame: bool) -> None:
        """
        A session is over.
        """
        number = runner.session.number
        if self.runners.pop(number, None) is None:
            return
        initiated = number in self._initiated
        self._initiated.discard(number)
        for other in list(self.runners.values()):
            other.feed(fx.TurnCame())
        if to_blame:
            # Having caught up before does not count for a peer that breaks the rules each time.
            self._breaches += 1
            self.backoff.failures = max(self.backoff.failures, self._breaches + _BREACH_PENALTY)
        else:
            self._breaches = 0
        paced_end = self.pacing is not None and not failed
        if not paced_end and (initiated or not self.runners):
            self._not_before = self._clock.seconds() + self.backoff.failed()
        if not self.runners:
            self._be_patient()
        self.update()
        if not self.runners:
            self._host.link_idle(self)

    def succeeded(self) -> None:
        """
        A session has caught up.
        """
        self.backoff.succeeded()
        self.last_failure = None

    def progressed(self, runner: SessionRunner) -> None:
        """
        A session with a peer that is not ours went on. That may give another one room to send, or call for a further
        one.
        """
        pacing = self.pacing
        if pacing is None:
            return
        for number in pacing.take_released():
            released = self.runners.get(number)
            if released is not None and number in self._initiated:
                released.feed(fx.CloseRequested())
        live = None if pacing.live is None else self.runners.get(pacing.live)
        if live is not None and live is not runner and live.session.waits_for_room and pacing.room(pacing.live or 0):
            live.feed(fx.TurnCame())
        self.update()

    def gaps_found(self, gaps: Sequence[Gap]) -> None:
        """
        Something that the peer sent is ahead of its log.
        """
        self._host.gaps.found(self.node_id, gaps)
        if self._gap_due is None:
            self._gap_pause = GAP_PATIENCE
            self._gap_due = self._clock.seconds() + self._gap_pause
            self.update()

    @property
    def is_idle(self) -> bool:
        """
        Whether it came by itself and is gone.
        """
        return not (self.wanted or self.runners or self._dialling is not None)

    @property
    def is_forgettable(self) -> bool:
        """
        Whether nothing would be lost with it.
        """
        if not self.is_idle:
            return False
        return self.pacing is None or (self.pacing.in_flight == 0 and self.pacing.session_due() is None)

    @property
    def state(self) -> PeerState:
        """
        How it stands.
        """
        phases = [runner.session.phase for runner in self.runners.values()]
        if Phase.LIVE in phases:
            status = PeerStatus.LIVE
        elif phases:
            status = PeerStatus.CATCHING_UP
        else:
            status = PeerStatus.WAITING if self._dialling is None else PeerStatus.CONNECTING
        live = [runner.session.behind for runner in self.runners.values() if runner.session.phase is Phase.LIVE]
        return PeerState(
            node_id=self.node_id,
            status=status,
            wanted=self.wanted,
            sessions=len(self.runners),
            behind=min(live, default=0),
            unconfirmed=0 if self.pacing is None else self.pacing.in_flight,
            next_attempt=None if self._call is None else max(0.0, self._call.getTime() - self._clock.seconds()),
            last_failure=self.last_failure,
        )
