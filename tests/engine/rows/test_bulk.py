"""Columns in bulk against the same events one by one: the same counts, members, readings and verdicts, to the bit."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.rows.bulk import Block, MarketRow, Rows, Subjects
from monitor.events import Depth, Funding, Liquidation, OpenInterest, Price, PriceKind, Trade
from monitor.instruments import Instrument
from monitor.reading import Evaluation
from tests.engine.market import T0_NS, at, engine, perp

INSTRUMENTS = [
    *(perp(venue, base) for venue in ("bybit", "okx") for base in ("BTC", "ETH")),
    Instrument(venue="gate", symbol="1000PEPE", base="PEPE", quote="USDT", settle="USDT", kind="perp", base_units=1000),
    Instrument(
        venue="gate", symbol="NVDA", base="NVDA", quote="USDT", settle="USDT", kind="perp", asset_class="tradfi"
    ),
]
RULES = (
    "sum(liquidations[60s]) by (base) > 1",
    "count(liquidations[10s]) by (venue, side) > 1",
    "sum(liquidations[2h]) by (base) > 1",
    'sum(trades{side="buy"}[5m]) / sum(trades[5m]) > 50%',
    "max(trades[60s]) by (base) > 1",
    "price by (base) > 1",
    'change(price{kind="last"}[60s]) > 1%',
    "drawdown(price[90s]) < -1%",
    "realized_vol(price[10m:30s]) > 1",
    "zscore(sum(liquidations[20s])[5m:10s]) > 1",
    "crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)",
    "funding_apr < -10%",
    "change(open_interest[5m]) by (base) < -1%",
    "sum(depth) by (base, side) > 1",
    "spread > 1%",
    "last(feed_up) by (venue) == 0",
)
WORDS: dict[type[MarketRow], tuple[str, ...]] = {
    Liquidation: ("long", "short"),
    Trade: ("buy", "sell"),
    Price: ("mark", "index", "last", "mid"),
}


KINDS: tuple[PriceKind, ...] = ("mark", "index", "last", "mid")


def value(rng: random.Random) -> float:
    return rng.choice([100.0, rng.uniform(50, 200), rng.uniform(50, 200), float("nan"), float("inf")])


def event(rng: random.Random, arrival: float) -> MarketRow:
    instrument = rng.choice(INSTRUMENTS)
    ts_ns = at(arrival - rng.choice([0, 0.1, 0.1, 0.3, 2, 50, 70, 200, -3, -9]))
    recv_ns = at(arrival)
    match rng.randrange(6):
        case 0:
            usd = rng.choice([1, 10**6, rng.randrange(1, 10**15)])
            return Liquidation(instrument, rng.choice(["long", "short"]), usd, 1.0, ts_ns, recv_ns)
        case 1:
            return Trade(instrument, rng.choice(["buy", "sell"]), rng.randrange(10**12), 1.0, ts_ns, recv_ns)
        case 2:
            return Price(instrument, rng.choice(KINDS), value(rng), ts_ns, recv_ns)
        case 3:
            hours = rng.choice([8.0, 4.0, 1.0, 0.0])
            return Funding(instrument, rng.uniform(-1e-3, 1e-3), hours, ts_ns, recv_ns)
        case 4:
            return OpenInterest(instrument, value(rng), ts_ns, recv_ns)
        case _:
            return Depth(instrument, value(rng), value(rng), rng.uniform(0, 0.1), ts_ns, recv_ns)


def history_of(seed: int, steps: int, pace: int) -> list[list[MarketRow]]:
    """Steps, each with the events that arrived in it."""
    rng = random.Random(seed)
    stretch = rng.choice([1, 1, 30])
    return [[event(rng, (s + rng.random()) * stretch) for _ in range(rng.randrange(pace))] for s in range(steps)]


WORD_OF = {Liquidation: "side", Trade: "side", Price: "kind"}
VALUES: dict[type[MarketRow], tuple[str, ...]] = {
    Liquidation: ("usd_micros",),
    Trade: ("usd_micros",),
    Price: ("value",),
    Funding: ("rate", "interval_h"),
    OpenInterest: ("usd",),
    Depth: ("bid_usd", "ask_usd", "spread_ratio"),
}


class Columnar:
    """Turns steps of events into blocks; subjects are numbered once for all blocks."""

    def __init__(self) -> None:
        self.subjects = {kind: Subjects(WORDS.get(kind, ("",))) for kind in VALUES}
        for subjects in self.subjects.values():
            for instrument in INSTRUMENTS:
                subjects.add(instrument)

    def block(self, steps: Sequence[Sequence[MarketRow]]) -> Block:
        return Block([self._rows(kind, steps) for kind in VALUES])

    def _rows(self, kind: type[MarketRow], steps: Sequence[Sequence[MarketRow]]) -> Rows:
        events = [[item for item in step if type(item) is kind] for step in steps]
        flat = [item for step in events for item in step]
        words, word = WORDS.get(kind, ("",)), WORD_OF.get(kind)
        codes = [
            INSTRUMENTS.index(item.instrument) * len(words) + (words.index(getattr(item, word)) if word else 0)
            for item in flat
        ]
        dtype = np.int64 if VALUES[kind] == ("usd_micros",) else np.float64
        return Rows(
            kind,
            self.subjects[kind],
            codes=np.array(codes, np.int64),
            recv_ns=np.array([item.recv_ns for item in flat], np.int64),
            ts_ns=np.array([item.ts_ns for item in flat], np.int64),
            values=[np.array([getattr(item, name) for item in flat], dtype) for name in VALUES[kind]],
            ends=np.cumsum([len(step) for step in events]),
        )


def plain(evaluation: Evaluation) -> tuple[object, ...]:
    columns = (evaluation.truth, evaluation.value, evaluation.threshold, evaluation.coverage, evaluation.lower_bound)
    reasons = dict(evaluation.reasons)
    return (evaluation.rule, evaluation.at_ns, list(evaluation.labels), [c.tobytes() for c in columns], reasons)


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([2, 4, 12]), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_bulk_says_what_one_by_one_says(seed: int, length: int, pace: int, width: int) -> None:
    history = history_of(seed, length, pace)
    single, bulk = engine(*RULES), engine(*RULES)
    columnar = Columnar()
    for first in range(0, len(history), width):
        steps = history[first : first + width]
        block = columnar.block(steps)
        for number, events in enumerate(steps):
            now_ns = max([T0_NS, *(item.recv_ns for item in events)])
            assert block.size(number, number + 1) == len(events)
            one, many = single.ingest(events), bulk.ingest_block(block, number)
            assert one.newest_ns == many.newest_ns
            for name in ("taken", "late", "too_late", "clock_rejected", "invalid"):
                assert dict(getattr(one, name)) == dict(getattr(many, name)), name
            expected = [plain(item) for item in single.evaluate(now_ns, changed_only=True)]
            assert [plain(item) for item in bulk.evaluate(now_ns, changed_only=True)] == expected
    assert same_state(single, bulk)


def same_state(one: Engine, other: Engine) -> bool:
    ours, theirs = one.gather(), other.gather()
    columns = [{name: column.tobytes() for name, column in side.columns.items()} for side in (ours, theirs)]
    return ours.head == theirs.head and columns[0] == columns[1]


def test_one_block_feeds_two_engines() -> None:
    rng = random.Random(5)
    steps = [[event(rng, s + 0.5) for _ in range(20)] for s in range(5)]
    block = Columnar().block(steps)
    engines = [engine(RULES[0]), engine(*RULES)]
    for number in range(len(steps)):
        for item in engines:
            item.ingest_block(block, number)
            item.evaluate(at(number + 1))
    alone = engine(*RULES)
    for number, events in enumerate(steps):
        alone.ingest(events)
        alone.evaluate(at(number + 1))
    assert same_state(engines[1], alone)
    assert engines[0].latest("g/r0").value.tobytes() == engines[1].latest("g/r0").value.tobytes()  # type: ignore[union-attr]
