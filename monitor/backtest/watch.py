"""What the alerts' history does not show: readings for charts, when each rule first had enough data, liveness of feeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.backtest.history import Stretch
from monitor.engine import Engine
from monitor.events import Channel, Event, FeedGap, FeedState, Labels
from monitor.language import parse_expression
from monitor.reading import TRUE, UNKNOWN, Evaluation
from monitor.rule import Rule, RuleSet

MOST_ROWS = 64
"""Label sets of one rule whose readings are kept for charts; more are kept only where an alert is."""
PRICES = parse_expression("price by (base)")
Series = tuple[str, Channel]


@dataclass(slots=True)
class Line:
    """Readings of one label set: instants, values and thresholds, NaN where missing."""

    times_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)

    def add(self, at_ns: int, value: float, threshold: float) -> None:
        """Append a reading; one of an instant that is there already replaces it."""
        if self.times_ns and self.times_ns[-1] == at_ns:
            self.values[-1], self.thresholds[-1] = value, threshold
            return
        self.times_ns.append(at_ns)
        self.values.append(value)
        self.thresholds.append(threshold)


@dataclass(slots=True)
class RuleWatch:
    """One rule over the stretch.

    Attributes:
        rule: The rule.
        warm_ns: When it first had enough data to decide anything; None: never.
        looks: Times it was sampled, and ``known`` how often it could decide about at least one label set.
        low: Least and ``high`` greatest value seen at samples; NaN: none.
        label_sets: How many label sets it has had.
        lines: Readings by label set.
    """

    rule: Rule
    min_coverage: float
    warm_ns: int | None = None
    looks: int = 0
    known: int = 0
    low: float = math.nan
    high: float = math.nan
    label_sets: int = 0
    lines: dict[Labels, Line] = field(default_factory=dict)

    def hear(self, evaluation: Evaluation) -> None:
        """Look at an evaluation until there is enough data to decide."""
        if self.warm_ns is None and _decided(evaluation, self.min_coverage).any():
            self.warm_ns = evaluation.at_ns

    def sample(self, evaluation: Evaluation | None, at_ns: int) -> None:
        """Keep the readings of an instant."""
        self.looks += 1
        if evaluation is None:
            return
        self.label_sets = len(evaluation.labels)
        decided = _decided(evaluation, self.min_coverage)
        if count := np.count_nonzero(decided):
            self.known += 1
            self.warm_ns = at_ns if self.warm_ns is None else self.warm_ns
            values = evaluation.value if count == len(decided) else evaluation.value[decided]
            self.low = float(np.fmin.reduce(values, initial=self.low))
            self.high = float(np.fmax.reduce(values, initial=self.high))
        for row in self._rows(evaluation):
            line = self.lines.setdefault(evaluation.labels[row], Line())
            line.add(at_ns, float(evaluation.value[row]), float(evaluation.threshold[row]))

    def _rows(self, evaluation: Evaluation) -> Iterable[int]:
        if len(evaluation.labels) <= MOST_ROWS:
            return range(len(evaluation.labels))
        true: list[int] = np.flatnonzero(evaluation.truth == TRUE).tolist()
        return [row for row in true if evaluation.labels[row] in self.lines or len(self.lines) < MOST_ROWS]


def _decided(evaluation: Evaluation, min_coverage: float) -> np.ndarray:
    """Rows of which the rule can say something, as the life cycle weighs it."""
    known: np.ndarray = evaluation.truth != UNKNOWN
    enough = evaluation.coverage >= min_coverage
    if np.count_nonzero(enough) == len(enough):  # a third of what `all` costs, for each rule at each sample
        return known
    said: np.ndarray = known & (enough | ((evaluation.truth == TRUE) & evaluation.lower_bound))
    return said


class Watch:
    """All rules of one engine, and prices for the charts.

    Args:
        engine: Asked for readings at samples.
        rules: The rules watched.
        min_coverage: The configured default.
        charts: Keep prices, too, which the engine would perhaps not take in otherwise.
    """

    def __init__(self, engine: Engine, rules: RuleSet, min_coverage: float, *, charts: bool = False) -> None:
        self._engine = engine
        self._charts = charts
        self.rules = {
            rule.id: RuleWatch(rule, min_coverage if rule.min_coverage is None else rule.min_coverage)
            for rule in rules.alerts
        }
        self._cold = set(self.rules)
        self.prices: dict[str, Line] = {}

    def hear(self, evaluations: Sequence[Evaluation]) -> None:
        """Look at the evaluations of an instant."""
        if not self._cold:
            return
        for evaluation in evaluations:
            if evaluation.rule in self._cold:
                watch = self.rules[evaluation.rule]
                watch.hear(evaluation)
                if watch.warm_ns is not None:
                    self._cold.discard(evaluation.rule)

    def follow(self, engine: Engine) -> None:
        """Ask another engine from now on."""
        self._engine = engine

    def sample(self, at_ns: int) -> None:
        """Keep the readings of all rules, and the prices."""
        for rule_id, watch in self.rules.items():
            watch.sample(self._engine.latest(rule_id), at_ns)
            if watch.warm_ns is not None:
                self._cold.discard(rule_id)
        prices = self._engine.query(PRICES, self._engine.now_ns) if self._charts else []
        for labels, value, _ in prices:
            line = self.prices.setdefault(dict(labels).get("base", ""), Line())
            line.add(at_ns, math.nan if value is None else value, math.nan)


@dataclass(slots=True)
class Liveness:
    """When each feed's channel was live: what the completeness strip shows.

    Attributes:
        spans: Live spans by venue and channel, [start, end) in nanoseconds; without the gaps once it is finished.
        gaps: Lost for good, by venue and channel, with the reason; without what the venue's history filled.
    """

    spans: dict[Series, list[tuple[int, int]]] = field(default_factory=dict)
    gaps: dict[Series, list[tuple[int, int, str]]] = field(default_factory=dict)
    _filled: dict[Series, list[tuple[int, int]]] = field(default_factory=dict)
    _since: dict[Series, int] = field(default_factory=dict)

    def hear(self, events: Iterable[Event]) -> None:
        """Note what a step says about feeds."""
        for event in events:
            if isinstance(event, FeedState):
                self._state(event)
            elif isinstance(event, FeedGap) and event.filled:
                self._filled.setdefault((event.venue, event.channel), []).append((event.start_ns, event.end_ns))
            elif isinstance(event, FeedGap):
                self.gaps.setdefault((event.venue, event.channel), []).append(
                    (event.start_ns, event.end_ns, event.reason)
                )

    def _state(self, event: FeedState) -> None:
        key = event.venue, event.channel
        self.spans.setdefault(key, [])
        if event.up:
            self._since.setdefault(key, event.ts_ns)
        elif (since_ns := self._since.pop(key, None)) is not None and event.ts_ns > since_ns:
            self.spans[key].append((since_ns, event.ts_ns))

    def finish(self, stretch: Stretch, expected: Iterable[Series]) -> None:
        """Close what is still live, take the gaps out, cut everything to the stretch, and name what never came."""
        for key, since_ns in self._since.items():
            self.spans[key].append((since_ns, max(since_ns, stretch.end_ns)))
        self._since.clear()
        for key, filled in self._filled.items():
            for span in filled if key in self.gaps else ():
                self.gaps[key] = [left for gap in self.gaps[key] for left in _unfilled(gap, span)]
        self.gaps = {key: lost for key, lost in self.gaps.items() if lost}
        for key in (*expected, *self.gaps):
            self.spans.setdefault(key, [])
        for key, live in self.spans.items():
            kept = live
            for start_ns, end_ns, _ in self.gaps.get(key, ()):
                kept = [part for span in kept for part in _without(span, start_ns, end_ns)]
            cut = ((max(start, stretch.start_ns), min(end, stretch.end_ns)) for start, end in kept)
            self.spans[key] = [(start, end) for start, end in cut if start < end]

    def share(self, key: Series, stretch: Stretch) -> float:
        """The share of the stretch in which a channel was live and nothing of it was lost."""
        return live_share(self.spans.get(key, ()), stretch)


def live_share(spans: Iterable[tuple[int, int]], stretch: Stretch) -> float:
    """The share of the stretch that spans inside it take up."""
    return sum(end - start for start, end in spans) / stretch.length_ns


def _unfilled(gap: tuple[int, int, str], filled: tuple[int, int]) -> Iterator[tuple[int, int, str]]:
    """What of a gap is not filled."""
    for start, end in _without(gap[:2], *filled):
        yield start, end, gap[2]


def _without(span: tuple[int, int], start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """What is left of a span when a piece is taken out."""
    for start, end in ((span[0], min(span[1], start_ns)), (max(span[0], end_ns), span[1])):
        if start < end:
            yield start, end
