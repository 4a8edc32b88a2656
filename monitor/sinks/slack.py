"""Slack through an incoming webhook (https://api.slack.com/messaging/webhooks)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.sink import Notification, Outcome, SinkKind
from monitor.sinks.http import HttpSink, UrlOptions

_COLOURS = {"resolved": "good", "held": "warning", "heartbeat": "#888888", "test": "#888888"}


class Options(UrlOptions):
    """Settings of the Slack sink; ``url`` is the webhook's address and holds its secret."""

    type: Literal["slack"] = "slack"
    per_minute: float | None = Field(default=30.0, gt=0)
    max_chars: int = Field(default=3000, ge=200, le=40_000)


class SlackSink(HttpSink):
    """Posts one message with a coloured attachment."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    async def deliver(self, notification: Notification) -> Outcome:
        """POST once."""
        body = {
            "text": _escaped(notification.title),
            "attachments": [
                {
                    "color": _COLOURS.get(notification.status, "danger"),
                    "text": _escaped(notification.text[: self.options.max_chars]),
                    "fallback": _escaped(notification.title),
                }
            ],
        }
        outcome, _ = await self.post(self.options.url.get_secret_value(), json=body)
        return outcome


def _escaped(text: str) -> str:
    """Slack's three control characters, so that a label cannot mention anyone."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


KIND = SinkKind(Options, SlackSink)
