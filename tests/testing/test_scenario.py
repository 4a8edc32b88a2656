"""The synthetic sell-off holds its timeline's facts, and is the same for the same seed."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from monitor.events import Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Sample, Trade
from monitor.instruments import notional_micros
from monitor.testing.scenario import (
    CASCADE_NS,
    END_NS,
    INSTRUMENTS,
    START_NS,
    Scenario,
    instruments_of,
    quantity_of,
    resolution_for,
)
from monitor.testing.scenario.curves import HOUR_NS, MINUTE_NS, at
from monitor.testing.scenario.slow import slow_samples

MAJORS = [instrument for instrument in INSTRUMENTS if instrument.base in {"BTC", "ETH", "SOL"}]
SEED = 7


@pytest.fixture(scope="module")
def whole() -> list[MarketEvent]:
    return list(Scenario(SEED, MAJORS, resolution_s=30).events(START_NS, END_NS))


def liquidations(events: list[MarketEvent]) -> list[Liquidation]:
    return [event for event in events if isinstance(event, Liquidation)]


def usd(events: list[Liquidation]) -> float:
    return sum(event.usd_micros for event in events) / 1e6


def test_more_than_a_billion_is_liquidated_in_the_cascade_hour(whole: list[MarketEvent]) -> None:
    by_hour: dict[int, list[Liquidation]] = defaultdict(list)
    for event in liquidations(whole):
        by_hour[(event.ts_ns - START_NS) // HOUR_NS].append(event)
    cascade = (CASCADE_NS - START_NS) // HOUR_NS
    assert usd(by_hour[cascade]) == pytest.approx(1.33e9, rel=0.01)
    assert all(usd(rows) < 400e6 for hour, rows in by_hour.items() if hour != cascade)


def test_over_2_billion_in_a_day_over_1_9_of_it_longs_within_four_hours(whole: list[MarketEvent]) -> None:
    day = [event for event in liquidations(whole) if event.ts_ns < START_NS + 24 * HOUR_NS]
    assert 2.0e9 < usd(day) < 2.6e9
    four_hours = [e for e in day if CASCADE_NS - HOUR_NS <= e.ts_ns < CASCADE_NS + 3 * HOUR_NS]
    longs = [event for event in four_hours if event.side == "long"]
    assert usd(longs) > 1.9e9
    assert usd(longs) / usd(four_hours) > 0.9
    assert len(day) > 400_000


def test_sizes_are_heavy_tailed(whole: list[MarketEvent]) -> None:
    sizes = sorted(event.usd_micros for event in liquidations(whole))
    top_percent = sizes[-len(sizes) // 100 :]
    assert sum(top_percent) / sum(sizes) > 0.2


def test_bitcoin_falls_from_92_to_just_under_82_thousand_and_recovers(whole: list[MarketEvent]) -> None:
    marks = [
        e for e in whole
        if isinstance(e, Price) and e.kind == "mark" and (e.instrument.venue, e.instrument.symbol) == ("bybit", "BTCUSDT")
    ]  # fmt: skip
    low = min(marks, key=lambda e: e.value)
    assert marks[0].value == pytest.approx(92_200, rel=0.002)
    assert 81_300 < low.value < 82_000
    assert CASCADE_NS < low.ts_ns < CASCADE_NS + HOUR_NS
    assert marks[-1].value > 85_000


def test_funding_flips_negative_on_every_major_near_the_cascade_and_stays_so(whole: list[MarketEvent]) -> None:
    rates: dict[str, list[Funding]] = defaultdict(list)
    for event in whole:
        if isinstance(event, Funding):
            rates[event.instrument.base].append(event)
    assert set(rates) == {"BTC", "ETH", "SOL"}
    for rows in rates.values():
        negative = [event.ts_ns for event in rows if event.rate < 0]
        assert CASCADE_NS - HOUR_NS < negative[0] < CASCADE_NS + HOUR_NS
        assert negative[-1] - negative[0] > 10 * HOUR_NS
        assert rows[0].rate > 0
        assert rows[-1].rate < 0


def test_open_interest_falls_by_a_third(whole: list[MarketEvent]) -> None:
    total: Counter[int] = Counter()
    for event in whole:
        if isinstance(event, OpenInterest) and event.instrument.base == "BTC":
            total[(event.ts_ns - START_NS) // MINUTE_NS] += round(event.usd)
    assert total[0] == pytest.approx(90e9, rel=0.01)
    assert min(total.values()) / total[0] == pytest.approx(0.64, abs=0.01)


def test_the_same_seed_gives_the_same_events_however_the_time_is_cut() -> None:
    instruments = instruments_of("bybit", "binance_usdm")
    start, end = CASCADE_NS, CASCADE_NS + 2 * MINUTE_NS
    at_once = list(Scenario(SEED, instruments, 5).events(start, end))
    pieces = Scenario(SEED, instruments, 5)
    step = 7_300_000_000
    cut = [e for t in range(start, end, step) for e in pieces.events(t, min(t + step, end))]
    assert cut == at_once
    assert list(Scenario(SEED + 1, instruments, 5).events(start, end)) != at_once
    assert all(a.ts_ns <= b.ts_ns for a, b in itertools.pairwise(at_once))


def test_totals_do_not_depend_on_the_resolution_and_a_sampled_venue_reports_once_per_step() -> None:
    start, end = CASCADE_NS + 20 * MINUTE_NS, CASCADE_NS + 22 * MINUTE_NS
    for step in (1, 30):
        rows = liquidations(list(Scenario(SEED, MAJORS, step).events(start, end)))
        assert usd(rows) == pytest.approx(
            usd(liquidations(list(Scenario(SEED, MAJORS, 6).events(start, end)))), rel=1e-3
        )
        slots = Counter(
            (e.instrument.symbol, (e.ts_ns - start) // (step * 10**9))
            for e in rows
            if e.instrument.venue == "binance_usdm"
        )
        assert max(slots.values()) == 1


def test_a_quantity_on_the_wire_gives_back_the_exact_money() -> None:
    events = [
        e for e in Scenario(SEED, INSTRUMENTS, 30).events(CASCADE_NS, CASCADE_NS + 5 * MINUTE_NS)
        if isinstance(e, Liquidation | Trade)
    ]  # fmt: skip
    assert {e.instrument.form for e in events} == {"linear", "inverse"}
    for event in events:
        quantity = quantity_of(event)
        assert quantity > 0
        assert notional_micros(event.instrument, quantity, Decimal(repr(event.price))) == event.usd_micros


def test_a_demo_stays_below_its_rate() -> None:
    assert resolution_for(1) == 1
    assert resolution_for(60) <= 5
    assert resolution_for(600) == 30
    assert resolution_for(600, instruments=6) <= 6


def test_spot_trades_too_when_asked_for() -> None:
    instruments = INSTRUMENTS + instruments_of("binance_spot", "coinbase")
    events = list(Scenario(SEED, instruments, 30).events(START_NS, START_NS + 10 * MINUTE_NS))
    spot = [e for e in events if e.instrument.kind == "spot"]  # type: ignore[union-attr]
    assert {type(e).__name__ for e in spot} == {"Price", "Trade", "Depth"}
    turnover: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Trade):
            turnover[event.instrument.kind] += event.usd_micros
    assert 0.1 < turnover["spot"] / turnover["perp"] < 0.3


def test_what_is_not_part_of_the_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution_s must be one of"):
        Scenario(SEED, MAJORS, resolution_s=7)
    stranger = instruments_of("kraken")[0].__class__(
        venue="x", symbol="FOO-USD", base="FOO", quote="USD", settle="USD", kind="spot"
    )
    with pytest.raises(ValueError, match="FOO-USD: not part of the scenario"):
        Scenario(SEED, [stranger])


def test_history_leads_up_to_the_start_and_is_marked_as_such() -> None:
    scenario = Scenario(SEED, MAJORS, 30)
    history = list(scenario.history(days=60))
    assert all(not isinstance(e, Sample | Depth) and e.backfill and e.ts_ns < START_NS for e in history)
    btc: Counter[int] = Counter()
    for event in history:
        if isinstance(event, OpenInterest) and event.instrument.base == "BTC":
            btc[event.ts_ns] += round(event.usd)
    assert max(btc.values()) == pytest.approx(94e9, rel=0.01)
    assert btc[max(btc)] == pytest.approx(90e9, rel=0.01)


def test_slow_samples_hold_the_timelines_figures() -> None:
    rows = list(slow_samples(at("2025-10-20"), END_NS))
    assert all(row.backfill and row.source == "synthetic" for row in rows)

    def value(series: str, when: str, **labels: str) -> float:
        (found,) = [
            r.value for r in rows
            if r.series == series and r.ts_ns == at(when) and labels.items() <= dict(r.labels).items()
        ]  # fmt: skip
        return found

    assert value("sector_cap", "2025-11-20T12:00", sector="meme-token") == pytest.approx(44.0e9)
    assert value("sector_cap", "2025-11-21T12:00", sector="meme-token") == pytest.approx(39.4e9)
    assert value("etf_flow", "2025-11-20T21:00", asset="BTC") == pytest.approx(-903.2e6)
    assert value("market_cap", "2025-11-21T08:00") < 3e12


def test_an_hour_in_short_adds_up_to_the_same_hour() -> None:
    scenario, end_ns = Scenario(SEED, MAJORS, 30), CASCADE_NS
    whole = list(scenario.events(end_ns - HOUR_NS, end_ns))
    short = scenario.stormy_hour(end_ns)
    assert [event.ts_ns for event in short] == sorted(event.ts_ns for event in short)
    assert usd(liquidations(short)) == pytest.approx(usd(liquidations(whole)), rel=1e-3)
    assert len(liquidations(short)) == pytest.approx(len(liquidations(whole)), rel=0.05)
    traded = [sum(event.usd_micros for event in events if isinstance(event, Trade)) for events in (short, whole)]
    assert traded[0] == pytest.approx(traded[1], rel=0.1)
    gauges = {(type(event), event.instrument) for event in whole if hasattr(event, "instrument")}
    assert gauges == {(type(event), event.instrument) for event in short if hasattr(event, "instrument")}
