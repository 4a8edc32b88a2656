"""The engine against the naive reference: random events, gaps, late arrivals, batch splits, label churn."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.rows import sums
from monitor.engine.rows.panes import pane_of
from monitor.events import Event, Labels, Liquidation, OpenInterest, Price
from monitor.expression import Call, Compare, Expr, Range
from monitor.literals import parse_duration
from monitor.reading import Evaluation
from tests.engine.market import T0_NS, at, engine, perp, rules, table
from tests.property.naive import Naive, Row

INSTRUMENTS = [perp(venue, base) for venue in ("bybit", "okx", "binance_usdm") for base in ("BTC", "ETH")]

EVENTS = [
    "sum(liquidations[10s]) > 1",
    "sum(liquidations[60s]) by (base) > 1",
    'sum(liquidations{side="long"}[1h]) by (venue, side) > 1',
    "count(liquidations[60s]) by (base) > 1",
    "mean(liquidations[60s]) by (base) > 1",
    "max(liquidations[60s]) by (base) > 1",
    "min(liquidations[10m]) > 1",
    "last(liquidations[60s]) by (base) > 1",
    "quantile(0.9, liquidations[60s]) by (side) > 1",
    "stddev(liquidations[60s]) by (base) > 1",
    "sum(liquidations[2h]) by (base) > 1",
    "count(liquidations[9h]) > 1",
    'sum(liquidations{side="long"}[60s]) / sum(liquidations[60s]) > 50%',
]
GAUGES = [
    'price{kind="mark"} > 1',
    'price{kind="mark"} by (base) > 1',
    'change(price{kind="mark"}[60s]) > 1%',
    'change(price{kind="mark"}[60s]) by (base) > 1%',
    "delta(open_interest[5m]) by (base) > 1",
    *(
        f'{name}(price{{kind="mark"}}[90s]) > 1'
        for name in ("mean", "min", "max", "first", "last", "sma", "slope", "count")
    ),
    'drawdown(price{kind="mark"}[90s]) < -1%',
    'stddev(price{kind="mark"}[90s]) > 1',
    'quantile(0.5, price{kind="mark"}[90s]) > 1',
]
SAMPLED = [
    "zscore(sum(liquidations[20s])[5m:10s]) > 1",
    "mean(sum(liquidations[20s]) by (base)[5m:30s]) > 1",
    'ema(price{kind="mark"}[5m:30s]) > 1',
    'realized_vol(price{kind="mark"}[10m:30s]) > 1',
    'max(price{kind="mark"}[5m:30s]) > 1',
    'change(price{kind="mark"}[5m:30s]) > 1%',
]

Timeline = list[tuple[Event, float]]
"""Events with the seconds of their arrival, which is when they are ingested."""


@st.composite
def timelines(draw: st.DrawFn, *, late: bool = True, gauges: bool = True) -> Timeline:
    seed, size = draw(st.integers(0, 2**32)), draw(st.integers(1, 60))
    rng = random.Random(seed)
    span = rng.choice([30, 300, 3000, 40000])
    out: Timeline = []
    for _ in range(size):
        s = round(rng.uniform(0, span), rng.choice([0, 3]))
        arrival = s + (rng.choice([0, 0, 0.2, 3, 40]) if late else 0)
        instrument = rng.choice(INSTRUMENTS)
        what = rng.choice(["liq", "liq", "price", "oi"] if gauges else ["liq"])
        if what == "liq":
            usd = rng.choice([1, 10**6, rng.randrange(1, 10**15)])
            event: Event = Liquidation(instrument, rng.choice(["long", "short"]), usd, 1.0, at(s), at(arrival))
        elif what == "price":
            event = Price(instrument, "mark", rng.choice([100.0, rng.uniform(50, 200)]), at(s), at(arrival))
        else:
            event = OpenInterest(instrument, rng.uniform(1, 1e9), at(s), at(arrival))
        out.append((event, arrival))
    return sorted(out, key=lambda pair: pair[1])


def row_of(event: Event, order: int) -> Row:
    assert isinstance(event, Liquidation | Price | OpenInterest)
    i = event.instrument
    labels = {"venue": i.venue, "symbol": i.symbol, "base": i.base, "quote": i.quote}
    match event:
        case Liquidation():
            labels |= {"kind": "perp", "side": event.side}
            return Row("liquidations", tuple(sorted(labels.items())), event.ts_ns, event.usd_micros / 1e6, order)
        case Price():
            labels |= {"kind": "mark", "market": "perp"}
            return Row("price", tuple(sorted(labels.items())), event.ts_ns, event.value, order)
        case OpenInterest():
            return Row("open_interest", tuple(sorted(labels.items())), event.ts_ns, event.usd, order)


def ticks(timeline: Timeline, rng: random.Random) -> list[float]:
    end = timeline[-1][1]
    times = {arrival for _, arrival in timeline if rng.random() < 0.5} | {rng.uniform(0, end + 100) for _ in range(5)}
    return sorted({0.0, *times, end, end + 45.0, end + 61.0, end + 4000.0})


def run(
    machine: Engine, timeline: Timeline, times: list[float], cuts: random.Random | None
) -> list[tuple[float, dict[str, Evaluation]]]:
    """Ingest what has arrived before each tick, split at random; collect the newest evaluation of every rule."""
    out, done, newest = [], 0, {}
    for now in times:
        while done < len(timeline) and timeline[done][1] <= now:
            upto = done + 1
            while upto < len(timeline) and timeline[upto][1] <= now and (cuts is None or cuts.random() < 0.6):
                upto += 1
            machine.ingest([event for event, _ in timeline[done:upto]])
            done = upto
        newest.update({item.rule: item for item in machine.evaluate(at(now))})
        out.append((now, dict(newest)))
    return out


def same(got: dict[Labels, tuple[int, float]], want: dict[Labels, float], where: str, *, exact: bool) -> None:
    for labels, value in want.items():
        have = got.get(labels, (0, math.nan))[1]
        if exact:
            assert have == value or (math.isnan(have) and math.isnan(value)), (where, labels, have, value)
        else:
            assert have == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), (where, labels)
    assert {k for k, (_, v) in got.items() if not math.isnan(v)} <= want.keys(), where


def check(texts: list[str], timeline: Timeline, seed: int) -> None:
    machine, loaded = engine(*texts), rules(*texts)
    rng = random.Random(seed)
    naive, order = Naive(), 0
    for now, evaluations in run(machine, timeline, ticks(timeline, rng), rng):
        while order < len(timeline) and timeline[order][1] <= now:
            naive.market.rows.append(row_of(timeline[order][0], order))
            order += 1
        moment = naive.begin(at(now))
        for rule in loaded.alerts:
            assert isinstance(rule.expr, Compare)
            want = moment.vector(rule.expr.left).values
            same(table(evaluations[rule.id]), want, f"{rule.text} at {now}", exact=is_total(rule.expr.left))


def is_total(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.name in ("sum", "count", "max", "min") and isinstance(expr.args[0], Range)


@settings(max_examples=60, deadline=None)
@given(timelines(gauges=False), st.integers(0, 2**32))
def test_windows_of_events(timeline: Timeline, seed: int) -> None:
    exact_sums(timeline)
    check(EVENTS, timeline, seed)


def exact_sums(timeline: Timeline) -> None:
    """The reference adds floats of USD; keep amounts where that is exact to the last micro-dollar."""
    for at_row, (event, arrival) in enumerate(timeline):
        if not isinstance(event, Liquidation):
            continue
        usd = event.usd_micros % 2**20 * 15625  # multiples of 1/64 USD
        timeline[at_row] = (
            Liquidation(event.instrument, event.side, usd, 1.0, event.ts_ns, event.recv_ns),
            arrival,
        )


@settings(max_examples=60, deadline=None)
@given(timelines(), st.integers(0, 2**32))
def test_gauges(timeline: Timeline, seed: int) -> None:
    check(GAUGES, timeline, seed)


@settings(max_examples=25, deadline=None)
@given(timelines(late=False), st.integers(0, 2**32))
def test_samples(timeline: Timeline, seed: int) -> None:
    exact_sums(timeline)
    check(
        SAMPLED,
        [pair for pair in timeline if pair[1] < 3000] or [(Price(INSTRUMENTS[0], "mark", 1.0, at(0), at(0)), 0.0)],
        seed,
    )


@settings(max_examples=40, deadline=None)
@given(timelines(), st.integers(0, 2**32))
def test_batching_changes_nothing(timeline: Timeline, seed: int) -> None:
    texts = [
        *EVENTS,
        *GAUGES,
        *SAMPLED,
        'crosses_above(price{kind="mark"} by (base), 100)',
        "drawdown(price[5m]) by (base) < -1%",
    ]
    times = ticks(timeline, random.Random(seed))
    whole = run(engine(*texts), timeline, times, None)
    split = run(engine(*texts), timeline, times, random.Random(seed + 1))
    for (now, one), (_, other) in zip(whole, split, strict=True):
        for rule, evaluation in one.items():
            np.testing.assert_array_equal(evaluation.truth, other[rule].truth, f"{rule} at {now}")
            np.testing.assert_array_equal(evaluation.value, other[rule].value, f"{rule} at {now}")
            assert list(evaluation.labels) == list(other[rule].labels)


@settings(max_examples=30, deadline=None)
@given(timelines(gauges=False), st.integers(0, 2**32))
def test_scalar_and_vector_paths_agree(timeline: Timeline, seed: int) -> None:
    texts = EVENTS[:4] + EVENTS[10:12]
    times = ticks(timeline, random.Random(seed))
    results = []
    for threshold in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sums, "SCALAR_UPDATES", threshold)
            results.append(run(engine(*texts), timeline, times, None))
    for (_, one), (_, other) in zip(*results, strict=True):
        for rule, evaluation in one.items():
            np.testing.assert_array_equal(evaluation.value, other[rule].value)


STILL = [
    'change(price{kind="mark"}[60s]) by (base) != 0',
    'delta(price{kind="mark"}[5m]) by (base) != 0',
    "change(open_interest[5m]) by (base) != 0",
    'drawdown(price{kind="mark"}[5m]) by (base) < -0.000000001%',
    "drawdown(open_interest[20m]) by (base) < -0.000000001%",
    'rate(price{kind="mark"}[2m]) by (base) != 0',
    "delta(open_interest[10m:40s]) by (base) > 0.000001",
    "change(price[5m:20s]) by (base) > 0.000000001%",
    "change(price[5m:20s]) by (base) < -0.000000001%",
    "realized_vol(open_interest[10m:20s]) by (base) > 0.001",
    'stddev(price{kind="mark"}[5m:20s]) by (base) > 0.000001',
    *(
        f'crosses_{way}(price{{kind="mark"}} by (base), {level})'
        for way in ("above", "below")
        for level in (99, 101, 105, 111)
    ),
    "crosses_below(open_interest by (base), 250)",
]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_feed_that_comes_or_goes_is_no_move(seed: int) -> None:
    """Every member stands still at a level of its own while feeds come and go: nothing may be seen to move."""
    rng = random.Random(seed)
    machine = engine(*STILL)
    level = {instrument: rng.choice([90.0, 100.0, 110.0, 120.0]) for instrument in INSTRUMENTS}
    live = set(INSTRUMENTS)
    for k in range(120):
        s = 20.0 * k
        for instrument in INSTRUMENTS:
            if rng.random() < 0.06:
                live ^= {instrument}
        batch: list[Event] = [Price(i, "mark", level[i], at(s), at(s)) for i in live]
        batch += [OpenInterest(i, level[i], at(s), at(s)) for i in live]
        machine.ingest(batch)
        for evaluation in machine.evaluate(at(s + rng.choice([0.0, 3.5]))):
            moved = np.flatnonzero(evaluation.truth == 1)
            assert not len(moved), (STILL[int(evaluation.rule[3:])], s, evaluation.value[moved])


@pytest.mark.parametrize("window", ["1s", "1m", "5m", "1h", "4h", "2d"])
def test_sums_and_counts_agree_with_polars(window: str) -> None:
    """To the micro-dollar; of a window kept in panes with events moved to the end of their pane, as is stated."""
    import polars as pl

    window_ns = parse_duration(window)
    pane_ns, span_ns = pane_of(window_ns), 6 * window_ns
    rng = np.random.default_rng(7)
    ts = np.unique(rng.integers(0, span_ns, 6_000)) + T0_NS
    members, amounts = rng.integers(0, 8, len(ts)), rng.integers(1, 10**12, len(ts))
    machine = engine(f"sum(liquidations[{window}]) by (base) > 1", f"count(liquidations[{window}]) by (base) > 1")
    ids = [machine.member("liquidations", (("base", f"C{k}"), ("venue", "v"))) for k in range(8)]
    assert ids == list(range(8))
    ends = -(-ts // pane_ns) * pane_ns if pane_ns else ts
    for start in range(0, len(ts), 37):
        stop = min(start + 37, len(ts))
        machine.ingest_columns(
            "liquidations", members[start:stop].astype(np.int32), ts[start:stop], amounts[start:stop]
        )
        now_ns = int(ts[stop - 1])
        machine.evaluate(now_ns)
        frame = pl.DataFrame({"ts": np.minimum(ends[:stop], now_ns), "k": members[:stop], "usd": amounts[:stop]})
        frame = frame.sort("ts").with_columns(pl.col("ts").cast(pl.Datetime("ns")), one=pl.lit(1, pl.Int64))
        rolling = [
            pl.col(name).rolling_sum_by("ts", f"{window_ns}ns", closed="right").over("k") for name in ("usd", "one")
        ]
        last = frame.with_columns(rolling).group_by("k").last()
        for column, rule, scale in (("usd", "g/r0", 1e6), ("one", "g/r1", 1.0)):
            latest = machine.latest(rule)
            assert latest is not None
            got = dict(zip((dict(labels)["base"] for labels in latest.labels), latest.value.tolist(), strict=True))
            for k, at_ns, want in last.select("k", pl.col("ts").cast(pl.Int64), column).iter_rows():
                if at_ns == now_ns:  # polars says what a window was at the member's own last row
                    assert round(got[f"C{k}"] * scale) == want, (k, column)


@settings(max_examples=40, deadline=None)
@given(timelines(), st.integers(0, 2**32))
def test_leaving_out_settled_rules_loses_no_truth(timeline: Timeline, seed: int) -> None:
    levels = [f"sum(liquidations[60s]) by (base) > {n}" for n in (0, 5, "1M", "300M", "1B")]
    levels += [f'price{{kind="mark"}} by (base) {op} {n}' for op in ("<", ">=") for n in (60, 100, 150)]
    full, brief = engine(*levels), engine(*levels)
    done, seen = 0, {}
    for now in ticks(timeline, random.Random(seed)):
        upto = sum(arrival <= now for _, arrival in timeline)
        for machine in (full, brief):
            machine.ingest([event for event, _ in timeline[done:upto]])
        done = upto
        full.evaluate(at(now))
        seen.update({item.rule: item for item in brief.evaluate(at(now), changed_only=True)})
        for rule in full.ruleset.alerts:
            want = full.latest(rule.id)
            assert want is not None
            np.testing.assert_array_equal(seen[rule.id].truth, want.truth, f"{rule.text} at {now}")
            np.testing.assert_array_equal(seen[rule.id].coverage, want.coverage, f"{rule.text} at {now}")
            got = brief.latest(rule.id)
            assert got is not None
            np.testing.assert_array_equal(got.value, want.value)
