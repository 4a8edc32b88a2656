"""Misbehaving REST endpoints: metadata from the cache, polls that back off, and what the stream says meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from monitor.events import Channel, OpenInterest
from monitor.feed import Frame
from monitor.runtime.feeds.desk import TapKind
from monitor.runtime.feeds.instruments_cache import InstrumentsCache
from monitor.testing.faults import RestFault
from monitor.testing.venue_server import VenueServer
from tests.integration.harness import QUICK, now_ns, running
from tests.toy_venue import BTC, ETH, ToyVenue, instrument

OI = frozenset({Channel.OPEN_INTEREST})


def venue_server(fault: RestFault | None = None) -> VenueServer:
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.rest = fault
    return server


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RestFault(status=500, body=b"oops"), "status_500"),
        (RestFault.html(), "malformed"),
        (RestFault.huge(2_000_000), "too_large"),
        (RestFault.rate_limited(), "rate_limited"),
        (RestFault(delay_s=5.0), "no metadata within 0.3 s"),
        (RestFault(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirect"),
        (RestFault(body=b'{"symbols": []}'), "without a single instrument"),
    ],
    ids=["500", "html", "huge", "429", "slow", "redirect", "empty"],
)
async def test_start_without_metadata_uses_the_cache_and_says_so(fault: RestFault, words: str, tmp_path: Path) -> None:
    InstrumentsCache(tmp_path).store("toy", [BTC, ETH], now_ns() - 3_600 * 10**9)
    async with running(server=venue_server(fault), data_dir=tmp_path) as rig:
        await rig.subscribed()
        await rig.quote()
        assert rig.stats.instruments_source == "cache"
        assert words in rig.stats.instruments_error
        rig.server.faults.rest = None
        await rig.until(lambda: rig.stats.instruments_source == "venue")
        assert rig.stats.instruments_error == ""


async def test_start_without_metadata_and_cache_waits_for_the_venue() -> None:
    async with running(server=venue_server(RestFault(status=503))) as rig:
        await rig.until(lambda: rig.stats.instruments_error != "")
        assert rig.stats.instruments_source == "none"
        assert rig.server.counts["connects"] == 0
        assert rig.states(Channel.PRICE) == [(False, "starting")]
        rig.server.faults.rest = None
        await rig.subscribed()
        await rig.quote()


async def test_metadata_is_kept_for_the_next_start_exactly_as_it_was(tmp_path: Path) -> None:
    async with running(data_dir=tmp_path) as rig:
        await rig.subscribed()
        known = list(rig.registry)
    cached = InstrumentsCache(tmp_path).load("toy")
    assert cached is not None
    assert [item.symbol for item in cached.instruments] == [item.symbol for item in known]
    assert cached.instruments[0].contract_value == known[0].contract_value
    assert not list(tmp_path.rglob("*.part"))


async def test_corrupt_cache_is_reported_and_replaced(tmp_path: Path) -> None:
    path = InstrumentsCache(tmp_path).path("toy")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"version": 1, "instr')
    async with running(data_dir=tmp_path) as rig:
        await rig.subscribed()
    assert json.loads(path.read_bytes())["venue"] == "toy"


async def test_misspelt_symbol_is_reported_with_the_nearest_one() -> None:
    async with running(symbols=("BTCUSDT", "ETHUSD")) as rig:
        await rig.until(lambda: rig.stats.connected == 1)
        assert rig.stats.symbol_problems == ["ETHUSD: unknown (did you mean ETHUSDT?)"]
        assert rig.stats.instruments == 1


def ranking(server: VenueServer, sizes: dict[str, int]) -> None:
    """Let the venue rank as told; what `sizes` holds may change."""
    server.protocol.rest = lambda method, path, query, body, now_ns: (  # type: ignore[method-assign]
        (200, json.dumps(sizes).encode())
        if path == "/ranking"
        else ToyVenue.rest(server.protocol, method, path, query, body, now_ns)  # type: ignore[arg-type]
    )


def followed(server: VenueServer) -> set[str]:
    """Symbols that the newest connection subscribed to."""
    return {topic.split(".")[1] for topic in server.clients[-1].topics}


async def test_top_follows_the_largest_by_open_interest() -> None:
    server = VenueServer(ToyVenue([instrument("AUSDT"), BTC, ETH]), SystemClock())
    ranking(server, {"ETHUSDT": 9, "BTCUSDT": 10, "AUSDT": 1})
    async with running(server=server, top=2) as rig:
        await rig.subscribed()
        assert followed(server) == {"BTCUSDT", "ETHUSDT"}


async def test_top_is_ranked_anew_without_a_gap() -> None:
    server = VenueServer(ToyVenue([instrument("AUSDT"), BTC, ETH]), SystemClock())
    sizes = {"ETHUSDT": 9, "BTCUSDT": 10, "AUSDT": 1}
    ranking(server, sizes)
    settings = replace(QUICK, metadata_every_s=0.15, metadata_gap_s=0.05, rank_every_s=0.1)
    async with running(settings, server=server, top=2) as rig:
        await rig.subscribed()
        await rig.quote()
        sizes["AUSDT"] = 50
        await rig.server.wait_for("subscribes", 6 + 6)
        await rig.quote()
        await rig.until(lambda: rig.stats.reconnects["topics"] == 1)
        assert followed(server) == {"BTCUSDT", "AUSDT"}
        assert not rig.gaps(Channel.PRICE)


async def test_new_listing_is_followed_after_the_periodic_refresh() -> None:
    venue = ToyVenue([BTC, ETH])
    settings = replace(QUICK, metadata_every_s=0.15, metadata_gap_s=0.05)
    async with running(settings, server=VenueServer(venue, SystemClock())) as rig:
        await rig.subscribed()
        await rig.quote()
        venue.instruments = (BTC, ETH, instrument("NEWUSDT"))
        await rig.server.wait_for("subscribes", 6 + 9)
        await rig.quote()
        await rig.until(lambda: rig.stats.reconnects["topics"] == 1)
        assert rig.stats.instruments == 3
        assert not rig.gaps(Channel.PRICE)


async def test_polled_channel_is_live_lost_and_live_again() -> None:
    async with running(channels=OI) as rig:
        await rig.until(lambda: rig.stats.up)
        assert rig.of(OpenInterest)[0].usd == 5_000_000
        await rig.until(lambda: {event.instrument.symbol for event in rig.of(OpenInterest)} == {"BTCUSDT", "ETHUSDT"})
        assert rig.stats.polls >= 2
        rig.server.faults.rest = RestFault(status=500)
        await rig.until(lambda: rig.stats.poll_errors["status_500"] >= 2)
        assert rig.stats.decode_errors == {}


async def test_stale_poll_takes_the_channel_down_and_recovery_closes_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.runtime.feeds.polling.LEAST_STALE_S", 0.2)
    async with running(channels=OI) as rig:
        await rig.until(lambda: rig.stats.up)
        rig.server.faults.rest = RestFault.html()
        await rig.until(lambda: rig.states(Channel.OPEN_INTEREST)[-1] == (False, "poll_failed"))
        assert rig.stats.poll_errors["malformed"] >= 1
        rig.server.faults.rest = None
        await rig.until(lambda: rig.stats.up)
        (gap,) = rig.gaps(Channel.OPEN_INTEREST)
        assert gap.reason == "poll_failed"
        assert gap.end_ns - gap.start_ns >= 0.2e9


async def test_rate_limit_of_a_poll_stops_all_requests_to_the_host_for_as_long_as_it_asks() -> None:
    async with running(channels=OI) as rig:
        await rig.until(lambda: rig.stats.up)
        rig.server.faults.rest = RestFault.rate_limited(1, status=418)
        await rig.until(lambda: rig.stats.poll_errors["rate_limited"] >= 1)
        await asyncio.sleep(0.05)  # what was asked at the same time is answered, too
        limited_ns, asked = now_ns(), rig.server.counts["rest"]
        rig.server.faults.rest = None
        good = rig.stats.polls
        await rig.until(lambda: rig.stats.polls > good)
        assert now_ns() - limited_ns >= 0.85e9
        assert rig.server.counts["rest"] <= asked + 2 + (rig.stats.polls - good)


async def test_tap_hears_everything_that_crosses_the_wire() -> None:
    heard: Counter[TapKind] = Counter()
    frames: list[Frame] = []

    def tap(connection: str, kind: TapKind, payload: Frame, recv_ns: int) -> None:
        heard[kind] += 1
        frames.append(payload)
        assert connection
        assert recv_ns > 0

    async with running(channels=frozenset({Channel.PRICE, Channel.OPEN_INTEREST}), tap=tap) as rig:
        await rig.subscribed()
        await rig.server.broadcast("{not json")
        await rig.until(lambda: rig.stats.decode_errors["malformed"] == 1 and rig.stats.polls > 0)
        rig.server.drop_all()
        await rig.until(lambda: heard["disconnect"] == 1)
    assert heard["connect"] >= 1
    assert heard["out"] >= 1
    assert heard["rest"] >= 1
    assert "{not json" in frames
