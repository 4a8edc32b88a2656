"""``realized_vol``: annualised standard deviation of log returns between neighbouring samples, in percent points."""

from __future__ import annotations

import math

import numpy as np

from monitor.clock import NS_PER_S
from monitor.series import Unit
from monitor.window import Columns, Floats, Path, WindowFunction, add_by_key, key_of_row

HOUR_NS = 3600 * NS_PER_S
YEAR_NS = 8760 * HOUR_NS
MIN_RETURNS = 2


def _realized_vol(columns: Columns) -> Floats:
    keys, size = key_of_row(columns), len(columns.counts)
    steps = (keys[1:] == keys[:-1]) & (np.diff(columns.ts) == columns.step_ns)
    steps &= (columns.values[1:] > 0) & (columns.values[:-1] > 0)
    owner = keys[1:][steps]
    returns = np.log(columns.values[1:][steps] / columns.values[:-1][steps])
    count = np.bincount(owner, minlength=size)
    enough = count >= MIN_RETURNS
    mean = add_by_key(owner, returns, size) / np.maximum(count, 1)
    squares = add_by_key(owner, (returns - mean[owner]) ** 2, size)
    variance = np.where(enough, squares / np.maximum(count, 1), np.nan)
    return 100.0 * np.sqrt(variance * (YEAR_NS / columns.step_ns))


def _realized_vol_naive(path: Path) -> float:
    returns = [
        math.log(b / a)
        for (s, a), (t, b) in zip(
            zip(path.times, path.values, strict=True), list(zip(path.times, path.values, strict=True))[1:], strict=False
        )
        if t - s == path.step_ns and a > 0 and b > 0
    ]
    if len(returns) < MIN_RETURNS:
        return math.nan
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((r - mean) ** 2 for r in returns) / len(returns)
    return 100.0 * math.sqrt(variance * (YEAR_NS / path.step_ns))


REALIZED_VOL = WindowFunction(
    "realized_vol",
    ("samples",),
    _realized_vol,
    _realized_vol_naive,
    Unit.VOL_POINTS,
    step_ns=HOUR_NS,
    summary="100 x population stddev of hourly log returns x sqrt(8760); a return across a gap is left out.",
)
