"""The derived series together: what comes in, what follows, and what the configuration may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.derived.baskets import DAY_NS
from monitor.derived.desk import DerivedDesk, read_derived
from monitor.events import Price, Sample
from monitor.instruments import Instrument

S = 10**9


def price(base: str, value: float, ts_ns: int, *, backfill: bool = False) -> Price:
    pair = Instrument(venue="v", symbol=base, base=base, quote="USDT", settle="USDT", kind="perp")
    return Price(pair, "last" if backfill else "mark", value, ts_ns, ts_ns, backfill=backfill)


def test_baskets_and_holdings_follow_the_prices_at_their_pace() -> None:
    desk = DerivedDesk(
        read_derived(
            {
                "baskets": {"majors": ["BTC", "ETH"], "odd": {"XYZ": 2}},
                "treasuries": [{"holder": "h", "base": "ETH", "quantity": 1_000, "cost_price_usd": 4_000}],
            }
        )
    )
    desk.take([price("BTC", 90_000, S), price("ETH", 3_000, S)])
    first = {(s.series, s.labels[0][1]): s.value for s in desk.tick(S)}
    assert first == {
        ("basket", "majors"): 100.0,
        ("treasury_pnl", "ETH"): -1_000_000.0,
        ("treasury_distance", "ETH"): -0.25,
    }
    desk.take([price("BTC", 81_000, 2 * S)])
    assert desk.tick(2 * S) == []
    later = {s.series: s.value for s in desk.tick(7 * S)}
    assert later["basket"] == pytest.approx(95.0)


def test_stale_prices_say_nothing() -> None:
    desk = DerivedDesk(read_derived({"baskets": {"b": ["BTC"]}}))
    desk.take([price("BTC", 90_000, S)])
    assert [s.value for s in desk.tick(S)] == [100.0]
    assert desk.tick(100 * S) == []


def test_bands_are_worked_out_once_a_day_from_closes_and_ranks() -> None:
    desk = DerivedDesk(read_derived({"baskets": {}}))
    caps = [("BTC", 3.0), ("ETH", 2.0), ("SOL", 1.0), ("USDT", 9.0), ("total", 99.0)]
    desk.take([Sample("market_cap", (("asset", asset),), cap, 0, 0) for asset, cap in caps])
    assert desk.ranks() == ["BTC", "ETH", "SOL"]
    assert desk.tick(1) == []
    rows = [
        price(base, 100 + (day * factor) % 7, day * DAY_NS, backfill=True)
        for day in range(1, 40)
        for base, factor in (("BTC", 3), ("ETH", 3), ("SOL", 5))
    ]
    desk.take(rows)
    found = desk.tick(40 * DAY_NS)
    assert [(s.series, s.ts_ns) for s in found] == [("band_correlation", 39 * DAY_NS)]
    assert desk.tick(41 * DAY_NS) == []


def test_what_moves_with_something_else_takes_no_rank() -> None:
    desk = DerivedDesk(read_derived({}))
    names = ("btc", "usd1", "buidl", "wbeth", "rlusd", "jitosol", "sol")
    desk.take([Sample("market_cap", (("asset", name),), 9.0 - place, 0, 0) for place, name in enumerate(names)])
    assert desk.ranks() == ["btc", "sol"]


def test_closes_in_another_currency_or_with_a_premium_are_not_those_of_the_coin() -> None:
    """Whoever came last was the close: an ether of 0.035 bitcoins decoupled from itself."""

    def correlation(*others: Instrument) -> list[float]:
        desk = DerivedDesk(read_derived({"baskets": {}}))
        desk.take([Sample("market_cap", (("asset", base),), cap, 0, 0) for base, cap in (("BTC", 2.0), ("ETH", 1.0))])
        for day in range(1, 40):
            at = day * DAY_NS
            desk.take([price(base, 100 + (day * 3) % 7, at, backfill=True) for base in ("BTC", "ETH")])
            desk.take([Price(item, "last", 1 + day * 5 % 11, at, at, backfill=True) for item in others])
        return [sample.value for sample in desk.tick(40 * DAY_NS)]

    pair = Instrument(venue="v", symbol="ETHBTC", base="ETH", quote="BTC", settle="BTC", kind="spot")
    dated = Instrument(venue="v", symbol="ETH-27MAR26", base="ETH", quote="USD", settle="USD", kind="future")
    assert correlation(pair) == correlation(dated) == correlation() == [pytest.approx(1.0)]


def test_a_basket_may_say_how_often_it_is_rebalanced() -> None:
    said = {"weights": {"BTC": 3, "ETH": 1}, "rebalance_days": 30}
    plain, weighted, rare = read_derived({"baskets": {"a": ["BTC"], "b": {"BTC": 2}, "c": said}}).baskets
    assert (plain.weights, plain.rebalance_days) == ({"BTC": 1.0}, 7)
    assert (weighted.weights, weighted.rebalance_days) == ({"BTC": 2.0}, 7)
    assert (rare.weights, rare.rebalance_days) == ({"BTC": 3.0, "ETH": 1.0}, 30)


def test_bands_may_be_chosen() -> None:
    assert read_derived({"bands": [[1, 5], [20, 30]]}).bands == ((1, 5), (20, 30))
    assert read_derived({}).bands == ((1, 10), (50, 100))


def test_streaks_answer_at_once() -> None:
    desk = DerivedDesk(read_derived({"streaks": [{"name": "co", "limit": 1.0}]}))
    thursday = 1_763_672_400 * S
    (streak,) = desk.take([Sample("external", (("name", "co"), ("source", "d")), 0.9, thursday, thursday)])
    assert (streak.series, streak.value) == ("streak", 1.0)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"bskets": {}}, "unknown key bskets"),
        ({"baskets": []}, "must map names"),
        ({"baskets": {"b": {"BTC": "x"}}}, "must be numbers"),
        ({"baskets": {"b": "BTC"}}, "positive number"),
        ({"baskets": {"b": {"weights": ["BTC"], "rebalance": 3}}}, "unknown key rebalance"),
        ({"baskets": {"b": {"weights": ["BTC"], "rebalance_days": "x"}}}, "whole number of days"),
        ({"baskets": {"b": {"weights": ["BTC"], "rebalance_days": 0}}}, "at least 1"),
        ({"treasuries": [{"holder": "h", "base": "BTC", "quantity": "x", "cost_price_usd": 1}]}, "must be numbers"),
        ({"streaks": [{"name": "co", "limit": "x"}]}, "limit must be a number"),
        ({"streaks": [{"name": "co", "limit": 1, "side": "belw"}]}, "below or above, not 'belw'"),
        ({"streaks": [{"name": "co", "limit": 1, "zone": "Nowhere/X"}]}, "no time zone"),
        ({"treasuries": [{"holder": "h"}]}, "missing"),
        ({"treasuries": "x"}, "list of mappings"),
        ({"streaks": [{"name": "co", "limit": 1, "holidays": "2025-12-24"}]}, "list of dates"),
        ({"streaks": [{"name": "co", "limit": 1, "holidays": ["Christmas"]}]}, "list of dates"),
        ({"peaks": 126_200}, "map coins to prices"),
        ({"peaks": {"BTC": "high"}}, "peaks: BTC: a price"),
        ({"peaks": {"BTC": -1}}, "peaks: BTC: a price"),
        ({"every_s": 0}, "positive number of seconds"),
        ({"bands": [[10, 1]]}, "pairs of ranks"),
        ({"bands": [[1, 2, 3]]}, "pairs of ranks"),
        ({"bands": "1-10"}, "pairs of ranks"),
    ],
)
def test_bad_configuration_is_refused_in_words(raw: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_derived(raw)


SPEC: dict[str, Any] = {
    "baskets": {"majors": ["BTC", "ETH"]},
    "streaks": [{"name": "co", "limit": 1.0}],
}
FLOW = (("asset", "BTC"), ("fund", "total"))


def restarted(desk: DerivedDesk, raw: dict[str, Any], now_ns: int) -> DerivedDesk:
    kept = json.loads(json.dumps(desk.memory(now_ns)))
    again = DerivedDesk(read_derived(raw))
    again.recall(kept, now_ns)
    return again


def levels(samples: list[Sample]) -> list[float]:
    return [sample.value for sample in samples if sample.series == "basket"]


def test_a_basket_goes_on_over_a_restart_where_it_was() -> None:
    desk = DerivedDesk(read_derived(SPEC))
    desk.take([price("BTC", 90_000, S), price("ETH", 3_000, S)])
    assert levels(desk.tick(S)) == [100.0]
    desk.take([price("BTC", 99_000, 2 * S), price("ETH", 3_300, 2 * S)])
    assert levels(desk.tick(7 * S)) == pytest.approx([110.0])
    again = restarted(desk, SPEC, 8 * S)
    again.take([price("BTC", 99_000, 9 * S)])  # one coin is back before the other
    assert levels(again.tick(9 * S)) == pytest.approx([110.0])


def test_a_basket_whose_weights_were_changed_goes_on_at_its_level() -> None:
    desk = DerivedDesk(read_derived(SPEC))
    desk.take([price("BTC", 90_000, S), price("ETH", 3_000, S)])
    desk.tick(S)
    desk.take([price("BTC", 99_000, 2 * S), price("ETH", 3_300, 2 * S)])
    desk.tick(7 * S)
    again = restarted(desk, {"baskets": {"majors": {"BTC": 3, "SOL": 1}}}, 8 * S)
    again.take([price("BTC", 99_000, 9 * S), price("SOL", 150, 9 * S)])
    assert levels(again.tick(9 * S)) == pytest.approx([110.0])


def test_streaks_and_months_go_on_over_a_restart() -> None:
    desk = DerivedDesk(read_derived(SPEC))
    thursday = 1_763_672_400 * S

    def company(day: int) -> Sample:
        at_ns = thursday + day * DAY_NS
        return Sample("external", (("name", "co"), ("source", "d")), 0.9, at_ns, at_ns)

    def flow(day: int) -> Sample:
        return Sample("etf_flow", FLOW, -5.0, thursday + day * DAY_NS, thursday + day * DAY_NS)

    desk.take([company(-1), company(0), flow(-1), flow(0)])
    again = restarted(desk, SPEC, thursday)
    streak, month = again.take([company(1), flow(1)])
    assert (streak.series, streak.value) == ("streak", 3.0)
    assert (month.series, month.value) == ("etf_flow_month", -15.0)


def test_what_is_later_than_now_is_not_recalled() -> None:
    desk = DerivedDesk(read_derived(SPEC))
    desk.take([price("BTC", 90_000, S), price("ETH", 3_000, S)])
    desk.tick(S)
    again = DerivedDesk(read_derived(SPEC))
    again.recall(desk.memory(9 * S), 8 * S)
    assert again.baskets[0].level is None


def peaks(samples: list[Sample]) -> dict[str, float]:
    return {dict(sample.labels)["base"]: sample.value for sample in samples if sample.series == "price_peak"}


def test_a_peak_is_the_configured_one_until_a_higher_price_is_seen_or_told_by_history() -> None:
    spec = {"baskets": {}, "peaks": {"BTC": 126_200, "ETH": 0}}
    desk = DerivedDesk(read_derived(spec))
    assert peaks(desk.tick(0)) == {"BTC": 126_200.0}
    desk.take([price("BTC", 90_000, S), price("ETH", 3_000, S), price("SOL", 150, S)])
    assert peaks(desk.tick(6 * S)) == {"BTC": 126_200.0, "ETH": 3_000.0}
    told = Instrument(venue="s", symbol="ETHUSDT", base="ETH", quote="USDT", settle="USDT", kind="spot")
    desk.take([Price(told, "last", 4_950.0, -DAY_NS + 7, S, backfill=True)])
    desk.take([price("BTC", 9_000_000, 7 * S), price("ETH", 2_500, 7 * S)])  # a hundredfold price is a mistake
    assert peaks(desk.tick(12 * S)) == {"BTC": 126_200.0, "ETH": 4_950.0}
    assert peaks(restarted(desk, spec, 13 * S).tick(13 * S)) == {"BTC": 126_200.0, "ETH": 4_950.0}
    assert peaks(restarted(desk, {"peaks": {"BTC": 130_000}}, 13 * S).tick(13 * S)) == {"BTC": 130_000.0}
