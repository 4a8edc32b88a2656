"""How rows of two nodes meet: one-to-one, or many-to-one on the labels that one side has fewer of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.engine.catalog import Index
from monitor.engine.nodes.base import Node
from monitor.events import Labels
from monitor.expression import Matching
from monitor.window import Ints


def match_names(left: Node, right: Node, matching: Matching) -> tuple[str, ...]:
    """The labels on which rows must agree."""
    shared = set(left.label_names) & set(right.label_names)
    if matching.on is not None:
        shared = set(matching.on)
    return tuple(sorted(shared - set(matching.ignoring)))


def key_of(labels: Labels, names: frozenset[str]) -> Labels:
    """The part of a label set on which rows meet."""
    return tuple(pair for pair in labels if pair[0] in names)


class Join:
    """Output rows of a binary operation, with the row that each takes from either side (-1: that side has none).

    The many side gives the output its labels. Rows that only one side has are kept where all their labels are known:
    that is what three-valued logic needs, and what sums need, whose missing row is a zero.

    Attributes:
        ambiguous: Output rows for which the "one" side had several candidates.
        many_right: Whether the right side may have several elements for one of the left.
    """

    def __init__(self, left: Node, right: Node, matching: Matching, labels: Sequence[str] | None = None) -> None:
        """Join two nodes; `labels` are the output's as the checker found them, by default those of the wider side."""
        self.left, self.right = left, right
        self._names = frozenset(match_names(left, right, matching))
        mine, theirs = set(left.label_names), set(right.label_names)
        out = max(mine, theirs) if labels is None else set(labels)
        self.many_right = matching.many == "right" or (not matching.many and out == theirs != mine)
        many = right if self.many_right else left
        self._kept = frozenset(out)
        self.label_names = tuple(name for name in many.label_names if name in out)
        self._grow_one = out == self._names
        self.index = Index()
        self.rows_left: Ints = np.empty(0, np.int64)
        self.rows_right: Ints = np.empty(0, np.int64)
        self.ambiguous: set[int] = set()
        self._sizes = (-1, -1)

    @property
    def scalar_right(self) -> bool:
        """Whether the output has the left side's rows, and the right side is one number for all of them."""
        return self._scalar_right

    @property
    def same(self) -> bool:
        """Whether both sides and the output have the very same rows in the same order."""
        return self._same

    def update(self) -> None:
        """Take in rows that either side has gained."""
        sizes = (len(self.left.index), len(self.right.index))
        if sizes == self._sizes:
            return
        self._sizes = sizes
        many, one = (self.right, self.left) if self.many_right else (self.left, self.right)
        table, twice = self._table(one)
        many_rows: dict[int, int] = {}
        for row, labels in enumerate(many.index.labels):
            many_rows[self.index.add(key_of(labels, self._kept))] = row
        one_rows = self._one_rows(table, twice)
        if self._grow_one:
            self._add_lonely(one, many, one_rows)
        size = len(self.index)
        a = np.array([many_rows.get(row, -1) for row in range(size)], np.int64)
        b = np.array([one_rows.get(row, -1) for row in range(size)], np.int64)
        self.rows_left, self.rows_right = (b, a) if self.many_right else (a, b)
        straight = np.arange(size)
        self._same = bool(
            len(a) == len(b) == sizes[0] == sizes[1] and np.array_equal(a, straight) and np.array_equal(b, straight)
        )

        self._scalar_right = bool(
            self.right.index.labels == [()]
            and not self.ambiguous
            and np.array_equal(self.rows_left, np.arange(sizes[0]))
        )

    _same = False
    _scalar_right = False

    def _table(self, one: Node) -> tuple[dict[Labels, int], set[Labels]]:
        table: dict[Labels, int] = {}
        twice: set[Labels] = set()
        for row, labels in enumerate(one.index.labels):
            key = key_of(labels, self._names)
            if key in table:
                twice.add(key)
            table.setdefault(key, row)
        return table, twice

    def _one_rows(self, table: dict[Labels, int], twice: set[Labels]) -> dict[int, int]:
        rows = {}
        self.ambiguous = set()
        for row, labels in enumerate(self.index.labels):
            key = key_of(labels, self._names)
            if key in twice:
                self.ambiguous.add(row)
            elif key in table:
                rows[row] = table[key]
        return rows

    def _add_lonely(self, one: Node, many: Node, one_rows: dict[int, int]) -> None:
        met = {key_of(labels, self._names) for labels in many.index.labels}
        for row, labels in enumerate(one.index.labels):
            key = key_of(labels, self._names)
            if key not in met:
                one_rows[self.index.add(key)] = row
