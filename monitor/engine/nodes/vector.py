"""Nodes that work on values at one instant: arithmetic, negation, aggregates over labels, top k."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from monitor.engine.memory import Side
from monitor.engine.nodes.align import Join, carried
from monitor.engine.nodes.base import (
    ROUNDING,
    Alarm,
    Bools,
    ConditionNode,
    Coverage,
    Node,
    Tick,
    covers,
    eased,
    joint,
    padded,
    take,
)
from monitor.engine.rows.gauges import NAN, fold_groups, quantile_of_groups
from monitor.engine.rows.projection import Projection
from monitor.expression import ArithmeticOp, Grouping, Matching
from monitor.reading import TRUE
from monitor.series import Fold
from monitor.window import Floats, Ints


def divide(a: Floats, b: Floats) -> Floats:
    """``a / b``; NaN where b is 0."""
    out = np.full(np.broadcast_shapes(a.shape, b.shape), NAN)
    np.divide(a, b, out=out, where=b != 0)
    return out


def _modulo(a: Floats, b: Floats) -> Floats:
    out = np.full(np.broadcast_shapes(a.shape, b.shape), NAN)
    np.fmod(a, b, out=out, where=b != 0)
    return out


def _power(a: Floats, b: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        out = np.power(a, b)
    return np.where(np.isfinite(out), out, NAN)


OPERATIONS: dict[ArithmeticOp, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": divide,
    "%": _modulo,
    "^": _power,
}


def monotone_of(op: ArithmeticOp, left: int | None, right: int | None) -> int | None:
    """Which way more data can move the result, from which way it moves the operands (constants are None)."""
    if left is None and right is None:
        return None
    if op == "+":
        signs = {sign for sign in (left, right) if sign is not None}
    elif op == "-":
        signs = {sign for sign in (left, None if right is None else -right) if sign is not None}
    else:
        return 0
    return signs.pop() if len(signs) == 1 else 0


class ArithmeticNode(Node):
    """``left op right`` row by row; missing on either side is missing; division by zero is missing."""

    pure = True

    def __init__(
        self, op: ArithmeticOp, left: Node, right: Node, matching: Matching, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__((left, right))
        self.op, self.left, self.right = op, left, right
        self.join = Join(left, right, matching, labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        self.monotone = monotone_of(op, left.monotone, right.monotone)
        default = OPERATIONS[op](np.array([left.default]), np.array([right.default]))
        self.default = float(default[0])

    def refresh(self, tick: Tick) -> bool:
        """Work out again when either side changed."""
        if not self.pull_children(tick):
            return False
        self.values = self._combine(self.left.values, self.right.values)
        self.absent = joined_absent(self.join)
        self.coverage = joined_coverage(self.join)
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """Each side may use half of the room, or all of it beside a constant."""
        split = SPLITS.get(self.op)
        if split is None or self.join.ambiguous or self.absent is not None:
            return None
        share = 1.0 if self.left.monotone is None or self.right.monotone is None else 0.5
        left, right = self._sides(self.left.values, self.right.values)
        with np.errstate(divide="ignore", invalid="ignore"):
            bounds = split(left, right, (self.values, low, high), share)
        missing = np.isnan(left) | np.isnan(right)
        rows = self.join.rows_left, self.join.rows_right
        return joint(
            self._keeps(side, at, np.where(missing, NAN, values), *both)
            for side, at, values, both in zip((self.left, self.right), rows, (left, right), bounds, strict=True)
        )

    @staticmethod
    def _keeps(side: Node, rows: Ints, values: Floats, low: Floats, high: Floats) -> Alarm | None:
        bounds = carried(rows, len(side.values), *eased(values, low, high))
        return side.alarm(*bounds) or side.still()

    def snapshot(self, before: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """Of both sides."""
        left, right = before or (None, None)
        return self.left.snapshot(left), self.right.snapshot(right)

    def packed(self, snapshot: tuple[Any, Any]) -> list[Side]:
        """Of both sides."""
        return [*self.left.packed(snapshot[0]), *self.right.packed(snapshot[1])]

    def unpacked(self, sides: Iterator[Side]) -> tuple[Any, Any]:
        """The same again."""
        return self.left.unpacked(sides), self.right.unpacked(sides)

    def kept(self, before: tuple[Any, Any] | None) -> tuple[Any, Any]:
        """Of both sides."""
        left, right = before or (None, None)
        return self.left.kept(left), self.right.kept(right)

    def since_kept(self, then: tuple[Any, Any]) -> tuple[Floats, Floats]:
        """Each side on its common members."""
        left_then, left_now = self.left.since_kept(then[0])
        right_then, right_now = self.right.since_kept(then[1])
        return self._combine(left_then, right_then), self._combine(left_now, right_now)

    def against(self, then: tuple[Any, Any]) -> tuple[Floats, Floats]:
        """Each side on its common members."""
        left_then, left_now = self.left.against(then[0])
        right_then, right_now = self.right.against(then[1])
        return self._combine(left_then, right_then), self._combine(left_now, right_now)

    def reason(self, row: int, now_ns: int) -> str:
        """The missing side's reason, or the division by zero."""
        if row >= 0 and row in self.join.ambiguous:
            return "several elements match on one side"
        for side, rows in ((self.left, self.join.rows_left), (self.right, self.join.rows_right)):
            at = int(rows[row]) if 0 <= row < len(rows) else -1
            value = side.default if at < 0 else side.values[at]
            if np.isnan(value):
                return side.reason(at, now_ns) or "one side has no such element"
        return "division by zero"

    def _combine(self, left: Floats, right: Floats) -> Floats:
        self.join.update()
        out = OPERATIONS[self.op](*self._sides(left, right))
        if self.join.ambiguous:
            out[list(self.join.ambiguous)] = NAN  # several elements of one side: none of them is meant
        return out

    def _sides(self, left: Floats, right: Floats) -> tuple[Floats, Floats]:
        if self.join.same:
            return left, right
        left = take(padded(left, len(self.left.index)), self.join.rows_left, self.left.default)
        return left, take(padded(right, len(self.right.index)), self.join.rows_right, self.right.default)


Both = tuple[Floats, Floats]


def split_sum(left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float) -> tuple[Both, Both]:
    """Bounds of both terms within which their sum surely keeps its own."""
    down, up = _rooms(left, right, out, share)
    return (left - down, left + up), (right - down, right + up)


def split_difference(
    left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float
) -> tuple[Both, Both]:
    """Bounds of both terms within which their difference surely keeps its own."""
    down, up = _rooms(left, right, out, share)
    return (left - down, left + up), (right - up, right + down)


def _rooms(left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float) -> Both:
    """How far each term may fall and rise; not at all where that is less than rounding."""
    values, low, high = out
    slack = ROUNDING * (np.abs(left) + np.abs(right))
    return np.fmax((values - low - slack) * share, 0.0), np.fmax((high - values - slack) * share, 0.0)


def split_product(left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float) -> tuple[Both, Both]:
    """Bounds of both factors within which their product surely keeps its own."""
    down, up = _factors(left, right, out, share)
    return (left * down, left * up), (right * down, right * up)


def split_quotient(left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float) -> tuple[Both, Both]:
    """Bounds of dividend and divisor within which their quotient surely keeps its own.

    A dividend of nothing may rise as far as half the divisor allows.
    """
    down, up = _factors(left, right, out, share)
    _, low, high = out
    none, half = (left == 0) & (right > 0), right / 2
    lower, upper = np.where(none, half * low, left * down), np.where(none, half * high, left * up)
    return (lower, upper), (np.where(none, half, right / up), np.where(none, np.inf, right / down))


def _factors(left: Floats, right: Floats, out: tuple[Floats, Floats, Floats], share: float) -> Both:
    """By which factors each of two positive numbers may fall and rise; 1 where one is not positive."""
    values, low, high = out
    good = (left > 0) & (right > 0) & (values > 0)
    up = np.where(good, high / values, 1.0) ** share
    down = np.where(good, np.maximum(low, 0) / values, 1.0) ** share
    return np.fmin(down, 1.0), np.fmax(up, 1.0)


SPLITS: dict[ArithmeticOp, Callable[..., tuple[Both, Both]]] = {
    "+": split_sum,
    "-": split_difference,
    "*": split_product,
    "/": split_quotient,
}
"""How the room of a result is shared out; without an answer it is looked at whenever an operand changed."""


def joined_absent(join: Join) -> Bools | None:
    """Rows that do not exist because the element of either side does not."""
    gone: Bools | None = None
    for side, rows in ((join.left, join.rows_left), (join.right, join.rows_right)):
        if side.absent is not None:
            mine = take(side.absent, rows, default=False)
            gone = mine if gone is None else gone | mine
    return gone


def joined_coverage(join: Join) -> Coverage:
    """The lower of both sides' coverage per row."""
    left, right = join.left.coverage, join.right.coverage
    if isinstance(left, float) and isinstance(right, float):
        return min(left, right)
    lower: Floats = np.minimum(
        take(covers(join.left), join.rows_left, 1.0), take(covers(join.right), join.rows_right, 1.0)
    )
    return lower


class NegateNode(Node):
    """Unary minus."""

    pure = True

    def __init__(self, inner: Node) -> None:
        super().__init__((inner,))
        self.inner = inner
        self.index, self.label_names = inner.index, inner.label_names
        self.default = -inner.default
        self.monotone = None if inner.monotone is None else -inner.monotone

    def refresh(self, tick: Tick) -> bool:
        """Follow the operand."""
        if not self.pull_children(tick):
            return False
        self.values, self.coverage, self.absent = -self.inner.values, self.inner.coverage, self.inner.absent
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """The operand's, with the bounds negated."""
        return self.inner.alarm(-high, -low)

    def snapshot(self, before: Any = None) -> Any:
        """Of the operand."""
        return self.inner.snapshot(before)

    def packed(self, snapshot: Any) -> list[Side]:
        """Of the operand."""
        return self.inner.packed(snapshot)

    def unpacked(self, sides: Iterator[Side]) -> Any:
        """The same again."""
        return self.inner.unpacked(sides)

    def kept(self, before: Any) -> Any:
        """Of the operand."""
        return self.inner.kept(before)

    def since_kept(self, then: Any) -> tuple[Floats, Floats]:
        """The operand's, negated."""
        before, now = self.inner.since_kept(then)
        return -before, -now

    def against(self, then: Any) -> tuple[Floats, Floats]:
        """The operand's, negated."""
        before, now = self.inner.against(then)
        return -before, -now


class FoldNode(Node):
    """An aggregate over labels of any vector: ``sum(x) by (base)``, ``quantile(0.9, x)``, ``spread(x)``."""

    pure = True

    def __init__(self, what: str, inner: Node, grouping: Grouping | None, q: float = NAN) -> None:
        super().__init__((inner,))
        self.what, self.inner, self.q = what, inner, q
        self.groups = Projection(inner.index, (), grouping or Grouping())
        self.index = self.groups.index
        self.label_names = kept_labels(inner.label_names, grouping or Grouping())
        if what in ("sum", "max", "count") and inner.monotone == 1:
            self.monotone = 1
        self.default = 0.0 if what == "count" else (inner.default if what == "sum" else NAN)

    def refresh(self, tick: Tick) -> bool:
        """Fold again when the vector changed."""
        if not self.pull_children(tick):
            return False
        self.groups.update()
        self.values = self._fold(self.inner.values)
        self.coverage = self._coverage()
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """No element may move further than its group's room, divided by how many times its move may count."""
        if self.what == "count":
            return self.inner.framed()
        inner, group = self.inner.values, self.groups.group
        known = np.bincount(group[~np.isnan(inner)], minlength=len(self.index))
        times = {"sum": known, "spread": 2}.get(self.what, 1)
        slack = ROUNDING * np.bincount(group, np.nan_to_num(np.abs(inner)), len(self.index))
        room = np.minimum(high - self.values, self.values - low) / times - slack
        room = np.where(np.isnan(room), np.inf, np.fmax(room, 0.0))[group]
        return self.inner.alarm(*eased(inner, inner - room, inner + room)) or self.inner.still()

    def snapshot(self, before: Any = None) -> Any:
        """Of the vector."""
        return self.inner.snapshot(before)

    def packed(self, snapshot: Any) -> list[Side]:
        """Of the vector."""
        return self.inner.packed(snapshot)

    def unpacked(self, sides: Iterator[Side]) -> Any:
        """The same again."""
        return self.inner.unpacked(sides)

    def kept(self, before: Any) -> Any:
        """Of the vector."""
        return self.inner.kept(before)

    def since_kept(self, then: Any) -> tuple[Floats, Floats]:
        """Fold the elements present at both instants."""
        return self._of_both(*self.inner.since_kept(then))

    def against(self, then: Any) -> tuple[Floats, Floats]:
        """Fold the elements present at both instants."""
        return self._of_both(*self.inner.against(then))

    def _of_both(self, before: Floats, now: Floats) -> tuple[Floats, Floats]:
        gone = np.isnan(before) | np.isnan(now)
        return self._fold(np.where(gone, NAN, before)), self._fold(np.where(gone, NAN, now))

    def _fold(self, values: Floats) -> Floats:
        return fold_named(self.what, values, self.groups.group, len(self.index), q=self.q, empty=self.inner.default)

    def _coverage(self) -> Coverage:
        if isinstance(self.inner.coverage, float):
            return self.inner.coverage
        return fold_groups(Fold.MEAN, self.inner.coverage, self.groups.group, len(self.index))


def fold_named(what: str, values: Floats, group: Ints, size: int, *, q: float, empty: float = NAN) -> Floats:
    """Fold by the language's name of an aggregate over labels."""
    keep = (group >= 0) & ~np.isnan(values)
    if what == "count":
        return np.bincount(group[keep], minlength=size).astype(np.float64)
    if what == "quantile":
        return quantile_of_groups(values[keep], group[keep], size, q)
    if what == "spread":
        high, low = (fold_groups(fold, values, group, size) for fold in (Fold.MAX, Fold.MIN))
        return high - low
    if what == "stddev":
        mean = fold_groups(Fold.MEAN, values, group, size)
        return np.sqrt(fold_groups(Fold.MEAN, (values - mean[group]) ** 2, group, size))
    fold = {
        "sum": Fold.SUM,
        "avg": Fold.MEAN,
        "mean": Fold.MEAN,
        "min": Fold.MIN,
        "max": Fold.MAX,
        "median": Fold.MEDIAN,
    }
    out = fold_groups(fold[what], values, group, size)
    if what == "sum" and not np.isnan(empty) and not len(values):
        out[:] = empty
    return out


def kept_labels(names: tuple[str, ...], grouping: Grouping) -> tuple[str, ...]:
    """Label names that a grouping leaves."""
    return tuple(name for name in names if (name in grouping.labels) is not grouping.without)


class CountTrueNode(Node):
    """``count(cond)``: label sets for which a condition is true, per group; unknown ones are not counted."""

    def __init__(self, inner: ConditionNode, grouping: Grouping | None) -> None:
        super().__init__((inner,))
        self.inner = inner
        self.groups = Projection(inner.index, (), grouping or Grouping())
        self.index = self.groups.index
        self.label_names = kept_labels(inner.label_names, grouping or Grouping())
        self.default = 0.0

    def still(self) -> Alarm | None:
        """As long as the condition's truth stands."""
        return self.inner.stands()

    def refresh(self, tick: Tick) -> bool:
        """Count again when the condition changed."""
        if not self.pull_children(tick):
            return False
        self.groups.update()
        true = self.groups.group[self.inner.truth == TRUE]
        self.values = np.bincount(true, minlength=len(self.index)).astype(np.float64)
        self.coverage = fold_groups(Fold.MEAN, covers(self.inner), self.groups.group, len(self.index))
        return True


class TopKNode(Node):
    """``topk(k, x)``: the k greatest elements (of each group); the others do not exist. Ties go by label set."""

    pure = True

    def __init__(self, k: int, inner: Node, grouping: Grouping | None) -> None:
        super().__init__((inner,))
        self.k, self.inner = k, inner
        self.groups = Projection(inner.index, (), grouping or Grouping())
        self.index, self.label_names = inner.index, inner.label_names
        self._sorted: list[int] = []
        self._by_labels: Ints = np.empty(0, np.int64)
        self.absent = np.empty(0, np.bool_)

    def refresh(self, tick: Tick) -> bool:
        """Choose again when the vector changed."""
        if not self.pull_children(tick):
            return False
        self.groups.update()
        values, group = self.inner.values, self.groups.group
        order = np.lexsort((self._alphabet(), -values, np.isnan(values), group))
        counts = np.bincount(group, minlength=len(self.groups.index))
        rank = np.empty(len(values), np.int64)
        rank[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.absent = (rank >= self.k) & ~np.isnan(values)
        self.values = np.where(self.absent, NAN, values)
        if self.inner.absent is not None:
            self.absent |= self.inner.absent
        self.coverage = self.inner.coverage
        return True

    def _alphabet(self) -> Ints:
        """Place of each row in the order of label sets, which decides ties."""
        labels = self.index.labels
        if len(self._sorted) != len(labels):
            self._sorted += range(len(self._sorted), len(labels))
            self._sorted.sort(key=labels.__getitem__)  # one pass, as all but the new ones are in order
            self._by_labels = np.empty(len(labels), np.int64)
            self._by_labels[self._sorted] = np.arange(len(labels))
        return self._by_labels


def relabelled(labels: tuple[tuple[str, str], ...], extra: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """`labels` with `extra` added or replaced, sorted by name."""
    return tuple(sorted({**dict(labels), **dict(extra)}.items()))
