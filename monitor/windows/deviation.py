"""``stddev`` and ``zscore``: population estimators; a gauge's values weigh as long as they held."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from monitor.series import Unit
from monitor.window import Columns, Floats, Path, WindowFunction, add_by_key, key_of_row
from monitor.windows.means import mean_naive, time_weighted, weights_naive

ROUNDING = 1e-12
"""A spread smaller than this share of the mean is rounding, and taken for none."""


def _stddev(columns: Columns) -> Floats:
    columns, weights, mean = time_weighted(columns)
    keys, size = key_of_row(columns), len(columns.counts)
    squares = add_by_key(keys, weights * (columns.values - mean[keys]) ** 2, size)
    total = add_by_key(keys, weights, size)
    out = np.full(size, np.nan)
    np.divide(squares, total, out=out, where=total > 0)
    return np.sqrt(out)


def stddev_naive(path: Path) -> float:
    """Of one key."""
    mean = mean_naive(path)
    path, weights = weights_naive(path)
    total = math.fsum(weights)
    squares = math.fsum(w * (v - mean) ** 2 for w, v in zip(weights, path.values, strict=True))
    return math.sqrt(squares / total) if total > 0 else math.nan


def _with_now(columns: Columns) -> Columns:
    """Samples, with the value now as the last of them, unless one was taken at this very instant."""
    if columns.source != "samples":
        return columns
    taken = np.zeros(len(columns.counts), np.bool_)
    filled = columns.counts > 0
    taken[filled] = columns.ts[columns.offsets[1:][filled] - 1] == columns.end_ns
    keys = np.flatnonzero(~np.isnan(columns.now) & ~taken)
    at = columns.offsets[keys + 1]
    added = np.zeros(len(columns.counts), np.int64)
    added[keys] = 1
    return replace(
        columns,
        ts=np.insert(columns.ts, at, columns.end_ns),
        values=np.insert(columns.values, at, columns.now[keys]),
        offsets=columns.offsets + np.concatenate(([0], np.cumsum(added))),
    )


def _zscore(columns: Columns) -> Floats:
    columns = _with_now(columns)
    mean, deviation = time_weighted(columns)[2], _stddev(columns)
    out = np.full(len(mean), np.nan)
    enough = deviation > ROUNDING * np.abs(mean)
    np.divide(columns.now - mean, deviation, out=out, where=enough)
    return out


def _zscore_naive(path: Path) -> float:
    new = path.source == "samples" and not math.isnan(path.now) and (not path.times or path.times[-1] != path.end_ns)
    if new:
        path = replace(path, times=[*path.times, path.end_ns], values=[*path.values, path.now])
    mean, deviation = mean_naive(path), stddev_naive(path)
    return (path.now - mean) / deviation if deviation > ROUNDING * abs(mean) else math.nan


STDDEV = WindowFunction(
    "stddev",
    ("events", "gauge", "samples"),
    _stddev,
    stddev_naive,
    summary="Root of the mean squared distance to the mean.",
)
ZSCORE = WindowFunction(
    "zscore",
    ("gauge", "samples"),
    _zscore,
    _zscore_naive,
    Unit.NUMBER,
    summary="(now - mean) / stddev, the window includes now.",
)
