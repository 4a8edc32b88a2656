"""``min`` and ``max``. For gauges the value carried into the window counts; for samples the value now does, too."""

from __future__ import annotations

import math

import numpy as np

from monitor.window import Columns, Floats, Path, WindowFunction, reduce_by_key


def _beyond_rows(columns: Columns) -> Floats:
    if columns.source == "gauge":
        return columns.before
    return columns.now if columns.source == "samples" else np.full(len(columns.counts), np.nan)


def extreme(ufunc: np.ufunc, columns: Columns) -> Floats:
    """The extreme of rows, carried-in value and present value; `ufunc` is ``np.fmax`` or ``np.fmin``."""
    out: Floats = ufunc(reduce_by_key(ufunc, columns), _beyond_rows(columns))
    return out


def known_naive(path: Path) -> list[float]:
    """Every value that counts for an extreme."""
    more = {"events": math.nan, "gauge": path.before, "samples": path.now}[path.source]
    return [*path.values, *([] if math.isnan(more) else [more])]


MIN = WindowFunction(
    "min",
    ("events", "gauge", "samples"),
    lambda columns: extreme(np.fmin, columns),
    lambda path: min(known_naive(path), default=math.nan),
    monotone=-1,
    summary="Smallest value in force in the window.",
)
MAX = WindowFunction(
    "max",
    ("events", "gauge", "samples"),
    lambda columns: extreme(np.fmax, columns),
    lambda path: max(known_naive(path), default=math.nan),
    monotone=1,
    summary="Greatest value in force in the window.",
)
