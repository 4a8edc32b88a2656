from __future__ import annotations

from monitor.events import Channel, Sample, Trade
from monitor.runtime.feeds.stats import FeedStats
from tests.integration.harness import liquidation, price
from tests.toy_venue import BTC


def test_events_are_counted_by_type_and_last_message_by_channel() -> None:
    stats = FeedStats("toy")
    sample = Sample("tvl", (), 1.0, 1, 1)
    channels = stats.record([price(), price(), liquidation(), sample], 77)
    assert channels == {Channel.PRICE, Channel.LIQUIDATIONS, Channel.REFERENCE}
    assert stats.events == {"price": 2, "liquidation": 1, "sample": 1}
    assert stats.last_message_ns == dict.fromkeys(channels, 77)


def test_clock_offset_is_the_median_and_positive_when_the_venue_is_ahead() -> None:
    stats = FeedStats("toy")
    assert stats.clock_offset_s() is None
    for ahead_s in (1.2, 1.3, 50.0):
        stats.record([Trade(BTC, "buy", 1, 1.0, int((100 + ahead_s) * 1e9), 100 * 10**9)], 1)
    assert stats.clock_offset_s() == 1.3


def test_history_says_nothing_about_the_clock() -> None:
    stats = FeedStats("toy")
    stats.record([Trade(BTC, "buy", 1, 1.0, 1, 100, backfill=True)], 1)
    assert stats.clock_offset_s() is None


def test_names_of_unknown_symbols_are_bounded() -> None:
    stats = FeedStats("toy")
    for number in range(1000):
        stats.note_unknown(f"S{number}")
    assert stats.dropped["unknown_instrument"] == 1000
    assert len(stats.unknown_symbols) == 200
