"""Alerts through the whole program to real receivers: a broker that goes and comes back, and two monitors on one market."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from monitor.clock import SystemClock
from monitor.events import Price
from monitor.mqtt import MqttClient
from monitor.testing.ports import free_port
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
from tests.integration.program import Program, started
from tests.integration.servers import Broker, alertmanager

pytestmark = pytest.mark.xdist_group("program")

INSTRUMENTS = [item for item in instruments_of("bybit") if item.category == "linear" and item.base_units == 1]
RULES = """
groups:
  - name: desk
    rules:
      - {alert: High, expr: price by (base) > 110, labels: {severity: warning}}
"""
CONFIG = """
listen: 127.0.0.1:%(port)d
data_dir: state
rules: [rules.yaml]
feeds: [{venue: bybit, channels: [price], ws_url: '%(ws)s', rest_url: '%(rest)s'}]
sinks: [{type: file, path: '%(file)s'}, %(sink)s]
alerts: {self_rules: false, flap_fires: 0}
log: {format: json}
"""


class Market:
    """A venue whose coins all stand at one price, which a test can move."""

    def __init__(self, server: VenueServer) -> None:
        self.server = server
        self.value = 100.0

    async def run(self) -> None:
        """Quote for ever."""
        number = 0
        while True:
            number += 1
            await self.quote(number % 9 / 1000)
            await asyncio.sleep(0.05)

    async def quote(self, wiggle: float = 0.0) -> None:
        """Every coin at one instant."""
        now_ns = SystemClock().wall_ns() // 1_000_000 * 1_000_000
        await self.server.publish(*(Price(item, "mark", self.value + wiggle, now_ns, now_ns) for item in INSTRUMENTS))


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    """A local Bybit that never stands still."""
    async with VenueServer(make_protocol("bybit", INSTRUMENTS), SystemClock()) as server:
        moving = Market(server)
        task = asyncio.create_task(moving.run())
        yield moving
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def monitor(folder: Path, market: Market, sink: str) -> AsyncIterator[Program]:
    """The running program in a folder of its own."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    config: dict[str, object] = {"port": port, "ws": market.server.ws_url, "rest": market.server.rest_url, "sink": sink}
    config["file"] = folder / "alerts.jsonl"
    (folder / "config.yaml").write_text(CONFIG % config, encoding="utf-8")
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    async with started(folder, "--config", folder / "config.yaml", port=port) as program:
        await program.ready()
        yield program


async def told(program: Program, count: int) -> None:
    """Wait until the file has so many notifications."""

    async def there() -> bool:
        return len(facts(filed(program))) >= count

    await program.until(there)


def filed(program: Program) -> list[Any]:
    """The notifications in the file; its last line may be on its way."""
    path = program.folder / "alerts.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def facts(notes: Iterable[Any]) -> list[tuple[str, str, str]]:
    """(alert, state, start) of every notification, repeats of a key left out."""
    once = {note["key"]: note for note in notes}
    return [(a["fingerprint"], a["state"], a["startsAt"]) for note in once.values() for a in note["alerts"]]


def by_alert(found: list[tuple[str, str, str]]) -> dict[str, list[tuple[str, str]]]:
    """What was told of each alert, in order."""
    table: dict[str, list[tuple[str, str]]] = {}
    for fingerprint, state, start in found:
        table.setdefault(fingerprint, []).append((state, start))
    return table


@pytest.mark.needs("mosquitto")
async def test_a_broker_that_was_gone_gets_every_alert_in_order(
    binary: Callable[[str], Path], free_port: Callable[[], int], tmp_path: Path, market: Market
) -> None:
    keeping = ("allow_anonymous true", "user root", "persistence true", f"persistence_location {tmp_path}/")
    broker = Broker(binary("mosquitto"), tmp_path, free_port(), *keeping)
    broker.start()
    received: list[Any] = []
    listening = asyncio.create_task(listen(broker.port, received))
    sink = f"{{type: mqtt, url: 'mqtt://127.0.0.1:{broker.port}', deadline_s: 1}}"
    coins = len(INSTRUMENTS)
    try:
        async with monitor(tmp_path / "desk", market, sink) as program:
            market.value = 120.0
            await told(program, coins)
            await asyncio.to_thread(broker.stop)
            for count, value in ((2, 100.0), (3, 120.0), (4, 100.0)):
                market.value = value
                await told(program, count * coins)
            assert await program.metric("monitor_outbox_depth", sink="mqtt") >= 3 * coins - 1
            await asyncio.to_thread(broker.start)

            async def empty() -> bool:
                return await program.metric("monitor_outbox_depth", sink="mqtt") == 0

            await program.until(empty, 30)
            expected = by_alert(facts(filed(program)))

            async def all_heard() -> bool:
                return len(facts(received)) >= 4 * coins

            await program.until(all_heard)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await asyncio.to_thread(broker.stop)
    assert by_alert(facts(received)) == expected
    assert {len(states) for states in expected.values()} == {4}
    assert [state for state, _ in next(iter(expected.values()))] == ["firing", "resolved", "firing", "resolved"]


async def listen(port: int, received: list[Any]) -> None:
    """Take all events, with a session that the broker keeps while either side is away."""
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with MqttClient(f"mqtt://127.0.0.1:{port}", identifier="desk", clean_session=False) as client:
                await client.subscribe("monitor/events", qos=1)
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    received.append(json.loads(message.payload))
        await asyncio.sleep(0.05)


@pytest.mark.needs("alertmanager")
async def test_two_monitors_on_one_market_are_one_page(
    binary: Callable[[str], Path], free_port: Callable[[], int], tmp_path: Path, market: Market
) -> None:
    (tmp_path / "am").mkdir()
    async with alertmanager(binary("alertmanager"), tmp_path / "am", free_port()) as manager:
        sink = f"{{type: alertmanager, urls: ['{manager.url}']}}"
        async with monitor(tmp_path / "one", market, sink) as one, monitor(tmp_path / "two", market, sink) as two:
            market.value = 120.0
            coins = len(INSTRUMENTS)
            await asyncio.gather(told(one, coins), told(two, coins))

            async def delivered() -> bool:
                counts = [
                    await p.metric("monitor_notifications_total", sink="alertmanager", outcome="ok") for p in (one, two)
                ]
                return min(counts) >= coins

            await one.until(delivered)
            await manager.hooked(1)
            await asyncio.sleep(1)  # Alertmanager's own timer, several group intervals
            stored = manager.alerts()
            starts = [{fact[0]: fact[2] for fact in facts(filed(program))} for program in (one, two)]
    assert len(stored) == coins
    assert starts[0] == starts[1], "the start is the market's time, not that of the look"
    assert {alert["fingerprint"]: alert["startsAt"][:23] for alert in stored} == {
        fingerprint: start[:23] for fingerprint, start in starts[0].items()
    }
    paged = [alert["fingerprint"] for body in manager.hook.bodies() for alert in body["alerts"]]
    assert len(manager.hook.requests) == 1 or sorted(set(paged)) == sorted(starts[0])
