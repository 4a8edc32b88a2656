"""The running program as metrics, API and live page see it: a read-only face over the parts that `monitor.runtime` owns."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor import __version__
from monitor import format as fmt
from monitor.alert import AlertState, AlertView
from monitor.clock import NS_PER_S, Clock
from monitor.engine import Engine
from monitor.engine.explain import units_behind
from monitor.events import Labels
from monitor.expression import Expr, Then, unit_shown
from monitor.feed import Feed
from monitor.language import parse_expression
from monitor.reading import FALSE, Evaluation
from monitor.rule import Rule
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.tables import HistoryFilter
from monitor.runtime.feeds.shown import feed_view
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.market import MarketBoard
from monitor.runtime.panels import LABELS, WINDOWS, panel_text
from monitor.runtime.slow_side import SlowSide
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.pump import Pump
from monitor.runtime.steps.recorder import Recorder
from monitor.runtime.steps.snapshot import Snapshots
from monitor.signals import SignalReading, readings
from monitor.telemetry.latency import LatencyHistogram
from monitor.telemetry.view import STAGES
from monitor.telemetry.views.alerting import (
    Acknowledgement,
    DeadLetter,
    DeliveryEntry,
    HistoryEntry,
    HistoryQuery,
    Silence,
    SinkView,
)
from monitor.telemetry.views.feeds import FeedView, InletView, SourceView
from monitor.telemetry.views.market import MarketView, WindowTotal
from monitor.telemetry.views.program import ProcessView, ReloadView, TapeView
from monitor.telemetry.views.rules import RuleView, SignalRow, WhyRow

NAN = float("nan")


@dataclass(slots=True)
class Happenings:
    """What the process as a whole went through; written by the app."""

    started_ns: int
    synthetic_note: str = ""
    config_hash: str = ""
    draining: bool = False
    loop_lag_s: float = NAN
    saturation_ratio: float = NAN
    reload: ReloadView = field(default_factory=ReloadView)
    latencies: dict[str, LatencyHistogram] = field(
        default_factory=lambda: {stage: LatencyHistogram() for stage in STAGES}
    )


@dataclass(slots=True)
class Parts:
    """The running parts that the view reads; the app replaces them on a reload."""

    clock: Clock
    engine: Engine
    room: EngineRoom
    board: MarketBoard
    feeds: Sequence[tuple[Feed, FeedStats]]
    store: Store
    delivery: Delivery
    desk: AlertDesk
    happenings: Happenings
    min_coverage: float
    sink_kinds: Mapping[str, str]
    slow: SlowSide
    snapshots: Snapshots
    pump: Pump
    recorder: Recorder | None = None


class AppView:
    """Implements `monitor.telemetry.view.MonitorView`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._queries: dict[str, Expr] = {}

    def process(self) -> ProcessView:
        """Version, start, clock, synthetic flag."""
        happenings = self.parts.happenings
        return ProcessView(
            version=__version__,
            started_ns=happenings.started_ns,
            now_ns=self.parts.clock.wall_ns(),
            synthetic=bool(happenings.synthetic_note),
            synthetic_note=happenings.synthetic_note,
            config_hash=happenings.config_hash,
            draining=happenings.draining,
            loop_lag_s=happenings.loop_lag_s,
            saturation_ratio=happenings.saturation_ratio,
            snapshot_copy_s=self.parts.snapshots.last_copy_s or NAN,
            snapshot_bytes=self.parts.snapshots.last_bytes or NAN,
            collided_alerts=self.parts.desk.lifecycle.collided,
            label_sets=self.parts.engine.store.catalog.size,
            label_sets_left=self.parts.engine.forgotten,
            buffer_dropped=dict(self.parts.pump.dropped),
        )

    def reload(self) -> ReloadView:
        """How the last reload went."""
        return self.parts.happenings.reload

    def tape(self) -> TapeView | None:
        """The tape that is being written."""
        recorder = self.parts.recorder
        return None if recorder is None else recorder.view()

    def feeds(self) -> Sequence[FeedView]:
        """Every configured feed."""
        now_ns = self.parts.clock.wall_ns()
        return [feed_view(feed, stats, now_ns) for feed, stats in self.parts.feeds]

    def market(self) -> MarketView:
        """Totals and last values."""
        return self.parts.board.view()

    def windows(self) -> Sequence[WindowTotal]:
        """Liquidations in the rolling windows, by venue and by base."""
        return [total for window in WINDOWS for label in LABELS for total in self._totals(window, label)]

    def _totals(self, window: str, label: str) -> list[WindowTotal]:
        counts = {labels: value for labels, value, _ in self._panel(panel_text("count", window, label))}
        totals, own = [], {feed.spec.venue for feed, _ in self.parts.feeds}
        for labels, value, coverage in self._panel(panel_text("sum", window, label)):
            names = dict(labels)
            side = names["side"]
            if value is None or side not in ("long", "short"):
                continue
            totals.append(
                WindowTotal(
                    window=window,
                    side="long" if side == "long" else "short",
                    usd_micros=round(value * 1e6),
                    count=int(counts.get(labels) or 0),
                    # what another venue's stream brings along has no feed whose uptime is known
                    coverage_ratio=coverage if names.get("venue", "") in {"", *own} else NAN,
                    **{label: names[label]},
                )
            )
        return totals

    def _panel(self, text: str) -> list[tuple[Labels, float | None, float]]:
        expr = self._queries.get(text)
        if expr is None:
            expr = self._queries[text] = parse_expression(text)
        engine = self.parts.engine
        return engine.query(expr, engine.now_ns) if engine.now_ns else []  # looking must not set the engine's time

    def rules(self) -> Sequence[RuleView]:
        """Every loaded alert rule, in file order."""
        alerts = self._row_alerts()
        return [self._rule_view(rule, alerts.get(rule.id, {})) for rule in self.parts.engine.ruleset.alerts]

    def _row_alerts(self) -> dict[str, dict[Labels, AlertView]]:
        found: dict[str, dict[Labels, AlertView]] = {}
        for alert in self.parts.desk.lifecycle.alerts():
            found.setdefault(alert.rule, {})[alert.series] = alert
        return found

    def _rule_view(self, rule: Rule, alerts: Mapping[Labels, AlertView]) -> RuleView:
        evaluation = self.parts.engine.latest(rule.id)
        rows = evaluation.labels if evaluation is not None else ()
        footprint = self.parts.engine.footprint(rule.id)
        return RuleView(
            name=rule.name,
            group=rule.group,
            text=rule.text,
            states=[_state(alerts.get(labels)) for labels in rows],
            evaluation=evaluation,
            clear_text=rule.clear_text,
            for_s=rule.for_ns / NS_PER_S,
            keep_firing_for_s=rule.keep_firing_for_ns / NS_PER_S,
            min_coverage=self._min_coverage(rule),
            labels=rule.labels,
            annotations=rule.annotations,
            unit=unit_shown(rule.expr),
            file=rule.file,
            line=rule.line,
            # a rule that sleeps because nothing it reads can change it is as fresh as the last turn
            last_evaluation_ns=self.parts.engine.now_ns if evaluation is not None else 0,
            # every turn judges all rules at once; a rule's duration is its equal share
            last_duration_s=self.parts.room.last_turn_s / max(1, len(self.parts.engine.ruleset.alerts)),
            evaluations=self.parts.room.turns,
            limit=rule.limit,
            state_bytes=footprint.bytes,
            dropped_rows=footprint.dropped,
            withheld=self.parts.desk.lifecycle.withheld(rule.id),
        )

    def alerts(self) -> Sequence[AlertView]:
        """Pending, firing and held instances, and those resolved lately."""
        return self.parts.desk.alerts()

    def silenced_by(self, alert: AlertView) -> Sequence[str]:
        """Identities of the silences that mute this alert now."""
        return self.parts.desk.silenced_by(alert)

    def sinks(self) -> Sequence[SinkView]:
        """Every configured notification channel."""
        return [
            SinkView(
                name=name,
                kind=self.parts.sink_kinds.get(name, ""),
                up=not stats.breaker_open,
                outcomes=dict(stats.outcomes),
                outbox_depth=stats.depth,
                last_error=stats.last_error,
            )
            for name, stats in self.parts.delivery.stats.items()
        ]

    def latencies(self) -> Mapping[str, LatencyHistogram]:
        """A histogram by stage; decoding is the feeds' own, added up."""
        decoding = LatencyHistogram()
        for _, stats in self.parts.feeds:
            decoding.add(stats.decoding)
        return {**self.parts.happenings.latencies, "decode": decoding}

    def why(self, rule: str) -> Sequence[WhyRow] | None:
        """Explain every row of one rule."""
        found = [item for item in self.parts.engine.ruleset.alerts if rule in (item.id, item.name)]
        if len(found) != 1:
            return None
        evaluation = self.parts.engine.latest(found[0].id)
        if evaluation is None:
            return []
        alerts = self._row_alerts().get(found[0].id, {})
        return [
            self._why_row(evaluation, row, alerts.get(labels), found[0]) for row, labels in enumerate(evaluation.labels)
        ]

    def _why_row(self, evaluation: Evaluation, row: int, alert: AlertView | None, rule: Rule) -> WhyRow:
        expr = self.parts.engine.expr_of(rule.id, row)
        unit, (contributor_unit, part_units) = unit_shown(expr), units_behind(expr)
        value, threshold = float(evaluation.value[row]), float(evaluation.threshold[row])
        truth, coverage = int(evaluation.truth[row]), float(evaluation.coverage[row])
        thin = _thin(truth, coverage, self._min_coverage(rule))
        return WhyRow(
            labels=evaluation.labels[row],
            state=_state(alert),
            truth=truth,
            value=value,
            threshold=threshold,
            coverage_ratio=coverage,
            reason=evaluation.reasons.get(row, "") or _course(alert, rule) or thin,
            explanation=self.parts.desk.explain(evaluation.rule, row),
            near_miss="" if thin or isinstance(expr, Then) else _near_miss(truth, value, threshold, unit),
            unit=unit,
            contributor_unit=contributor_unit,
            part_units=part_units,
        )

    def _min_coverage(self, rule: Rule) -> float:
        return self.parts.min_coverage if rule.min_coverage is None else rule.min_coverage

    def sources(self) -> Sequence[SourceView]:
        """Every configured slow source."""
        return [runner.view() for runner in self.parts.slow.runners]

    def inlet(self) -> InletView:
        """What users pushed in."""
        door = self.parts.slow.door
        words = [f"{way}: row {refusal.number}: {refusal.detail}" for way, refusal in door.recent]
        return InletView(dict(door.taken), dict(door.refused), door.last_ns or 0, words, door.unkept)

    def signals(self) -> Sequence[SignalRow] | None:
        """The signal catalogue with its values now."""
        engine = self.parts.engine
        newest = [engine.latest(rule.id) for rule in engine.ruleset.alerts]
        firing = {
            alert.rule.rpartition("/")[2]
            for alert in self.parts.desk.lifecycle.alerts()
            if alert.state in (AlertState.FIRING, AlertState.HELD)
        }
        now = readings(item for item in newest if item is not None)
        return [self._signal_row(reading, firing) for reading in now]

    def _signal_row(self, reading: SignalReading, firing: Container[str]) -> SignalRow:
        signal = reading.signal
        seen_ns = [at_ns for series in signal.series if (at_ns := self.parts.engine.newest_ns(series))]
        return SignalRow(
            id=signal.id,
            title=signal.title,
            value=reading.value,
            unit=signal.unit,
            source=signal.input[1],
            as_of_ns=min(seen_ns, default=0),
            absent=self._why_absent(reading),
            coverage_ratio=reading.coverage,
            rule=signal.rules[0],
            firing=any(rule in firing for rule in signal.rules),
            firing_rules=tuple(rule for rule in signal.rules if rule in firing),
            input=": ".join(signal.input),
            test=f"rules/tests/{signal.test}",
            metric=signal.metric,
            panel=": ".join(signal.panel),
        )

    def _why_absent(self, reading: SignalReading) -> str:
        """How its input fares where that is configured and fails; else what the rule misses."""
        if not reading.absent:
            return ""
        kind, name = reading.signal.input
        trouble = self.parts.slow.trouble(name) if kind == "source" else ""
        if trouble:
            return f"{name} is configured, but fails: {trouble}"
        if kind == "inlet" and not self.parts.engine.newest_ns(reading.signal.series[0]):
            return reading.absent  # nothing was ever pushed; how sources fare is beside the point
        return self._missing(reading.signal.rules[0]) or reading.absent

    def _missing(self, rule: str) -> str:
        """Why the rows of a rule have no value; empty where it has no row, or where nothing has arrived for it."""
        found = [self.parts.engine.latest(known.id) for known in self.parts.engine.ruleset.alerts if known.name == rule]
        reasons = [
            reason for item in found if item is not None for reason in map(item.reasons.get, range(len(item.truth)))
        ]
        return next((reason for reason in reasons if reason), "")

    async def history(self, query: HistoryQuery) -> Sequence[HistoryEntry]:
        """What happened, newest first."""
        rows = await self.parts.store.history(
            HistoryFilter(
                rule=query.rule,
                fingerprint=query.fingerprint,
                since_ns=query.since_ns or None,
                until_ns=query.until_ns or None,
                limit=query.limit,
            )
        )
        return [_history_entry(row) for row in rows]

    async def deliveries(self, sink: str, fingerprint: str, limit: int) -> Sequence[DeliveryEntry]:
        """The delivery log."""
        return await self.parts.store.deliveries(fingerprint, sink, limit)

    async def dead_letters(self, sink: str, limit: int) -> Sequence[DeadLetter]:
        """Notifications that were given up."""
        return [
            DeadLetter(
                row.id, row.sink, row.notification.key, row.notification.title, row.created_ns, row.attempts, row.reason
            )
            for row in await self.parts.store.dead_letters(sink, limit)
        ]

    async def resend(self, ids: Sequence[int]) -> int:
        """Put dead letters back in line."""
        return await self.parts.delivery.resend(ids)

    def silences(self) -> Sequence[Silence]:
        """Silences that are active or to come."""
        return self.parts.desk.silences()

    async def silence(self, silence: Silence) -> str:
        """Store a new silence and return its id."""
        return self.parts.desk.silence(silence)

    async def expire_silence(self, silence_id: str) -> bool:
        """End a silence now."""
        return self.parts.desk.expire_silence(silence_id)

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        """Acknowledgements of instances that have not resolved."""
        return self.parts.desk.acknowledgements()

    async def acknowledge(self, ack: Acknowledgement) -> bool:
        """Store an acknowledgement."""
        wished = {"duration_ns": ack.until_ns - ack.at_ns} if ack.until_ns else {}
        return self.parts.desk.acknowledge(ack.fingerprint, ack.by, ack.comment, **wished)

    async def withdraw_acknowledgement(self, fingerprint: str) -> bool:
        """Take an acknowledgement back."""
        return self.parts.desk.withdraw(fingerprint)


def _state(alert: AlertView | None) -> AlertState:
    return AlertState.INACTIVE if alert is None else alert.state


def _course(alert: AlertView | None, rule: Rule) -> str:
    """Since when an alert has been on and why it is, where the reading alone does not say; empty without one."""
    if alert is None:
        return ""
    if alert.state is AlertState.PENDING:
        wait = fmt.duration(rule.for_ns)
        return f"pending since {fmt.utc_time(alert.active_since_ns)}, fires after {wait}: {alert.reason}"
    if alert.state is AlertState.FIRING:
        return f"firing since {fmt.utc_time(alert.starts_at_ns)}: {alert.reason}"
    return alert.reason


def _thin(truth: int, coverage: float, least: float) -> str:
    """That a value which is no alert decides nothing; empty where enough of the data is there."""
    if truth != FALSE or coverage >= least:
        return ""
    return f"unknown: {fmt.share(coverage)} of the data is there, {fmt.share(least)} is needed"


def _near_miss(truth: int, value: float, threshold: float, unit: str) -> str:
    if truth != FALSE or not np.isfinite(value) or not np.isfinite(threshold):
        return ""
    distance = abs(threshold - value)
    share = f" ({fmt.pct(abs(distance / threshold))} of it)" if threshold else ""
    return f"{fmt.in_unit(distance, unit)} from the threshold{share}"


def _history_entry(row: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        at_ns=row["at_ns"],
        kind=row["state"],
        rule=row["rule"],
        fingerprint=row["fingerprint"],
        labels=row["labels"],
        value=_number(row["value"]),
        threshold=_number(row["threshold"]),
        coverage_ratio=_number(row["coverage"]),
        text=row["reason"],
    )


def _number(value: float | None) -> float:
    return NAN if value is None else value
