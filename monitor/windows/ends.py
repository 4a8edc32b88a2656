"""``first`` and ``last`` row of the window; nothing is carried in."""

from __future__ import annotations

import math

import numpy as np

from monitor.window import Columns, Floats, Path, WindowFunction


def _first(columns: Columns) -> Floats:
    out = np.full(len(columns.counts), np.nan)
    filled = columns.counts > 0
    out[filled] = columns.values[columns.offsets[:-1][filled]]
    return out


def _last(columns: Columns) -> Floats:
    if columns.source == "samples":
        return columns.now
    out = np.full(len(columns.counts), np.nan)
    filled = columns.counts > 0
    out[filled] = columns.values[columns.offsets[1:][filled] - 1]
    return out


def _last_naive(path: Path) -> float:
    if path.source == "samples":
        return path.now
    return path.values[-1] if path.values else math.nan


FIRST = WindowFunction(
    "first",
    ("events", "gauge", "samples"),
    _first,
    lambda path: path.values[0] if path.values else math.nan,
    summary="Oldest row in the window.",
)
LAST = WindowFunction("last", ("events", "gauge", "samples"), _last, _last_naive, summary="Newest row in the window.")
