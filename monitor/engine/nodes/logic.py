"""Three-valued truth: comparisons, and Kleene's and, or, not, at-least-k."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from monitor.engine.nodes.align import Join, Places, carried
from monitor.engine.nodes.base import (
    NAN,
    Alarm,
    Bools,
    ConditionNode,
    ConstantNode,
    Node,
    Tick,
    Truths,
    constant,
    covers,
    joint,
    never,
    row_of,
    take,
)
from monitor.engine.nodes.vector import joined_absent, joined_coverage
from monitor.engine.rows.catalog import Index
from monitor.expression import CompareOp, LogicOp, Matching
from monitor.reading import FALSE, TRUE, UNKNOWN
from monitor.window import Floats, Ints

COMPARISONS: dict[CompareOp, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def is_sound(op: CompareOp, left: int | None, right: int | None) -> bool:
    """Whether a comparison that holds cannot be undone by data that is missing."""
    if op in (">", ">="):
        return left in (1, None) and right in (-1, None)
    if op in ("<", "<="):
        return left in (-1, None) and right in (1, None)
    return left is None and right is None


def compare(op: CompareOp, left: Floats, right: Floats) -> Truths:
    """Truth per row; unknown where either side is NaN."""
    truth: Truths = np.asarray(COMPARISONS[op](left, right)).view(np.int8)
    missing = np.isnan(left) | np.isnan(right)
    return np.where(missing, np.int8(UNKNOWN), truth) if missing.any() else truth


class CompareNode(ConditionNode):
    """``left op right``; the left side's value is the condition's."""

    pure = True

    def __init__(
        self, op: CompareOp, left: Node, right: Node, matching: Matching, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__((left, right))
        self.op, self.left, self.right = op, left, right
        self.join = Join(left, right, matching, labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        self._constant = float(right.values[0]) if isinstance(right, ConstantNode) else None
        self._seen_left = -1
        self._sound = is_sound(op, left.monotone, right.monotone)
        self.default_truth = int(compare(op, np.array([left.default]), np.array([right.default]))[0])

    def refresh(self, tick: Tick) -> bool:
        """Compare again when either side changed."""
        if not self.pull_children(tick):
            return False
        self.join.update()
        if not self._with_constant():
            self._row_by_row()
        return True

    def pull_children(self, tick: Tick) -> bool:
        """A constant never changes: only the other side is asked."""
        if self._constant is None:
            return super().pull_children(tick)
        seen, self._seen_left = self._seen_left, self.left.pull(tick)
        return seen != self._seen_left

    def stands(self) -> Alarm | None:
        """As long as neither side passes a point between them."""
        if self.join.ambiguous or self.left.absent is not None or self.right.absent is not None:
            return self.still()
        left, right = self._sides()
        meeting = right if self.right.monotone is None else left if self.left.monotone is None else (left + right) / 2
        rows_left, rows_right = self.join.rows_left, self.join.rows_right
        return joint(
            (_apart(self.left, rows_left, left, meeting, right), _apart(self.right, rows_right, right, meeting, left))
        )

    def shown(self, low: Floats, high: Floats) -> Iterator[tuple[Node, Floats, Floats]]:
        """The left side's."""
        yield self.left, *carried(self.join.rows_left, len(self.left.values), low, high)

    def _with_constant(self) -> bool:
        """Compare every row with one constant; False where rows are missing, or do not stand one by one."""
        left = self.left
        if self._constant is None or not self.join.scalar_right or left.absent is not None or not left.whole():
            return False
        holds = np.asarray(COMPARISONS[self.op](left.values, self._constant))
        self.truth = holds.view(np.int8)
        self.values, self.threshold = left.values, constant(self._constant, len(holds))
        self.coverage = left.coverage
        self.sound = holds if self._sound else never(len(holds))
        return True

    def _row_by_row(self) -> None:
        left, right = self._sides()
        self.truth = compare(self.op, left, right)
        self.values, self.threshold = left, right
        self._drop_absent()
        self.coverage = joined_coverage(self.join)
        self.sound = self.truth == TRUE if self._sound else never(len(left))

    def reason(self, row: int, now_ns: int) -> str:
        """The reason of the side that is missing."""
        if row in self.join.ambiguous:
            return "several elements match on one side"
        for side, rows in ((self.left, self.join.rows_left), (self.right, self.join.rows_right)):
            at = int(rows[row]) if 0 <= row < len(rows) else -1
            if np.isnan(side.default if at < 0 else side.values[at]):
                return side.reason(at, now_ns) or "one side has no such element"
        return ""

    def _sides(self) -> tuple[Floats, Floats]:
        left, right = self.left.values, self.right.values
        if self.join.scalar_right:
            right = (
                constant(float(right[0]), len(left))
                if isinstance(self.right, ConstantNode)
                else np.broadcast_to(right, left.shape)
            )
        elif not self.join.same:
            left = take(left, self.join.rows_left, self.left.default)
            right = take(right, self.join.rows_right, self.right.default)
        if self.join.ambiguous:
            torn = list(self.join.ambiguous)
            one = left if self.join.many_right else right
            one = one.copy()
            one[torn] = NAN
            left, right = (one, right) if self.join.many_right else (left, one)
        return left, right

    def _drop_absent(self) -> None:
        gone = joined_absent(self.join)
        if gone is not None:
            self.truth = np.where(gone, np.int8(FALSE), self.truth)


def _apart(side: Node, rows: Ints, mine: Floats, meeting: Floats, other: Floats) -> Alarm | None:
    """Until when the rows of a side that lie under the other's stay under the meeting point, and those over it stay over."""
    if side.monotone is None:
        return side.still()
    under, over = mine < other, mine > other
    missing = np.isnan(mine) | np.isnan(other)
    low = np.where(missing | under, -np.inf, np.where(over, meeting, mine))
    high = np.where(missing | over, np.inf, np.where(under, meeting, mine))
    return side.alarm(*carried(rows, len(side.values), low, high)) or side.still()


def kleene_and(a: Truths, b: Truths) -> Truths:
    """False beats unknown beats true."""
    return np.where((a == FALSE) | (b == FALSE), np.int8(FALSE), np.minimum(a, b))


def kleene_or(a: Truths, b: Truths) -> Truths:
    """True beats unknown beats false."""
    return np.where((a == TRUE) | (b == TRUE), np.int8(TRUE), np.minimum(a, b))


def kleene_not(a: Truths) -> Truths:
    """Unknown stays unknown."""
    return np.where(a == UNKNOWN, np.int8(UNKNOWN), np.int8(1) - a)


TABLES: dict[LogicOp, Callable[[Truths, Truths], Truths]] = {
    "and": kleene_and,
    "or": kleene_or,
    "unless": lambda a, b: kleene_and(a, kleene_not(b)),
}


class LogicNode(ConditionNode):
    """``and``, ``or``, ``unless``; a label set that one side lacks has there the truth of an empty reading."""

    pure = True

    def __init__(
        self,
        op: LogicOp,
        left: ConditionNode,
        right: ConditionNode,
        matching: Matching,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__((left, right))
        self.op, self.left, self.right = op, left, right
        self.join = Join(left, right, matching, labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        empty = [np.array([side.default_truth], np.int8) for side in (left, right)]
        self.default_truth = int(TABLES[op](*empty)[0])
        self._from_right = never(0)

    def stands(self) -> Alarm | None:
        """As long as the operands do."""
        return joint((self.left.stands(), self.right.stands()))

    def refresh(self, tick: Tick) -> bool:
        """Combine again when either side changed."""
        if not self.pull_children(tick):
            return False
        self.join.update()
        a, b = self.join.rows_left, self.join.rows_right
        left = take(self.left.truth, a, np.int8(self.left.default_truth))
        right = take(self.right.truth, b, np.int8(self.right.default_truth))
        if self.join.ambiguous:
            (left if self.join.many_right else right)[list(self.join.ambiguous)] = UNKNOWN
        self.truth = TABLES[self.op](left, right)
        self._from_right = from_right = self._decided_by_right(left, right)
        self.values = np.where(from_right, take(self.right.values, b, NAN), take(self.left.values, a, NAN))
        self.threshold = np.where(from_right, take(self.right.threshold, b, NAN), take(self.left.threshold, a, NAN))
        self.sound = self._soundness(take(self.left.sound, a, default=False), take(self.right.sound, b, default=False))
        self.coverage = joined_coverage(self.join)
        return True

    def shown(self, low: Floats, high: Floats) -> Iterator[tuple[Node, Floats, Floats]]:
        """Those of the side that decides, by row."""
        both = (self.left, self.join.rows_left, ~self._from_right), (self.right, self.join.rows_right, self._from_right)
        for side, rows, mine in both:
            lower, upper = np.where(mine, low, -np.inf), np.where(mine, high, np.inf)
            yield from side.shown(*carried(rows, len(side.values), lower, upper))

    def _decided_by_right(self, left: Truths, right: Truths) -> Bools:
        missing = self.join.rows_left < 0
        if self.op == "or":
            missing = missing | ((left != TRUE) & (right == TRUE))
        return np.asarray(missing, np.bool_)

    def _soundness(self, left: Bools, right: Bools) -> Bools:
        if self.op == "and":
            return left & right
        if self.op == "or":
            return left | right
        return np.zeros(len(left), np.bool_)

    def reason(self, row: int, now_ns: int) -> str:
        """The reason of the side that is unknown."""
        if row in self.join.ambiguous:
            return "several elements match on one side"
        for side, rows in ((self.left, self.join.rows_left), (self.right, self.join.rows_right)):
            at = int(rows[row]) if 0 <= row < len(rows) else -1
            truth = side.default_truth if at < 0 else side.truth[at]
            if truth == UNKNOWN:
                return side.reason(at, now_ns) or "one side has no such element"
        return ""


class NotNode(ConditionNode):
    """``not cond``."""

    pure = True

    def __init__(self, inner: ConditionNode) -> None:
        super().__init__((inner,))
        self.inner = inner
        self.index, self.label_names = inner.index, inner.label_names
        self.default_truth = int(kleene_not(np.array([inner.default_truth], np.int8))[0])

    def shown(self, low: Floats, high: Floats) -> Iterator[tuple[Node, Floats, Floats]]:
        """The operand's."""
        return self.inner.shown(low, high)

    def stands(self) -> Alarm | None:
        """As long as the operand does."""
        return self.inner.stands()

    def refresh(self, tick: Tick) -> bool:
        """Follow the operand."""
        if not self.pull_children(tick):
            return False
        self.truth = kleene_not(self.inner.truth)
        self.values, self.threshold, self.coverage = self.inner.values, self.inner.threshold, self.inner.coverage
        self.sound = np.zeros(len(self.truth), np.bool_)
        return True


class KOfNode(ConditionNode):
    """At least k of the conditions hold; the value is how many do, the threshold is k."""

    pure = True

    def __init__(self, k: int, conditions: Sequence[ConditionNode]) -> None:
        super().__init__(conditions)
        self.k, self.conditions = k, tuple(conditions)
        self.label_names = max((c.label_names for c in conditions), key=len)
        self.index = Index()
        self._places = [Places(self.index, c.index, partial(row_of, c)) for c in conditions]
        self._rows: list[Ints] = []
        self._sizes = [0] * len(self.conditions)
        surely = sum(c.default_truth == TRUE for c in conditions)
        maybe = sum(c.default_truth == UNKNOWN for c in conditions)
        self.default_truth = TRUE if surely >= k else UNKNOWN if surely + maybe >= k else FALSE

    def stands(self) -> Alarm | None:
        """As long as the operands do."""
        return joint(child.stands() for child in self.conditions)

    def refresh(self, tick: Tick) -> bool:
        """Count again when any condition changed."""
        if not self.pull_children(tick):
            return False
        self._align()
        truths = [
            take(c.truth, rows, np.int8(c.default_truth)) for c, rows in zip(self.conditions, self._rows, strict=True)
        ]
        surely = sum((t == TRUE).astype(np.int64) for t in truths)
        maybe = sum((t == UNKNOWN).astype(np.int64) for t in truths)
        unknown = np.where(np.asarray(surely + maybe) >= self.k, np.int8(UNKNOWN), np.int8(FALSE))
        self.truth = np.where(np.asarray(surely) >= self.k, np.int8(TRUE), unknown)
        self.values = np.asarray(surely, np.float64)
        self.threshold = np.full(len(self.index), float(self.k))
        sounds = [take(c.sound, r, default=False) for c, r in zip(self.conditions, self._rows, strict=True)]
        self.sound = np.asarray(sum(s.astype(np.int64) for s in sounds)) >= self.k
        self.coverage = self._deciding(truths)
        return True

    def _deciding(self, truths: Sequence[Truths]) -> Floats:
        """Coverage of the best k that hold, where k do; of the best that rule it out, where too many do not; else of all.

        A sign of stress that nobody can see yet takes nothing away from four others that can be seen.
        """
        given = np.array([take(covers(c), r, 1.0) for c, r in zip(self.conditions, self._rows, strict=True)])
        votes = np.where(np.array(truths) == self.truth, given, -1.0)
        votes.sort(axis=0)
        needed = np.where(self.truth == TRUE, self.k, len(self.conditions) - self.k + 1)
        decided = votes[len(self.conditions) - needed, np.arange(len(self.truth))]
        return np.asarray(np.where(self.truth == UNKNOWN, given.min(axis=0), decided))

    def _align(self) -> None:
        for condition, known in zip(self.conditions, self._sizes, strict=True):
            if set(condition.label_names) == set(self.label_names):
                for labels in condition.index.labels[known:]:
                    self.index.add(labels)
        self._sizes = [len(c.index) for c in self.conditions]
        self._rows = [places.update() for places in self._places]

    def reason(self, row: int, now_ns: int) -> str:
        """Of the conditions that are unknown."""
        words = [
            c.reason(int(rows[row]), now_ns)
            for c, rows in zip(self.conditions, self._rows, strict=True)
            if (c.truth[rows[row]] if rows[row] >= 0 else c.default_truth) == UNKNOWN
        ]
        return "; ".join(filter(None, words))
