"""How often a venue's liquidations stood at its cap, with every number worked out by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.events import Liquidation, PositionSide
from monitor.feed import Cap
from monitor.instruments import Instrument
from monitor.runtime.feeds.saturation import Saturation

BTC = Instrument(venue="toy", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
ETH = Instrument(venue="toy", symbol="ETHUSDT", base="ETH", quote="USDT", settle="USDT", kind="perp")
START_S = 1_763_700_000
START_NS = START_S * NS_PER_S


def row(instrument: Instrument, second: float, side: PositionSide = "long", *, backfill: bool = False) -> Liquidation:
    at_ns = START_NS + int(second * NS_PER_S)
    return Liquidation(instrument, side, 1_000_000, 1.0, at_ns, at_ns, backfill=backfill)


def after(seconds: float) -> int:
    return START_NS + int(seconds * NS_PER_S)


def test_the_share_is_over_the_seconds_of_the_symbols_that_had_a_liquidation() -> None:
    saturation = Saturation(Cap(1), START_NS)
    saturation.note([row(BTC, 1), row(BTC, 2.5), row(ETH, 2.7)])
    assert saturation.ratio(after(100)) == 3 / 200


def test_two_rows_of_one_second_are_one_second_at_the_cap() -> None:
    saturation = Saturation(Cap(1), START_NS)
    saturation.note([row(BTC, 1.1), row(BTC, 1.2), row(BTC, 1.3, "short")])
    assert saturation.ratio(after(10)) == 1 / 10


def test_a_cap_of_two_is_not_reached_by_one_row() -> None:
    saturation = Saturation(Cap(2), START_NS)
    saturation.note([row(BTC, 1), row(BTC, 2), row(BTC, 2.9)])
    assert saturation.ratio(after(10)) == 1 / 10


def test_a_cap_per_side_is_not_reached_by_the_two_sides_together() -> None:
    saturation = Saturation(Cap(2, per_side=True), START_NS)
    saturation.note([row(BTC, 1), row(BTC, 1.5, "short")])
    assert saturation.ratio(after(10)) == 0
    saturation.note([row(BTC, 1.6, "short")])
    assert saturation.ratio(after(10)) == 1 / 10


def test_an_hour_later_it_is_forgotten() -> None:
    saturation = Saturation(Cap(1), START_NS)
    saturation.note([row(BTC, 1)])
    assert saturation.ratio(after(3_500)) == 1 / 3_500
    assert saturation.ratio(after(3_700)) == 0


def test_backfilled_rows_tell_nothing_about_the_cap() -> None:
    saturation = Saturation(Cap(1), START_NS)
    saturation.note([row(BTC, 1, backfill=True)])
    assert saturation.ratio(after(10)) == 0


@given(st.lists(st.tuples(st.sampled_from([BTC, ETH]), st.integers(0, 5_000)), max_size=80), st.integers(1, 3))
def test_in_order_it_agrees_with_counting_by_hand(rows: list[tuple[Instrument, int]], cap: int) -> None:
    rows.sort(key=lambda item: item[1])
    saturation = Saturation(Cap(cap), START_NS)
    saturation.note([row(*item) for item in rows])
    now_s = 5_000
    first = (START_S + now_s) // 60 * 60 - 3_540 - START_S  # whole minutes, as kept
    recent = [(instrument.symbol, second) for instrument, second in rows if second >= first]
    capped = {pair for pair in recent if recent.count(pair) >= cap}
    expected = len(capped) / (len({symbol for symbol, _ in recent}) * 3_600) if recent else 0.0
    assert saturation.ratio(after(now_s)) == expected
