"""The slow side of the demo: stand-ins of the services, a folder that somebody fills, and what came before the start.

All of it **synthetic**. What is pushed into the folder, the companies and their holdings are invented.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from msgspec.structs import replace

from monitor.clock import NS_PER_S, Clock
from monitor.derived.baskets import Basket
from monitor.events import MarketEvent, Sample
from monitor.runtime.files import write_atomically
from monitor.sources import SOURCES, source_class
from monitor.testing.scenario import BASES, Scenario
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, MINUTE_NS, at, curve
from monitor.testing.scenario.slow import EXTERNAL, FUND_FLOWS_M_USD, pushed_value, slow_samples
from monitor.testing.scenario.tail import CHARTED
from monitor.testing.sources import SlowMarket, SourceServer

PUSH_EVERY_NS = 2 * NS_PER_S
HISTORY_NS = 92 * DAY_NS
BASKETS_NS = 31 * DAY_NS
ROW_EVERY_NS = 30 * MINUTE_NS
DESK_NS = 8 * DAY_NS
"""How far back the folder goes that is there at the start."""
FINE_NS = 25 * HOUR_NS

GIVERS = {series: name for name in SOURCES for series in source_class(name).spec.series}
"""Series -> the source that gives it."""

COMPANY = "invented_miner"
CLOSES = curve(
    (
        ("2025-09-01", 1.08),
        ("2025-10-06T21:00", 1.004),
        ("2025-10-07T21:00", 0.991),
        ("2025-11-20", 0.81),
        ("2025-12-01", 0.79),
    )
)
"""Of the invented company: under one dollar since 7 October, for 30 trading days on 17 November."""

CLOSES_FROM = "2025-10-01"

BASKETS = {
    "layer-1": ["BTC", "ETH", "SOL", "BNB", "ADA", "AVAX", "SUI"],
    "layer-2": ["ARB", "OP"],
    "meme": ["DOGE", "PEPE"],
    "defi": ["UNI", "LINK"],
    "gaming": ["SAND"],
    "depin": ["RENDER"],
    "ai": ["FET", "RENDER"],
    "privacy": ["ZEC"],
    "storage": ["FIL"],
}
"""The starter set, of what trades in the scenario."""

DERIVED: dict[str, Any] = {
    "baskets": BASKETS,
    "treasuries": [
        {"holder": "Invented Holdings", "base": "BTC", "quantity": 640_000, "cost_price_usd": 74_400},
        {"holder": "Invented Ether Fund", "base": "ETH", "quantity": 3_500_000, "cost_price_usd": 4_000},
        {"holder": "Invented Late Buyer", "base": "BTC", "quantity": 11_500, "cost_price_usd": 84_000},
    ],
    "streaks": [{"name": COMPANY, "limit": 1.0}],
}
"""Of the demo's configuration."""

NEWS = (("surprise_payrolls", 2.3, "2025-11-20T13:30"), ("moved_btc", 950.0, "2025-11-20T15:10"),
        ("moved_btc", 7_200.0, "2025-11-21T05:45"))  # fmt: skip
"""What somebody reports: a macro print in standard deviations, coins that left a known old wallet."""


def pushed_folder(data_dir: str | Path) -> Path:
    """Where the configuration's inlet looks for what is pushed."""
    return Path(data_dir) / "pushed"


class DemoSlowSide:
    """Runs the services' stand-ins and fills the folder.

    Attributes:
        folder: Where to push to; None pushes nothing.

    Args:
        scenario: What happens.
        clock: Wall time is the scenario's, monotonic time is real.
    """

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._scenario = scenario
        self._clock = clock
        self._from_ns = clock.wall_ns()
        self.folder: Path | None = None
        self._past_is_pushed = False
        self._log = structlog.get_logger("monitor.demo")
        self.server = SourceServer(SlowMarket(scenario), clock)

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, tb)

    def configuration(self, data_dir: str) -> list[str]:
        """The lines for sources, inlets and derived series; what is pushed is read from a folder in `data_dir`."""
        url, bases = self.server.url, ", ".join(BASES + CHARTED)
        return [
            "sources:",
            f"  - {{type: coingecko, url: '{url}'}}",
            f"  - {{type: defillama, url: '{url}'}}",
            f"  - {{type: sosovalue, url: '{url}', key: demo}}",
            f"  - {{type: ratios, url: '{url}'}}",
            f"  - {{type: candles, url: '{url}', bases: [{bases}]}}",
            f"  - {{type: deribit_options, url: '{url}', bases: [BTC, ETH]}}",
            "inlets:",
            f"  - {{type: folder, path: '{pushed_folder(data_dir)}', every_s: 0.5}}",
            f"derived: {json.dumps(DERIVED)}",
        ]

    async def run(self) -> None:
        """Fill the folder until cancelled, as a script of the desk would; a disk that refuses is said, and tried again."""
        failing = ""
        while self.folder is not None:
            try:
                self._push(self.folder)
                failing = ""
            except OSError as error:
                if str(error) != failing:
                    self._log.warning("demo.push_failed", error=str(error))
                failing = str(error)
            await self._clock.sleep_until(self._clock.mono_ns() + PUSH_EVERY_NS)

    def _push(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not self._past_is_pushed:
            self._write(folder / "past.csv", self._from_ns - DESK_NS, self._from_ns)
            self._past_is_pushed = True
        self._write(folder / "desk.csv", self._from_ns, self._clock.wall_ns())

    def _write(self, path: Path, from_ns: int, to_ns: int) -> None:
        write_atomically(path, table(pushed(from_ns, to_ns, self._scenario)).encode())

    def history(self, baskets: Iterable[Basket]) -> list[MarketEvent]:
        """What a monitor that has run for three months would remember of the slow series at the start, in time order.

        The past of prices, funding and open interest it asks the local venues for, as it would the real ones.

        Args:
            baskets: Of the program, before their first price; they start from where their history ends.
        """
        return remembered(self._scenario, self._from_ns, baskets)


def remembered(scenario: Scenario, start_ns: int, baskets: Iterable[Basket]) -> list[MarketEvent]:
    """The slow series before an instant, in time order; see `DemoSlowSide.history`."""
    levels = (sample for basket in baskets for sample in _basket(basket, scenario, start_ns))
    coarse = (s for s in slow_samples(start_ns - HISTORY_NS, start_ns) if s.series != "basket")
    fine = slow_samples(start_ns - FINE_NS, start_ns, 10 * MINUTE_NS)
    rest = chain(coarse, (s for s in fine if s.series in ("skew_25d", "iv")))
    return sorted(chain(levels, map(_given, rest)), key=lambda event: event.ts_ns)


def _basket(basket: Basket, scenario: Scenario, start_ns: int) -> list[Sample]:
    name, found = basket.spec.name, []
    for ts_ns in range(start_ns - BASKETS_NS, start_ns, HOUR_NS):
        prices = {base: scenario.price(base, ts_ns) for base in basket.spec.weights if base in BASES}
        level = basket.update(prices, ts_ns)
        if level is not None:
            found.append(Sample("basket", (("basket", name),), level, ts_ns, ts_ns, "derived", backfill=True))
    return found


def _given(sample: Sample) -> Sample:
    """As the source would have given it: coverage is counted by source."""
    return replace(sample, source=GIVERS.get(sample.series, sample.source))


def pushed(from_ns: int, now_ns: int, scenario: Scenario) -> list[tuple[int, str, float]]:
    """What somebody has pushed in by now, as (time, name, value) in time order; curves begin at `from_ns`."""
    rows = chain(_curves(from_ns, now_ns, scenario), _news(), _fund_flows(), _closes(now_ns))
    return sorted(row for row in rows if row[0] <= now_ns)


def table(rows: Iterable[tuple[int, str, float]]) -> str:
    """Rows as the CSV of the inlet."""
    text = io.StringIO(newline="")
    write = csv.writer(text, lineterminator="\n")
    write.writerow(("name", "value", "ts", "source"))
    write.writerows((name, f"{value:.6g}", ts_ns // NS_PER_S, "synthetic") for ts_ns, name, value in rows)
    return text.getvalue()


def _curves(from_ns: int, now_ns: int, scenario: Scenario) -> Iterator[tuple[int, str, float]]:
    """Prices and probabilities, every half hour."""
    for ts_ns in range(from_ns // ROW_EVERY_NS * ROW_EVERY_NS, now_ns + 1, ROW_EVERY_NS):
        bitcoin = scenario.price("BTC", ts_ns)
        for name in EXTERNAL:
            yield ts_ns, name, pushed_value(name, ts_ns, bitcoin)


def _news() -> Iterator[tuple[int, str, float]]:
    for name, value, text in NEWS:
        yield at(text), name, value


def _fund_flows() -> Iterator[tuple[int, str, float]]:
    """Of single funds, in the evening of their session."""
    for (asset, fund), days in FUND_FLOWS_M_USD.items():
        for date, million in days.items():
            yield at(f"{date}T21:00"), f'etf_flow{{asset="{asset}", fund="{fund}"}}', million * 1e6


def _closes(now_ns: int) -> Iterator[tuple[int, str, float]]:
    """One close per day at 21:00 UTC; the streak leaves weekends out by itself."""
    for ts_ns in range(at(CLOSES_FROM) + 21 * HOUR_NS, now_ns + 1, DAY_NS):
        yield ts_ns, COMPANY, CLOSES(ts_ns)
