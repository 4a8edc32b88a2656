"""What an expression gives at an instant: a table from label sets to numbers, or to true, false or unknown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.events import Labels

NAN = math.nan
TRUE, FALSE, UNKNOWN = 1, 0, -1


def known(value: float) -> bool:
    return not math.isnan(value)


@dataclass
class Vector:
    """Numbers by label set; ``gone`` are elements that do not exist now (not among the top k)."""

    names: frozenset[str]
    values: dict[Labels, float]
    default: float = NAN
    gone: frozenset[Labels] = frozenset()

    def at(self, labels: Labels | None) -> float:
        return self.default if labels is None else self.values.get(labels, self.default)


@dataclass
class Condition:
    """Truth by label set, with both sides of the deciding comparison."""

    names: frozenset[str]
    truth: dict[Labels, int]
    values: dict[Labels, float]
    thresholds: dict[Labels, float]
    default: int = UNKNOWN

    def at(self, labels: Labels | None) -> int:
        return self.default if labels is None else self.truth.get(labels, self.default)


Table = Vector | Condition


def rows(table: Table) -> Iterable[Labels]:
    return table.values if isinstance(table, Vector) else table.truth


def only(labels: Labels, names: frozenset[str]) -> Labels:
    return tuple(pair for pair in labels if pair[0] in names)


def meet(labels: Labels, table: Table) -> Labels | None:
    """The element of a table that goes with a label set."""
    key = only(labels, table.names)
    return key if key in rows(table) else None
