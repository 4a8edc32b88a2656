"""All derived series of a program in one place: market events in, samples out once per tick. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from monitor.clock import NS_PER_S
from monitor.derived.bands import BANDS, Band, band_correlations, band_samples
from monitor.derived.baskets import (
    DAY_NS,
    Basket,
    BasketSpec,
    PriceBook,
    basket_sample,
    is_price_of_now,
    starter_baskets,
)
from monitor.derived.flows import MonthToDate
from monitor.derived.peaks import Peaks, read_peaks
from monitor.derived.streaks import Streak, StreakSpec
from monitor.derived.treasuries import Holding, treasury_samples
from monitor.events import Event, Price, Sample
from monitor.instruments import USD_LIKE

T = TypeVar("T")
KEYS = ("baskets", "treasuries", "streaks", "bands", "peaks", "every_s")

CLOSES_KEPT = 90
NOT_RANKED = USD_LIKE | {
    "TOTAL", "USDTB", "BFUSD", "BUIDL", "SUSDE", "SUSDS", "BSC-USD", "WBTC", "CBBTC", "LBTC", "SOLVBTC", "BTCB", "WETH", "STETH",
    "WSTETH", "WEETH", "WBETH", "RETH", "RSETH", "EZETH", "METH", "WBNB", "JITOSOL", "BNSOL", "MSOL",
}  # fmt: skip
"""Stablecoins and wrapped coins move with something else and are left out of the ranks."""


@dataclass(frozen=True, slots=True)
class DerivedSpec:
    """What to derive. Without configuration: the starter baskets and the bands."""

    baskets: tuple[BasketSpec, ...] = field(default_factory=lambda: tuple(starter_baskets()))
    holdings: tuple[Holding, ...] = ()
    streaks: tuple[StreakSpec, ...] = ()
    bands: tuple[Band, ...] = BANDS
    peaks_usd: Mapping[str, float] = field(default_factory=dict)
    every_s: float = 5.0


class DerivedDesk:
    """Takes every event of the stream and says every few seconds what follows from it."""

    def __init__(self, spec: DerivedSpec) -> None:
        self.spec = spec
        self.book = PriceBook()
        self.baskets = [Basket(basket) for basket in spec.baskets]
        self._streaks = [Streak(streak) for streak in spec.streaks]
        self._flows = MonthToDate()
        self._peaks = Peaks(spec.peaks_usd)
        self._closes: dict[str, dict[int, float]] = {}
        self._caps: dict[str, float] = {}
        self._next_ns = 0
        self._bands_of = (0, 0, 0)

    def observe(self, events: Iterable[Event], now_ns: int) -> list[Sample]:
        """What follows from a batch at `now_ns`; an empty batch is a tick."""
        return self.take(events) + self.tick(now_ns)

    def take(self, events: Iterable[Event]) -> list[Sample]:
        """Note events; returns streaks and sums of flows that changed with them."""
        found = []
        for event in events:
            if isinstance(event, Price):
                self._price(event)
            elif isinstance(event, Sample):
                found += self._follows(event)
        return found

    def tick(self, now_ns: int) -> list[Sample]:
        """Baskets, holdings and peaks every ``every_s``, bands when a day has closed or more coins are known."""
        if now_ns < self._next_ns:
            return []
        self._next_ns = now_ns + int(self.spec.every_s * NS_PER_S)
        prices = self.book.prices(now_ns)
        found = [
            basket_sample(basket.spec.name, level, now_ns)
            for basket in self.baskets
            if (level := basket.update(prices, now_ns)) is not None
        ]
        self._peaks.take(prices)
        found += treasury_samples(self.spec.holdings, prices, now_ns)
        return found + self._peaks.samples(now_ns) + self._bands(now_ns)

    def ranks(self) -> list[str]:
        """Coins from the largest down, without stablecoins and wrapped coins."""
        return sorted(self._caps, key=lambda asset: -self._caps[asset])

    def memory(self, now_ns: int) -> dict[str, Any]:
        """What the next run needs so that levels, streaks and sums go on, as JSON."""
        return {
            "at_ns": now_ns,
            "baskets": {basket.spec.name: basket.memory() for basket in self.baskets},
            "streaks": {streak.spec.name: streak.memory() for streak in self._streaks},
            "flows": self._flows.memory(),
            "peaks": self._peaks.memory(),
        }

    def recall(self, kept: Mapping[str, Any], now_ns: int) -> None:
        """Go on where a former run ended; nothing of what is later than `now_ns`, as when a demo begins again.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is no `memory`.
        """
        if kept["at_ns"] > now_ns:
            return
        for basket in self.baskets:
            if basket.spec.name in kept["baskets"]:
                basket.recall(kept["baskets"][basket.spec.name])
        for streak in self._streaks:
            streak.recall(kept["streaks"].get(streak.spec.name, ()))
        self._flows.recall(kept["flows"])
        self._peaks.recall(kept["peaks"])

    def _follows(self, event: Sample) -> list[Sample]:
        """What changes with one pushed or polled value."""
        self._cap(event)
        takers = [*(known.take for known in self._streaks), self._flows.take]
        return [changed for take in takers if (changed := take(event)) is not None]

    def _price(self, event: Price) -> None:
        if not event.backfill:
            self.book.take(event)
            return
        if is_price_of_now(event):
            self._peaks.take({event.instrument.base: event.value / event.instrument.base_units})
        if event.ts_ns % DAY_NS == 0 and event.instrument.usd_quoted and event.instrument.kind != "future":
            closes = self._closes.setdefault(event.instrument.base, {})
            closes[event.ts_ns] = event.value / event.instrument.base_units
            if len(closes) > CLOSES_KEPT:
                del closes[min(closes)]

    def _cap(self, event: Sample) -> None:
        if event.series == "market_cap":
            asset = dict(event.labels).get("asset", "")
            if asset.upper() not in NOT_RANKED:
                self._caps[asset] = event.value

    def _bands(self, now_ns: int) -> list[Sample]:
        newest = max((max(closes) for closes in self._closes.values()), default=0)
        known = newest, sum(newest in closes for closes in self._closes.values()), len(self._caps)
        if known == self._bands_of or not newest or not self._caps:
            return []
        self._bands_of = known
        dates = sorted({ts_ns for closes in self._closes.values() for ts_ns in closes})[-CLOSES_KEPT:]
        table = {base: [closes.get(date, float("nan")) for date in dates] for base, closes in self._closes.items()}
        return band_samples(band_correlations(table, self.ranks(), self.spec.bands), newest, now_ns)


def read_derived(raw: Mapping[str, object]) -> DerivedSpec:
    """``derived:`` of the configuration.

    ``baskets`` maps names to lists of coins or to weights by coin (with ``rebalance_days``, both are keys), and replaces
    the starter set; ``treasuries`` is a list of ``{holder, base, quantity, cost_price_usd}``; ``streaks`` of ``{name,
    limit, side, zone, holidays}``; ``bands`` of pairs of first and last rank; ``peaks`` maps coins to prices.

    Raises:
        ValueError: With what is wrong, in a sentence.
    """
    unknown = sorted(set(raw) - set(KEYS))
    if unknown:
        raise ValueError(f"derived: unknown key {', '.join(unknown)} (known: {', '.join(KEYS)})")
    baskets = raw.get("baskets")
    every_s = raw.get("every_s", 5.0)
    if isinstance(every_s, bool) or not isinstance(every_s, int | float) or every_s <= 0:
        raise ValueError("derived: every_s must be a positive number of seconds")
    return DerivedSpec(
        baskets=tuple(starter_baskets() if baskets is None else _baskets(baskets)),
        holdings=tuple(_read(Holding, "treasuries", entry) for entry in _entries(raw, "treasuries")),
        streaks=tuple(_read(StreakSpec, "streaks", entry) for entry in _entries(raw, "streaks")),
        bands=_read_bands(raw.get("bands", BANDS)),
        peaks_usd=read_peaks(raw.get("peaks", {})),
        every_s=float(every_s),
    )


def _read_bands(raw: object) -> tuple[Band, ...]:
    pairs = [tuple(pair) for pair in raw if isinstance(pair, list | tuple)] if isinstance(raw, list | tuple) else []
    whole = [pair for pair in pairs if len(pair) == 2 and all(type(rank) is int for rank in pair)]
    if not isinstance(raw, list | tuple) or len(whole) != len(raw) or not all(1 <= low < high for low, high in whole):
        raise ValueError("derived: bands must be a list of pairs of ranks, such as [[1, 10], [50, 100]]")
    return tuple((low, high) for low, high in whole)


def _baskets(raw: object) -> list[BasketSpec]:
    if not isinstance(raw, Mapping):
        raise ValueError("derived: baskets must map names to coins")  # noqa: TRY004  # one kind of error for the file
    return [_basket(str(name), coins) for name, coins in raw.items()]


def _basket(name: str, said: object) -> BasketSpec:
    """A list of coins, weights by coin, or both with ``rebalance_days`` beside them."""
    fuller = isinstance(said, Mapping) and "weights" in said
    entry: Mapping[str, object] = said if isinstance(said, Mapping) and fuller else {"weights": said}
    unknown = sorted(set(entry) - {"weights", "rebalance_days"})
    if unknown:
        raise ValueError(f"derived: basket {name}: unknown key {', '.join(unknown)} (known: weights, rebalance_days)")
    days = entry.get("rebalance_days", 7)
    if type(days) is not int:
        raise ValueError(f"derived: basket {name}: rebalance_days must be a whole number of days")
    return BasketSpec(name, _weights(name, entry["weights"]), days)


def _weights(name: str, coins: object) -> dict[str, float]:
    weights = dict.fromkeys(coins, 1.0) if isinstance(coins, list) else coins
    if not isinstance(weights, Mapping):
        raise ValueError(f"derived: basket {name}: give a list of coins, or a positive number for each")  # noqa: TRY004  # one kind of error for the file
    if not all(isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights.values()):
        raise ValueError(f"derived: basket {name}: weights must be numbers")
    return {str(base): float(weight) for base, weight in weights.items()}


def _entries(raw: Mapping[str, object], key: str) -> Sequence[Mapping[str, object]]:
    entries = raw.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"derived: {key} must be a list of mappings")
    return entries


def _read(kind: Callable[..., T], key: str, entry: Mapping[str, object]) -> T:
    try:
        return kind(**{str(name): value for name, value in entry.items()})
    except TypeError as error:
        raise ValueError(f"derived: {key}: {str(error).replace('__init__() ', '')}") from None
