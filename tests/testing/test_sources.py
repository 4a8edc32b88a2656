"""The local services speak what the sources read, hold the timeline's figures, and their faults harm nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.events import Event, MarketEvent, Price, Sample
from monitor.runtime.source_runner import SourceRunner
from monitor.source import SourceOptions
from monitor.sources import SOURCES, make_source
from monitor.testing.manual_clock import ManualClock
from monitor.testing.scenario import START_NS, Scenario
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, at
from monitor.testing.sources import SlowMarket, SourceServer
from monitor.testing.sources.server import Fault
from monitor.transports.http import HttpClient

MARKET = SlowMarket(Scenario(7))
TROUGH = at("2025-11-21T07:35")


def everything(name: str, now_ns: int) -> list[MarketEvent]:
    source = make_source(name, SourceOptions(url="http://x", key="k"))
    events: list[MarketEvent] = []
    for poll in source.polls(now_ns):
        parts = urlsplit(poll.request.url)
        status, body = MARKET.answer(parts.path, dict(parse_qsl(parts.query)), poll.request.body or b"", now_ns)
        assert status == 200, poll.request.url
        found = source.parse(poll.request, body, now_ns)
        assert found, poll.request.name
        events += found
    return events


def value(events: Sequence[MarketEvent], series: str, **labels: str) -> float:
    """The newest value of a series with these labels among its own."""
    return max(
        (
            e
            for e in events
            if isinstance(e, Sample) and e.series == series and labels.items() <= dict(e.labels).items()
        ),
        key=lambda e: e.ts_ns,
    ).value


@pytest.mark.parametrize("name", SOURCES)
def test_every_request_of_every_source_is_answered(name: str) -> None:
    assert everything(name, START_NS)


def test_market_value_sectors_and_locked_value_follow_the_timeline() -> None:
    start, low = everything("coingecko", START_NS), everything("coingecko", TROUGH)
    assert value(start, "market_cap", asset="total") == pytest.approx(3.19e12)
    assert value(low, "market_cap", asset="total") < 3.0e12
    day_before = everything("coingecko", at("2025-11-20T12:00"))
    memes = [
        value(rows, "sector_cap", sector="meme-token")
        for rows in (day_before, everything("coingecko", at("2025-11-21T12:00")))
    ]
    assert memes == pytest.approx([44.0e9, 39.4e9])
    rows = everything("defillama", at("2025-11-24T12:00"))
    supply = {
        e.ts_ns: e.value
        for e in rows
        if isinstance(e, Sample) and e.series == "stablecoin_supply" and dict(e.labels)["asset"] == "total"
    }
    assert supply[max(supply)] / supply[at("2025-10-25")] - 1 == pytest.approx(-0.0148, abs=2e-4)
    tvl = {e.ts_ns: e.value for e in rows if isinstance(e, Sample) and dict(e.labels).get("scope") == "total"}
    assert tvl[at("2025-11-09")] / tvl[at("2025-11-02")] - 1 == pytest.approx(-0.1245, abs=1e-3)


def test_flows_appear_in_the_evening_and_the_session_loses_900_million() -> None:
    before, after = everything("sosovalue", at("2025-11-20T23:00")), everything("sosovalue", at("2025-11-21T01:00"))
    assert value(before, "etf_flow", asset="BTC") == pytest.approx(75.4e6)
    assert value(after, "etf_flow", asset="BTC") == pytest.approx(-903.2e6)


def test_protection_is_bid_at_the_trough() -> None:
    calm, storm = everything("deribit_options", START_NS), everything("deribit_options", at("2025-11-21T07:30"))
    assert value(calm, "skew_25d", base="BTC", tenor="30d") == pytest.approx(3.2, abs=0.7)
    assert value(storm, "skew_25d", base="BTC", tenor="30d") == pytest.approx(8.5, abs=1.5)
    assert value(storm, "iv", base="BTC", tenor="30d") == pytest.approx(63, abs=3)


def test_candles_reach_back_beyond_200_days() -> None:
    closes = [e for e in everything("candles", START_NS) if isinstance(e, Price) and e.instrument.base == "BTC"]
    assert closes
    assert min(e.ts_ns for e in closes) < START_NS - 390 * DAY_NS
    assert max(e.value for e in closes) > 124_000


@pytest.mark.parametrize("fault", ["slow", "html", "huge", "redirect", "rate_limited", "error"])
async def test_a_misbehaving_service_is_counted_and_survived(fault: Fault) -> None:
    clock = ManualClock(START_NS)
    events: list[Event] = []
    async with SourceServer(MARKET, clock) as server, HttpClient(clock, max_body_bytes=1024 * 1024) as http:
        server.fault = fault
        source = make_source("coingecko", SourceOptions(url=server.url))
        request = source.polls(START_NS)[0].request
        runner = SourceRunner(source, events.extend, http=http, clock=clock, directory=None, rng=Random(1))
        if fault == "slow":
            from monitor.errors import FetchError

            with pytest.raises(FetchError, match="nothing within"):
                await http.fetch(request, timeout_s=0.2)
            return
        task = asyncio.create_task(runner.run())
        async with asyncio.timeout(20):
            while not any(status.errors for status in runner.polls.values()):
                await clock.advance(0.1)
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [event for event in events if isinstance(event, Sample)]
    reasons = {reason for status in runner.polls.values() for reason in status.errors}
    wanted = {"html": "malformed", "huge": "too_large", "error": "status_500"}.get(fault, fault)
    assert wanted in reasons


async def test_yesterdays_data_keeps_yesterdays_time() -> None:
    clock = ManualClock(START_NS)
    async with SourceServer(MARKET, clock) as server, HttpClient(clock) as http:
        server.fault = "yesterday"
        source = make_source("coingecko", SourceOptions(url=server.url))
        request = source.polls(START_NS)[0].request
        reply = await http.fetch(request)
        (event,) = source.parse(request, reply.body, reply.recv_ns)
    assert event.ts_ns == START_NS - 36 * HOUR_NS
