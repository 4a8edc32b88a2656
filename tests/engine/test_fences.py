"""Rules that sleep behind fences tell the same truth, coverage and values as rules that are judged at every turn."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.fences import Fence, Followers
from monitor.engine.nodes.base import Alarm, Tick
from monitor.events import Channel, Event, Liquidation, Price
from monitor.language import load_rules
from monitor.reading import Evaluation
from monitor.rule import RuleSet
from tests.engine.follower import Follower
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, OKX_BTC, at, engine, feed, liquidation, perp, price

OKX_ETH = perp("okx", "ETH")
MARKET = (BYBIT_BTC, OKX_BTC, BYBIT_ETH, OKX_ETH)
CHANNELS = (Channel.LIQUIDATIONS, Channel.PRICE)
EXPECTED = {channel: ["bybit", "okx"] for channel in CHANNELS}
TEXTS = [
    *(f"sum(liquidations[60s]) by (base) > {n}" for n in ("0", "300k", "1M", "5M", "1B")),
    "sum(liquidations[60s]) < 500k",
    "sum(liquidations[60s]) == 0",
    "count(liquidations[2m]) by (venue) >= 4",
    "rate(liquidations[60s]) > 10k",
    "mean(liquidations[60s]) > 200k",
    'sum(liquidations{side="long"}[2h]) by (base) > 3M',
    "sum(liquidations[60s] offset 30s) > 1M",
    "price > 103",
    "price by (base) < 97",
    "not (price by (base) > 98)",
    "change(price[60s]) < -2%",
    "change(price[60s]) by (base) > 2%",
    "drawdown(price[5m]) < -3%",
    "drawdown(price[5m]) > -1%",
    "sum(liquidations[60s]) by (base) > 1M and change(price[60s]) by (base) < -1%",
    "sum(liquidations[60s]) by (base) > 1M or price by (base) < 99",
    "k_of(2, change(price[60s]) by (base) < -1%, sum(liquidations[60s]) by (base) > 1M, price by (base) < 99)",
    "sum(liquidations{side='long'}[60s]) / sum(liquidations[60s]) > 60%",
    "sum(liquidations[60s]) by (base) / on () group_left sum(liquidations[2m]) > 30%",
    "price by (base) - price{venue='okx'} by (base) > 0.5",
    "(max(price) by (base) - min(price) by (base)) / min(price) by (base) > 1%",
    "change(price{base='ETH'}[60s]) by () - change(price{base='BTC'}[60s]) by () < -1%",
    "(1 + change(price{base='ETH'}[2m]) by ()) / (1 + change(price{base='BTC'}[60s]) by ()) - 1 > 1%",
    "0 - change(price[60s]) by (base) > 2%",
    "count(change(price[60s]) by (base) < -1%) / count(change(price[60s]) by (base)) >= 50%",
    "spread(price) > 3",
    "stddev(change(price[60s]) by (venue, base)) > 1%",
    "sum(price) by (base) > 204",
    "topk(1, change(price[60s]) by (base)) > 1%",
    "topk(1, 0 - change(price[60s]) by (base)) > 1%",
    "price by (base) > sma(price[2m:10s]) by (base)",
    "price{venue='okx'} by (base) > price{venue='bybit'} by (base)",
    "drawdown(price[2m:10s]) by (base) < -2%",
    "max(price[2m:10s]) by (base) > 102",
    "101 - min(price[2m:10s]) by (base) > 2",
    "realized_vol(price[2m:10s]) by (base) > 500",
    "zscore(price[2m:10s]) by (base) > 2",
    "zscore(sum(liquidations[10s])[2m:10s]) > 2",
    "corr(price{base='BTC'}[2m:10s], price{base='ETH'}[2m:10s]) by () > 0.5",
    "mean(price[60s]) > 101",
    "max(liquidations[60s]) by (base) > 500k",
    "crosses_above(price by (base), 101)",
    "crosses_below(price by (base), sma(price[2m:10s]) by (base))",
    "held(price by (base) > 101) > 30s",
    "since(price by (base) > 102) < 1m",
    "price by (base) < 99 then sum(liquidations[60s]) by (base) > 300k within 2m",
    "absent(price[30s]) by (venue)",
    "absent(liquidations[30s]) by (base) and price by (base) > 100",
]
LIFE = """
groups:
  - name: life
    rules:
      - {alert: Clears, expr: 'sum(liquidations[60s]) by (base) > 2M', clear: 'sum(liquidations[60s]) by (base) < 500k'}
      - alert: Levels
        ladder:
          - {severity: warning, expr: 'price by (base) < 99'}
          - {severity: critical, expr: 'price by (base) < 95'}
"""


def story(seed: int) -> list[tuple[float, list[Event]]]:
    """Turns of a market in seconds: prices that walk and jump, feeds that stop, liquidations in bursts, late rows."""
    rng = random.Random(seed)
    level = dict.fromkeys(MARKET, 100.0)
    turns: list[tuple[float, list[Event]]] = [(0.0, [feed(v, c, 0) for v in ("bybit", "okx") for c in CHANNELS])]
    now = 0.0
    for _ in range(rng.randint(5, 60)):
        now += rng.choice([0.01, 0.2, 1.0, 5.0, 20.0, 61.0])
        batch: list[Event] = []
        for instrument in rng.sample(MARKET, rng.randint(0, 3)):
            step = rng.choice([0.0001, 0.001, 0.01, 0.03])
            level[instrument] *= 1 + rng.uniform(-step, step)
            batch.append(price(instrument, level[instrument], now - rng.choice([0.0, 0.0, 0.05, 2.0])))
        if rng.random() < 0.4:
            instrument, usd = rng.choice(MARKET), rng.choice([1e3, 1e5, 4e5, 1e6])
            batch.append(
                liquidation(instrument, usd, now - rng.choice([0.0, 0.0, 0.5, 30.0]), rng.choice(["long", "short"]))
            )
        if rng.random() < 0.05:
            batch += history(rng, now)
        if rng.random() < 0.05:
            batch.append(feed(rng.choice(["bybit", "okx"]), rng.choice(CHANNELS), now, up=rng.random() < 0.5))
        turns.append((now, batch))
    return turns


def history(rng: random.Random, now: float) -> list[Event]:
    """Rows of the past that come late and do not alert by themselves: fetched after a gap, or revised."""
    instrument, s = rng.choice(MARKET), now - rng.choice([1.0, 40.0, 200.0])
    return [
        Price(instrument, "mark", rng.uniform(80, 120), at(s), at(now), backfill=True),
        Liquidation(instrument, "long", rng.randint(1, 10**12), 1.0, at(s), at(now), backfill=True),
    ]


def rule_set() -> RuleSet:
    """Every kind of rule, with and without a life of its own."""
    return RuleSet((*engine(*TEXTS).ruleset.alerts, *load_rules([("life.yaml", LIFE)]).alerts))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_a_sleeping_rule_misses_nothing(seed: int) -> None:
    """At every turn, for every rule: truth, coverage, the clear condition and the level are those of the full evaluation.

    So are the worst values while it was true, for a follower that hears only of those that are worse.
    """
    full, live = (Engine(rule_set(), expected=EXPECTED) for _ in range(2))
    all_said, said = Follower(), Follower()
    seen: dict[str, Evaluation] = {}
    for now, batch in story(seed):
        for machine in (full, live):
            machine.ingest(batch)
        for item in full.evaluate(at(now)):
            all_said.hear(item)
        heard = live.evaluate(at(now), changed_only=True)
        seen.update({item.rule: item for item in heard})
        said.attend(live, heard)
        for rule in full.ruleset.alerts:
            want, got = full.latest(rule.id), seen[rule.id]
            assert want is not None
            for column in ("truth", "coverage", "clear", "level"):
                have, should = getattr(got, column), getattr(want, column)
                np.testing.assert_array_equal(have, should, f"{column} of {rule.text} at {now}")
            np.testing.assert_array_equal(said.worst[rule.id], all_said.worst[rule.id], f"{rule.text} at {now}")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_values_are_there_for_whoever_looks(seed: int) -> None:
    """`latest` works out what a sleeping rule did not."""
    full, live = Engine(rule_set()), Engine(rule_set())
    for now, batch in story(seed):
        for machine in (full, live):
            machine.ingest(batch)
        full.evaluate(at(now))
        live.evaluate(at(now), changed_only=True)
        for rule in full.ruleset.alerts[:: 1 + seed % 3]:
            want, got = full.latest(rule.id), live.latest(rule.id)
            assert want is not None
            assert got is not None
            np.testing.assert_array_equal(got.value, want.value, f"{rule.text} at {now}")


def test_a_quiet_market_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far below its threshold a rule costs no evaluation and no look, however many events come in."""
    machine = engine("sum(liquidations[1h]) > 1B", "price > 1M", "change(price[60s]) < -20%")
    for s in range(100):
        machine.ingest([price(BYBIT_BTC, 100.0, s), liquidation(BYBIT_BTC, 1.0, s)])
        machine.evaluate(at(s), changed_only=True)
    looks = []
    passed = Fence.passed

    def counted(fence: Fence, tick: Tick, followers: Followers) -> bool:
        looks.append(fence)
        return passed(fence, tick, followers)

    monkeypatch.setattr(Fence, "passed", counted)
    for n in range(1000):
        now = 99 + n / 1000
        machine.ingest([price(BYBIT_BTC, 100.0 + n % 2 / 1000, now), liquidation(BYBIT_BTC, 1.0, now)])
        assert machine.evaluate(at(now), changed_only=True) == []
    assert len(looks) <= 3


def test_an_alarm_rings_at_its_instant_or_beyond_its_mark() -> None:
    class Counter:
        value = 5

    alarm = Alarm(100.0, ((Counter(), 5),))
    assert (alarm.rings(99), alarm.rings(100)) == (False, True)
    Counter.value = 6
    assert alarm.rings(99)
