"""The rolling-window engine, beside a pure-Python deque version and a polars version that recomputes each tick.

    .venv/bin/python benchmarks/engine.py [--quick] [--kernels numba]

Synthetic data: 12 venues, 500 symbols (skewed), both sides; sliding 1 min, 5 min and 1 h sums and counts per venue, per
symbol and side, and in total; last price, 5 min change and 1 h drawdown per symbol; 100 rules; one evaluation for each
250 ms of event time. *calm* is 278 events/s, *burst* 16,667 events/s; both start with an hour (burst: a minute and an
hour's worth of rows) in the windows, so that the timed part adds and expires.

*Ours* evaluates as the running monitor does: rules that are true nowhere sleep until what came in could have carried a
reading past a constant. *OursAll* judges every rule on every row at every tick, as nobody needs to.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.peers import rates
from monitor.engine import Engine, EngineSettings
from monitor.events import Labels
from monitor.language import parse_expression
from monitor.rule import Rule, RuleSet

S = 1_000_000_000
TICK = S // 4
T0 = 1_763_000_000 * S
VENUES, SYMBOLS = 12, 500
WINDOWS = ("1m", "5m", "1h")
SETTINGS = [EngineSettings()]
"""Of every engine that is measured."""


def rule_set() -> RuleSet:
    """40 scalar rules, 30 per (symbol, side), 30 per symbol."""
    texts = []
    for k in range(40):
        window = WINDOWS[k % 3]
        name = ("sum", "count")[k % 2]
        threshold = f"{(k + 1) * 10_000_000}B" if name == "sum" else f"{(k + 1) * 10_000}M"
        texts.append(f"{name}(liquidations[{window}]) > {threshold}")
    texts[36:40] = [f"sum(liquidations[{w}]) by (venue) > 900M" for w in WINDOWS] + [
        "count(liquidations[1h]) by (venue) > 900M"
    ]
    for k in range(30):
        name = ("sum", "count")[k % 2]
        threshold = f"{(k + 1) * 1000}B" if name == "sum" else f"{(k + 1) * 100}M"
        texts.append(f"{name}(liquidations[{WINDOWS[k % 3]}]) by (symbol, side) > {threshold}")
    for k in range(10):
        texts.append(f"price > {k + 1}00M")
        texts.append(f"change(price[5m]) < -{90 + k}%")
        texts.append(f"drawdown(price[1h]) < -{90 + k}%")
    rules = tuple(
        Rule(f"r{n}", "bench", parse_expression(text, expect="condition"), text) for n, text in enumerate(texts)
    )
    return RuleSet(rules)


def market(size: int, per_second: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, SYMBOLS + 1)
    symbol = rng.choice(SYMBOLS, size, p=weights / weights.sum())
    venue, side = rng.integers(0, VENUES, size), rng.integers(0, 2, size)
    ts = T0 + np.arange(size) * int(S / per_second)
    usd = (rng.pareto(1.2, size) * 1e9 + 1e6).clip(max=1e13).astype(np.int64)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 1e-5, size)))
    return {"ts": ts, "symbol": symbol, "venue": venue, "side": side, "usd": usd, "price": price}


def labels(venue: int, symbol: int, **more: str) -> Labels:
    base = {"venue": f"v{venue}", "symbol": f"S{symbol}", "base": f"S{symbol}", "quote": "USDT", **more}
    return tuple(sorted(base.items()))


class Ours:
    """The engine, fed with columns."""

    def __init__(self) -> None:
        self.engine = Engine(rule_set(), settings=SETTINGS[0])
        self.ids = np.array(
            [
                self.engine.member("liquidations", labels(v, s, kind="perp", side=side))
                for v in range(VENUES)
                for s in range(SYMBOLS)
                for side in ("long", "short")
            ],
            np.int32,
        )
        self.prices = np.array(
            [self.engine.member("price", labels(0, s, kind="mark", market="perp")) for s in range(SYMBOLS)], np.int32
        )

    def ingest(self, data: dict[str, np.ndarray], a: int, b: int) -> None:
        """Take in rows a:b."""
        ts, symbol = data["ts"][a:b], data["symbol"][a:b]
        members = self.ids[(data["venue"][a:b] * SYMBOLS + symbol) * 2 + data["side"][a:b]]
        self.engine.ingest_columns("liquidations", members, ts, data["usd"][a:b])
        self.engine.ingest_columns("price", self.prices[symbol], ts, data["price"][a:b])

    def tick(self, now: int) -> None:
        """Expire and judge."""
        self.engine.evaluate(now, changed_only=True)


class OursAll(Ours):
    """The engine without sleep."""

    def tick(self, now: int) -> None:
        """Expire and judge everything."""
        self.engine.evaluate(now)


@dataclass(slots=True)
class Cell:
    """One window of one key."""

    rows: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0


class Deques:
    """One deque per key and window; sums kept by adding and taking away; rules checked for touched keys only."""

    def __init__(self) -> None:
        self.windows = [60 * S, 300 * S, 3600 * S]
        self.state: dict[tuple[object, int], Cell] = {}
        self.touched: set[tuple[object, int]] = set()

    def ingest(self, data: dict[str, np.ndarray], a: int, b: int) -> None:
        """Take in rows a:b."""
        columns = (data[name][a:b].tolist() for name in ("ts", "venue", "symbol", "side", "usd"))
        for ts, venue, symbol, side, usd in zip(*columns, strict=True):
            for key in (None, venue, (symbol, side)):
                for w, window in enumerate(self.windows):
                    cell = self.state.setdefault((key, w), Cell())
                    rows = cell.rows
                    rows.append((ts, usd))
                    cell.total += usd
                    while rows[0][0] <= ts - window:
                        cell.total -= rows.popleft()[1]
                    self.touched.add((key, w))

    def tick(self, now: int) -> None:
        """Expire and judge."""
        for key in self.touched:
            cell = self.state[key]
            rows, total = cell.rows, cell.total
            while rows and rows[0][0] <= now - self.windows[key[1]]:
                total -= rows.popleft()[1]
            cell.total = total
            for threshold in range(10):
                _ = total > (threshold + 1) * 10**18
        self.touched.clear()


class Recompute:
    """polars: keep the rows of the hour, group and sum them anew at each tick."""

    def __init__(self) -> None:
        import polars as pl

        self.pl = pl
        self.frame = pl.DataFrame()

    def ingest(self, data: dict[str, np.ndarray], a: int, b: int) -> None:
        """Take in rows a:b."""
        new = self.pl.DataFrame({name: data[name][a:b] for name in ("ts", "venue", "symbol", "side", "usd", "price")})
        self.frame = self.frame.vstack(new) if len(self.frame) else new

    def tick(self, now: int) -> None:
        """Expire and judge."""
        pl = self.pl
        self.frame = self.frame.filter(pl.col("ts") > now - 3600 * S)
        for window in (60 * S, 300 * S, 3600 * S):
            part = self.frame.filter(pl.col("ts") > now - window)
            for by in (["venue"], ["symbol", "side"]):
                part.group_by(by).agg(pl.col("usd").sum(), pl.len()).filter(pl.col("usd") > 10**18)
            part.select(pl.col("usd").sum(), pl.len())


def drive(
    machine: Ours | Deques | Recompute, data: dict[str, np.ndarray], warm: int, limit: int
) -> tuple[float, float, np.ndarray]:
    """Events per second all in, events per second of ingestion alone, and tick times in us."""
    ts = data["ts"]
    machine.ingest(data, 0, warm)
    machine.tick(int(ts[warm - 1]))
    first = int(ts[warm]) // TICK * TICK
    edges = np.searchsorted(ts, np.arange(first + TICK, int(ts[-1]), TICK), side="right")[:limit]
    at, ticks, feeding = warm, [], 0.0
    for number, edge in enumerate(edges.tolist()):
        start = time.perf_counter()
        machine.ingest(data, at, edge)
        middle = time.perf_counter()
        machine.tick(first + (number + 1) * TICK)
        ticks.append(time.perf_counter() - middle)
        feeding += middle - start
        at = edge
    events = at - warm
    return events / (feeding + sum(ticks)), events / feeding if feeding else 0.0, np.array(ticks) * 1e6


def case(name: str, per_second: float, events: int, limits: dict[type, int]) -> None:
    span = 3600.0
    warm = int(min(per_second * span, 1_000_000 if per_second < 1000 else 2_000_000))
    if per_second > 1000:  # an hour's rows leave while the burst comes in: stretch the rows before it over the hour
        data = market(warm + events, per_second, 1)
        data["ts"][:warm] = data["ts"][warm] - np.linspace(3600 * S, 1, warm).astype(np.int64)
    else:
        data = market(warm + events, per_second, 1)
    base = 0.0
    for kind, limit in limits.items():
        cpu = time.process_time()
        total, feed, ticks = drive(kind(), data, warm, limit)
        cpu = time.process_time() - cpu
        base = base or total
        p50, p99 = np.percentile(ticks, [50, 99])
        print(
            f"| {name} | {kind.__name__} ({cpu:.1f} s CPU with the hour before) | {total:,.0f} | {base / total:,.1f}x | {feed:,.0f} | {p50:,.0f} | {p99:,.0f} | {ticks.max():,.0f} |"
        )


def comparisons(*, quick: bool) -> None:
    """100 rules over 5,000 keys: 500,000 comparisons per tick, made or known to be unnecessary."""
    cases = (
        ("as the monitor runs, far from every threshold", "B", 1000, True),
        ("as the monitor runs, every rule true on some keys", "k", 10, True),
        ("every comparison made, every time", "B", 1000, False),
    )
    for name, unit, step, changed_only in cases:
        texts = [f"sum(liquidations[{WINDOWS[k % 3]}]) by (symbol) > {(k + 1) * step}{unit}" for k in range(100)]
        p50, p99 = np.percentile(tick_times(texts, 500 if quick else 4000, changed_only=changed_only), [50, 99])
        print(f"500,000 comparisons (100 rules x 5,000 keys), {name}: tick p50 {p50:,.0f} us, p99 {p99:,.0f} us")


def tick_times(texts: list[str], ticks: int, *, changed_only: bool) -> list[float]:
    """Time of each tick in us, with 69 events on random keys before it."""
    alerts = tuple(Rule(f"r{n}", "bench", parse_expression(t, expect="condition"), t) for n, t in enumerate(texts))
    engine = Engine(RuleSet(alerts), settings=SETTINGS[0])
    ids = np.array(
        [engine.member("liquidations", labels(0, s, kind="perp", side="long")) for s in range(5000)], np.int32
    )
    rng = np.random.default_rng(3)
    times, now = [], T0
    for k in range(ticks):
        now += TICK
        chosen = ids if k == 0 else ids[rng.integers(0, 5000, 69)]
        engine.ingest_columns("liquidations", chosen, np.full(len(chosen), now), rng.integers(1, 10**12, len(chosen)))
        start = time.perf_counter()
        engine.evaluate(now, changed_only=changed_only)
        times.append((time.perf_counter() - start) * 1e6)
    return times[10:]


def memory() -> None:
    """5,000 keys x 7 windows from a minute to a week."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    windows = ("1m", "5m", "15m", "1h", "4h", "24h", "7d")
    texts = [f"{f}(liquidations[{w}]) by (symbol) > 900000B" for w in windows for f in ("sum", "count")]
    texts = [t.replace("B", "") if t.startswith("count") else t for t in texts]
    alerts = tuple(Rule(f"r{n}", "bench", parse_expression(t, expect="condition"), t) for n, t in enumerate(texts))
    engine = Engine(RuleSet(alerts), settings=SETTINGS[0])
    ids = np.array(
        [engine.member("liquidations", labels(0, s, kind="perp", side="long")) for s in range(5000)], np.int32
    )
    rng = np.random.default_rng(4)
    for minute in range(7 * 24 * 6):
        now = T0 + minute * 600 * S
        ts = np.sort(rng.integers(now - 600 * S + 1, now, 2000))
        engine.ingest_columns("liquidations", ids[rng.integers(0, 5000, 2000)], ts, rng.integers(1, 10**12, 2000))
        engine.evaluate(now)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"5,000 keys x 7 windows, a week of data: {engine.state_size()['total'] / 2**20:,.0f} MB of state, process grew by {used:,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the ticks")
    parser.add_argument("--kernels", choices=("numpy", "numba"), default="numpy", help="the engine's inner loops")
    options = parser.parse_args()
    quick, SETTINGS[0] = options.quick, EngineSettings(kernels=options.kernels)
    print(
        f"{platform.machine()} {platform.processor()}, Python {platform.python_version()}, numpy {np.__version__}; "
        f"kernels {options.kernels}; synthetic data"
    )
    memory()
    comparisons(quick=quick)
    print("| case | engine | events/s all in | x | events/s ingest | tick p50 us | p99 us | max us |")
    print("|---|---|---|---|---|---|---|---|")
    size = 100_000 if quick else 1_000_000
    slow, recompute = (60, 10) if quick else (600, 30)
    ticks = 1400 if quick else 14000
    case("calm", 278, size, {Ours: ticks, OursAll: ticks, Deques: slow, Recompute: recompute})
    case("burst", 16_667, size, {Ours: 240, OursAll: 240, Deques: 24, Recompute: 8})
    for name, rate in rates(market(20_000, 278, 1), quick=quick):
        print(f"| calm | {name} | {rate:,.0f} | | | | | |")


if __name__ == "__main__":
    main()
