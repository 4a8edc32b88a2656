"""The reference: the whole language over plain lists of rows, slowly and obviously; nothing is kept but what a rule must remember.

A value at an instant is a table from label sets to numbers, a condition one from label sets to true, false or unknown.
``default`` is what a label set without a row has: 0 for totals of events (nothing happened), missing for the rest.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.clock import NS_PER_S
from monitor.engine.compile import grid_of
from monitor.engine.panes import pane_of
from monitor.engine.projection import PREFERRED_KINDS, group_labels, matches
from monitor.events import Labels
from monitor.expression import (
    Arithmetic,
    Call,
    Compare,
    Expr,
    Folded,
    Grouping,
    KOf,
    Logic,
    Matcher,
    Matching,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Shape,
    Then,
)
from monitor.rule import Override, Rule, RuleSet
from monitor.series import SERIES, Fold, SeriesSpec, Unit
from monitor.window import Path
from monitor.windows import PAIRS, WINDOWS

NAN = math.nan
TRUE, FALSE, UNKNOWN = 1, 0, -1
ALL = Grouping()
TOTALS = ("sum", "count", "rate", "mean")
ENDS = ("change", "delta", "rate")
NEAR = 1e-9
"""Of two numbers so close their order is rounding; a test that meets such a pair proves nothing and is left out."""


def known(value: float) -> bool:
    return not math.isnan(value)


@dataclass(frozen=True)
class Row:
    """One event or gauge change; ``value`` in USD or the gauge's unit; ``order`` is that of arrival."""

    series: str
    labels: Labels
    ts: int
    value: float
    order: int


@dataclass
class Vector:
    """Numbers by label set; ``gone`` are elements that do not exist now (not among the top k)."""

    names: frozenset[str]
    values: dict[Labels, float]
    default: float = NAN
    gone: frozenset[Labels] = frozenset()

    def at(self, labels: Labels | None) -> float:
        return self.default if labels is None else self.values.get(labels, self.default)


@dataclass
class Condition:
    """Truth by label set, with both sides of the deciding comparison."""

    names: frozenset[str]
    truth: dict[Labels, int]
    values: dict[Labels, float]
    thresholds: dict[Labels, float]
    default: int = UNKNOWN

    def at(self, labels: Labels | None) -> int:
        return self.default if labels is None else self.truth.get(labels, self.default)


Table = Vector | Condition
Members = dict[Labels, tuple[float, float]]
"""Value and weight of the members that are present."""


@dataclass
class Verdict:
    """What a rule says of one label set."""

    truth: int
    value: float
    threshold: float
    clear: int | None
    level: int | None


@dataclass
class Memory:
    """What conditions remember from one evaluation to the next, by expression; and this evaluation's results."""

    now: int = -1
    results: dict[Expr, Table] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict)


class Naive:
    """Everything that has arrived so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.specs: dict[str, SeriesSpec] = dict(SERIES)
        self.began_ns = 0
        self.near = False
        """Whether a comparison was decided by rounding."""
        self._main = Memory()
        self._levels: dict[Any, set[Labels]] = {}
        self._said: dict[tuple[str, Labels], float] = {}
        self._samples: dict[tuple[Expr, int], tuple[Memory, list[tuple[int, Table]]]] = {}
        self._behind: dict[tuple[Selector, Grouping, int], dict[Labels, Members]] = {}

    # Rules

    def begin(self, now_ns: int) -> None:
        """Note the first evaluation, from which on samples are taken."""
        if not self.began_ns:
            self.began_ns = now_ns

    def record(self, rules: RuleSet, now_ns: int) -> None:
        """Write down what the recording rules say now, where it is not what they said last."""
        for recording in rules.recordings:
            table = self.evaluate(recording.expr, now_ns)
            values = table.values
            if isinstance(table, Condition):
                values = {k: NAN if t == UNKNOWN else float(t) for k, t in table.truth.items()}
            for labels, value in values.items():
                full = tuple(sorted({**dict(labels), **recording.labels}.items()))
                said = self._said.get((recording.name, full))
                if said is not None and (said == value or not (known(said) or known(value))):
                    continue
                self._said[recording.name, full] = value
                self.rows.append(Row(recording.name, full, now_ns, value, len(self.rows)))

    def judge(self, rule: Rule, now_ns: int) -> dict[Labels, Verdict]:
        """What an alert rule says, by label set."""
        base = self.condition(rule.expr, now_ns)
        clear = self.condition(rule.clear, now_ns) if rule.clear else None
        level = self._level(rule, rule, base, now_ns)
        out = {}
        for labels, truth in base.truth.items():
            said = clear.at(meet(labels, clear)) if clear else None
            out[labels] = Verdict(truth, base.values[labels], base.thresholds[labels], said, level.get(labels))
        for override in rule.overrides:
            self._override(rule, override, base, out, now_ns)
        return out

    def _override(
        self, rule: Rule, override: Override, base: Condition, out: dict[Labels, Verdict], now_ns: int
    ) -> None:
        main = self.condition(override.expr, now_ns)
        clear = self.condition(override.clear, now_ns) if override.clear else None
        level = self._level(rule, override, base, now_ns)
        for labels, verdict in out.items():
            if not set(override.labels) <= set(labels):
                continue
            at = meet(labels, main)
            verdict.truth = main.at(at)
            verdict.value = main.values.get(at, NAN) if at is not None else NAN
            verdict.threshold = main.thresholds.get(at, NAN) if at is not None else NAN
            if clear:
                verdict.clear = clear.at(meet(labels, clear))
            if override.levels:
                verdict.level = level.get(labels)

    def _level(self, rule: Rule, source: Rule | Override, base: Condition, now_ns: int) -> dict[Labels, int]:
        """Highest step that holds; one with a ``clear`` holds until that is true."""
        if not source.levels:
            return {}
        out = dict.fromkeys(base.truth, -1)
        for number, step in enumerate(source.levels):
            truth = self.condition(step.expr, now_ns)
            clear = self.condition(step.clear, now_ns) if step.clear else None
            labels_of = () if isinstance(source, Rule) else source.labels
            held = self._levels.setdefault((rule.id, labels_of, number), set())
            for labels in out:
                holds = truth.at(meet(labels, truth)) == TRUE
                stays = clear is not None and labels in held and clear.at(meet(labels, clear)) != TRUE
                (held.add if holds or stays else held.discard)(labels)
                if labels in held:
                    out[labels] = number
        return out

    # Expressions

    def evaluate(self, expr: Expr, t: int, memory: Memory | None = None) -> Table:
        """An expression's table; once per instant, for whatever it remembers."""
        memory = memory or self._main
        if memory.now != t:
            memory.now, memory.results = t, {}
        found = memory.results.get(expr)
        if found is None:
            found = memory.results[expr] = self._evaluate(expr, t, memory)
        return found

    def vector(self, expr: Expr, t: int, memory: Memory | None = None) -> Vector:
        table = self.evaluate(expr, t, memory)
        assert isinstance(table, Vector), expr
        return table

    def condition(self, expr: Expr, t: int, memory: Memory | None = None) -> Condition:
        table = self.evaluate(expr, t, memory)
        assert isinstance(table, Condition), expr
        return table

    def _evaluate(self, expr: Expr, t: int, memory: Memory) -> Table:  # noqa: PLR0911 - one for each kind of node
        names = frozenset(expr.type.labels)
        match expr:
            case Number(value=value):
                return Vector(names, {(): value}, value)
            case Selector():
                return Vector(names, self.folded(expr, None, t))
            case Folded(inner=Selector() as inner, grouping=grouping):
                return Vector(names, self.folded(inner, grouping, t))
            case Folded(inner=inner, grouping=grouping):
                return aggregate("mean", self.vector(inner, t, memory), grouping, NAN)
            case Negate(inner=inner):
                one = self.vector(inner, t, memory)
                return Vector(names, {k: -v for k, v in one.values.items()}, -one.default, one.gone)
            case Arithmetic(op=op, left=left, right=right):
                sides = self.vector(left, t, memory), self.vector(right, t, memory)
                return arithmetic(op, *sides, Meeting(expr, *sides))
            case Call():
                return self.call(expr, t, memory)
            case _:
                return self.logic(expr, t, memory)

    def logic(self, expr: Expr, t: int, memory: Memory) -> Condition:
        match expr:
            case Compare():
                return self.compare(expr, t, memory)
            case Logic(op=op, left=left, right=right):
                sides = self.condition(left, t, memory), self.condition(right, t, memory)
                return logical(op, *sides, Meeting(expr, *sides))
            case Not(inner=inner):
                one = self.condition(inner, t, memory)
                turned = {k: negated(v) for k, v in one.truth.items()}
                return Condition(one.names, turned, one.values, one.thresholds, negated(one.default))
            case KOf(k=k, conditions=conditions):
                return at_least(k, [self.condition(part, t, memory) for part in conditions])
            case Then():
                return self.then(expr, t, memory)
            case _:
                raise NotImplementedError(type(expr).__name__)

    def compare(self, expr: Compare, t: int, memory: Memory) -> Condition:
        left, right = self.vector(expr.left, t, memory), self.vector(expr.right, t, memory)
        meeting = Meeting(expr, left, right)
        out = Condition(meeting.names, {}, {}, {}, compared(expr.op, left.default, right.default))
        for labels, (a, b) in meeting.pairs.items():
            x, y = left.at(a), NAN if meeting.torn(labels) else right.at(b)
            self.near = self.near or (x != y and abs(x - y) <= NEAR * max(1.0, abs(x), abs(y)))
            self.near = self.near or (x == y and not (exact(expr.left) and exact(expr.right)))
            gone = a in left.gone or b in right.gone
            out.truth[labels] = FALSE if gone else compared(expr.op, x, y)
            out.values[labels], out.thresholds[labels] = x, y
        return out

    def call(self, call: Call, t: int, memory: Memory) -> Table:
        special: dict[str, Callable[[Call, int, Memory], Table]] = {
            "held": self.held,
            "since": self.since,
            "absent": self.absent,
            "crosses_above": self.crosses,
            "crosses_below": self.crosses,
            "topk": self.topk,
            "weighted_avg": self.weighted,
        }
        if call.name in special:
            return special[call.name](call, t, memory)
        subject = call.args[-1]
        if isinstance(subject, Range):
            return self.over_time(call, subject, t, memory)
        if call.name == "last" and isinstance(subject, Selector):
            return Vector(frozenset(call.type.labels), self.folded(subject, call.grouping, t))
        table = self.evaluate(subject, t, memory)
        if isinstance(table, Condition):
            return count_true(table, call.grouping or ALL)
        q = call.args[0].value if isinstance(call.args[0], Number) else NAN
        return aggregate(call.name, table, call.grouping or ALL, q)

    # Gauges

    def members(self, selector: Selector, grouping: Grouping | None) -> dict[Labels, list[Row]]:
        """Rows of each member that the selector takes, in time order; of a gauge the last word for each instant."""
        spec = self.specs[selector.series]
        given = {matcher.label for matcher in selector.matchers}
        given |= set(grouping.labels) if grouping and not grouping.without else set()
        defaults = [Matcher(k, "=", v) for k, v in spec.defaults if k not in given]
        accept = matches((*selector.matchers, *defaults))
        found: dict[Labels, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: (row.ts, row.order)):
            if row.series == selector.series and accept(row.labels):
                kept = found.setdefault(row.labels, [])
                if spec.form == "gauge" and kept and kept[-1].ts == row.ts:
                    kept.pop()
                kept.append(row)
        return preferred(found) if selector.series == "price" and "kind" not in given else found

    def value_at(self, rows: list[Row], series: str, at_ns: int) -> float:
        past = [row for row in rows if row.ts <= at_ns]
        if not past or past[-1].ts + self.specs[series].stale_s * NS_PER_S < at_ns:
            return NAN
        return past[-1].value

    def present(self, selector: Selector, grouping: Grouping | None, t: int) -> dict[Labels, Members]:
        """The present members of every group, with their weights."""
        at_ns = t - selector.offset_ns
        weigh = grouping is not None and self.specs[selector.series].fold is Fold.OI_MEAN
        interest = self.interest(at_ns) if weigh else {}
        groups: dict[Labels, Members] = {(): {}} if grouping and not grouping.labels and not grouping.without else {}
        for labels, rows in self.members(selector, grouping).items():
            group = groups.setdefault(group_labels(labels, grouping), {})
            value = self.value_at(rows, selector.series, at_ns)
            weight = interest.get(market(labels), NAN) if weigh else 1.0
            if known(value) and known(weight):
                group[labels] = (value, weight)
        return groups

    def interest(self, at_ns: int) -> dict[tuple[str, str], float]:
        rows = self.members(Selector(series="open_interest"), None)
        return {market(labels): self.value_at(own, "open_interest", at_ns) for labels, own in rows.items()}

    def fold_of(self, selector: Selector, grouping: Grouping | None) -> Fold:
        return self.specs[selector.series].fold if grouping is not None else Fold.MEAN

    def folded(self, selector: Selector, grouping: Grouping | None, t: int) -> dict[Labels, float]:
        how = self.fold_of(selector, grouping)
        return {k: fold(how, group.values()) for k, group in self.present(selector, grouping, t).items()}

    def weighted(self, call: Call, t: int, _memory: Memory) -> Vector:
        groups = self.weighted_members(call, t)
        return Vector(frozenset(call.type.labels), {k: fold(Fold.OI_MEAN, g.values()) for k, g in groups.items()})

    def weighted_members(self, call: Call, t: int) -> dict[Labels, Members]:
        x, w = call.args
        assert isinstance(x, Selector)
        assert isinstance(w, Selector)
        shared = set(self.specs[x.series].labels) & set(self.specs[w.series].labels)

        def key(labels: Labels) -> Labels:
            return tuple(pair for pair in labels if pair[0] in shared)

        at_ns = t - w.offset_ns
        weights = {key(k): self.value_at(rows, w.series, at_ns) for k, rows in self.members(w, None).items()}
        groups = self.present(Selector(series=x.series, matchers=x.matchers, offset_ns=x.offset_ns), None, t)
        out: dict[Labels, Members] = {}
        grouping = call.grouping or ALL
        if not grouping.labels and not grouping.without:
            out[()] = {}
        for labels in self.members(x, grouping):
            mine = out.setdefault(group_labels(labels, grouping), {})
            weight = weights.get(key(labels), NAN)
            for value, _ in groups[labels].values():
                if known(weight):
                    mine[labels] = (value, weight)
        return out

    # Windows

    def over_time(self, call: Call, subject: Range, t: int, memory: Memory) -> Vector:
        selector, names = subject.inner, frozenset(call.type.labels)
        if call.name in PAIRS:
            return self.pair(call, t, memory)
        if isinstance(selector, Selector) and not subject.step_ns:
            if self.specs[selector.series].form == "events":
                values = self.of_events(call, subject, selector, t)
                return Vector(names, values, 0.0 if call.name in ("sum", "count", "rate") else NAN)
            if call.name in ENDS:
                return Vector(names, self.of_ends(call, subject, selector, t))
            if call.grouping is None and "gauge" in WINDOWS[call.name].sources:
                return Vector(names, self.of_members(call, subject, selector, t))
            if call.name in ("sum", "count"):
                return Vector(names, self.of_rows(call, subject, selector, t))
        return Vector(names, self.of_samples(call, subject, t, memory))

    def groups_of(self, call: Call, selector: Selector, grouping: Grouping) -> dict[Labels, list[Row]]:
        out: dict[Labels, list[Row]] = {(): []} if not grouping.labels and not grouping.without else {}
        for labels, rows in self.members(selector, grouping).items():
            out.setdefault(group_labels(labels, grouping), []).extend(rows)
        return {k: sorted(rows, key=lambda r: (r.ts, r.order)) for k, rows in out.items()}

    def of_events(self, call: Call, subject: Range, selector: Selector, t: int) -> dict[Labels, float]:
        end = t - subject.offset_ns - selector.offset_ns
        start = end - subject.window_ns
        pane = pane_of(subject.window_ns) if call.name in TOTALS else 0
        out = {}
        for labels, rows in self.groups_of(call, selector, call.grouping or ALL).items():
            inside = [r for r in rows if (-(-r.ts // pane) * pane if pane else r.ts) > start and r.ts <= end]
            out[labels] = WINDOWS[call.name].naive(path_of(call, inside, start, end, "events"))
        return out

    def of_rows(self, call: Call, subject: Range, selector: Selector, t: int) -> dict[Labels, float]:
        """``sum`` and ``count`` of a gauge's rows."""
        end = t - subject.offset_ns - selector.offset_ns
        start = end - subject.window_ns
        out = {}
        for labels, rows in self.groups_of(call, selector, call.grouping or ALL).items():
            inside = [r for r in rows if start < r.ts <= end and known(r.value)]
            out[labels] = WINDOWS[call.name].naive(path_of(call, inside, start, end, "gauge"))
        return out

    def of_members(self, call: Call, subject: Range, selector: Selector, t: int) -> dict[Labels, float]:
        end = t - subject.offset_ns - selector.offset_ns
        start, out = end - subject.window_ns, {}
        for labels, rows in self.members(selector, None).items():
            inside = [r for r in rows if start < r.ts <= end and known(r.value)]
            path = path_of(
                call,
                inside,
                start,
                end,
                "gauge",
                now=self.value_at(rows, selector.series, end),
                before=self.value_at(rows, selector.series, start),
                stale_ns=self.specs[selector.series].stale_s * NS_PER_S,
            )
            out[labels] = WINDOWS[call.name].naive(path)
        return out

    def of_ends(self, call: Call, subject: Range, selector: Selector, t: int) -> dict[Labels, float]:
        """``change``, ``delta``, ``rate`` of a gauge: both ends over the members present at both."""
        how, grouping = self.fold_of(selector, call.grouping), call.grouping
        end = t - subject.offset_ns
        now, then = self.present(selector, grouping, end), self.present(selector, grouping, end - subject.window_ns)
        out = {}
        for labels in now:
            a, b = common(how, then.get(labels, {}), now[labels])
            if call.name == "change":
                out[labels] = b / a - 1 if a else NAN
            else:
                out[labels] = (b - a) / (subject.window_ns / NS_PER_S if call.name == "rate" else 1.0)
        return out

    # Samples

    def taken(self, inner: Expr, step_ns: int, t: int) -> list[tuple[int, Table]]:
        """The values of an expression at every grid instant since the start, each as it was when its time came."""
        memory, done = self._samples.setdefault((inner, step_ns), (Memory(), []))
        first = done[-1][0] + step_ns if done else -(-self.began_ns // step_ns) * step_ns
        done += [(at, self._sample(inner, at, memory)) for at in range(first, t + 1, step_ns)]
        return [(at, table) for at, table in done if at <= t]

    def _sample(self, inner: Expr, at: int, memory: Memory) -> Table:
        """One sample: taken before the recording rules of the same instant write down what they say."""
        written = {name for name, _ in self._said}
        rows = self.rows
        self.rows = [row for row in rows if row.series not in written or row.ts != at]
        try:
            return self.evaluate(inner, at, memory)
        finally:
            self.rows = rows

    def of_samples(self, call: Call, subject: Range, t: int, memory: Memory) -> dict[Labels, float]:
        inner, link = self.sampled(subject.inner, call.grouping)
        function = WINDOWS[call.name]
        step_ns = subject.step_ns or function.step_ns or grid_of(subject.window_ns)
        end = t - subject.offset_ns
        start = end - subject.window_ns
        now = self.vector(inner, t, memory)
        taken = [(g, table) for g, table in self.taken(inner, step_ns, t) if g <= end]  # with an offset: as seen then
        columns = self.columns(inner, link, taken, now, t, live=not subject.offset_ns)
        out = {}
        for labels, column in columns.items():
            inside = [(g, x) for (g, _), x in zip(taken, column, strict=True) if start < g <= end]
            before = [x for (g, _), x in zip(taken, column, strict=True) if start - step_ns < g <= start]
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

    def sampled(self, inner: Expr, grouping: Grouping | None) -> tuple[Expr, str]:
        """What is sampled, and whether a change of its members is taken out of it."""
        if grouping is not None:
            unit = inner.type.unit
            labels = tuple(sorted(kept(frozenset(inner.type.labels), grouping)))
            typed = Folded(inner=inner, grouping=grouping, type=replace(inner.type, labels=labels))
            if not isinstance(inner, Selector):
                return typed, ""
            return typed, "ratio" if unit in (Unit.USD, Unit.PRICE, Unit.NUMBER, Unit.COUNT) else "difference"
        if isinstance(inner, Folded):
            positive = inner.type.unit in (Unit.USD, Unit.PRICE, Unit.NUMBER, Unit.COUNT)
            return inner, "ratio" if positive else "difference"
        return inner, ""

    def columns(
        self, inner: Expr, link: str, taken: list[tuple[int, Table]], now: Vector, t: int, *, live: bool
    ) -> dict[Labels, list[float]]:
        """Samples per label set; linked ones in the terms of the members of the last sample, or of now."""
        tables = [table for _, table in taken]
        out = {k: [v.at(k) for v in tables if isinstance(v, Vector)] for k in now.values}
        if not link or not isinstance(inner, Folded) or not isinstance(inner.inner, Selector):
            return out
        selector, grouping = inner.inner, inner.grouping
        how = self.fold_of(selector, grouping)
        for at, _ in taken:
            if (selector, grouping, at) not in self._behind:
                self._behind[selector, grouping, at] = self.present(selector, grouping, at)
        groups = [self._behind[selector, grouping, at] for at, _ in taken]
        if live:
            groups.append(self.present(selector, grouping, t))
        for labels, column in out.items():
            links = chain(how, link, [group.get(labels, {}) for group in groups])
            for at, value in enumerate(column):
                column[at] = value * links[-1] / links[at] if link == "ratio" else value + links[-1] - links[at]
        return out

    def pair(self, call: Call, t: int, memory: Memory) -> Vector:
        sides: list[dict[Labels, list[float]]] = []
        tables: list[Vector] = []
        for arg in call.args:
            assert isinstance(arg, Range)
            step_ns = arg.step_ns or PAIRS[call.name].step_ns
            inner, link = self.sampled(arg.inner, call.grouping)
            taken = self.taken(inner, step_ns, t)
            now = self.vector(inner, t, memory)
            names = frozenset(call.grouping.labels) if call.grouping else frozenset(arg.type.labels)
            tables.append(Vector(names, now.values))
            columns = self.columns(inner, link, taken, now, t, live=False)
            end = t - arg.offset_ns
            keep = [end - arg.window_ns < g <= end for g, _ in taken]
            sides.append({k: [x for x, inside in zip(c, keep, strict=True) if inside] for k, c in columns.items()})
        left, right = sides
        meeting, out = Meeting(call, *tables), {}
        for labels, (a, b) in meeting.pairs.items():
            if a is None or b is None or meeting.torn(labels):
                out[labels] = NAN
            else:
                out[labels] = PAIRS[call.name].naive(left[a], right[b])
        return Vector(meeting.names, out)

    # Conditions with a memory

    def held(self, call: Call, t: int, memory: Memory) -> Vector:
        inner = self.condition(call.args[0], t, memory)
        since, values = memory.kept.setdefault(call, ({}, {}))
        for labels, truth in inner.truth.items():
            if truth == TRUE:
                values[labels] = float(t - since.setdefault(labels, t))
            elif truth == FALSE:
                since.pop(labels, None)
                values[labels] = 0.0
            else:
                values.setdefault(labels, NAN)
        return Vector(inner.names, dict(values), 0.0 if inner.default == FALSE else NAN)

    def since(self, call: Call, t: int, memory: Memory) -> Vector:
        inner = self.condition(call.args[0], t, memory)
        last = memory.kept.setdefault(call, {})
        last.update({labels: t for labels, truth in inner.truth.items() if truth == TRUE})
        return Vector(inner.names, {k: float(t - last[k]) if k in last else NAN for k in inner.truth})

    def then(self, expr: Then, t: int, memory: Memory) -> Condition:
        sides = self.condition(expr.first, t, memory), self.condition(expr.second, t, memory)
        meeting = Meeting(expr, *sides)
        out = Condition(meeting.names, {}, {}, {}, FALSE if sides[1].default == FALSE else UNKNOWN)
        first_at, second_at, armed = memory.kept.setdefault(expr, ({}, {}, set()))
        for labels, (a, b) in meeting.pairs.items():
            first, second = sides[0].at(a), sides[1].at(b)
            if first == TRUE:
                first_at[labels] = t
            recent = labels in first_at and t - first_at[labels] <= expr.within_ns
            if second == TRUE and labels not in second_at:
                second_at[labels] = t
                (armed.add if recent else armed.discard)(labels)
            if second == FALSE:
                second_at.pop(labels, None)
                armed.discard(labels)
            truth = int(labels in armed and second == TRUE)
            out.truth[labels] = UNKNOWN if second == UNKNOWN and (labels in armed or recent) else truth
            out.values[labels] = sides[1].values.get(b, NAN) if b is not None else NAN
            out.thresholds[labels] = sides[1].thresholds.get(b, NAN) if b is not None else NAN
        return out

    def absent(self, call: Call, t: int, _memory: Memory) -> Condition:
        subject = call.args[0]
        if isinstance(subject, Selector):
            stale_ns = int(self.specs[subject.series].stale_s * NS_PER_S)
            subject = Range(inner=subject, window_ns=stale_ns)
        assert isinstance(subject, Range)
        selector = subject.inner
        assert isinstance(selector, Selector)
        end = t - subject.offset_ns - selector.offset_ns
        ran = t - self.began_ns >= subject.window_ns
        out = Condition(frozenset(call.type.labels), {}, {}, {})
        for labels, rows in self.groups_of(call, selector, call.grouping or ALL).items():
            count = sum(end - subject.window_ns < row.ts <= end for row in rows)
            out.truth[labels] = FALSE if count else TRUE if ran else UNKNOWN
            out.values[labels], out.thresholds[labels] = float(count), 0.0
        return out

    def crosses(self, call: Call, t: int, memory: Memory) -> Condition:
        sign = 1.0 if call.name == "crosses_above" else -1.0
        left, right = (self.vector(arg, t, memory) for arg in call.args)
        meeting = Meeting(call, left, right)
        out = Condition(meeting.names, {}, {}, {})
        before = memory.kept.get(call)
        comparing = Comparing(self, t, memory)
        ends = [comparing.ends(arg, then) for arg, then in zip(call.args, before, strict=True)] if before else []
        for labels, (a, b) in meeting.pairs.items():
            out.values[labels], out.thresholds[labels] = left.at(a), right.at(b)
            out.truth[labels] = UNKNOWN
            if ends and not meeting.torn(labels):
                (x0, x1), (y0, y1) = ends
                then, now = sign * (x0.at(a) - y0.at(b)), sign * (x1.at(a) - y1.at(b))
                self.near = self.near or abs(then) <= NEAR * max(1.0, abs(x0.at(a)))
                self.near = self.near or abs(now) <= NEAR * max(1.0, abs(x1.at(a)))
                if known(then) and known(now):
                    out.truth[labels] = int(then <= 0 < now)
        kept = before or (None, None)
        memory.kept[call] = tuple(comparing.keep(arg, then) for arg, then in zip(call.args, kept, strict=True))
        return out

    def topk(self, call: Call, t: int, memory: Memory) -> Vector:
        k = call.args[0]
        assert isinstance(k, Number)
        inner = self.vector(call.args[1], t, memory)
        groups: dict[Labels, list[Labels]] = {}
        for labels, value in inner.values.items():
            if known(value):
                groups.setdefault(group_labels(labels, call.grouping or ALL), []).append(labels)
        gone: set[Labels] = set(inner.gone)
        for group in groups.values():
            ranked = sorted(group, key=lambda labels: (-inner.values[labels], labels))
            edge = ranked[int(k.value) - 1 : int(k.value) + 1]
            if len(edge) == 2:
                x, y = (inner.values[labels] for labels in edge)
                self.near = self.near or (x != y and abs(x - y) <= NEAR * max(abs(x), abs(y)))
                self.near = self.near or (x == y and not exact(call.args[1]))
            gone |= set(ranked[int(k.value) :])
        return Vector(inner.names, {k: NAN if k in gone else v for k, v in inner.values.items()}, NAN, frozenset(gone))


class Comparing:
    """Two instants of one expression over the members that are present at both."""

    def __init__(self, naive: Naive, t: int, memory: Memory) -> None:
        self.naive, self.t, self.memory = naive, t, memory

    def parts(self, expr: Expr) -> dict[Labels, Members] | None:
        """The members behind a fold, which have to be the same ones at both instants."""
        match expr:
            case Selector():
                return self.naive.present(expr, None, self.t)
            case Folded(inner=Selector() as inner, grouping=grouping):
                return self.naive.present(inner, grouping, self.t)
            case Call(name="last", args=(Selector() as inner,), grouping=grouping):
                return self.naive.present(inner, grouping, self.t)
            case Call(name="weighted_avg"):
                return self.naive.weighted_members(expr, self.t)
            case _:
                return None

    def how(self, expr: Expr) -> Fold:
        """By which members are folded into a group."""
        return Fold.OI_MEAN if isinstance(expr, Call) and expr.name == "weighted_avg" else self.fold(expr)

    def keep(self, expr: Expr, before: Any) -> Any:
        """What the next evaluation compares with; where nothing is known now, what was known before."""
        groups = self.parts(expr)
        if groups is not None:
            how = self.how(expr)
            known_now = {k for k, group in groups.items() if known(fold(how, group.values()))}
            return {k: group if k in known_now else (before or {}).get(k, {}) for k, group in groups.items()}
        match expr:
            case Arithmetic(left=left, right=right):
                return tuple(
                    self.keep(side, then) for side, then in zip((left, right), before or (None, None), strict=True)
                )
            case Negate(inner=inner):
                return self.keep(inner, before)
            case Call(args=args) if aggregates(expr):
                return self.keep(args[-1], before)
            case _:
                values = self.naive.vector(expr, self.t, self.memory).values
                return {k: v if known(v) else (before or {}).get(k, NAN) for k, v in values.items()}

    def ends(self, expr: Expr, then: Any) -> tuple[Vector, Vector]:
        """The expression then and now."""
        groups = self.parts(expr)
        table = self.naive.vector(expr, self.t, self.memory)
        if groups is not None:
            how = self.how(expr)
            both = {k: common(how, then.get(k, {}), group) for k, group in groups.items()}
            return tuple(Vector(table.names, {k: v[at] for k, v in both.items()}) for at in (0, 1))  # type: ignore[return-value]
        match expr:
            case Arithmetic(op=op, left=left, right=right):
                one, other = self.ends(left, then[0]), self.ends(right, then[1])
                sides = self.naive.vector(left, self.t, self.memory), self.naive.vector(right, self.t, self.memory)
                meeting = Meeting(expr, *sides)
                return arithmetic(op, one[0], other[0], meeting), arithmetic(op, one[1], other[1], meeting)
            case Negate(inner=inner):
                before, now = self.ends(inner, then)
                return negative(before), negative(now)
            case Call(args=args) if aggregates(expr):
                return self.folds(expr, *self.ends(args[-1], then))
            case _:
                past = {k: then.get(k, table.default) for k in table.values}
                return Vector(table.names, past, table.default), table

    def folds(self, call: Call, before: Vector, now: Vector) -> tuple[Vector, Vector]:
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

    def fold(self, expr: Expr) -> Fold:
        if isinstance(expr, Selector):
            return Fold.MEAN
        assert isinstance(expr, Folded | Call)
        inner = expr.inner if isinstance(expr, Folded) else expr.args[0]
        assert isinstance(inner, Selector)
        return self.naive.fold_of(inner, expr.grouping)


def aggregates(expr: Expr) -> bool:
    """Whether a call folds labels of a vector at one instant."""
    return (
        isinstance(expr, Call)
        and expr.name in ("sum", "avg", "mean", "min", "max", "count", "stddev", "spread", "median", "quantile")
        and expr.args[-1].type.shape is Shape.VECTOR
    )


class Meeting:
    """Which elements of two sides meet, by the labels that both have or that the rule names."""

    def __init__(self, expr: Expr, left: Table, right: Table) -> None:
        matching = getattr(expr, "matching", Matching())
        shared = left.names & right.names if matching.on is None else frozenset(matching.on)
        self.key = shared - set(matching.ignoring)
        self.names = frozenset(expr.type.labels)
        rights = matching.many == "right" or (not matching.many and self.names == right.names != left.names)
        many, one = (right, left) if rights else (left, right)
        self._many: dict[Labels, list[Labels]] = {}
        self.pairs: dict[Labels, tuple[Labels | None, Labels | None]] = {}
        table: dict[Labels, list[Labels]] = {}
        for labels in rows(one):
            table.setdefault(only(labels, self.key), []).append(labels)
        self._torn = {key for key, found in table.items() if len(found) > 1}
        for labels in rows(many):
            partner = next(iter(table.get(only(labels, self.key), ())), None)
            self._pair(only(labels, self.names), labels, partner, rights=rights)
        met = {only(labels, self.key) for labels in rows(many)}
        for key, found in table.items():
            if key not in met and self.names == self.key:
                self._pair(key, None, found[0], rights=rights)

    def _pair(self, out: Labels, many: Labels | None, one: Labels | None, *, rights: bool) -> None:
        self.pairs[out] = (one, many) if rights else (many, one)

    def torn(self, labels: Labels) -> bool:
        """Whether several elements of one side meet this one of the other."""
        return only(labels, self.key) in self._torn


def rows(table: Table) -> Iterable[Labels]:
    return table.values if isinstance(table, Vector) else table.truth


def only(labels: Labels, names: frozenset[str]) -> Labels:
    return tuple(pair for pair in labels if pair[0] in names)


def meet(labels: Labels, table: Table) -> Labels | None:
    """The element of a table that goes with a label set."""
    key = only(labels, table.names)
    return key if key in rows(table) else None


def market(labels: Labels) -> tuple[str, str]:
    table = dict(labels)
    return table.get("venue", ""), table.get("symbol", "")


def preferred(found: dict[Labels, list[Row]]) -> dict[Labels, list[Row]]:
    """Of each instrument one kind of price: mark, else last."""
    best: dict[Labels, Labels] = {}
    for labels in found:
        kind = dict(labels)["kind"]
        key = tuple(pair for pair in labels if pair[0] != "kind")
        if kind in PREFERRED_KINDS:
            held = best.get(key)
            if held is None or PREFERRED_KINDS.index(kind) < PREFERRED_KINDS.index(dict(held)["kind"]):
                best[key] = labels
    return {labels: found[labels] for labels in best.values()}


def fold(how: Fold, members: Iterable[tuple[float, float]]) -> float:
    values = list(members)
    if not values:
        return NAN
    if how is Fold.OI_MEAN:
        total = math.fsum(weight for _, weight in values)
        return math.fsum(value * weight for value, weight in values) / total if total else NAN
    folds: dict[Fold, Callable[[list[float]], float]] = {
        Fold.SUM: math.fsum,
        Fold.MEDIAN: statistics.median,
        Fold.MEAN: statistics.fmean,
        Fold.MIN: min,
        Fold.MAX: max,
    }
    return float(folds[how]([value for value, _ in values]))


def common(how: Fold, then: Members, now: Members) -> tuple[float, float]:
    """Both instants folded over the members that are present at both."""
    both = [labels for labels in now if labels in then]
    return fold(how, [then[k] for k in both]), fold(how, [now[k] for k in both])


def chain(how: Fold, link: str, members: list[Members]) -> list[float]:
    """Running product (or sum) of the jumps that a change of members alone made."""
    out: list[float] = []
    level, last = (1.0, None) if link == "ratio" else (0.0, None)
    for group in members:
        if last and group:
            before, after = fold(how, last.values()), fold(how, group.values())
            then, now = common(how, last, group)
            if link == "ratio":
                move = now / then if known(then) and then else 1.0 if not known(then) else NAN
                jump = after / before / move if before and move else NAN
                level *= jump if math.isfinite(jump) and jump > 0 else 1.0
            else:
                jump = after - before - (now - then if known(then) and known(now) else 0.0)
                level += jump if math.isfinite(jump) else 0.0
        last = group if group and known(fold(how, group.values())) else last
        out.append(level)
    return out


def compared(op: str, x: float, y: float) -> int:
    if not (known(x) and known(y)):
        return UNKNOWN
    table = {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
    return int(table[op](x, y))


def negated(truth: int) -> int:
    return truth if truth == UNKNOWN else 1 - truth


def both(a: int, b: int) -> int:
    return FALSE if FALSE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else TRUE


def either(a: int, b: int) -> int:
    return TRUE if TRUE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else FALSE


def without(a: int, b: int) -> int:
    return both(a, negated(b))


def logical(op: str, left: Condition, right: Condition, meeting: Meeting) -> Condition:
    join = {"and": both, "or": either, "unless": without}[op]
    out = Condition(meeting.names, {}, {}, {}, join(left.default, right.default))
    for labels, (a, b) in meeting.pairs.items():
        x, y = left.at(a), right.at(b)
        if meeting.torn(labels):
            x, y = (x, UNKNOWN) if meeting.names == left.names else (UNKNOWN, y)
        out.truth[labels] = join(x, y)
        side, at = (right, b) if a is None or (op == "or" and x != TRUE and y == TRUE) else (left, a)
        out.values[labels] = side.values.get(at, NAN) if at is not None else NAN
        out.thresholds[labels] = side.thresholds.get(at, NAN) if at is not None else NAN
    return out


def at_least(k: int, conditions: list[Condition]) -> Condition:
    def truth_of(truths: list[int]) -> int:
        return TRUE if truths.count(TRUE) >= k else UNKNOWN if len(truths) - truths.count(FALSE) >= k else FALSE

    names = max((condition.names for condition in conditions), key=len)
    out = Condition(names, {}, {}, {}, truth_of([condition.default for condition in conditions]))
    for condition in conditions:
        for labels in condition.truth if condition.names == names else ():
            truths = [one.at(meet(labels, one)) for one in conditions]
            out.truth[labels] = truth_of(truths)
            out.values[labels], out.thresholds[labels] = float(truths.count(TRUE)), float(k)
    return out


def count_true(table: Condition, grouping: Grouping) -> Vector:
    out: dict[Labels, float] = {(): 0.0} if not grouping.labels and not grouping.without else {}
    for labels, truth in table.truth.items():
        group = group_labels(labels, grouping)
        out[group] = out.get(group, 0.0) + (truth == TRUE)
    return Vector(kept(table.names, grouping), out, 0.0)


def kept(names: frozenset[str], grouping: Grouping) -> frozenset[str]:
    return frozenset(name for name in names if (name in grouping.labels) is not grouping.without)


def aggregate(what: str, table: Vector, grouping: Grouping, q: float) -> Vector:
    groups: dict[Labels, list[float]] = {(): []} if not grouping.labels and not grouping.without else {}
    for labels, value in table.values.items():
        group = groups.setdefault(group_labels(labels, grouping), [])
        if known(value):
            group.append(value)
    folds: dict[str, Callable[[list[float]], float]] = {
        "sum": math.fsum,
        "avg": statistics.fmean,
        "mean": statistics.fmean,
        "min": min,
        "max": max,
        "median": statistics.median,
        "stddev": statistics.pstdev,
        "spread": lambda values: max(values) - min(values),
        "quantile": lambda values: WINDOWS["quantile"].naive(Path([0] * len(values), values, 0, 0, "gauge", q=q)),
        "count": lambda values: float(len(values)),
    }
    default = 0.0 if what == "count" else table.default if what == "sum" else NAN
    empty = 0.0 if what == "count" else table.default if what == "sum" and not table.values else NAN
    out = {k: float(folds[what](values)) if values else empty for k, values in groups.items()}
    return Vector(kept(table.names, grouping), out, default)


def negative(table: Vector) -> Vector:
    return Vector(table.names, {k: -v for k, v in table.values.items()}, -table.default, table.gone)


def arithmetic(op: str, left: Vector, right: Vector, meeting: Meeting) -> Vector:
    gone = frozenset(k for k, (a, b) in meeting.pairs.items() if a in left.gone or b in right.gone)
    values = {
        k: NAN if meeting.torn(k) else operation(op, left.at(a), right.at(b)) for k, (a, b) in meeting.pairs.items()
    }
    return Vector(meeting.names, values, operation(op, left.default, right.default), gone)


def operation(op: str, a: float, b: float) -> float:
    if not (known(a) and known(b)):
        return NAN
    if op in "/%":
        return NAN if b == 0 else a / b if op == "/" else math.fmod(a, b)
    if op == "^":
        try:
            out = math.pow(a, b)
        except (ValueError, OverflowError):
            return NAN
        return out if math.isfinite(out) else NAN
    return float({"+": operator.add, "-": operator.sub, "*": operator.mul}[op](a, b))


def exact(expr: Expr) -> bool:
    """Whether both engines come to the very same float: single rows, whole totals, counts."""
    match expr:
        case Number() | Selector():
            return True
        case Call(name="count"):
            return True
        case Call(name="sum" | "min" | "max" | "first" | "last" | "held" | "since" | "topk", args=args):
            inner = args[-1].inner if isinstance(args[-1], Range) else args[-1]
            return not isinstance(inner, Selector | Call | Folded) or exact(inner)
        case _:
            return False


def path_of(call: Call, inside: list[Row], start: int, end: int, source: Any, **more: float) -> Path:
    q = call.args[0].value if isinstance(call.args[0], Number) else NAN
    return Path([r.ts for r in inside], [r.value for r in inside], start, end, source, q=q, **more)  # type: ignore[arg-type]
