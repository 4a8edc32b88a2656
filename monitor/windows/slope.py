"""``slope``: least-squares slope of the window's rows, per hour."""

from __future__ import annotations

import math

import numpy as np

from monitor.clock import NS_PER_S
from monitor.window import Columns, Floats, Path, WindowFunction, key_of_row

HOUR_NS = 3600 * NS_PER_S


def _slope(columns: Columns) -> Floats:
    keys, size = key_of_row(columns), len(columns.counts)
    counts = np.maximum(columns.counts, 1)
    hours = (columns.ts - columns.end_ns) / HOUR_NS
    hours = hours - (np.bincount(keys, weights=hours, minlength=size) / counts)[keys]
    values = columns.values - (np.bincount(keys, weights=columns.values, minlength=size) / counts)[keys]
    spread = np.bincount(keys, weights=hours * hours, minlength=size)
    out = np.full(size, np.nan)
    return np.divide(np.bincount(keys, weights=hours * values, minlength=size), spread, out=out, where=spread > 0)


def _slope_naive(path: Path) -> float:
    if not path.times:
        return math.nan
    hours = [(time - path.end_ns) / HOUR_NS for time in path.times]
    mean_t, mean_x = math.fsum(hours) / len(hours), math.fsum(path.values) / len(hours)
    spread = math.fsum((t - mean_t) ** 2 for t in hours)
    product = math.fsum((t - mean_t) * (x - mean_x) for t, x in zip(hours, path.values, strict=True))
    return product / spread if spread > 0 else math.nan


SLOPE = WindowFunction("slope", ("gauge", "samples"), _slope, _slope_naive, summary="Least squares, per hour.")
