"""How views become JSON. Two families: Prometheus' own shapes, for tools that know them, and ours for the live page.

Numbers are plain, in base units; a missing one is null (NaN is written as null). Times are RFC 3339 in Prometheus'
shapes, unix milliseconds in ours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from heapq import nsmallest
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np

from monitor.alert import AlertState, AlertView, severity_rank
from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.feeds import FEEDS, feed_class
from monitor.telemetry.metrics import ACTIVE_STATES, alert_state
from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.alerting import Acknowledgement, DeadLetter, DeliveryEntry, HistoryEntry, Silence
from monitor.telemetry.views.feeds import FeedView, InletView, PastView, SourceView
from monitor.telemetry.views.market import MarketView, Table, WindowTotal
from monitor.telemetry.views.program import TapeView
from monitor.telemetry.views.rules import RuleView, SignalRow, WhyRow

Json = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00Z"
QUANTILES = (0.5, 0.99)
_URGENT = {AlertState.FIRING: 0, AlertState.HELD: 1, AlertState.PENDING: 2, AlertState.RESOLVED: 3}


def rfc3339(ns: int) -> str:
    """A time as Prometheus and Alertmanager write it; their zero time for 0."""
    if not ns:
        return ZERO_TIME
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(ns: int) -> int | None:
    """Unix milliseconds, None for "never"."""
    return ns // NS_PER_MS if ns else None


# -- Prometheus' shapes


def prometheus_alert(alert: AlertView, view: MonitorView) -> Json:
    """One entry of ``/api/v1/alerts``; what Prometheus does not have is added beside."""
    return {
        "labels": alert.label_map(),
        "annotations": alert.annotation_map(),
        "state": alert_state(alert),
        "activeAt": rfc3339(alert.active_since_ns),
        "value": "NaN" if alert.value is None else repr(alert.value),
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "detailedState": str(alert.state),
        "startsAt": rfc3339(alert.starts_at_ns),
        "threshold": alert.threshold,
        "coverage": alert.coverage,
        "peak": alert.peak,
        "reason": alert.reason,
        "acknowledgedBy": {ack.fingerprint: ack.by for ack in view.acknowledgements()}.get(alert.fingerprint),
        "silencedBy": list(view.silenced_by(alert)),
    }


def _worst(rule: RuleView) -> str:
    states = set(rule.states)
    if states & {AlertState.FIRING, AlertState.HELD}:
        return "firing"
    return "pending" if AlertState.PENDING in states else "inactive"


def _prometheus_rule(rule: RuleView, alerts: Sequence[Json]) -> Json:
    return {
        "type": "alerting",
        "name": rule.name,
        "query": rule.text,
        "duration": rule.for_s,
        "keepFiringFor": rule.keep_firing_for_s,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
        "alerts": list(alerts),
        "state": _worst(rule),
        "health": "err" if rule.error or rule.withheld else ("ok" if rule.last_evaluation_ns else "unknown"),
        "lastError": rule.error or _limit_words(rule),
        "evaluationTime": _or(rule.last_duration_s, 0.0),
        "lastEvaluation": rfc3339(rule.last_evaluation_ns),
        "clear": rule.clear_text,
        "minCoverage": rule.min_coverage,
        "line": rule.line,
        "rows": rule_rows(rule),
    }


def _limit_words(rule: RuleView) -> str:
    """That the limit keeps alerts back, in Prometheus' words as far as they fit."""
    if not rule.withheld:
        return ""
    return f"exceeded limit: {rule.withheld} more label sets are true than alerts may be open"


def _or(value: float, instead: float) -> float:
    return instead if value != value else value  # noqa: PLR0124 - NaN


def prometheus_rules(view: MonitorView) -> Json:
    """The body of ``/api/v1/rules``: groups in file order."""
    alerts: dict[str, list[Json]] = defaultdict(list)
    for alert in view.alerts():
        if alert.state in ACTIVE_STATES:
            alerts[alert.rule].append(prometheus_alert(alert, view))
    groups = []
    for (file, name), members in groupby(view.rules(), key=lambda rule: (rule.file, rule.group)):
        rules = list(members)
        groups.append(
            {
                "name": name,
                "file": file,
                "interval": 0,
                "limit": max(rule.limit for rule in rules),
                "rules": [_prometheus_rule(rule, alerts[rule.id]) for rule in rules],
                "evaluationTime": sum(_or(rule.last_duration_s, 0.0) for rule in rules),
                "lastEvaluation": rfc3339(max(rule.last_evaluation_ns for rule in rules)),
            }
        )
    return {"groups": groups}


def silence_body(silence: Silence, now_ns: int) -> Json:
    """One silence in Alertmanager's version-2 shape."""
    state = "expired" if silence.ends_ns <= now_ns else ("pending" if silence.starts_ns > now_ns else "active")
    return {
        "id": silence.id,
        "status": {"state": state},
        "matchers": [
            {"name": m.name, "value": m.value, "isRegex": m.is_regex, "isEqual": m.is_equal} for m in silence.matchers
        ],
        "startsAt": rfc3339(silence.starts_ns),
        "endsAt": rfc3339(silence.ends_ns),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    }


# -- our own shapes


def process_body(view: MonitorView) -> Json:
    """The program, its clock and its last reload."""
    process, reload = view.process(), view.reload()
    return {
        "version": process.version,
        "started": millis(process.started_ns),
        "synthetic": process.synthetic,
        "synthetic_note": process.synthetic_note,
        "config_hash": process.config_hash,
        "draining": process.draining,
        "saturation_ratio": process.saturation_ratio,
        "loop_lag_s": process.loop_lag_s,
        "tape": tape_body(view.tape()),
        "reload": {
            "ok": reload.ok,
            "last_success": millis(reload.last_success_ns),
            "last_attempt": millis(reload.last_attempt_ns),
            "error": reload.last_error,
        },
    }


def tape_body(tape: TapeView | None) -> Json | None:
    """The tape that is being written; null where nothing is recorded."""
    if tape is None:
        return None
    return {
        "folder": tape.folder,
        "records": tape.records,
        "frames": tape.frames,
        "bytes_written": tape.bytes_written,
        "dropped": dict(tape.dropped),
        "waiting_bytes": tape.waiting_bytes,
        "queue_bytes": tape.queue_bytes,
        "folder_bytes": tape.folder_bytes,
        "budget_bytes": tape.budget_bytes,
        "files": tape.files,
        "removed_files": tape.removed_files,
        "failing": tape.failing,
    }


def feed_body(feed: FeedView) -> Json:
    """One venue's feed."""
    return {
        "venue": feed.venue,
        "title": feed.title,
        "up": feed.up,
        "connected": feed.connected,
        "connections": feed.connections,
        "instruments": feed.instruments,
        "frames": feed.frames,
        "events": dict(feed.events),
        "decode_errors": dict(feed.decode_errors),
        "reconnects": dict(feed.reconnects),
        "dropped": dict(feed.dropped),
        "skipped": dict(feed.skipped),
        "late": feed.late,
        "unknown_symbols": feed.unknown_symbols,
        "coverage": feed.coverage_ratio,
        "clock_offset_s": feed.clock_offset_s,
        "saturation": feed.saturation_ratio,
        "from_cache": feed.from_cache,
        "error": feed.last_error,
        "past": past_body(feed.past),
        "refused": [{"topic": r.topic, "words": r.words, "at": millis(r.at_ns)} for r in feed.refused],
        "channels": [
            {
                "channel": str(channel.channel),
                "up": channel.up,
                "last": millis(channel.last_message_ns),
                "coverage": channel.coverage_ratio,
                "law": channel.law.kind if channel.law else "not_covered",
                "law_rule": channel.law.rule if channel.law else "the venue does not carry this channel",
                "reason": channel.reason,
            }
            for channel in feed.channels
        ],
    }


def past_body(past: PastView) -> Json:
    """What was fetched of one venue's past."""
    return {
        "state": past.state,
        "wanted": past.wanted,
        "made": past.made,
        "points": dict(past.points),
        "kept": past.kept,
        "failures": dict(past.failures),
        "since": {channel: millis(since_ns) for channel, since_ns in past.since_ns.items()},
        "gaps": dict(past.gaps),
        "gap_events": dict(past.gap_events),
        "error": past.last_error,
    }


def sink_bodies(view: MonitorView) -> list[Json]:
    """Notification channels."""
    return [
        {
            "name": sink.name,
            "kind": sink.kind,
            "up": sink.up,
            "outcomes": dict(sink.outcomes),
            "outbox": sink.outbox_depth,
            "oldest": millis(sink.oldest_ns),
            "error": sink.last_error,
        }
        for sink in view.sinks()
    ]


def latency_bodies(view: MonitorView) -> Json:
    """Quantiles by stage, seconds."""
    return {
        stage: {"count": seen.count, **{f"p{int(q * 100)}": seen.quantile_s(q) for q in QUANTILES}}
        for stage, seen in view.latencies().items()
    }


def rule_rows(rule: RuleView) -> list[Json]:
    """One entry per label set of a rule's last evaluation."""
    evaluation = rule.evaluation
    if evaluation is None:
        return []
    columns = zip(
        evaluation.labels,
        evaluation.truth.tolist(),
        evaluation.value.tolist(),
        evaluation.threshold.tolist(),
        evaluation.coverage.tolist(),
        evaluation.lower_bound.tolist(),
        rule.states,
        strict=False,  # a rule that was just loaded has a row before it has a state
    )
    return [
        {
            "labels": dict(labels),
            "state": str(state),
            "truth": truth,
            "value": value,
            "threshold": threshold,
            "coverage": coverage,
            "lower_bound": lower,
            "reason": evaluation.reasons.get(row, ""),
        }
        for row, (labels, truth, value, threshold, coverage, lower, state) in enumerate(columns)
    ]


def rule_body(rule: RuleView, limit: int) -> Json:
    """One rule for the page; active rows first, at most `limit`, and how many there are in all."""
    rows = rule_rows(rule)
    order = (str(AlertState.FIRING), str(AlertState.HELD), str(AlertState.PENDING))
    rows.sort(key=lambda row: order.index(row["state"]) if row["state"] in order else len(order))
    return {
        "id": rule.id,
        "name": rule.name,
        "group": rule.group,
        "text": rule.text,
        "clear": rule.clear_text,
        "unit": rule.unit,
        "for_s": rule.for_s,
        "min_coverage": rule.min_coverage,
        "severity": rule.labels.get("severity", ""),
        "error": rule.error,
        "rows": rows[:limit],
        "row_count": len(rows),
    }


def alert_bodies(view: MonitorView, limit: int) -> list[Json]:
    """The `limit` most urgent alerts for the page; the newest first among equals."""
    acks = {ack.fingerprint: ack for ack in view.acknowledgements()}
    urgent = nsmallest(limit, view.alerts(), key=_urgency)
    return [alert_body(alert, acks.get(alert.fingerprint), view) for alert in urgent]


def _urgency(alert: AlertView) -> tuple[int, int, int]:
    newest_ns = alert.starts_at_ns or alert.active_since_ns
    return _URGENT.get(alert.state, len(_URGENT)), -severity_rank(alert.severity), -newest_ns


def alert_counts(alerts: Sequence[AlertView]) -> Json:
    """How many alerts there are by state, all of them, and the firing ones by severity."""
    states = Counter(str(alert.state) for alert in alerts)
    firing = Counter(alert.severity for alert in alerts if alert.state is AlertState.FIRING)
    return {"total": len(alerts), "states": dict(states), "firing": dict(firing)}


def alert_body(alert: AlertView, ack: Acknowledgement | None, view: MonitorView) -> Json:
    """One alert for the page."""
    return {
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "name": alert.name,
        "state": str(alert.state),
        "severity": alert.severity,
        "labels": alert.label_map(),
        "annotations": alert.annotation_map(),
        "active": millis(alert.active_since_ns),
        "fired": millis(alert.starts_at_ns),
        "resolved": millis(alert.ends_at_ns),
        "value": alert.value,
        "threshold": alert.threshold,
        "peak": alert.peak,
        "coverage": alert.coverage,
        "lower_bound": alert.lower_bound,
        "reason": alert.reason,
        "acked_by": ack.by if ack else None,
        "ack_comment": ack.comment if ack else "",
        "silenced_by": list(view.silenced_by(alert)),
    }


def history_body(entry: HistoryEntry) -> Json:
    """One line of the history."""
    return {
        "at": millis(entry.at_ns),
        "kind": entry.kind,
        "rule": entry.rule,
        "fingerprint": entry.fingerprint,
        "labels": dict(entry.labels),
        "value": entry.value,
        "threshold": entry.threshold,
        "coverage": entry.coverage_ratio,
        "text": entry.text,
    }


def delivery_body(entry: DeliveryEntry) -> Json:
    """One line of the delivery log."""
    return {
        "at": millis(entry.at_ns),
        "sink": entry.sink,
        "key": entry.key,
        "fingerprints": list(entry.fingerprints),
        "outcome": entry.outcome,
        "reason": entry.reason,
        "attempts": entry.attempts,
        "latencySeconds": entry.latency_s,
    }


def dead_letter_body(letter: DeadLetter) -> Json:
    """One notification that was given up."""
    return {
        "id": letter.id,
        "sink": letter.sink,
        "key": letter.key,
        "title": letter.title,
        "created": millis(letter.created_ns),
        "attempts": letter.attempts,
        "reason": letter.reason,
    }


def why_body(row: WhyRow) -> Json:
    """One row of an explanation."""
    explanation = row.explanation
    return {
        "labels": dict(row.labels),
        "state": str(row.state),
        "truth": row.truth,
        "value": row.value,
        "threshold": row.threshold,
        "coverage": row.coverage_ratio,
        "unit": row.unit,
        "reason": row.reason,
        "near_miss": row.near_miss,
        "contributors": [
            {"labels": dict(part.labels), "value": part.value, "share": part.share, "unit": row.contributor_unit}
            for part in explanation.contributors
        ],
        "parts": [
            {"text": text, "value": value, "unit": row.part_units.get(text, "")} for text, value in explanation.parts
        ],
        "signs": list(explanation.signs),
        "missing": list(explanation.missing),
        "notes": list(explanation.notes),
        "largest": explanation.largest,
        "spark": list(explanation.spark),
    }


def _present(table: Table) -> list[tuple[tuple[str, ...], float]]:
    values = np.asarray(table.values, dtype=np.float64).tolist()
    return [(key, value) for key, value in zip(table.keys, values, strict=False) if value == value]  # noqa: PLR0124 - NaN


def _median_prices(market: MarketView) -> Mapping[str, float]:
    """The median mark price of each base over venues, else the median of its last prices."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, _, base, kind), value in _present(market.price_usd):
        found[base][kind].append(value)
    return {
        base: median(kinds.get("mark") or kinds.get("last") or next(iter(kinds.values())))
        for base, kinds in found.items()
    }


def asset_bodies(market: MarketView, limit: int) -> list[Json]:
    """One row per base, largest open interest first: price, funding weighted by open interest, and per venue."""
    prices = _median_prices(market)
    interest = dict(_present(market.open_interest_usd))
    totals: dict[str, float] = defaultdict(float)
    for (_, _, base), usd in interest.items():
        totals[base] += usd
    weighted: dict[str, list[tuple[float, float]]] = defaultdict(list)
    by_venue: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for key, rate in _present(market.funding_8h_ratio):
        venue, _, base = key
        pair = (rate, interest.get(key, 0.0))
        weighted[base].append(pair)
        by_venue[base, venue].append(pair)
    venues: dict[str, dict[str, float | None]] = defaultdict(dict)
    for (base, venue), pairs in by_venue.items():
        venues[base][venue] = _weighted_mean(pairs)
    order = sorted({*prices, *totals}, key=lambda base: (-totals.get(base, 0.0), base))
    return [
        {
            "base": base,
            "price_usd": prices.get(base),
            "open_interest_usd": totals.get(base),
            "funding_8h": _weighted_mean(weighted.get(base, [])),
            "funding_by_venue": venues.get(base, {}),
        }
        for base in order[:limit]
    ]


def depth_bodies(market: MarketView, limit: int) -> list[Json]:
    """One row per base, deepest first: both sides of the books within 1 % of mid, the median spread, and by venue."""
    sides: dict[str, dict[str, float]] = defaultdict(lambda: {"bid": 0.0, "ask": 0.0})
    venues: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (venue, _, base, side), usd in _present(market.depth_usd):
        sides[base][side] += usd
        venues[base][venue] += usd
    spreads: dict[str, list[float]] = defaultdict(list)
    for (_, _, base), ratio in _present(market.spread_ratio):
        spreads[base].append(ratio)
    order = sorted(sides, key=lambda base: (-sum(sides[base].values()), base))
    return [
        {
            "base": base,
            "bid_usd": sides[base]["bid"],
            "ask_usd": sides[base]["ask"],
            "spread": median(spreads[base]) if base in spreads else None,
            "by_venue": dict(venues[base]),
        }
        for base in order[:limit]
    ]


def source_body(source: SourceView) -> Json:
    """One slow source, with how each of its requests fares."""
    return {
        "name": source.name,
        "up": source.up,
        "calls_left": source.calls_left,
        "polls": [
            {
                "request": poll.request,
                "every_s": poll.every_s,
                "replies": poll.replies,
                "unchanged": poll.unchanged,
                "values": poll.values,
                "last_good": millis(poll.last_good_ns),
                "newest_value": millis(poll.newest_ns),
                "failures": dict(poll.failures),
                "error": poll.last_error,
            }
            for poll in source.polls
        ],
    }


def inlet_body(inlet: InletView) -> Json:
    """What users pushed in: taken by way in, refused by way in and reason, the newest refusals in words."""
    refused: dict[str, dict[str, int]] = {}
    for (way, reason), count in inlet.refused.items():
        refused.setdefault(way, {})[reason] = count
    return {
        "taken": dict(inlet.taken),
        "refused": refused,
        "unkept": inlet.unkept,
        "last": millis(inlet.last_ns),
        "last_refusals": list(inlet.last_refusals[-10:]),
    }


def signal_body(row: SignalRow) -> Json:
    """One signal of the catalogue; ``absent`` says why it has no value."""
    return {
        "id": row.id,
        "title": row.title,
        "value": row.value,
        "unit": row.unit,
        "source": row.source,
        "as_of": millis(row.as_of_ns),
        "absent": row.absent,
        "coverage": row.coverage_ratio,
        "rule": row.rule,
        "firing": row.firing,
    }


def _weighted_mean(pairs: Sequence[tuple[float, float]]) -> float | None:
    weight = sum(weight for _, weight in pairs)
    return sum(rate * weight for rate, weight in pairs) / weight if weight else None


def window_bodies(totals: Sequence[WindowTotal], limit: int) -> list[Json]:
    """One entry per window: both sides in all, by venue, and the `limit` largest bases."""
    windows: dict[str, Json] = {}
    for total in totals:
        window = windows.setdefault(total.window, {"window": total.window, "venues": {}, "bases": {}})
        kind, name = ("venues", total.venue) if total.venue else ("bases", total.base)
        row = window[kind].setdefault(name, _window_row(total, name))
        row[f"{total.side}_usd"] += total.usd_micros / 1e6
        row["count"] += total.count
    return [_window_body(window, limit) for window in windows.values()]


def _window_row(total: WindowTotal, name: str) -> Json:
    return {
        "name": name,
        "title": venue_title(name) if total.venue else name,
        "long_usd": 0.0,
        "short_usd": 0.0,
        "count": 0,
        "coverage": total.coverage_ratio,
    }


@cache
def venue_title(venue: str) -> str:
    """A venue's name for people; one venue's stream may tell of another that is not configured."""
    return feed_class(venue).spec.title if venue in FEEDS else venue


def _window_body(window: Json, limit: int) -> Json:
    venues = list(window["venues"].values())
    bases = sorted(window["bases"].values(), key=lambda row: -(row["long_usd"] + row["short_usd"]))
    known = [row["coverage"] for row in venues if row["coverage"] == row["coverage"]]
    return {
        "window": window["window"],
        "long_usd": sum(row["long_usd"] for row in venues),
        "short_usd": sum(row["short_usd"] for row in venues),
        "count": sum(row["count"] for row in venues),
        "coverage": sum(known) / len(known) if known else None,
        "venues": venues,
        "bases": bases[:limit],
    }
