"""Samples of an expression on an aligned grid, and functions over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.engine.compile import grid_of
from monitor.events import Labels
from monitor.expression import Call, Expr, Folded, Grouping, Number, Range, Selector
from monitor.series import Unit
from monitor.window import Path
from monitor.windows import PAIRS, WINDOWS
from tests.property.naive.folding import chain, kept
from tests.property.naive.matching import Meeting
from tests.property.naive.tables import NAN, Table, Vector, known

if TYPE_CHECKING:
    from tests.property.naive.moment import Memory, Moment, World

Taken = list[tuple[int, Table]]


def taken(world: World, inner: Expr, step_ns: int, t: int) -> Taken:
    """The values of an expression at every grid instant since the start, each as it was when its time came."""
    memory, done = world.samples_of(inner, step_ns)
    first = done[-1][0] + step_ns if done else -(-world.began_ns // step_ns) * step_ns
    for at in range(first, t + 1, step_ns):
        done.append((at, sample(world, inner, at, memory)))
    return [(at, table) for at, table in done if at <= t]


def sample(world: World, inner: Expr, at: int, memory: Memory) -> Table:
    """One sample: taken before the recording rules of the same instant write down what they say."""
    rows = world.market.rows
    world.market.rows = [row for row in rows if row.series not in world.recorded or row.ts != at]
    try:
        return world.at(at, memory).evaluate(inner)
    finally:
        world.market.rows = rows


def over_samples(call: Call, subject: Range, moment: Moment) -> dict[Labels, float]:
    inner, link = sampled(subject.inner, call.grouping)
    function = WINDOWS[call.name]
    step_ns = subject.step_ns or function.step_ns or grid_of(subject.window_ns)
    end = moment.t - subject.offset_ns
    start = end - subject.window_ns
    now = moment.vector(inner)
    before_end = [(g, table) for g, table in taken(moment.world, inner, step_ns, moment.t) if g <= end]
    columns = in_one_measure(inner, link, before_end, now, moment, live=not subject.offset_ns)
    out = {}
    for labels, column in columns.items():
        points = [(g, x) for (g, _), x in zip(before_end, column, strict=True)]
        inside = [(g, x) for g, x in points if start < g <= end]
        before = [x for g, x in points if start - step_ns < g <= start]
        value = now.values[labels] if not subject.offset_ns else (inside[-1][1] if inside else NAN)
        filled = [(g, x) for g, x in inside if known(x)]
        path = Path(
            [g for g, _ in filled],
            [x for _, x in filled],
            start,
            end,
            "samples",
            now=value,
            before=before[-1] if before else NAN,
            step_ns=step_ns,
            q=call.args[0].value if isinstance(call.args[0], Number) else NAN,
        )
        out[labels] = function.naive(path)
    return out


def sampled(inner: Expr, grouping: Grouping | None) -> tuple[Expr, str]:
    """What is sampled, and how a change of its members is taken out: as a ratio, a difference, or not at all."""
    link = "ratio" if inner.type.unit in (Unit.USD, Unit.PRICE, Unit.NUMBER, Unit.COUNT) else "difference"
    if grouping is not None:
        labels = tuple(sorted(kept(frozenset(inner.type.labels), grouping)))
        typed = Folded(inner=inner, grouping=grouping, type=replace(inner.type, labels=labels))
        return typed, link if isinstance(inner, Selector) else ""
    return inner, link if isinstance(inner, Folded) else ""


def in_one_measure(
    inner: Expr, link: str, points: Taken, now: Vector, moment: Moment, *, live: bool
) -> dict[Labels, list[float]]:
    """Samples per label set; linked ones in the terms of the members of the last sample, or of now."""
    tables = [table for _, table in points]
    out = {k: [v.at(k) for v in tables if isinstance(v, Vector)] for k in now.values}
    if not link or not isinstance(inner, Folded) or not isinstance(inner.inner, Selector):
        return out
    selector, grouping, behind = inner.inner, inner.grouping, moment.world.behind
    how = moment.market.fold_of(selector, grouping)
    for at, _ in points:
        if (selector, grouping, at) not in behind:
            behind[selector, grouping, at] = moment.market.present(selector, grouping, at)
    groups = [behind[selector, grouping, at] for at, _ in points]
    if live:
        groups.append(moment.market.present(selector, grouping, moment.t))
    for labels, column in out.items():
        links = chain(how, link, [group.get(labels, {}) for group in groups])
        for at, value in enumerate(column):
            column[at] = value * links[-1] / links[at] if link == "ratio" else value + links[-1] - links[at]
    return out


def pair(call: Call, moment: Moment) -> Vector:
    """``corr`` and ``beta``: two sampled expressions, met on their labels."""
    sides: list[dict[Labels, list[float]]] = []
    tables: list[Vector] = []
    for arg in call.args:
        assert isinstance(arg, Range)
        step_ns = arg.step_ns or PAIRS[call.name].step_ns
        inner, link = sampled(arg.inner, call.grouping)
        points = taken(moment.world, inner, step_ns, moment.t)
        now = moment.vector(inner)
        names = frozenset(call.grouping.labels) if call.grouping else frozenset(arg.type.labels)
        tables.append(Vector(names, now.values))
        columns = in_one_measure(inner, link, points, now, moment, live=False)
        end = moment.t - arg.offset_ns
        keep = [end - arg.window_ns < g <= end for g, _ in points]
        sides.append({k: [x for x, inside in zip(c, keep, strict=True) if inside] for k, c in columns.items()})
    left, right = sides
    meeting, out = Meeting(call, *tables), {}
    for labels, (a, b) in meeting.pairs.items():
        if a is None or b is None or meeting.torn(labels):
            out[labels] = NAN
        else:
            out[labels] = PAIRS[call.name].naive(left[a], right[b])
    return Vector(meeting.names, out)
