"""The slow side from configuration to events: a local service, a file in a folder, a basket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.clock import SystemClock
from monitor.events import Event, Price, Sample
from monitor.instruments import Instrument
from monitor.runtime.slow_side import SlowSide, check_slow_side
from monitor.testing.manual_clock import ManualClock
from monitor.testing.scenario import START_NS, Scenario
from monitor.testing.sources import SlowMarket, SourceServer
from monitor.transports.http import HttpClient
from monitor.yamlsource import load_yaml


async def test_sources_inlets_and_derived_series_reach_the_stream(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    events: list[Event] = []
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "desk.csv").write_text("name,value,ts\nspx,6538.76,2025-11-20T11:00:00Z\n")

    def seen() -> set[str]:
        return {event.series for event in events if isinstance(event, Sample)}

    async with SourceServer(SlowMarket(Scenario(7)), clock) as server, HttpClient(clock) as http:
        side = SlowSide(
            [{"type": name, "url": server.url} for name in ("coingecko", "defillama", "deribit_options")],
            [{"type": "folder", "path": "inbox"}],
            {"baskets": {"b": ["BTC"]}},
            events.extend,
            http=http,
            clock=clock,
            base=tmp_path,
            data_dir=tmp_path / "data",
            rng=Random(1),
        )
        task = asyncio.create_task(side.run())
        wanted = {"market_cap", "sector_cap", "stablecoin_supply", "tvl", "iv", "skew_25d", "external"}
        async with asyncio.timeout(30):
            while not wanted <= seen():
                await clock.advance(0.5)
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    pair = Instrument(venue="v", symbol="BTC", base="BTC", quote="USDT", settle="USDT", kind="perp")
    now_ns = clock.wall_ns()
    (basket,) = side.observe([Price(pair, "mark", 92_000.0, now_ns, now_ns)], now_ns)
    assert (basket.series, basket.value) == ("basket", 100.0)
    assert all(runner.polls for runner in side.runners)


def problems(text: str) -> list[str]:
    document = load_yaml(text, "config.yaml")
    data: Any = document.data
    return [f"{problem.line}: {problem.message}" for problem in check_slow_side(data, document)]


def test_every_mistake_of_the_configuration_has_its_place() -> None:
    found = problems(
        "sources:\n"
        "  - type: coingecko\n"
        "  - type: coingeko\n"
        "inlets:\n"
        "  - type: folder\n"
        "  - {type: mqtt, url: 'http://x'}\n"
        "  - {type: folder, path: in, evry: 3}\n"
        "derived:\n"
        "  bskets: {}\n"
    )
    assert [line.partition(":")[0] for line in found] == ["3", "5", "6", "7", "9"]
    assert "unknown type 'coingeko'" in found[0]
    assert "path is needed" in found[1]
    assert problems("sources: [{type: defillama}]\nderived: {baskets: {x: [BTC]}}\n") == []


async def test_a_restart_goes_on_with_levels_and_with_what_was_pushed_in(tmp_path: Path) -> None:
    clock = SystemClock()
    pair = Instrument(venue="v", symbol="BTC", base="BTC", quote="USDT", settle="USDT", kind="perp")

    def side(heard: list[Event]) -> SlowSide:
        derived = {"baskets": {"b": ["BTC"]}, "every_s": 0.001}
        settings = {"http": HttpClient(clock), "clock": clock, "base": tmp_path, "data_dir": tmp_path, "rng": Random(1)}
        return SlowSide([], [], derived, heard.extend, **settings)  # type: ignore[arg-type]

    def level(slow: SlowSide, price: float) -> float:
        now_ns = clock.wall_ns()
        (sample,) = slow.observe([Price(pair, "mark", price, now_ns, now_ns)], now_ns)
        return sample.value

    first = side([])
    running = asyncio.create_task(first.run())
    assert level(first, 90_000.0) == 100.0
    row = {"name": "spx", "value": 6500, "ts": "2025-11-20T21:00:00Z"}
    await first.door.take("http", json.dumps(row).encode(), "json", clock.wall_ns())
    await asyncio.sleep(0.01)
    assert level(first, 99_000.0) == pytest.approx(110.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    heard: list[Event] = []
    second = side(heard)
    assert level(second, 99_000.0) == pytest.approx(110.0)
    running = asyncio.create_task(second.run())
    while not heard:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [event.value for event in heard if isinstance(event, Sample)] == [6500.0]


def test_a_memory_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    for content in ("", "{}", "[]", "null", '{"at_ns": 0, "baskets": {"meme": {}}, "streaks": {}, "flows": []}'):
        (tmp_path / "derived.json").write_text(content)
        clock = SystemClock()
        slow = SlowSide([], [], {}, lambda _: None, http=HttpClient(clock), clock=clock, base=tmp_path, data_dir=tmp_path, rng=Random(1))  # fmt: skip
        assert slow.desk.baskets[0].level is None
