"""An MQTT topic: each message is one payload of rows, JSON unless its topic ends in ``/csv``."""

from __future__ import annotations

from dataclasses import dataclass, field

import aiomqtt
import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.inlets.door import Door
from monitor.mqtt import MqttClient

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class MqttInletOptions:
    """Where to listen. ``topic`` and every topic below it is taken."""

    url: str
    topic: str = "monitor/inlet"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class MqttInlet:
    """Stays subscribed; reconnects with growing waits."""

    def __init__(self, door: Door, options: MqttInletOptions, clock: Clock) -> None:
        self._door = door
        self._options = options
        self._clock = clock
        self.connects = 0
        self._log = structlog.get_logger("monitor.inlet.mqtt")

    async def run(self) -> None:
        """Take messages until cancelled."""
        wait_s = FIRST_WAIT_S
        while True:
            before = self.connects
            try:
                await self._listen()
            except aiomqtt.MqttError as error:
                self._log.warning("inlet.mqtt_lost", reason=str(error)[:200] or type(error).__name__)
            wait_s = FIRST_WAIT_S if self.connects > before else min(2 * wait_s, LONGEST_WAIT_S)
            await self._clock.sleep_until(self._clock.mono_ns() + int(wait_s * NS_PER_S))

    async def _listen(self) -> None:
        topic = self._options.topic.rstrip("/")
        async with self._client() as client:
            await client.subscribe(f"{topic}/#", qos=1)  # the topic itself is matched too
            self.connects += 1
            async for message in client.messages:
                await self._take(str(message.topic), message.payload)

    async def _take(self, topic: str, payload: object) -> None:
        data = bytes(payload) if isinstance(payload, bytes | bytearray) else str(payload).encode()
        kind = "csv" if topic.endswith("/csv") else "json"
        _, refused = await self._door.take("mqtt", data, kind, self._clock.wall_ns(), "mqtt", where=topic)
        if refused:
            self._log.warning("inlet.rows_refused", topic=topic, refused=len(refused), first=refused[0].detail)

    def _client(self) -> MqttClient:
        options = self._options
        return MqttClient(
            options.url,
            ca_file=options.ca_file,
            username=options.username,
            password=options.password,
            max_queued_incoming_messages=1000,
        )
