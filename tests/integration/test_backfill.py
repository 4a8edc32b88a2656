"""History beside a running feed, over real sockets: asked once, kept, handed over as history; gaps filled after a reconnect."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import NS_PER_S, SystemClock
from monitor.engine.past.needs import HistoryNeed
from monitor.events import Channel, Event, FeedGap, Liquidation, MarketEvent, OpenInterest, Price
from monitor.feeds import make_feed
from monitor.instruments import Instrument
from monitor.past import DAY_NS, HOUR_NS
from monitor.runtime.feeds import backfill
from monitor.runtime.feeds.backfill import Backfill, runs
from monitor.runtime.feeds.backfill_shelf import Shelf
from monitor.runtime.feeds.desk import Desk
from monitor.testing.faults import RestFault
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
from monitor.transports.http import HttpClient
from tests.feeds.test_history import Ramp
from tests.integration.harness import QUICK, Rig, now_ns, running
from tests.integration.test_venues import instrument_of

SETTINGS = replace(QUICK, poll_speed=1000.0)
NEEDS = [
    HistoryNeed(Channel.PRICE, lambda _: True, 30 * DAY_NS, DAY_NS),
    HistoryNeed(Channel.PRICE, lambda _: True, 2 * DAY_NS, HOUR_NS),
    HistoryNeed(Channel.OPEN_INTEREST, lambda _: True, 2 * DAY_NS, HOUR_NS),
]


class Taken:
    """Where history goes, and the backfill that sends it."""

    def __init__(self, data_dir: Path, needs: Sequence[HistoryNeed] = NEEDS, stopped_ns: int = 0) -> None:
        self.events: list[Event] = []
        self.backfill: Backfill | None = None
        self._data_dir, self._needs, self._stopped_ns = data_dir, needs, stopped_ns

    def make(self, desk: Desk, http: HttpClient) -> Backfill:
        self.backfill = Backfill(
            desk, http, Shelf(self._data_dir), needs=lambda: self._needs, remember=self.remember, stopped_ns=self._stopped_ns
        )  # fmt: skip
        return self.backfill

    async def remember(self, events: Sequence[Event]) -> None:
        self.events += events

    @property
    def points(self) -> list[MarketEvent]:
        return [event for event in self.events if isinstance(event, Price | OpenInterest)]

    @property
    def covered(self) -> list[FeedGap]:
        return [event for event in self.events if isinstance(event, FeedGap)]

    @property
    def state(self) -> str:
        return self.backfill.stats.state if self.backfill else ""


def is_done(taken: Taken) -> bool:
    return taken.state == "done"


def venue(name: str) -> tuple[VenueServer, Instrument]:
    item = instrument_of(name)
    server = VenueServer(make_protocol(name, [item]), SystemClock())
    server.past = Ramp()
    return server, item


def rig_of(
    name: str, taken: Taken, server: VenueServer, channels: frozenset[Channel] | None = None
) -> AbstractAsyncContextManager[Rig]:
    return running(
        SETTINGS,
        server=server,
        channels=channels or frozenset({Channel.PRICE, Channel.OPEN_INTEREST, Channel.LIQUIDATIONS}),
        make_feed=functools.partial(make_feed, name),
        past=taken.make,
    )


@pytest.mark.parametrize("name", ["binance_usdm", "bybit", "okx"])
async def test_the_past_is_fetched_once_and_kept(name: str, tmp_path: Path) -> None:
    counts = []
    points = []
    for _ in range(2):
        server, _item = venue(name)
        taken = Taken(tmp_path)
        async with rig_of(name, taken, server) as rig:
            await rig.until(functools.partial(is_done, taken))
        counts.append(taken.backfill.stats.made)  # type: ignore[union-attr]
        points.append([(type(event), event.ts_ns) for event in taken.points])
    assert counts[0] >= 3
    assert counts[1] <= 1  # an hour may have ended in between
    assert len(points[0]) >= 30 + 48 + 48
    assert set(points[0]) <= set(points[1])


async def test_what_is_handed_over_is_history_in_time_order_and_covers_its_time(tmp_path: Path) -> None:
    server, item = venue("bybit")
    taken = Taken(tmp_path)
    async with rig_of("bybit", taken, server) as rig:
        await rig.until(lambda: taken.state == "done")
        stats = taken.backfill.stats  # type: ignore[union-attr]
    assert all(event.backfill for event in taken.points)  # type: ignore[union-attr]
    assert stats.points[Channel.PRICE] == len([event for event in taken.points if isinstance(event, Price)])
    assert (stats.wanted, stats.made, sum(stats.failures.values())) == (3, 3, 0)
    days = {(gap.channel, round((gap.end_ns - gap.start_ns) / DAY_NS / 2) * 2) for gap in taken.covered}
    assert days in ({(Channel.PRICE, n), (Channel.PRICE, 2), (Channel.OPEN_INTEREST, 2)} for n in (30, 32))
    assert all(gap.filled and gap.venue == item.venue for gap in taken.covered)


async def test_a_failing_past_harms_nothing_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "AGAIN_S", 1e9)
    server, item = venue("bybit")
    server.past = None  # the protocol answers 404
    taken = Taken(tmp_path)
    async with rig_of("bybit", taken, server) as rig:
        await rig.until(lambda: taken.state == "partial")
        await server.publish(Price(item, "mark", 84_000.0, now_ns(), now_ns()))
        await rig.sees(84_000.0)
        stats = taken.backfill.stats  # type: ignore[union-attr]
    assert stats.failures["status_404"] == 9  # three requests, three attempts each
    assert "bybit/history/" in stats.last_error
    assert taken.events == []


async def test_a_rate_limited_past_waits_and_goes_on(tmp_path: Path) -> None:
    server, _ = venue("bybit")
    taken = Taken(tmp_path, NEEDS[:1])
    async with rig_of("bybit", taken, server) as rig:
        await rig.until(lambda: taken.state == "done")
        assert taken.backfill is not None
        server.faults.rest = RestFault.rate_limited(0)
        taken.backfill._needs = lambda: NEEDS[1:2]
        taken.backfill.rules_changed()
        await rig.until(lambda: taken.backfill is not None and taken.backfill.stats.failures["rate_limited"] > 0)
        server.faults.rest = None
        await rig.until(lambda: taken.state == "done")


async def test_damaged_files_are_fetched_again(tmp_path: Path) -> None:
    server, item = venue("bybit")
    path = Shelf(tmp_path).path(item, Channel.PRICE, DAY_NS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"version":1,"points":[[')
    taken = Taken(tmp_path, NEEDS[:1])
    async with rig_of("bybit", taken, server) as rig:
        await rig.until(lambda: taken.state == "done")
    assert len(taken.points) >= 29


def forced(item: Instrument, usd: int) -> Liquidation:
    return Liquidation(item, "long", usd * 1_000_000, 50_000.0, now_ns(), now_ns())


async def live(rig: Rig, item: Instrument, value: float) -> None:
    await rig.server.publish(Price(item, "mark", value, now_ns(), now_ns()))
    await rig.sees(value)


@pytest.mark.parametrize("name", ["okx", "deribit", "kraken_futures"])
async def test_a_gap_is_filled_after_a_reconnect(name: str, tmp_path: Path) -> None:
    server, item = venue(name)
    taken = Taken(tmp_path, [])
    channels = frozenset({Channel.PRICE, Channel.LIQUIDATIONS})
    async with rig_of(name, taken, server, channels) as rig:
        await rig.until(lambda: bool(server.clients) and not rig.stats.instruments_error)
        await rig.until(lambda: server.counts["subscribes"] >= 2)
        await live(rig, item, 50_000.0)
        server.faults.refuse_status = 503
        server.drop_all()
        await rig.until(lambda: not server.clients and rig.stats.connected == 0)
        await server.publish(forced(item, 1_000), forced(item, 2_000))
        server.faults.refuse_status = None
        await rig.until(lambda: bool(server.clients))
        await rig.until(lambda: server.counts["subscribes"] >= 4)
        await live(rig, item, 50_001.0)
        await rig.until(lambda: any(gap.filled for gap in taken.covered))
    lost = [event for event in taken.events if isinstance(event, Liquidation)]
    assert sorted(event.usd_micros for event in lost) == [1_000_000_000, 2_000_000_000]
    assert all(event.backfill for event in lost)
    (gap,) = [gap for gap in rig.gaps(Channel.LIQUIDATIONS) if not gap.filled][:1]
    filled = next(event for event in taken.covered if event.channel is Channel.LIQUIDATIONS)
    assert (filled.start_ns, filled.end_ns) == (gap.start_ns, gap.end_ns)
    assert taken.backfill is not None
    assert taken.backfill.stats.gaps["filled"] >= 1


async def test_what_was_under_way_when_the_connection_broke_is_had_and_what_arrived_is_not_counted_twice(
    tmp_path: Path,
) -> None:
    server, item = venue("okx")
    taken = Taken(tmp_path, [])
    async with rig_of("okx", taken, server, frozenset({Channel.PRICE, Channel.LIQUIDATIONS})) as rig:
        await rig.until(lambda: server.counts["subscribes"] >= 2)
        await live(rig, item, 50_000.0)
        await server.publish(forced(item, 7_000))
        await rig.until(lambda: bool(rig.of(Liquidation)))
        under_way = replace_ts(forced(item, 3_000), now_ns() - NS_PER_S // 10)
        server.faults.refuse_status = 503
        server.drop_all()
        await rig.until(lambda: not server.clients and rig.stats.connected == 0)
        await server.publish(under_way)
        server.faults.refuse_status = None
        await rig.until(lambda: server.counts["subscribes"] >= 4)
        await live(rig, item, 50_001.0)
        await rig.until(lambda: any(gap.filled for gap in taken.covered))
    assert [event.usd_micros for event in taken.events if isinstance(event, Liquidation)] == [3_000_000_000]
    assert [event.usd_micros for event in rig.of(Liquidation)] == [7_000_000_000]


async def test_where_the_venue_keeps_nothing_the_gap_stays(tmp_path: Path) -> None:
    server, item = venue("bybit")
    taken = Taken(tmp_path, [])
    async with rig_of("bybit", taken, server) as rig:
        await rig.until(lambda: server.counts["subscribes"] >= 2)
        await live(rig, item, 50_000.0)
        server.drop_all()
        await rig.until(lambda: server.counts["subscribes"] >= 4)
        await live(rig, item, 50_001.0)
        await rig.until(lambda: taken.backfill is not None and taken.backfill.stats.gaps["lost"] >= 1)
    assert taken.events == []


async def test_the_time_without_the_program_is_a_gap_that_is_filled(tmp_path: Path) -> None:
    server, item = venue("okx")
    taken = Taken(tmp_path, [], stopped_ns=now_ns() - 60 * NS_PER_S)
    async with server:
        await server.publish(replace_ts(forced(item, 5_000), now_ns() - 30 * NS_PER_S))
    async with rig_of("okx", taken, server, frozenset({Channel.PRICE, Channel.LIQUIDATIONS})) as rig:
        await rig.until(lambda: server.counts["subscribes"] >= 2)
        await live(rig, item, 50_000.0)
        await rig.until(lambda: any(gap.filled for gap in taken.covered))
    assert [event.usd_micros for event in taken.events if isinstance(event, Liquidation)] == [5_000_000_000]


def replace_ts(event: Liquidation, ts_ns: int) -> Liquidation:
    return Liquidation(event.instrument, event.side, event.usd_micros, event.price, ts_ns, ts_ns)


def test_a_hole_in_the_history_is_not_covered() -> None:
    times = [1 * HOUR_NS, 2 * HOUR_NS, 9 * HOUR_NS, 10 * HOUR_NS]
    assert runs(times, HOUR_NS, 11 * HOUR_NS) == [(0, 2 * HOUR_NS), (8 * HOUR_NS, 11 * HOUR_NS)]


def test_settlements_every_eight_hours_are_no_holes() -> None:
    times = [8 * n * HOUR_NS for n in range(1, 6)]
    assert runs(times, HOUR_NS, 41 * HOUR_NS) == [(7 * HOUR_NS, 41 * HOUR_NS)]
