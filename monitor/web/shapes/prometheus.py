"""Prometheus' own shapes, and Alertmanager's of a silence; what these do not have is added beside. Times are RFC 3339."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from monitor.alert import AlertState, AlertView
from monitor.telemetry.metrics import ACTIVE_STATES, alert_state
from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.alerting import Silence
from monitor.telemetry.views.rules import RuleView
from monitor.web.shapes.rules import rule_rows
from monitor.web.shapes.values import Json, rfc3339


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


def _worst(rule: RuleView) -> str:
    states = set(rule.states)
    if states & {AlertState.FIRING, AlertState.HELD}:
        return "firing"
    return "pending" if AlertState.PENDING in states else "inactive"


def _limit_words(rule: RuleView) -> str:
    """That the limit keeps alerts back, in Prometheus' words as far as they fit."""
    if not rule.withheld:
        return ""
    return f"exceeded limit: {rule.withheld} more label sets are true than alerts may be open"


def _or(value: float, instead: float) -> float:
    return instead if value != value else value  # noqa: PLR0124 - NaN


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
