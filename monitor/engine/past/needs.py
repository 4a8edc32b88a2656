"""What the rules need of the past: which series, how far back, and how far apart its values may lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from monitor.engine.compile import grid_of
from monitor.engine.rows.panes import DAY_NS, EXACT_NS, HOUR_NS, MINUTE_NS, history_distance
from monitor.engine.rows.projection import matches
from monitor.events import Channel, Labels
from monitor.expression import Call, Expr, Range, Selector, children
from monitor.rule import Override, Rule, RuleSet
from monitor.series import SERIES
from monitor.windows import WINDOWS

STEPS_NS = (MINUTE_NS, 5 * MINUTE_NS, HOUR_NS, DAY_NS)
"""Distances that history is asked for in: those that every venue's candles have."""
FETCHED = frozenset({Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST})
"""Channels of which venues keep a public history of every instrument."""


@dataclass(frozen=True, slots=True)
class HistoryNeed:
    """History that a rule reads.

    Attributes:
        channel: What to ask for.
        accept: Whether an instrument's labels are among those read.
        reach_ns: How far back from now.
        step_ns: Distance of the values.
    """

    channel: Channel
    accept: Callable[[Labels], bool]
    reach_ns: int
    step_ns: int


def needs(rules: RuleSet) -> list[HistoryNeed]:
    """Every need of a rule set beyond an hour, longest reach first; an hour is warm by itself soon enough."""
    found = {}
    for expr in _expressions(rules):
        for selector, reach_ns, step_ns in _ranges(expr, 0, 0):
            for need in _of(selector, reach_ns, step_ns):
                found[need.channel, selector.matchers, need.reach_ns, need.step_ns] = need
    return sorted(found.values(), key=lambda need: -need.reach_ns)


def _of(selector: Selector, reach_ns: int, step_ns: int) -> Iterator[HistoryNeed]:
    spec = SERIES.get(selector.series)
    if spec is None or spec.form != "gauge" or spec.channel not in FETCHED or reach_ns <= EXACT_NS:
        return
    known = [matcher for matcher in selector.matchers if matcher.label in ("venue", "symbol", "base", "quote")]
    need = HistoryNeed(spec.channel, matches(known), reach_ns, history_step(reach_ns, step_ns))
    yield need
    if spec.channel is Channel.FUNDING:  # its mean over venues is weighted
        yield HistoryNeed(Channel.OPEN_INTEREST, need.accept, reach_ns, max(need.step_ns, HOUR_NS))


def history_step(reach_ns: int, step_ns: int) -> int:
    """The distance of history for a window: that of its samples, but days for months and hours for more than a day."""
    least_ns = max(step_ns, history_distance(reach_ns))
    return max(step for step in STEPS_NS if step <= least_ns)


def _ranges(expr: Expr, reach_ns: int, step_ns: int) -> Iterator[tuple[Selector, int, int]]:
    """Every series below an expression with how far back it is read and at what distance."""
    if isinstance(expr, Selector):
        yield expr, reach_ns + expr.offset_ns, step_ns
        return
    if isinstance(expr, Range):
        finest = min(step_ns, expr.step_ns) if step_ns and expr.step_ns else step_ns or expr.step_ns
        yield from _ranges(expr.inner, reach_ns + expr.window_ns + expr.offset_ns, finest or grid_of(expr.window_ns))
        return
    own = WINDOWS[expr.name].step_ns if isinstance(expr, Call) and expr.name in WINDOWS else 0
    for child in children(expr):
        yield from _ranges(child, reach_ns, own or step_ns)


def _expressions(rules: RuleSet) -> Iterable[Expr]:
    for recording in rules.recordings:
        yield recording.expr
    for rule in rules.alerts:
        sources: list[Rule | Override] = [rule, *rule.overrides]
        for source in sources:
            yield source.expr
            if source.clear is not None:
                yield source.clear
            for level in source.levels:
                yield from filter(None, (level.expr, level.clear))
