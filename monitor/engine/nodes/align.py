"""How rows of two nodes meet: one-to-one, or many-to-one on the labels that one side has fewer of.

Label sets are only ever appended to an `Index`, so what has met stays met: a new one costs its own look-up, not that of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from monitor.engine.nodes.base import Node
from monitor.engine.rows.catalog import Index
from monitor.events import Labels
from monitor.expression import Matching
from monitor.window import Floats, Ints

NOWHERE = -1


def match_names(left: Node, right: Node, matching: Matching) -> tuple[str, ...]:
    """The labels on which rows must agree."""
    shared = set(left.label_names) & set(right.label_names)
    if matching.on is not None:
        shared = set(matching.on)
    return tuple(sorted(shared - set(matching.ignoring)))


def key_of(labels: Labels, names: frozenset[str]) -> Labels:
    """The part of a label set on which rows meet; the very same object where that is all of it."""
    key = tuple([pair for pair in labels if pair[0] in names])
    return labels if len(key) == len(labels) else key


class Places:
    """The row of each label set of one index in another, kept up as both grow.

    Args:
        of: Whose label sets are looked up.
        among: Where. A label set that was found stays where it is.
        find: The row of a label set among those, -1 where it has none; by default that of the equal one.
    """

    def __init__(self, of: Index, among: Index, find: Callable[[Labels], int] | None = None) -> None:
        self._of, self._among = of, among
        self._find = find or (lambda labels: among.ids.get(labels, NOWHERE))
        self._seen = 0
        self._rows: Ints = np.empty(0, np.int64)

    def update(self) -> Ints:
        """One row per label set, -1 where it has none."""
        known = len(self._rows)
        if len(self._among) > self._seen:
            self._seen = len(self._among)
            self._look_up(np.flatnonzero(self._rows < 0).tolist())
        if len(self._of) > known:
            self._rows = extended(self._rows, len(self._of))
            self._look_up(range(known, len(self._of)))
        return self._rows

    def _look_up(self, rows: Iterable[int]) -> None:
        labels = self._of.labels
        for row in rows:
            self._rows[row] = self._find(labels[row])


class Join:
    """Output rows of a binary operation, with the row that each takes from either side (-1: that side has none).

    The many side gives the output its labels. Rows that only one side has are kept where all their labels are known:
    that is what three-valued logic needs, and what sums need, whose missing row is a zero.

    Attributes:
        ambiguous: Output rows for which the "one" side had several candidates; they take none of these.
        many_right: Whether the right side may have several elements for one of the left.
        same: Whether both sides and the output have the very same rows in the same order.
        scalar_right: Whether the output has the left side's rows, and the right side is one number for all of them.
    """

    def __init__(self, left: Node, right: Node, matching: Matching, labels: Sequence[str] | None = None) -> None:
        """Join two nodes; `labels` are the output's as the checker found them, by default those of the wider side."""
        self.left, self.right = left, right
        self._names = frozenset(match_names(left, right, matching))
        mine, theirs = set(left.label_names), set(right.label_names)
        out = max(mine, theirs) if labels is None else set(labels)
        self.many_right = matching.many == "right" or (not matching.many and out == theirs != mine)
        self._many, self._one = (right, left) if self.many_right else (left, right)
        self._kept = frozenset(out)
        self.label_names = tuple(name for name in self._many.label_names if name in out)
        self._keyed = out == self._names
        """Whether an output row's labels are what rows meet on, so that the one side can add rows of its own."""
        self.index = Index()
        self.ambiguous: set[int] = set()
        self.same, self.scalar_right = True, False
        self._first: dict[Labels, int] = {}
        self._twice: set[Labels] = set()
        self._rows_of: dict[Labels, list[int]] = {}
        self._sizes = (0, 0)
        self._rows_many: Ints = np.empty(0, np.int64)
        self._rows_one: Ints = np.empty(0, np.int64)

    @property
    def rows_left(self) -> Ints:
        """The left side's row for each output row."""
        return self._rows_one if self.many_right else self._rows_many

    @property
    def rows_right(self) -> Ints:
        """The right side's row for each output row."""
        return self._rows_many if self.many_right else self._rows_one

    def update(self) -> None:
        """Take in rows that either side has gained."""
        sizes = (len(self._many.index), len(self._one.index))
        if sizes == self._sizes:
            return
        known_many, known_one = self._sizes
        self._sizes = sizes
        keys = self._file(known_one)
        moved = self._enter(known_many)
        for key in keys:
            moved += self._meeting(key)
        self._meet(moved)
        self._judge()

    def _file(self, known: int) -> list[Labels]:
        """Note the new elements of the one side; what rows meet them on."""
        keys = [key_of(labels, self._names) for labels in self._one.index.labels[known:]]
        for row, key in enumerate(keys, start=known):
            if self._first.setdefault(key, row) != row:
                self._twice.add(key)
        return keys

    def _enter(self, known: int) -> list[int]:
        """Give the new elements of the many side their output rows."""
        before = len(self.index)
        rows = [self.index.add(key_of(labels, self._kept)) for labels in self._many.index.labels[known:]]
        self._rows_many = extended(self._rows_many, len(self.index))
        self._rows_many[rows] = np.arange(known, known + len(rows))
        if not self._keyed:
            for row in range(before, len(self.index)):
                self._rows_of.setdefault(key_of(self.index.labels[row], self._names), []).append(row)
        return rows

    def _meeting(self, key: Labels) -> list[int]:
        """Output rows that take an element of the one side; a new one where nothing else has its labels."""
        return [self.index.add(key)] if self._keyed else self._rows_of.get(key, [])

    def _meet(self, rows: list[int]) -> None:
        """Find the one side's element for these output rows."""
        size = len(self.index)
        self._rows_many, self._rows_one = extended(self._rows_many, size), extended(self._rows_one, size)
        for row in rows:
            key = key_of(self.index.labels[row], self._names)
            if key in self._twice:
                self.ambiguous.add(row)
                self._rows_one[row] = NOWHERE
            else:
                self._rows_one[row] = self._first.get(key, NOWHERE)

    def _judge(self) -> None:
        left, right = self.rows_left, self.rows_right
        straight = np.arange(len(self.index))
        many, one = self._sizes
        mine_straight = len(self.index) == len(self.left.index) and np.array_equal(left, straight)
        self.same = bool(many == one and mine_straight and np.array_equal(right, straight))
        self.scalar_right = bool(mine_straight and self.right.index.labels == [()] and not self.ambiguous)


def carried(rows: Ints, size: int, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds of output rows as those of one side's rows: the narrowest where several take the same row."""
    lower, upper = np.full(size, -np.inf), np.full(size, np.inf)
    taken = rows >= 0
    np.maximum.at(lower, rows[taken], low[taken])
    np.minimum.at(upper, rows[taken], high[taken])
    return lower, upper


def extended(rows: Ints, size: int) -> Ints:
    """`rows` with -1 for those that were appended since."""
    if len(rows) == size:
        return rows
    return np.concatenate((rows, np.full(size - len(rows), NOWHERE, np.int64)))
