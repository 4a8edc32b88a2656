"""Rules that need not be judged now: between which constants each reading stands, and how soon it could get out.

A rule sleeps, true or not, while no reading passes a constant, goes missing, appears, or changes its coverage. A *fence*
watches one reading for all rules that compare it with constants, a *guard* a condition of another kind. Most of the time
they need not even look: a sum of dollars that lies 10M below the nearest constant cannot pass it before 10M more have
come in. That is what an `Alarm` says.

Of a rule with an alert somebody wants to hear more: each value that is worse than all before. Its fences stand at the
worst value, too (`Watch.attend`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

import numpy as np

from monitor.engine.cover.coverage import Ledger
from monitor.engine.nodes.base import Alarm, Bools, ConditionNode, ConstantNode, Coverage, Node, Tick, joint
from monitor.engine.nodes.logic import CompareNode, KOfNode, LogicNode, NotNode
from monitor.engine.nodes.vector import TopKNode
from monitor.engine.program import CompiledRule, looks, walk
from monitor.reading import Evaluation
from monitor.window import Floats

Bounds = tuple[Floats, Floats]
Indifferent = Callable[[str], Bounds]
"""Of a rule (its identity): between which values, bounds excluded, each row's may move without being told."""
Followers = Mapping[str, Sequence[Indifferent]]


MOST_TURNS = 16
"""So many turns at most go by without an attempt at an alarm."""


class Pace:
    """Works out alarms less often while each of them rings in the very next turn: that costs more than looking."""

    def __init__(self) -> None:
        self._given = self._until = self._soon = 0

    def rests(self, serial: int) -> bool:
        """Whether this turn, by its number, goes by without an attempt."""
        return serial < self._until

    def worth(self, serial: int) -> bool:
        """Whether to work out an alarm now; to be asked at every look."""
        if self.rests(serial):
            return False
        if self._given:
            self._soon = self._soon + 1 if serial - self._given <= 1 else 0
        self._given = 0 if self._soon > 1 and self._given else serial
        if not self._given:
            self._until = serial + min(1 << self._soon, MOST_TURNS)
        return bool(self._given)


class Fence:
    """One reading, the constants that it is compared with, and the rules that do so."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rules: list[CompiledRule] = []
        self.alarm: Alarm | None = None
        self._pace = Pace()
        self.fresh = True
        """Whether what the rules' followers want to hear may have changed since it last looked."""
        self._constants: list[float] = []
        self._ladder: Floats = np.empty(0)
        self._low: Floats = np.empty(0)
        self._high: Floats = np.empty(0)
        self._level: Bools | None = None
        self._missing: Bools | None = None
        self._told: Bounds | None = None
        self._coverage: Coverage = -1.0
        self._version = -1

    def add(self, constant: float, rule: CompiledRule) -> None:
        """Take in a comparison of a rule."""
        self._constants.append(constant)
        self._ladder = np.array([-np.inf, *sorted(set(self._constants)), np.inf])
        if rule not in self.rules:
            self.rules.append(rule)

    def passed(self, tick: Tick, followers: Followers) -> bool:
        """Look: whether any comparison may have another outcome than last time. Sets the alarm anew."""
        version = self.node.pull(tick)
        if version == self._version and self.alarm is None and not self.fresh and self._pace.rests(tick.serial):
            return False
        self._told = self._bounds(followers)
        passed = version != self._version and not self._stands()
        self._version, self.fresh = version, False
        if passed:
            self._note()
        self.alarm = self._rings_when() if self._pace.worth(tick.serial) else None
        return passed

    def _rings_when(self) -> Alarm | None:
        low, high = self._low, self._high
        if self._told is not None:
            low, high = np.maximum(low, self._told[0]), np.minimum(high, self._told[1])
        return self.node.alarm(low, high) or self.node.still()

    def _stands(self) -> bool:
        """Whether every row is where it was."""
        values, coverage = self.node.values, self.node.coverage
        if len(values) != len(self._low):
            return False
        if coverage is not self._coverage and not np.array_equal(coverage, self._coverage):
            return False
        if self._told is not None and ((values <= self._told[0]) | (values >= self._told[1])).any():
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

    def _bounds(self, followers: Followers) -> Bounds | None:
        """Between which values nobody wants to hear of the reading; None where nobody follows any of the rules."""
        found: Bounds | None = None
        for rule in self.rules:
            for indifferent in followers.get(rule.rule.id, ()):
                for low, high in rule.shown(self.node, *indifferent(rule.rule.id)):
                    found = (low, high) if found is None else (np.maximum(found[0], low), np.minimum(found[1], high))
        return found


class Guard:
    """A condition that is no comparison with a constant, and the rules that it decides."""

    def __init__(self, node: ConditionNode) -> None:
        self.node = node
        self.rules: list[CompiledRule] = []
        self.alarm: Alarm | None = None
        self._pace = Pace()
        self.fresh = True
        self._version = -1
        self._looks: tuple[bytes | float, ...] = ()

    def passed(self, tick: Tick, followers: Followers) -> bool:
        """Look: whether truth or coverage of any row is another than last time, or a value that somebody follows."""
        version = self.node.pull(tick)
        if version == self._version and self.alarm is None and not self.fresh and self._pace.rests(tick.serial):
            return False
        followed = any(rule.rule.id in followers for rule in self.rules)
        passed = version != self._version and (followed or looks(self.node) != self._looks)
        self._version, self.fresh = version, False
        if passed:
            self._looks = looks(self.node)
        self.alarm = None
        if self._pace.worth(tick.serial):
            self.alarm = self.node.still() if followed else self.node.stands()
        return passed


class Watch:
    """Evaluates rules on the live path: those behind a fence that was passed."""

    def __init__(self, rules: Sequence[CompiledRule], ledger: Ledger) -> None:
        self._ledger = ledger
        self._followers: dict[str, list[Indifferent]] = {}
        fences: dict[int, Fence] = {}
        guards: dict[int, Guard] = {}
        for rule in rules:
            for leaf in leaves(rule.roots):
                if compares(leaf):
                    fences.setdefault(id(leaf.left), Fence(leaf.left)).add(float(leaf.right.values[0]), rule)
                else:
                    guards.setdefault(id(leaf), Guard(leaf)).rules.append(rule)
        self._fences: list[Fence | Guard] = [*fences.values(), *guards.values()]
        self._near: list[Fence | Guard] = []
        """Fences that have to be looked at each time, or rang when last all were: each has its own alarm."""
        self._far: Alarm | None = None
        """Of all other fences together; None: all are to be looked at."""
        self._renew = False
        self._seen_ledger = -1

    def evaluate(self, tick: Tick) -> list[Evaluation]:
        """Evaluations of rules whose truth or coverage changed, or of whose values somebody wants to hear."""
        due = self._woken(tick)
        found = [seen for rule in due if (seen := rule.evaluate_changed(tick)) is not None]
        self._refresh(rule for rule in due if rule.rule.id in self._followers)
        return found

    def asleep(self) -> Alarm | None:
        """What would wake a rule, while all of them sleep; None when one has to be looked at in any case."""
        if self._far is None or self._ledger.version != self._seen_ledger:
            return None
        return joint((self._far, *(fence.alarm for fence in self._near)))

    def renew(self) -> None:
        """Look at every fence at the next evaluation, so that its alarm has all the room that there is."""
        self._renew = True

    def attend(self, followers: Mapping[str, list[Indifferent]]) -> None:
        """Tell from now on of these rules, by identity, each value that lies beyond what their followers are indifferent to."""
        self._followers = dict(followers)
        rules = {id(rule): rule for fence in self._fences for rule in fence.rules}.values()
        for rule in rules:
            rule.attended = rule.rule.id in followers
        self._refresh(rule for rule in rules if rule.attended)

    def _refresh(self, rules: Iterable[CompiledRule]) -> None:
        """See to it that the fences of these rules are looked at in the next turn."""
        chosen = {id(rule) for rule in rules}
        for fence in self._fences if chosen else ():
            if any(id(rule) in chosen for rule in fence.rules):
                fence.alarm, fence.fresh, self._far = None, True, None

    def _woken(self, tick: Tick) -> list[CompiledRule]:
        """The rules that a passed fence wakes."""
        moved = self._ledger.version != self._seen_ledger or self._renew
        all_of_them = moved or self._far is None or self._far.rings(tick.now_ns)
        self._seen_ledger, self._renew = self._ledger.version, False
        rang = [
            fence
            for fence in (self._fences if all_of_them else self._near)
            if moved or fence.alarm is None or fence.alarm.rings(tick.now_ns)
        ]
        passed = [fence for fence in rang if fence.passed(tick, self._followers)]
        if all_of_them:
            self._near = [fence for fence in rang if fence.alarm is None] if moved else rang
            near = set(map(id, self._near))
            self._far = joint(fence.alarm for fence in self._fences if id(fence) not in near)
        return list({id(rule): rule for fence in passed for rule in fence.rules}.values())


def leaves(roots: Sequence[Node]) -> Iterator[ConditionNode]:
    """The conditions that decide others by ``and``, ``or``, ``not`` and ``k_of`` alone."""
    for root in roots:
        if isinstance(root, LogicNode | NotNode | KOfNode):
            yield from leaves(root.children)
        else:
            assert isinstance(root, ConditionNode)
            yield root


def compares(leaf: ConditionNode) -> TypeGuard[CompareNode]:
    """Whether a condition is one reading beside a constant, and every row of the reading exists."""
    return (
        isinstance(leaf, CompareNode)
        and isinstance(leaf.right, ConstantNode)
        and not any(isinstance(node, TopKNode) for node in walk([leaf.left]))
    )
