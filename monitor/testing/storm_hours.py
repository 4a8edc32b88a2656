"""In which hour of the synthetic sell-off each rule of the pack must fire, and what the timeline has there. Data only.

The times are UTC in November 2025. A rule that is not in `HOURS` is in `SILENT`, with the reason.
"""

from __future__ import annotations

HOURS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("20T12", "the weeks before: the fall from 6 October, sectors, stablecoins, outflows, an invented company under a dollar", (
        "MarketCapFromPeak", "MarketCapTrillionFromPeak", "SectorMonth", "TvlFromPeak", "DrawdownFromYearHigh", "PriceFallMonth",
        "StablecoinSupplyContracts", "EtfOutflowOfOneFund", "EtfOutflowFiveDays", "EtfOutflowMonth", "EtfOutflowMonthToDate",
        "BasketWeek", "BasketMonth", "WorstBasket", "BasketLagsWeek", "BasketsApart", "LargeCoinsMoveAsOne", "SmallCoinsDecouple",
        "DelistingStreak", "TreasuryNearCost", "BtcAmplifiesStocks",
    )),
    ("20T13", "a print of jobs beyond its expectation at 13:30; what must hold for an hour has", (
        "MacroSurprise", "BasketLagsMonth", "SpotShareOfVolumeLow", "TetherShareOfSpotVolume", "MajorsMoveAsOne",
    )),
    ("20T17", "chance of a December cut under 30 %; BTC under 89,000 in the New York session", (
        "RateCutUnlikely", "TreasuryLoss", "BasketDay",
    )),
    ("20T18", "US stocks, gold and crypto plunge together; an invented lender is drained", ("RiskAssetsFallTogether", "ProtocolDrained")),
    ("20T20", "-10 % in a day of the first coins", ("PriceFallDay",)),
    ("20T22", "Japanese yields rise", ("JapaneseYieldsRise",)),
    ("20T23", "five coins of six are down more than 5 % in a day", ("BasketLagsDay", "EverythingFalls")),
    ("21T00", "the session's flows are published: -903M and -262M; sectors scatter", (
        "EtfOutflowDay", "EthEtfOutflowDay", "BasketDispersion",
    )),
    ("21T01", "open interest down 10 % in a day", ("OpenInterestFalling",)),
    ("21T03", "total cap under 3T", ("MarketCapBelow3T", "MarketCapCrosses3T", "MarketCapSinceCrossing")),
    ("21T04", "skew turns sharply positive, near expiries dearest; four signs of stress", (
        "StressRegime", "SkewSharplyPositive", "VolatilityInverted",
    )),
    ("21T05", "accounts net short; 7,200 BTC leave an old wallet", ("AccountsNetShort", "SkewRising", "LargeHoldingMoves")),
    ("21T06", "the hour before: liquidations beyond their week, books thin out, funding turns in the smaller coins", (
        "LiquidationsUnusual", "ImpliedVolatilityHigh", "VolatilityIndexHigh", "DepthThin", "FundingFlippedNegative", "EthWeakerThanBtc",
    )),
    ("21T07", "the cascade: BTC 85,400 to 81,800, 1.33B liquidated in the hour, 36.78M in one order, open interest down a fifth", (
        "FallThenLiquidations", "CoinLiquidations", "MostCoinsFall", "LongsDominateLiquidations", "LeverageCascade", "CascadeInSequence",
        "CascadeComplete", "LeverageLeavesTheMarket", "BtcBelow82k", "PriceFall", "PerpBelowIndex", "LargeSingleLiquidation",
        "LiquidationsOver1BillionPerHour", "VenueLiquidations", "LiquidationCount", "OpenInterestFromPeak",
        "OpenInterestDownAThirdInAMonth", "MarketOpenInterestFromPeak", "TreasuryUnderWater", "BestBasket",
    )),
    ("21T08", "2.0B in a day is passed; memecoins near 39.4B; the yen jumps; stocks fell along", (
        "LiquidationsDay", "SectorLosesBillions", "YenMoves", "BtcFollowsStocks",
    )),
    ("21T09", "1.9B of longs within four hours; 7-day volatility passes 50", ("LongLiquidations", "RealizedVolatility")),
)  # fmt: skip

SILENT: dict[str, str] = {
    "EtfOutflowRecord": "true at 00:15, but held: 300 days of flows are not known here",
    "FundingNegativeFor8h": "pending from 06:45; it fires in the afternoon",
    "FundingNegativeForDays": "fires on 24 November",
    "SpotShareRises": "fires on 22 November, when the day's share is above the week's",
    "TvlWeek": "happened in the week to 9 November",
    "BelowMovingAverage200d": "happened in October",
    "SectorFromPeak": "memecoins pass -66 % after noon",
    "SkewTurnsToPuts": "happened on 3 November",
    "StablecoinOffPeg": "the pegs held",
    "StablecoinOffPegOnSpot": "the pegs held",
    "StablecoinLargestDistance": "the pegs held",
    "FeedDown": "no infrastructure failure: large exchanges stayed online",
    "SeveralVenuesDown": "no infrastructure failure",
    "NoPrices": "no infrastructure failure",
    "VenuePriceApart": "the one venue whose price broke away is none of these",
    "FundingOverheated": "nobody paid to be long",
    "FundingVenuesDisagree": "funding moved together",
    "OpenInterestConcentrated": "no venue holds three quarters",
    "ChainTvlWeek": "all chains fell with the market",
    "SpreadWide": "majors stay within a few basis points",
}
"""Rules that do not fire up to noon of 21 November, and why."""
