"""Discord through a channel's webhook (https://discord.com/developers/docs/resources/webhook#execute-webhook)."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import Field

from monitor.sink import Notification, Outcome, Result, SinkKind
from monitor.sinks.http import HttpSink, UrlOptions

MAX_CHARS = 2000


class Options(UrlOptions):
    """Settings of the Discord sink; ``url`` is the webhook's address and holds its secret."""

    type: Literal["discord"] = "discord"
    per_minute: float | None = Field(default=30.0, gt=0)
    max_chars: int = Field(default=MAX_CHARS, ge=200, le=MAX_CHARS)


class _Limited(msgspec.Struct):
    retry_after: float = 0.0


class DiscordSink(HttpSink):
    """Posts one message; it can mention nobody."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    async def deliver(self, notification: Notification) -> Outcome:
        """POST once; how long to wait stands in the body of a 429."""
        text = f"**{notification.title}**\n{notification.text}"[: self.options.max_chars]
        body = {"content": text, "allowed_mentions": {"parse": []}}
        outcome, content = await self.post(self.options.url.get_secret_value(), json=body)
        if outcome.result is Result.RETRY:
            return Outcome.retry(outcome.reason, outcome.retry_after_s or _wait_s(content))
        return outcome


def _wait_s(content: bytes) -> float | None:
    try:
        return msgspec.json.decode(content, type=_Limited).retry_after or None
    except msgspec.DecodeError:
        return None


KIND = SinkKind(Options, DiscordSink)
