"""An alert as JSON for machines; one shape for file, MQTT and the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from monitor.alert import AlertState, AlertView
from monitor.clock import NS_PER_S
from monitor.sink import Notification

ZERO_TIME = "0001-01-01T00:00:00Z"
"""What Go, and so Alertmanager, writes for a time that is not set."""


def rfc3339(ns: int) -> str:
    """Unix nanoseconds as RFC 3339 in UTC, to the microsecond; 0 is Go's zero time.

    >>> rfc3339(1_763_683_200_500_000_000)
    '2025-11-21T00:00:00.500000Z'
    """
    if not ns:
        return ZERO_TIME
    seconds, rest = divmod(ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def alert_json(alert: AlertView) -> dict[str, Any]:
    """Everything that is known of an alert."""
    return {
        "alertname": alert.name,
        "rule": alert.rule,
        "fingerprint": alert.fingerprint,
        "state": str(alert.state),
        "severity": alert.severity,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "value": alert.value,
        "threshold": alert.threshold,
        "unit": alert.unit,
        "peak": alert.peak,
        "coverage": alert.coverage,
        "lower_bound": alert.lower_bound,
        "flapping": alert.flapping,
        "reason": alert.reason,
        "startsAt": rfc3339(alert.starts_at_ns),
        "endsAt": rfc3339(alert.ends_at_ns),
        "updatedAt": rfc3339(alert.updated_ns),
        "duration_seconds": alert.duration_ns / NS_PER_S,
        "explanation": msgspec.to_builtins(alert.explanation),
    }


def notification_json(notification: Notification) -> dict[str, Any]:
    """A notification with all its alerts."""
    return {
        "key": notification.key,
        "status": notification.status,
        "at": rfc3339(notification.at_ns),
        "reason": notification.reason,
        "title": notification.title,
        "receiver": notification.receiver,
        "groupLabels": dict(notification.group_labels),
        "total": notification.total or len(notification.alerts),
        "alerts": [alert_json(alert) for alert in notification.alerts],
    }


def is_over(alert: AlertView) -> bool:
    """Whether a receiver that knows only firing and resolved should read "resolved"; a held alert is not over."""
    return alert.state is AlertState.RESOLVED
