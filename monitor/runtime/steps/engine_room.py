"""Where a batch becomes alerts: engine, life cycle, routing and outbox in one synchronous step, timed by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from monitor.clock import NS_PER_S
from monitor.engine import Engine, IngestReport
from monitor.events import Event, FeedGap, FeedState
from monitor.reading import Evaluation
from monitor.runtime.market import MarketBoard
from monitor.runtime.steps.backlog import Pace
from monitor.telemetry.latency import LatencyHistogram

OnEvaluated = Callable[[list[Evaluation], int], None]


class EngineRoom:
    """Feeds the engine and passes on what it says.

    Args:
        engine: Windows and rules.
        board: Last values for display.
        on_evaluated: Gets evaluations and the instant, for life cycle, routing and delivery.
        on_report: Gets what the engine counted about event time.
        latencies: Histograms by stage.
        time_scale: Market seconds per real second; latencies are told in real ones.
        pace: Our own time. Between two steps of it the newest event is the instant, so that two monitors that read the
            same events say the same times.
    """

    def __init__(
        self,
        engine: Engine,
        board: MarketBoard,
        *,
        on_evaluated: OnEvaluated,
        on_report: Callable[[IngestReport], None],
        latencies: dict[str, LatencyHistogram],
        time_scale: float = 1.0,
        pace: Pace | None = None,
    ) -> None:
        self.engine = engine
        self.board = board
        self.last_receive_lag_ns = 0
        self.turns = 0
        self.last_turn_s = float("nan")
        self._on_evaluated = on_evaluated
        self._on_report = on_report
        self._latencies = latencies
        self._time_scale = time_scale
        self.pace = pace or Pace()

    def flush(self, events: Sequence[Event], now_ns: int, own_ns: int | None = None) -> None:
        """Take in a batch and evaluate what it changed, now or at another time of our own."""
        started = perf_counter_ns()
        self._note_receipt(events, now_ns)
        self.board.update(events)
        self._on_report(self.engine.ingest(events))
        self._evaluate(self.pace.own_ns(now_ns) if own_ns is None else own_ns)
        self._latencies["engine"].observe_times(perf_counter_ns() - started, len(events))

    def take_past(self, events: Sequence[Event]) -> None:
        """Take in history; it is nobody's last value, its way here is no latency, and nothing is evaluated for it."""
        self._on_report(self.engine.ingest(events))

    def tick(self, now_ns: int) -> None:
        """Evaluate because time has passed: windows empty in silence, values go stale."""
        self._evaluate(self.pace.own_ns(now_ns))

    def _evaluate(self, own_ns: int) -> None:
        started = perf_counter_ns()
        evaluations = self.engine.evaluate(own_ns, changed_only=True)
        self.turns += 1
        self.last_turn_s = (perf_counter_ns() - started) / NS_PER_S
        self._on_evaluated(evaluations, self.engine.now_ns)

    def _note_receipt(self, events: Sequence[Event], now_ns: int) -> None:
        for event in events:
            if not isinstance(event, FeedState | FeedGap):
                lag_ns = int((now_ns - event.recv_ns) / self._time_scale)
                self.last_receive_lag_ns = lag_ns
                self._latencies["receive"].observe_times(lag_ns, len(events))
                return
