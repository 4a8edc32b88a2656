"""The series that rules can name, with their labels, units and natural fold: one table.

An *event* series is a stream of amounts (each has USD): it needs a window. A *gauge* has a last value. The natural fold
says how a gauge's members become one value when labels are folded away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from monitor.events import Channel


class Unit(StrEnum):
    """What a number measures. ``NUMBER`` is a plain count or score; ``ANY`` fits everything (a literal ``82k``)."""

    USD = "USD"
    PRICE = "price"
    RATIO = "ratio"
    COUNT = "count"
    DURATION = "duration"
    VOL_POINTS = "vol points"
    NUMBER = "number"
    ANY = "any"


class Fold(StrEnum):
    """How values of several members become one."""

    SUM = "sum"
    MEDIAN = "median over venues"
    OI_MEAN = "open-interest-weighted mean"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """One series.

    ``stale_s`` is the age at which a gauge's last value is missing, unless the venue's feed states another for the
    channel. ``composite_labels`` are labels that a fold must not mix unless asked to (``price`` is always of one kind).
    """

    name: str
    form: Literal["events", "gauge"]
    unit: Unit
    labels: tuple[str, ...]
    fold: Fold
    channel: Channel
    description: str
    stale_s: float = 60.0
    defaults: tuple[tuple[str, str], ...] = ()


MARKET = ("venue", "symbol", "base", "quote")
HOUR, DAY = 3600.0, 86400.0

SERIES: dict[str, SeriesSpec] = {
    spec.name: spec
    for spec in (
        SeriesSpec("liquidations", "events", Unit.USD, (*MARKET, "kind", "side"), Fold.SUM, Channel.LIQUIDATIONS,
                   "Positions closed by force; side is the side of the position, long or short."),
        SeriesSpec("trades", "events", Unit.USD, (*MARKET, "market", "side"), Fold.SUM, Channel.TRADES,
                   "Trades; side is the taker's, market is spot, perp, future or option."),
        SeriesSpec("price", "gauge", Unit.PRICE, (*MARKET, "kind", "market"), Fold.MEDIAN, Channel.PRICE,
                   "Price of one coin; kind is mark, index, last or mid. Without a kind: mark, else last. In another currency than dollars "
                   "its base is the pair: ETH/BTC."),
        SeriesSpec("funding", "gauge", Unit.RATIO, MARKET, Fold.OI_MEAN, Channel.FUNDING,
                   "Funding rate per the contract's own interval; positive: longs pay.", stale_s=600.0),
        SeriesSpec("funding_8h", "gauge", Unit.RATIO, MARKET, Fold.OI_MEAN, Channel.FUNDING,
                   "Funding rate scaled to 8 hours.", stale_s=600.0),
        SeriesSpec("funding_apr", "gauge", Unit.RATIO, MARKET, Fold.OI_MEAN, Channel.FUNDING,
                   "Funding rate as a simple yearly rate.", stale_s=600.0),
        SeriesSpec("open_interest", "gauge", Unit.USD, MARKET, Fold.SUM, Channel.OPEN_INTEREST,
                   "Open interest in USD, one side.", stale_s=600.0),
        SeriesSpec("depth", "gauge", Unit.USD, (*MARKET, "side"), Fold.SUM, Channel.DEPTH,
                   "Resting orders within 1 % of mid; side is bid or ask."),
        SeriesSpec("spread", "gauge", Unit.RATIO, MARKET, Fold.MEDIAN, Channel.DEPTH,
                   "Best ask less best bid, as a share of mid."),
        SeriesSpec("iv", "gauge", Unit.VOL_POINTS, ("venue", "base", "tenor"), Fold.MEDIAN, Channel.VOLATILITY,
                   "At-the-money implied volatility; tenor is 7d, 30d ..., or index for the venue's volatility index.", stale_s=900.0),
        SeriesSpec("skew_25d", "gauge", Unit.VOL_POINTS, ("venue", "base", "tenor"), Fold.MEDIAN, Channel.VOLATILITY,
                   "25-delta put less call implied volatility; positive: puts dearer.", stale_s=900.0),
        SeriesSpec("long_short_ratio", "gauge", Unit.NUMBER, MARKET, Fold.MEDIAN, Channel.REFERENCE,
                   "Accounts net long over accounts net short.", stale_s=1800.0),
        SeriesSpec("market_cap", "gauge", Unit.USD, ("asset",), Fold.SUM, Channel.REFERENCE,
                   "Market capitalisation; asset is total or a coin.", stale_s=2 * HOUR, defaults=(("asset", "total"),)),
        SeriesSpec("sector_cap", "gauge", Unit.USD, ("sector",), Fold.MAX, Channel.REFERENCE,
                   "Market capitalisation of one sector; sectors overlap and are never summed.", stale_s=2 * HOUR),
        SeriesSpec("stablecoin_supply", "gauge", Unit.USD, ("asset",), Fold.SUM, Channel.REFERENCE,
                   "Circulating stablecoins; asset is total or a coin.", stale_s=1.5 * DAY, defaults=(("asset", "total"),)),
        SeriesSpec("stablecoin_price", "gauge", Unit.PRICE, ("asset",), Fold.MEDIAN, Channel.REFERENCE,
                   "Price of a stablecoin in USD.", stale_s=2 * HOUR),
        SeriesSpec("tvl", "gauge", Unit.USD, ("scope", "name"), Fold.SUM, Channel.REFERENCE,
                   "Value locked in DeFi; scope is total, chain or protocol.", stale_s=1.5 * DAY, defaults=(("scope", "total"),)),
        SeriesSpec("etf_flow", "gauge", Unit.USD, ("asset", "fund"), Fold.SUM, Channel.REFERENCE,
                   "Net flow of one trading day into spot funds; fund is total or a ticker.", stale_s=5 * DAY, defaults=(("fund", "total"),)),
        SeriesSpec("etf_flow_month", "gauge", Unit.USD, ("asset", "fund"), Fold.SUM, Channel.REFERENCE,
                   "Net flow into spot funds since the first of the month, the newest that is known.", stale_s=5 * DAY, defaults=(("fund", "total"),)),
        SeriesSpec("basket", "gauge", Unit.NUMBER, ("basket",), Fold.MEAN, Channel.PRICE,
                   "Index level of a configured basket, 100 at its start.", stale_s=2 * HOUR),
        SeriesSpec("band_correlation", "gauge", Unit.NUMBER, ("band",), Fold.MEAN, Channel.REFERENCE,
                   "Mean pairwise correlation of daily returns inside a band of ranks, or between two (1-10, 50-100, 1-10:50-100).", stale_s=2 * DAY),
        SeriesSpec("price_peak", "gauge", Unit.PRICE, ("base",), Fold.MAX, Channel.PRICE,
                   "Highest price of a coin ever, as configured or seen since.", stale_s=300.0),
        SeriesSpec("treasury_pnl", "gauge", Unit.USD, ("holder", "base"), Fold.SUM, Channel.PRICE,
                   "Unrealised profit of a configured holding at the live price; negative: a loss.", stale_s=300.0),
        SeriesSpec("treasury_distance", "gauge", Unit.RATIO, ("holder", "base"), Fold.MIN, Channel.PRICE,
                   "How far the live price lies above the cost of a configured holding; negative: below.", stale_s=300.0),
        SeriesSpec("streak", "gauge", Unit.COUNT, ("name", "source"), Fold.MAX, Channel.REFERENCE,
                   "How many trading days in a row an external series closed beyond its configured limit.", stale_s=5 * DAY),
        SeriesSpec("external", "gauge", Unit.ANY, ("name", "source"), Fold.MEAN, Channel.REFERENCE,
                   "Any series that the user pushes in.", stale_s=5 * DAY),
        SeriesSpec("feed_up", "gauge", Unit.NUMBER, ("venue", "channel"), Fold.MIN, Channel.REFERENCE,
                   "1 while a feed's channel is live, 0 while it is not.", stale_s=1e18),
        SeriesSpec("self", "gauge", Unit.ANY, ("what", "name"), Fold.MAX, Channel.REFERENCE,
                   "What the monitor measures of itself: disk, memory, event loop, outbox by sink.", stale_s=600.0),
    )
}  # fmt: skip
"""Every built-in series by name; a recording rule adds its own at load."""

NEVER_NEGATIVE = frozenset(
    {"market_cap", "sector_cap", "stablecoin_supply", "stablecoin_price", "tvl", "long_short_ratio", "iv"}
)
"""Slow series of which a negative value is a mistake of whoever told it."""
