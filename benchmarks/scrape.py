"""How long a scrape takes: ours against a plain prometheus_client registry, same series, same run.

Usage: python benchmarks/scrape.py [--series 10000] [--rounds 60]

Processor time of the process, so that a busy machine says nearly the same; nothing in a scrape waits.
"""

from __future__ import annotations

import argparse
import statistics
import time

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from monitor.telemetry.metrics import Metrics
from monitor.telemetry.views.market import MarketView
from monitor.testing.fake_view import FakeView

SERIES_PER_SYMBOL = 39
"""Three venues, each with four liquidation counters, three prices, two funding rates, one open interest, two
sides of depth and one spread."""


def timed_ms(action: object, rounds: int) -> list[float]:
    assert callable(action)
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        action()
        taken.append((time.process_time() - start) * 1e3)
    return taken


def report(name: str, taken: list[float]) -> None:
    ordered = sorted(taken)
    print(f"{name:<48} p50 {statistics.median(ordered):7.2f} ms   p99 {ordered[int(len(ordered) * 0.99)]:7.2f} ms")


class Frozen(FakeView):
    """Hands out the same tables again, so that only the scrape is measured."""

    def freeze(self) -> None:
        """Take the market as it is now."""
        self._kept = super().market()

    def market(self) -> MarketView:
        """The market as it was taken."""
        return self._kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    view = Frozen(extra_symbols=max(0, options.series // SERIES_PER_SYMBOL - 6))
    view.freeze()
    metrics = Metrics(view)
    first = timed_ms(metrics.expose, 1)
    lines = [line for line in metrics.expose()[0].decode().splitlines() if not line.startswith("#")]
    print(f"{len(lines)} series, {sum(map(len, lines)) / 1e6:.2f} MB")
    report("first scrape (labels are rendered)", first)
    report("nothing changed", timed_ms(metrics.expose, options.rounds))

    taken = []
    for _ in range(options.rounds):
        view.advance(30)
        view.freeze()
        taken += timed_ms(metrics.expose, 1)
    report("every gauge changed", taken)

    registry = CollectorRegistry()
    gauge = Gauge(
        "naive", "The same number of series as children.", ["venue", "symbol", "base", "kind"], registry=registry
    )
    children = [gauge.labels("binance_usdm", f"X{n}USDT", f"X{n}", "mark") for n in range(len(lines))]
    for number, child in enumerate(children):
        child.set(number * 1.37)
    report("prometheus_client, one child a series", timed_ms(lambda: generate_latest(registry), 5))


if __name__ == "__main__":
    main()
