"""Telegram messages with an acknowledge button (https://core.telegram.org/bots/api)."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from pydantic import Field, SecretStr

from monitor.alert import AlertState
from monitor.retry_after import LONGEST_S
from monitor.sink import Command, Notification, Outcome, Result, SinkContext, SinkKind
from monitor.sinks.http import HttpOptions, HttpSink

MAX_CHARS = 4096
_ACK = "ack:"
_ANSWERS_WITHIN_S = 10.0
"""A poll may take as long as it was asked to wait, and so much more."""
_PAUSE_S = 10.0
"""Between polls that fail, where the service does not say how long."""


class Options(HttpOptions):
    """Settings of the Telegram sink.

    Attributes:
        bot_token: From @BotFather.
        chat_id: Where messages go; buttons pressed in any other chat are ignored.
        buttons: Whether firing alerts bear an acknowledge button, and presses are polled for.
        ack_s: How long an acknowledgement by button lasts.
        api_url: Address of the Bot API.
        poll_s: How long one poll for presses may wait.
    """

    type: Literal["telegram"] = "telegram"
    bot_token: SecretStr
    chat_id: str | int
    buttons: bool = True
    ack_s: float = Field(default=3600.0, gt=0)
    api_url: str = "https://api.telegram.org"
    poll_s: int = Field(default=25, ge=0, le=50)
    per_minute: float | None = Field(default=20.0, gt=0)
    max_chars: int = Field(default=MAX_CHARS, ge=200, le=MAX_CHARS)

    def addresses(self) -> tuple[SecretStr, ...]:
        """The Bot API."""
        return (SecretStr(self.api_url),)


class TelegramSink(HttpSink):
    """Sends messages; takes presses of its buttons."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self._offset = 0

    async def deliver(self, notification: Notification) -> Outcome:
        """Send one message."""
        text = f"{notification.title}\n\n{notification.text}".strip()[: self.options.max_chars]
        body: dict[str, Any] = {"chat_id": self.options.chat_id, "text": text, "disable_web_page_preview": True}
        firing = [alert for alert in notification.alerts if alert.state in {AlertState.FIRING, AlertState.HELD}]
        if self.options.buttons and len(firing) == 1:
            button = {"text": "Acknowledge", "callback_data": f"{_ACK}{firing[0].fingerprint}"}
            body["reply_markup"] = {"inline_keyboard": [[button]]}
        outcome, _ = await self._call("sendMessage", body)
        return outcome

    async def run(self, context: SinkContext) -> None:
        """Poll for presses, as long as buttons are on."""
        while self.options.buttons and not context.probe:
            outcome = await self.poll_once(context)
            if outcome.result is not Result.OK:
                await asyncio.sleep(min(outcome.retry_after_s or _PAUSE_S, LONGEST_S))

    async def poll_once(self, context: SinkContext) -> Outcome:
        """Wait for presses once and carry them out."""
        wish = {"offset": self._offset, "timeout": self.options.poll_s, "allowed_updates": ["callback_query"]}
        try:
            async with asyncio.timeout(self.options.poll_s + _ANSWERS_WITHIN_S):
                outcome, answer = await self._call("getUpdates", wish)
        except TimeoutError:  # a connection that died unseen; without this no press would ever be heard again
            return Outcome.retry("timeout")
        for update in answer.get("result") or []:
            self._offset = max(self._offset, int(update["update_id"]) + 1)
            await self._press(update.get("callback_query") or {}, context)
        return outcome

    async def _press(self, query: dict[str, Any], context: SinkContext) -> None:
        data = str(query.get("data", ""))
        chat = (query.get("message") or {}).get("chat", {})
        known = {str(chat.get("id")), f"@{chat.get('username')}"}
        if not data.startswith(_ACK) or str(self.options.chat_id) not in known:
            return
        sender = query.get("from", {})
        actor = f"telegram:{sender.get('username') or sender.get('id')}"
        text = await context.handle(
            Command("ack", actor, fingerprint=data.removeprefix(_ACK), duration_s=self.options.ack_s)
        )
        await self._call("answerCallbackQuery", {"callback_query_id": query.get("id"), "text": text[:200]})

    async def _call(self, method: str, body: dict[str, Any]) -> tuple[Outcome, dict[str, Any]]:
        """One call; how long to wait stands in the body of a 429."""
        url = f"{self.options.api_url}/bot{self.options.bot_token.get_secret_value()}/{method}"
        outcome, content = await self.post(url, json=body)
        try:
            answer = msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            return outcome, {}
        wait_s = (answer.get("parameters") or {}).get("retry_after")
        if outcome.result is Result.RETRY and wait_s:
            outcome = Outcome.retry(outcome.reason, float(wait_s))
        return outcome, answer


KIND = SinkKind(Options, TelegramSink)
