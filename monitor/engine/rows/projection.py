"""Which members a selector takes, and to which group each of them belongs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from monitor.engine.rows.catalog import Index
from monitor.events import Labels
from monitor.expression import Grouping, Matcher
from monitor.window import Floats, Ints

PREFERRED_KINDS = ("mark", "last")
"""A price without a kind is the mark price, else the last trade's; one kind per instrument, never a mixture."""


def matches(matchers: Sequence[Matcher]) -> Callable[[Labels], bool]:
    """A test of label sets; an absent label reads as empty text."""
    tests = [(matcher.label, _test(matcher)) for matcher in matchers]

    def accept(labels: Labels) -> bool:
        table = dict(labels)
        return all(test(table.get(label, "")) for label, test in tests)

    return accept


def _test(matcher: Matcher) -> Callable[[str], bool]:
    if matcher.op in ("=", "!="):
        wanted, positive = matcher.value, matcher.op == "="
        return lambda text: (text == wanted) is positive
    pattern, positive = re.compile(matcher.value), matcher.op == "=~"
    return lambda text: (pattern.fullmatch(text) is not None) is positive


def group_labels(labels: Labels, grouping: Grouping | None) -> Labels:
    """The label set of the group that `labels` falls into; None keeps every label."""
    if grouping is None:
        return labels
    if grouping.without:
        return tuple(pair for pair in labels if pair[0] not in grouping.labels)
    return tuple(pair for pair in labels if pair[0] in grouping.labels)


class Projection:
    """Member id to group row (-1: not selected), kept up as members appear.

    Attributes:
        group: One entry per member.
        index: The groups' label sets.
        version: Rises whenever an entry is added or changed.
        single: Whether no group has more than one member, so that folding is copying.
        everything: Whether there is one group, and every member is in it.
    """

    def __init__(
        self,
        members: Index,
        matchers: Sequence[Matcher],
        grouping: Grouping | None,
        *,
        prefer_kinds: bool = False,
    ) -> None:
        self.members = members
        self.index = Index()
        self.group: Ints = np.empty(0, np.int64)
        self.version = 0
        self.single = True
        self.everything = False
        self._accept = matches(matchers)
        self._grouping = grouping
        self._best: dict[Labels, tuple[int, int]] | None = {} if prefer_kinds else None
        self._sizes: list[int] = []
        self._order: tuple[int, Ints | None] = (-1, None)
        if grouping is not None and not grouping.labels and not grouping.without:
            self.index.add(())

    @property
    def by(self) -> str:
        """The grouping as a rule says it, with a space before; nothing where every label is kept."""
        if self._grouping is None:
            return ""
        return f" {'without' if self._grouping.without else 'by'} ({', '.join(self._grouping.labels)})"

    @property
    def prefers(self) -> bool:
        """Whether of each instrument only the preferred kind of price is taken."""
        return self._best is not None

    @property
    def value(self) -> int:
        """Number of groups, with those of members that have appeared since: it only grows."""
        self.update()
        return len(self.index)

    def update(self) -> bool:
        """Take in members that have appeared since; True when there were any."""
        known = len(self.group)
        if known == len(self.members):
            return False
        self.group = np.concatenate((self.group, np.full(len(self.members) - known, -1, np.int64)))
        for member in range(known, len(self.members)):
            self._place(member, self.members.labels[member])
        self.everything = len(self.index) == 1 and not self.group.any()
        self.version += 1
        return True

    def gains(self, labels: Labels) -> bool:
        """Whether a member with these labels, that has not appeared yet, may change more than its group's size."""
        if not self._accept(labels):
            return False
        return self._best is not None or group_labels(labels, self._grouping) not in self.index.ids

    def copied(self, values: Floats) -> Floats:
        """A value per group where each has one member at most; NaN for a group without."""
        if self._order[0] != self.version:
            order = np.full(len(self.index), len(self.group), np.int64)
            chosen = np.flatnonzero(self.group >= 0)
            order[self.group[chosen]] = chosen
            straight = np.array_equal(order, np.arange(len(self.group)))
            self._order = (self.version, None if straight else order)
        order_of = self._order[1]
        return values if order_of is None else np.append(values, np.nan)[order_of]

    def of_group(self, row: int) -> Ints:
        """Members of one group."""
        return np.flatnonzero(self.group == row)

    def _place(self, member: int, labels: Labels) -> None:
        if not self._accept(labels) or (self._best is not None and not self._preferred(member, labels)):
            return
        row = self.index.add(group_labels(labels, self._grouping))
        self._sizes.extend([0] * (len(self.index) - len(self._sizes)))
        self.group[member] = row
        self._sizes[row] += 1
        self.single = self.single and self._sizes[row] == 1

    def _preferred(self, member: int, labels: Labels) -> bool:
        assert self._best is not None
        kind = dict(labels).get("kind", "")
        if kind not in PREFERRED_KINDS:
            return False
        rank = PREFERRED_KINDS.index(kind)
        key = tuple(pair for pair in labels if pair[0] != "kind")
        held = self._best.get(key)
        if held is not None and held[0] <= rank:
            return False
        if held is not None:
            self._sizes[self.group[held[1]]] -= 1
            self.group[held[1]] = -1
        self._best[key] = (rank, member)
        return True
