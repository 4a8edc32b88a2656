"""Alerts into Alertmanager, as Prometheus sends them (``POST /api/v2/alerts``).

Firing alerts are sent again every ``resend_s`` with an end four such spans ahead, so that Alertmanager resolves them by
itself should the monitor die; resolved ones are sent again for ``resolved_for_s``. Every peer of a cluster gets
everything; one that accepts is enough. A reply of 400 may have stored the valid alerts of a batch, so the batch is then
sent one by one and only what is refused by itself is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from pydantic import Field, SecretStr

from monitor.alert import AlertView
from monitor.alerts import message
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.sink import Notification, Outcome, Result, Seconds, SinkContext, SinkKind
from monitor.sinks.http import HttpOptions, HttpSink
from monitor.sinks.payload import is_over, rfc3339


class Options(HttpOptions):
    """Settings of the Alertmanager sink.

    Attributes:
        urls: Base address of every peer, such as ``http://127.0.0.1:9093``.
        bearer_token: Sent as ``Authorization: Bearer``.
        external_url: Becomes ``generatorURL``; must be an address or empty.
        resend_s: How often firing alerts are sent again.
        resolved_for_s: For how long resolved ones are.
        batch: Most alerts in one request.
    """

    type: Literal["alertmanager"] = "alertmanager"
    urls: tuple[SecretStr, ...] = Field(min_length=1)
    bearer_token: SecretStr | None = None
    external_url: str = ""
    resend_s: Seconds = 60.0
    resolved_for_s: Seconds = 900.0
    batch: int = Field(default=64, ge=1, le=1024)

    def addresses(self) -> tuple[SecretStr, ...]:
        """The peers."""
        return self.urls


class AlertmanagerSink(HttpSink):
    """Posts changes at once, and keeps them alive in the background.

    Alertmanager's identity is the whole label set. The alert of a ladder changes its ``severity`` label, so its former
    label set is resolved in the same request.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.refused = 0
        self._sent: dict[str, Labels] = {}
        self._over: dict[str, tuple[float, dict[str, Any]]] = {}

    async def deliver(self, notification: Notification) -> Outcome:
        """Send the alerts of a notification."""
        bodies = [self._bodies(alert) for alert in notification.alerts]
        outcome = await self._send([body for some in bodies for body in some])
        if outcome.result is Result.OK:
            for alert, some in zip(notification.alerts, bodies, strict=True):
                self._note(alert, some[-1])
        return outcome

    def _bodies(self, alert: AlertView) -> list[dict[str, Any]]:
        former = self._sent.get(alert.fingerprint)
        bodies = [self._body(alert, alert.labels, over=is_over(alert))]
        if former is not None and former != alert.labels:
            bodies.insert(0, self._body(alert, former, over=True))
        return bodies

    def _body(self, alert: AlertView, labels: Labels, *, over: bool) -> dict[str, Any]:
        # Our starts are market time; an end must be Alertmanager's time, or it would not count as over.
        now_ns = time.time_ns()
        end_ns = now_ns if over else now_ns + int(4 * self.options.resend_s * NS_PER_S)
        body: dict[str, Any] = {
            "labels": dict(labels),
            "annotations": {**_told(alert), **dict(alert.annotations)},
            "startsAt": rfc3339(min(alert.starts_at_ns, now_ns)),
            "endsAt": rfc3339(end_ns),
        }
        if self.options.external_url:
            body["generatorURL"] = self.options.external_url
        return body

    def _note(self, alert: AlertView, body: dict[str, Any]) -> None:
        if is_over(alert):
            self._sent.pop(alert.fingerprint, None)
            self._over[alert.fingerprint] = (time.monotonic() + self.options.resolved_for_s, body)
        else:
            self._sent[alert.fingerprint] = alert.labels
            self._over.pop(alert.fingerprint, None)

    async def run(self, context: SinkContext) -> None:
        """Send again what fires and what has just ended."""
        while True:
            await asyncio.sleep(self.options.resend_s)
            await self.resend(context.active())

    async def resend(self, active: Iterable[AlertView]) -> Outcome:
        """One round; `active` are the alerts that this sink was told of and that are not over."""
        now_s = time.monotonic()
        self._over = {key: kept for key, kept in self._over.items() if kept[0] > now_s}
        outcome = await self._send([body for _, body in self._over.values()])
        waiting = list(active)
        for start in range(0, len(waiting), self.options.batch):  # a thousand bodies at once would hold up the loop
            some = waiting[start : start + self.options.batch]
            outcome = await self._send([self._body(alert, alert.labels, over=False) for alert in some])
            if outcome.result is not Result.OK:
                break
        return outcome

    async def _send(self, bodies: Sequence[dict[str, Any]]) -> Outcome:
        """To every peer at once; the best answer counts, because peers tell each other."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_to(url.get_secret_value(), bodies)) for url in self.options.urls]
        outcomes = [task.result() for task in tasks]
        order = (Result.OK, Result.RETRY, Result.DROP)
        best = min(outcomes, key=lambda outcome: order.index(outcome.result))
        reached = sum(outcome.result is Result.OK for outcome in outcomes)
        if best.result is Result.OK and len(outcomes) > 1:
            return Outcome.ok(f"{reached} of {len(outcomes)} peers accepted")
        return best

    async def _send_to(self, url: str, bodies: Sequence[dict[str, Any]]) -> Outcome:
        outcome = Outcome.ok()
        for start in range(0, len(bodies), self.options.batch):
            outcome = await self._send_batch(url, bodies[start : start + self.options.batch])
            if outcome.result is not Result.OK:
                break
        return outcome

    async def _send_batch(self, url: str, bodies: Sequence[dict[str, Any]]) -> Outcome:
        outcome = await self._post_alerts(url, bodies)
        if outcome.result is not Result.DROP or len(bodies) == 1:
            return outcome
        refused = 0
        for body in bodies:
            one = await self._post_alerts(url, [body])
            if one.result is Result.RETRY:
                return one
            refused += one.result is Result.DROP
        self.refused += refused
        if refused == len(bodies):
            return outcome
        return Outcome.ok(f"{len(bodies) - refused} of {len(bodies)} accepted, the others refused")

    async def _post_alerts(self, url: str, bodies: Sequence[dict[str, Any]]) -> Outcome:
        headers = {"Content-Type": "application/json"}
        if self.options.bearer_token is not None:
            headers["Authorization"] = f"Bearer {self.options.bearer_token.get_secret_value()}"
        address = f"{url.rstrip('/')}/api/v2/alerts"
        outcome, _ = await self.post(address, headers=headers, data=msgspec.json.encode(bodies))
        return outcome


def _told(alert: AlertView) -> dict[str, str]:
    """What the rule's own annotations do not say; Alertmanager drops the empty ones."""
    evidence = message.evidence(alert.explanation) if alert.explanation is not None else ()
    return {
        "state": str(alert.state),
        "reason": alert.reason,
        "value": message.reading(alert),
        "facts": message.facts(alert),
        "evidence": "\n".join(evidence),
    }


KIND = SinkKind(Options, AlertmanagerSink)
