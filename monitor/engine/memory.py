"""What conditions remember from one evaluation to the next, in a form that survives a restart and a change of rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.engine.rows.catalog import Index
from monitor.events import Labels

Column = npt.NDArray[Any]
Side = tuple[list[Labels] | str | None, Column]
"""Values of one side of a crossing by the label sets of its rows, or by member number of the series of this name.

After a restart the series is not said: its members have their numbers again.
"""


@dataclass(slots=True)
class Memory:
    """Columns by label set, and what a crossing compares with.

    Attributes:
        labels: The label set of each row.
        columns: One entry per row.
        sides: The parts of a crossing's two snapshots, in the order of its tree.
    """

    labels: list[Labels] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    sides: list[Side] = field(default_factory=list)

    def column(self, name: str, index: Index, empty: float) -> Column:
        """A column at the rows of `index`; `empty` where nothing is remembered."""
        return spread(self.labels, self.columns[name], index, empty)


def spread(labels: list[Labels], values: Column, index: Index, empty: float) -> Column:
    """Values by label set as values by the rows of `index`."""
    out = np.full(len(index), empty, values.dtype)
    rows = np.array([index.ids.get(item, -1) for item in labels], np.int64)
    known = rows >= 0
    out[rows[known]] = values[known]
    return out


def by_row(index: Index, values: Column) -> Side:
    """The side of a node whose values go by the rows of `index`."""
    return index.labels[: len(values)], values


def next_side(sides: Iterator[Side], index: Index, empty: float) -> Column:
    """The next side, at the rows of `index`."""
    labels, values = next(sides)
    return spread(labels, values, index, empty) if isinstance(labels, list) else values
