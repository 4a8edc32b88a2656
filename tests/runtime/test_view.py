"""What metrics, API and page are told, over a real engine and desk, with every number worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor import format as fmt
from monitor.alert import AlertState
from monitor.engine import Engine
from monitor.events import Channel, Event, FeedGap, FeedState, Liquidation, Price
from monitor.feed import Cap
from monitor.instruments import Instrument
from monitor.reading import FALSE, TRUE, UNKNOWN
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.alerting.worker import SinkStats
from monitor.runtime.feeds.saturation import Saturation
from monitor.runtime.feeds.stats import FeedStats, Refusal, UpTime
from monitor.runtime.load import load_text
from monitor.runtime.market import MarketBoard
from monitor.runtime.view import AppView, Happenings, Parts
from monitor.testing.manual_clock import ManualClock

S = 1_000_000_000
T0 = 1_763_700_000 * S
HOUR = 3600 * S
BTC = Instrument(venue="binance_usdm", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
ETH = Instrument(venue="bybit", symbol="ETHUSDT", base="ETH", quote="USDT", settle="USDT", kind="perp")
CONFIG = """
rules: [rules.yaml]
feeds:
  - {venue: binance_usdm, channels: [price, liquidations]}
  - {venue: bybit, channels: [price, liquidations]}
"""
RULES = """
groups:
  - name: desk
    rules:
      - {alert: Wiped, expr: 'sum(liquidations[1h]) by (base) > 3M', min_coverage: 50%}
      - {alert: Low, expr: 'price by (base) < 90k', for: 5m}
      - {alert: Absent, expr: 'etf_flow < 0'}
      - {alert: BtcBelow82k, expr: 'price{base="BTC"} by (base) < 82k', for: 5m}
      - {alert: LargeHoldingMoves, expr: 'sum(external{name="moved_btc"}[24h]) by () * price{base="BTC"} by () > 500M'}
      - {alert: InOrder, expr: 'price by (base) < 90k then sum(liquidations[1h]) by (base) > 3M within 30m'}
"""


@dataclass
class Rig:
    view: AppView
    engine: Engine
    desk: AlertDesk
    stats: dict[str, FeedStats]
    clock: ManualClock

    def take(self, *events: Event) -> None:
        self.engine.ingest(list(events))
        self.view.parts.board.update(events)
        now_ns = self.clock.wall_ns()
        self.desk.step(self.engine.evaluate(now_ns), now_ns)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    loaded, clock = load_text(CONFIG, "config.yaml", tmp_path, {}), ManualClock(T0)
    engine = Engine(loaded.rules, expected=loaded.expected())
    outbox: Any = SimpleNamespace(submit=lambda _: None, stats={"console": SinkStats()})
    desk = AlertDesk(
        loaded, routing=loaded.routing, sinks=[], engine=engine, store=None, delivery=outbox, clock=clock
    )  # fmt: skip
    stats = {feed.spec.venue: FeedStats(feed.spec.venue) for feed in loaded.feeds}
    unused: Any = SimpleNamespace(trouble=lambda _: "", last_turn_s=0.003, turns=5)
    parts = Parts(
        clock=clock,
        engine=engine,
        room=unused,
        board=MarketBoard(),
        feeds=[(feed, stats[feed.spec.venue]) for feed in loaded.feeds],
        store=unused,
        delivery=outbox,
        desk=desk,
        happenings=Happenings(started_ns=T0 - 60 * S, synthetic_note="made up"),
        min_coverage=0.8,
        sink_kinds={"console": "console"},
        slow=unused,
        snapshots=SimpleNamespace(last_copy_s=0.0, last_bytes=0),  # type: ignore[arg-type]
        pump=SimpleNamespace(dropped={"superseded": 3}),  # type: ignore[arg-type]
    )
    engine.evaluate(T0 - HOUR)
    up = [
        FeedState(venue, channel, up=True, ts_ns=T0 - HOUR)
        for venue in stats
        for channel in (Channel.PRICE, Channel.LIQUIDATIONS)
    ]
    engine.ingest(up)
    return Rig(AppView(parts), engine, desk, stats, clock)


def liquidation(instrument: Instrument, side: Any, usd: int, ago_s: int = 10) -> Liquidation:
    at_ns = T0 - ago_s * S
    return Liquidation(instrument, side, usd * 1_000_000, 1.0, at_ns, at_ns, f"{usd}{side}{ago_s}")


def test_windows_are_empty_before_the_first_evaluation_and_looking_changes_nothing(tmp_path: Path, rig: Rig) -> None:
    fresh = Engine(rig.engine.ruleset)
    rig.view.parts.engine = fresh
    assert rig.view.windows() == []
    assert fresh.now_ns == 0


def test_windows_add_up_by_venue_and_by_base(rig: Rig) -> None:
    rig.take(
        liquidation(BTC, "long", 2_000_000),
        liquidation(BTC, "long", 500_000, 20),
        liquidation(BTC, "short", 100_000),
        liquidation(ETH, "long", 50_000),
    )
    hour = [total for total in rig.view.windows() if total.window == "1h"]
    by_venue = {(total.venue, total.side): (total.usd_micros, total.count) for total in hour if total.venue}
    by_base = {(total.base, total.side): (total.usd_micros, total.count) for total in hour if total.base}
    assert by_venue == {
        ("binance_usdm", "long"): (2_500_000_000_000, 2),
        ("binance_usdm", "short"): (100_000_000_000, 1),
        ("bybit", "long"): (50_000_000_000, 1),
    }
    assert by_base == {
        ("BTC", "long"): (2_500_000_000_000, 2),
        ("BTC", "short"): (100_000_000_000, 1),
        ("ETH", "long"): (50_000_000_000, 1),
    }


def test_a_venue_that_comes_with_anothers_stream_has_no_uptime_of_its_own(rig: Rig) -> None:
    """Binance's stream brings coin-margined liquidations along; their venue has no feed here, which is not: down."""
    inverse = Instrument(
        venue="binance_coinm", symbol="BTCUSD_PERP", base="BTC", quote="USD", settle="BTC", kind="perp"
    )
    rig.take(liquidation(BTC, "long", 2_000_000), liquidation(inverse, "long", 1_000_000))
    hour = {total.venue: total.coverage_ratio for total in rig.view.windows() if total.window == "1h" and total.venue}
    assert hour["binance_usdm"] == 1.0
    assert math.isnan(hour["binance_coinm"])


def test_rules_show_state_and_settings_of_their_own(rig: Rig) -> None:
    rig.take(liquidation(BTC, "long", 4_000_000), Price(BTC, "mark", 80_000.0, T0, T0))
    wiped, low, absent = rig.view.rules()[:3]
    assert wiped.states == [AlertState.FIRING]
    assert (wiped.min_coverage, low.min_coverage) == (0.5, 0.8)
    assert (low.for_s, low.states) == (300.0, [AlertState.PENDING])
    assert (wiped.unit, low.unit) == ("USD", "price")
    assert wiped.last_evaluation_ns == T0
    assert absent.states == []


def test_a_rule_that_nothing_can_change_is_as_fresh_as_the_last_turn(rig: Rig) -> None:
    """It sleeps until its data comes, which may take a day: that is no reason to call it stale."""
    rig.take(Price(BTC, "mark", 80_000.0, T0, T0))
    rig.engine.evaluate(T0 + HOUR)
    assert {rule.last_evaluation_ns for rule in rig.view.rules()} == {T0 + HOUR}


def test_why_tells_the_nearest_miss_and_what_stands_behind(rig: Rig) -> None:
    rig.take(liquidation(BTC, "long", 2_000_000), liquidation(ETH, "long", 4_000_000))
    rows = {dict(row.labels)["base"]: row for row in rig.view.why("Wiped") or ()}
    assert (rows["BTC"].truth, rows["ETH"].truth) == (FALSE, TRUE)
    assert rows["BTC"].near_miss == "1M from the threshold (33.3% of it)"
    assert rows["ETH"].near_miss == ""
    (part,) = rows["BTC"].explanation.contributors
    assert (dict(part.labels)["venue"], part.value, part.share) == ("binance_usdm", 2_000_000.0, 1.0)
    assert rig.view.why("desk/Wiped") == rig.view.why("Wiped")


def test_a_sequence_has_no_nearest_miss(rig: Rig) -> None:
    """Its value may lie beyond the last stage's limit while the order is wrong."""
    rig.take(liquidation(BTC, "long", 4_000_000))
    rig.take(Price(BTC, "mark", 80_000.0, T0, T0))
    (row,) = rig.view.why("InOrder") or ()
    assert (row.truth, row.value, row.threshold, row.near_miss) == (FALSE, 4_000_000.0, 3_000_000.0, "")


def test_why_says_since_when_an_alert_is_on_and_what_it_waits_for(rig: Rig) -> None:
    rig.take(liquidation(ETH, "long", 4_000_000), Price(BTC, "mark", 80_000.0, T0, T0))
    (wiped,) = rig.view.why("Wiped") or ()
    assert wiped.reason.startswith("firing since 2025-11-21 04:40:00Z: the condition holds")
    (low,) = rig.view.why("Low") or ()
    assert low.reason == "pending since 2025-11-21 04:40:00Z, fires after 5m: the condition holds"


def test_why_calls_a_value_unknown_that_too_little_of_the_data_stands_behind(rig: Rig) -> None:
    """Three quarters of the hour were not seen: no all-clear, and no distance from the threshold."""
    gap = [FeedGap(venue, Channel.LIQUIDATIONS, T0 - HOUR, T0 - HOUR // 4, "drop") for venue in rig.stats]
    rig.take(*gap, liquidation(BTC, "long", 2_000_000))
    (row,) = rig.view.why("Wiped") or ()
    assert (row.state, row.truth, row.near_miss) == ("inactive", FALSE, "")
    assert row.reason == f"unknown: {fmt.share(row.coverage_ratio)} of the data is there, 50% is needed"
    assert row.coverage_ratio < 0.25, "a third venue has never been live"


def test_why_of_a_rule_without_data_and_of_none(rig: Rig) -> None:
    rig.take(liquidation(BTC, "long", 1))
    assert rig.view.why("NoSuchRule") is None
    assert all(row.truth == UNKNOWN and row.reason for row in rig.view.why("Absent") or ())


def test_a_feed_says_what_it_waits_for_and_how_it_fares(rig: Rig) -> None:
    stats = rig.stats["binance_usdm"]
    stats.uptime[Channel.PRICE] = up = UpTime()
    up.change(T0 - HOUR // 2, up=True)
    stats.uptime[Channel.LIQUIDATIONS] = UpTime()  # expected, never seen
    stats.saturation = Saturation(Cap(1), T0 - 100 * S)
    stats.saturation.note([liquidation(BTC, "long", 1, 30), liquidation(BTC, "long", 2, 29)])
    stats.refused["liquidations"] = Refusal("no such stream", T0)
    for _ in range(3):
        stats.note_unknown("NEWUSDT")
    binance, bybit = rig.view.feeds()
    assert not binance.up
    assert binance.last_error == "waiting for liquidations"
    assert Channel.OPEN_INTEREST.words == "open interest"
    assert binance.unknown_symbols == 3, "events, not names"
    assert binance.saturation_ratio == 2 / 100
    assert math.isnan(bybit.saturation_ratio), "this venue publishes everything"
    channels = {channel.channel: channel for channel in binance.channels}
    assert channels[Channel.PRICE].coverage_ratio == 0.5
    assert channels[Channel.LIQUIDATIONS].reason == "not live"
    assert channels[Channel.LIQUIDATIONS].law is not None
    assert [(topic.topic, topic.words) for topic in binance.refused] == [("liquidations", "no such stream")]


def test_the_process_says_that_its_data_is_made_up(rig: Rig) -> None:
    process = rig.view.process()
    assert (process.synthetic, process.synthetic_note) == (True, "made up")
    assert process.now_ns - process.started_ns == 60 * S
    assert process.buffer_dropped == {"superseded": 3}


def test_market_shows_last_prices_and_totals(rig: Rig) -> None:
    rig.take(liquidation(BTC, "long", 7), Price(BTC, "mark", 80_000.0, T0, T0), Price(BTC, "mark", 81_000.0, T0, T0))
    market = rig.view.market()
    prices = dict(zip(market.price_usd.keys, market.price_usd.values, strict=True))
    assert prices == {("binance_usdm", "BTCUSDT", "BTC", "mark"): 81_000.0}
    totals = dict(zip(market.liquidations_usd_micros.keys, market.liquidations_usd_micros.values, strict=True))
    assert totals == {("binance_usdm", "BTC", "long"): 7_000_000}


def test_signals_without_input_are_absent_with_a_reason(rig: Rig) -> None:
    rig.take(liquidation(BTC, "long", 1))
    shown = rig.view.signals()
    assert shown is not None
    rows = {row.id: row for row in shown}
    assert len(rows) == 37
    assert rows["S22"].absent, "no flow of funds was given"
    assert math.isnan(rows["S22"].value)


def test_a_signal_of_the_inlet_says_what_to_push_whatever_sources_are_silent(rig: Rig) -> None:
    rig.take(FeedState("coingecko", Channel.REFERENCE, up=False, ts_ns=T0))
    shown = rig.view.signals()
    assert shown is not None
    absent = {row.id: row.absent for row in shown}
    assert absent["S35"] == "no data; configure inlets: push moved_btc, in coins"
    assert absent["S34"] == "rule RateCutUnlikely is not loaded"


async def test_a_signal_fires_when_an_alert_of_its_rules_does_not_when_a_condition_is_true(rig: Rig) -> None:
    def level() -> tuple[float, bool]:
        shown = rig.view.signals()
        assert shown is not None
        (row,) = [row for row in shown if row.id == "S17"]
        return row.value, row.firing

    for minute, usd, firing in ((0, 83_000.0, False), (1, 81_900.0, False), (7, 81_800.0, True), (8, 83_000.0, False)):
        now_ns = T0 + minute * 60 * S
        await rig.clock.advance((now_ns - rig.clock.wall_ns()) / S)
        rig.take(Price(BTC, "mark", usd, now_ns, now_ns))
        assert level() == (usd, firing), minute
