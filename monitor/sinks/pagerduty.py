"""PagerDuty, Events API v2: one incident per alert, by its fingerprint.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SecretStr

from monitor.alert import AlertView
from monitor.alerts.message import line
from monitor.sink import Notification, Outcome, Result, SinkKind
from monitor.sinks.http import HttpOptions, HttpSink
from monitor.sinks.payload import alert_json, is_over, rfc3339
from monitor.sinks.progress import Progress

_SEVERITIES = {
    "info": "info",
    "low": "info",
    "warning": "warning",
    "medium": "warning",
    "high": "error",
    "error": "error",
}
_MAX_SUMMARY = 1024


class Options(HttpOptions):
    """Settings of the PagerDuty sink: the integration's ``routing_key``, and ``api_url`` for the EU region."""

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretStr
    api_url: str = "https://events.pagerduty.com"
    source: str = "market-risk-monitor"

    def addresses(self) -> tuple[SecretStr, ...]:
        """The Events API."""
        return (SecretStr(self.api_url),)


class PagerDutySink(HttpSink):
    """Triggers and resolves."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self._progress = Progress()
        self._refused: dict[str, str] = {}

    async def deliver(self, notification: Notification) -> Outcome:
        """One event per alert. A retry goes on where it stopped; one that is refused does not keep the others back."""
        key = notification.key
        for alert in self._progress.left(notification):
            outcome, _ = await self.post(f"{self.options.api_url}/v2/enqueue", json=self._event(alert))
            if outcome.result is Result.RETRY:
                return outcome
            if outcome.result is Result.DROP:
                self._refused[key] = outcome.reason
        self._progress.finish(notification)
        refused = self._refused.pop(key, "")
        return Outcome.drop(refused) if refused else Outcome.ok()

    def _event(self, alert: AlertView) -> dict[str, Any]:
        event: dict[str, Any] = {
            "routing_key": self.options.routing_key.get_secret_value(),
            "event_action": "resolve" if is_over(alert) else "trigger",
            "dedup_key": alert.fingerprint,
        }
        if not is_over(alert):
            event["payload"] = {
                "summary": line(alert)[:_MAX_SUMMARY],
                "source": self.options.source,
                "severity": _SEVERITIES.get(alert.severity, "critical"),
                "timestamp": rfc3339(alert.starts_at_ns),
                "class": alert.name,
                "custom_details": alert_json(alert),
            }
        return event


KIND = SinkKind(Options, PagerDutySink)
