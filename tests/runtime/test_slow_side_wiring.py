"""The slow side inside the running program: configuration, inlet over HTTP, derived series, signals, drain."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitor.clock import ScaledClock
from monitor.commands.signals import render
from monitor.errors import ConfigError
from monitor.events import Event, Sample
from monitor.runtime.app import App, AppSettings
from monitor.runtime.load import load_text
from monitor.testing.demo import DemoMarket
from monitor.testing.scenario import START_NS, Scenario
from monitor.testing.sources import SlowMarket, SourceServer

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "let-me-in"
HOUR_NS = 3600 * 10**9


@asynccontextmanager
async def running(tmp_path: Path, more: str, history: tuple[Event, ...] = ()) -> AsyncIterator[App]:
    clock = ScaledClock(START_NS, 1.0)
    async with DemoMarket(Scenario(7, resolution_s=1), clock) as market:
        text = market.configuration("127.0.0.1:0", str(tmp_path / "data"), "rules/*.yaml", slow=False)
        text = f"{text}api: {{token: {TOKEN}}}\n{more}"
        up = asyncio.Event()
        settings = AppSettings(watch_files=False, on_started=lambda _: up.set(), history=history)
        app = App(load_text(text, "test.yaml", ROOT, {}), clock, settings=settings)
        playing = asyncio.create_task(market.run())
        task = asyncio.create_task(app.run())
        try:
            await asyncio.wait({task, waiting := asyncio.create_task(up.wait())}, return_when="FIRST_COMPLETED")
            waiting.cancel()
            yield app
        finally:
            playing.cancel()
            app.stop.set()
            async with asyncio.timeout(5):
                await task


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.05)


async def signals(app: App) -> dict[str, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{app.url}/api/v1/signals") as reply:
        assert reply.status == 200
        return {row["id"]: row for row in (await reply.json())["data"]["signals"]}


async def test_a_source_and_the_inlet_make_signals_alive(tmp_path: Path) -> None:
    clock = ScaledClock(START_NS, 1.0)
    async with SourceServer(SlowMarket(Scenario(7)), clock) as server:
        more = f"sources: [{{type: coingecko, url: '{server.url}'}}]\n"
        async with running(tmp_path, more) as app, aiohttp.ClientSession() as http:

            async def alive() -> bool:
                return not (await signals(app))["S01"]["absent"]

            await until(alive)
            rows = await signals(app)
            assert len(rows) == 37
            assert rows["S01"]["value"] == pytest.approx(3.19e12, rel=0.01)
            assert rows["S01"]["as_of_ns"] >= START_NS - 10**9
            assert rows["S22"]["value"] is None
            assert "sosovalue" in rows["S22"]["absent"]
            row = {"name": "fed_cut_probability", "value": 0.2, "ts": START_NS / 1e9, "source": "desk"}
            address = f"{app.url}/api/v1/inlet"
            async with http.post(address, json=[row]) as reply:
                assert reply.status == 401
            async with http.post(address, json=[row], headers={"Authorization": f"Bearer {TOKEN}"}) as reply:
                assert (await reply.json())["taken"] == 1

            async def pushed() -> bool:
                return bool((await signals(app))["S34"]["firing"])

            await until(pushed)
            async with http.get(f"{app.url}/metrics") as reply:
                assert 'market_signal_value{id="S34"' in await reply.text()


async def test_the_inlet_takes_more_than_the_rest_of_the_api(tmp_path: Path) -> None:
    async with running(tmp_path, "") as app, aiohttp.ClientSession() as http:
        body = "name,value,ts\n" + "".join(f"spx,{6500 + i / 10},{START_NS // 10**9 - i}\n" for i in range(5000))
        assert len(body) > 64 * 1024
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
        async with http.post(f"{app.url}/api/v1/inlet", data=body, headers=headers) as reply:
            assert (reply.status, (await reply.json())["taken"]) == (200, 5000)
        async with http.post(
            f"{app.url}/api/v1/inlet", data=io.BytesIO(b" " * (9 * 1024 * 1024)), headers=headers
        ) as reply:
            assert reply.status == 413


async def test_derived_series_follow_from_the_feeds(tmp_path: Path) -> None:
    holding = "{holder: Acme, base: BTC, quantity: 1000, cost_price_usd: 100000}"
    async with running(tmp_path, f"derived: {{treasuries: [{holding}], every_s: 0.5}}\n") as app:

        async def alive() -> bool:
            return not (await signals(app))["S32"]["absent"]

        await until(alive)
        assert (await signals(app))["S32"]["value"] == pytest.approx(1000 * (92_200 - 100_000), rel=0.02)


async def test_an_unreachable_source_says_so_and_harms_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "sources: [{type: defillama, url: 'http://127.0.0.1:9'}]\n") as app:

        async def told() -> bool:
            return "unreachable" in (await signals(app))["S27"]["absent"]

        await until(told)
        assert (await signals(app))["S27"]["absent"].startswith("defillama is configured, but")

        async def prices() -> bool:
            return not (await signals(app))["S17"]["absent"]

        await until(prices)


async def test_a_source_that_breaks_keeps_its_last_value_and_every_number_about_it_is_shown(tmp_path: Path) -> None:
    clock = ScaledClock(START_NS, 1.0)
    async with SourceServer(SlowMarket(Scenario(7)), clock) as server:
        more = f"sources: [{{type: coingecko, url: '{server.url}', every_s: {{global: 1}}}}]\n"
        async with running(tmp_path, more) as app, aiohttp.ClientSession() as http:
            failure = r'failures_total\{source="coingecko",request="global",reason="malformed"\} [1-9]'

            async def alive() -> bool:
                return not (await signals(app))["S01"]["absent"]

            async def metrics() -> str:
                async with http.get(f"{app.url}/metrics") as reply:
                    return await reply.text()

            async def counted() -> bool:
                return bool(re.search(failure, await metrics()))

            await until(alive)
            server.fault = "html"
            await until(counted)
            row = (await signals(app))["S01"]
            assert row["value"] == pytest.approx(3.19e12, rel=0.01)
            text = await metrics()
            for name in (
                "up",
                "calls_left",
                "replies_total",
                "last_reply_timestamp_seconds",
                "newest_value_timestamp_seconds",
            ):
                assert f'monitor_source_{name}{{source="coingecko"' in text
            for name in ("value", "age_seconds", "coverage_ratio"):
                assert f'market_signal_{name}{{id="S01"' in text
            async with http.get(f"{app.url}/api/v1/status") as reply:
                (source,) = (await reply.json())["data"]["sources"]
            polls = {poll["request"]: poll for poll in source["polls"]}
            assert polls["global"]["error"].startswith("malformed")
            assert polls["global"]["last_good"] >= START_NS // 10**6


async def test_history_is_taken_in_at_the_start(tmp_path: Path) -> None:
    past = tuple(
        Sample(
            "market_cap", (("asset", "total"),), 4e12, START_NS - hour * HOUR_NS, START_NS, "synthetic", backfill=True
        )
        for hour in range(20, 0, -1)
    )
    async with running(tmp_path, "", past) as app:

        async def taken() -> bool:
            return bool((await signals(app))["S01"]["as_of_ns"] == START_NS - HOUR_NS)

        await until(taken)


def test_mistakes_are_found_when_the_configuration_is_loaded(tmp_path: Path) -> None:
    text = "feeds: [{venue: bybit}]\nrules: [rules/*.yaml]\nsources:\n  - type: coingeko\nderived: {basket: {}}\n"
    with pytest.raises(ConfigError) as error:
        load_text(text, "test.yaml", ROOT, {})
    assert [problem.line for problem in error.value.problems] == [4, 5]


def row(number: int, value: float | None, **said: object) -> dict[str, object]:
    return {
        "id": f"S{number:02}", "title": "Fall of a coin", "value": value, "unit": "ratio", "source": "price", "rule": "PriceFall",
        "as_of_ns": 60 * 10**9, "coverage_ratio": 0.9, "absent": "", "firing": False, "firing_rules": [],
        "input": "feeds: price", "test": "rules/tests/limits_1h.yaml", "metric": "market_signal_value", "panel": "signals: Signals",
    } | said  # fmt: skip


TABLE = [
    row(1, 2.9e12, unit="USD", firing=True, firing_rules=["PriceFall"]),
    row(2, -0.251, as_of_ns=0, firing=True, firing_rules=["PriceFallMonth"]),
    row(3, None, as_of_ns=0, absent="no data; configure feeds with price"),
]


def test_the_table_shows_value_age_state_or_why_there_is_none() -> None:
    lines = render(TABLE, now_ns=120 * 10**9).splitlines()
    assert lines[1].split() == ["S01", "2.9T", "USD", "1m", "90%", "FIRING", "PriceFall", "Fall", "of", "a", "coin"]
    assert "-25.1%" in lines[2]
    assert "no data; configure feeds with price" in " ".join(line.strip() for line in lines[3:5])
    assert lines[-1].startswith("2 of 3")


def test_firing_is_said_of_the_rule_whose_value_is_shown_and_another_one_by_name() -> None:
    lines = render(TABLE, now_ns=120 * 10**9, width=200).splitlines()
    assert "FIRING" not in lines[2]
    assert "quiet" in lines[2]
    assert lines[2].endswith("Fall of a coin: firing PriceFallMonth")


@pytest.mark.parametrize("width", [80, 109, 110, 149, 150, 189, 190, 200, 300])
def test_the_table_fits_the_terminal_and_hides_nothing_but_whole_columns(width: int) -> None:
    text = render(TABLE, now_ns=120 * 10**9, width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "configure feeds with price" in " ".join(text.split())
    heads = {"rule": 110, "input": 150, "metric": 190, "test": 260, "panel": 260}
    assert {name: name in lines[0] for name in heads} == {name: width >= least for name, least in heads.items()}
