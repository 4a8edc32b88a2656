"""Alerts and notifications from a few words."""

from __future__ import annotations

from typing import Any

from monitor.alert import AlertState, AlertView
from monitor.alerts import message
from monitor.alerts.fingerprint import fingerprint
from monitor.reading import Contributor, Explanation
from monitor.sink import Notification, Status

S = 1_000_000_000
T0 = 1_763_683_200 * S


def alert(
    name: str = "High", state: AlertState = AlertState.FIRING, *, starts_ns: int = T0, **labels: str
) -> AlertView:
    full = tuple(sorted({"alertname": name, "severity": "critical", **labels}.items()))
    return AlertView(
        rule=f"g/{name}",
        fingerprint=fingerprint(full),
        identity=full,
        labels=full,
        series=(),
        annotations=(("summary", f"{name} is up"),),
        state=state,
        value=1.04e9,
        threshold=1e9,
        coverage=0.93,
        lower_bound=True,
        active_since_ns=starts_ns,
        starts_at_ns=starts_ns,
        ends_at_ns=starts_ns + 60 * S if state is AlertState.RESOLVED else 0,
        updated_ns=starts_ns + 60 * S,
        peak=1.2e9,
        reason="the condition holds",
        severity=dict(full)["severity"],
        explanation=Explanation(
            contributors=(Contributor((("venue", "bybit"), ("side", "long")), 6e8, 0.58),),
            largest="$12M BTCUSDT long on bybit",
            spark=(1.0, 2.0),
        ),
    )


def note(*alerts: AlertView, key: str = "k1", status: Status | None = None, **fields: Any) -> Notification:
    alerts = alerts or (alert(),)
    said: Status = status or ("resolved" if all(a.state is AlertState.RESOLVED for a in alerts) else "firing")
    return Notification(
        key=key,
        status=said,
        alerts=alerts,
        at_ns=T0,
        reason="test",
        title=message.title(alerts, said),
        text=message.body(alerts, 4096),
        group_key='{}:{alertname="High"}',
        group_labels=(("alertname", "High"),),
        receiver="here",
        total=len(alerts),
        **fields,
    )
