"""Every Prometheus series of the program, in one table (`METRICS`), read from the running program at scrape time.

A new series is one `MetricSpec` in the table and one line in the reader that knows its value; ``docs/metrics.md`` is
generated from the table. Symbols and bases are label values only on the watch list; the rest is folded into ``other``
where adding up means something, and left out where it does not (a price of ``other`` is not a thing).
"""

from __future__ import annotations

import math
import os
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.alert import AlertState, AlertView
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.telemetry.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    ColumnFamily,
    Family,
    Kind,
    MetricSpec,
    histogram_family,
    labelled_family,
    render_openmetrics,
    render_text,
    simple_family,
)
from monitor.telemetry.view import STAGES, FeedView, InletView, MonitorView, RuleView, SourceView, Table

OTHER = "other"
MICRO = 1e-6
ACTIVE_STATES = frozenset({AlertState.PENDING, AlertState.FIRING, AlertState.HELD})
RULE_STATES = (AlertState.INACTIVE, AlertState.PENDING, AlertState.FIRING, AlertState.HELD)
NOTIFICATION_OUTCOMES = ("ok", "retry", "drop")
SIDES = ("long", "short")

METRICS: dict[str, MetricSpec] = {}


def _metric(name: str, kind: Kind, help_text: str, *labels: str) -> MetricSpec:
    spec = METRICS[name] = MetricSpec(name, kind, help_text, labels)
    return spec


# fmt: off
LIQUIDATIONS_USD = _metric("market_liquidations_usd_total", "counter", "Reported liquidations in US dollars since start, by side of the position; a lower bound where the venue samples.", "venue", "base", "side")
LIQUIDATIONS = _metric("market_liquidations_total", "counter", "Reported liquidations since start, by side of the position.", "venue", "base", "side")
WINDOW_USD = _metric("market_liquidations_window_usd", "gauge", "Reported liquidations in US dollars inside the rolling window, exact at this instant.", "window", "venue", "side")
WINDOW_COVERAGE = _metric("market_liquidations_window_coverage_ratio", "gauge", "Share of the rolling window in which the feeds behind it were live.", "window", "venue")
PRICE = _metric("market_price_usd", "gauge", "Price of one coin in US dollars (USD-like quotes).", "venue", "symbol", "base", "kind")
FUNDING = _metric("market_funding_rate_ratio", "gauge", "Funding rate per the contract's own interval; positive means that longs pay.", "venue", "symbol", "base")
FUNDING_8H = _metric("market_funding_rate_8h_ratio", "gauge", "Funding rate scaled to eight hours.", "venue", "symbol", "base")
OPEN_INTEREST = _metric("market_open_interest_usd", "gauge", "Open interest in US dollars, one side.", "venue", "symbol", "base")
DEPTH = _metric("market_depth_usd", "gauge", "Resting orders within 1 % of mid in US dollars, by side of the book.", "venue", "symbol", "base", "side")
SPREAD = _metric("market_spread_ratio", "gauge", "Best ask less best bid, as a share of mid.", "venue", "symbol", "base")
MARKET_ROWS = _metric("market_symbols", "gauge", "Instruments with a value, those off the watch list included.", "series")
SIGNAL = _metric("market_signal_value", "gauge", "Signals of the catalogue, in their own unit.", "id", "unit", "source")
SIGNAL_AGE = _metric("market_signal_age_seconds", "gauge", "Age of the signal's newest input, of its oldest input where it has several, in the market's time.", "id")
SIGNAL_COVERAGE = _metric("market_signal_coverage_ratio", "gauge", "How complete the data behind the signal's value is.", "id")

FEED_UP = _metric("monitor_feed_up", "gauge", "Whether every wanted channel of the feed is live.", "venue")
CHANNEL_UP = _metric("monitor_feed_channel_up", "gauge", "Whether the channel is live.", "venue", "channel")
FEED_CONNECTIONS = _metric("monitor_feed_connections", "gauge", "Open connections.", "venue")
LAST_MESSAGE = _metric("monitor_feed_last_message_timestamp_seconds", "gauge", "When data of the channel last arrived, unix time.", "venue", "channel")
FRAMES = _metric("monitor_feed_frames_total", "counter", "Frames received.", "venue")
BYTES = _metric("monitor_feed_received_bytes_total", "counter", "Payload bytes received.", "venue")
EVENTS = _metric("monitor_feed_events_total", "counter", "Events decoded.", "venue", "type")
DECODE_ERRORS = _metric("monitor_feed_decode_errors_total", "counter", "Frames or rows that could not be read.", "venue", "reason")
RECONNECTS = _metric("monitor_feed_reconnects_total", "counter", "Connections lost and replaced.", "venue", "reason")
SKIPPED = _metric("monitor_feed_skipped_total", "counter", "Rows left out on purpose.", "venue", "reason")
REFUSED = _metric("monitor_feed_refused_topics", "gauge", "Subscriptions that the venue refuses.", "venue")
UNKNOWN = _metric("monitor_feed_unknown_symbols_total", "counter", "Events that named an instrument which is not in the registry.", "venue")
FEED_COVERAGE = _metric("monitor_feed_coverage_ratio", "gauge", "Share of the last hour in which every wanted channel was live.", "venue")
CLOCK_OFFSET = _metric("monitor_feed_clock_offset_seconds", "gauge", "The venue's clock less ours.", "venue")
FEED_SATURATION = _metric("monitor_feed_saturation_ratio", "gauge", "Share of symbol-seconds of the last hour at the venue's reporting cap.", "venue")
PAST_WANTED = _metric("monitor_backfill_requests_wanted", "gauge", "Requests that the last pass over the past takes or took.", "venue")
PAST_MADE = _metric("monitor_backfill_requests_made", "gauge", "How many of them have been answered or given up.", "venue")
PAST_FAILURES = _metric("monitor_backfill_failures_total", "counter", "Requests for the past that failed, each attempt counted.", "venue", "reason")
PAST_POINTS = _metric("monitor_backfill_points_total", "counter", "Values of the past handed to the windows.", "venue", "channel")
PAST_SINCE = _metric("monitor_backfill_since_timestamp_seconds", "gauge", "How far back the history that was had reaches, unix time.", "venue", "channel")
GAPS = _metric("monitor_feed_gaps_total", "counter", "Gaps of liquidations and trades that ended, by what became of them: filled, failed, or lost where the venue keeps nothing.", "venue", "outcome")
GAP_EVENTS = _metric("monitor_feed_gap_events_total", "counter", "Events of filled gaps.", "venue", "channel")
SOURCE_UP = _metric("monitor_source_up", "gauge", "Whether at least half of the source's requests are answered.", "source")
SOURCE_REPLIES = _metric("monitor_source_replies_total", "counter", "Good replies of a slow source.", "source", "request")
SOURCE_FAILURES = _metric("monitor_source_failures_total", "counter", "Requests to a slow source that brought nothing usable.", "source", "request", "reason")
SOURCE_LAST = _metric("monitor_source_last_reply_timestamp_seconds", "gauge", "When the last good reply came, unix time.", "source", "request")
SOURCE_NEWEST = _metric("monitor_source_newest_value_timestamp_seconds", "gauge", "The service's own time of the newest value in that reply, unix time.", "source", "request")
SOURCE_CALLS = _metric("monitor_source_calls_left", "gauge", "What is left of the service's quota in its present period.", "source")
INLET_ROWS = _metric("monitor_inlet_rows_total", "counter", "Values that were pushed in and taken.", "way")
INLET_REFUSED = _metric("monitor_inlet_refused_rows_total", "counter", "Rows that were pushed in and refused.", "way", "reason")
INLET_UNKEPT = _metric("monitor_inlet_unkept_rows_total", "counter", "Values that were pushed in and that the disk did not take: a restart forgets them.")
DROPPED = _metric("monitor_events_dropped_total", "counter", "Events lost by us.", "venue", "reason")
LATE = _metric("monitor_events_late_total", "counter", "Events that came later than the watermark allows.", "venue")
STAGE_LATENCY = _metric("monitor_stage_latency_seconds", "histogram", "Time spent in a stage; total runs from receipt to dispatch.", "stage")

RULE_VALUE = _metric("monitor_rule_value", "gauge", "Left side of the deciding comparison, one series per label set of the rule.", "alert")
RULE_THRESHOLD = _metric("monitor_rule_threshold", "gauge", "Right side of the deciding comparison.", "alert")
RULE_COVERAGE = _metric("monitor_rule_coverage_ratio", "gauge", "Completeness of the data behind the rule, its worst label set.", "alert")
RULE_STATE = _metric("monitor_rule_state", "gauge", "Label sets of the rule in this state.", "alert", "state")
RULE_DURATION = _metric("monitor_rule_evaluation_duration_seconds", "gauge", "How long the last evaluation took.", "alert")
RULE_TIMESTAMP = _metric("monitor_rule_last_evaluation_timestamp_seconds", "gauge", "When the rule was last evaluated, unix time.", "alert")
RULE_EVALUATIONS = _metric("monitor_rule_evaluations_total", "counter", "Evaluations.", "alert")
RULE_FAILURES = _metric("monitor_rule_evaluation_failures_total", "counter", "Evaluations that failed.", "alert")
RULE_WITHHELD = _metric("monitor_rule_withheld_alerts", "gauge", "Label sets that are true and have no alert, because the rule has as many as its limit allows.", "alert")
RULE_STATE_BYTES = _metric("monitor_rule_state_bytes", "gauge", "Memory for what the rule reads; what rules share is counted for each of them.", "alert")
RULE_ROWS_DROPPED = _metric("monitor_rule_rows_dropped_total", "counter", "Rows that the rule's windows reach and that were dropped, because a series had as many as may be kept.", "alert")
RULE_HIDDEN = _metric("monitor_rule_hidden_series", "gauge", "Label sets of the rule that are not exposed, to keep the number of series bounded.", "alert")
COLLIDED = _metric("monitor_alerts_collided_total", "counter", "Alerts that were not opened because another active alert has the same labels.")
ALERTS = _metric("ALERTS", "gauge", "Active alerts, as Prometheus shows its own.", "alertname", "alertstate")

NOTIFICATIONS = _metric("monitor_notifications_total", "counter", "Notification attempts.", "sink", "outcome")
OUTBOX = _metric("monitor_outbox_depth", "gauge", "Notifications that wait to be sent.", "sink")
OUTBOX_OLDEST = _metric("monitor_outbox_oldest_timestamp_seconds", "gauge", "When the oldest waiting notification was made, unix time.", "sink")
SINK_UP = _metric("monitor_sink_up", "gauge", "Whether the last attempt on the sink succeeded.", "sink")
SILENCES = _metric("monitor_silences", "gauge", "Silences that are active or to come.")

BUILD_INFO = _metric("monitor_build_info", "info", "Version of the program and of the Python that runs it.", "version", "python")
CONFIG_INFO = _metric("monitor_config_info", "info", "Short hash of the loaded configuration and rules.", "hash")
SYNTHETIC = _metric("monitor_synthetic", "gauge", "1 when market data is made up (demo or replay), else 0.")
RELOAD_OK = _metric("monitor_config_last_reload_successful", "gauge", "Whether the last reload of configuration and rules succeeded.")
RELOAD_AT = _metric("monitor_config_last_reload_success_timestamp_seconds", "gauge", "When the last good reload was, unix time.")
RELOADS = _metric("monitor_config_reloads_total", "counter", "Reloads of configuration and rules.", "outcome")
STARTED = _metric("monitor_start_timestamp_seconds", "gauge", "When the monitor started, unix time of its own clock.")
NOW = _metric("monitor_clock_timestamp_seconds", "gauge", "The monitor's clock, unix time; runs fast in a demo.")
TAPE_RECORDS = _metric("monitor_tape_records_total", "counter", "Records written to the tape: frames and what a replay needs besides.")
TAPE_FRAMES = _metric("monitor_tape_frames_total", "counter", "Received frames written to the tape.")
TAPE_BYTES = _metric("monitor_tape_written_bytes_total", "counter", "Bytes written to the tape, compressed.")
TAPE_DROPPED = _metric("monitor_tape_dropped_total", "counter", "Records that are not on the tape: the queue was full (slow), or the disk refused (disk).", "reason")
TAPE_QUEUE = _metric("monitor_tape_queue_bytes", "gauge", "What waits to be written to the tape.")
TAPE_FOLDER = _metric("monitor_tape_folder_bytes", "gauge", "Size of all files of the tape.")
TAPE_BUDGET = _metric("monitor_tape_budget_ratio", "gauge", "Share of the tape's disk budget that is used; the oldest files go when it is full.")
TAPE_REMOVED = _metric("monitor_tape_removed_files_total", "counter", "Old files of the tape that were removed for budget or age.")
SNAPSHOT_COPY = _metric("monitor_snapshot_copy_seconds", "gauge", "How long the last copy of the windows held the event loop; writing happens beside it.")
SNAPSHOT_BYTES = _metric("monitor_snapshot_size_bytes", "gauge", "Size of the last copy of the windows on disk.")
LOSSES = ("superseded", "engine_error")
"""Reasons for which the buffer before the engine loses events."""
BUFFER_DROPPED = _metric("monitor_buffer_dropped_total", "counter", "Events that never became readings: a newer value of the same gauge waited behind (superseded), or the engine failed on their batch (engine_error).", "reason")
LOOP_LAG = _metric("monitor_loop_lag_seconds", "gauge", "How late timers of the event loop are.")
SATURATION = _metric("monitor_saturation_ratio", "gauge", "Share of time that the event loop was busy lately.")
CPU = _metric("process_cpu_seconds_total", "counter", "User and system CPU time of the process.")
MEMORY = _metric("process_resident_memory_bytes", "gauge", "Resident memory of the process.")
OPEN_FDS = _metric("process_open_fds", "gauge", "Open file descriptors of the process.")
SCRAPE_DURATION = _metric("monitor_scrape_duration_seconds", "gauge", "How long the previous scrape took to read and write.")
# fmt: on
EVENT_TYPES = ("liquidation", "trade", "price", "funding", "open_interest")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many series may come out.

    ``watch`` holds the bases and symbols that keep their own label values; None keeps all. ``rows_per_rule`` bounds
    `RULE_VALUE` and its kin per rule; pending, firing and held label sets go first.
    """

    watch: frozenset[str] | None = None
    rows_per_rule: int = 100


class FoldedTable:
    """One market table as a metric: watched rows as they are, the rest added into ``other`` or left out."""

    def __init__(
        self,
        spec: MetricSpec,
        watch: frozenset[str] | None,
        watched: Sequence[int],
        *,
        add_rest: bool,
        scale: float = 1.0,
    ) -> None:
        self._family = ColumnFamily(spec)
        self._watch, self._watched, self._add_rest, self._scale = watch, tuple(watched), add_rest, scale
        self._generation: int | None = None
        self._reset(0)

    def _reset(self, generation: int) -> None:
        if generation != self._generation:
            self._generation = generation
            self._seen = 0
            self._target: list[int] = []
            self._keys: list[tuple[str, ...]] = []
            self._index: dict[tuple[str, ...], int] = {}
            self._targets: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)
            self._identity = True
            self._family.reset()

    def _key(self, key: tuple[str, ...]) -> tuple[str, ...] | None:
        if self._watch is None or any(key[position] in self._watch for position in self._watched):
            return key
        if not self._add_rest:
            return None
        return tuple(OTHER if position in self._watched else value for position, value in enumerate(key))

    def _learn(self, keys: Sequence[tuple[str, ...]]) -> None:
        for row in range(self._seen, len(keys)):
            key = self._key(keys[row])
            if key is None:
                self._target.append(-1)
                continue
            slot = self._index.setdefault(key, len(self._keys))
            if slot == len(self._keys):
                self._keys.append(key)
            self._target.append(slot)
        self._seen = len(keys)
        self._targets = np.array(self._target, dtype=np.intp)
        self._identity = self._target == list(range(len(keys)))

    def read(self, table: Table) -> Family:
        """The family as it is now."""
        self._reset(table.generation)
        if len(table.keys) > self._seen:
            self._learn(table.keys)
        values = np.asarray(table.values[: self._seen], dtype=np.float64) * self._scale
        if not self._identity:
            values = self._fold(values)
        return self._family.update(self._keys, values)

    def _fold(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add rows of one target; a target all of whose rows are missing is missing."""
        present = (self._targets >= 0) & ~np.isnan(values)
        slots = self._targets[present]
        sums: npt.NDArray[np.float64] = np.zeros(len(self._keys))
        np.add.at(sums, slots, values[present])
        sums[np.bincount(slots, minlength=len(self._keys)) == 0] = np.nan
        return sums


def _seconds(ns: int) -> float:
    return ns / NS_PER_S if ns else float("nan")


def _counts(mapping: Mapping[str, int], always: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Counters by reason, born at zero for the usual ones: a series that appears at 5 has no increase."""
    for reason in {**dict.fromkeys(always, 0), **mapping}:
        yield reason, mapping.get(reason, 0)


@dataclass(frozen=True, slots=True)
class _CounterByReason:
    spec: MetricSpec
    read: Callable[[FeedView], Mapping[str, int]]
    always: tuple[str, ...]


_BY_REASON = (
    _CounterByReason(EVENTS, lambda feed: feed.events, EVENT_TYPES),
    _CounterByReason(
        DECODE_ERRORS, lambda feed: feed.decode_errors, ("malformed", "wrong_type", "missing_field", "unexpected")
    ),
    _CounterByReason(RECONNECTS, lambda feed: feed.reconnects, ("closed", "idle", "error")),
    _CounterByReason(SKIPPED, lambda feed: feed.skipped, ("history", "tradfi", "unselected")),
    _CounterByReason(DROPPED, lambda feed: feed.dropped, ("overflow", "gap")),
    _CounterByReason(PAST_FAILURES, lambda feed: feed.past.failures, ()),
    _CounterByReason(PAST_POINTS, lambda feed: feed.past.points, ()),
    _CounterByReason(GAPS, lambda feed: feed.past.gaps, ("filled", "failed", "lost")),
    _CounterByReason(GAP_EVENTS, lambda feed: feed.past.gap_events, ()),
)
_PER_FEED: tuple[tuple[MetricSpec, Callable[[FeedView], float]], ...] = (
    (FEED_UP, lambda feed: feed.up),
    (FEED_CONNECTIONS, lambda feed: feed.connected),
    (FRAMES, lambda feed: feed.frames),
    (BYTES, lambda feed: feed.bytes_received),
    (REFUSED, lambda feed: len(feed.refused)),
    (UNKNOWN, lambda feed: feed.unknown_symbols),
    (FEED_COVERAGE, lambda feed: feed.coverage_ratio),
    (CLOCK_OFFSET, lambda feed: feed.clock_offset_s),
    (FEED_SATURATION, lambda feed: feed.saturation_ratio),
    (LATE, lambda feed: feed.late),
    (PAST_WANTED, lambda feed: feed.past.wanted),
    (PAST_MADE, lambda feed: feed.past.made),
)


def _feed_families(feeds: Sequence[FeedView]) -> Iterator[Family]:
    for spec, read in _PER_FEED:
        yield simple_family(spec, (((feed.venue,), read(feed)) for feed in feeds))
    for counter in _BY_REASON:
        yield simple_family(
            counter.spec,
            (
                ((feed.venue, reason), count)
                for feed in feeds
                for reason, count in _counts(counter.read(feed), counter.always)
            ),
        )
    channels = [(feed.venue, channel) for feed in feeds for channel in feed.channels]
    yield simple_family(
        PAST_SINCE,
        (
            ((feed.venue, channel), _seconds(since_ns))
            for feed in feeds
            for channel, since_ns in feed.past.since_ns.items()
        ),
    )
    yield simple_family(CHANNEL_UP, (((venue, str(channel.channel)), channel.up) for venue, channel in channels))
    yield simple_family(
        LAST_MESSAGE,
        (((venue, str(channel.channel)), _seconds(channel.last_message_ns)) for venue, channel in channels),
    )


def _window_families(view: MonitorView) -> Iterator[Family]:
    totals = [total for total in view.windows() if total.venue]
    yield simple_family(
        WINDOW_USD, (((total.window, total.venue, total.side), total.usd_micros * MICRO) for total in totals)
    )
    coverage = {(total.window, total.venue): total.coverage_ratio for total in totals}
    yield simple_family(WINDOW_COVERAGE, coverage.items())


def _alert_families(view: MonitorView) -> Iterator[Family]:
    yield labelled_family(
        ALERTS,
        (
            ({"alertname": alert.name, **alert.label_map(), "alertstate": alert_state(alert)}, 1.0)
            for alert in view.alerts()
            if alert.state in ACTIVE_STATES
        ),
    )


def alert_state(alert: AlertView) -> str:
    """The state in Prometheus' two words: an alert that is held stays what it was."""
    return "firing" if alert.starts_at_ns else "pending"


def _sink_families(view: MonitorView) -> Iterator[Family]:
    sinks = view.sinks()
    yield simple_family(
        NOTIFICATIONS,
        (
            ((sink.name, outcome), count)
            for sink in sinks
            for outcome, count in _counts(sink.outcomes, NOTIFICATION_OUTCOMES)
        ),
    )
    yield simple_family(OUTBOX, (((sink.name,), sink.outbox_depth) for sink in sinks))
    yield simple_family(OUTBOX_OLDEST, (((sink.name,), _seconds(sink.oldest_ns)) for sink in sinks))
    yield simple_family(SINK_UP, (((sink.name,), sink.up) for sink in sinks))
    yield simple_family(SILENCES, [((), len(view.silences()))])


def _process_families(view: MonitorView) -> Iterator[Family]:
    process, reload = view.process(), view.reload()
    python = ".".join(map(str, sys.version_info[:3]))
    yield simple_family(BUILD_INFO, [((process.version, python), 1)])
    yield simple_family(CONFIG_INFO, [((process.config_hash,), 1)])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    for spec, value in (
        (SYNTHETIC, process.synthetic),
        (RELOAD_OK, reload.ok),
        (RELOAD_AT, _seconds(reload.last_success_ns)),
        (STARTED, _seconds(process.started_ns)),
        (NOW, _seconds(process.now_ns)),
        (COLLIDED, process.collided_alerts),
        (SNAPSHOT_COPY, process.snapshot_copy_s),
        (SNAPSHOT_BYTES, process.snapshot_bytes),
        (LOOP_LAG, process.loop_lag_s),
        (SATURATION, process.saturation_ratio),
        (CPU, usage.ru_utime + usage.ru_stime),
        (MEMORY, resident_bytes()),
        (OPEN_FDS, _open_files()),
    ):
        yield simple_family(spec, [((), value)])
    yield simple_family(BUFFER_DROPPED, [((reason,), process.buffer_dropped.get(reason, 0)) for reason in LOSSES])
    yield simple_family(RELOADS, [(("success",), reload.successes), (("failure",), reload.failures)])


def _signal_families(view: MonitorView) -> Iterator[Family]:
    now_ns = view.process().now_ns
    present = [row for row in view.signals() or () if not row.absent]
    yield simple_family(SIGNAL, (((row.id, row.unit, row.source), row.value) for row in present))
    aged = ((row.id, (now_ns - row.as_of_ns) / NS_PER_S) for row in present if row.as_of_ns)
    yield simple_family(SIGNAL_AGE, (((name,), max(0.0, age_s)) for name, age_s in aged))
    yield simple_family(SIGNAL_COVERAGE, (((row.id,), row.coverage_ratio) for row in present))


def _source_families(sources: Sequence[SourceView]) -> Iterator[Family]:
    polls = [(source.name, poll) for source in sources for poll in source.polls]
    yield simple_family(SOURCE_UP, (((source.name,), float(source.up)) for source in sources))
    yield simple_family(SOURCE_REPLIES, (((name, poll.request), poll.replies) for name, poll in polls))
    failures = (
        ((name, poll.request, reason), count) for name, poll in polls for reason, count in poll.failures.items()
    )
    yield simple_family(SOURCE_FAILURES, failures)
    for spec, moment in ((SOURCE_LAST, "last_good_ns"), (SOURCE_NEWEST, "newest_ns")):
        known = ((name, poll.request, getattr(poll, moment)) for name, poll in polls)
        yield simple_family(spec, (((name, request), _seconds(at_ns)) for name, request, at_ns in known if at_ns))
    limited = ((source.name, source.calls_left) for source in sources)
    yield simple_family(SOURCE_CALLS, (((name,), float(left)) for name, left in limited if left is not None))


def _inlet_families(inlet: InletView) -> Iterator[Family]:
    yield simple_family(INLET_ROWS, (((way,), count) for way, count in inlet.taken.items()))
    yield simple_family(INLET_REFUSED, inlet.refused.items())
    yield simple_family(INLET_UNKEPT, [((), inlet.unkept)])


def _tape_families(view: MonitorView) -> Iterator[Family]:
    tape = view.tape()
    if tape is None:
        return
    for spec, value in (
        (TAPE_RECORDS, tape.records),
        (TAPE_FRAMES, tape.frames),
        (TAPE_BYTES, tape.bytes_written),
        (TAPE_QUEUE, tape.waiting_bytes),
        (TAPE_FOLDER, tape.folder_bytes),
        (TAPE_BUDGET, tape.folder_bytes / tape.budget_bytes if tape.budget_bytes else math.nan),
        (TAPE_REMOVED, tape.removed_files),
    ):
        yield simple_family(spec, [((), value)])
    yield simple_family(TAPE_DROPPED, [((reason,), count) for reason, count in tape.dropped.items()])


def resident_bytes() -> float:
    """Resident memory of this process, NaN where /proc does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> float:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return float("nan")


@dataclass(slots=True)
class _RuleRows:
    """Families of all rules, filled rule by rule."""

    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)
    thresholds: list[tuple[Mapping[str, str], float]] = field(default_factory=list)
    states: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    coverage: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    hidden: list[tuple[tuple[str, ...], float]] = field(default_factory=list)

    def add(self, name: str, rule: RuleView, limit: int) -> None:
        """Add one rule under its label value."""
        counts = dict.fromkeys(RULE_STATES, 0)
        for state in rule.states:
            if state in counts:
                counts[state] += 1
        self.states += [((name, str(state)), count) for state, count in counts.items()]
        evaluation = rule.evaluation
        if evaluation is None:
            return
        rows = _shown_rows(rule.states, len(evaluation.labels), limit)
        self.hidden.append(((name,), len(evaluation.labels) - len(rows)))
        if len(evaluation.coverage):
            self.coverage.append(((name,), float(np.min(evaluation.coverage))))
        for row in rows:
            labels = _row_labels(name, evaluation.labels[row])
            self.values.append((labels, float(evaluation.value[row])))
            self.thresholds.append((labels, float(evaluation.threshold[row])))

    def families(self) -> Iterator[Family]:
        """All of them."""
        yield labelled_family(RULE_VALUE, self.values)
        yield labelled_family(RULE_THRESHOLD, self.thresholds)
        yield simple_family(RULE_STATE, self.states)
        yield simple_family(RULE_COVERAGE, self.coverage)
        yield simple_family(RULE_HIDDEN, self.hidden)


def _row_labels(alert: str, labels: Labels) -> Mapping[str, str]:
    return {"alert": alert, **{("exported_alert" if name == "alert" else name): value for name, value in labels}}


def _shown_rows(states: Sequence[AlertState], rows: int, limit: int) -> Sequence[int]:
    if rows <= limit:
        return range(rows)
    active = [row for row, state in enumerate(states) if state is not AlertState.INACTIVE]
    quiet = [row for row in range(rows) if row not in set(active)]
    return sorted((active + quiet)[:limit])


def rule_names(rules: Sequence[RuleView]) -> list[str]:
    """The ``alert`` label of each rule: its name, or ``group/name`` where two groups have a rule of one name."""
    uses = Counter(rule.name for rule in rules)
    return [rule.name if uses[rule.name] == 1 else rule.id for rule in rules]


def _rule_families(rules: Sequence[RuleView], limit: int) -> Iterator[Family]:
    rows = _RuleRows()
    named = list(zip(rule_names(rules), rules, strict=True))
    for name, rule in named:
        rows.add(name, rule, limit)
    yield from rows.families()
    yield simple_family(RULE_DURATION, (((name,), rule.last_duration_s) for name, rule in named))
    yield simple_family(RULE_TIMESTAMP, (((name,), _seconds(rule.last_evaluation_ns)) for name, rule in named))
    yield simple_family(RULE_EVALUATIONS, (((name,), rule.evaluations) for name, rule in named))
    yield simple_family(RULE_WITHHELD, (((name,), rule.withheld) for name, rule in named))
    yield simple_family(RULE_STATE_BYTES, (((name,), rule.state_bytes) for name, rule in named))
    yield simple_family(RULE_ROWS_DROPPED, (((name,), rule.dropped_rows) for name, rule in named))
    yield simple_family(RULE_FAILURES, (((name,), rule.failures) for name, rule in named))


class Metrics:
    """Reads a `MonitorView` and writes it as Prometheus text. One object per view: it keeps rendered labels."""

    def __init__(self, view: MonitorView, budget: Budget | None = None) -> None:
        self._view = view
        self._budget = budget or Budget()
        watch = self._budget.watch
        self._liquidations_usd = FoldedTable(LIQUIDATIONS_USD, watch, (1,), add_rest=True, scale=MICRO)
        self._liquidations = FoldedTable(LIQUIDATIONS, watch, (1,), add_rest=True)
        self._price = FoldedTable(PRICE, watch, (1, 2), add_rest=False)
        self._funding = FoldedTable(FUNDING, watch, (1, 2), add_rest=False)
        self._funding_8h = FoldedTable(FUNDING_8H, watch, (1, 2), add_rest=False)
        self._open_interest = FoldedTable(OPEN_INTEREST, watch, (1, 2), add_rest=True)
        self._depth = FoldedTable(DEPTH, watch, (1, 2), add_rest=True)
        self._spread = FoldedTable(SPREAD, watch, (1, 2), add_rest=False)
        self.last_scrape_s = float("nan")

    def families(self) -> Iterator[Family]:
        """Every family as it is now."""
        yield from self._market_families()
        yield from _window_families(self._view)
        yield from _feed_families(self._view.feeds())
        yield from _source_families(self._view.sources())
        yield from _inlet_families(self._view.inlet())
        latencies = self._view.latencies()
        yield histogram_family(STAGE_LATENCY, (((stage,), latencies[stage]) for stage in STAGES if stage in latencies))
        yield from _rule_families(self._view.rules(), self._budget.rows_per_rule)
        yield from _alert_families(self._view)
        yield from _sink_families(self._view)
        yield from _process_families(self._view)
        yield from _tape_families(self._view)
        yield simple_family(SCRAPE_DURATION, [((), self.last_scrape_s)])

    def _market_families(self) -> Iterator[Family]:
        market = self._view.market()
        yield self._liquidations_usd.read(market.liquidations_usd_micros)
        yield self._liquidations.read(market.liquidations_count)
        yield self._price.read(market.price_usd)
        yield self._funding.read(market.funding_ratio)
        yield self._funding_8h.read(market.funding_8h_ratio)
        yield self._open_interest.read(market.open_interest_usd)
        yield self._depth.read(market.depth_usd)
        yield self._spread.read(market.spread_ratio)
        present = {
            "price": market.price_usd,
            "funding": market.funding_ratio,
            "open_interest": market.open_interest_usd,
            "depth": market.spread_ratio,
        }
        yield simple_family(
            MARKET_ROWS, (((name,), int(np.count_nonzero(~np.isnan(table.values)))) for name, table in present.items())
        )
        yield from _signal_families(self._view)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The body of a scrape and its content type, OpenMetrics if `accept` asks for it."""
        if "application/openmetrics-text" in accept:
            return render_openmetrics(self.families()), OPENMETRICS_TYPE
        return render_text(self.families()), TEXT_TYPE


class MonitorCollector(Collector):
    """The same series for a `prometheus_client` registry: push gateways, multiprocess set-ups, other exporters."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Parse what a scrape would see."""
        from prometheus_client.parser import text_string_to_metric_families

        yield from text_string_to_metric_families(self._metrics.expose()[0].decode())

    def registry(self) -> CollectorRegistry:
        """A registry that holds only this collector."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry
