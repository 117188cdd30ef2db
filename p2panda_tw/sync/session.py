# -*- test-case-name: tests.sync.test_session -*-
"""
One session: catch up, then live. Mirrors p2panda-sync/src/protocols/topic_log_sync.rs; both sides run the same.

L{receiving<p2panda_tw.sync.receiving>} judges what comes in, L{log_sync<p2panda_tw.sync.log_sync>} and
L{live<p2panda_tw.sync.live>} decide what goes out; neither direction waits for the other. Operations go to the store in
batches, one at a time; the driver reads from the stream while L{Session.reading} is true.

After C{Close}, an end of stream or the loss of the connection, what had come in before is still taken.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import assert_never

from p2panda_tw.core.identity import NodeId
from p2panda_tw.core.logs import LogHeights, LogRanges, compare
from p2panda_tw.core.stored import Heights, Ingested, Refusal
from p2panda_tw.core.topic import LogId
from p2panda_tw.errors import DecodeError
from p2panda_tw.sync import effects as fx
from p2panda_tw.sync.events import SyncMetrics
from p2panda_tw.sync.feed import LiveTurn
from p2panda_tw.sync.healing import ECHO_SILENCE
from p2panda_tw.sync.incoming import Batch
from p2panda_tw.sync.limits import CLOSE_GRACE
from p2panda_tw.sync.live import Live
from p2panda_tw.sync.log_sync import CatchUp, CatchUpSender, ChunkCatchUp
from p2panda_tw.sync.messages import LogIds, encode_have
from p2panda_tw.sync.pacing import Pacing, Settlement
from p2panda_tw.sync.receiving import Moment, Phase, Receiving
from p2panda_tw.sync.report import Report

__all__ = ["Purpose", "Session"]


class Purpose(IntEnum):
    """
    How long a session is meant to last.
    """

    LIVE = 0
    """
    Until somebody closes it.
    """

    SHORT = 1
    """
    Live mode on the wire, but closed by us as soon as catch-up is over.
    """

    CATCH_UP = 2
    """
    Without live mode; both sides have to agree on that. Our nodes and Rust's never do.
    """


class Session:
    """
    The machine. It starts with L{Started}; whatever the outputs ask for is answered by the input that says so.

    @ivar node_id: The peer.
    @ivar number: Counts the sessions of the topic.
    """

    def __init__(
        self,
        *,
        node_id: NodeId,
        number: int,
        log_id: LogId | None,
        log_ids: LogIds,
        initiated: bool,
        turn: LiveTurn,
        purpose: Purpose = Purpose.LIVE,
    ) -> None:
        """
        @param log_id: The one log id that every author has in this topic; C{None} if there are several.
        @param log_ids: How log ids look on the wire.
        @param initiated: Whether we opened it.
        @param turn: Shared by the sessions with this peer.
        """
        self.node_id = node_id
        self.number = number
        self._log_id = log_id
        self._log_ids = log_ids
        self._initiated = initiated
        self._turn = turn
        self._purpose = purpose
        self._now = 0.0
        self._outputs: list[fx.Output] = []
        # Us.
        self._local: LogHeights | None = None
        self._recognised = False
        self._pacing: Pacing | None = None
        self._sender: CatchUpSender | None = None
        self._paused = False
        # The peer.
        self._receiving = Receiving(log_ids)
        self._ingesting: Batch | None = None
        self._ending: fx.EndOfStream | fx.ConnectionClosed | None = None
        # Live mode and the end.
        self._live = Live(number, turn)
        self._report = Report(node_id, number, self._receiving, self._live)
        self._healing_since: float | None = None
        self._closing = False

    # What others may ask.

    @property
    def phase(self) -> Phase:
        """
        What is expected from the peer.
        """
        return self._receiving.phase

    @property
    def reading(self) -> bool:
        """
        Whether more should be read from the stream.
        """
        return self._ingesting is None and self._receiving.empty and self._local is not None

    @property
    def expecting(self) -> bool:
        """
        Whether the peer has to send something, or end its catch-up.
        """
        return self.phase < Phase.LIVE and not self._receiving.done

    @property
    def begun(self) -> bool:
        """
        Whether the peer has sent its C{Have}.
        """
        return self._receiving.begun

    @property
    def catching_up(self) -> bool:
        """
        Whether live mode has not begun.
        """
        return self.phase < Phase.LIVE

    @property
    def closing(self) -> bool:
        """
        Whether it is going to end because we want it to.
        """
        return self._closing or self._purpose is not Purpose.LIVE

    @property
    def held(self) -> int:
        """
        How many received bytes are held, C{Have} and the batch in the store included.
        """
        return self._receiving.held + (0 if self._ingesting is None else self._ingesting.size)

    @property
    def behind(self) -> int:
        """
        How many operations of the topic the peer has not been served in live mode, at most.
        """
        return self._live.feed.behind

    @property
    def waits_for_room(self) -> bool:
        """
        Whether live operations wait for the receiver to confirm earlier ones.
        """
        return self._pacing is not None and self._pacing.live == self.number and self.behind > 0

    @property
    def metrics(self) -> SyncMetrics:
        """
        What went over it so far.
        """
        return self._report.metrics

    # Inputs.

    def handle(self, event: fx.Input, now: float) -> list[fx.Output]:
        """
        @param now: Of a clock that only goes forward, in seconds.

        @return: What to do, in this order.
        """
        if self.phase is Phase.OVER:
            return []
        self._now = now
        outputs: list[fx.Output] = []
        self._outputs = outputs
        try:
            self._dispatch(event)
        except DecodeError as error:
            self._fail(str(error), to_blame=True)
        return outputs

    def stop(self) -> None:
        """
        It is over, whatever the machine thinks.
        """
        if self.phase is not Phase.OVER:
            self._over()

    def let_go(self) -> None:
        """
        Drop what was received or loaded. To be called when it is over: whoever still knows the session until the
        garbage collector comes by should not keep megabytes.
        """
        self._ingesting = None
        self._sender = None
        self._local = None
        self._receiving.let_go()
        self._live.let_go()

    def _dispatch(self, event: fx.Input) -> None:
        match event:
            case fx.FramesReceived(payloads):
                self._receiving.put(payloads)
                self._read()
            case fx.IngestFinished(ingested):
                self._on_ingested(ingested)
            case fx.OperationsStored(operations):
                self._outputs += self._live.stored(operations, self._now)
            case fx.LogPageLoaded(log_page):
                self._on_sender(lambda sender: sender.page_loaded(log_page, self._now))
                self._outputs += self._report.progress(self._now)
            case fx.StoredPageLoaded(page):
                self._outputs += self._live.page_loaded(page, self._now)
            case fx.WritingPaused():
                self._paused = True
                self._live.writing_paused()
                if self._sender is not None:
                    self._sender.writing_paused()
            case fx.WritingResumed():
                self._paused = False
                self._on_sender(lambda sender: sender.writing_resumed())
                self._outputs += self._live.writing_resumed(self._now)
            case fx.TurnCame():
                self._outputs += self._live.go_on(self._now)
            case fx.Started():
                self._outputs.append(fx.LoadHeights())
            case fx.HeightsLoaded(heights):
                self._on_heights(heights)
            case fx.PeerRecognised(pacing):
                self._recognised = True
                self._pacing = pacing
                self._begin_sending()
                self._read()
            case fx.RangeSizeLoaded(operations=count, size=size):
                self._on_sender(lambda sender: sender.size_loaded(count, size))
                self._outputs += self._report.started(self._now)
            case fx.EndOfStream() | fx.ConnectionClosed():
                self._ending = event
                self._read()
            case fx.GarbageReceived(reason):
                self._fail(reason, to_blame=True)
            case fx.StoreFailed(reason):
                self._fail(reason, to_blame=False)
            case fx.CloseRequested():
                self._on_close_requested()
            case fx.Abandoned():
                self._over()
                self._outputs.append(fx.Abort("Another session is enough.", to_blame=False))
            case fx.TimerExpired(timer):
                self._on_timer(timer)
            case _:
                assert_never(event)

    # Beginning.

    def _on_heights(self, heights: Heights) -> None:
        self._local = heights.heights
        self._live.feed.begin(heights.newest)
        self._outputs.append(fx.Send([encode_have(heights.heights, self._log_ids)]))
        self._read()

    def _begin_sending(self) -> None:
        """
        Both heights are known, and who the peer is.
        """
        remote = self._receiving.remote
        if remote is None or self._local is None or not self._recognised or self._sender is not None:
            return
        # Where the peer lists no log of an author that we have none of either, there is nothing to send.
        ranges: LogRanges = {author: logs for author, logs in compare(self._local, remote.heights).items() if logs}
        pacing = self._pacing
        self._live.feed.have_received(remote, ranges if pacing is None else None, pacing)
        if pacing is None:
            self._sender = CatchUp(ranges)
        else:
            said = pacing.have_received(remote, self._now)
            if said is not None:
                self._outputs.append(self._report.failed(said))
            self._sender = ChunkCatchUp(self.number, ranges, pacing)
        self._report.sent = self._sender.sent
        self._local = {}
        if self._paused:
            self._sender.writing_paused()
        self._on_sender(lambda sender: sender.begin(self._now))
        self._outputs += self._report.started(self._now)

    def _on_sender(self, act: Callable[[CatchUpSender], list[fx.Output]]) -> None:
        if self._sender is not None:
            self._outputs += act(self._sender)
            self._maybe_finish_catch_up()

    # Reading.

    def _read(self) -> None:
        """
        Look at what came in until a batch goes to the store.
        """
        while self._local is not None and self._ingesting is None and self.phase is not Phase.OVER:
            step = self._receiving.next(self._local)
            match step:
                case Batch():
                    self._on_operations(step)
                case Moment.HAVE:
                    self._begin_sending()
                case Moment.ANNOUNCED:
                    self._outputs += self._report.started(self._now)
                    self._maybe_finish_catch_up()
                case Moment.DONE:
                    self._maybe_finish_catch_up()
                case Moment.CLOSE:
                    self._finish()
                case Refusal():
                    self._outputs.append(fx.Refuse(step))
                case None:
                    if self._ending is not None:
                        self._on_end(self._ending)
                    return
                case _:
                    assert_never(step)

    def _on_operations(self, batch: Batch) -> None:
        live = self.phase is Phase.LIVE
        if live and self._pacing is not None:
            self._pacing.echo_received(self._now)
        self._ingesting = batch
        self._live.withhold()
        self._outputs.append(fx.Ingest(batch.operations, live))

    def _on_ingested(self, ingested: Ingested) -> None:
        batch, self._ingesting = self._ingesting, None
        assert batch is not None
        fatal = next((refusal for refusal in ingested.refused if refusal.fatal), None)
        if fatal is not None:
            self._fail(fatal.reason, to_blame=True)
            return
        self._live.feed.batch_stored(batch.operations, ingested, self._log_id, live=self.phase is Phase.LIVE)
        self._outputs += [fx.Refuse(refusal) for refusal in ingested.refused]
        self._outputs += [self._report.forked(fork) for fork in ingested.forks]
        if ingested.gaps:
            self._outputs.append(fx.GapsFound(ingested.gaps))
        self._outputs += self._report.progress(self._now)
        self._outputs += self._live.release(self._now)
        self._read()

    # From catch-up to live mode.

    def _maybe_finish_catch_up(self) -> None:
        sender = self._sender
        if self.phase is not Phase.OPERATIONS or not self._receiving.done or sender is None or not sender.sent.done:
            return
        self._outputs += self._report.started(self._now)
        self._outputs.append(self._report.finished())
        if self._purpose is Purpose.CATCH_UP:
            self._finish()
            return
        self._receiving.phase = Phase.LIVE
        self._outputs.append(self._report.live_started())
        if self._pacing is not None:
            self._settle(self._pacing, sender.complete)
        if self._purpose is Purpose.SHORT:
            self._on_close_requested()
        self._outputs += self._live.begin(self._pacing, self._now)

    def _settle(self, pacing: Pacing, complete: bool) -> None:
        settlement = pacing.settle(self.number, initiated=self._initiated, complete=complete)
        if settlement is Settlement.CLOSE:
            self._purpose = Purpose.SHORT
        elif settlement in (Settlement.LIVE, Settlement.HOLD):
            self._purpose = Purpose.LIVE  # also where it was meant to be short: now it is needed
        elif settlement is Settlement.HEAL:
            self._healing_since = self._now
            self._outputs.append(fx.Schedule(ECHO_SILENCE, fx.Timer.ECHO))

    # The end.

    def _on_close_requested(self) -> None:
        """
        What was there before is still sent, if it may be.
        """
        if self._closing:
            return
        self._closing = True
        self._outputs.append(fx.Schedule(CLOSE_GRACE, fx.Timer.CLOSE_GRACE))
        self._outputs += self._live.close(self._now, drain=self._purpose is Purpose.LIVE)

    def _on_timer(self, timer: fx.Timer) -> None:
        match timer:
            case fx.Timer.CLOSE_GRACE if self._live.close_sent:
                self._finish()
            case fx.Timer.CLOSE_GRACE:
                self._fail("It did not end in time after it was closed here.", to_blame=False)
            case fx.Timer.ECHO:
                self._on_silence()
            case _:
                assert_never(timer)

    def _on_silence(self) -> None:
        if self._pacing is None or self._healing_since is None or self._closing:
            return
        left = self._pacing.silent_in(self._healing_since, self._now)
        if left > 0:
            self._outputs.append(fx.Schedule(left, fx.Timer.ECHO))
            return
        self._pacing.session_healed()
        self._purpose = Purpose.SHORT
        self._on_close_requested()

    def _on_end(self, how: fx.EndOfStream | fx.ConnectionClosed) -> None:
        """
        After our C{Close} any end is a good one (docs/sync.md, section 5).
        """
        if self._live.close_sent:
            self._finish()
        elif isinstance(how, fx.EndOfStream):
            during = "in live mode" if self.phase is Phase.LIVE else "before its Done"
            self._fail(f"The node ended the stream {during}.", to_blame=True)
        elif self.phase is Phase.HAVE:
            self._fail(
                f"The node has not begun the session; it may not have this topic open. {how.reason}", to_blame=False
            )
        else:
            self._fail(how.reason, to_blame=False)

    def _finish(self) -> None:
        self._over()
        self._outputs.append(fx.Finish())
        self._outputs.append(self._report.ended())

    def _fail(self, reason: str, *, to_blame: bool) -> None:
        self._over()
        self._outputs.append(fx.Abort(reason, to_blame))
        self._outputs.append(self._report.failed(reason))

    def _over(self) -> None:
        self._receiving.phase = Phase.OVER
        self._turn.give_back(self.number)
        if self._pacing is not None:
            self._pacing.session_ended(self.number, self._now)
