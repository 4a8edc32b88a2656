"""``stddev`` and ``zscore``: population estimators; a gauge's values weigh as long as they held."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from monitor.series import Unit
from monitor.window import Columns, Floats, Path, WindowFunction, add_by_key, key_of_row
from monitor.windows.means import time_weighted, weights_naive

ROUNDING = 1e-12
"""A spread smaller than this share of the mean is rounding, and taken for none."""


def _centred(columns: Columns) -> tuple[Columns, Floats]:
    """Values less one of each key's own, so that small spreads of large values keep their digits; and what was taken."""
    keys = key_of_row(columns)
    pivot = np.zeros(len(columns.counts))
    filled = columns.counts > 0
    pivot[filled] = columns.values[columns.offsets[:-1][filled]]
    shifted = columns.values - pivot[keys]
    return replace(columns, values=shifted, before=columns.before - pivot, now=columns.now - pivot), pivot


def _spread(columns: Columns) -> tuple[Floats, Floats]:
    """Mean and standard deviation."""
    columns, weights, mean = time_weighted(columns)
    keys, size = key_of_row(columns), len(columns.counts)
    squares = add_by_key(keys, weights * (columns.values - mean[keys]) ** 2, size)
    total = add_by_key(keys, weights, size)
    out = np.full(size, np.nan)
    np.divide(squares, total, out=out, where=total > 0)
    return mean, np.sqrt(out)


def _stddev(columns: Columns) -> Floats:
    return _spread(_centred(columns)[0])[1]


def _exact(path: Path) -> tuple[Fraction, Fraction] | None:
    """Mean and variance of one key, in fractions."""
    path, weights = weights_naive(path)
    total = sum(map(Fraction, weights))
    if not total:
        return None
    pairs = [(Fraction(w), Fraction(v)) for w, v in zip(weights, path.values, strict=True)]
    mean = sum(w * v for w, v in pairs) / total
    return mean, sum(w * (v - mean) ** 2 for w, v in pairs) / total


def _stddev_naive(path: Path) -> float:
    exact = _exact(path)
    return math.nan if exact is None else math.sqrt(exact[1])


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
    columns, pivot = _centred(_with_now(columns))
    mean, deviation = _spread(columns)
    out = np.full(len(mean), np.nan)
    enough = deviation > ROUNDING * np.abs(mean + pivot)
    np.divide(columns.now - mean, deviation, out=out, where=enough)
    return out


def _zscore_naive(path: Path) -> float:
    new = path.source == "samples" and not math.isnan(path.now) and (not path.times or path.times[-1] != path.end_ns)
    if new:
        path = replace(path, times=[*path.times, path.end_ns], values=[*path.values, path.now])
    exact = _exact(path)
    if exact is None or math.isnan(path.now):
        return math.nan
    deviation = math.sqrt(exact[1])
    return float(Fraction(path.now) - exact[0]) / deviation if deviation > ROUNDING * abs(exact[0]) else math.nan


STDDEV = WindowFunction(
    "stddev",
    ("events", "gauge", "samples"),
    _stddev,
    _stddev_naive,
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
