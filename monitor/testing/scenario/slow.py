"""What moves by the hour or day in the synthetic autumn of 2025: market value, stablecoins, DeFi, flows, volatility.

The points are the commentaries' own figures where they give one; the rest is drawn between them. **Synthetic**.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.events import Labels, Sample
from monitor.testing.scenario.curves import HOUR_NS, Curve, at, curve
from monitor.testing.scenario.timeline import BTC_PRICE

MARKET_CAP = curve(
    (("2025-04-09", 2.55e12), ("2025-04-22", 2.85e12), ("2025-04-29", 3.02e12), ("2025-07-01", 3.30e12), ("2025-09-01", 3.80e12), ("2025-10-06", 4.27e12), ("2025-10-31", 3.75e12), ("2025-11-14", 3.35e12),
     ("2025-11-20T12:00", 3.19e12), ("2025-11-21T02:00", 3.05e12), ("2025-11-21T07:35", 2.88e12),
     ("2025-11-21T12:00", 2.93e12), ("2025-11-22T00:00", 3.08e12)),
    log=True,
)  # fmt: skip
"""All coins; under 3T on 21 November, for the first time since April, more than 1T below the October peak."""

SECTOR_CAPS: dict[str, Curve] = {
    "meme-token": curve((("2025-01-01", 116e9), ("2025-10-06", 78e9), ("2025-11-20T12:00", 44.0e9), ("2025-11-21T12:00", 39.4e9), ("2025-11-22T00:00", 40.5e9)), log=True),
    "non-fungible-tokens-nft": curve((("2025-10-06", 5.1e9), ("2025-10-21", 4.9e9), ("2025-11-21T08:00", 2.95e9)), log=True),
    "layer-1": curve((("2025-10-06", 3.2e12), ("2025-11-14", 2.52e12), ("2025-11-21T08:00", 2.2e12)), log=True),
    "layer-2": curve((("2025-10-06", 16e9), ("2025-11-14", 11.4e9), ("2025-11-21T08:00", 9.7e9)), log=True),
    "gaming": curve((("2025-10-06", 14e9), ("2025-11-14", 10e9), ("2025-11-21T08:00", 8.8e9)), log=True),
    "depin": curve((("2025-10-06", 19e9), ("2025-11-14", 13.2e9), ("2025-11-21T08:00", 11.7e9)), log=True),
    "artificial-intelligence": curve((("2025-10-06", 34e9), ("2025-11-14", 25.7e9), ("2025-11-21T08:00", 23e9)), log=True),
    "privacy-coins": curve((("2025-10-06", 18e9), ("2025-11-14", 25e9), ("2025-11-21T08:00", 32e9)), log=True),
    "real-world-assets-rwa": curve((("2025-10-21", 16e9), ("2025-11-21T08:00", 12e9)), log=True),
}  # fmt: skip
"""By CoinGecko's category id."""

STABLECOIN_SUPPLY = curve(
    (("2024-11-01", 172e9), ("2025-09-01", 285e9), ("2025-10-21", 307.9e9), ("2025-10-25", 307.54e9), ("2025-11-21", 303.2e9), ("2025-11-24", 303.0e9)),
)  # fmt: skip
"""All stablecoins: -4.54B, -1.48 % over the month."""

STABLECOINS: dict[str, tuple[float, Curve]] = {
    "USDT": (0.605, curve((("2025-10-01", 1.0), ("2025-11-21T07:00", 0.9990), ("2025-11-21T12:00", 0.9996)))),
    "USDC": (0.245, curve((("2025-10-01", 1.0), ("2025-11-21T07:00", 0.9997), ("2025-11-21T12:00", 0.9999)))),
    "USDe": (0.028, curve((("2025-10-01", 1.0), ("2025-11-21T07:00", 0.9978), ("2025-11-21T12:00", 0.9990)))),
}  # fmt: skip
"""Share of the supply, and price: the pegs held."""

TVL = curve(
    (("2025-06-01", 115e9), ("2025-10-06", 178e9), ("2025-10-31", 155e9), ("2025-11-02", 152e9), ("2025-11-09", 133.1e9),
     ("2025-11-20", 122e9), ("2025-11-21", 117e9), ("2025-11-24", 115e9)),
    log=True,
)  # fmt: skip
"""Value locked in DeFi: -12.45 % in the week to 9 November."""

CHAIN_SHARE = {
    "Ethereum": 0.57,
    "Solana": 0.08,
    "BSC": 0.06,
    "Bitcoin": 0.055,
    "Tron": 0.04,
    "Base": 0.035,
    "Arbitrum": 0.025,
}

PROTOCOLS: dict[str, Curve] = {
    "aave-v3": curve((("2025-10-06", 44e9), ("2025-11-21", 29e9))),
    "lido": curve((("2025-10-06", 38e9), ("2025-11-21", 24e9))),
    "uniswap": curve((("2025-10-06", 6.2e9), ("2025-11-21", 4.3e9))),
    "balancer": curve((("2025-11-03T07:00", 442e6), ("2025-11-03T12:00", 315e6), ("2025-11-04T00:00", 214e6), ("2025-11-21", 160e6))),
    "lender-under-attack": curve((("2025-11-20T18:00", 120e6), ("2025-11-20T19:00", 70e6), ("2025-11-21", 60e6))),
}  # fmt: skip
"""By slug. The last is invented, so that the rule on a drained protocol has something to see inside the scenario."""

FLOWS_M_USD: dict[str, dict[str, float]] = {
    "BTC": {
        "2025-10-24": 90.6, "2025-10-27": 149.3, "2025-10-28": 202.5, "2025-10-29": -470.7, "2025-10-30": -488.4,
        "2025-10-31": -191.6, "2025-11-03": -186.5, "2025-11-04": -577.7, "2025-11-05": -137.0, "2025-11-06": 239.9,
        "2025-11-07": -558.4, "2025-11-10": 1.2, "2025-11-11": 524.0, "2025-11-12": -278.1, "2025-11-13": -866.7,
        "2025-11-14": -492.1, "2025-11-17": -254.6, "2025-11-18": -372.8, "2025-11-19": 75.4, "2025-11-20": -903.2,
        "2025-11-21": 238.4,
    },
    "ETH": {
        "2025-10-24": -93.6, "2025-10-27": 133.9, "2025-10-28": 246.0, "2025-10-29": -81.4, "2025-10-30": -184.3,
        "2025-10-31": -98.2, "2025-11-03": -135.7, "2025-11-04": -219.4, "2025-11-05": -118.6, "2025-11-06": 12.5,
        "2025-11-07": -46.6, "2025-11-10": 0.0, "2025-11-11": -107.1, "2025-11-12": -183.8, "2025-11-13": -259.7,
        "2025-11-14": -177.9, "2025-11-17": -182.8, "2025-11-18": -74.2, "2025-11-19": -37.4, "2025-11-20": -261.6,
        "2025-11-21": 55.7,
    },
}  # fmt: skip
"""Millions of US dollars per trading day, shaped so that the session of 20 November is about -900M."""

FUND_FLOWS_M_USD = {("BTC", "IBIT"): {"2025-11-18": 130.4, "2025-11-19": -523.2, "2025-11-20": -355.5}}
"""Of single funds, as somebody pushes them in: one lost 523M on 19 November."""

SKEW_25D = curve(
    (("2025-10-25", -1.5), ("2025-11-03", -0.8), ("2025-11-05", 1.0), ("2025-11-20T12:00", 3.2), ("2025-11-21T04:00", 4.5), ("2025-11-21T07:30", 8.5),
     ("2025-11-21T14:00", 6.5), ("2025-11-22T00:00", 4.0)),
)  # fmt: skip
"""Bitcoin, 30 days, put less call, in vol points."""

ATM_IV = curve(
    (("2025-11-01", 42.0), ("2025-11-20T12:00", 47.0), ("2025-11-21T04:00", 50.0), ("2025-11-21T07:30", 63.0),
     ("2025-11-21T14:00", 56.0), ("2025-11-22T00:00", 52.0)),
)  # fmt: skip
"""Bitcoin, 30 days, in vol points."""

ETHER_DEARER = 1.4
"""Ether's volatility against Bitcoin's."""

TERM_SLOPE = curve((("2025-11-20T12:00", 0.1), ("2025-11-21T04:00", 0.15), ("2025-11-21T07:30", 0.6), ("2025-11-21T14:00", 0.3), ("2025-11-22T00:00", 0.15)))  # fmt: skip
"""How much dearer near expiries are, as a share per year: the market expects the storm now."""

LONG_SHORT_RATIO = curve((("2025-11-20T12:00", 1.35), ("2025-11-21T03:00", 1.1), ("2025-11-21T07:00", 0.86), ("2025-11-21T18:00", 0.93), ("2025-11-22T00:00", 1.05)))  # fmt: skip
"""Accounts long over accounts short."""

EXTERNAL: dict[str, Curve] = {
    "spx": curve((("2025-11-12T21:00", 6851.0), ("2025-11-13T21:00", 6737.0), ("2025-11-17T21:00", 6672.0), ("2025-11-18T21:00", 6617.0), ("2025-11-19T21:00", 6642.0), ("2025-11-20T12:00", 6700.0), ("2025-11-20T15:00", 6690.0), ("2025-11-20T16:00", 6650.0), ("2025-11-20T18:00", 6590.0), ("2025-11-20T21:00", 6538.0), ("2025-11-21T06:40", 6535.0), ("2025-11-21T07:35", 6480.0), ("2025-11-21T09:00", 6510.0), ("2025-11-21T15:00", 6520.0), ("2025-11-21T21:00", 6603.0))),
    "gold": curve((("2025-11-19T21:00", 4125.0), ("2025-11-20T21:00", 4065.0), ("2025-11-21T12:00", 4030.0), ("2025-11-21T21:00", 4065.0))),
    "csi300": curve((("2025-11-20T07:00", 4565.0), ("2025-11-21T07:00", 4453.0))),
    "hsi": curve((("2025-11-20T08:00", 25836.0), ("2025-11-21T08:00", 25220.0))),
    "usdjpy": curve((("2025-11-20T12:00", 157.6), ("2025-11-21T03:00", 157.2), ("2025-11-21T09:00", 154.9), ("2025-11-21T15:00", 155.6), ("2025-11-24T00:00", 156.6))),
    "jgb_10y": curve((("2025-11-20T12:00", 1.77), ("2025-11-21T02:00", 1.84), ("2025-11-21T12:00", 1.79))),
    "fed_cut_probability": curve((("2025-10-29", 0.90), ("2025-10-30", 0.68), ("2025-11-14", 0.46), ("2025-11-20T12:00", 0.36), ("2025-11-20T18:00", 0.29), ("2025-11-21T13:00", 0.31), ("2025-11-21T15:00", 0.71))),
}  # fmt: skip
"""What the demo pushes through the inlet. ``spx`` is the index's future, which trades nearly around the clock."""


STOCKS_FOLLOW = curve((("2025-11-18T00:00", 0.0), ("2025-11-20T12:00", 0.3)))
"""How far the index future follows what Bitcoin does between the points of its curve: at the end both are one basket."""

VOLATILITY_INDEX = curve(
    (("2025-10-01", 40.0), ("2025-11-14", 47.0), ("2025-11-20T12:00", 50.0), ("2025-11-21T04:00", 54.0),
     ("2025-11-21T07:30", 64.5), ("2025-11-21T14:00", 58.0), ("2025-11-22T00:00", 54.0), ("2025-11-24T12:00", 52.0)),
)  # fmt: skip
"""Deribit's index of Bitcoin's volatility: it stands a little above the 30-day at-the-money volatility."""


def pushed_value(name: str, ts_ns: int, btc_usd: float) -> float:
    """A row of `EXTERNAL` at one instant; stocks move with Bitcoin, whose price at the same time is `btc_usd`."""
    value = EXTERNAL[name](ts_ns)
    if name != "spx":
        return value
    return value * float((btc_usd / BTC_PRICE(ts_ns)) ** STOCKS_FOLLOW(ts_ns))


def index_samples(from_ns: int, to_ns: int, step_ns: int) -> Iterator[Sample]:
    """The volatility index every `step_ns` of ``from_ns <= ts_ns < to_ns``, as its venue sends it."""
    labels = (("base", "BTC"), ("tenor", "index"), ("venue", "deribit"))
    for ts_ns in range(-(-from_ns // step_ns) * step_ns, to_ns, step_ns):
        yield Sample("iv", labels, round(VOLATILITY_INDEX(ts_ns), 2), ts_ns, ts_ns, "deribit")


BASKETS: dict[str, Curve] = {
    "layer-1": curve((("2025-10-15", 107.0), ("2025-11-14", 93.0), ("2025-11-20T12:00", 90.0), ("2025-11-21T12:00", 86.5))),
    "layer-2": curve((("2025-10-15", 118.0), ("2025-11-14", 85.1), ("2025-11-20T12:00", 79.0), ("2025-11-21T12:00", 72.4))),
    "gaming": curve((("2025-10-15", 112.0), ("2025-11-14", 88.0), ("2025-11-20T12:00", 82.0), ("2025-11-21T12:00", 77.4))),
    "privacy": curve((("2025-10-15", 100.0), ("2025-11-14", 121.0), ("2025-11-20T12:00", 126.0), ("2025-11-21T12:00", 128.0))),
}  # fmt: skip
"""Levels of some baskets before the scenario; inside it the monitor works out its own."""


def slow_samples(from_ns: int, to_ns: int, step_ns: int = HOUR_NS) -> Iterator[Sample]:
    """The slow series as samples every `step_ns`, and fund flows once per session, with ``from_ns <= ts_ns < to_ns``.

    What the source servers and the inlet would deliver, for tests and backtests that want no HTTP; marked backfill.
    """
    for ts_ns in range(-(-from_ns // step_ns) * step_ns, to_ns, step_ns):
        for series, labels, line in _lines():
            yield Sample(series, labels, line(ts_ns), ts_ns, ts_ns, "synthetic", backfill=True)
    for asset, days in FLOWS_M_USD.items():
        for date, million in days.items():
            ts_ns = at(f"{date}T21:00")
            if from_ns <= ts_ns < to_ns:
                labels = (("asset", asset), ("fund", "total"))
                yield Sample("etf_flow", labels, million * 1e6, ts_ns, ts_ns, "synthetic", backfill=True)


def _lines() -> Iterator[tuple[str, Labels, Curve]]:
    yield "market_cap", (("asset", "total"),), MARKET_CAP
    yield "stablecoin_supply", (("asset", "total"),), STABLECOIN_SUPPLY
    yield "tvl", (("name", "total"), ("scope", "total")), TVL
    yield "skew_25d", (("base", "BTC"), ("tenor", "30d"), ("venue", "deribit")), SKEW_25D
    yield "iv", (("base", "BTC"), ("tenor", "30d"), ("venue", "deribit")), ATM_IV
    for name, line in SECTOR_CAPS.items():
        yield "sector_cap", (("sector", name),), line
    for name, (_, line) in STABLECOINS.items():
        yield "stablecoin_price", (("asset", name),), line
    for name, line in PROTOCOLS.items():
        yield "tvl", (("name", name), ("scope", "protocol")), line
    for name, line in EXTERNAL.items():
        yield "external", (("name", name), ("source", "synthetic")), line
    for name, line in BASKETS.items():
        yield "basket", (("basket", name),), line
