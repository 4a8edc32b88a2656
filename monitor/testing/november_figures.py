"""Each figure that the signal catalogue names, and what the synthetic autumn gives for it. Data, and how it is read off.

A figure is read off what the monitor was given (curves, prices) or what the backtest over the autumn saw (least and greatest
value of a rule). Where the autumn does not give it, `Figure.why` says so: it is on the page, not hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from monitor import format as fmt
from monitor.events import Channel, OpenInterest
from monitor.testing.demo_slow import DERIVED
from monitor.testing.scenario import Scenario, slow
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, Curve, at
from monitor.testing.scenario.listings import BASES

Report = Mapping[str, Any]
LOW = "2025-11-21T07:35"
"""Bitcoin's lowest minute."""
READING = "2025-11-20T12:00"
PEAK, END = "2025-10-06T12:00", "2025-11-24T12:00"


@dataclass(frozen=True)
class Autumn:
    """What figures are read off.

    Attributes:
        scenario: The market.
        report: ``monitor backtest --json`` over it.
    """

    scenario: Scenario
    report: Report

    def lowest(self, rule: str) -> float:
        """The least value that a rule had."""
        return self._of(rule, "lowest")

    def highest(self, rule: str) -> float:
        """The greatest value that a rule had."""
        return self._of(rule, "highest")

    def _of(self, rule: str, key: str) -> float:
        found = next(entry[key] for entry in self.report["rules"] if entry["name"] == rule)
        return math.nan if found is None else float(found)

    def price(self, base: str, when: str) -> float:
        """US dollars per coin."""
        return self.scenario.price(base, at(when))

    def moved(self, base: str, from_: str, to: str) -> float:
        """A coin's return between two instants."""
        return self.price(base, to) / self.price(base, from_) - 1

    def open_interest(self, when: str, base: str = "") -> float:
        """US dollars over all venues at the full hour; of one coin or of all."""
        ts_ns = at(when) // HOUR_NS * HOUR_NS
        events = self.scenario.past(ts_ns, ts_ns + 1, HOUR_NS)
        return sum(e.usd for e in events if isinstance(e, OpenInterest) and e.instrument.base in (base or BASES))

    def funding_8h(self, when: str) -> float:
        """Bitcoin's funding on one venue, per eight hours."""
        perpetual = next(i for i in self.scenario.instruments if i.symbol == "BTCUSDT")
        return self.scenario.value(perpetual, Channel.FUNDING, at(when)) or 0.0

    def volatility(self, base: str, when: str) -> float:
        """Deviation of the hourly log returns of seven days around zero, a year, in points."""
        end_ns = at(when)
        prices = [self.scenario.price(base, ts_ns) for ts_ns in range(end_ns - 7 * DAY_NS, end_ns + 1, HOUR_NS)]
        returns = [math.log(now / before) for before, now in pairwise(prices)]
        return 100 * math.sqrt(sum(r * r for r in returns) / len(returns) * 24 * 365)


@dataclass(frozen=True)
class Figure:
    """One figure of the catalogue.

    Attributes:
        row: Its id there.
        said: What is measured, in the catalogue's words.
        how: ``about``: within `within` of `wanted`; ``over`` and ``under``: beyond it.
        wanted: The figure.
        unit: As of a rule's value: ``USD``, ``ratio``, ``price``, ``number``.
        given: Reads off what the autumn gives.
        within: Tolerance of ``about``, as a share of the figure.
        why: Why the autumn does not give it; empty: it does.
    """

    row: str
    said: str
    how: Literal["about", "over", "under"]
    wanted: float
    unit: str
    given: Callable[[Autumn], float]
    within: float = 0.02
    why: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value is what was said."""
        if self.how == "about":
            return abs(value - self.wanted) <= self.within * abs(self.wanted)
        return value > self.wanted if self.how == "over" else value < self.wanted

    def wanted_text(self) -> str:
        """``over 2B USD``, ``about -41%, within 5% of it``."""
        text = f"{self.how} {self.text(self.wanted)}"
        return f"{text}, within {fmt.pct(self.within)} of it" if self.how == "about" and not self.why else text

    def text(self, value: float) -> str:
        """A value in the figure's unit; percent with the digits that the catalogue has."""
        return fmt.pct(value, 4) if self.unit == "ratio" else fmt.amount(value, self.unit)


def _ratio(line: Curve, from_: str, to: str) -> float:
    return line(at(to)) / line(at(from_)) - 1


def _sector(name: str, from_: str = "2025-11-14", to: str = "2025-11-21T08:00") -> Callable[[Autumn], float]:
    return lambda _: _ratio(slow.SECTOR_CAPS[name], from_, to)


def _flows(asset: str, from_: str) -> Callable[[Autumn], float]:
    return lambda _: sum(usd for day, usd in slow.FLOWS_M_USD[asset].items() if day >= from_) * 1e6


def _loss_of_the_ether_fund(autumn: Autumn) -> float:
    fund = next(held for held in DERIVED["treasuries"] if held["base"] == "ETH")
    return float((autumn.price("ETH", LOW) - fund["cost_price_usd"]) * fund["quantity"])


MEMES, NFT = slow.SECTOR_CAPS["meme-token"], slow.SECTOR_CAPS["non-fungible-tokens-nft"]

FIGURES = (
    Figure("S01", "total market cap at one reading", "about", 3.19e12, "USD", lambda _: slow.MARKET_CAP(at(READING))),
    Figure("S01", "total market cap falls below 3T", "under", 3e12, "USD", lambda a: a.lowest("MarketCapBelow3T")),
    Figure("S02", "lost from the October peak, in USD", "over", 1e12, "USD", lambda a: a.highest("MarketCapTrillionFromPeak")),
    Figure("S02", "lost from the October peak at the reading of 3.19T", "about", -0.25, "ratio", lambda _: _ratio(slow.MARKET_CAP, PEAK, READING), 0.05),
    Figure("S03", "BTC funding of eight hours on 24 November", "under", 0, "ratio", lambda a: a.funding_8h(END)),
    Figure("S04", "long/short ratio of accounts", "under", 1, "number", lambda a: a.lowest("AccountsNetShort")),
    Figure("S05", "liquidated in 24 hours", "over", 2e9, "USD", lambda a: a.highest("LiquidationsDay")),
    Figure("S05", "liquidated in one hour, the user's own example", "over", 1e9, "USD", lambda a: a.highest("LiquidationsOver1BillionPerHour")),
    Figure("S06", "longs liquidated within four hours", "over", 1.9e9, "USD", lambda a: a.highest("LongLiquidations")),
    Figure("S06", "long share of the liquidations of four hours", "over", 0.9, "ratio", lambda a: a.highest("LongsDominateLiquidations")),
    Figure("S07", "liquidations in 24 hours, for accounts", "over", 400_000, "number", lambda a: a.highest("LiquidationCount")),
    Figure("S08", "open interest on 6 October", "about", 230e9, "USD", lambda a: a.open_interest(PEAK)),
    Figure("S08", "open interest on 24 November", "about", 135e9, "USD", lambda a: a.open_interest(END)),
    Figure("S08", "between the two", "about", -0.41, "ratio", lambda a: a.open_interest(END) / a.open_interest(PEAK) - 1, 0.05),
    Figure("S09", "BTC open interest on 6 October", "about", 94e9, "USD", lambda a: a.open_interest(PEAK, "BTC")),
    Figure("S09", "BTC open interest from there to 24 November", "about", -0.35, "ratio", lambda a: a.open_interest(END, "BTC") / a.open_interest(PEAK, "BTC") - 1, 0.06),
    Figure("S10", "spot share of a day above that of its week", "over", 0, "ratio", lambda a: a.highest("SpotShareRises")),
    Figure("S11", "BTC 7-day realized volatility on 24 November", "about", 50, "number", lambda a: a.volatility("BTC", END), 0.2),
    Figure("S12", "mean correlation inside ranks 1 to 10", "over", 0.8, "number", lambda a: a.lowest("LargeCoinsMoveAsOne")),
    Figure("S12", "mean correlation between ranks 1 to 10 and 50 to 100", "under", 0.4, "number", lambda a: a.highest("SmallCoinsDecouple")),
    Figure("S13", "layer 2 in a week", "about", -0.149, "ratio", _sector("layer-2")),
    Figure("S13", "gaming in a week", "about", -0.12, "ratio", _sector("gaming")),
    Figure("S13", "DePIN in a week", "about", -0.114, "ratio", _sector("depin")),
    Figure("S13", "AI in a week", "about", -0.105, "ratio", _sector("artificial-intelligence")),
    Figure("S13", "core layer 1 in a week", "about", -0.07, "ratio", _sector("layer-1"),
           why="its largest member is Bitcoin, which falls from 98,400 to 81,800 in that week"),
    Figure("S13", "the thirty largest in a week", "about", -0.072, "ratio", lambda _: math.nan, why="no such index is served or worked out"),
    Figure("S14", "privacy in the month", "about", 0.28, "ratio", lambda a: a.moved("ZEC", "2025-10-21T12:00", READING), 0.25),
    Figure("S14", "storage in the month", "about", 0.09, "ratio", lambda a: a.moved("FIL", "2025-10-21T12:00", READING), 0.25),
    Figure("S14", "social in the month", "about", 0.31, "ratio", lambda _: math.nan, why="no coin of that sector trades in the scenario"),
    Figure("S14", "real-world assets in the month", "about", -0.25, "ratio", _sector("real-world-assets-rwa", "2025-10-21")),
    Figure("S14", "best and worst sector apart", "over", 0.4, "ratio", lambda a: a.highest("BasketsApart")),
    Figure("S15", "memecoins before", "about", 44.0e9, "USD", lambda _: MEMES(at(READING))),
    Figure("S15", "memecoins a day later", "about", 39.4e9, "USD", lambda _: MEMES(at("2025-11-21T12:00"))),
    Figure("S15", "memecoins lost in 24 hours, in round figures", "about", -5e9, "USD", lambda _: MEMES(at("2025-11-21T12:00")) - MEMES(at(READING)), 0.1),
    Figure("S15", "memecoins from their peak", "about", -0.66, "ratio", lambda _: _ratio(MEMES, "2025-01-01", "2025-11-21T12:00")),
    Figure("S16", "BTC at its peak", "over", 126_000, "price", lambda a: a.price("BTC", PEAK)),
    Figure("S16", "BTC from its peak", "under", -0.2, "ratio", lambda a: a.moved("BTC", PEAK, END)),
    Figure("S17", "BTC at its low", "about", 82_000, "price", lambda a: a.price("BTC", LOW), 0.005),
    Figure("S19", "BTC in the month, to the 24th", "about", -0.169, "ratio", lambda a: a.moved("BTC", "2025-10-31T23:00", END), 0.06),
    Figure("S19", "ETH in the month, to the 24th", "about", -0.215, "ratio", lambda a: a.moved("ETH", "2025-10-31T23:00", END),
           why="ether moves 1.7 times as far as Bitcoin through the sell-off, and the scenario ends before the month does"),
    Figure("S19", "ETH while BTC loses 4.0 %", "about", -0.111, "ratio", lambda _: math.nan,
           why="the catalogue does not say over which days; the day of the sell-off has ETH 6 points behind BTC"),
    Figure("S20", "share of coins that fall", "over", 0.8, "ratio", lambda a: a.highest("EverythingFalls")),
    Figure("S21", "of five risk assets below -1 % in a day", "over", 3, "number", lambda a: a.highest("RiskAssetsFallTogether")),
    Figure("S22", "BTC funds in one session", "about", -900e6, "USD", lambda a: a.lowest("EtfOutflowDay")),
    Figure("S22", "one fund on 19 November", "about", -523e6, "USD", lambda a: a.lowest("EtfOutflowOfOneFund")),
    Figure("S22", "BTC funds in November", "about", -3.48e9, "USD", _flows("BTC", "2025-11-01"), 0.03),
    Figure("S22", "ETH funds in November", "about", -1.42e9, "USD", _flows("ETH", "2025-11-01"),
           why="the figure is of the whole month; sessions after 21 November, with money coming back, are not in the scenario"),
    Figure("S23", "stablecoins on 24 November", "about", 303e9, "USD", lambda _: slow.STABLECOIN_SUPPLY(at(END))),
    Figure("S23", "stablecoins in 30 days, in USD", "about", -4.54e9, "USD", lambda _: slow.STABLECOIN_SUPPLY(at("2025-11-24")) - slow.STABLECOIN_SUPPLY(at("2025-10-25"))),
    Figure("S23", "stablecoins in 30 days", "about", -0.0148, "ratio", lambda a: a.lowest("StablecoinSupplyContracts")),
    Figure("S24", "largest distance from the peg on spot pairs", "under", 0.005, "ratio", lambda a: a.highest("StablecoinLargestDistance")),
    Figure("S25", "Tether's share of spot turnover", "over", 0.75, "ratio", lambda a: a.highest("TetherShareOfSpotVolume")),
    Figure("S26", "25-delta skew, put less call", "over", 0, "vol points", lambda a: a.highest("SkewSharplyPositive")),
    Figure("S27", "value locked in DeFi in October", "about", 178e9, "USD", lambda _: slow.TVL(at("2025-10-06"))),
    Figure("S27", "value locked in DeFi in November", "about", 115e9, "USD", lambda _: slow.TVL(at("2025-11-24"))),
    Figure("S27", "value locked in DeFi in the week to 9 November", "about", -0.1245, "ratio", lambda _: _ratio(slow.TVL, "2025-11-02", "2025-11-09")),
    Figure("S28", "one protocol's loss on 3 November", "under", -120e6, "USD", lambda _: slow.PROTOCOLS["balancer"](at("2025-11-03T12:00")) - slow.PROTOCOLS["balancer"](at("2025-11-03"))),
    Figure("S28", "the same within 24 hours", "under", -0.3, "ratio", lambda a: a.lowest("ProtocolDrained")),
    Figure("S29", "NFT market value in October", "about", 4.9e9, "USD", lambda _: NFT(at("2025-10-21"))),
    Figure("S29", "NFT market value in November", "under", 3.0e9, "USD", lambda _: NFT(at("2025-11-21T08:00"))),
    Figure("S30", "depth against its week, in standard deviations", "under", -2, "number", lambda a: a.lowest("DepthThin")),
    Figure("S32", "loss of one holder of ether at the low", "under", -4e9, "USD", _loss_of_the_ether_fund),
    Figure("S33", "trading days below 1.00", "over", 29, "number", lambda a: a.highest("DelistingStreak")),
    Figure("S34", "chance of a December cut", "about", 0.3, "ratio", lambda a: a.lowest("RateCutUnlikely"), 0.05),
    Figure("S35", "a dormant holding moves", "over", 500e6, "USD", lambda a: a.highest("LargeHoldingMoves")),
    Figure("S36", "signs of the cascade at once", "over", 3, "number", lambda a: a.highest("CascadeComplete")),
    Figure("S37", "leverage in a week: falling", "under", 0, "ratio", lambda a: a.lowest("LeverageLeavesTheMarket")),
)  # fmt: skip
"""In the order of the catalogue. S18 and S31 name no figure."""


def table(autumn: Autumn) -> list[str]:
    """All figures as a Markdown table."""
    lines = ["| signal | figure | said | here |", "| --- | --- | --- | --- |"]
    for figure in FIGURES:
        here = figure.text(figure.given(autumn))
        here = f"**not reached**, {here}: {figure.why}" if figure.why else here
        lines.append(f"| {figure.row} | {figure.said} | {figure.wanted_text()} | {here} |")
    return lines
