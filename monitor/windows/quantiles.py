"""``quantile``: linear interpolation between order statistics (type 7) of the window's rows, each of weight one."""

from __future__ import annotations

import math

import numpy as np

from monitor.window import Columns, Floats, Path, WindowFunction, key_of_row


def _quantile(columns: Columns) -> Floats:
    values = columns.values[np.lexsort((columns.values, key_of_row(columns)))]
    counts, starts = columns.counts, columns.offsets[:-1]
    out = np.full(len(counts), np.nan)
    filled = counts > 0
    rank = columns.q * (counts[filled] - 1)
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, counts[filled] - 1)
    below, above = values[starts[filled] + low], values[starts[filled] + high]
    out[filled] = below + (above - below) * (rank - low)
    return out


def _quantile_naive(path: Path) -> float:
    values = sorted(path.values)
    if not values:
        return math.nan
    rank = path.q * (len(values) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (rank - low)


QUANTILE = WindowFunction(
    "quantile", ("events", "gauge", "samples"), _quantile, _quantile_naive, summary="Type 7, as numpy and Prometheus."
)
