"""``slope``: least-squares slope of the window's rows, per hour."""

from __future__ import annotations

import math

import numpy as np

from monitor.clock import NS_PER_S
from monitor.window import Columns, Floats, Path, WindowFunction, add_by_key, key_of_row

HOUR_NS = 3600 * NS_PER_S


def _slope(columns: Columns) -> Floats:
    keys, size = key_of_row(columns), len(columns.counts)
    counts = np.maximum(columns.counts, 1)
    hours = (columns.ts - columns.end_ns) / HOUR_NS
    hours = hours - (add_by_key(keys, hours, size) / counts)[keys]
    values = columns.values - (add_by_key(keys, columns.values, size) / counts)[keys]
    spread = add_by_key(keys, hours * hours, size)
    out = np.full(size, np.nan)
    np.divide(add_by_key(keys, hours * values, size), spread, out=out, where=spread > 0)
    return out


def _slope_naive(path: Path) -> float:
    if not path.times:
        return math.nan
    hours = [(time - path.end_ns) / HOUR_NS for time in path.times]
    mean_t, mean_x = math.fsum(hours) / len(hours), math.fsum(path.values) / len(hours)
    spread = math.fsum((t - mean_t) ** 2 for t in hours)
    product = math.fsum((t - mean_t) * (x - mean_x) for t, x in zip(hours, path.values, strict=True))
    return product / spread if spread > 0 else math.nan


SLOPE = WindowFunction("slope", ("gauge", "samples"), _slope, _slope_naive, summary="Least squares, per hour.")
