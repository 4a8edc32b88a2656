"""The rule pack over the whole synthetic sell-off: what fires, and when. Slow: it plays 36 market hours."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.derived.desk import DerivedDesk, read_derived
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, FeedState, MarketEvent
from monitor.language.rules import load_rules
from monitor.reading import TRUE
from monitor.source import Novelty, Source, SourceOptions
from monitor.sources import SOURCES, make_source
from monitor.testing.scenario import END_NS, INSTRUMENTS, START_NS, Scenario, instruments_of
from monitor.testing.scenario.curves import DAY_NS, MINUTE_NS, at
from monitor.testing.scenario.slow import slow_samples
from monitor.testing.sources import SlowMarket

RULES = Path(__file__).resolve().parents[2] / "rules"
COINS = {"BTC", "ETH", "SOL", "XRP", "DOGE", "ZEC"}


class Services:
    """All slow sources against their stand-ins, without HTTP."""

    def __init__(self, scenario: Scenario) -> None:
        self._market = SlowMarket(scenario)
        self._sources = [make_source(name, SourceOptions(url="http://x", key="k")) for name in SOURCES]
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


@pytest.fixture(scope="module")
def first_true() -> dict[str, int]:
    """When each rule's condition was first true, to the minute."""
    instruments = [i for i in INSTRUMENTS + instruments_of("binance_spot", "coinbase") if i.base in COINS]
    scenario = Scenario(7, instruments, resolution_s=30)
    services, desk = Services(scenario), DerivedDesk(read_derived({}))
    files = [(path.name, path.read_text()) for path in sorted(RULES.glob("*.yaml"))]
    engine = Engine(load_rules(files), expected={}, settings=EngineSettings())
    up = [FeedState(v, c, True, START_NS - 60 * DAY_NS) for v in {i.venue for i in instruments} for c in Channel]
    engine.ingest([*up, *scenario.history(60), *slow_samples(START_NS - 60 * DAY_NS, START_NS)])
    found: dict[str, int] = {}
    for now_ns in range(START_NS + MINUTE_NS, END_NS, MINUTE_NS):
        events = [*scenario.events(now_ns - MINUTE_NS, now_ns), *services.polled(now_ns)]
        engine.ingest([*events, *desk.take(events), *desk.tick(now_ns)])
        for evaluation in engine.evaluate(now_ns):
            if (evaluation.truth == TRUE).any():
                found.setdefault(evaluation.rule.rpartition("/")[2], now_ns)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("rule", "after", "before"),
    [
        ("EtfOutflowDay", "2025-11-21T00:00", "2025-11-21T00:30"),
        ("MarketCapBelow3T", "2025-11-21T03:00", "2025-11-21T05:00"),
        ("SkewTurnsToPuts", "2025-11-21T04:00", "2025-11-21T05:30"),
        ("AccountsNetShort", "2025-11-21T04:00", "2025-11-21T06:00"),
        ("FundingFlippedNegative", "2025-11-21T06:20", "2025-11-21T07:30"),
        ("CascadeComplete", "2025-11-21T07:00", "2025-11-21T07:40"),
        ("StressRegime", "2025-11-21T04:00", "2025-11-21T08:00"),
        ("BtcBelow82k", "2025-11-21T07:20", "2025-11-21T07:40"),
        ("LiquidationsOver1BillionPerHour", "2025-11-21T07:20", "2025-11-21T08:00"),
        ("LiquidationsDay", "2025-11-21T07:30", "2025-11-21T09:00"),
        ("LongLiquidations", "2025-11-21T07:30", "2025-11-21T10:00"),
        ("LiquidationCount", "2025-11-21T07:30", "2025-11-21T10:00"),
        ("SectorLosesBillions", "2025-11-21T06:00", "2025-11-21T13:00"),
        ("OpenInterestDownAThirdInAMonth", "2025-11-21T07:00", "2025-11-21T12:00"),
        ("ProtocolDrained", "2025-11-20T18:00", "2025-11-21T12:30"),
        ("StablecoinSupplyContracts", "2025-11-20T12:00", "2025-11-20T12:30"),
    ],
)
def test_the_pack_fires_when_the_timeline_says(first_true: dict[str, int], rule: str, after: str, before: str) -> None:
    assert rule in first_true
    assert at(after) <= first_true[rule] <= at(before)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_did_not_happen_does_not_fire(first_true: dict[str, int]) -> None:
    assert not {"StablecoinOffPeg", "FeedDown", "VenuePriceApart", "FundingOverheated"} & set(first_true)
