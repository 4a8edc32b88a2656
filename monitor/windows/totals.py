"""``sum``, ``count``, ``rate``: totals of a window. The engine keeps those of events incrementally, in whole micro-dollars."""

from __future__ import annotations

import math

import numpy as np

from monitor.clock import NS_PER_S
from monitor.series import Unit
from monitor.window import Columns, Floats, Path, Source, WindowFunction, reduce_by_key


def _sum(columns: Columns) -> Floats:
    empty = 0.0 if columns.source == "events" else np.nan
    return reduce_by_key(np.add, columns, empty)


def _sum_naive(path: Path) -> float:
    if path.source != "events" and not path.values:
        return math.nan
    return math.fsum(path.values)


def _count(columns: Columns) -> Floats:
    return columns.counts.astype(np.float64)


def _count_naive(path: Path) -> float:
    return float(len(path.values))


def _rate(columns: Columns) -> Floats:
    total = _sum(columns) if columns.source == "events" else columns.now - columns.before
    return total / ((columns.end_ns - columns.start_ns) / NS_PER_S)


def _rate_naive(path: Path) -> float:
    total = math.fsum(path.values) if path.source == "events" else path.now - path.before
    return total / ((path.end_ns - path.start_ns) / NS_PER_S)


ALL: tuple[Source, ...] = ("events", "gauge", "samples")
SUM = WindowFunction("sum", ALL, _sum, _sum_naive, monotone=1, summary="Total of the window's rows.")
COUNT = WindowFunction("count", ALL, _count, _count_naive, Unit.COUNT, monotone=1, summary="Number of rows.")
RATE = WindowFunction("rate", ALL, _rate, _rate_naive, monotone=1, summary="Per second.")
