"""Members to one value: natural folds, two instants over the members of both, aggregates over labels."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable

from monitor.engine.rows.projection import group_labels
from monitor.events import Labels
from monitor.expression import Grouping
from monitor.series import Fold
from monitor.window import Path
from monitor.windows import WINDOWS
from tests.property.naive.tables import NAN, TRUE, Condition, Vector, known

Members = dict[Labels, tuple[float, float]]
"""Value and weight of the members that are present."""


def fold(how: Fold, members: Iterable[tuple[float, float]]) -> float:
    values = list(members)
    if not values:
        return NAN
    if how is Fold.OI_MEAN:
        total = math.fsum(weight for _, weight in values)
        return math.fsum(value * weight for value, weight in values) / total if total else NAN
    folds: dict[Fold, Callable[[list[float]], float]] = {
        Fold.SUM: math.fsum,
        Fold.MEDIAN: statistics.median,
        Fold.MEAN: statistics.fmean,
        Fold.MIN: min,
        Fold.MAX: max,
    }
    return float(folds[how]([value for value, _ in values]))


def common(how: Fold, then: Members, now: Members) -> tuple[float, float]:
    """Both instants folded over the members that are present at both."""
    both = [labels for labels in now if labels in then]
    return fold(how, [then[k] for k in both]), fold(how, [now[k] for k in both])


def chain(how: Fold, link: str, members: list[Members]) -> list[float]:
    """Running product (or sum) of the jumps that a change of members alone made."""
    out: list[float] = []
    level, last = (1.0, None) if link == "ratio" else (0.0, None)
    for group in members:
        if last and group:
            before, after = fold(how, last.values()), fold(how, group.values())
            then, now = common(how, last, group)
            if link == "ratio":
                move = now / then if known(then) and then else 1.0 if not known(then) else NAN
                jump = after / before / move if before and move else NAN
                level *= jump if math.isfinite(jump) and jump > 0 else 1.0
            else:
                jump = after - before - (now - then if known(then) and known(now) else 0.0)
                level += jump if math.isfinite(jump) else 0.0
        last = group if group and known(fold(how, group.values())) else last
        out.append(level)
    return out


def count_true(table: Condition, grouping: Grouping) -> Vector:
    out: dict[Labels, float] = {(): 0.0} if not grouping.labels and not grouping.without else {}
    for labels, truth in table.truth.items():
        group = group_labels(labels, grouping)
        out[group] = out.get(group, 0.0) + (truth == TRUE)
    return Vector(kept(table.names, grouping), out, 0.0)


def kept(names: frozenset[str], grouping: Grouping) -> frozenset[str]:
    return frozenset(name for name in names if (name in grouping.labels) is not grouping.without)


def aggregate(what: str, table: Vector, grouping: Grouping, q: float) -> Vector:
    groups: dict[Labels, list[float]] = {(): []} if not grouping.labels and not grouping.without else {}
    for labels, value in table.values.items():
        group = groups.setdefault(group_labels(labels, grouping), [])
        if known(value):
            group.append(value)
    folds: dict[str, Callable[[list[float]], float]] = {
        "sum": math.fsum,
        "avg": statistics.fmean,
        "mean": statistics.fmean,
        "min": min,
        "max": max,
        "median": statistics.median,
        "stddev": statistics.pstdev,
        "spread": lambda values: max(values) - min(values),
        "quantile": lambda values: WINDOWS["quantile"].naive(Path([0] * len(values), values, 0, 0, "gauge", q=q)),
        "count": lambda values: float(len(values)),
    }
    default = 0.0 if what == "count" else table.default if what == "sum" else NAN
    empty = 0.0 if what == "count" else table.default if what == "sum" and not table.values else NAN
    out = {k: float(folds[what](values)) if values else empty for k, values in groups.items()}
    return Vector(kept(table.names, grouping), out, default)
