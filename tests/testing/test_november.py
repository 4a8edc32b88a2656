"""The rule pack over the whole synthetic sell-off: what fires, and when; and every signal has a value.

Everything that the demo has but the sockets: feeds, what the services answer, what is pushed in, derived series, and
three months that the monitor remembers. Synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.derived.desk import DerivedDesk, read_derived
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, FeedState, MarketEvent, Sample
from monitor.inlets.rows import read_payload
from monitor.language.rules import load_rules
from monitor.reading import TRUE
from monitor.signals import SignalReading, readings
from monitor.source import Novelty, Source, SourceOptions
from monitor.sources import SOURCES, make_source
from monitor.testing.demo_slow import DERIVED, DESK_NS, pushed, remembered, table
from monitor.testing.scenario import BASES, INSTRUMENTS, START_NS, Scenario, instruments_of
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, MINUTE_NS, at
from monitor.testing.scenario.slow import index_samples
from monitor.testing.scenario.tail import CHARTED
from monitor.testing.sources import SlowMarket

RULES = Path(__file__).resolve().parents[2] / "rules"
DEEP = {"BTC", "ETH", "SOL", "XRP", "DOGE", "ZEC"}
"""Traded on every venue; the other coins on two, which is enough for baskets and breadth."""
STEP_NS = 5 * MINUTE_NS
NIGHT_NS, NOON_NS = at("2025-11-21T00:00"), at("2025-11-21T12:00")
START = "20T12"
"""What was true before the scenario began is true at its first evaluation."""

HOURS = {
    START: (
        "MarketCapFromPeak", "MarketCapTrillionFromPeak", "SectorMonth", "TvlFromPeak", "DrawdownFromYearHigh",
        "PriceFallMonth", "StablecoinSupplyContracts", "EtfOutflowOfOneFund", "EtfOutflowFiveDays", "EtfOutflowMonth",
        "EtfOutflowMonthToDate", "BasketWeek", "BasketMonth", "BestBasket", "WorstBasket", "BasketLagsWeek",
        "BasketsApart", "LargeCoinsMoveAsOne", "SmallCoinsDecouple", "DelistingStreak",
        "TreasuryNearCost", "SpotShareOfVolumeLow", "TetherShareOfSpotVolume", "MajorsMoveAsOne", "RealizedVolatility",
    ),
    "20T13": ("MacroSurprise", "BasketLagsMonth"),
    "20T17": ("RiskAssetsFallTogether", "RateCutUnlikely", "TreasuryLoss", "BasketDay"),
    "20T18": ("ProtocolDrained", "BtcAmplifiesStocks"),
    "20T20": ("PriceFallDay",),
    "20T22": ("JapaneseYieldsRise", "BasketDispersion"),
    "20T23": ("BasketLagsDay", "EverythingFalls"),
    "21T00": ("EtfOutflowDay", "EthEtfOutflowDay", "EtfOutflowRecord"),
    "21T01": ("OpenInterestFalling",),
    "21T03": ("MarketCapBelow3T", "MarketCapCrosses3T", "MarketCapSinceCrossing"),
    "21T04": ("StressRegime", "SkewSharplyPositive", "AccountsNetShort"),
    "21T05": ("SkewRising", "LargeHoldingMoves", "VolatilityInverted"),
    "21T06": ("FundingFlippedNegative", "FundingNegativeFor8h", "ImpliedVolatilityHigh", "EthWeakerThanBtc"),
    "21T07": (
        "FallThenLiquidations", "CoinLiquidations", "MostCoinsFall", "LongsDominateLiquidations", "LeverageCascade",
        "CascadeInSequence", "CascadeComplete", "LeverageLeavesTheMarket", "BtcBelow82k", "PriceFall", "PerpBelowIndex",
        "LiquidationsOver1BillionPerHour", "VenueLiquidations", "LiquidationCount", "OpenInterestFromPeak",
        "OpenInterestDownAThirdInAMonth", "MarketOpenInterestFromPeak", "TreasuryUnderWater",
    ),
    "21T08": ("LiquidationsDay", "SectorLosesBillions", "YenMoves"),
    "21T09": ("LongLiquidations",),
}  # fmt: skip
"""In which hour of November 2025 each condition is first true."""

YOUNG = {"DepthThin", "LiquidationsUnusual"}
"""They measure against a week of their own, of which no venue keeps a history: here they have seen hours."""

QUIET = {
    "StablecoinOffPeg", "StablecoinOffPegOnSpot", "StablecoinLargestDistance", "FeedDown", "SeveralVenuesDown",
    "NoPrices", "VenuePriceApart", "FundingOverheated", "FundingVenuesDisagree", "OpenInterestConcentrated",
    "ChainTvlWeek", "SpreadWide",
}  # fmt: skip
"""The pegs held, no large venue failed, nobody paid to be long."""

EARLIER = {"TvlWeek", "BelowMovingAverage200d", "SectorFromPeak", "SkewTurnsToPuts"}
"""Happened in the weeks before: early in November."""

LATER = {"FundingNegativeForDays", "SpotShareRises"}
"""Takes days that come after these."""

OUTSIDE = {"BtcFollowsStocks", "LargeSingleLiquidation", "VolatilityIndexHigh"}
"""Stocks stand still between two closes here; no single order is as large; no venue of these has a volatility index."""


class Services:
    """All slow sources against their stand-ins, without HTTP."""

    def __init__(self, scenario: Scenario) -> None:
        self._market = SlowMarket(scenario)
        settings = {"candles": {"bases": [*BASES, *CHARTED]}}
        self._sources = [
            make_source(name, SourceOptions(url="http://x", key="k", extra=settings.get(name, {}))) for name in SOURCES
        ]
        self._novelty = Novelty(keep=3000)
        self._due: dict[tuple[str, str], int] = {}

    def polled(self, now_ns: int) -> list[MarketEvent]:
        return self._novelty.new(event for source in self._sources for event in self._asked(source, now_ns))

    def _asked(self, source: Source, now_ns: int) -> list[MarketEvent]:
        found: list[MarketEvent] = []
        for poll in source.polls(now_ns):
            key = source.spec.name, poll.request.name
            if self._due.get(key, 0) <= now_ns:
                self._due[key] = now_ns + int(poll.every_s * 1e9)
                url = urlsplit(poll.request.url)
                _, body = self._market.answer(url.path, dict(parse_qsl(url.query)), poll.request.body or b"", now_ns)
                found += source.parse(poll.request, body, now_ns)
        return found


@dataclass
class Played:
    """What was seen in 36 market hours: when each rule's condition was first true, and the signals at noon."""

    first_true: dict[str, int] = field(default_factory=dict)
    at_noon: list[SignalReading] = field(default_factory=list)


def inlet(scenario: Scenario, from_ns: int, to_ns: int) -> list[Sample]:
    """What is pushed in between two instants."""
    rows = [row for row in pushed(max(from_ns, START_NS - DESK_NS), to_ns, scenario) if from_ns < row[0]]
    reading = read_payload(table(rows).encode(), "csv", to_ns)
    assert not reading.refused
    return [row.sample for row in reading.rows]


@pytest.fixture(scope="module")
def played() -> Played:
    """The pack up to noon, in steps of five minutes; of a quarter of an hour in the slow first night."""
    listed = INSTRUMENTS + instruments_of("binance_spot", "coinbase")
    instruments = [i for i in listed if i.base in {*DEEP, "USDC", "USDT"} or i.venue in {"bybit", "okx"}]
    scenario = Scenario(7, instruments, resolution_s=30)
    services, desk = Services(scenario), DerivedDesk(read_derived(DERIVED))
    files = [(path.name, path.read_text()) for path in sorted(RULES.glob("*.yaml"))]
    engine = Engine(load_rules(files), expected={}, settings=EngineSettings(lateness_ns=30 * MINUTE_NS))
    up = [FeedState(v, c, True, START_NS - 60 * DAY_NS) for v in {"deribit", *(i.venue for i in instruments)} for c in Channel]
    up += [FeedState(name, Channel.REFERENCE, True, START_NS) for name in SOURCES]
    fine = scenario.past(START_NS - 25 * HOUR_NS, START_NS, 5 * MINUTE_NS)
    past = [*scenario.history(50), *fine, *remembered(scenario, START_NS, desk.baskets), *inlet(scenario, 0, START_NS)]
    engine.ingest([*up, *past, *desk.take(inlet(scenario, 0, START_NS))])
    seen = Played()
    steps = [*range(START_NS, NIGHT_NS, 3 * STEP_NS), *range(NIGHT_NS, NOON_NS + STEP_NS, STEP_NS)]
    for before_ns, now_ns in pairwise(steps):
        events = [
            *scenario.events(before_ns, now_ns),
            *index_samples(before_ns, now_ns, MINUTE_NS),
            *services.polled(now_ns),
            *inlet(scenario, before_ns, now_ns),
        ]
        engine.ingest([*events, *desk.take(events), *desk.tick(now_ns)])
        for evaluation in engine.evaluate(now_ns):
            if (evaluation.truth == TRUE).any():
                seen.first_true.setdefault(evaluation.rule.rpartition("/")[2], now_ns)
    newest = [engine.latest(rule.id) for rule in engine.ruleset.alerts]
    seen.at_noon = readings(one for one in newest if one is not None)
    return seen


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("hour", "rule"), [(hour, rule) for hour, rules in HOURS.items() for rule in rules])
def test_the_pack_fires_in_the_hour_of_the_timeline(played: Played, hour: str, rule: str) -> None:
    assert rule in played.first_true
    begins_ns = at(f"2025-11-{hour}:00")
    assert begins_ns <= played.first_true[rule] < begins_ns + HOUR_NS


@pytest.mark.timeout(300)
def test_what_did_not_happen_does_not_fire(played: Played) -> None:
    named = {rule for rules in HOURS.values() for rule in rules}
    assert set(played.first_true) - YOUNG == named
    known = {rule.name for rule in load_rules([(p.name, p.read_text()) for p in RULES.glob("*.yaml")]).alerts}
    assert known == named | YOUNG | QUIET | EARLIER | LATER | OUTSIDE, (
        "say of every rule of the pack when it fires, or why not"
    )


@pytest.mark.timeout(300)
def test_every_signal_has_a_value(played: Played) -> None:
    assert len(played.at_noon) == 37
    assert {row.signal.id: row.absent for row in played.at_noon if row.absent} == {}
