"""The demo as a user starts it: the real command, real sockets, a real broker; synthetic data, and labelled so."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from monitor.series import SERIES
from monitor.signals import SIGNALS
from tests.integration.program import ROOT, Program, alert_names, demo, run_to_end
from tests.integration.servers import Broker
from tests.integration.test_mqtt import make_broker

__all__ = ["make_broker"]  # the fixture

pytestmark = pytest.mark.xdist_group("program")
USERS_RULES = ("LiquidationsOver1BillionPerHour", "FundingFlippedNegative")
LABEL = "SYNTHETIC"
SIGNAL_METRICS = ("market_signal_value", "market_signal_age_seconds", "market_signal_coverage_ratio")
OLDEST_S = max(
    SERIES[name].stale_s for signal in SIGNALS for name in signal.series if name in SERIES and name != "feed_up"
)


@pytest.fixture
async def quiet_demo(tmp_path: Path) -> AsyncIterator[Program]:
    """A slow demo before the cascade."""
    async with demo(tmp_path, "--speed", "20", "--from", "2025-11-21T06:00") as program:
        await program.ready()
        yield program


async def test_the_first_price_is_there_within_three_seconds(tmp_path: Path) -> None:
    async with demo(tmp_path, "--speed", "20", "--from", "2025-11-21T06:00") as program:

        async def has_price() -> bool:
            return bool((await program.data("/api/v1/market"))["assets"])

        async def welcomed() -> bool:
            return "live page and metrics" in program.stderr

        await program.until(welcomed)
        up_s = time.monotonic()
        await program.until(has_price)
        assert time.monotonic() - up_s < 3.0


async def test_everything_streams_and_is_labelled_synthetic(quiet_demo: Program) -> None:
    program = quiet_demo

    async def complete() -> bool:
        counts = [
            await program.metric("monitor_feed_events_total", type=kind)
            for kind in ("price", "funding", "open_interest", "liquidation")
        ]
        feeds = (await program.data("/api/v1/status"))["feeds"]
        return min(counts) > 0 and all(feed["up"] for feed in feeds)

    await program.until(complete)
    bitcoin = next(row for row in (await program.data("/api/v1/market"))["assets"] if row["base"] == "BTC")
    assert 80_000 < bitcoin["price_usd"] < 95_000
    assert set(bitcoin["funding_by_venue"]) == {"binance_usdm", "bybit", "okx"}
    assert bitcoin["open_interest_usd"] > 1e10
    status = await program.data("/api/v1/status")
    assert status["process"]["synthetic"]
    assert LABEL in status["process"]["synthetic_note"]
    assert all(feed["up"] and not feed["decode_errors"] for feed in status["feeds"]), status["feeds"]
    assert await program.metric("monitor_synthetic") == 1
    assert LABEL in program.stderr
    assert "<html" in (await program.text("/")).lower()


@pytest.mark.timeout(300)
async def test_every_signal_is_alive_with_its_value_age_and_coverage(quiet_demo: Program) -> None:
    """In the API, in the metrics and in the table; each as old as its input may be, and as complete as a share can be."""
    ids = {signal.id for signal in SIGNALS}
    rows: list[dict[str, Any]] = []
    metrics: dict[str, dict[str, float]] = {}

    async def all_alive() -> bool:
        rows[:] = (await program.data("/api/v1/signals"))["signals"]
        text = await program.text("/metrics")
        metrics.update({name: dict(_by_id(text, name)) for name in SIGNAL_METRICS})
        return all(not row["absent"] for row in rows) and all(found.keys() == ids for found in metrics.values())

    program = quiet_demo
    await program.until(all_alive, within_s=240.0)
    assert {row["id"] for row in rows} == ids
    for row in rows:
        value, age_s, coverage = (metrics[name][row["id"]] for name in SIGNAL_METRICS)
        assert isinstance(row["value"], float) and math.isfinite(value), row  # noqa: PT018  # one row, one line
        assert row["as_of_ns"] > 0, row
        assert 0 <= age_s <= OLDEST_S, (row, age_s)
        assert 0 <= row["coverage_ratio"] <= 1, row
        assert 0 <= coverage <= 1, row
    slow = {row["id"]: metrics[SIGNAL_METRICS[0]][row["id"]] for row in rows if row["unit"] == "USD"}
    assert 2.5e12 < slow["S01"] < 3e12, "the market's value of the night, as the stand-in of the service tells it"
    table = run_to_end("signals", "--url", program.url).stdout
    assert ids <= {line.split()[0] for line in table.splitlines() if line}
    assert re.search(r"^3[4-7] of 37 signals have a value$", table, re.MULTILINE), table


def _by_id(text: str, name: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            yield line.partition('id="')[2].partition('"')[0], float(line.rsplit(maxsplit=1)[1])


async def test_sigterm_drains_and_exits_zero_within_three_seconds(quiet_demo: Program) -> None:
    code, took_s = await quiet_demo.end()
    assert code == 0, quiet_demo.stderr
    assert took_s < 3.0
    assert "Traceback" not in quiet_demo.stderr


@pytest.mark.needs("mosquitto")
async def test_both_user_alerts_reach_every_output(tmp_path: Path, make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    sink = f"{{type: mqtt, url: 'mqtt://127.0.0.1:{broker.port}', prefix: desk}}"
    rules = ", ".join(str(ROOT / "rules" / name) for name in ("liquidations.yaml", "funding.yaml"))
    options = ("--speed", "150", "--from", "2025-11-21T06:36", "--rules", rules, "--sink", sink)
    async with (
        aiomqtt.Client("127.0.0.1", broker.port) as client,
        demo(tmp_path, *options) as program,
    ):
        await client.subscribe("desk/#", qos=1)
        heard: list[tuple[str, dict[str, Any]]] = []
        listening = asyncio.create_task(_listen(client, heard))
        await program.ready()

        active: set[str] = set()

        async def told() -> bool:
            active.update(a["labels"]["alertname"] for a in await _alerts(program) if a["state"] == "firing")
            names = {alert["alertname"] for topic, body in heard if topic == "desk/events" for alert in body["alerts"]}
            return set(USERS_RULES) <= names & active

        await program.until(told, within_s=90.0)
        listening.cancel()
        await _seen_everywhere(program)
        async with aiomqtt.Client("127.0.0.1", broker.port) as late:
            await late.subscribe("desk/#", qos=1)
            retained = await _retained(late, USERS_RULES[0])
            assert retained["state"] == "firing"
        code, took_s = await program.end()
        assert (code, took_s < 3.0) == (0, True), (code, took_s, program.stderr)


async def _seen_everywhere(program: Program) -> None:
    file = (program.folder / "state" / "alerts.jsonl").read_text(encoding="utf-8")
    history = {entry["rule"] for entry in (await program.data("/api/v1/history?limit=1000"))["entries"]}
    for name in USERS_RULES:
        assert name in alert_names(file)
        assert any(line.startswith("FIRING") and name in line for line in program.stdout.splitlines())
        assert any(rule.endswith(name) for rule in history)


async def _alerts(program: Program) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await program.data("/api/v1/alerts"))["alerts"]
    return found


async def _listen(client: aiomqtt.Client, heard: list[tuple[str, dict[str, Any]]]) -> None:
    async for message in client.messages:
        assert isinstance(message.payload, bytes)
        if message.payload.startswith(b"{"):
            heard.append((str(message.topic), json.loads(message.payload)))


async def _retained(client: aiomqtt.Client, name: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            if message.retain and name.encode() in message.payload:
                body: dict[str, Any] = json.loads(message.payload)
                return body
    raise AssertionError("the broker closed the connection")
