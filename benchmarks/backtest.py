"""A day of normalised events from Parquet through 100 rules on a 250 ms grid, beside a per-event Python replay and polars.

    .venv/bin/python benchmarks/backtest.py [--events 24000000] [--quick] [--keep DIR] [--kernels numba]

Synthetic data: 278 events/s (24 million a day), half of them liquidations on 12 venues and 500 symbols (skewed), half mark
prices of each symbol in turn, as venues send them. The rules are those of ``benchmarks/engine.py``. The engine has one thread, and so has polars;
processor time is that of all threads. *columns* is what `monitor backtest` does with an archive, read on a thread beside it; *events* is the same archive as one object per event; *python* keeps a deque per
key and window and reads the same columns row by row; *polars* groups and sums the last hour anew at each instant. The
slow ones run a part of the instants, after an hour of warm-up, and are extrapolated; it says so where that is so.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.engine import Deques, Recompute, rule_set
from monitor.archive.reader import Archive, Span
from monitor.archive.writer import ArchiveWriter
from monitor.backtest.histories.parquet import ParquetHistory
from monitor.backtest.run import Lane, drive
from monitor.engine import Engine
from monitor.events import Event, Liquidation, Price
from monitor.instruments import Instrument
from monitor.runtime.load import load_text

S = 1_000_000_000
GRID = S // 4
CONFIG = "feeds: [{{venue: bybit, channels: [price], symbols: [BTCUSDT]}}]\nengine: {{kernels: {}}}"
RATE = 24_000_000 / 86_400
T0 = 1_763_683_200 * S
VENUES, SYMBOLS = 12, 500
HOUR = round(3600 * RATE)


def columns(first: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Rows `first` to `first + size` of the market."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, SYMBOLS + 1)
    number = first + np.arange(size)
    is_price = number % 2 == 1
    return {
        "ts": T0 + (number / RATE * S).astype(np.int64),
        "symbol": np.where(is_price, number // 2 % SYMBOLS, rng.choice(SYMBOLS, size, p=weights / weights.sum())),
        "venue": rng.integers(0, VENUES, size),
        "side": rng.integers(0, 2, size),
        "usd": (rng.pareto(1.2, size) * 1e9 + 1e6).clip(max=1e13).astype(np.int64),
        "price": 100 * np.exp(np.cumsum(rng.normal(0, 1e-5, size))),
        "is_price": is_price,
    }


def events(size: int) -> Iterator[Event]:
    """The market as events, a million at a time."""
    items = [
        [
            Instrument(venue=f"v{v}", symbol=f"S{s}", base=f"S{s}", quote="USDT", settle="USDT", kind="perp")
            for s in range(SYMBOLS)
        ]
        for v in range(VENUES)
    ]
    for first in range(0, size, 1_000_000):
        data = columns(first, min(1_000_000, size - first), first)
        for ts, symbol, venue, side, usd, price, is_price in zip(*(c.tolist() for c in data.values()), strict=True):
            if is_price:
                yield Price(items[0][symbol], "mark", price, ts, ts + 1_000_000)
            else:
                yield Liquidation(items[venue][symbol], "short" if side else "long", usd, price, ts, ts + 1_000_000)


def write(folder: Path, size: int) -> None:
    """The market as an archive."""
    with ArchiveWriter(folder, "synthetic", "benchmarks/backtest.py", note="synthetic") as writer:
        for event in events(size):
            writer.add(event.recv_ns, (event,))  # type: ignore[union-attr]
        writer.commit(T0, writer.last_ns + 1)


class Clock:
    """CPU and wall time of a stretch."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    @property
    def cpu(self) -> float:
        """Seconds of CPU since the start."""
        return time.process_time() - self._cpu

    @property
    def wall(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._wall


def report(name: str, count: int, instants: int, *, cpu: float, day: float, words: str) -> None:
    DAY.setdefault("columns", day)
    print(
        f"| {name} | {count:,} | {count / cpu:,.0f} | {cpu / instants * 1e6:,.0f} | {day:,.0f} | "
        f"{day / DAY['columns']:,.1f}x | {words} |",
        flush=True,
    )


DAY: dict[str, float] = {}


def in_columns(folder: Path, size: int, kernels: str) -> None:
    """The archive through what `monitor backtest` runs: engine, alerts' life cycle, readings for charts."""
    loaded = replace(load_text(CONFIG.format(kernels), "benchmark", Path(), {}), rules=rule_set())
    history, lane = ParquetHistory(folder, loaded), Lane(loaded)
    grid = history.stretch.start_ns // GRID
    seen: list[tuple[float, int, int]] = []
    clock = Clock()
    drive(
        [lane],
        history,
        history.stretch,
        GRID,
        warm_from_ns=history.stretch.start_ns,
        progress=lambda now_ns: seen.append((clock.cpu, lane.counts.events, now_ns // GRID - grid)),
    )
    cpu, wall, count, instants = clock.cpu, clock.wall, lane.counts.events, seen[-1][2]
    assert count == size
    whole = size >= 24_000_000
    before = (0.0, 0, 0) if whole else next((mark for mark in seen if size - mark[1] <= HOUR), (0.0, 0, 0))
    spent, rows, ticks = cpu - before[0], count - before[1], instants - before[2]
    words = "a whole day" if whole else "its last hour, extrapolated to a day"
    report("columns", rows, ticks, cpu=spent, day=spent / rows * 24_000_000, words=words)
    print(
        f"|   | all {count:,} events, 100 rules at {instants:,} instants, in {wall:.1f} s (CPU {cpu:.1f} s) |",
        flush=True,
    )


def one_by_one(folder: Path, limit: int) -> None:
    """The archive as one object per event."""
    history, engine = Archive(folder), Engine(rule_set())
    clock, count, instants, waiting, now = None, 0, 0, list[Event](), 0
    warm = T0 + 600 * S
    for at_ns, event in history.events(Span(end_ns=warm + limit * GRID)):
        if at_ns > now:
            engine.ingest(waiting)
            engine.evaluate(now, changed_only=True)
            if clock is not None:
                count, instants = count + len(waiting), instants + 1
            elif now >= warm:
                clock = Clock()
            waiting, now = [], -(-at_ns // GRID) * GRID
        waiting.append(event)
    assert clock is not None
    cpu = clock.cpu
    words = "extrapolated, after 10 minutes of warm-up"
    report("events", count, instants, cpu=cpu, day=cpu / count * 24_000_000, words=words)


def beside(name: str, machine: Deques | Recompute, limit: int) -> None:
    """Another way, over the same columns."""
    data = columns(0, HOUR + round(limit * RATE / 4) + 1, 0)
    machine.ingest(data, 0, HOUR)
    machine.tick(int(data["ts"][HOUR]))
    edges = np.searchsorted(data["ts"], data["ts"][HOUR] + np.arange(1, limit + 1) * GRID).tolist()
    clock, at = Clock(), HOUR
    for number, edge in enumerate(edges):
        machine.ingest(data, at, edge)
        machine.tick(int(data["ts"][HOUR]) + (number + 1) * GRID)
        at = edge
    cpu = clock.cpu
    words = f"extrapolated from {limit} instants, after an hour of warm-up; fewer keys and rules than ours"
    report(name, at - HOUR, limit, cpu=cpu, day=cpu / (at - HOUR) * 24_000_000, words=words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000, help="24000000 is a day (default 2000000)")
    parser.add_argument("--quick", action="store_true", help="200,000 events, few instants of the slow ones")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the archive here, or use the one that is here")
    parser.add_argument(
        "--kernels", choices=("numpy", "numba"), default="numpy", help="the engine's inner loops (columns)"
    )
    options = parser.parse_args()
    size = 200_000 if options.quick else options.events
    print(
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; kernels {options.kernels}; synthetic data; one thread for the engine, one that reads"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if not (folder / "_exports").exists():
            clock = Clock()
            write(folder, size)
            used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            print(f"writing: {size / clock.cpu:,.0f} events/s from objects, {used / size:.1f} bytes an event")
        print("| way | events timed | events/s | us an instant | CPU s for a day of 24M | x columns | |")
        print("|---|---|---|---|---|---|---|")
        in_columns(folder, sum(Archive(folder).manifests[0].rows.values()), options.kernels)
        one_by_one(folder, 200 if options.quick else 2_000)
    beside("python", Deques(), 20 if options.quick else 200)
    beside("polars", Recompute(), 4 if options.quick else 20)
    sys.stdout.write(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB\n")


if __name__ == "__main__":
    main()
