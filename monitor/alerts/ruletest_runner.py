"""Runs rule unit tests through the engine and the alert life cycle that live trading uses; only the clock is a script.

Before a test begins every venue that appears in it has been live for long, unless ``feed_down`` says otherwise. A gauge
holds its last value for five minutes (or its channel's own limit, if longer), as Prometheus' lookback does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from monitor.alert import AlertState, AlertView, Transition
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, Event, FeedState, Labels, Liquidation, Sample, Trade
from monitor.format import duration
from monitor.instruments import Instrument, to_micros
from monitor.language.problems import did_you_mean
from monitor.language.ruletest import (
    AlertTest,
    EventInput,
    RuleTest,
    RuleTestFile,
    event_price,
    event_usd,
    span_ns,
)
from monitor.language.template import render
from monitor.literals import parse_time
from monitor.reading import TRUE, UNKNOWN, Evaluation
from monitor.rule import Rule, RuleSet
from monitor.series import SERIES

DAY_NS = 86_400 * 10**9
EARLIEST_NS = 10 * 365 * DAY_NS
"""Tests that start at 0 start here instead, so that a year of history fits before them."""

LIVE_BEFORE_NS = 400 * DAY_NS
LOOKBACK_S = 300.0
MAX_TICKS = 200_000
SERIES_DEFAULTS = {"venue": "binance_usdm", "quote": "USDT", "kind": "mark", "market": "perp"}
SETTINGS = LifecycleSettings(flap_fires=0)
"""The brake on flapping alerts is off, as promtool has none: a test says what its rule does, not what noise does."""

ACTIVE = (AlertState.FIRING, AlertState.HELD)


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that was not met; ``line`` is its place in the test file."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of one scenario."""

    __test__ = False

    name: str
    line: int
    failures: tuple[Failure, ...]


@dataclass(slots=True)
class RuleCoverage:
    """What tests have asserted of each rule: the label sets that fire, and that it is silent."""

    fired: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)

    def fires(self, name: str, labels: Mapping[str, str]) -> None:
        """A test expects an alert with these labels."""
        self.fired.setdefault(name, []).append(labels)

    def missing(self, rules: Iterable[Rule]) -> list[tuple[str, str]]:
        """(rule, what no test asserts) for each gap: firing, silence, each step of a ladder, each override."""
        return [(rule.name, gap) for rule in rules for gap in self._gaps(rule)]

    def _gaps(self, rule: Rule) -> list[str]:
        fired = self.fired.get(rule.name, [])
        if not fired and rule.name not in self.silent:
            return ["no test"]
        gaps = [] if fired else ["no test that it fires"]
        gaps += [] if rule.name in self.silent else ["no test that it stays silent"]
        branches = [{"severity": level.severity} for level in rule.levels] + [
            dict(one.labels) for one in rule.overrides
        ]
        for branch in branches:
            if fired and not any(branch.items() <= labels.items() for labels in fired):
                gaps.append(f"no test that it fires for {_braces(tuple(branch.items()))}")
        return gaps


def run_test_file(file: RuleTestFile, rules: RuleSet, coverage: RuleCoverage | None = None) -> Iterator[TestResult]:
    """Run every test of a file.

    Args:
        file: The checked file.
        rules: What its ``rule_files`` hold.
        coverage: Notes what was asserted.
    """
    for test in file.tests:
        yield _Scenario(file, test, rules, coverage or RuleCoverage()).run()


class _Scenario:
    """One test: a script of inputs, a clock, and expectations that fall due."""

    def __init__(self, file: RuleTestFile, test: RuleTest, rules: RuleSet, coverage: RuleCoverage) -> None:
        self.test = test
        named = {expectation.alertname for expectation in test.case.alert_rule_test}
        self.known = [rule.name for rule in rules.alerts]
        rules = RuleSet(tuple(rule for rule in rules.alerts if rule.name in named), rules.recordings)
        self.rules = {rule.name: rule for rule in rules.alerts}
        self.coverage = coverage
        self.step_ns = max(span_ns(file.head.evaluation_interval), 1)
        self.sample_ns = span_ns(test.case.interval) if test.case.interval else self.step_ns
        self.start_ns = max(parse_time(test.case.start_timestamp), EARLIEST_NS)
        self.engine = Engine(rules, settings=EngineSettings(stale_s=self._stale_limits()))
        self.lifecycle = Lifecycle(rules, SETTINGS, render, None)
        self.transitions: dict[str, list[Transition]] = {}
        self.failures: list[Failure] = []
        self._more: dict[int, list[int]] = {}
        """Later instants at which an expectation over a span failed again."""

    def run(self) -> TestResult:
        """Play the script; look at each expectation when it is due."""
        due = self._looks()
        line = self.test.document.position(self.test.path)[0]
        last = max([*due, *(self._tick_of(ns) for ns in self._ends())], default=0)
        if last > MAX_TICKS:
            message = f"{last:,} evaluations are too many; raise evaluation_interval"
            return TestResult(self.test.name, line, (Failure(line, message),))
        script = sorted(self._events(), key=_event_time)
        at = 0
        for tick in range(last + 1):
            now_ns = self.start_ns + tick * self.step_ns
            upto = at
            while upto < len(script) and _event_time(script[upto]) <= now_ns:
                upto += 1
            self._evaluate(script[at:upto], now_ns)
            at = upto
            for place, expectation in due.get(tick, ()):
                self._look(place, expectation, now_ns)
        self._say_how_often()
        self._check_times()
        return TestResult(self.test.name, line, tuple(self.failures))

    def _evaluate(self, events: list[Event], now_ns: int) -> None:
        self.engine.ingest(events)
        found = {evaluation.rule: evaluation for evaluation in self.engine.evaluate(now_ns)}
        # A reading that did not change is seen again at every tick, so that `for` and the other timers run out.
        steady = (self.engine.latest(rule.id) for rule in self.rules.values() if rule.id not in found)
        again = [replace(evaluation, at_ns=now_ns) for evaluation in steady if evaluation is not None]
        for transition in self.lifecycle.step([*found.values(), *again], now_ns):
            self.transitions.setdefault(transition.alert.name, []).append(transition)

    # Inputs

    def _stale_limits(self) -> Mapping[tuple[str, Channel], float]:
        limits: dict[Channel, float] = {}
        for spec in (SERIES[name] for name in {one.series for one in self.test.inputs} & SERIES.keys()):
            limits[spec.channel] = max(limits.get(spec.channel, LOOKBACK_S), min(spec.stale_s, 5 * 86_400.0))
        return {(venue, channel): limit for venue in self._venues() for channel, limit in limits.items()}

    def _venues(self) -> list[str]:
        case = self.test.case
        found = {event.venue for event in case.events} | {down.venue for down in case.feed_down}
        for one in self.test.inputs:
            found |= {dict(_filled(one.series, one.labels)).get("venue", "")}
        return sorted(found - {""})

    def _events(self) -> Iterator[Event]:
        yield from self._feed_states()
        for entry in self.test.case.events:
            yield from _market_events(entry, self.start_ns)
        for one in self.test.inputs:
            labels = _filled(one.series, one.labels)
            for index, value in enumerate(one.values):
                if value is not None and value == value:  # noqa: PLR0124 - NaN is not itself
                    at_ns = self.start_ns + index * self.sample_ns
                    yield Sample(one.series, labels, value, at_ns, at_ns, source="test")

    def _feed_states(self) -> Iterator[Event]:
        before_ns = self.start_ns - LIVE_BEFORE_NS
        for venue in self._venues():
            for channel in Channel:
                yield FeedState(venue, channel, up=True, ts_ns=before_ns, reason="test")
        for down in self.test.case.feed_down:
            for channel in down.channels or Channel:
                start_ns = self.start_ns + span_ns(down.from_)
                yield FeedState(down.venue, channel, up=False, ts_ns=start_ns, reason="feed_down")
                if down.to is not None:
                    end_ns = self.start_ns + span_ns(down.to)
                    yield FeedState(down.venue, channel, up=True, ts_ns=end_ns, reason="test")

    # Expectations

    def _tick_of(self, offset_ns: int) -> int:
        return offset_ns // self.step_ns

    def _ends(self) -> Iterator[int]:
        for test in self.test.case.alert_rule_test:
            for text in (test.exp_fired_at, test.exp_resolved_at, test.to):
                if text is not None:
                    yield span_ns(text)

    def _looks(self) -> dict[int, list[tuple[int, AlertTest]]]:
        """The expectations of each tick."""
        due: dict[int, list[tuple[int, AlertTest]]] = {}
        for place, test in enumerate(self.test.case.alert_rule_test):
            if test.eval_time is not None:
                ticks = range(self._tick_of(span_ns(test.eval_time)), self._tick_of(span_ns(test.eval_time)) + 1)
            elif test.from_ is not None and test.to is not None:
                first = -(-span_ns(test.from_) // self.step_ns)
                ticks = range(first, self._tick_of(span_ns(test.to)) + 1)
            else:
                ticks = range(0)
            for tick in ticks:
                due.setdefault(tick, []).append((place, test))
        return due

    def _look(self, place: int, test: AlertTest, now_ns: int) -> None:
        """Compare; a span that fails at many instants is shown at the first."""
        before = len(self.failures)
        self._compare(place, test, now_ns)
        if len(self.failures) > before and test.from_ is not None:
            if place in self._more:
                del self.failures[before:]
                self._more[place].append(now_ns)
            self._more.setdefault(place, [])

    def _say_how_often(self) -> None:
        for place, more in self._more.items():
            if more:
                times = "time" if len(more) == 1 else "times"
                self._fail(place, f"the same {len(more)} {times} more, until {duration(more[-1] - self.start_ns)}")

    def _compare(self, place: int, test: AlertTest, now_ns: int) -> None:
        rule = self.rules.get(test.alertname)
        if rule is None:
            hint = did_you_mean(test.alertname, self.known)
            self._fail(place, f"no rule {test.alertname!r} in the rule files" + (f"; {hint}" if hint else ""))
            return
        alerts = [alert for alert in self.lifecycle.alerts(worded=True) if alert.name == test.alertname]
        when = f"{test.alertname} at {duration(now_ns - self.start_ns)}"
        if test.exp_alerts is not None:
            self._compare_firing(place, test, [alert for alert in alerts if alert.state in ACTIVE], when)
        if test.exp_state is not None:
            self._compare_state(place, test, rule, alerts, when)

    def _compare_firing(self, place: int, test: AlertTest, firing: list[AlertView], when: str) -> None:
        for one in test.exp_alerts or ():
            self.coverage.fires(test.alertname, one.exp_labels)
        if not test.exp_alerts:
            self.coverage.silent.add(test.alertname)
        got = {_identity(alert): alert for alert in firing}
        want = {tuple(sorted(one.exp_labels.items())): one for one in test.exp_alerts or ()}
        lines = [f"- expected {_braces(labels)}" for labels in want if labels not in got]
        lines += [f"+ got      {_braces(labels)}{_reading(got[labels])}" for labels in got if labels not in want]
        for labels, one in want.items():
            if labels in got and one.exp_annotations is not None:
                have = dict(got[labels].annotations)
                for name in sorted({*have, *one.exp_annotations}):
                    if have.get(name) != one.exp_annotations.get(name):
                        lines.append(f"- expected {_braces(labels)} {name}: {one.exp_annotations.get(name)!r}")
                        lines.append(f"+ got      {_braces(labels)} {name}: {have.get(name)!r}")
        if lines:
            self._fail(place, "\n".join([f"{when}: the firing alerts differ", *lines]))

    def _compare_state(self, place: int, test: AlertTest, rule: Rule, alerts: list[AlertView], when: str) -> None:
        if test.exp_state == "firing":
            self.coverage.fires(test.alertname, test.exp_labels)
        else:
            self.coverage.silent.add(test.alertname)
        matching = [alert for alert in alerts if _carries(alert.labels, test.exp_labels)]
        found = {_state_word(alert) for alert in matching} or {self._idle_state(rule, test.exp_labels)}
        if any(alert.state is AlertState.HELD for alert in matching):
            found.add("firing")
        if test.exp_state not in found:
            details = "".join(_reading(alert) for alert in matching)
            which = f" {_braces(tuple(test.exp_labels.items()))}" if test.exp_labels else ""
            words = " and ".join(sorted(found))
            self._fail(place, f"{when}{which}: expected {test.exp_state}, got {words}{details}")

    def _idle_state(self, rule: Rule, labels: Mapping[str, str]) -> str:
        """``unknown`` or ``none`` of a rule without an alert for these labels."""
        evaluation = self.engine.latest(rule.id)
        if evaluation is None:
            return "unknown"
        floor = SETTINGS.min_coverage if rule.min_coverage is None else rule.min_coverage
        wanted = {name: value for name, value in labels.items() if name in rule.expr.type.labels}
        rows = [row for row, own in enumerate(evaluation.labels) if _carries(own, wanted)]
        return "unknown" if any(_doubtful(evaluation, row, floor) for row in rows) else "none"

    def _check_times(self) -> None:
        for place, test in enumerate(self.test.case.alert_rule_test):
            for text, state, word in (
                (test.exp_fired_at, AlertState.FIRING, "fire"),
                (test.exp_resolved_at, AlertState.RESOLVED, "resolve"),
            ):
                if text is not None:
                    self.coverage.fires(test.alertname, test.exp_labels)
                    self._check_time(place, test, span_ns(text), state, word)

    def _check_time(self, place: int, test: AlertTest, want_ns: int, state: AlertState, word: str) -> None:
        times = [
            transition.at_ns - self.start_ns
            for transition in self.transitions.get(test.alertname, ())
            if transition.state is state and transition.previous is not state
            if _carries(transition.alert.labels, test.exp_labels)
            if not (state is AlertState.FIRING and transition.previous is AlertState.HELD)
        ]
        if want_ns not in times:
            got = ", ".join(duration(at) for at in times) or "never"
            self._fail(place, f"{test.alertname}: expected to {word} at {duration(want_ns)}, got {got}")

    def _fail(self, place: int, message: str) -> None:
        path = (*self.test.path, "alert_rule_test", place)
        self.failures.append(Failure(self.test.document.position(path)[0], message))


def _event_time(event: Event) -> int:
    return event.end_ns if hasattr(event, "end_ns") else event.ts_ns


def _filled(series: str, labels: Labels) -> Labels:
    """Labels of an input, with the usual ones that were not given: tests name what they care about."""
    own, known = dict(labels), SERIES[series].labels
    given = {name: value for name, value in SERIES_DEFAULTS.items() if name in known and name not in own}
    own |= given
    if "symbol" in known and "symbol" not in own and "base" in own:
        own["symbol"] = own["base"] + own.get("quote", "")
    return tuple(sorted(own.items()))


def _market_events(entry: EventInput, start_ns: int) -> Iterator[Event]:
    instrument = Instrument(
        venue=entry.venue,
        symbol=entry.symbol or entry.base + entry.quote,
        base=entry.base,
        quote=entry.quote,
        settle=entry.quote,
        kind=entry.kind,
    )
    micros, price = to_micros(Decimal(repr(event_usd(entry)))), event_price(entry)
    every_ns = span_ns(entry.every) if entry.every else 0
    for index in range(entry.count):
        at_ns = start_ns + span_ns(entry.at) + index * every_ns
        if entry.side == "long" or entry.side == "short":  # noqa: PLR1714 - mypy narrows only this
            yield Liquidation(instrument, entry.side, micros, price, at_ns, at_ns)
        else:
            yield Trade(instrument, entry.side, micros, price, at_ns, at_ns)


def _identity(alert: AlertView) -> Labels:
    return tuple(sorted((name, value) for name, value in alert.labels if name != "alertname"))


def _carries(labels: Labels, wanted: Mapping[str, str]) -> bool:
    own = dict(labels)
    return all(own.get(name) == value for name, value in wanted.items())


def _state_word(alert: AlertView) -> str:
    return "unknown" if alert.state is AlertState.HELD else str(alert.state.value)


def _doubtful(evaluation: Evaluation, row: int, floor: float) -> bool:
    truth = int(evaluation.truth[row])
    proven = truth == TRUE and bool(evaluation.lower_bound[row])
    return truth == UNKNOWN or (float(evaluation.coverage[row]) < floor and not proven)


def _braces(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def _reading(alert: AlertView) -> str:
    coverage = "?" if alert.coverage is None else f"{alert.coverage:.0%}"
    return f"  (value {alert.value}, threshold {alert.threshold}, coverage {coverage}, {alert.state.value})"


__all__ = ["Failure", "RuleCoverage", "TestResult", "run_test_file"]
