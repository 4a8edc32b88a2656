"""The formulas of the shipped rules, whole, against polars and scipy: random markets of several venues, with holes.

Each test loads its rule out of ``rules/`` with the real language, feeds the real engine as a run would, and works the
rule's value out of the same rows by other means: frames for what is grouped, scipy for what is statistics. Venues pause,
so that a fold sees other members at the two ends of a window.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import interp1d
from scipy.optimize import brentq

from monitor.derived.desk import DerivedDesk, read_derived
from monitor.engine import Engine
from monitor.events import Depth, Event, Funding, OpenInterest, Price, Sample, Trade
from monitor.feed import Request
from monitor.instruments import Instrument, MarketKind
from monitor.language.rules import load_rules
from monitor.rule import RuleSet
from monitor.source import SourceOptions
from monitor.sources import make_source

ROOT = Path(__file__).resolve().parents[2]
RULES = load_rules([(path.name, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "rules").glob("*.yaml"))])
S = 10**9
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
T0 = int(datetime(2025, 11, 3, tzinfo=UTC).timestamp()) * S
VENUES = ("bybit", "okx", "binance_usdm")
SEEDS = st.integers(0, 2**32 - 1)
Values = dict[str, float]

few = settings(max_examples=4, deadline=None)


def shipped(*names: str) -> RuleSet:
    """These alerts of the pack, and nothing else of it."""
    alerts = tuple(rule for rule in RULES.alerts if rule.name in names)
    assert {rule.name for rule in alerts} == set(names)
    return replace(RULES, alerts=alerts, recordings=())


def at_of(event: Event) -> int:
    assert not hasattr(event, "start_ns")
    return int(event.ts_ns)


def run(rules: RuleSet, events: Iterable[Event], step_ns: int) -> dict[str, Values]:
    """Feed as a run would, evaluating at every step; the last value of each rule by its labels' values.

    Half way the process ends, and another goes on with what it kept.
    """
    engine, rows = Engine(rules), sorted(events, key=at_of)
    at, now_ns, end_ns = 0, T0, max(map(at_of, rows))
    restart_ns = T0 + (end_ns - T0) // step_ns // 2 * step_ns if end_ns > T0 else None
    while now_ns <= end_ns:
        if now_ns == restart_ns:
            kept, engine = engine.dump(), Engine(rules)
            engine.load(kept)
        upto = at
        while upto < len(rows) and at_of(rows[upto]) <= now_ns:
            upto += 1
        engine.ingest(rows[at:upto])
        engine.evaluate(now_ns)
        at, now_ns = upto, now_ns + step_ns
    return {rule.name: _values(engine, rule.id) for rule in rules.alerts}


def _values(engine: Engine, rule_id: str) -> Values:
    found = engine.latest(rule_id)
    assert found is not None
    rows = zip(found.labels, found.value.tolist(), strict=True)
    return {"/".join(value for _, value in labels): value for labels, value in rows if not math.isnan(value)}


def threshold(rules: RuleSet, events: Iterable[Event], step_ns: int) -> Values:
    """The right side of the deciding comparison, after the last step."""
    engine = Engine(rules)
    for event in sorted(events, key=at_of):
        engine.ingest([event])
    for now_ns in range(T0, max(map(at_of, events)) + 1, step_ns):
        engine.evaluate(now_ns)
    found = engine.latest(rules.alerts[0].id)
    assert found is not None
    return {labels[0][1]: value for labels, value in zip(found.labels, found.threshold.tolist(), strict=True)}


def pair(venue: str, base: str, kind: MarketKind = "perp", quote: str = "USDT") -> Instrument:
    return Instrument(venue=venue, symbol=f"{base}{quote}", base=base, quote=quote, settle=quote, kind=kind)


def walk(rng: np.random.Generator, count: int, scale: float = 0.01, start: float = 100.0) -> npt.NDArray[np.float64]:
    return start * np.exp(np.cumsum(rng.normal(0, scale, count)))


def frame(rows: Sequence[tuple[int, str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["t", "base", "venue", "value"], orient="row")


def prices(
    rng: np.random.Generator, bases: Sequence[str], steps: int, step_ns: int, holes: float = 0.2
) -> pl.DataFrame:
    """One row per (instant, coin, venue), about `holes` of them missing; the venues are a little apart."""
    rows = []
    for base in bases:
        path = walk(rng, steps + 1)
        for venue in VENUES:
            own = path * (1 + rng.normal(0, 0.002)) * np.exp(rng.normal(0, 0.0005, steps + 1))
            kept = rng.random(steps + 1) >= holes
            rows += [(T0 + n * step_ns, base, venue, float(own[n])) for n in range(steps + 1) if kept[n]]
    return frame(rows)


def price_events(table: pl.DataFrame) -> list[Event]:
    return [Price(pair(venue, base), "mark", value, t, t) for t, base, venue, value in table.iter_rows()]


def moves(table: pl.DataFrame, now_ns: int, window_ns: int, fold: str = "median") -> Values:
    """Change by coin of the fold over the venues that are there at both ends."""
    ends = table.filter(pl.col("t") == now_ns).join(
        table.filter(pl.col("t") == now_ns - window_ns), on=["base", "venue"], suffix="_then"
    )
    folded = ends.group_by("base").agg(getattr(pl.col("value", "value_then"), fold)())
    return {base: now / then - 1 for base, now, then in folded.select("base", "value", "value_then").iter_rows()}


# -- prices


@few
@given(SEEDS)
def test_market_breadth_and_relative_return(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bases = ["BTC", "ETH", *(f"C{n}" for n in range(12))]
    table = prices(rng, bases, 48, HOUR)
    end_ns = T0 + 48 * HOUR
    got = run(shipped("MostCoinsFall", "EthWeakerThanBtc"), price_events(table), HOUR)
    hour = list(moves(table, end_ns, HOUR).values())
    fallen = sum(move < -0.02 for move in hour)
    wanted = {"": fallen / len(hour)} if fallen else {}  # a count of nobody has no row
    assert got["MostCoinsFall"].get("", 0.0) == pytest.approx(wanted.get("", 0.0))
    day = moves(table, end_ns, DAY)
    if {"BTC", "ETH"} <= day.keys():
        assert got["EthWeakerThanBtc"] == pytest.approx({"": day["ETH"] - day["BTC"]})


@few
@given(SEEDS)
def test_realized_volatility_leaves_out_what_a_hole_hides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dark = [T0 + int(n) * HOUR for n in np.flatnonzero(rng.random(200) < 0.1)]  # nobody is there
    steady = pl.col("venue") == VENUES[0]  # neighbours in time always have a venue in common
    table = prices(rng, ["BTC", "ETH"], 200, HOUR, holes=0.0).filter(steady | (pl.col("t") // HOUR % 7 > 1))
    table = table.filter(~pl.col("t").is_in(dark))
    got = run(shipped("RealizedVolatility"), price_events(table), HOUR)["RealizedVolatility"]
    for base in ("BTC", "ETH"):
        mine = table.filter(pl.col("base") == base)
        steps = [moves(mine, T0 + hour * HOUR, HOUR) for hour in range(200 - 168 + 2, 201)]
        returns = [math.log1p(move) for step in steps for move in step.values()]
        assert got[base] == pytest.approx(float(np.std(returns)) * math.sqrt(24 * 365) * 100)


@few
@given(SEEDS)
def test_drawdown_from_the_peak(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(T0 + n * HOUR, base, "bybit", float(v)) for base in ("BTC", "ETH") for n, v in enumerate(walk(rng, 100)) if rng.random() > 0.1 or n == 99]  # fmt: skip
    table = frame(rows)
    got = run(shipped("DrawdownFromYearHigh"), price_events(table), HOUR)["DrawdownFromYearHigh"]
    wanted = table.sort("t").group_by("base").agg(pl.col("value").last() / pl.col("value").max() - 1)
    assert got == pytest.approx(dict(wanted.iter_rows()))


@few
@given(SEEDS)
def test_the_moving_average_is_the_mean_of_daily_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = frame([(T0 + n * DAY, "BTC", "bybit", float(v)) for n, v in enumerate(walk(rng, 260, 0.03)) if rng.random() > 0.1 or n == 259])  # fmt: skip
    got = threshold(shipped("BelowMovingAverage200d"), price_events(table), DAY)
    rolled = table.filter(pl.col("t") > T0 + 59 * DAY)["value"].mean()
    assert got == pytest.approx({"BTC": rolled})


@few
@given(SEEDS)
def test_correlation_of_two_coins_and_beta_against_an_index(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hours = 7 * 24
    market = rng.normal(0, 0.01, hours + 1)
    path = {
        name: 100 * np.exp(np.cumsum(b * market + rng.normal(0, 0.004, hours + 1)))
        for name, b in (("BTC", 2.0), ("spx", 1.0))
    }
    kept = {name: (rng.random(hours + 1) > 0.1) | (np.arange(hours + 1) == hours) for name in path}
    events: list[Event] = [Price(pair("bybit", "BTC"), "mark", float(path["BTC"][n]), T0 + n * HOUR, T0 + n * HOUR) for n in range(hours + 1) if kept["BTC"][n]]  # fmt: skip
    events += [Sample("external", (("name", "spx"), ("source", "desk")), float(path["spx"][n]), T0 + n * HOUR, T0 + n * HOUR) for n in range(hours + 1)]  # fmt: skip
    got = run(shipped("BtcFollowsStocks", "BtcAmplifiesStocks"), events, HOUR)
    ends = [
        (a, b)
        for a, b in zip(np.flatnonzero(kept["BTC"]), np.flatnonzero(kept["BTC"])[1:], strict=False)
        if b == a + 1 > 1
    ]
    x = np.array([math.log(path["spx"][b] / path["spx"][a]) for a, b in ends])
    y = np.array([math.log(path["BTC"][b] / path["BTC"][a]) for a, b in ends])
    assert got["BtcFollowsStocks"][""] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert got["BtcAmplifiesStocks"][""] == pytest.approx(stats.linregress(x, y).slope)


@few
@given(SEEDS)
def test_basis_is_mark_over_index(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(base, venue, kind, float(rng.uniform(95, 105))) for base in ("BTC", "ETH", "SOL") for venue in VENUES for kind in ("mark", "index") if rng.random() > 0.2]  # fmt: skip
    events: list[Event] = [Price(pair(venue, base), kind, value, T0, T0) for base, venue, kind, value in rows]  # type: ignore[arg-type]
    got = run(shipped("PerpBelowIndex"), events, MINUTE)["PerpBelowIndex"]
    folded = pl.DataFrame(rows, schema=["base", "venue", "kind", "value"], orient="row").group_by("base", "kind").agg(pl.col("value").median())  # fmt: skip
    wide = (
        folded.pivot(on="kind", index="base", values="value").drop_nulls() if folded["kind"].n_unique() == 2 else None
    )
    wanted = {} if wide is None else {base: mark / index - 1 for base, mark, index in wide.select("base", "mark", "index").iter_rows()}  # fmt: skip
    assert got == pytest.approx(wanted)


# -- funding


@few
@given(SEEDS)
def test_funding_is_weighted_by_open_interest_and_a_spell_lasts_since_it_turned(seed: int) -> None:
    """A value lives for ten minutes: one step of six, not two."""
    rng, step_ns, count = np.random.default_rng(seed), 6 * MINUTE, 240
    hours = {"bybit": 8.0, "okx": 4.0, "binance_usdm": 1.0}
    rows = []
    for base in ("BTC", "ETH"):
        drift = np.cumsum(rng.normal(0, 2e-5, count + 1))
        for venue in VENUES:
            interest = walk(rng, count + 1, 0.02, 1e9)
            rates = (drift + rng.normal(0, 2e-5, count + 1)) * hours[venue] / 8
            for n in range(count + 1):
                kept = rng.random(2) > (0.0 if venue == "bybit" else 0.4)
                rate, usd = (float(x[n]) if keep else None for x, keep in zip((rates, interest), kept, strict=True))
                rows.append((T0 + n * step_ns, base, venue, rate, usd))
    events: list[Event] = []
    for t, base, venue, rate, usd in rows:
        events += [] if rate is None else [Funding(pair(venue, base), rate, hours[venue], t, t)]
        events += [] if usd is None else [OpenInterest(pair(venue, base), usd, t, t)]
    got = run(shipped("FundingOverheated", "FundingNegativeForDays"), events, step_ns)
    table = (
        pl.DataFrame(rows, schema=["t", "base", "venue", "rate", "usd"], orient="row")
        .sort("t")
        .with_columns(pl.col("rate", "usd").forward_fill(limit=1).over("base", "venue"))
        .with_columns(rate=pl.col("rate") * 8 / pl.col("venue").replace_strict(hours, return_dtype=pl.Float64))
        .drop_nulls()
        .group_by("t", "base")
        .agg(((pl.col("rate") * pl.col("usd")).sum() / pl.col("usd").sum()).alias("value"))
        .sort("t")
    )
    for (base,), mine in table.group_by("base"):
        assert got["FundingOverheated"][str(base)] == pytest.approx(mine["value"][-1])
        turned = mine.filter(pl.col("value") >= 0)["t"].max()
        spell = mine.filter(pl.col("t") > (T0 - 1 if turned is None else turned))["t"]
        lasts_ns = int(spell[-1] - spell[0]) if len(spell) else 0
        assert got["FundingNegativeForDays"].get(str(base), 0.0) == pytest.approx(lasts_ns)


# -- the user's own series


@few
@given(SEEDS)
def test_how_many_of_five_assets_fell_over_a_day(seed: int) -> None:
    """Two desks push each asset, with holes: the mean over the desks that have said something before both ends."""
    rng, names = np.random.default_rng(seed), ("spx", "gold", "csi300", "hsi")
    rows = []
    for name in names:
        path = walk(rng, 31, 0.004, 5_000.0)
        rows += [(T0 + n * HOUR, name, desk, float(path[n] * rng.uniform(0.99, 1.01))) for desk in ("a", "b") for n in range(31) if desk == "a" or rng.random() > 0.3]  # fmt: skip
    table = prices(rng, ["BTC"], 30, HOUR, holes=0.0)
    events: list[Event] = [Sample("external", (("name", name), ("source", desk)), value, t, t, desk) for t, name, desk, value in rows]  # fmt: skip
    got = run(shipped("RiskAssetsFallTogether"), [*events, *price_events(table)], HOUR)["RiskAssetsFallTogether"]
    hours = pl.DataFrame({"t": [T0 + n * HOUR for n in range(31)]})
    given = frame([(t, name, desk, value) for t, name, desk, value in rows])
    pushed = (  # a value stands for days
        hours.join(given.select("base", "venue").unique(), how="cross")
        .join(given, on=["t", "base", "venue"], how="left")
        .sort("t")
        .with_columns(pl.col("value").forward_fill().over("base", "venue"))
        .drop_nulls()
    )
    day = moves(pushed, T0 + 30 * HOUR, DAY, "mean") | moves(table, T0 + 30 * HOUR, DAY)
    assert len(day) == 5
    assert got == {"": float(sum(move < -0.01 for move in day.values()))}


# -- volume, open interest, depth


@few
@given(SEEDS)
def test_spot_share_and_quote_share_of_volume(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds: tuple[tuple[MarketKind, str], ...] = (("spot", "USDT"), ("spot", "USDC"), ("spot", "USD"), ("perp", "USDT"))
    rows = []
    for _ in range(400):
        kind, quote = kinds[int(rng.integers(4))]
        venue = str(rng.choice(["binance_spot", "kraken", "bybit"]))
        rows.append((T0 + int(rng.integers(0, 40 * HOUR)), venue, kind, quote, int(rng.integers(1, 10**13))))
    events: list[Event] = [
        Trade(pair(venue, "BTC", kind, quote), "buy", usd, 1.0, t, t) for t, venue, kind, quote, usd in rows
    ]
    events.append(Price(pair("bybit", "BTC"), "mark", 1.0, T0 + 40 * HOUR, T0 + 40 * HOUR))
    got = run(shipped("SpotShareOfVolumeLow", "TetherShareOfSpotVolume"), events, HOUR)
    seen = pl.DataFrame(rows, schema=["t", "venue", "kind", "quote", "usd"], orient="row").filter(
        pl.col("t") > T0 + 16 * HOUR
    )
    spot = seen.filter(pl.col("kind") == "spot")
    total = {
        "all": seen["usd"].sum(),
        "spot": spot["usd"].sum(),
        "usdt": spot.filter(pl.col("quote") == "USDT")["usd"].sum(),
    }
    assert got["SpotShareOfVolumeLow"] == pytest.approx({"": float(total["spot"]) / float(total["all"])})
    assert got["TetherShareOfSpotVolume"] == pytest.approx({"": float(total["usdt"]) / float(total["spot"])})


@few
@given(SEEDS)
def test_leverage_is_open_interest_over_market_value_against_a_week_ago(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hours = 7 * 24
    rows = [(T0 + n * HOUR, base, venue, float(v)) for base in ("BTC", "ETH") for venue in VENUES for n, v in enumerate(walk(rng, hours + 1, 0.02, 1e9)) if rng.random() > 0.2]  # fmt: skip
    caps = walk(rng, hours + 1, 0.01, 3e12)
    table = frame(rows)
    events: list[Event] = [OpenInterest(pair(venue, base), value, t, t) for t, base, venue, value in rows]
    events += [
        Sample("market_cap", (("asset", "total"),), float(cap), T0 + n * HOUR, T0 + n * HOUR)
        for n, cap in enumerate(caps)
    ]
    got = run(shipped("LeverageLeavesTheMarket"), events, HOUR)["LeverageLeavesTheMarket"]
    both = table.filter(pl.col("t") == T0 + hours * HOUR).join(
        table.filter(pl.col("t") == T0), on=["base", "venue"], suffix="_then"
    )
    if len(both):
        interest = float(both["value"].sum()) / float(both["value_then"].sum())
        assert got == pytest.approx({"": interest / (caps[-1] / caps[0]) - 1})


@settings(max_examples=1, deadline=None)
@given(SEEDS)
def test_the_depth_z_score_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 7 * 24 * 12
    sides = rng.lognormal(16, 0.3, (count + 1, 2))
    kept = (rng.random(count + 1) > 0.1) | (np.arange(count + 1) == count)
    events: list[Event] = [
        Depth(pair("bybit", "BTC"), float(sides[n, 0]), float(sides[n, 1]), 1e-4, T0 + n * 5 * MINUTE, T0 + n * 5 * MINUTE)
        for n in range(count + 1) if kept[n]
    ]  # fmt: skip
    got = run(shipped("DepthThin"), events, 5 * MINUTE)["DepthThin"]
    past = sides.sum(axis=1)[kept & (np.arange(count + 1) > 0)]
    assert got["BTC"] == pytest.approx(float(stats.zmap(past[-1:], past)[0]), rel=1e-6)


# -- derived series, from prices or rows to the rule


def through(desk: DerivedDesk, steps: Iterable[tuple[int, list[Event]]]) -> Iterator[Event]:
    """What the program's engine would see: events, and what follows from them at their time."""
    for now_ns, events in steps:
        yield from events
        yield from desk.observe(events, now_ns)


def by_time(events: Iterable[Event]) -> list[tuple[int, list[Event]]]:
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(at_of(event), []).append(event)
    return sorted(found.items())


@few
@given(SEEDS)
def test_dispersion_of_baskets_and_their_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spec = {"a": {"A": 3.0, "B": 1.0}, "b": {"C": 1.0}, "c": {"D": 2.0, "A": 1.0, "C": 5.0}}
    days = 31
    table = prices(rng, ["A", "B", "C", "D"], days, DAY, holes=0.0)
    said = {name: {"weights": weights, "rebalance_days": 365_000} for name, weights in spec.items()}
    events = through(DerivedDesk(read_derived({"baskets": said})), by_time(price_events(table)))
    got = run(shipped("BasketDispersion", "BasketsApart"), list(events), DAY)
    coins = (
        table.group_by("t", "base").agg(pl.col("value").median()).pivot(on="base", index="t", values="value").sort("t")
    )
    first = coins.row(0, named=True)
    levels = {name: sum((coins[coin] / first[coin] * weight for coin, weight in weights.items()), pl.Series([0.0] * (days + 1))) for name, weights in spec.items()}  # fmt: skip
    week = [level[-1] / level[-8] - 1 for level in levels.values()]
    month = [level[-1] / level[-31] - 1 for level in levels.values()]
    assert got["BasketDispersion"] == pytest.approx({"": float(np.std(week))})
    assert got["BasketsApart"] == pytest.approx({"": max(month) - min(month)})


def restarted(desk: DerivedDesk, now_ns: int) -> DerivedDesk:
    """The desk of the next process, with what this one kept."""
    again = DerivedDesk(desk.spec)
    again.recall(json.loads(json.dumps(desk.memory(now_ns))), now_ns)
    return again


def coin_prices(table: pl.DataFrame) -> pl.DataFrame:
    """The median over venues by time and coin; null where no venue was there."""
    folded = table.group_by("t", "base").agg(pl.col("value").median())
    return folded.pivot(on="base", index="t", values="value").sort("t")


@few
@given(SEEDS)
def test_a_basket_is_rebalanced_keeps_last_prices_and_goes_on_over_a_restart(seed: int) -> None:
    """The reference knows no units: it chains returns, with weights that drift and are set anew every third day."""
    rng, days, every = np.random.default_rng(seed), 24, 3
    weights = {"A": 3.0, "B": 1.0, "C": 2.0}
    table = prices(rng, list(weights), days, DAY, holes=0.45).filter((pl.col("t") > T0) | (pl.col("value") > 0))
    first = prices(rng, list(weights), 0, DAY, holes=0.0)
    table = pl.concat([first, table.filter(pl.col("t") > T0)])
    desk = DerivedDesk(read_derived({"baskets": {"x": {"weights": weights, "rebalance_days": every}}}))
    steps = dict.fromkeys((T0 + n * DAY for n in range(days + 1)), ()) | dict(by_time(price_events(table)))
    early = list(through(desk, [(t, list(steps[t])) for t in sorted(steps) if t <= T0 + 11 * DAY]))
    late = through(restarted(desk, T0 + 11 * DAY), [(t, list(steps[t])) for t in sorted(steps) if t > T0 + 11 * DAY])
    end = Price(pair("bybit", "A"), "mark", 1.0, T0 + days * DAY, T0 + days * DAY)
    got = run(shipped("BasketWeek"), [*early, *late, end], DAY)["BasketWeek"]

    seen = pl.DataFrame({"t": sorted(steps)}).join(coin_prices(table), on="t", how="left").sort("t")
    target = np.array(list(weights.values())) / sum(weights.values())
    present = seen.select(*weights).to_numpy()
    filled = seen.select(pl.col(list(weights)).forward_fill()).to_numpy()
    share, level, levels = target.copy(), 100.0, [100.0]
    for n in range(1, days + 1):
        growth = filled[n] / filled[n - 1]
        level *= float(share @ growth)
        share = share * growth / (share @ growth)
        there = np.isfinite(present[n].astype(float))
        known = float(target @ there) >= 0.5
        levels.append(level if known else math.nan)
        began = max((m for m in range(n) if not math.isnan(levels[m])), default=0)
        if known and (T0 + n * DAY) // (every * DAY) != (T0 + began * DAY) // (every * DAY):
            share = target.copy()
    week = levels[-1] / levels[-8] - 1
    assert got == pytest.approx({} if math.isnan(week) else {"x": week})


@few
@given(SEEDS)
def test_the_distance_from_a_configured_peak_or_the_highest_price_since(seed: int) -> None:
    rng, steps = np.random.default_rng(seed), 60
    table = prices(rng, ["BTC", "ETH", "SOL"], steps, HOUR, holes=0.3).filter(pl.col("base") != "SOL")
    known = {"BTC": float(rng.uniform(90, 130)), "ETH": 0.0}
    desk = DerivedDesk(read_derived({"baskets": {}, "peaks": known}))
    moments = by_time(price_events(table))
    half = len(moments) // 2
    events = list(through(desk, moments[:half]))
    events += through(restarted(desk, moments[half][0]), moments[half:])
    page = (ROOT / "docs" / "slow-series.md").read_text(encoding="utf-8")
    (page_rule,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "price_peak" in block)
    got = run(load_rules([("slow-series.md", page_rule)]), events, HOUR)["FromKnownPeak"]
    seen = coin_prices(table)
    last = seen.filter(pl.col("t") == T0 + steps * HOUR)
    wanted = {
        base: float(last[base][0]) / max(known[base], float(seen[base].max() or 0.0)) - 1  # type: ignore[arg-type]
        for base in known
        if len(last) and last[base][0] is not None
    }
    assert got == pytest.approx(wanted)


@few
@given(SEEDS)
def test_correlation_inside_and_between_bands_of_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.02, 60)
    coins = [f"R{rank:03}" for rank in range(1, 71)]
    caps = [Sample("market_cap", (("asset", coin),), 1e12 / n, T0, T0) for n, coin in enumerate(coins, start=1)]
    paths = {
        coin: 100 * np.exp(np.cumsum((0.9 if n < 10 else 0.3) * shared + rng.normal(0, 0.01, 60)))
        for n, coin in enumerate(coins)
    }
    known = {coin: rng.random(60) > 0.1 for coin in coins}
    closes = [Price(pair("binance_spot", coin, "spot"), "last", float(paths[coin][n]), T0 - (59 - n) * DAY, T0, backfill=True) for coin in coins for n in range(60) if known[coin][n]]  # fmt: skip
    desk = DerivedDesk(read_derived({"baskets": {}}))
    samples = desk.observe([*caps, *closes], T0)
    got = run(
        shipped("LargeCoinsMoveAsOne", "SmallCoinsDecouple"), [replace_time(sample, T0) for sample in samples], MINUTE
    )
    logs = {coin: np.diff(np.log(np.where(known[coin], paths[coin], np.nan))) for coin in coins}

    def mean(pairs: Iterable[tuple[str, str]]) -> float:
        found = []
        for a, b in pairs:
            both = np.isfinite(logs[a]) & np.isfinite(logs[b])
            if both.sum() >= 10:
                found.append(stats.pearsonr(logs[a][both], logs[b][both]).statistic)
        return float(np.mean(found))

    large, small = coins[:10], coins[49:100]
    inside = mean((a, b) for n, a in enumerate(large) for b in large[n + 1 :])
    between = mean((a, b) for a in large for b in small)
    assert got["LargeCoinsMoveAsOne"] == pytest.approx({"1-10": inside})
    assert got["SmallCoinsDecouple"] == pytest.approx({"1-10:50-100": between})


def replace_time(sample: Sample, at_ns: int) -> Sample:
    return Sample(sample.series, sample.labels, sample.value, at_ns, at_ns, sample.source)


@few
@given(SEEDS)
def test_profit_and_loss_of_treasuries_at_the_median_price(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = prices(rng, ["BTC", "ETH"], 0, DAY, holes=0.3)
    holdings = [{"holder": holder, "base": base, "quantity": float(rng.uniform(1, 1e6)), "cost_price_usd": float(rng.uniform(50, 200))} for holder in ("X", "Y") for base in ("BTC", "ETH")]  # fmt: skip
    desk = DerivedDesk(read_derived({"baskets": {}, "treasuries": holdings}))
    events = list(through(desk, by_time(price_events(table))))
    if not events:
        return
    got = run(shipped("TreasuryLoss", "TreasuryNearCost"), events, MINUTE)
    median = dict(table.group_by("base").agg(pl.col("value").median()).iter_rows())
    held = pl.DataFrame(holdings).filter(pl.col("base").is_in(list(median))).with_columns(price=pl.col("base").replace_strict(median, default=None, return_dtype=pl.Float64))  # fmt: skip
    pnl = held.with_columns(pnl=pl.col("quantity") * (pl.col("price") - pl.col("cost_price_usd")))
    assert got["TreasuryLoss"] == pytest.approx(dict(pnl.group_by("holder").agg(pl.col("pnl").sum()).iter_rows()))
    near = {f"{row['base']}/{row['holder']}": row["price"] / row["cost_price_usd"] - 1 for row in held.to_dicts()}
    assert got["TreasuryNearCost"] == pytest.approx(near)


@few
@given(SEEDS)
def test_a_drawdown_streak_counts_new_yorks_trading_days(seed: int) -> None:
    rng = np.random.default_rng(seed)
    new_york, rows = ZoneInfo("America/New_York"), []
    for n in range(100):
        day = date(2025, 9, 1) + timedelta(days=n)
        for hour in (10, 16, 19) if rng.random() > 0.15 else ():
            when = datetime(day.year, day.month, day.day, hour, tzinfo=new_york)
            rows.append(
                (
                    day,
                    int(when.timestamp()) * S,
                    float(rng.choice([0.8, 0.9, 0.95, 0.99, 1.2], p=[0.3, 0.3, 0.2, 0.17, 0.03])),
                )
            )
    labels = (("name", "co"), ("source", "desk"))
    order = rng.permutation(len(rows))
    desk = DerivedDesk(read_derived({"baskets": {}, "streaks": [{"name": "co", "limit": 1.0}]}))
    said = [
        sample for n in order for sample in desk.take([Sample("external", labels, rows[n][2], rows[n][1], rows[-1][1])])
    ]
    got = run(shipped("DelistingStreak"), [replace_time(said[-1], T0)], MINUTE)["DelistingStreak"]
    closed = [date(2025, 9, 1), date(2025, 11, 27)]  # Labor Day, Thanksgiving
    open_ = (pl.col("day").dt.weekday() <= 5) & ~pl.col("day").is_in(closed)
    table = pl.DataFrame(rows, schema=["day", "t", "value"], orient="row").filter(open_)
    closes = table.sort("t").group_by("day", maintain_order=True).agg(pl.col("value").last())
    run_lengths = (
        closes.select(pl.struct((pl.col("value") < 1.0).rle()).alias("x")).unnest("x").unnest("value")
        if len(closes)
        else closes
    )
    length, below = run_lengths.row(-1)
    assert got == {"co": float(length if below else 0)}


# -- options, from the service's reply to the rule


def black(forward: float, strike: float, years: float, iv: float) -> float:
    """Forward delta of a call."""
    spread = iv / 100 * math.sqrt(years)
    return float(stats.norm.cdf((math.log(forward / strike) + spread * spread / 2) / spread))


def options_reply(chains: Mapping[int, Sequence[tuple[float, str, float]]], forward: float) -> bytes:
    """Deribit's summary: per days to expiry the strikes, types and volatilities."""
    rows = []
    for days, quotes in chains.items():
        expiry = datetime.fromtimestamp(T0 // S, UTC) + timedelta(days=days)
        name = f"BTC-{expiry.day}{expiry.strftime('%b%y').upper()}"
        rows += [
            {"instrument_name": f"{name}-{strike:g}-{kind}".replace(".", "d"), "mark_iv": iv, "underlying_price": forward, "creation_timestamp": now_ms()}
            for strike, kind, iv in quotes
        ]  # fmt: skip
    return json.dumps({"result": rows}).encode()


def now_ms() -> int:
    return (T0 + 8 * HOUR) // 10**6


def option_rules(reply: bytes) -> dict[str, Values]:
    now_ns = T0 + 8 * HOUR
    source = make_source("deribit_options", SourceOptions())
    events = source.parse(Request("options:BTC", "https://example.org"), reply, now_ns)
    return run(shipped("SkewSharplyPositive", "ImpliedVolatilityHigh", "VolatilityInverted"), events, 4 * HOUR)


def strike_at(forward: float, days: int, iv: float, call_delta: float) -> float:
    """The strike at which a flat volatility has this forward delta."""
    return float(brentq(lambda strike: black(forward, strike, days / 365, iv) - call_delta, forward / 5, forward * 5))


def test_the_worked_number_of_eight_and_a_half_points_through_the_rule() -> None:
    """51.5 at the 25-delta put and 43.0 at the 25-delta call of 30 days: +8.5."""
    forward = 84_000.0
    puts = [(round(strike_at(forward, 30, 51.5, 1 - size)), "P", 51.5) for size in (0.05, 0.15, 0.25, 0.35, 0.45)]
    calls = [(round(strike_at(forward, 30, 43.0, size)), "C", 43.0) for size in (0.05, 0.15, 0.25, 0.35, 0.45)]
    at_money = [(forward, "P", 47.0), (forward, "C", 47.0)]
    got = option_rules(options_reply({30: [*puts, *calls, *at_money]} | {60: [*puts, *calls, *at_money]}, forward))
    assert got["SkewSharplyPositive"] == pytest.approx({"BTC": 8.5})
    assert black(84_000, 76_000, 30 / 365, 52.0) - 1 == pytest.approx(-0.2279, abs=1e-4)


@few
@given(SEEDS)
def test_skew_and_volatility_by_tenor_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forward, expiries = 84_000.0, (4, 12, 45, 120)
    base, slope, curve = rng.uniform(40, 70), rng.uniform(-15, 5), rng.uniform(20, 60)
    chains: dict[int, list[tuple[float, str, float]]] = {}
    wings: dict[int, tuple[float, float, float]] = {}
    for days in expiries:
        reach = 2.2 * base / 100 * math.sqrt(days / 365)
        grid = np.exp(np.linspace(-reach, reach, 41)) * forward
        strikes = np.unique(np.round(grid[rng.random(41) > 0.1]))
        level = base + rng.normal(0, 5)
        ivs = level + slope * np.log(strikes / forward) + curve * np.log(strikes / forward) ** 2
        chains[days] = [(float(k), "P" if k <= forward else "C", float(iv)) for k, iv in zip(strikes, ivs, strict=True)]
        deltas = np.array([black(forward, k, days / 365, iv) for k, iv in zip(strikes, ivs, strict=True)])
        wings[days] = tuple(float(interp1d(deltas[side], ivs[side])(at)) for side, at in ((strikes <= forward, 0.75), (strikes > forward, 0.25), (strikes > 0, 0.5)))  # type: ignore[assignment]  # fmt: skip

    def tenor(days: int, which: int) -> float:
        variance = interp1d(expiries, [wings[d][which] ** 2 * d for d in expiries])(days)
        return math.sqrt(float(variance) / days)

    got = option_rules(options_reply(chains, forward))
    assert got["SkewSharplyPositive"] == pytest.approx({"BTC": tenor(30, 0) - tenor(30, 1)})
    assert got["ImpliedVolatilityHigh"] == pytest.approx({"BTC": tenor(30, 2)})
    assert got["VolatilityInverted"] == pytest.approx({"BTC": tenor(7, 2) - tenor(90, 2)})
