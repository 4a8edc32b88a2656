"""The program's Prometheus series, read from the running program at scrape time; `monitor.telemetry.specs` lists them."""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.alert import AlertState, AlertView
from monitor.clock import NS_PER_S
from monitor.telemetry import specs
from monitor.telemetry.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    Family,
    counts,
    histogram_family,
    labelled_family,
    render_openmetrics,
    render_text,
    seconds,
    simple_family,
)
from monitor.telemetry.feed_series import feed_families, inlet_families, source_families
from monitor.telemetry.folded import FoldedTable
from monitor.telemetry.rule_series import rule_families
from monitor.telemetry.view import STAGES, MonitorView

MICRO = 1e-6
ACTIVE_STATES = frozenset({AlertState.PENDING, AlertState.FIRING, AlertState.HELD})
NOTIFICATION_OUTCOMES = ("ok", "retry", "drop")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many series may come out.

    ``watch`` holds the bases and symbols that keep their own label values; None keeps all. ``rows_per_rule`` bounds
    `specs.RULE_VALUE` and its kin per rule; pending, firing and held label sets go first.
    """

    watch: frozenset[str] | None = None
    rows_per_rule: int = 100


def _window_families(view: MonitorView) -> Iterator[Family]:
    totals = [total for total in view.windows() if total.venue]
    yield simple_family(
        specs.WINDOW_USD, (((total.window, total.venue, total.side), total.usd_micros * MICRO) for total in totals)
    )
    coverage = {(total.window, total.venue): total.coverage_ratio for total in totals}
    yield simple_family(specs.WINDOW_COVERAGE, coverage.items())


def _alert_families(view: MonitorView) -> Iterator[Family]:
    yield labelled_family(
        specs.ALERTS,
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
        specs.NOTIFICATIONS,
        (
            ((sink.name, outcome), count)
            for sink in sinks
            for outcome, count in counts(sink.outcomes, NOTIFICATION_OUTCOMES)
        ),
    )
    yield simple_family(specs.OUTBOX, (((sink.name,), sink.outbox_depth) for sink in sinks))
    yield simple_family(specs.OUTBOX_OLDEST, (((sink.name,), seconds(sink.oldest_ns)) for sink in sinks))
    yield simple_family(specs.SINK_UP, (((sink.name,), sink.up) for sink in sinks))
    yield simple_family(specs.SILENCES, [((), len(view.silences()))])


def _process_families(view: MonitorView) -> Iterator[Family]:
    process, reload = view.process(), view.reload()
    python = ".".join(map(str, sys.version_info[:3]))
    yield simple_family(specs.BUILD_INFO, [((process.version, python), 1)])
    yield simple_family(specs.CONFIG_INFO, [((process.config_hash,), 1)])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    for spec, value in (
        (specs.SYNTHETIC, process.synthetic),
        (specs.RELOAD_OK, reload.ok),
        (specs.RELOAD_AT, seconds(reload.last_success_ns)),
        (specs.STARTED, seconds(process.started_ns)),
        (specs.NOW, seconds(process.now_ns)),
        (specs.COLLIDED, process.collided_alerts),
        (specs.LABEL_SETS, process.label_sets),
        (specs.LABEL_SETS_LEFT, process.label_sets_left),
        (specs.SNAPSHOT_COPY, process.snapshot_copy_s),
        (specs.SNAPSHOT_BYTES, process.snapshot_bytes),
        (specs.LOOP_LAG, process.loop_lag_s),
        (specs.SATURATION, process.saturation_ratio),
        (specs.CPU, usage.ru_utime + usage.ru_stime),
        (specs.MEMORY, resident_bytes()),
        (specs.OPEN_FDS, _open_files()),
    ):
        yield simple_family(spec, [((), value)])
    yield simple_family(
        specs.BUFFER_DROPPED, [((reason,), process.buffer_dropped.get(reason, 0)) for reason in specs.LOSSES]
    )
    yield simple_family(specs.RELOADS, [(("success",), reload.successes), (("failure",), reload.failures)])


def _signal_families(view: MonitorView) -> Iterator[Family]:
    now_ns = view.process().now_ns
    rows = view.signals() or ()
    present = [row for row in rows if not row.absent]
    yield simple_family(specs.SIGNAL_INFO, (((row.id, row.title), 1.0) for row in rows))
    yield simple_family(specs.SIGNAL, (((row.id, row.unit, row.source), row.value) for row in present))
    aged = ((row.id, (now_ns - row.as_of_ns) / NS_PER_S) for row in present if row.as_of_ns)
    yield simple_family(specs.SIGNAL_AGE, (((name,), max(0.0, age_s)) for name, age_s in aged))
    yield simple_family(specs.SIGNAL_COVERAGE, (((row.id,), row.coverage_ratio) for row in present))


def _tape_families(view: MonitorView) -> Iterator[Family]:
    tape = view.tape()
    if tape is None:
        return
    for spec, value in (
        (specs.TAPE_RECORDS, tape.records),
        (specs.TAPE_FRAMES, tape.frames),
        (specs.TAPE_BYTES, tape.bytes_written),
        (specs.TAPE_QUEUE, tape.waiting_bytes),
        (specs.TAPE_FOLDER, tape.folder_bytes),
        (specs.TAPE_BUDGET, tape.folder_bytes / tape.budget_bytes if tape.budget_bytes else math.nan),
        (specs.TAPE_REMOVED, tape.removed_files),
    ):
        yield simple_family(spec, [((), value)])
    yield simple_family(specs.TAPE_DROPPED, [((reason,), count) for reason, count in tape.dropped.items()])


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


class Metrics:
    """Reads a `MonitorView` and writes it as Prometheus text. One object per view: it keeps rendered labels."""

    def __init__(self, view: MonitorView, budget: Budget | None = None) -> None:
        self._view = view
        self._budget = budget or Budget()
        watch = self._budget.watch
        self._liquidations_usd = FoldedTable(specs.LIQUIDATIONS_USD, watch, (1,), add_rest=True, scale=MICRO)
        self._liquidations = FoldedTable(specs.LIQUIDATIONS, watch, (1,), add_rest=True)
        self._price = FoldedTable(specs.PRICE, watch, (1, 2), add_rest=False)
        self._funding = FoldedTable(specs.FUNDING, watch, (1, 2), add_rest=False)
        self._funding_8h = FoldedTable(specs.FUNDING_8H, watch, (1, 2), add_rest=False)
        self._open_interest = FoldedTable(specs.OPEN_INTEREST, watch, (1, 2), add_rest=True)
        self._depth = FoldedTable(specs.DEPTH, watch, (1, 2), add_rest=True)
        self._spread = FoldedTable(specs.SPREAD, watch, (1, 2), add_rest=False)
        self.last_scrape_s = float("nan")

    def families(self) -> Iterator[Family]:
        """Every family as it is now."""
        yield from self._market_families()
        yield from _window_families(self._view)
        yield from feed_families(self._view.feeds())
        yield from source_families(self._view.sources())
        yield from inlet_families(self._view.inlet())
        latencies = self._view.latencies()
        yield histogram_family(
            specs.STAGE_LATENCY, (((stage,), latencies[stage]) for stage in STAGES if stage in latencies)
        )
        yield from rule_families(self._view.rules(), self._budget.rows_per_rule)
        yield from _alert_families(self._view)
        yield from _sink_families(self._view)
        yield from _process_families(self._view)
        yield from _tape_families(self._view)
        yield simple_family(specs.SCRAPE_DURATION, [((), self.last_scrape_s)])

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
            specs.MARKET_ROWS,
            (((name,), int(np.count_nonzero(~np.isnan(table.values)))) for name, table in present.items()),
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
