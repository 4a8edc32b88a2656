"""The language: what every expression is worth at one instant, by its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.expression import (
    Arithmetic,
    Call,
    Compare,
    Expr,
    Folded,
    KOf,
    Logic,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Then,
)
from monitor.series import Fold
from monitor.windows import PAIRS, WINDOWS
from tests.property.naive import crossing, remembered, samples, topk, windows
from tests.property.naive.arithmetic import NEAR, arithmetic, exact, negative
from tests.property.naive.folding import aggregate, count_true, fold
from tests.property.naive.logic import at_least, compared, logical, negated
from tests.property.naive.market import ALL, Market
from tests.property.naive.matching import Meeting
from tests.property.naive.tables import FALSE, NAN, Condition, Table, Vector


@dataclass
class Memory:
    """What conditions remember from one evaluation to the next, by expression; and this evaluation's results."""

    now: int = -1
    results: dict[Expr, Table] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict)


@dataclass
class World:
    """What all instants share."""

    market: Market = field(default_factory=Market)
    began_ns: int = 0
    """The first evaluation, from which on samples are taken."""
    near: bool = False
    """Whether a comparison was decided by rounding."""
    taken: dict[tuple[Expr, int], tuple[Memory, list[tuple[int, Table]]]] = field(default_factory=dict)
    """The samples of an expression at a step, each as it was when its time came."""
    behind: dict[Any, Any] = field(default_factory=dict)
    """Who was present at each of them."""
    recorded: set[str] = field(default_factory=set)
    """Series of recording rules."""

    def samples_of(self, inner: Expr, step_ns: int) -> tuple[Memory, list[tuple[int, Table]]]:
        """Where the samples of an expression are kept, and what it remembers from one to the next."""
        return self.taken.setdefault((inner, step_ns), (Memory(), []))

    def at(self, t: int, memory: Memory) -> Moment:
        """One instant of it."""
        return Moment(self, t, memory)


@dataclass
class Moment:
    """One instant."""

    world: World
    t: int
    memory: Memory

    def __post_init__(self) -> None:
        if self.memory.now != self.t:
            self.memory.now, self.memory.results = self.t, {}

    @property
    def market(self) -> Market:
        return self.world.market

    def near(self, *, when: bool) -> None:
        self.world.near = self.world.near or when

    def evaluate(self, expr: Expr) -> Table:
        """An expression's table; once per instant, for whatever it remembers."""
        found = self.memory.results.get(expr)
        if found is None:
            found = self.memory.results[expr] = evaluate(expr, self)
        return found

    def vector(self, expr: Expr) -> Vector:
        table = self.evaluate(expr)
        assert isinstance(table, Vector), expr
        return table

    def condition(self, expr: Expr) -> Condition:
        table = self.evaluate(expr)
        assert isinstance(table, Condition), expr
        return table


def evaluate(expr: Expr, moment: Moment) -> Table:  # noqa: PLR0911 - one for each kind of node
    names = frozenset(expr.type.labels)
    match expr:
        case Number(value=value):
            return Vector(names, {(): value}, value)
        case Selector():
            return Vector(names, moment.market.folded(expr, None, moment.t))
        case Folded(inner=Selector() as inner, grouping=grouping):
            return Vector(names, moment.market.folded(inner, grouping, moment.t))
        case Folded(inner=inner, grouping=grouping):
            return aggregate("mean", moment.vector(inner), grouping, NAN)
        case Negate(inner=inner):
            return negative(moment.vector(inner))
        case Arithmetic(op=op, left=left, right=right):
            sides = moment.vector(left), moment.vector(right)
            return arithmetic(op, *sides, Meeting(expr, *sides))
        case Call():
            return call(expr, moment)
        case _:
            return logic(expr, moment)


def logic(expr: Expr, moment: Moment) -> Condition:
    match expr:
        case Compare():
            return compare(expr, moment)
        case Logic(op=op, left=left, right=right):
            sides = moment.condition(left), moment.condition(right)
            return logical(op, *sides, Meeting(expr, *sides))
        case Not(inner=inner):
            one = moment.condition(inner)
            turned = {k: negated(v) for k, v in one.truth.items()}
            return Condition(one.names, turned, one.values, one.thresholds, negated(one.default))
        case KOf(k=k, conditions=conditions):
            return at_least(k, [moment.condition(part) for part in conditions])
        case Then():
            return remembered.then(expr, moment)
        case _:
            raise NotImplementedError(type(expr).__name__)


def compare(expr: Compare, moment: Moment) -> Condition:
    left, right = moment.vector(expr.left), moment.vector(expr.right)
    meeting = Meeting(expr, left, right)
    out = Condition(meeting.names, {}, {}, {}, compared(expr.op, left.default, right.default))
    for labels, (a, b) in meeting.pairs.items():
        x, y = left.at(a), NAN if meeting.torn(labels) else right.at(b)
        moment.near(when=x != y and abs(x - y) <= NEAR * max(1.0, abs(x), abs(y)))
        moment.near(when=x == y and not (exact(expr.left) and exact(expr.right)))
        gone = a in left.gone or b in right.gone
        out.truth[labels] = FALSE if gone else compared(expr.op, x, y)
        out.values[labels], out.thresholds[labels] = x, y
    return out


def weighted(call: Call, moment: Moment) -> Vector:
    groups = moment.market.weighted(call, moment.t)
    return Vector(frozenset(call.type.labels), {k: fold(Fold.OI_MEAN, g.values()) for k, g in groups.items()})


SPECIAL: dict[str, Callable[[Call, Moment], Table]] = {
    "held": remembered.held,
    "since": remembered.since,
    "absent": windows.absent,
    "crosses_above": crossing.crosses,
    "crosses_below": crossing.crosses,
    "topk": topk.topk,
    "weighted_avg": weighted,
}


def call(call: Call, moment: Moment) -> Table:
    if call.name in SPECIAL:
        return SPECIAL[call.name](call, moment)
    subject = call.args[-1]
    if isinstance(subject, Range):
        return over_time(call, subject, moment)
    if call.name == "last" and isinstance(subject, Selector):
        return Vector(frozenset(call.type.labels), moment.market.folded(subject, call.grouping, moment.t))
    table = moment.evaluate(subject)
    if isinstance(table, Condition):
        return count_true(table, call.grouping or ALL)
    q = call.args[0].value if isinstance(call.args[0], Number) else NAN
    return aggregate(call.name, table, call.grouping or ALL, q)


def over_time(call: Call, subject: Range, moment: Moment) -> Vector:
    selector, names, market = subject.inner, frozenset(call.type.labels), moment.market
    if call.name in PAIRS:
        return samples.pair(call, moment)
    if isinstance(selector, Selector) and not subject.step_ns:
        if market.specs[selector.series].form == "events":
            values = windows.of_events(call, subject, selector, market, moment.t)
            return Vector(names, values, 0.0 if call.name in ("sum", "count", "rate") else NAN)
        if call.name in windows.ENDS:
            return Vector(names, windows.of_ends(call, subject, selector, market, moment.t))
        if call.grouping is None and "gauge" in WINDOWS[call.name].sources:
            return Vector(names, windows.of_members(call, subject, selector, market, moment.t))
        if call.name in ("sum", "count"):
            return Vector(names, windows.of_rows(call, subject, selector, market, moment.t))
    return Vector(names, samples.over_samples(call, subject, moment))
