"""The slow side from configuration to events: a local service, a file in a folder, a basket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

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
