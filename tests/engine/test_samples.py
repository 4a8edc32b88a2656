"""Samples: what was not seen is missing, and what turns out to have been different is taken again."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine import engine as engine_module
from monitor.events import Channel, Event, FeedGap, FeedState, Liquidation, Sample
from monitor.reading import UNKNOWN
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, OKX_BTC, T0_NS, at, feed, liquidation, price, rules, table
from tests.property.naive.coverage import Sources

LIQUIDATIONS = Channel.LIQUIDATIONS
EXPECTED = {LIQUIDATIONS: ["bybit", "okx"]}
BTC = (("base", "BTC"),)


def value(machine: Engine, number: int = 0) -> float:
    latest = machine.latest(f"g/r{number}")
    assert latest is not None
    ((_, found),) = table(latest).values()
    return found


def samples(machine: Engine) -> dict[float, float]:
    """The only history's values by second."""
    (history,) = machine.store.histories.values()
    return dict(zip(((history.times - T0_NS) / 1e9).tolist(), history.values[:, 0].tolist(), strict=True))


def quiet_market(*texts: str) -> Engine:
    """Five minutes of a liquidation every ten seconds, both feeds live."""
    machine = Engine(rules(*texts), expected=EXPECTED)
    machine.ingest([feed(venue, LIQUIDATIONS, 0) for venue in ("bybit", "okx")])
    for s in range(10, 301, 10):
        machine.ingest([liquidation(BYBIT_BTC, 5.0, s)])
        machine.evaluate(at(s))
    return machine


def test_what_happened_while_the_program_was_down_is_missing() -> None:
    texts = ("min(sum(liquidations[20s])[1h:10s]) > 0", "count(sum(liquidations[20s])[1h:10s]) > 0")
    before = quiet_market(*texts)
    after = Engine(rules(*texts), expected=EXPECTED)
    after.load(before.dump())
    after.ingest([feed(venue, LIQUIDATIONS, 900) for venue in ("bybit", "okx")])
    after.ingest([liquidation(BYBIT_BTC, 5.0, 905)])
    after.evaluate(at(905))
    found = samples(after)
    assert all(math.isnan(found[s]) for s in range(320, 901, 10))
    assert found[300] == 10.0
    assert value(after) == 5.0  # the first sample sees one of two events; the time between is not the least
    assert value(after, 1) == 31  # 10 to 310: half of the window at 310 was seen; and the value of now


def test_a_feed_that_is_found_dead_takes_its_zeros_back_and_history_brings_them_again() -> None:
    machine = Engine(rules("count(sum(liquidations[20s])[1h:10s]) > 0"), expected={LIQUIDATIONS: ["bybit"]})
    machine.ingest([feed("bybit", LIQUIDATIONS, 0), liquidation(BYBIT_BTC, 5.0, 5)])
    for s in range(10, 121, 10):
        machine.evaluate(at(s))
    assert value(machine) == 12
    machine.ingest([FeedGap("bybit", LIQUIDATIONS, at(40), at(100), "silent")])
    machine.evaluate(at(121))
    assert [s for s, x in samples(machine).items() if math.isnan(x)] == [60, 70, 80, 90, 100]
    assert value(machine) == 7
    machine.ingest([FeedGap("bybit", LIQUIDATIONS, at(40), at(100), "history", filled=True)])
    machine.evaluate(at(122))
    assert value(machine) == 12
    assert samples(machine)[80] == 0.0


def test_a_label_set_that_comes_late_had_nothing_while_somebody_looked() -> None:
    machine = Engine(rules("count(sum(liquidations[20s]) by (base)[1h:10s]) > 0"), expected={LIQUIDATIONS: ["bybit"]})
    machine.ingest([feed("bybit", LIQUIDATIONS, 0), liquidation(BYBIT_BTC, 5.0, 5)])
    machine.evaluate(at(50))
    machine.ingest([feed("bybit", LIQUIDATIONS, 50, up=False)])
    machine.evaluate(at(100))
    machine.ingest([feed("bybit", LIQUIDATIONS, 100)])
    machine.ingest([liquidation(BYBIT_ETH, 7.0, 105)])
    machine.evaluate(at(110))
    latest = machine.latest("g/r0")
    assert latest is not None
    assert table(latest) == {BTC: (1, 7.0), (("base", "ETH"),): (1, 7.0)}  # 70 to 100 were not seen
    (history,) = machine.store.histories.values()
    np.testing.assert_array_equal(history.values[:, 1], [0.0] * 6 + [math.nan] * 4 + [7.0])


TEXTS = (
    "count(sum(liquidations[20s])[10m:10s]) > 0",
    "min(sum(liquidations[20s]) by (base)[10m:10s]) > 0",
    "sum(count(liquidations[40s])[5m:20s]) > 0",
    'min(sum(liquidations{venue="okx"}[20s])[5m:10s]) > 0',
)


def wanted(text: str, rows: list[Liquidation], twin: Sources, now: int, first: int) -> float:
    """By the definition: each sample on the grid of whose window anything was seen."""
    only = "okx" if "okx" in text else ""
    window, length, step = (40, 300, 20) if "40s" in text else (20, 300 if only else 600, 10)
    chosen = [row for row in rows if only in ("", row.instrument.venue)]
    found: list[float] = []
    extreme = text.startswith("min")  # of the samples and of now
    for g in [*range(-(-first // step) * step, now + 1, step), *([now] if extreme else [])]:
        seen = twin.share(LIQUIDATIONS, lambda venue: only in ("", venue), g - window, g) > 0
        if seen and now - length < g <= now:
            inside = [row.usd_micros / 1e6 for row in chosen if at(g - window) < row.ts_ns <= at(g)]
            found.append(float(len(inside)) if "count(liq" in text else math.fsum(inside))
    if text.startswith("count"):
        return float(len(found))
    return (min(found) if extreme else math.fsum(found)) if found else math.nan


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_samples_of_totals_by_their_definition(seed: int) -> None:
    """Feeds come and go, gaps are found late and filled: always as if all had been known from the start."""
    rng = random.Random(seed)
    machine, twin, rows, now = Engine(rules(*TEXTS), expected=EXPECTED), Sources(), list[Liquidation](), 0
    venues = EXPECTED[LIQUIDATIONS]
    for venue in venues:
        list(twin.every(venue, LIQUIDATIONS))
    first = 5
    for instrument in (BYBIT_BTC, OKX_BTC):
        rows.append(liquidation(instrument, 3.0, first))
    machine.ingest(rows)
    machine.evaluate(at(first))
    while now < 180:
        now += rng.choice([5, 10, 20])
        batch: list[Event] = []
        venue = rng.choice(venues)
        (seconds,) = twin.every(venue, LIQUIDATIONS)
        start, end = sorted((max(first, now - rng.randint(0, 70)), max(first, now - rng.randint(0, 20))))
        match rng.choice(["up", "up", "down", "lost", "found", "event", "event"]):
            case "up":
                seconds.up(now)
                batch.append(FeedState(venue, LIQUIDATIONS, up=True, ts_ns=at(now)))
            case "down":
                seconds.down(now)
                batch.append(FeedState(venue, LIQUIDATIONS, up=False, ts_ns=at(now)))
            case "lost":
                seconds.lost(start, end)
                batch.append(FeedGap(venue, LIQUIDATIONS, at(start), at(end), "x"))
            case "found":
                seconds.found(start, end)
                batch.append(FeedGap(venue, LIQUIDATIONS, at(start), at(end), "x", filled=True))
            case _:
                rows.append(liquidation(rng.choice([BYBIT_BTC, OKX_BTC]), float(rng.randint(1, 9)), now))
                batch.append(rows[-1])
        machine.ingest(batch)
        machine.evaluate(at(now))
        for rule in machine.ruleset.alerts:
            latest = machine.latest(rule.id)
            assert latest is not None
            want = wanted(rule.text, rows, twin, now, first)
            (got,) = latest.value.tolist()
            assert got == pytest.approx(want, nan_ok=True), (rule.text, now)


# Slow series that are told again


def flow(usd: float, s: float, *, backfill: bool = False) -> Sample:
    return Sample("etf_flow", (("asset", "BTC"), ("fund", "total")), usd, at(s), at(s), backfill=backfill)


READS = (
    "max(etf_flow by (asset)[1h:1m]) > 0",
    "min(etf_flow[1h:1m]) by (asset) > 0",
    "mean(change(etf_flow[10m]) by (asset)[1h:1m]) > 0",
    "max(mean(etf_flow by (asset)[10m:1m])[30m:5m]) > 0",
    "stddev(tvl[1h:1m]) by (scope) > 0",
)


@pytest.mark.parametrize("backfill", [True, False])
def test_a_revised_value_changes_the_samples_since(backfill: bool) -> None:
    told, fresh = Engine(rules(*READS)), Engine(rules(*READS))
    day = [flow(100.0 + s % 7, s) for s in range(0, 3000, 300)]
    for s in range(0, 3001, 60):
        told.ingest([one for one in day if one.ts_ns == at(s)])
        told.evaluate(at(s))
    late = s - 100 if not backfill else 900  # a value that comes without a flag is refused after two minutes
    late = late // 300 * 300 if backfill else late
    told.ingest([flow(900.0, late, backfill=backfill)])
    told.evaluate(at(3001))
    right = {one.ts_ns: one for one in [*day, flow(900.0, late)]}
    for s in range(0, 3001, 60):
        fresh.ingest([one for ts_ns, one in right.items() if at(s) - 60 * 10**9 < ts_ns <= at(s)])
        fresh.evaluate(at(s))
    fresh.evaluate(at(3001))
    for rule in told.ruleset.alerts[:-1]:
        got, want = told.latest(rule.id), fresh.latest(rule.id)
        assert got is not None
        assert want is not None
        np.testing.assert_allclose(got.value, want.value, rtol=1e-12, err_msg=rule.text)
    assert told.past.samples > 0
    assert told.past.stale == 0


def test_samples_whose_rows_are_forgotten_stand_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TRIM_EVERY", 1)
    machine = Engine(rules('max(external{name="x"}[9d:1h]) > 0'))
    for hour in range(100):
        machine.ingest([Sample("external", (("name", "x"), ("source", "t")), 5.0, at(hour * 3600), at(hour * 3600))])
        machine.evaluate(at(hour * 3600))
    old = Sample("external", (("name", "x"), ("source", "t")), 9.0, at(3600), at(3600), backfill=True)
    machine.ingest([old])
    machine.evaluate(at(99 * 3600 + 1))
    assert machine.past.stale == 98  # all since but the newest, whose row is kept
    (note,) = machine.explain("g/r0", 0).notes
    assert "98 samples are as they were before a value was revised" in note


def test_an_unknown_sample_is_no_zero_in_a_score() -> None:
    machine = Engine(rules("zscore(sum(liquidations[20s])[5m:10s]) > 1"), expected={LIQUIDATIONS: ["bybit"]})
    machine.ingest([liquidation(BYBIT_BTC, 5.0, 1), price(BYBIT_BTC, 1.0, 1)])
    machine.evaluate(at(120))
    latest = machine.latest("g/r0")
    assert latest is not None
    assert latest.truth.tolist() == [UNKNOWN]
