"""Alerts, what happened to them, and who was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from heapq import nsmallest

from monitor.alert import AlertState, AlertView, severity_rank
from monitor.clock import NS_PER_S
from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.alerting import Acknowledgement, DeadLetter, DeliveryEntry, HistoryEntry
from monitor.web.shapes.values import Json, millis

_URGENT = {AlertState.FIRING: 0, AlertState.HELD: 1, AlertState.PENDING: 2, AlertState.RESOLVED: 3}


def alert_bodies(view: MonitorView, limit: int) -> list[Json]:
    """The `limit` most urgent alerts for the page; the newest first among equals."""
    acks = {ack.fingerprint: ack for ack in view.acknowledgements()}
    urgent = nsmallest(limit, view.alerts(), key=_urgency)
    return [alert_body(alert, acks.get(alert.fingerprint), view) for alert in urgent]


def _urgency(alert: AlertView) -> tuple[int, int, int]:
    newest_ns = alert.starts_at_ns or alert.active_since_ns
    return _URGENT.get(alert.state, len(_URGENT)), -severity_rank(alert.severity), -newest_ns


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


def alert_counts(alerts: Sequence[AlertView]) -> Json:
    """How many alerts there are by state, all of them, and the firing ones by severity."""
    states = Counter(str(alert.state) for alert in alerts)
    firing = Counter(alert.severity for alert in alerts if alert.state is AlertState.FIRING)
    return {"total": len(alerts), "states": dict(states), "firing": dict(firing)}


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
        "latencySeconds": entry.latency_ns / NS_PER_S,
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
