"""How an alert looks to the outside: its identity when it is born, its texts, its evidence. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from monitor.alert import AlertState, AlertView
from monitor.alerts.fingerprint import fingerprint
from monitor.alerts.sight import Sight, number
from monitor.alerts.terms import Render
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.reading import Explanation
from monitor.rule import Rule


def birth(rule: Rule, series: Labels, sight: Sight, unit: str, render: Render) -> AlertView:
    """A pending alert; its labels are those of the row and of the rule, and of a ladder the severity is no part of its identity."""
    values = {**_values(sight), "labels": dict(series), "peak": sight.value, "duration": 0}
    own = {name: render(text, values) for name, text in rule.labels.items()}
    if rule.levels:
        own.pop("severity", None)
    merged = {**dict(series), **own, "alertname": rule.name}
    identity = tuple(sorted((name, value) for name, value in merged.items() if value))
    level = max(sight.level, 0) if rule.levels else -1
    severity = rule.levels[level].severity if rule.levels else merged.get("severity", "")
    return AlertView(
        rule=rule.id,
        fingerprint=fingerprint(identity),
        identity=identity,
        labels=with_severity(identity, severity) if rule.levels else identity,
        series=series,
        annotations=(),
        state=AlertState.PENDING,
        value=sight.value,
        threshold=sight.threshold,
        coverage=sight.coverage,
        lower_bound=sight.lower_bound,
        active_since_ns=sight.at_ns,
        starts_at_ns=0,
        ends_at_ns=0,
        updated_ns=sight.at_ns,
        peak=sight.value,
        reason="the condition holds",
        severity=severity,
        level=level,
        unit=unit,
    )


def seen(view: AlertView, sight: Sight, state: AlertState, peak: float, reason: str) -> AlertView:
    """An alert as it is at a sight of it."""
    return replace(
        view,
        state=state,
        value=sight.value,
        threshold=sight.threshold,
        coverage=sight.coverage,
        lower_bound=sight.lower_bound,
        updated_ns=sight.at_ns,
        peak=number(peak),
        reason=reason,
    )


def texts(rule: Rule, view: AlertView, render: Render) -> Labels:
    """The rule's texts with the alert's values filled in."""
    values = {
        "value": view.value,
        "threshold": view.threshold,
        "coverage": view.coverage,
        "lower_bound": view.lower_bound,
        "labels": dict(view.labels),
        "state": str(view.state),
        "severity": view.severity,
        "reason": view.reason,
        "peak": view.peak,
        "duration": view.going_on_ns / NS_PER_S,
    }
    return tuple((name, render(text, values)) for name, text in sorted(rule.annotations.items()))


def with_severity(identity: Labels, severity: str) -> Labels:
    """The labels of a ladder's alert at one of its levels."""
    return tuple(sorted((*identity, ("severity", severity))))


def sayable(explanation: Explanation | None) -> Explanation | None:
    """Drop what is not a finite number, so that every view can be said in JSON."""
    if explanation is None:
        return None
    return replace(
        explanation,
        contributors=tuple(c for c in explanation.contributors if math.isfinite(c.value) and math.isfinite(c.share)),
        parts=tuple((text, None if v is None else number(v)) for text, v in explanation.parts),
        spark=tuple(v for v in explanation.spark if math.isfinite(v)),
    )


def _values(sight: Sight) -> dict[str, Any]:
    return {
        "value": sight.value,
        "threshold": sight.threshold,
        "coverage": sight.coverage,
        "lower_bound": sight.lower_bound,
        "reason": sight.reason,
        "state": "pending",
        "severity": "",
    }
