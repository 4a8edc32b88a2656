"""HTTP POST in the shape of Alertmanager's webhook, version 4, so that every receiver written for it works.

Two headers are added: ``Idempotency-Key`` (the same for every repeat of a notification) and, with a secret,
``X-Signature-256: sha256=<hex>``, the HMAC-SHA256 of the body. Each alert has a further key, ``details``: everything that is
known of it, in the shape of the file and MQTT sinks. Shape of the body:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Literal

import msgspec
from pydantic import SecretStr

from monitor.alert import AlertView
from monitor.sink import Notification, Outcome, SinkKind
from monitor.sinks.http import HttpSink, UrlOptions
from monitor.sinks.payload import ZERO_TIME, alert_json, is_over, rfc3339


class Options(UrlOptions):
    """Settings of a webhook.

    Attributes:
        secret: Key of the signature; none: not signed.
        bearer_token: Sent as ``Authorization: Bearer``.
        external_url: Where people find this monitor; appears in the body.
        max_alerts: Most alerts in one body; the rest is counted in ``truncatedAlerts``. 0: no limit.
    """

    type: Literal["webhook"] = "webhook"
    secret: SecretStr | None = None
    bearer_token: SecretStr | None = None
    external_url: str = ""
    max_alerts: int = 0


class WebhookSink(HttpSink):
    """Posts each notification."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    async def deliver(self, notification: Notification) -> Outcome:
        """POST once."""
        options = self.options
        body = msgspec.json.encode(version_4(notification, options.external_url, options.max_alerts))
        headers = {"Content-Type": "application/json", "Idempotency-Key": notification.key}
        if options.secret is not None:
            headers["X-Signature-256"] = signature(body, options.secret.get_secret_value())
        if options.bearer_token is not None:
            headers["Authorization"] = f"Bearer {options.bearer_token.get_secret_value()}"
        outcome, _ = await self.post(options.url.get_secret_value(), headers=headers, data=body)
        return outcome


def signature(body: bytes, secret: str) -> str:
    """``sha256=`` and the HMAC of the body in hex."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def version_4(notification: Notification, external_url: str = "", max_alerts: int = 0) -> dict[str, Any]:
    """The body. A held alert counts as firing: it is not over."""
    alerts = notification.alerts[: max_alerts or None]
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(notification.alerts) - len(alerts),
        "status": "resolved" if notification.resolved else "firing",
        "receiver": notification.receiver,
        "groupLabels": dict(notification.group_labels),
        "commonLabels": _common([dict(alert.labels) for alert in alerts]),
        "commonAnnotations": _common([dict(alert.annotations) for alert in alerts]),
        "externalURL": external_url,
        "alerts": [_alert(alert, external_url) for alert in alerts],
    }


def _alert(alert: AlertView, external_url: str) -> dict[str, Any]:
    over = is_over(alert)
    return {
        "status": "resolved" if over else "firing",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": rfc3339(alert.starts_at_ns),
        "endsAt": rfc3339(alert.ends_at_ns) if over else ZERO_TIME,
        "generatorURL": external_url,
        "fingerprint": alert.fingerprint,
        "details": alert_json(alert),
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    if not maps:
        return {}
    shared = set(maps[0].items()).intersection(*(other.items() for other in maps[1:]))
    return dict(sorted(shared))


KIND = SinkKind(Options, WebhookSink)
