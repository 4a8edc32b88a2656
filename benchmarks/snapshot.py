"""What a copy of the windows costs: piece by piece as the program does it, beside everything at once, in one run.

    python benchmarks/snapshot.py --rows 5000000

Two logs (trades and prices of 500 coins, synthetic) hold ``--rows`` rows of fifty minutes together. Then four copies are made, with a
minute's further rows between two of them. ``loop held`` is the longest step in which nothing else could run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monitor.clock import NS_PER_S, SystemClock
from monitor.engine import Engine
from monitor.engine.persist import pack
from monitor.language import load_rules
from monitor.runtime.steps.snapshot import Snapshots

COINS = 500
MINUTES = 50
START_NS = 1_763_700_000 * NS_PER_S
STEP = 100_000
RULES = """
groups:
  - name: two
    rules:
      - {alert: Bought, expr: 'sum(trades[1h]) by (base) > 1B'}
      - {alert: Fell, expr: 'change(price[1h]) by (base) < -5%'}
"""


class Market:
    """An engine, and rows for it."""

    def __init__(self) -> None:
        self.engine = Engine(load_rules([("two.yaml", RULES)]))
        self._rng = np.random.default_rng(7)
        self._now_ns = START_NS
        self._members = {
            name: np.array([self.engine.member(name, (("base", f"C{coin}"), ("venue", "v"))) for coin in range(COINS)])
            for name in ("trades", "price")
        }
        self.engine.evaluate(START_NS)

    def fill(self, rows: int, span_ns: int) -> None:
        """Half trades, half prices, evenly over the span."""
        for start in range(0, rows // 2, STEP):
            size = min(STEP, rows // 2 - start)
            ts = self._now_ns + np.arange(size) * (span_ns * 2 // rows)
            who = self._rng.integers(0, COINS, size)
            self.engine.ingest_columns("trades", self._members["trades"][who], ts, self._rng.integers(1, 10**12, size))
            self.engine.ingest_columns("price", self._members["price"][who], ts + 1, self._rng.random(size) * 1e5)
            self._now_ns = int(ts[-1]) + 2
            self.engine.evaluate(self._now_ns)


def at_once(market: Market) -> None:
    """The naive way: copy everything, pack everything."""
    began = time.perf_counter()
    copied = market.engine.gather()
    held, spent = time.perf_counter() - began, time.process_time()
    size = len(pack(copied))
    print(
        f"everything at once: loop held {held * 1e3:.1f} ms, CPU {time.process_time() - spent:.3f} s, {size / 1e6:.1f} MB"
    )


async def by_pieces(market: Market, rows: int, folder: Path) -> None:
    """As the program does it."""
    snapshots = Snapshots(market.engine, folder, SystemClock())
    for number in range(1, 5):
        spent = time.process_time()
        await snapshots.write()
        spent = time.process_time() - spent
        written, size = snapshots.last_written_bytes / 1e6, snapshots.last_bytes / 1e6
        held = snapshots.last_copy_s * 1e3
        print(
            f"piece by piece, {number}:  loop held {held:.1f} ms, CPU {spent:.3f} s, wrote {written:.1f} of {size:.1f} MB"
        )
        market.fill(rows // MINUTES, 60 * NS_PER_S)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the logs (default %(default)s)")
    rows = parser.parse_args().rows
    market = Market()
    market.fill(rows, MINUTES * 60 * NS_PER_S)
    at_once(market)
    with tempfile.TemporaryDirectory(prefix="monitor-snapshot-") as folder:
        asyncio.run(by_pieces(market, rows, Path(folder) / "windows"))


if __name__ == "__main__":
    main()
