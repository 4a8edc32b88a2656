"""What companies and funds hold, at the live price against what they paid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.events import Sample


@dataclass(frozen=True, slots=True)
class Holding:
    """Coins of one holder, and the average price paid for one coin in US dollars."""

    holder: str
    base: str
    quantity: float
    cost_price_usd: float

    def __post_init__(self) -> None:
        if not (self.quantity > 0 and self.cost_price_usd >= 0):
            raise ValueError(f"{self.holder} {self.base}: quantity must be positive and the cost not negative")

    def profit_usd(self, price_usd: float) -> float:
        """Unrealised profit; negative: a loss."""
        return self.quantity * (price_usd - self.cost_price_usd)

    def distance_to_cost(self, price_usd: float) -> float:
        """Price over cost, less one: -0.25 is a quarter under water. Infinite for coins that cost nothing."""
        return price_usd / self.cost_price_usd - 1 if self.cost_price_usd else float("inf")


def treasury_samples(holdings: Iterable[Holding], prices_usd: Mapping[str, float], now_ns: int) -> list[Sample]:
    """Profit of every holding whose coin has a price; without a price there is no value."""
    return [
        Sample(
            "treasury_pnl",
            (("base", holding.base), ("holder", holding.holder)),
            holding.profit_usd(prices_usd[holding.base]),
            now_ns,
            now_ns,
            "derived",
        )
        for holding in holdings
        if holding.base in prices_usd
    ]
