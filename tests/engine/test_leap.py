"""Leaps over quiet stretches say what evaluating every instant says, to the bit, and leave the same state behind."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.engine.leap import PATIENCE, Leaper
from monitor.engine.rows.bulk import Block, MarketRow
from monitor.events import Channel, Liquidation, Price
from monitor.reading import Evaluation
from monitor.rule import RuleSet
from tests.engine.market import at, feed, rules
from tests.engine.rows.test_bulk import INSTRUMENTS, Columnar, plain, same_state

GRID_NS = NS_PER_S // 4
TEXTS = (
    "sum(liquidations[60s]) by (base) > 1M",
    "sum(liquidations[10s]) > 600k",
    "count(liquidations[2m]) by (venue) >= 30",
    "sum(liquidations[60s]) < 1",
    'sum(liquidations{side="long"}[2h]) by (base) > 3M',
    "price > 100.5",
    "price by (base) < 99.5",
    "change(price[60s]) < -0.5%",
    "change(price[5s]) by (base) > 1%",
    "drawdown(price[5m]) < -1%",
    "sum(liquidations[60s]) by (base) > 100k and change(price[60s]) by (base) < -0.2%",
    "k_of(2, change(price[60s]) by (base) < -0.3%, sum(liquidations[60s]) by (base) > 1M, price by (base) < 99.7)",
)
OTHERS = (
    "price > 90",
    "sum(liquidations[60s]) >= 0",
    "sum(liquidations{side='long'}[60s]) / sum(liquidations[60s]) > 60%",
    "(max(price) by (base) - min(price) by (base)) / min(price) by (base) > 1%",
    "change(price{base='ETH'}[60s]) by () - change(price{base='BTC'}[60s]) by () < -0.5%",
    "count(change(price[60s]) by (base) < -0.2%) / count(change(price[60s]) by (base)) >= 50%",
    "price by (base) > sma(price[2m:10s]) by (base)",
    "drawdown(price[2m:10s]) by (base) < -0.5%",
    "max(price[2m:10s]) by (base) > 100.2",
    "realized_vol(price[2m:10s]) by (base) > 500",
    "corr(price{base='BTC'}[2m:10s], price{base='ETH'}[2m:10s]) by () > 0.5",
    "crosses_above(price by (base), 100.1)",
    "since(price by (base) > 100.2) < 1m",
    "held(price by (base) > 100.2) > 30s",
    "price by (base) < 99.9 then sum(liquidations[60s]) by (base) > 300k within 2m",
    "absent(price[30s]) by (venue)",
)
MARKET = INSTRUMENTS[:4]
EXPECTED = {channel: ["bybit", "okx"] for channel in (Channel.PRICE, Channel.LIQUIDATIONS)}
ODDITIES = ("silence", "dumb", "jump", "late", "nonsense", "liquidation")
SIDES: tuple[Literal["long", "short"], ...] = ("long", "short")
Steps = list[tuple[int, list[MarketRow]]]
"""Number of the grid instant, and what was received up to it."""


def market(seed: int, steps: int, wild: float) -> Steps:
    """Prices that walk, a liquidation now and then; `wild` is the share of steps in which something odd happens."""
    rng = random.Random(seed)
    level = dict.fromkeys(MARKET, 100.0)
    found: Steps = []
    number, dumb_until = 0, 0
    for _ in range(steps):
        odd = rng.choice(ODDITIES) if rng.random() < wild else ""
        number += rng.choice([2, 8, 50, 700]) if odd == "silence" else 1
        if odd == "dumb":
            dumb_until = number + 700  # one of them goes stale
        now = number / 4
        events: list[MarketRow] = []
        for instrument in rng.sample(MARKET[number < dumb_until :], 3):
            level[instrument] *= 1 + rng.uniform(-1, 1) * (0.02 if odd == "jump" else 0.0001)
            lag = rng.choice([0.3, 2.0, 20.0, 70.0, 200.0, -1.0]) if odd == "late" else rng.uniform(0, 0.2)
            value = float("nan") if odd == "nonsense" else level[instrument]
            events.append(Price(instrument, "mark", value, at(now - lag), at(now - 0.01)))
        if odd == "liquidation" or rng.random() < 0.1:
            usd = rng.choice([10**9, 10**11, 10**12]) if odd == "liquidation" else 10**9
            instrument = rng.choice(INSTRUMENTS if odd == "liquidation" else MARKET)
            lag = rng.choice([3.0, 100.0]) if odd == "late" else 0.05
            events.append(Liquidation(instrument, rng.choice(SIDES), usd, 1.0, at(now - lag), at(now - 0.01)))
        found.append((number, events))
    return found


def blocks(history: Steps, width: int) -> Iterator[tuple[Block, Sequence[int]]]:
    columnar = Columnar()
    for first in range(0, len(history), width):
        part = history[first : first + width]
        instants = [at(number / 4) for number, _ in part]
        block = columnar.block([events for _, events in part])
        block.instants = np.array(instants, np.int64)
        yield block, instants


class Machine:
    """An engine on its way through a history, as a backtest drives it."""

    def __init__(self, ruleset: RuleSet, *, leaping: bool, tracked: bool, max_rows: int = 5_000_000) -> None:
        settings = EngineSettings(max_rows=max_rows)
        self.engine = Engine(ruleset, expected=EXPECTED if tracked else None, settings=settings)
        if tracked:
            self.engine.ingest([feed(venue, channel, 0) for channel, names in EXPECTED.items() for venue in names])
        self.leaping = leaping
        self.said: list[tuple[object, ...]] = []
        self.counted: dict[str, int] = {}
        self.leapt = 0

    def follow(self, block: Block, instants: Sequence[int]) -> None:
        step = 0
        while step < len(instants):
            self.count(self.engine.ingest_block(block, step))
            self.hear(self.engine.evaluate(instants[step], changed_only=True))
            step += 1
            if self.leaping:
                before = step
                step, report = self.engine.leap(block, step, len(instants), 1 << 62)
                assert (report is None) == (step == before)
                self.leapt += step - before
                self.count(report)
            if step < len(instants):
                for now_ns in range(instants[step - 1] + GRID_NS, instants[step], GRID_NS):
                    self.hear(self.engine.evaluate(now_ns, changed_only=True))

    def hear(self, evaluations: Sequence[Evaluation]) -> None:
        self.said += map(plain, evaluations)

    def count(self, report: object) -> None:
        for name in ("taken", "late", "too_late", "clock_rejected", "invalid"):
            for venue, count in getattr(report, name, {}).items():
                key = f"{name} {venue}"
                self.counted[key] = self.counted.get(key, 0) + count


def agree(history: Steps, width: int, ruleset: RuleSet, *, tracked: bool, max_rows: int = 5_000_000) -> int:
    """How many steps were leapt over; everything that was said is the same."""
    each, leaping = (Machine(ruleset, leaping=leaping, tracked=tracked, max_rows=max_rows) for leaping in (False, True))
    for block, instants in blocks(history, width):
        each.follow(block, instants)
        leaping.follow(block, instants)
        assert leaping.said == each.said
    assert leaping.counted == each.counted
    for rule in ruleset.alerts:
        want, got = each.engine.latest(rule.id), leaping.engine.latest(rule.id)
        assert want is not None
        assert got is not None
        assert plain(got)[2:] == plain(want)[2:], rule.text
    assert same_rows(each.engine, leaping.engine)
    return leaping.leapt


def same_rows(one: Engine, other: Engine) -> bool:
    for engine in (one, other):  # both forget now: they may do so at other times on their way
        engine.store.trim(engine.now_ns, 0)
    return same_state(one, other)


@given(
    st.integers(0, 2**32),
    st.integers(20, 900),
    st.sampled_from([0.01, 0.05]),
    st.lists(st.sampled_from(TEXTS + OTHERS), min_size=1, max_size=6, unique=True),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_leaps_change_nothing(seed: int, length: int, wild: float, texts: list[str], tracked: bool) -> None:
    agree(market(seed, length, wild), (16, 64, 256)[seed % 3], rules(*texts), tracked=tracked)


@pytest.mark.parametrize("text", OTHERS[:5])
def test_so_is_one_in_which_rules_are_true_or_compare_what_they_work_out(text: str) -> None:
    assert agree(market(3, 1500, 0.0), 256, rules(text), tracked=False) > 500


@pytest.mark.parametrize(
    ("texts", "tracked"), [([text for text in TEXTS if "< 1" not in text], False), ([TEXTS[1], "price > 120"], True)]
)
def test_a_calm_market_is_leapt_over(texts: list[str], tracked: bool) -> None:
    """Nearly all of it, though panes close each minute, and values of five seconds ago are compared with."""
    assert agree(market(3, 1500, 0.0), 256, rules(*texts), tracked=tracked) > 1000


def test_a_log_that_is_full_loses_its_rows_at_its_own_pace() -> None:
    agree(market(5, 1500, 0.0), 256, rules("sum(liquidations[60s]) > 1B", "price > 120"), tracked=False, max_rows=100)


def test_rules_that_watch_every_instant_are_not_leapt_over() -> None:
    texts = ("crosses_above(price by (base), 101)", TEXTS[0])
    assert agree(market(7, 300, 0.02), 64, rules(*texts), tracked=False) == 0


def test_no_further_than_the_caller_has_time() -> None:
    history = market(9, 200, 0.0)
    machine = Machine(rules(TEXTS[0]), leaping=True, tracked=False)
    (block, instants) = next(blocks(history, 200))
    for step in range(100):  # every label set has appeared by then
        machine.engine.ingest_block(block, step)
        machine.engine.evaluate(instants[step], changed_only=True)
    step, _ = machine.engine.leap(block, 100, 150, instants[120])
    assert step == 120
    step, _ = machine.engine.leap(block, 120, 150, 1 << 62)
    assert step == 150


def test_tries_that_came_to_nothing_become_rare() -> None:
    leaper = Leaper()
    tries = 0
    for _ in range(1000):
        if leaper.ready():
            tries += 1
            leaper.landed(0)
    assert 1000 // (PATIENCE + 1) <= tries <= 1000 // PATIENCE + 8


def births(seed: int, steps: int) -> Steps:
    """Prices that stand still, and small liquidations that one more market or side joins now and then."""
    rng = random.Random(seed)
    crowd = [(instrument, side) for instrument in INSTRUMENTS for side in SIDES]
    found: Steps = []
    for number in range(steps):
        now = number / 4
        known = crowd[: 1 + number * len(crowd) // steps]
        events: list[MarketRow] = [Price(instrument, "mark", 100.0, at(now), at(now)) for instrument in MARKET]
        for instrument, side in rng.sample(known, min(3, len(known))):
            events.append(Liquidation(instrument, side, 10**9, 1.0, at(now - rng.uniform(0, 0.2)), at(now)))
        found.append((number + 1, events))
    return found


def test_a_label_set_that_opens_no_group_is_leapt_over() -> None:
    """One of five steps has a label set's first row; only the first step of all is evaluated."""
    texts = ("sum(liquidations[60s]) > 1B", "count(liquidations[2h]) > 1M", "sum(liquidations[60s]) by (quote) > 1B")
    assert agree(births(11, 60), 60, rules(*texts), tracked=False) == 59


@pytest.mark.parametrize(
    "text", ["sum(liquidations[60s]) by (venue, symbol) > 1B", 'sum(liquidations{side="short"}[60s]) by (base) > 1']
)
def test_a_label_set_that_opens_a_group_is_looked_at(text: str) -> None:
    assert 0 < agree(births(11, 600), 256, rules(text), tracked=False) < 595


def test_a_try_that_found_too_little_room_has_all_of_it_next_time() -> None:
    """Prices that trade to and fro use up what an alarm allows, though none comes near a constant."""
    history = market(3, 1500, 0.0)
    assert agree(history, 256, rules("price > 100.5", "price by (base) < 99.5"), tracked=False) > 1300
