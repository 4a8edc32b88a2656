"""``crosses_above`` and ``crosses_below``: two instants of one expression over the members of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.expression import Arithmetic, Call, Expr, Folded, Negate, Number, Selector, Shape
from monitor.series import Fold
from tests.property.naive.arithmetic import NEAR, arithmetic, negative
from tests.property.naive.folding import Members, aggregate, common, fold
from tests.property.naive.market import ALL
from tests.property.naive.matching import Meeting
from tests.property.naive.tables import NAN, UNKNOWN, Condition, Vector, known

if TYPE_CHECKING:
    from tests.property.naive.moment import Moment

AGGREGATES = ("sum", "avg", "mean", "min", "max", "count", "stddev", "spread", "median", "quantile")


def crosses(call: Call, moment: Moment) -> Condition:
    sign = 1.0 if call.name == "crosses_above" else -1.0
    left, right = (moment.vector(arg) for arg in call.args)
    meeting = Meeting(call, left, right)
    out = Condition(meeting.names, {}, {}, {})
    before = moment.memory.kept.get(call)
    ends = [ends_of(arg, then, moment) for arg, then in zip(call.args, before, strict=True)] if before else []
    for labels, (a, b) in meeting.pairs.items():
        out.values[labels], out.thresholds[labels] = left.at(a), right.at(b)
        out.truth[labels] = UNKNOWN
        if ends and not meeting.torn(labels):
            (x0, x1), (y0, y1) = ends
            then, now = sign * (x0.at(a) - y0.at(b)), sign * (x1.at(a) - y1.at(b))
            moment.near(when=abs(then) <= NEAR * max(1.0, abs(x0.at(a))))
            moment.near(when=abs(now) <= NEAR * max(1.0, abs(x1.at(a))))
            if known(then) and known(now):
                out.truth[labels] = int(then <= 0 < now)
    kept = before or (None, None)
    moment.memory.kept[call] = tuple(keep(arg, then, moment) for arg, then in zip(call.args, kept, strict=True))
    return out


PAUSE_NS = 3600 * NS_PER_S
"""For so long a member may be missing from a group that goes on without it, and be compared with its last value."""
Kept = dict[Labels, tuple[float, float, float]]
"""Value and weight of each member, and when it went missing while its group went on."""


def members_behind(expr: Expr, moment: Moment) -> dict[Labels, Members] | None:
    """The members behind a fold, which have to be the same ones at both instants."""
    match expr:
        case Selector():
            return moment.market.present(expr, None, moment.t)
        case Folded(inner=Selector() as inner, grouping=grouping):
            return moment.market.present(inner, grouping, moment.t)
        case Call(name="last", args=(Selector() as inner,), grouping=grouping):
            return moment.market.present(inner, grouping, moment.t)
        case Call(name="weighted_avg"):
            return moment.market.weighted(expr, moment.t)
        case _:
            return None


def fold_behind(expr: Expr, moment: Moment) -> Fold:
    """By which they are folded into a group."""
    if isinstance(expr, Call) and expr.name == "weighted_avg":
        return Fold.OI_MEAN
    if isinstance(expr, Selector):
        return Fold.MEAN
    assert isinstance(expr, Folded | Call)
    inner = expr.inner if isinstance(expr, Folded) else expr.args[0]
    assert isinstance(inner, Selector)
    return moment.market.fold_of(inner, expr.grouping)


def keep(expr: Expr, before: Any, moment: Moment) -> Any:
    """What the next evaluation compares with; where nothing is known now, what was known before."""
    groups = members_behind(expr, moment)
    if groups is not None:
        return {k: keep_members(expr, group, (before or {}).get(k, {}), moment) for k, group in groups.items()}
    match expr:
        case Arithmetic(left=left, right=right):
            sides = zip((left, right), before or (None, None), strict=True)
            return tuple(keep(side, then, moment) for side, then in sides)
        case Negate(inner=inner):
            return keep(inner, before, moment)
        case Call(args=args) if aggregates(expr):
            return keep(args[-1], before, moment)
        case _:
            values = moment.vector(expr).values
            return {k: v if known(v) else (before or {}).get(k, NAN) for k, v in values.items()}


def keep_members(expr: Expr, group: Members, before: Kept, moment: Moment) -> Kept:
    """Who is there now, and who was; since when a member is missing counts only while its group has a value."""
    goes_on = known(fold(fold_behind(expr, moment), group.values()))
    out = {k: (*before[k][:2], went_missing(expr, k, moment) if goes_on else math.inf) for k in before}
    return out | {k: (value, weight, math.inf) for k, (value, weight) in group.items()}


def went_missing(expr: Expr, labels: Labels, moment: Moment) -> float:
    """When the value of a member, or its weight, ended."""
    selectors = list(parts_of(expr, moment))
    return min(moment.market.ended(selector, labels, moment.t) for selector in selectors)


def parts_of(expr: Expr, moment: Moment) -> Iterator[Selector]:
    """The series of the members, and that of their weights."""
    found = expr if isinstance(expr, Selector) else expr.inner if isinstance(expr, Folded) else None
    if found is None:
        assert isinstance(expr, Call)
        yield from (arg for arg in expr.args if isinstance(arg, Selector))
        found = expr.args[0]
    else:
        assert isinstance(found, Selector)
        yield found
    assert isinstance(found, Selector)
    if fold_behind(expr, moment) is Fold.OI_MEAN and not (isinstance(expr, Call) and expr.name == "weighted_avg"):
        yield Selector(series="open_interest", offset_ns=found.offset_ns)


def returned(then: Kept, now: Members, t: int) -> Members:
    """Of then the members that are here now, less those that were missing for too long."""
    return {k: (value, weight) for k, (value, weight, since) in then.items() if k in now and t - since <= PAUSE_NS}


def ends_of(expr: Expr, then: Any, moment: Moment) -> tuple[Vector, Vector]:
    """The expression then and now."""
    groups = members_behind(expr, moment)
    table = moment.vector(expr)
    if groups is not None:
        how = fold_behind(expr, moment)
        both = {k: common(how, returned(then.get(k, {}), group, moment.t), group) for k, group in groups.items()}
        before, now = (Vector(table.names, {k: v[at] for k, v in both.items()}) for at in (0, 1))
        return before, now
    match expr:
        case Arithmetic(op=op, left=left, right=right):
            one, other = ends_of(left, then[0], moment), ends_of(right, then[1], moment)
            meeting = Meeting(expr, moment.vector(left), moment.vector(right))
            return arithmetic(op, one[0], other[0], meeting), arithmetic(op, one[1], other[1], meeting)
        case Negate(inner=inner):
            before, now = ends_of(inner, then, moment)
            return negative(before), negative(now)
        case Call(args=args) if aggregates(expr):
            return folded(expr, *ends_of(args[-1], then, moment))
        case _:
            past = {k: then.get(k, table.default) for k in table.values}
            return Vector(table.names, past, table.default), table


def folded(call: Call, before: Vector, now: Vector) -> tuple[Vector, Vector]:
    """Both instants of an aggregate, over the elements that are known at both."""
    gone = {k for k in now.values if not (known(before.at(k)) and known(now.at(k)))}
    q = call.args[0].value if isinstance(call.args[0], Number) else NAN
    one, other = (
        aggregate(
            call.name,
            Vector(side.names, {k: NAN if k in gone else side.at(k) for k in now.values}, side.default),
            call.grouping or ALL,
            q,
        )
        for side in (before, now)
    )
    return one, other


def aggregates(expr: Expr) -> bool:
    """Whether a call folds labels of a vector at one instant."""
    return isinstance(expr, Call) and expr.name in AGGREGATES and expr.args[-1].type.shape is Shape.VECTOR
