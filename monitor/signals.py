"""The signal catalogue: what a risk desk wished it had watched in November 2025, and where each signal is found here.

One row says where its number comes from, which series carries it, which rules watch it (each has unit tests under
``rules/tests``), which metric carries it, and which panel shows that. A test fails when a row lacks any of these, and
another when the running demo does not export it. ``docs/signals.md`` is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitor.reading import TRUE, UNKNOWN, Evaluation

METRIC = "market_signal_value"
InputKind = Literal["feeds", "source", "inlet", "derived", "own state"]

ALL_PANEL = ("slow-signals", "Signals now")
"""Shows every row that has no panel of its own, and those that have one."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One row of the catalogue.

    Attributes:
        id: S01 and so on; a metric label.
        title: What it is, in a line.
        input: Kind of input, and which one: channels, the name of a source, what to push in.
        series: Series that carry it.
        rules: Names of its alert rules, the one whose value stands for the signal first.
        unit: Of that value.
        needs: What to configure while it is absent.
        panel: Dashboard file and panel title.
        note: What its number does not say.
        metric: Its own, where it has more to show than one number; the panel asks for it.
        test: File in ``rules/tests`` that holds the rule named first.
    """

    id: str
    title: str
    input: tuple[InputKind, str]
    series: tuple[str, ...]
    rules: tuple[str, ...]
    unit: str
    needs: str
    panel: tuple[str, str] = ALL_PANEL
    note: str = ""
    metric: str = METRIC
    test: str = ""


@dataclass(frozen=True, slots=True)
class SignalReading:
    """A signal now. ``value`` is NaN and ``absent`` says why where there is none."""

    signal: Signal
    value: float
    coverage: float
    as_of_ns: int
    absent: str = ""


def _board(title: str) -> tuple[str, str]:
    return ("market-risk", title)


FEEDS = "feeds: with the channels "
COINGECKO = "sources: [{type: coingecko}]"
LLAMA = "sources: [{type: defillama}]"
CANDLES = FEEDS + "price, and sources: [{type: candles}] for history before the start"

SIGNALS: tuple[Signal, ...] = (
    Signal("S01", "Total market value below 3T", ("source", "coingecko"), ("market_cap",), ("MarketCapBelow3T", "MarketCapCrosses3T", "MarketCapSinceCrossing"), "USD", COINGECKO, test="limits_1h.yaml"),
    Signal("S02", "Total market value from its peak", ("source", "coingecko"), ("market_cap",), ("MarketCapFromPeak", "MarketCapTrillionFromPeak"), "ratio", COINGECKO, note="The peak is the highest value that was seen or backfilled.", test="limits_1h.yaml"),
    Signal("S03", "Funding negative, and for how long", ("feeds", "funding, open_interest"), ("funding_8h", "open_interest"), ("FundingNegativeFor8h", "FundingFlippedNegative", "FundingNegativeForDays"), "ratio", FEEDS + "funding, open_interest", _board("Funding, weighted by open interest"), metric="market_funding_rate_8h_ratio", test="funding.yaml"),
    Signal("S04", "Accounts net short", ("source", "ratios"), ("long_short_ratio",), ("AccountsNetShort", "LongsDominateLiquidations"), "number", "sources: [{type: ratios}]", test="breadth.yaml"),
    Signal("S05", "Liquidated in a day and in an hour", ("feeds", "liquidations"), ("liquidations",), ("LiquidationsDay", "LiquidationsOver1BillionPerHour", "VenueLiquidations", "CoinLiquidations"), "USD", FEEDS + "liquidations", _board("Liquidated, 24 h"), "Reported only: venues that sample make it a lower bound, and public trackers see more venues.", "market_liquidations_window_usd", test="limits_5m.yaml"),
    Signal("S06", "Longs liquidated within hours", ("feeds", "liquidations"), ("liquidations",), ("LongLiquidations", "LongsDominateLiquidations"), "USD", FEEDS + "liquidations", _board("Liquidated, 4 h"), "As S05.", "market_liquidations_window_usd", test="limits_5m.yaml"),
    Signal("S07", "Number of liquidations in a day", ("feeds", "liquidations"), ("liquidations",), ("LiquidationCount",), "count", FEEDS + "liquidations", note="Events, not accounts, and not all are published: a lower bound.", test="liquidations.yaml"),
    Signal("S08", "Open interest of the whole market from its peak", ("feeds", "open_interest"), ("open_interest",), ("MarketOpenInterestFromPeak",), "ratio", FEEDS + "open_interest", _board("Open interest"), "Of the configured venues.", "market_open_interest_usd", test="limits_1h.yaml"),
    Signal("S09", "Open interest of one coin from its peak", ("feeds", "open_interest"), ("open_interest",), ("OpenInterestFromPeak", "OpenInterestDownAThirdInAMonth", "OpenInterestFalling"), "ratio", FEEDS + "open_interest", _board("Open interest by coin"), metric="market_open_interest_usd", test="limits_1h.yaml"),
    Signal("S10", "Spot share of volume", ("feeds", "trades"), ("trades",), ("SpotShareOfVolumeLow", "SpotShareRises"), "ratio", FEEDS + "trades, spot venues among them", test="limits_5m.yaml"),
    Signal("S11", "Realized volatility of a week", ("feeds", "price"), ("price",), ("RealizedVolatility",), "vol points", CANDLES, note="Hourly returns; the commentary does not say which it used.", test="limits_1h.yaml"),
    Signal("S12", "Correlation inside and between bands of ranks", ("derived", "bands"), ("band_correlation",), ("LargeCoinsMoveAsOne", "SmallCoinsDecouple"), "number", "sources: coingecko (ranks) and candles (closes)", test="breadth.yaml"),
    Signal("S13", "Sector baskets over a day, a week and a month", ("derived", "baskets"), ("basket",), ("BasketWeek", "BasketDay", "BasketMonth", "BestBasket", "WorstBasket", "BasketLagsDay", "BasketLagsWeek", "BasketLagsMonth"), "ratio", "derived: baskets, and feeds with price for their coins", ("slow-signals", "Baskets"), metric="monitor_rule_value", test="breadth.yaml"),
    Signal("S14", "Distance between the best and the worst basket", ("derived", "baskets"), ("basket",), ("BasketsApart", "BasketDispersion"), "ratio", "as S13", test="breadth.yaml"),
    Signal("S15", "A sector loses billions in a day", ("source", "coingecko"), ("sector_cap",), ("SectorLosesBillions", "SectorFromPeak"), "USD", COINGECKO, note="Sectors overlap and are never summed.", test="limits_1h.yaml"),
    Signal("S16", "Price from its peak of a year", ("feeds", "price"), ("price",), ("DrawdownFromYearHigh",), "ratio", CANDLES, note="Backfilled days count by their close, not by their high.", test="limits_6h.yaml"),
    Signal("S17", "Bitcoin below a level", ("feeds", "price"), ("price",), ("BtcBelow82k",), "price", FEEDS + "price", _board("Price"), metric="market_price_usd", test="limits_1m.yaml"),
    Signal("S18", "Price below its 200-day average", ("feeds", "price"), ("price",), ("BelowMovingAverage200d",), "price", CANDLES, test="limits_6h.yaml"),
    Signal("S19", "Fall of a coin over a window", ("feeds", "price"), ("price",), ("PriceFallDay", "PriceFall", "PriceFallMonth"), "ratio", CANDLES, test="limits_1h.yaml"),
    Signal("S20", "Relative strength and breadth", ("feeds", "price"), ("price",), ("EthWeakerThanBtc", "MostCoinsFall", "EverythingFalls", "BasketLagsWeek"), "ratio", FEEDS + 'price, symbols: "*"', test="breadth.yaml"),
    Signal("S21", "Stocks, gold and crypto fall together", ("inlet", "spx, gold, csi300, hsi"), ("external", "price"), ("RiskAssetsFallTogether", "BtcFollowsStocks", "BtcAmplifiesStocks"), "count", "inlets: push spx, gold, csi300 and hsi", test="limits_1h.yaml"),
    Signal("S22", "Flows of spot funds", ("source", "sosovalue"), ("etf_flow", "etf_flow_month"), ("EtfOutflowDay", "EthEtfOutflowDay", "EtfOutflowOfOneFund", "EtfOutflowFiveDays", "EtfOutflowMonthToDate", "EtfOutflowMonth", "EtfOutflowRecord"), "USD", "sources: [{type: sosovalue, key: ...}], or push etf_flow rows", note="One number per trading day, revised later. Single funds come through the inlet.", test="etf_flows.yaml"),
    Signal("S23", "Stablecoin supply in a month", ("source", "defillama"), ("stablecoin_supply",), ("StablecoinSupplyContracts",), "ratio", LLAMA, test="limits_6h.yaml"),
    Signal("S24", "Stablecoins off their peg", ("source", "defillama"), ("stablecoin_price", "price"), ("StablecoinOffPeg", "StablecoinOffPegOnSpot", "StablecoinLargestDistance"), "price", LLAMA + ", and feeds with price of spot pairs such as USDT/USD", test="limits_5m.yaml"),
    Signal("S25", "Tether's share of spot volume", ("feeds", "trades"), ("trades",), ("TetherShareOfSpotVolume",), "ratio", FEEDS + "trades, spot venues with several quote currencies", note="Of the configured venues.", test="limits_5m.yaml"),
    Signal("S26", "25-delta skew and implied volatility", ("source", "deribit_options"), ("skew_25d", "iv"), ("SkewRising", "SkewTurnsToPuts", "SkewSharplyPositive", "ImpliedVolatilityHigh", "VolatilityIndexHigh", "VolatilityInverted"), "vol points", "sources: [{type: deribit_options}]", note="Put less call; forward deltas with r = 0. The index is the deribit feed's.", test="limits_5m.yaml"),
    Signal("S27", "Value locked in DeFi in a week", ("source", "defillama"), ("tvl",), ("TvlWeek", "TvlFromPeak", "ChainTvlWeek"), "ratio", LLAMA, note="In dollars: falls with prices too.", test="defi.yaml"),
    Signal("S28", "One protocol drained", ("source", "defillama"), ("tvl",), ("ProtocolDrained",), "ratio", LLAMA, note="The largest protocols, and those named in the source's settings.", test="defi.yaml"),
    Signal("S29", "A sector's month", ("source", "coingecko"), ("sector_cap",), ("SectorMonth",), "ratio", COINGECKO, test="limits_6h.yaml"),
    Signal("S30", "Thin order books", ("feeds", "depth"), ("depth", "spread"), ("DepthThin", "SpreadWide"), "number", FEEDS + "depth", test="breadth_depth.yaml"),
    Signal("S31", "Venues that are silent", ("own state", "feed health"), ("feed_up",), ("FeedDown", "SeveralVenuesDown", "NoPrices"), "number", "any feed", ("feeds-and-engine", "Feeds"), metric="monitor_feed_up", test="venues.yaml"),
    Signal("S32", "Treasury companies under water", ("derived", "treasuries"), ("treasury_pnl", "treasury_distance"), ("TreasuryLoss", "TreasuryUnderWater", "TreasuryNearCost"), "USD", "derived: treasuries, and feeds with price for their coins", ("slow-signals", "Treasuries"), metric="monitor_rule_value", test="limits_5m.yaml"),
    Signal("S33", "Listed company under a dollar", ("derived", "streaks"), ("streak",), ("DelistingStreak",), "count", "derived: streaks, and push the company's closes", test="limits_6h.yaml"),
    Signal("S34", "Macro: prints, probabilities, the yen", ("inlet", "fed_cut_probability, surprise_*, usdjpy, jgb_10y"), ("external",), ("RateCutUnlikely", "MacroSurprise", "YenMoves", "JapaneseYieldsRise"), "ratio", "inlets: push fed_cut_probability, surprise_*, usdjpy and jgb_10y", test="limits_1h.yaml"),
    Signal("S35", "Large seized or dormant holdings move", ("inlet", "moved_btc"), ("external", "price"), ("LargeHoldingMoves",), "USD", "inlets: push moved_btc, in coins", test="limits_1h.yaml"),
    Signal("S36", "A leverage cascade", ("feeds", "price, liquidations, open_interest, depth"), ("price", "liquidations", "open_interest", "depth"), ("CascadeComplete", "CascadeInSequence", "LeverageCascade", "StressRegime"), "count", FEEDS + "price, liquidations, open_interest, depth", test="composite.yaml"),
    Signal("S37", "Leverage in the system", ("source", "coingecko"), ("open_interest", "market_cap", "leverage_ratio"), ("LeverageLeavesTheMarket",), "ratio", COINGECKO + ", and feeds with open_interest", note="Open interest of the configured venues only, each compared with itself a week ago. Market value has no free history: on a fresh start the first answer takes a week.", test="limits_1h.yaml"),
)  # fmt: skip
"""Every row, in order."""


def readings(evaluations: Iterable[Evaluation], signals: Iterable[Signal] = SIGNALS) -> list[SignalReading]:
    """The signals now, out of the rules' newest evaluations.

    The value is that of the signal's first rule: of the true row farthest beyond its threshold, else of the row nearest to it.
    """
    by_name = {evaluation.rule.rpartition("/")[2]: evaluation for evaluation in evaluations}
    return [_reading(signal, by_name) for signal in signals]


def _reading(signal: Signal, by_name: Mapping[str, Evaluation]) -> SignalReading:
    first = by_name.get(signal.rules[0])
    if first is None:
        return SignalReading(signal, float("nan"), 0.0, 0, f"rule {signal.rules[0]} is not loaded")
    row = _row(first)
    if row is None:
        return SignalReading(signal, float("nan"), 0.0, first.at_ns, f"no data; configure {signal.needs}")
    return SignalReading(signal, float(first.value[row]), float(first.coverage[row]), first.at_ns)


def _row(evaluation: Evaluation) -> int | None:
    known = np.isfinite(evaluation.value)
    if not known.any():
        return None
    distance = np.abs(evaluation.value - np.nan_to_num(evaluation.threshold))
    distance = np.where(evaluation.truth == TRUE, -distance, distance)
    rank = np.where(evaluation.truth == TRUE, 0, np.where(evaluation.truth == UNKNOWN, 2, 1))
    order = np.lexsort((np.where(known, distance, np.inf), rank, ~known))
    return int(order[0])


HEAD = """# Signals

What a risk desk wished it had watched in November 2025, row by row. Generated from `monitor/signals.py` by
`python scripts/gen_signals.py`; do not edit this page. A running monitor shows the same table with its values:
`python -m monitor signals`.

A signal whose input is not configured is shown as absent, with what to configure: nothing is made up. Where the
first rule of a row has many (a coin each), the value is the one farthest beyond the threshold, else the nearest to it. Every value is
exposed as `market_signal_value{id="..."}`, whatever other metric a row has, and every rule's, by its labels, as
`monitor_rule_value{alert="..."}`. Thresholds are the
figures of the commentaries on that month; calibrate them to your own coverage, because public trackers see more venues
than public feeds show.

**Coverage** says how much of a window was seen. What comes from exchanges is covered where its feed was live, and where the
venue's [history](history.md) was fetched. What comes from a source is covered where that source was live, and where its own
chart says what a value was: a point of the past stands until the series would call it stale (`docs/rules.md`), so a hole in
a chart stays a hole, and the chart of a total says nothing of its parts. What you push in, and what is derived here, has no
health to fall short of: when it stops, it goes stale. Of liquidations, trades and depth no venue keeps a history for
everyone, so a day of them takes a day; until then the value is shown with its low coverage, and the rule is held.
`FIRING` is an alert that fires, not a condition that is true on too little data.

The pack is played against a synthetic November 2025 in `tests/testing/test_november.py`, which says of every rule in which
hour of the sell-off it fires, or why it does not. [November 2025](november.md) is the report of a backtest over the whole
autumn, against the timeline. Your own series takes a line: see [the inlet](inlet.md).

"""


def markdown(tests: Mapping[str, str]) -> str:
    """The page. `tests` says for each rule which test file covers it."""
    lines = [
        HEAD + "| id | signal | input | series | rules | test | metric | panel |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for signal in SIGNALS:
        files = dict.fromkeys(tests[rule] for rule in signal.rules)
        lines.append(
            f"| {signal.id} | {signal.title} | {signal.input[0]}: {signal.input[1]} | {_code(signal.series)} "
            f"| {_code(signal.rules)} | {_code(files)} | {_metric(signal)} | {signal.panel[0]}: {signal.panel[1]} |"
        )
    lines += ["", "## What to configure, and what a number does not say", ""]
    for signal in SIGNALS:
        lines.append(f"- **{signal.id}** needs `{signal.needs}`." + (f" {signal.note}" if signal.note else ""))
    return "\n".join([*lines, ""])


def _metric(signal: Signal) -> str:
    match signal.metric:
        case name if name == METRIC:
            return f'`{name}{{id="{signal.id}"}}`'
        case "monitor_rule_value":
            return f'`monitor_rule_value{{alert="{signal.rules[0]}"}}`'
        case name:
            return f"`{name}`"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
