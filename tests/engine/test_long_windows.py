"""Windows longer than memory: thirty, two hundred and 365 days live in panes and samples, and outlive restarts."""

from __future__ import annotations

import math

import pytest

from monitor.clock import NS_PER_S
from monitor.engine import Engine
from monitor.engine.rows.panes import DAY_NS, HOUR_NS
from monitor.events import Channel, FeedGap, FeedState, Liquidation, MarketEvent, OpenInterest, Price
from tests.engine.market import BYBIT_BTC, T0_NS, rules

RULES = (
    "drawdown(price[365d]) by (base) < 1",
    "sma(price[200d:1d]) by (base) > 0",
    "change(open_interest[30d]) by (base) < 10",
    "sum(liquidations[30d]) > -1",
    "realized_vol(price[7d]) by (base) > -1",
)
HOURS = 370 * 24
SPARSE = HOURS - 31 * 24
"""Before that an hour in four will do."""
START_NS = T0_NS // DAY_NS * DAY_NS


def hour_of(number: int) -> list[MarketEvent]:
    """What the market says in one hour: a price, open interest and a liquidation."""
    ts_ns = START_NS + number * HOUR_NS
    value = 100.0 + 20.0 * math.sin(number / 500) + number % 5
    return [
        Price(BYBIT_BTC, "mark", value, ts_ns, ts_ns),
        OpenInterest(BYBIT_BTC, 1e9 * (2 + math.sin(number / 300)), ts_ns, ts_ns),
        Liquidation(BYBIT_BTC, "long", (1 + number % 7) * 1_000_000, value, ts_ns, ts_ns),
    ]


def play(engine: Engine, first: int, last: int, sparse_until: int = 0) -> None:
    for number in range(first, last):
        if number < sparse_until and number % 4:
            continue
        engine.ingest(hour_of(number))
        engine.evaluate(START_NS + number * HOUR_NS)


def restarted(engine: Engine) -> Engine:
    after = Engine(rules(*RULES))
    after.load(engine.dump())
    return after


def values(engine: Engine) -> list[float]:
    return [float(engine.latest(f"g/r{number}").value[0]) for number in range(len(RULES))]  # type: ignore[union-attr]


def test_a_year_survives_restarts_in_a_few_hundred_kilobytes() -> None:
    hours = HOURS
    whole = Engine(rules(*RULES))
    play(whole, 0, hours, SPARSE)
    parts = Engine(rules(*RULES))
    for first, last in ((0, 3000), (3000, 7000), (7000, hours - 5)):
        play(parts, first, last, SPARSE)
        parts = restarted(parts)
    play(parts, hours - 5, hours)
    assert values(parts) == pytest.approx(values(whole), rel=1e-12)
    assert not any(math.isnan(value) for value in values(whole))
    assert len(parts.dump()) < 400_000
    assert whole.state_size()["total"] < 4_000_000


def test_a_kill_costs_the_time_since_the_last_copy_and_history_gives_it_back() -> None:
    hours = 60 * 24
    whole = Engine(rules(*RULES))
    play(whole, 0, hours)
    killed = Engine(rules(*RULES))
    play(killed, 0, hours - 30)
    back = restarted(killed)
    play(back, hours - 2, hours)
    lost = values(back)
    past = [
        event
        for number in range(hours - 30, hours - 2)
        for event in hour_of(number)
        if not isinstance(event, Liquidation)
    ]
    back.ingest([_as_history(event) for event in past])
    back.evaluate(START_NS + (hours - 1) * HOUR_NS + 1)
    want, got = values(whole), values(back)
    assert got[0] == pytest.approx(want[0], rel=1e-9)
    assert got[2] == pytest.approx(want[2], rel=1e-9)
    assert got[4] == pytest.approx(want[4], rel=1e-9)
    assert lost[4] != pytest.approx(want[4], rel=1e-9)
    assert got[3] < want[3]  # what was liquidated in between is gone, and coverage says so


def _as_history(event: MarketEvent) -> MarketEvent:
    if isinstance(event, Price):
        return Price(event.instrument, event.kind, event.value, event.ts_ns, event.ts_ns, backfill=True)
    assert isinstance(event, OpenInterest)
    return OpenInterest(event.instrument, event.usd, event.ts_ns, event.ts_ns, backfill=True)


def test_the_flags_of_filled_samples_survive_too() -> None:
    engine = Engine(rules(RULES[1]))
    engine.ingest([Price(BYBIT_BTC, "mark", 100.0, START_NS + NS_PER_S, START_NS + NS_PER_S)])
    engine.evaluate(START_NS + NS_PER_S)
    engine.ingest([Price(BYBIT_BTC, "mark", 90.0, START_NS - day * DAY_NS, 0, backfill=True) for day in range(50)])
    engine.evaluate(START_NS + 2 * NS_PER_S)
    after = Engine(rules(RULES[1]))
    after.load(engine.dump())
    after.ingest([Price(BYBIT_BTC, "mark", 100.0, START_NS + 3 * NS_PER_S, START_NS + 3 * NS_PER_S)])
    after.evaluate(START_NS + 3 * NS_PER_S)
    (note,) = after.explain("g/r0", 0).notes
    assert note.startswith("sma(price[200d:24h]) by (base): 50 of 50 samples are history")


def test_a_filled_gap_counts_as_covered() -> None:
    engine = Engine(rules("sum(liquidations[1h]) > 1B"), expected={Channel.LIQUIDATIONS: ["bybit"]})
    engine.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=START_NS)])
    gap = START_NS + 600 * NS_PER_S, START_NS + 1200 * NS_PER_S
    engine.ingest([FeedGap("bybit", Channel.LIQUIDATIONS, *gap, "drop")])
    now_ns = START_NS + 3600 * NS_PER_S
    (before,) = engine.evaluate(now_ns)
    assert before.coverage[0] == pytest.approx(5 / 6, abs=0.001)
    engine.ingest(
        [
            Liquidation(BYBIT_BTC, "long", 2_000_000_000_000_000, 1.0, gap[0] + NS_PER_S, now_ns, "key", backfill=True),
            FeedGap("bybit", Channel.LIQUIDATIONS, *gap, "history", filled=True),
        ]
    )
    (after,) = engine.evaluate(now_ns + 1)
    assert after.coverage[0] == 1.0
    assert after.truth.tolist() == [1]
    assert any("history that was fetched" in note for note in engine.explain("g/r0", 0).notes)


def test_history_before_the_first_live_moment_covers_a_long_window() -> None:
    engine = Engine(rules(RULES[1]), expected={Channel.PRICE: ["bybit"]})
    engine.ingest([FeedState("bybit", Channel.PRICE, up=True, ts_ns=START_NS)])
    engine.ingest([Price(BYBIT_BTC, "mark", 100.0, START_NS + NS_PER_S, START_NS + NS_PER_S)])
    (before,) = engine.evaluate(START_NS + NS_PER_S)
    assert before.coverage[0] == 0.0
    engine.ingest(
        [FeedGap("bybit", Channel.PRICE, START_NS - 300 * DAY_NS, START_NS + NS_PER_S, "history", filled=True)]
    )
    (after,) = engine.evaluate(START_NS + 2 * NS_PER_S)
    assert after.coverage[0] == 1.0


def test_a_low_between_two_looks_at_a_fold_is_kept_by_each_venue_and_not_by_the_fold() -> None:
    """As docs/rules.md has it: a fold is looked at once a minute in a window of a day, a venue's own rows whenever they come."""
    machine = Engine(rules("min(price[24h]) by (base) > 0", "min(min(price[24h])) by (base) > 0"))
    seen: list[list[float]] = []
    for second in range(0, 900, 10):
        value = 70.0 if second == 630 else 100.0
        machine.ingest([Price(BYBIT_BTC, "mark", value, T0_NS + second * NS_PER_S, T0_NS + second * NS_PER_S)])
        machine.evaluate(T0_NS + second * NS_PER_S)
        if second in {630, 890}:
            seen.append([float(machine.latest(f"g/r{n}").value[0]) for n in (0, 1)])  # type: ignore[union-attr]
    assert seen == [[70.0, 70.0], [100.0, 70.0]]
