"""The rule pack over the first 24 hours of the synthetic sell-off, in steps of minutes: what the demo shows, without sockets.

Feeds, what the services answer, what is pushed in, derived series, and three months that the monitor remembers; through the
engine and the life cycle of alerts. **Synthetic**.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

from monitor.alert import AlertState, AlertView, Transition
from monitor.alerts.lifecycle import Lifecycle
from monitor.derived.desk import DerivedDesk, read_derived
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, Event, FeedState, MarketEvent, Sample
from monitor.inlets.rows import read_payload
from monitor.language.template import render
from monitor.reading import TRUE, Evaluation
from monitor.rule import RuleSet
from monitor.signals import SignalReading, readings
from monitor.source import Novelty, Source, SourceOptions
from monitor.sources import SOURCES, make_source
from monitor.testing.demo_slow import DERIVED, DESK_NS, pushed, remembered, table
from monitor.testing.november import VENUES, instruments
from monitor.testing.scenario import BASES, START_NS, Scenario
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, MINUTE_NS, at
from monitor.testing.scenario.slow import index_samples
from monitor.testing.scenario.tail import CHARTED
from monitor.testing.sources import SlowMarket

STEP_NS = 5 * MINUTE_NS
NIGHT_NS, NOON_NS = at("2025-11-21T00:00"), at("2025-11-21T12:00")
"""Before the night a step is a quarter of an hour."""


class Services:
    """All slow sources against their stand-ins, without HTTP.

    Args:
        scenario: What happens.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._market = SlowMarket(scenario)
        settings = {"candles": {"bases": [*BASES, *CHARTED]}}
        self._sources = [
            make_source(name, SourceOptions(url="http://x", key="k", extra=settings.get(name, {}))) for name in SOURCES
        ]
        self._novelty = Novelty(keep=3000)
        self._due: dict[tuple[str, str], int] = {}

    def polled(self, now_ns: int) -> list[MarketEvent]:
        """What is new in the answers that are due."""
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
    """What was seen: first times of each rule by its name, in Unix nanoseconds, and the signals at noon.

    Attributes:
        first_true: When its condition first held.
        pending: When an alert first was pending.
        fired: When an alert first fired; a rule with `for` later than it held.
        alerts: The first alert of each rule that fired, as it was told.
        at_noon: Every row of the catalogue.
    """

    first_true: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, AlertView] = field(default_factory=dict)
    at_noon: list[SignalReading] = field(default_factory=list)

    def hear(self, evaluations: Sequence[Evaluation], transitions: Sequence[Transition], now_ns: int) -> None:
        """Note what happened for the first time."""
        for evaluation in evaluations:
            if (evaluation.truth == TRUE).any():
                self.first_true.setdefault(evaluation.rule.rpartition("/")[2], now_ns)
        for transition in transitions:
            if transition.state in (AlertState.PENDING, AlertState.FIRING):
                first = self.pending if transition.state is AlertState.PENDING else self.fired
                first.setdefault(transition.alert.name, now_ns)
            if transition.state is AlertState.FIRING:
                self.alerts.setdefault(transition.alert.name, transition.alert)


def play(rules: RuleSet, seed: int = 7) -> Played:
    """Play up to noon of 21 November.

    Args:
        rules: Which to watch.
        seed: Of the scenario.
    """
    scenario = Scenario(seed, instruments(), resolution_s=30)
    services, desk = Services(scenario), DerivedDesk(read_derived(DERIVED))
    engine = Engine(rules, expected={}, settings=EngineSettings(lateness_ns=30 * MINUTE_NS))
    lifecycle = Lifecycle(rules, render=render, latest=engine.latest)
    engine.ingest(_before(scenario, desk))
    seen = Played()
    for before_ns, now_ns in pairwise(_instants()):
        events = [*_happens(scenario, before_ns, now_ns), *services.polled(now_ns)]
        engine.ingest([*events, *desk.take(events), *desk.tick(now_ns)])
        evaluations = engine.evaluate(now_ns)
        seen.hear(evaluations, lifecycle.step(evaluations, now_ns), now_ns)
    newest = [engine.latest(rule.id) for rule in engine.ruleset.alerts]
    seen.at_noon = readings(one for one in newest if one is not None)
    return seen


def _instants() -> list[int]:
    return [*range(START_NS, NIGHT_NS, 3 * STEP_NS), *range(NIGHT_NS, NOON_NS + STEP_NS, STEP_NS)]


def _before(scenario: Scenario, desk: DerivedDesk) -> list[Event]:
    """Every feed and source is live, and the past is known."""
    live = [
        FeedState(venue, channel, up=True, ts_ns=START_NS - 400 * DAY_NS) for venue in VENUES for channel in Channel
    ]
    live += [FeedState(name, Channel.REFERENCE, up=True, ts_ns=START_NS) for name in SOURCES]
    fine = scenario.past(START_NS - 25 * HOUR_NS, START_NS, STEP_NS)
    on_desk = inlet(scenario, 0, START_NS)
    past = [*scenario.history(50), *fine, *remembered(scenario, START_NS, desk.baskets), *on_desk]
    return [*live, *past, *desk.take(on_desk)]


def _happens(scenario: Scenario, before_ns: int, now_ns: int) -> list[MarketEvent]:
    return [
        *scenario.events(before_ns, now_ns),
        *index_samples(before_ns, now_ns, MINUTE_NS),
        *inlet(scenario, before_ns, now_ns),
    ]


def inlet(scenario: Scenario, from_ns: int, to_ns: int) -> list[Sample]:
    """What is pushed in between two instants, through the inlet's reader."""
    rows = [row for row in pushed(max(from_ns, START_NS - DESK_NS), to_ns, scenario) if from_ns < row[0]]
    return [row.sample for row in read_payload(table(rows).encode(), "csv", to_ns).rows]
