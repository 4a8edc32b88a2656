"""The message that must keep coming: when it stops, the monitor is down. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from monitor.alert import AlertState, AlertView
from monitor.alerts.fingerprint import fingerprint
from monitor.alerts.plans import NEVER, Planned
from monitor.alerts.routes import HeartbeatConfig
from monitor.events import Labels
from monitor.sink import Notification

TITLE = "HEARTBEAT monitor is alive"


class Heartbeat:
    """Beats in slots of the interval, so that a restart does not beat twice in one.

    Args:
        config: How often and to whom; None never beats.
        alert: The alert that every beat shows.
    """

    def __init__(self, config: HeartbeatConfig | None, alert: AlertView) -> None:
        self._config = config
        self._alert = alert
        self.due_ns = 0 if config is not None else NEVER

    def beat(self, now_ns: int) -> list[Planned]:
        """One notification for each sink when a slot has begun."""
        if self._config is None or now_ns < self.due_ns:
            return []
        slot = now_ns // self._config.interval
        self.due_ns = (slot + 1) * self._config.interval
        alert = replace(self._alert, starts_at_ns=slot * self._config.interval, updated_ns=now_ns)
        return [_planned(sink, alert, slot, now_ns) for sink in self._config.sinks]


def _planned(sink: str, alert: AlertView, slot: int, now_ns: int) -> Planned:
    key = hashlib.sha256(f"{sink}|heartbeat|{slot}".encode()).hexdigest()[:32]
    note = Notification(key, "heartbeat", (alert,), now_ns, "heartbeat", TITLE, receiver=sink, total=1)
    return Planned(sink, "send", "heartbeat", (alert.fingerprint,), now_ns, note)


def heartbeat_alert(labels: Labels) -> AlertView:
    """An alert that always fires; `labels` come besides its name and severity."""
    identity = tuple(sorted((*labels, ("alertname", "MonitorHeartbeat"), ("severity", "none"))))
    return AlertView(
        rule="heartbeat",
        fingerprint=fingerprint(identity),
        identity=identity,
        labels=identity,
        series=labels,
        annotations=(("summary", "This message must keep coming; when it stops, the monitor is down."),),
        state=AlertState.FIRING,
        value=None,
        threshold=None,
        coverage=None,
        lower_bound=False,
        active_since_ns=0,
        starts_at_ns=0,
        ends_at_ns=0,
        updated_ns=0,
        peak=None,
        reason="heartbeat",
        severity="none",
    )
