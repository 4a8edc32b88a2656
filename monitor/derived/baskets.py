"""Indexes of coins: weights fixed at each rebalancing, 100 at the start. Pure; prices in, levels out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from monitor.clock import NS_PER_S
from monitor.events import Price, Sample

DAY_NS = 86_400 * NS_PER_S
START_LEVEL = 100.0
LEAST_SHARE = 0.5
"""Of the weight that has a price now; with less the level would mostly stand on what was."""

SECTORS: dict[str, tuple[str, ...]] = {
    "layer-1": ("BTC", "ETH", "SOL", "BNB", "ADA", "AVAX", "SUI"),
    "layer-2": ("ARB", "OP", "POL", "STRK", "IMX"),
    "meme": ("DOGE", "SHIB", "PEPE", "BONK", "WIF"),
    "defi": ("UNI", "AAVE", "LINK", "CRV", "LDO"),
    "gaming": ("SAND", "AXS", "GALA", "IMX", "MANA"),
    "depin": ("RENDER", "HNT", "IOTX", "AKT"),
    "ai": ("FET", "TAO", "WLD", "RENDER"),
    "privacy": ("ZEC", "XMR", "DASH"),
    "storage": ("FIL", "AR", "STORJ"),
}
"""Starter set, equal weights; ``derived: baskets`` in the configuration replaces or adds."""


@dataclass(frozen=True, slots=True)
class BasketSpec:
    """One basket: weight by coin (any positive numbers; scaled to 1), and the days between two rebalancings."""

    name: str
    weights: Mapping[str, float]
    rebalance_days: int = 7

    def __post_init__(self) -> None:
        if not self.weights or not all(isfinite(w) and w > 0 for w in self.weights.values()):
            raise ValueError(f"basket {self.name}: every weight must be a positive number")
        if self.rebalance_days < 1:
            raise ValueError(f"basket {self.name}: rebalance_days must be at least 1")


def starter_baskets() -> list[BasketSpec]:
    """The starter set."""
    return [BasketSpec(name, dict.fromkeys(coins, 1.0)) for name, coins in SECTORS.items()]


class Basket:
    """The level of one basket as prices come in.

    The level is the sum of units times prices. Units are set from the weights at the start and at every rebalancing,
    at the prices of that instant, so that the level is continuous. A coin whose first price comes later joins at its
    weight, without moving the level. A coin whose price is missing keeps its last one, so that what it lost meanwhile
    shows when it is back; while that is true of more than half of the weight there is no level.
    """

    def __init__(self, spec: BasketSpec) -> None:
        self.spec = spec
        self._prices: dict[str, float] = {}
        self._units: dict[str, float] = {}
        self._period: int | None = None
        self._start = START_LEVEL

    def update(self, prices: Mapping[str, float], at_ns: int) -> float | None:
        """Take the prices of now by coin; returns the level, or None where less than half of the weight has a price."""
        present = {base: price for base in self.spec.weights if (price := prices.get(base, 0.0)) > 0}
        self._prices |= present
        if self._share(present) < LEAST_SHARE:
            return None
        period = at_ns // (self.spec.rebalance_days * DAY_NS)
        if period != self._period:
            self._rebalance(self.level or self._start)
            self._period = period
        for base in present.keys() - self._units.keys():
            self._join(base)
        return self.level

    def _share(self, bases: Iterable[str]) -> float:
        """Of the weights, 0..1."""
        return sum(self.spec.weights[base] for base in bases) / sum(self.spec.weights.values())

    @property
    def level(self) -> float | None:
        """The present level; None before the start."""
        return sum(units * self._prices[base] for base, units in self._units.items()) or None

    def memory(self) -> dict[str, Any]:
        """What a later run needs to go on with this level, as JSON."""
        kept = {
            "weights": dict(self.spec.weights),
            "period": self._period,
            "units": self._units,
            "prices": self._prices,
        }
        return kept | {"level": self.level}

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Go on where a former run ended; with other weights, from its level and the next prices.

        Raises:
            KeyError, TypeError, ValueError: It is no `memory`.
        """
        level, period, units, prices = kept["level"], kept["period"], _numbers(kept["units"]), _numbers(kept["prices"])
        if level is None:
            return
        if kept["weights"] != dict(self.spec.weights):
            self._start = float(level)
            return
        if not units.keys() <= prices.keys():
            raise KeyError("units without prices")
        self._units, self._prices, self._period = units, prices, int(period)

    def _join(self, base: str) -> None:
        """Take a coin in at its weight; the others give way in proportion, so that the level stays."""
        level = self.level or self._start
        share = self.spec.weights[base] / sum(self.spec.weights[known] for known in (*self._units, base))
        self._units = {known: units * (1 - share) for known, units in self._units.items()}
        self._units[base] = level * share / self._prices[base]

    def _rebalance(self, level: float) -> None:
        present = {base: weight for base, weight in self.spec.weights.items() if base in self._prices}
        total = sum(present.values())
        self._units = {base: level * weight / total / self._prices[base] for base, weight in present.items()}


def _numbers(raw: Mapping[str, Any]) -> dict[str, float]:
    return {str(base): float(value) for base, value in raw.items()}


class PriceBook:
    """The newest price of one coin by base, out of the stream: the median over pairs of the newest mark or last."""

    def __init__(self, stale_ns: int = 60 * NS_PER_S) -> None:
        self._stale_ns = stale_ns
        self._by_base: dict[str, dict[tuple[str, str], tuple[int, float]]] = {}

    def take(self, event: Price) -> None:
        """Note a perpetual's mark price, or a spot pair's last price."""
        instrument = event.instrument
        if is_price_of_now(event):
            venues = self._by_base.setdefault(instrument.base, {})
            venues[instrument.venue, instrument.symbol] = event.ts_ns, event.value / instrument.base_units

    def prices(self, now_ns: int) -> dict[str, float]:
        """Median price by coin over what is not stale."""
        found = {}
        for base, venues in self._by_base.items():
            fresh = sorted(price for ts_ns, price in venues.values() if now_ns - ts_ns <= self._stale_ns)
            if fresh:
                found[base] = (fresh[(len(fresh) - 1) // 2] + fresh[len(fresh) // 2]) / 2
        return found


def is_price_of_now(event: Price) -> bool:
    """Whether it says what the coin costs in dollars: a perpetual's mark, a spot pair's last; a future has a premium."""
    kind = {"perp": "mark", "spot": "last"}.get(event.instrument.kind)
    return event.kind == kind and event.instrument.usd_quoted


def basket_sample(name: str, level: float, now_ns: int) -> Sample:
    """The level as a value of ``basket``."""
    return Sample("basket", (("basket", name),), level, now_ns, now_ns, "derived")
