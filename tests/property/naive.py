"""The reference: a whole typed tree evaluated over plain lists of rows, slowly and obviously."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from monitor.clock import NS_PER_S
from monitor.engine.panes import pane_of
from monitor.engine.projection import group_labels, matches
from monitor.events import Labels
from monitor.expression import Arithmetic, Call, Compare, Expr, Folded, Grouping, Number, Range, Selector
from monitor.series import SERIES, Fold
from monitor.window import Path
from monitor.windows import WINDOWS

Vector = dict[Labels, float]


@dataclass(frozen=True)
class Row:
    """One event or gauge change; ``value`` in USD or the gauge's unit; ``order`` is that of arrival."""

    series: str
    labels: Labels
    ts: int
    value: float
    order: int


class Naive:
    """Everything that has arrived so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.began_ns = 0

    def begin(self, now_ns: int, series: set[str]) -> None:
        """Fix where sampling begins: at the oldest row known at the first evaluation, else at that evaluation."""
        if not self.began_ns:
            self.began_ns = min((row.ts for row in self.rows if row.series in series), default=now_ns)

    def members(self, selector: Selector, end_ns: int) -> dict[Labels, list[Row]]:
        accept = matches(selector.matchers)
        found: dict[Labels, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: (row.ts, row.order)):
            if row.series == selector.series and accept(row.labels):
                kept = found.setdefault(row.labels, [])
                if row.ts <= end_ns:
                    kept.append(row)
        return found

    def value_at(self, rows: list[Row], series: str, at_ns: int) -> float:
        past = [row for row in rows if row.ts <= at_ns]
        if not past or past[-1].ts + SERIES[series].stale_s * NS_PER_S < at_ns:
            return math.nan
        return past[-1].value

    def evaluate(self, expr: Expr, t: int) -> Vector:
        match expr:
            case Number(value=value):
                return {(): value}
            case Selector():
                return {k: self.value_at(rows, expr.series, t) for k, rows in self.members(expr, t).items()}
            case Folded(inner=Selector() as inner, grouping=grouping):
                return fold(SERIES[inner.series].fold, self.evaluate(inner, t), grouping)
            case Call():
                return self.call(expr, t)
            case Arithmetic(left=left, right=right, op="/"):
                a, b = self.evaluate(left, t), self.evaluate(right, t)
                return {k: a[k] / b[k] if b.get(k) else math.nan for k in a}
            case Compare(left=left):
                return self.evaluate(left, t)
            case _:
                raise NotImplementedError(type(expr).__name__)

    def call(self, call: Call, t: int) -> Vector:
        subject = call.args[-1]
        assert isinstance(subject, Range)
        selector = subject.inner
        if not isinstance(selector, Selector) or subject.step_ns:
            return self.sampled(call, subject, t)
        if SERIES[selector.series].form == "events":
            return self.of_events(call, subject, selector, t)
        if call.grouping is None:
            return self.of_members(call, subject, selector, t)
        return self.of_ends(call, subject, selector, t)

    def of_events(self, call: Call, subject: Range, selector: Selector, t: int) -> Vector:
        start = t - subject.window_ns
        pane = pane_of(subject.window_ns) if call.name in ("sum", "count", "rate", "mean") else 0
        groups: dict[Labels, list[Row]] = {} if call.grouping and call.grouping.labels else {(): []}
        for labels, rows in self.members(selector, t).items():
            inside = [r for r in rows if (-(-r.ts // pane) * pane if pane else r.ts) > start]
            groups.setdefault(group_labels(labels, call.grouping or Grouping()), []).extend(inside)
        return {
            k: WINDOWS[call.name].naive(
                self.path(call, sorted(rows, key=lambda r: (r.ts, r.order)), start, t, "events")
            )
            for k, rows in groups.items()
        }

    def of_members(self, call: Call, subject: Range, selector: Selector, t: int) -> Vector:
        start, out = t - subject.window_ns, {}
        for labels, rows in self.members(selector, t).items():
            inside = [r for r in rows if r.ts > start]
            path = self.path(
                call,
                inside,
                start,
                t,
                "gauge",
                now=self.value_at(rows, selector.series, t),
                before=self.value_at(rows, selector.series, start),
                stale_ns=SERIES[selector.series].stale_s * NS_PER_S,
            )
            out[labels] = WINDOWS[call.name].naive(path)
        return out

    def of_ends(self, call: Call, subject: Range, selector: Selector, t: int) -> Vector:
        """``change`` and ``delta`` with ``by``: both ends over the members present at both."""
        members = self.members(selector, t)
        now = {k: self.value_at(rows, selector.series, t) for k, rows in members.items()}
        then = {k: self.value_at(rows, selector.series, t - subject.window_ns) for k, rows in members.items()}
        both = {k for k in members if not math.isnan(now[k]) and not math.isnan(then[k])}
        a, b = (
            fold(
                SERIES[selector.series].fold, {k: v if k in both else math.nan for k, v in side.items()}, call.grouping
            )
            for side in (then, now)
        )
        if call.name == "delta":
            return {k: b[k] - a[k] for k in a}
        return {k: b[k] / a[k] - 1 if a[k] else math.nan for k in a}

    def sampled(self, call: Call, subject: Range, t: int) -> Vector:
        start, now = t - subject.window_ns, self.evaluate(subject.inner, t)
        grid = range(-(-self.began_ns // subject.step_ns) * subject.step_ns, t + 1, subject.step_ns)
        taken = [(g, self.evaluate(subject.inner, g)) for g in grid if g > start - subject.step_ns]
        out = {}
        for labels, value in now.items():
            known = [(g, v.get(labels, math.nan)) for g, v in taken]
            inside = [(g, x) for g, x in known if g > start and not math.isnan(x)]
            before = [x for g, x in known if g <= start]
            path = Path(
                [g for g, _ in inside],
                [x for _, x in inside],
                start,
                t,
                "samples",
                now=value,
                before=before[-1] if before else math.nan,
                step_ns=subject.step_ns,
            )
            out[labels] = WINDOWS[call.name].naive(path)
        return out

    @staticmethod
    def path(call: Call, rows: list[Row], start: int, end: int, source: str, **more: float) -> Path:
        q = call.args[0].value if isinstance(call.args[0], Number) else math.nan
        return Path([r.ts for r in rows], [r.value for r in rows], start, end, source, q=q, **more)  # type: ignore[arg-type]


def fold(how: Fold, values: Vector, grouping: Grouping | None) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in values.items():
        members = groups.setdefault(group_labels(labels, grouping), [])
        if not math.isnan(value):
            members.append(value)
    folds: dict[Fold, Callable[[list[float]], float]] = {
        Fold.SUM: math.fsum,
        Fold.MEDIAN: statistics.median,
        Fold.MEAN: statistics.fmean,
        Fold.MIN: min,
        Fold.MAX: max,
    }
    return {labels: float(folds[how](members)) if members else math.nan for labels, members in groups.items()}
