"""What companies and funds hold, at the live price against what they paid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from monitor.events import Sample


@dataclass(frozen=True, slots=True)
class Holding:
    """Coins of one holder, and the average price paid for one coin in US dollars."""

    holder: str
    base: str
    quantity: float
    cost_price_usd: float

    def __post_init__(self) -> None:
        if not (is_number(self.quantity) and is_number(self.cost_price_usd)):
            raise ValueError(f"{self.holder} {self.base}: quantity and cost_price_usd must be numbers")
        if not (self.quantity > 0 and self.cost_price_usd >= 0):
            raise ValueError(f"{self.holder} {self.base}: quantity must be positive and the cost not negative")

    def profit_usd(self, price_usd: float) -> float:
        """Unrealised profit; negative: a loss."""
        return self.quantity * (price_usd - self.cost_price_usd)

    def distance_to_cost(self, price_usd: float) -> float:
        """Price over cost, less one: -0.25 is a quarter under water. Infinite for coins that cost nothing."""
        return price_usd / self.cost_price_usd - 1 if self.cost_price_usd else float("inf")


def is_number(value: object) -> bool:
    """Whether a value of the configuration is a finite number, whatever its field is declared to hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def treasury_samples(holdings: Iterable[Holding], prices_usd: Mapping[str, float], now_ns: int) -> list[Sample]:
    """Profit of every holding whose coin has a price, and its distance to cost; without a price there is neither."""
    return [
        sample
        for holding in holdings
        if (price_usd := prices_usd.get(holding.base)) is not None
        for sample in _samples(holding, price_usd, now_ns)
    ]


def _samples(holding: Holding, price_usd: float, now_ns: int) -> list[Sample]:
    labels = (("base", holding.base), ("holder", holding.holder))
    found = [Sample("treasury_pnl", labels, holding.profit_usd(price_usd), now_ns, now_ns, "derived")]
    if holding.cost_price_usd:
        distance = holding.distance_to_cost(price_usd)
        found.append(Sample("treasury_distance", labels, distance, now_ns, now_ns, "derived"))
    return found
