"""Which columns of a table a panel has room for, and how wide each may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

PADDING = 2
"""Columns of the terminal that a table puts around each cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a panel.

    Attributes:
        head: What stands above it.
        drop: When there is no room, columns go by this, the highest first; 0 stays whatever happens.
        least: So many characters of it are enough, the rest may be cut off; 0: never cut.
    """

    head: str
    drop: int = 0
    least: int = 0


Layout = tuple[tuple[int, int], ...]
"""The place of each column that is shown among all, and its width in characters."""


def fit(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int) -> Layout:
    """The columns that fit into `width`: those that matter least go first, and long words are cut before."""
    natural = [max(cell_len(column.head), *(cell_len(row[place]) for row in texts), 0) for place, column in enumerate(columns)]  # fmt: skip
    kept = list(range(len(columns)))
    while _needed(columns, natural, kept) > width and any(columns[place].drop for place in kept):
        least = max(columns[place].drop for place in kept)
        kept = [place for place in kept if columns[place].drop != least]
    left = width - _needed(columns, natural, kept)
    layout = []
    for place in kept:
        wanted = natural[place]
        got = _least(columns[place], wanted)
        more = max(0, min(wanted - got, left))
        left -= more
        layout.append((place, got + more))
    return tuple(layout)


def _least(column: Column, natural: int) -> int:
    return min(natural, column.least) if column.least else natural


def _needed(columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int]) -> int:
    return sum(_least(columns[place], natural[place]) + PADDING for place in kept)
