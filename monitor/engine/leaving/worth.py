"""What is left of a row once nothing stands behind it, and where its mere existence would be missed.

An instrument that is no longer traded leaves a total of 0 and a price that is missing. Most rules would never notice if
such a row were gone: a sum of it is the same, and a condition on it is not true. Some would: ``absent(...) by (symbol)``
names it, ``avg(sum(x[1h]) by (symbol))`` counts its 0. A `Census` walks the nodes of the rules once and notes the
projections whose groups must stay for such a reason. In doubt they stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import singledispatchmethod
from itertools import product
from typing import Any

import numpy as np

from monitor.engine.nodes.align import Join
from monitor.engine.nodes.base import ConditionNode, ConstantNode, Node
from monitor.engine.nodes.gauges import ChangeNode, MembersNode
from monitor.engine.nodes.logic import TABLES, CompareNode, KOfNode, LogicNode, NotNode, compare, kleene_not
from monitor.engine.nodes.temporal import AbsentNode, CrossNode, HeldNode, SinceNode, ThenNode
from monitor.engine.nodes.totals import TotalNode
from monitor.engine.nodes.vector import OPERATIONS, ArithmeticNode, CountTrueNode, FoldNode, NegateNode, TopKNode
from monitor.engine.nodes.windows import PairNode, RowsNode, SamplesNode
from monitor.engine.program import CompiledRecording, CompiledRule, walk
from monitor.engine.rows.projection import Projection
from monitor.reading import FALSE, TRUE, UNKNOWN
from monitor.window import Columns

Left = frozenset[float] | None
"""What a row may be, a value or a truth, once nothing stands behind it. Empty: it stays. None: anything."""

MISSING = math.nan
STAYS: Left = frozenset()
NO_VALUE: Left = frozenset({MISSING})
NOT_TRUE: Left = frozenset({float(FALSE), float(UNKNOWN)})
TRUTHS = (FALSE, TRUE, UNKNOWN)
TRIED = (1, 2, 50)
"""So many equal samples stand for any number of them."""


def projections(node: Node) -> Iterator[Projection]:
    """Every grouping of label sets that is read below a node."""
    for part in walk([node]):
        if isinstance(part, AbsentNode):
            yield part.lane.projection
        elif isinstance(part, MembersNode | TotalNode | RowsNode):
            yield part.projection


class Census:
    """Which groups must stay though nothing is heard of them, because some rule would say otherwise without them.

    Attributes:
        kept: The projections all of whose groups must stay.
    """

    def __init__(self, rules: Iterable[CompiledRule], recordings: Iterable[CompiledRecording]) -> None:
        self.kept: dict[int, Projection] = {}
        self._left: dict[int, Left] = {}
        for recording in recordings:
            if self.left(recording.node) not in (STAYS, NO_VALUE):
                self.keep(recording.node)  # what was written last would stand for ever
        for rule in rules:
            self._rule(rule)

    def _rule(self, rule: CompiledRule) -> None:
        for case in (rule.base, *rule.cases):
            self._never_true(case.node)
            for step, clear in case.ladder.steps if case.ladder else ():
                self._never_true(step.node)
                if clear is not None:
                    self._settled(clear.node)
            if case.clear is not None:
                self._settled(case.clear.node)
        for case in rule.cases:
            self._settled(case.node)

    def keep(self, node: Node) -> Left:
        """Have every group below a node stay."""
        self.kept |= {id(one): one for one in projections(node)}
        self._left[id(node)] = STAYS
        return STAYS

    def left(self, node: Node) -> Left:
        """What is left of a row of a node once nothing stands behind it."""
        if id(node) not in self._left:
            found = self._work_out(node)
            self._left.setdefault(id(node), found if node.label_names else STAYS)  # the one row of all is never gone
        return self._left[id(node)]

    def _never_true(self, node: ConditionNode) -> Left:
        left = self.left(node)
        return self.keep(node) if left is None or TRUE in left else left

    def _settled(self, node: Node) -> frozenset[float]:
        """For an operand: its rows stay, or a missing one counts as what would be left of it."""
        left = self.left(node)
        default = node.default_truth if isinstance(node, ConditionNode) else node.default
        if left is None or left - {_known(default)}:
            self.keep(node)
            return frozenset()
        return left

    @singledispatchmethod
    def _work_out(self, node: Node) -> Left:
        """By the kind of node; one that nothing is known of stays (``absent``)."""
        return self.keep(node)

    # -- readings ------------------------------------------------------------------------------------------------------

    @_work_out.register
    def _gauge(self, node: MembersNode | ChangeNode) -> Left:
        del node
        return NO_VALUE

    @_work_out.register
    def _total(self, node: TotalNode) -> Left:
        return frozenset({_known(node.default)})

    @_work_out.register
    def _rows(self, node: RowsNode) -> Left:
        return frozenset(_computed(node, 0, MISSING))

    @_work_out.register
    def _samples(self, node: SamplesNode) -> Left:
        """Of equal samples some functions make the same whatever their number."""
        inner = self.left(node.inner)
        if inner is None or node.function is None or node.function.name == "count":
            return None
        return frozenset(found for value in inner for size in (0, *TRIED) for found in _computed(node, size, value))

    @_work_out.register
    def _pair(self, node: PairNode) -> Left:
        sides = [self._settled(side.inner) for side in (node.left, node.right)]
        return NO_VALUE if any(side == NO_VALUE for side in sides) else None if all(sides) else STAYS

    @_work_out.register
    def _arithmetic(self, node: ArithmeticNode) -> Left:
        def combine(left: float, right: float) -> float:
            return float(OPERATIONS[node.op](np.array([left]), np.array([right]))[0])

        def alone(value: float) -> Left:
            return NO_VALUE if math.isnan(value) and node.op != "^" else None

        return self._joined(node.left, node.right, node.join, combine, alone)

    @_work_out.register
    def _negate(self, node: NegateNode) -> Left:
        inner = self.left(node.inner)
        return None if inner is None else frozenset(_known(-value) for value in inner)

    @_work_out.register
    def _fold(self, node: FoldNode) -> Left:
        inner = self.left(node.inner)
        if inner is None or not all(math.isnan(value) or (node.what == "sum" and value == 0) for value in inner):
            return self.keep(node.inner)
        if not inner:
            return STAYS
        return inner if node.what == "sum" else frozenset({0.0}) if node.what == "count" else NO_VALUE

    @_work_out.register
    def _count_true(self, node: CountTrueNode) -> Left:
        return frozenset({0.0}) if self._never_true(node.inner) else STAYS

    @_work_out.register
    def _top(self, node: TopKNode) -> Left:
        inner = self.left(node.inner)
        return inner if inner in (STAYS, NO_VALUE) else self.keep(node.inner)

    # -- conditions ----------------------------------------------------------------------------------------------------

    @_work_out.register
    def _compare(self, node: CompareNode) -> Left:
        def combine(left: float, right: float) -> float:
            return float(compare(node.op, np.array([left]), np.array([right]))[0])

        def alone(value: float) -> Left:
            return frozenset({float(UNKNOWN)}) if math.isnan(value) else None

        return self._joined(node.left, node.right, node.join, combine, alone)

    @_work_out.register
    def _logic(self, node: LogicNode) -> Left:
        def combine(left: float, right: float) -> float:
            return float(TABLES[node.op](_truth(left), _truth(right))[0])

        def alone(truth: float) -> Left:
            pairs = ((other, truth) if node.join.many_right else (truth, other) for other in TRUTHS)
            return frozenset(combine(*pair) for pair in pairs)

        for side in (node.left, node.right):
            self._never_true(side)  # a row that is true without it shows its value
        return self._joined(node.left, node.right, node.join, combine, alone)

    @_work_out.register
    def _not(self, node: NotNode) -> Left:
        if not isinstance(node.inner, CompareNode):
            return self.keep(node.inner)  # what is true because several are not shows the value of one of them
        inner = self.left(node.inner)
        return None if inner is None else frozenset(float(kleene_not(_truth(value))[0]) for value in inner)

    @_work_out.register
    def _k_of(self, node: KOfNode) -> Left:
        left = [(condition, self._settled(condition)) for condition in node.conditions]
        wide = [said for condition, said in left if set(condition.label_names) == set(node.label_names)]
        if not all(wide):
            return STAYS
        most = len(left) - len(wide) + sum(TRUE in said for said in wide)
        return None if most >= node.k else NOT_TRUE

    @_work_out.register
    def _cross(self, node: CrossNode) -> Left:
        def combine(left: float, right: float) -> float:
            del left, right  # neither moves
            return float(FALSE)

        def alone(value: float) -> Left:
            return NOT_TRUE if math.isnan(value) else None

        found = self._joined(node.left, node.right, node.join, combine, alone)
        return NOT_TRUE if found else found

    @_work_out.register
    def _held(self, node: HeldNode) -> Left:
        """What it last was while it is unknown, which `latched` keeps an eye on, or nothing."""
        left = self._never_true(node.condition)
        return frozenset({0.0, MISSING}) if left else STAYS

    @_work_out.register
    def _since(self, node: SinceNode) -> Left:
        """Missing if it never was true; `latched` keeps those that were."""
        return NO_VALUE if self._never_true(node.condition) else STAYS

    @_work_out.register
    def _then(self, node: ThenNode) -> Left:
        """Not true if the first stage never held; `latched` keeps those of which it did."""
        first, second = self._settled(node.first), self._settled(node.second)
        if not (first or second):
            return STAYS
        return None if TRUE in first or TRUE in second else NOT_TRUE

    def _joined(
        self,
        left: Node,
        right: Node,
        join: Join,
        combine: Callable[[float, float], float],
        alone: Callable[[float], Left],
    ) -> Left:
        """What is left of an operator's row.

        Args:
            left: An operand.
            right: The other one.
            join: How their rows meet.
            combine: The result of two values.
            alone: What can come of the value of the side that gives the labels, whatever the other side says.
        """
        if isinstance(right, ConstantNode):
            return _map(self.left(left), lambda value: frozenset({_known(combine(value, right.default))}))
        if isinstance(left, ConstantNode):
            return _map(self.left(right), lambda value: frozenset({_known(combine(left.default, value))}))
        if join.ambiguous:
            self.keep(left)
            self.keep(right)
        one, other = self._settled(left), self._settled(right)
        if set(left.label_names) == set(right.label_names):
            return frozenset(_known(combine(a, b)) for a, b in product(one, other))
        return _map(other if join.many_right else one, alone)


def _map(values: Left, outcome: Callable[[float], Left]) -> Left:
    if values is None:
        return None
    found: set[float] = set()
    for value in values:
        outcomes = outcome(value)
        if outcomes is None:
            return None
        found |= outcomes
    return frozenset(found)


def _known(value: float) -> float:
    """One and the same NaN, so that sets know it again; and no negative zero."""
    return MISSING if math.isnan(value) else value + 0.0


def _truth(value: float) -> Any:
    return np.array([int(value)], np.int8)


def _computed(node: RowsNode | SamplesNode, size: int, value: float) -> Iterator[float]:
    """What a window function makes of so many equal values, at equal distances; of none where the value is missing."""
    assert node.function is not None
    size = 0 if math.isnan(value) else size
    step_ns = max(node.window_ns // (max(size, 1) + 1), 1)
    for before in {MISSING, value} if size else (MISSING,):
        columns = Columns(
            ts=np.arange(1, size + 1) * step_ns,
            values=np.full(size, value),
            offsets=np.array([0, size]),
            start_ns=0,
            end_ns=node.window_ns,
            stale_ns=np.array([np.inf]),
            now=np.array([value]),
            before=np.array([before]),
            source=node.source if isinstance(node, RowsNode) else "samples",
            step_ns=0 if isinstance(node, RowsNode) else node.sampler.step_ns,
            q=node.q,
        )
        yield _known(float(node.function.compute(columns)[0]))
