"""The timeline of the synthetic sell-off of 20 and 21 November 2025: numbers only.

Shaped on what market commentaries of that month report (Bitcoin from above 126,000 in October to 82,000; about 2.0B
liquidated in a day, 1.9B of it longs within hours; open interest down by 35 to 41 %; funding negative; ETF outflows;
stablecoin contraction). The path between those figures, and the split over venues and coins, is invented: **synthetic**.
Most of the fall of open interest, which took weeks, is pressed into the scenario's 36 hours. The curves go on to
24 November, so that the whole month can be played by the hour (`monitor.testing.scenario.november`).
"""

from __future__ import annotations

from monitor.testing.scenario.curves import Curve, at, curve

START_NS = at("2025-11-20T12:00")
END_NS = at("2025-11-22T00:00")
CASCADE_NS = at("2025-11-21T07:00")
"""The hour in which more than one billion US dollars is liquidated begins here."""

BTC_PRICE = curve(
    (
        ("2024-11-01", 69_500), ("2024-12-17", 106_000), ("2025-01-20", 108_500), ("2025-02-27", 84_000),
        ("2025-04-08", 76_300), ("2025-05-22", 111_000), ("2025-06-22", 101_000), ("2025-07-14", 120_000),
        ("2025-08-14", 123_500), ("2025-09-01", 108_500), ("2025-10-06T12:00", 126_200), ("2025-10-11", 111_500),
        ("2025-10-17", 106_800), ("2025-10-21", 109_200), ("2025-10-26", 114_500), ("2025-10-31", 115_000),
        ("2025-11-04", 101_500), ("2025-11-07", 102_800), ("2025-11-10", 105_800), ("2025-11-14", 98_400),
        ("2025-11-17", 92_300), ("2025-11-20T00:00", 92_000), ("2025-11-20T12:00", 92_200), ("2025-11-20T15:00", 91_400),
        ("2025-11-20T16:00", 89_800), ("2025-11-20T18:00", 88_200), ("2025-11-20T21:00", 87_000),
        ("2025-11-21T00:00", 86_500), ("2025-11-21T05:00", 85_600), ("2025-11-21T06:40", 85_400),
        ("2025-11-21T07:15", 83_100), ("2025-11-21T07:35", 81_800),
        ("2025-11-21T08:00", 81_900), ("2025-11-21T08:20", 82_700), ("2025-11-21T09:00", 83_500), ("2025-11-21T12:00", 84_200),
        ("2025-11-21T18:00", 84_800), ("2025-11-22T00:00", 85_600), ("2025-11-22T18:00", 84_400),
        ("2025-11-23T12:00", 86_300), ("2025-11-24T12:00", 86_900), ("2025-11-25T00:00", 88_100),
    ),
    log=True,
)  # fmt: skip
"""Bitcoin in US dollars."""

PRICE_AT_START = {
    "BTC": 92_200.0, "ETH": 3_030.0, "SOL": 142.0, "XRP": 2.12, "BNB": 905.0, "DOGE": 0.158, "ADA": 0.465,
    "AVAX": 14.2, "LINK": 13.6, "LTC": 95.0, "SUI": 1.62, "ARB": 0.232, "OP": 0.352, "PEPE": 4.9e-06, "UNI": 7.3,
    "ZEC": 590.0, "FIL": 1.95, "FET": 0.27, "SAND": 0.178, "RENDER": 1.95, "USDT": 1.0, "USDC": 1.0,
}  # fmt: skip
"""US dollars per coin when the scenario begins."""

BETA = {
    "BTC": 1.0, "ETH": 1.7, "SOL": 1.3, "XRP": 1.2, "BNB": 0.95, "DOGE": 1.5, "ADA": 1.5, "AVAX": 1.4, "LINK": 1.35,
    "LTC": 1.0, "SUI": 1.7, "ARB": 1.9, "OP": 1.9, "PEPE": 1.9, "UNI": 1.2, "ZEC": -0.35, "FIL": 0.6, "FET": 1.6,
    "SAND": 1.75, "RENDER": 1.6, "USDT": 0.0, "USDC": 0.0,
}  # fmt: skip
"""How far a coin moves for one move of Bitcoin. Privacy rises against the market, as the commentaries say."""

HISTORY_BETA = {"ETH": 1.35}
"""Before the scenario, where it differs: ether falls harder than before in the sell-off itself."""

MONTH_DRIFT = {"ZEC": 0.175, "FIL": 0.15}
"""Log return of the 30 days before the scenario on top of the market's: privacy +28 %, storage +9 % in the month."""

HISTORY_NOISE_FROM = "2025-10-08"
HISTORY_HOUR_SIGMA = 0.0041
"""Standard deviation of Bitcoin's noise per hour outside the scenario: some 40 points of volatility a year."""

OWN_SHARE = 0.4
"""A coin's own noise against the market's, per hour outside the scenario."""

MINUTE_SIGMA = curve(
    (("2025-11-20T12:00", 0.0004), ("2025-11-21T05:30", 0.0005), ("2025-11-21T07:30", 0.0012),
     ("2025-11-21T10:00", 0.0007), ("2025-11-22T00:00", 0.0004)),
)  # fmt: skip
"""Standard deviation of Bitcoin's noise per minute, as a fraction."""

OPEN_INTEREST_AT_START_USD = {
    "BTC": 90e9, "ETH": 52e9, "SOL": 18e9, "XRP": 13e9, "BNB": 8e9, "DOGE": 7e9, "ADA": 3.5e9, "AVAX": 2.5e9,
    "LINK": 3e9, "LTC": 2e9, "SUI": 3e9, "ARB": 1.2e9, "OP": 0.9e9, "PEPE": 2e9, "UNI": 1.3e9, "ZEC": 3e9,
    "FIL": 1e9, "FET": 0.8e9, "SAND": 0.4e9, "RENDER": 0.4e9,
}  # fmt: skip
"""One-sided, over all venues of the scenario."""

OPEN_INTEREST_SHARE = curve(
    (("2025-11-20T12:00", 1.0), ("2025-11-20T18:00", 0.95), ("2025-11-21T05:00", 0.87), ("2025-11-21T06:45", 0.83),
     ("2025-11-21T08:00", 0.655), ("2025-11-21T10:00", 0.64), ("2025-11-21T18:00", 0.645), ("2025-11-22T00:00", 0.65),
     ("2025-11-24T00:00", 0.66)),
)  # fmt: skip
"""Bitcoin's open interest against its start; other coins fall by `ALT_OPEN_INTEREST_POWER` of it."""

ALT_OPEN_INTEREST_POWER = 1.15

OPEN_INTEREST_HISTORY = curve(
    (("2025-09-15", 0.98), ("2025-10-06", 1.04), ("2025-10-11", 0.97), ("2025-11-20T12:00", 1.0))
)
"""Before the scenario, against its start: the peak of 6 October, 94B in Bitcoin, and a dip after it."""

ALT_OPEN_INTEREST_HISTORY = curve(
    (("2025-09-15", 0.98), ("2025-10-06", 1.105), ("2025-10-11", 0.97), ("2025-11-20T12:00", 1.0))
)
"""As `OPEN_INTEREST_HISTORY`, of the other coins: the whole market stood at 230B on 6 October."""

FUNDING_8H = curve(
    (("2025-10-20T00:00", 0.00006), ("2025-10-21T20:00", 0.0), ("2025-10-23T00:00", -0.00005),
     ("2025-10-26T00:00", 0.0), ("2025-10-31T00:00", 0.0001),
     ("2025-11-20T12:00", 0.00008), ("2025-11-21T00:00", 0.00005), ("2025-11-21T06:00", 0.00003),
     ("2025-11-21T07:20", 0.0), ("2025-11-21T08:30", -0.00012), ("2025-11-21T12:00", -0.00009),
     ("2025-11-22T00:00", -0.00003), ("2025-11-23T12:00", -0.00004), ("2025-11-25T00:00", -0.00002)),
)  # fmt: skip
"""Bitcoin's funding per eight hours; the other coins' is earlier and larger by their beta."""

FUNDING_LEAD_MINUTES = 40
"""How much earlier than Bitcoin's the funding of the other coins flips."""

LIQUIDATIONS_M_USD = (
    7, 8, 9, 34, 60, 32, 24, 16, 16, 14, 12, 10,  # 20 Nov, from 12:00
    9, 9, 8, 9, 14, 40, 330, 1_330, 290, 120, 48, 30,  # 21 Nov, from 00:00
    22, 18, 14, 12, 10, 9, 9, 8, 8, 8, 7, 7,  # 21 Nov, from 12:00
)  # fmt: skip
"""Millions of US dollars liquidated in each hour, over all venues of the scenario."""

CALM_LIQUIDATIONS_USD = 8e6
"""An hour's, over all venues, outside the scenario."""

LONG_SHARE = curve(
    (("2025-11-20T12:00", 0.55), ("2025-11-20T16:00", 0.88), ("2025-11-20T22:00", 0.7), ("2025-11-21T05:00", 0.9),
     ("2025-11-21T06:00", 0.955), ("2025-11-21T09:30", 0.955), ("2025-11-21T10:30", 0.6), ("2025-11-21T14:00", 0.4),
     ("2025-11-22T00:00", 0.45)),
)  # fmt: skip

MEAN_LIQUIDATION_USD = 2_900.0
"""Before the sampled venues fold theirs together."""

LARGE_ORDERS = (("2025-11-21T07:34:20", "bybit", "BTCUSDT", 36.78e6),)
"""Single liquidations beside the many small ones, longs, in US dollars. Trackers named one of 36.78M in Bitcoin as the
day's largest, in the minute of the low. It was on Hyperliquid, which publishes none: here it is on a venue that does."""

SAMPLED_VENUES = frozenset({"binance_usdm", "binance_coinm"})
"""Venues that report at most one liquidation per symbol and second."""

DEPTH_AT_START_USD = {"BTC": 110e6, "ETH": 70e6, "SOL": 28e6, "XRP": 18e6, "BNB": 10e6, "DOGE": 9e6}
"""Resting orders within 1 % of mid on one side, over all venues; see `DEPTH_SMALL_USD` for the rest."""

DEPTH_SMALL_USD = 3e6

DEPTH_SHARE = curve(
    (("2025-11-20T12:00", 1.0), ("2025-11-20T20:00", 0.85), ("2025-11-21T06:00", 0.7), ("2025-11-21T07:20", 0.3),
     ("2025-11-21T08:00", 0.28), ("2025-11-21T10:00", 0.6), ("2025-11-21T14:00", 0.9), ("2025-11-22T00:00", 1.1)),
)  # fmt: skip

VOLUME_M_USD_PER_HOUR = {"BTC": 3_000.0, "ETH": 2_300.0, "SOL": 700.0, "XRP": 400.0, "BNB": 250.0, "DOGE": 250.0}
"""Traded per hour on all perpetuals at the start; see `VOLUME_SMALL_M_USD` for the rest."""

VOLUME_SMALL_M_USD = 90.0

VOLUME_SHARE = curve(
    (("2025-11-20T12:00", 1.0), ("2025-11-21T05:30", 1.0), ("2025-11-21T07:30", 4.5), ("2025-11-21T10:00", 2.0),
     ("2025-11-21T16:00", 0.8), ("2025-11-22T00:00", 0.6)),
)  # fmt: skip

SPOT_TO_PERP = curve(
    (("2025-11-20T12:00", 0.18), ("2025-11-21T06:00", 0.22), ("2025-11-22T00:00", 0.42), ("2025-11-24T00:00", 0.46))
)
"""Spot turnover against perpetual turnover: flows return to spot."""

VENUE_WEIGHT = {
    "binance_usdm": 0.40, "bybit": 0.33, "okx": 0.19, "binance_coinm": 0.04, "bitget": 0.14, "gate": 0.12,
    "htx": 0.05, "deribit": 0.06, "hyperliquid": 0.10, "bitmex": 0.02, "kraken_futures": 0.01, "dydx": 0.01,
    "binance_spot": 0.55, "coinbase": 0.12, "kraken": 0.05,
}  # fmt: skip
"""Relative size; the shares of the venues that take part are scaled to 1, so that the totals above always hold."""

INVERSE_WEIGHT = 0.08
"""Size of a coin-margined contract against the same venue's linear one."""

DELAY_NS = 45_000_000
"""From the venue's time of an event to its receipt."""


PERP_DISCOUNT = curve(
    (("2025-11-21T06:45", 0.0), ("2025-11-21T07:15", 0.006), ("2025-11-21T07:45", 0.008), ("2025-11-21T08:30", 0.001),
     ("2025-11-22T00:00", 0.0)),
)  # fmt: skip
"""How far the perpetuals trade below their index while longs are forced out."""


def open_interest_share(base: str, share: float) -> float:
    """Open interest of a coin against its start, from Bitcoin's."""
    return share if base == "BTC" else share**ALT_OPEN_INTEREST_POWER


def open_interest_history(base: str) -> Curve:
    """A coin's open interest before the scenario, against its start."""
    return OPEN_INTEREST_HISTORY if base == "BTC" else ALT_OPEN_INTEREST_HISTORY


def funding_curve(base: str) -> Curve:
    """A coin's funding per eight hours."""
    if base == "BTC":
        return FUNDING_8H
    lead_ns = FUNDING_LEAD_MINUTES * 60 * 1_000_000_000
    size = min(2.0, abs(BETA.get(base, 1.0)) + 0.2)
    return Curve(tuple(t - lead_ns for t in FUNDING_8H.times_ns), tuple(v * size for v in FUNDING_8H.values))
