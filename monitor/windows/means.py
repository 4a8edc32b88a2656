"""``mean`` and ``sma``: of events and samples the plain mean; of a gauge each value weighs as long as it held."""

from __future__ import annotations

import math

import numpy as np

from monitor.window import (
    Columns,
    Floats,
    Path,
    WindowFunction,
    add_by_key,
    holding_naive,
    holding_ns,
    key_of_row,
    path_with_before,
    reduce_by_key,
    with_before,
)


def time_weighted(columns: Columns) -> tuple[Columns, Floats, Floats]:
    """Rows with the carried-in one, the weight of each, and the mean per key (NaN where nothing held)."""
    columns = with_before(columns) if columns.source == "gauge" else columns
    weights = holding_ns(columns) if columns.source == "gauge" else np.ones(len(columns.ts))
    keys, size = key_of_row(columns), len(columns.counts)
    total = add_by_key(keys, weights, size)
    product = add_by_key(keys, weights * columns.values, size)
    mean = np.full(size, np.nan)
    np.divide(product, total, out=mean, where=total > 0)
    return columns, weights, mean


def weights_naive(path: Path) -> tuple[Path, list[float]]:
    """Rows and weights of one key."""
    if path.source != "gauge":
        return path, [1.0] * len(path.values)
    path = path_with_before(path)
    return path, holding_naive(path)


def _mean(columns: Columns) -> Floats:
    if columns.source != "gauge":
        with np.errstate(invalid="ignore"):
            return reduce_by_key(np.add, columns) / columns.counts
    return time_weighted(columns)[2]


def mean_naive(path: Path) -> float:
    """The mean of one key."""
    path, weights = weights_naive(path)
    total = math.fsum(weights)
    return math.fsum(w * v for w, v in zip(weights, path.values, strict=True)) / total if total > 0 else math.nan


MEAN = WindowFunction(
    "mean", ("events", "gauge", "samples"), _mean, mean_naive, summary="Mean; time-weighted for gauges."
)
SMA = WindowFunction(
    "sma", ("gauge", "samples"), _mean, mean_naive, summary="Mean of samples; time-weighted for gauges."
)
