"""Alerts over MQTT: events, a retained state per alert, a status with last will, and commands.

Topics below ``prefix`` (default ``monitor``), all with quality of service 1::

    events                  every notification, as it happens
    alerts/<fingerprint>    retained: the alert's present state; empty again once it is over
    status                  retained: "online", or "offline" by last will
    commands                {"token": ..., "action": "ack", "fingerprint": ..., "duration_s": 3600}
    commands/result         {"ok": true, "text": ...} for each command
"""

from __future__ import annotations

import asyncio
import hmac
import random
from typing import Any, Literal
from urllib.parse import urlsplit

import aiomqtt
import msgspec
from pydantic import SecretStr, field_validator

from monitor.alert import AlertState, AlertView
from monitor.mqtt import MqttClient
from monitor.sink import Command, Notification, Outcome, SinkBase, SinkContext, SinkKind, SinkOptions
from monitor.sinks.payload import alert_json, notification_json
from monitor.sinks.progress import Progress

_RECONNECT_FIRST_S, _RECONNECT_MAX_S = 0.2, 10.0


class Options(SinkOptions):
    """Settings of the MQTT sink.

    Attributes:
        url: ``mqtt://host:port`` or, with TLS, ``mqtts://host:port``; no user or password in it.
        username: For the broker.
        password: For the broker.
        ca_file: Certificate authority of the broker; the system's when not given.
        cert_file: Our certificate, where the broker wants one.
        key_file: Its key.
        prefix: Begin of every topic.
        client_id: Stable name at the broker; made up when not given.
        keepalive_s: A dead connection is noticed within one and a half of this.
        command_token: Commands must carry it; none: commands are not taken.
    """

    type: Literal["mqtt"] = "mqtt"
    url: str = "mqtt://127.0.0.1:1883"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    prefix: str = "monitor"
    client_id: str | None = None
    keepalive_s: int = 20
    command_token: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("the address must be mqtt://host:port or mqtts://host:port")
        if parts.username or parts.password:
            raise ValueError("give user and password as username and password, not in the address")
        return url

    @field_validator("prefix")
    @classmethod
    def _is_plain(cls, prefix: str) -> str:
        if not prefix or any(sign in prefix for sign in "#+\0"):
            raise ValueError("prefix must be a topic without wildcards")
        return prefix.strip("/")


class _CommandJson(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    action: Literal["ack", "unack", "silence"]
    fingerprint: str = ""
    matchers: list[str] = []
    duration_s: float | None = None
    actor: str = "mqtt"
    comment: str = ""


class MqttSink(SinkBase):
    """Holds one connection in the background; `deliver` waits for it as long as its deadline lets it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.connects = 0
        self.trouble = ""
        self._client: aiomqtt.Client | None = None
        self._connected = asyncio.Event()
        self._progress = Progress()

    async def deliver(self, notification: Notification) -> Outcome:
        """Publish the state of each alert, then the event; returns once the broker has acknowledged all. A retry goes on."""
        await self._connected.wait()
        client = self._client
        if client is None:
            return Outcome.retry("not connected")
        try:
            for alert in self._progress.left(notification):
                await self._publish_state(client, alert)
            await self._publish(client, "events", msgspec.json.encode(notification_json(notification)))
        except aiomqtt.MqttError as error:
            return Outcome.retry(type(error).__name__)
        self._progress.finish(notification)
        return Outcome.ok("acknowledged by the broker")

    async def _publish_state(self, client: aiomqtt.Client, alert: AlertView) -> None:
        topic = f"alerts/{alert.fingerprint}"
        over = alert.state is AlertState.RESOLVED
        await self._publish(client, topic, msgspec.json.encode(alert_json(alert)), retain=not over)
        if over:
            await self._publish(client, topic, b"", retain=True)

    async def _publish(self, client: aiomqtt.Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
        timeout_s = self.options.deadline_s
        await client.publish(f"{self.options.prefix}/{topic}", payload, qos=1, retain=retain, timeout=timeout_s)

    async def run(self, context: SinkContext) -> None:
        """Stay connected, take commands; reconnect with growing waits that end with the first good connection."""
        wait_s = _RECONNECT_FIRST_S
        while True:
            before = self.connects
            try:
                await self._serve(context)
            except aiomqtt.MqttError as error:
                self.trouble = _name(error)
                wait_s = _RECONNECT_FIRST_S if self.connects > before else min(wait_s * 2, _RECONNECT_MAX_S)
            finally:
                self._client = None
                self._connected.clear()
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    async def _serve(self, context: SinkContext) -> None:
        async with self._make_client(probe=context.probe) as client:
            if not context.probe:
                await self._publish(client, "status", b"online", retain=True)
            if self.options.command_token is not None and not context.probe:
                await client.subscribe(f"{self.options.prefix}/commands", qos=1)
            self.connects += 1
            self.trouble = ""
            self._client = client
            self._connected.set()
            try:
                async for message in client.messages:
                    await self._take_command(client, message.payload, context)
            finally:
                self._connected.clear()
                if not context.probe:
                    await self._say_goodbye(client)

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """On an orderly stop the broker sends no will, so say it ourselves; a lost connection has its will."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            try:
                async with asyncio.timeout(1.0):
                    await self._publish(client, "status", b"offline", retain=True)
            except (aiomqtt.MqttError, TimeoutError):
                return

    def _make_client(self, *, probe: bool = False) -> MqttClient:
        """A probe leaves no will, and takes no name: a broker disconnects the older of two clients of one name."""
        options = self.options
        return MqttClient(
            options.url,
            ca_file=options.ca_file,
            cert_file=options.cert_file,
            key_file=options.key_file,
            username=options.username,
            password=options.password.get_secret_value() if options.password else None,
            identifier=None if probe else options.client_id,
            keepalive=options.keepalive_s,
            will=None if probe else aiomqtt.Will(f"{options.prefix}/status", b"offline", qos=1, retain=True),
            max_queued_incoming_messages=100,
        )

    async def _take_command(self, client: aiomqtt.Client, payload: Any, context: SinkContext) -> None:
        ok, text = await self._carry_out(payload, context)
        await self._publish(client, "commands/result", msgspec.json.encode({"ok": ok, "text": text}))

    async def _carry_out(self, payload: Any, context: SinkContext) -> tuple[bool, str]:
        try:
            wish = msgspec.json.decode(payload, type=_CommandJson)
        except (msgspec.DecodeError, TypeError):
            return False, "not a command"
        token = self.options.command_token
        if token is None or not hmac.compare_digest(wish.token.encode(), token.get_secret_value().encode()):
            return False, "wrong token"
        command = Command(
            wish.action, wish.actor, wish.fingerprint, tuple(wish.matchers), wish.duration_s, wish.comment
        )
        return True, await context.handle(command)


def _name(error: aiomqtt.MqttError) -> str:
    """What went wrong, in a word: the broker's reason code, or the type of what lies beneath."""
    if isinstance(error, aiomqtt.MqttCodeError):
        return f"refused with code {error.rc}"
    return type(error.__cause__ or error).__name__


KIND = SinkKind(Options, MqttSink)
