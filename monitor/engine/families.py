"""Rules that compare one reading with a constant, judged together: most of them are far from their threshold.

A rule is *settled* when its newest evaluation was true on no row. As long as the same rows are missing, coverage is the
same, and the family's greatest (or smallest) value does not reach the nearest settled threshold, none of its settled
rules can change, and one maximum stands for all their comparisons.
"""

from __future__ import annotations

import numpy as np

from monitor.engine.nodes.base import Bools, ConditionNode, Coverage, Node, Tick
from monitor.engine.nodes.leaves import ConstantNode
from monitor.engine.nodes.logic import CompareNode
from monitor.engine.program import CompiledRule
from monitor.reading import FALSE, TRUE, Evaluation


class Family:
    """Rules ``left > constant`` (or >=), or ``left < constant`` (or <=), of one left side."""

    def __init__(self, left: Node, *, above: bool) -> None:
        self.left, self.above = left, above
        self.rules: list[tuple[float, CompiledRule]] = []
        self._awake: list[tuple[float, CompiledRule]] = []
        self._nearest = 0.0
        self._missing: Bools = np.ones(1, np.bool_)
        self._coverage: Coverage = -1.0
        self._version = -1

    def add(self, threshold: float, rule: CompiledRule) -> None:
        """Take in a rule; it is awake until it has been evaluated."""
        self.rules.append((threshold, rule))
        self._awake.append((threshold, rule))
        self._nearest = np.inf if self.above else -np.inf

    def evaluate(self, tick: Tick) -> list[Evaluation]:
        """Evaluations of the rules that are not settled, or no longer."""
        version = self.left.pull(tick)
        if version != self._version:
            self._version = version
            if self._disturbed():
                self._awake = list(self.rules)
        if not self._awake:
            return []
        found = [rule.evaluate_changed(tick) for _, rule in self._awake]
        self._sort()
        return [evaluation for evaluation in found if evaluation is not None]

    def _disturbed(self) -> bool:
        values = self.left.values
        missing = np.isnan(values)
        coverage = self.left.coverage
        same = coverage is self._coverage or np.array_equal(coverage, self._coverage)
        if not same or missing.tobytes() != self._missing.tobytes():
            self._missing, self._coverage = missing, coverage
            return True
        extreme = (np.fmax if self.above else np.fmin).reduce(values, initial=-np.inf if self.above else np.inf)
        return not (extreme < self._nearest if self.above else extreme > self._nearest)

    def _sort(self) -> None:
        """Put the settled rules to sleep."""
        self._awake = [pair for pair in self._awake if not settled(pair[1])]
        awake = {id(rule) for _, rule in self._awake}
        asleep = [threshold for threshold, rule in self.rules if id(rule) not in awake]
        if self.above:
            self._nearest = min(asleep, default=np.inf)
        else:
            self._nearest = max(asleep, default=-np.inf)


def settled(rule: CompiledRule) -> bool:
    """Whether a rule's newest evaluation was true on no row."""
    latest = rule.latest
    return latest is not None and latest.truth.max(initial=FALSE) != TRUE


def families(rules: list[CompiledRule]) -> tuple[list[Family], list[CompiledRule]]:
    """Sort rules into families, and those that have to be evaluated one by one."""
    found: dict[tuple[int, bool], Family] = {}
    single = []
    for rule in rules:
        threshold = threshold_of(rule.base.node) if len(rule.roots) == 1 else None
        if threshold is None:
            single.append(rule)
            continue
        node, above, value = threshold
        found.setdefault((id(node), above), Family(node, above=above)).add(value, rule)
    return list(found.values()), single


def threshold_of(node: ConditionNode) -> tuple[Node, bool, float] | None:
    """Left side, direction and constant of a comparison with a constant; None for anything else."""
    if not isinstance(node, CompareNode) or not isinstance(node.right, ConstantNode) or node.left.absent is not None:
        return None
    if node.op not in (">", ">=", "<", "<="):
        return None
    return node.left, node.op in (">", ">="), float(node.right.values[0])
