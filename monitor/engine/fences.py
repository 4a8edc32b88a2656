"""Rules that need not be judged now: between which constants each reading stands, and how soon it could get out.

A rule is *settled* when its newest evaluation was true on no row. A rule that is made of comparisons with constants
sleeps while it is settled and no reading passes a constant, goes missing, appears, or changes its coverage. A *fence*
watches one reading for all rules that compare it. Most of the time it need not even look: a sum of dollars that lies
10M below the nearest constant cannot pass it before 10M more have come in. That is what its `Alarm` says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.engine.cover.coverage import Ledger
from monitor.engine.nodes.base import Alarm, Bools, ConstantNode, Coverage, Growing, Node, Tick
from monitor.engine.nodes.logic import CompareNode, KOfNode, LogicNode, NotNode
from monitor.engine.program import CompiledRule
from monitor.reading import Evaluation
from monitor.window import Floats

NEVER_NS = -(1 << 62)


class Fence:
    """One reading, the constants that it is compared with, and the rules that do so."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rules: list[CompiledRule] = []
        self.alarm: Alarm | None = None
        self._constants: list[float] = []
        self._ladder: Floats = np.empty(0)
        self._low: Floats = np.empty(0)
        self._high: Floats = np.empty(0)
        self._level: Bools | None = None
        self._missing: Bools | None = None
        self._coverage: Coverage = -1.0
        self._version = -1

    def add(self, constant: float, rule: CompiledRule) -> None:
        """Take in a comparison of a rule."""
        self._constants.append(constant)
        self._ladder = np.array([-np.inf, *sorted(set(self._constants)), np.inf])
        if rule not in self.rules:
            self.rules.append(rule)

    def passed(self, tick: Tick) -> bool:
        """Look: whether any comparison may have another outcome than last time. Sets the alarm anew."""
        version = self.node.pull(tick)
        if version != self._version or self.alarm is not None:
            passed = version != self._version and not self._stands()
            self._version = version
            if passed:
                self._note()
            self.alarm = self.node.alarm(self._low, self._high)
            return passed
        return False

    def _stands(self) -> bool:
        """Whether every row is where it was."""
        values, coverage = self.node.values, self.node.coverage
        if len(values) != len(self._low):
            return False
        if coverage is not self._coverage and not np.array_equal(coverage, self._coverage):
            return False
        inside: Bools = (values > self._low) & (values < self._high)
        if self._level is not None:
            inside |= self._level & (values == self._low)
        if self._missing is not None:
            inside |= self._missing & np.isnan(values)
        return bool(inside.all())

    def _note(self) -> None:
        """Note between which constants each row stands: strictly, or on one."""
        values, ladder = self.node.values, self._ladder
        below = ladder.searchsorted(values, side="left") - 1
        self._low, self._high = ladder[below], ladder[np.minimum(below + 1, len(ladder) - 1)]
        level = values == self._high
        self._level = level if level.any() else None
        if self._level is not None:
            self._low = np.where(level, self._high, self._low)
        missing = np.isnan(values)
        self._missing = missing if missing.any() else None
        self._coverage = self.node.coverage


class Watch:
    """Evaluates rules on the live path: those that are awake, and those behind a fence that was passed."""

    def __init__(self, rules: Sequence[CompiledRule], ledger: Ledger) -> None:
        self._ledger = ledger
        self._single: list[CompiledRule] = []
        self._awake: list[CompiledRule] = []
        fences: dict[int, Fence] = {}
        for rule in rules:
            leaves = comparisons(rule.roots)
            (self._single if leaves is None else self._awake).append(rule)
            for leaf in leaves or ():
                fence = fences.setdefault(id(leaf.left), Fence(leaf.left))
                fence.add(float(leaf.right.values[0]), rule)
        self._fences = list(fences.values())
        self._alarm: Alarm | None = None
        self._renew = False
        self._seen_ledger = -1

    def evaluate(self, tick: Tick) -> list[Evaluation]:
        """Evaluations of rules that are true somewhere, or whose truth or coverage changed."""
        due = self._woken(tick)
        found = [seen for rule in due if (seen := rule.evaluate_changed(tick)) is not None]
        if due:
            self._awake = [rule for rule in due if rule.holds or rule.attended]
        if self._single:
            found += [seen for rule in self._single if (seen := rule.evaluate_changed(tick)) is not None]
        return found

    def asleep(self) -> Alarm | None:
        """What would wake a rule, while all of them sleep; None when one has to be looked at in any case."""
        awake = self._single or self._awake or self._ledger.version != self._seen_ledger
        return None if awake else self._alarm

    def renew(self) -> None:
        """Look at every fence at the next evaluation, so that its alarm has all the room that there is."""
        self._renew = True

    def attend(self, rules: Sequence[CompiledRule]) -> None:
        """Keep these rules awake from now on, and no others for this reason."""
        for rule in (*self._single, *(rule for fence in self._fences for rule in fence.rules)):
            rule.attended = False
        for rule in rules:
            rule.attended = True
        asleep = [rule for rule in rules if rule not in self._single and rule not in self._awake]
        self._awake = [*self._awake, *asleep]

    def _woken(self, tick: Tick) -> list[CompiledRule]:
        """The rules to be evaluated: the awake ones and those that a passed fence wakes."""
        moved = self._ledger.version != self._seen_ledger or self._renew
        if not moved and self._alarm is not None and not self._alarm.rings(tick.now_ns):
            return self._awake
        self._seen_ledger, self._renew = self._ledger.version, False
        due = {id(rule): rule for rule in self._awake}
        for fence in self._fences:
            if (moved or fence.alarm is None or fence.alarm.rings(tick.now_ns)) and fence.passed(tick):
                due.update((id(rule), rule) for rule in fence.rules)
        self._alarm = joint([fence.alarm for fence in self._fences])
        return list(due.values())


def joint(alarms: Sequence[Alarm | None]) -> Alarm | None:
    """An alarm that rings when any of several does; None where one of them has to be looked at each time."""
    until_ns, marks = float(1 << 62), dict[int, tuple[Growing, int]]()
    for alarm in alarms:
        if alarm is None:
            return None
        until_ns = min(until_ns, alarm.until_ns)
        for meter, mark in alarm.marks:
            marks[id(meter)] = (meter, min(mark, marks.get(id(meter), (meter, mark))[1]))
    return Alarm(until_ns, tuple(marks.values()))


def comparisons(roots: Sequence[Node]) -> list[CompareNode] | None:
    """The comparisons with a constant that decide conditions; None where anything else does, or a memory of the past."""
    found: list[CompareNode] = []
    for root in roots:
        if isinstance(root, CompareNode):
            if not isinstance(root.right, ConstantNode) or root.left.absent is not None:
                return None
            found.append(root)
        elif isinstance(root, LogicNode | NotNode | KOfNode) and (inner := comparisons(root.children)) is not None:
            found += inner
        else:
            return None
    return found
