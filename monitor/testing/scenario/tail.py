"""The small coins of the synthetic market, ranks 21 to 100: their names and paths are **invented**.

The commentaries say that correlations were concentrated in the largest ten, and that ranks 50 to 100 went their own way.
These coins trade on no venue of the scenario; a market service lists them, and a candle service has closes of a few.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from monitor.testing.scenario.curves import DAY_NS, at

RANKED_ONLY = {"TRX": 26.5e9, "HYPE": 11.2e9, "BCH": 10.9e9}
"""Large coins that the scenario does not trade: market value in US dollars, about that of November 2025."""

TAIL = tuple(f"TAIL{rank}" for rank in range(24, 101))
"""Invented coins, by their rank."""

CHARTED = tuple(f"TAIL{rank}" for rank in range(52, 62))
"""Those with closes."""

LARGEST_USD = 0.40e9
HISTORY_FROM, HISTORY_TO = "2024-10-01", "2025-12-01"
DAY_SIGMA = 0.045
"""Of a small coin's own daily return."""

MARKET_BETA = 0.25
"""How much of Bitcoin's daily return a small coin still follows."""


def market_cap_usd(coin: str) -> float:
    """Falls with the rank; all of them are smaller than the smallest coin that trades."""
    return LARGEST_USD * 0.97 ** TAIL.index(coin)


@cache
def own_path(coin: str, seed: int = 7) -> tuple[float, ...]:
    """A coin's own part by day from `HISTORY_FROM`: a random walk around 1."""
    days = (at(HISTORY_TO) - at(HISTORY_FROM)) // DAY_NS
    steps = np.random.default_rng((seed, 8, TAIL.index(coin))).standard_normal(days) * DAY_SIGMA
    return tuple(np.exp(np.cumsum(steps)).tolist())


def tail_price(coin: str, ts_ns: int, btc_usd: float) -> float:
    """US dollars per coin, from Bitcoin's price at the same time; its own part moves at midnight."""
    path = own_path(coin)
    day = min(max((ts_ns - at(HISTORY_FROM)) // DAY_NS, 0), len(path) - 1)
    return path[day] * float((btc_usd / 100_000) ** MARKET_BETA)
