"""An alert on liquidations says which venues publish only a part of them."""

from __future__ import annotations

from monitor.clock import NS_PER_S
from monitor.events import Channel, Liquidation
from monitor.feed import Cap, Feed, FeedOptions
from monitor.feeds import make_feed
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.runtime.alerting.reporting import Reporting
from monitor.runtime.feeds.saturation import Saturation
from monitor.runtime.feeds.stats import FeedStats

NOW_NS = 1_763_700_000 * NS_PER_S
BTC = Instrument(venue="binance_usdm", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
RULES = """
groups:
  - name: desk
    rules:
      - {record: longs_1h, expr: 'sum(liquidations{side="long"}[1h])'}
      - {alert: All, expr: 'sum(liquidations[1h]) > 1B'}
      - {alert: Recorded, expr: longs_1h > 1B}
      - {alert: Bybit, expr: 'sum(liquidations{venue="bybit"}[1h]) > 1B'}
      - {alert: Coin, expr: 'sum(liquidations{venue="binance_coinm"}[1h]) > 1B'}
      - {alert: Price, expr: price by (base) < 80k}
"""


def feed(venue: str, *channels: Channel) -> tuple[Feed, FeedStats]:
    options = FeedOptions(channels=frozenset(channels or (Channel.LIQUIDATIONS,)))
    return make_feed(venue, options), FeedStats(venue)


def notes(rule: str, *feeds: tuple[Feed, FeedStats]) -> tuple[str, ...]:
    return Reporting(load_rules([("r.yaml", RULES)]), lambda: feeds, lambda: NOW_NS).notes(f"desk/{rule}")


def test_a_venue_at_its_cap_is_named_with_how_often_it_stood_there() -> None:
    binance = feed("binance_usdm")
    binance[1].saturation = Saturation(Cap(1), NOW_NS - 100 * NS_PER_S)
    binance[1].saturation.note(
        Liquidation(BTC, "long", 1, 1.0, at_ns, at_ns) for at_ns in range(NOW_NS - 61 * NS_PER_S, NOW_NS, NS_PER_S)
    )
    assert notes("All", binance, feed("bybit"), feed("hyperliquid")) == (
        "a lower bound: sampled by Binance USD-M (at its cap in 61% of symbol-seconds); not published by Hyperliquid",
    )


def test_it_follows_recordings() -> None:
    assert notes("Recorded", feed("htx")) == ("a lower bound: sampled by HTX",)


def test_only_the_venues_that_the_rule_reads_are_named() -> None:
    assert notes("Bybit", feed("binance_usdm"), feed("bybit")) == ()


def test_who_carries_another_venues_liquidations_is_named_for_them() -> None:
    assert notes("Coin", feed("binance_usdm"), feed("bybit")) == ("a lower bound: sampled by Binance USD-M",)


def test_a_venue_without_the_channel_is_not_named() -> None:
    assert notes("All", feed("binance_usdm", Channel.PRICE)) == ()


def test_a_rule_without_liquidations_has_no_note() -> None:
    assert notes("Price", feed("binance_usdm")) == ()
