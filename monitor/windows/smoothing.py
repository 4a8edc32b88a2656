"""``ema``: exponential moving average of samples, oldest first, alpha = 2 / (n + 1) with n samples in a full window."""

from __future__ import annotations

import math

import numpy as np

from monitor.window import Columns, Floats, Path, WindowFunction, add_by_key, key_of_row


def _ema(columns: Columns) -> Floats:
    """Weights by age: (1 - alpha)^age, the oldest sample taking the rest."""
    keys, size = key_of_row(columns), len(columns.counts)
    alpha = 2.0 / ((columns.end_ns - columns.start_ns) / columns.step_ns + 1.0)
    age = columns.offsets[1:][keys] - 1 - np.arange(len(keys))
    weights = alpha * (1.0 - alpha) ** age
    oldest = columns.offsets[:-1][columns.counts > 0]
    weights[oldest] /= alpha
    out = add_by_key(keys, weights * columns.values, size)
    return np.where(columns.counts > 0, out, np.nan)


def _ema_naive(path: Path) -> float:
    if not path.values:
        return math.nan
    alpha = 2.0 / ((path.end_ns - path.start_ns) / path.step_ns + 1.0)
    level = path.values[0]
    for value in path.values[1:]:
        level += alpha * (value - level)
    return level


EMA = WindowFunction(
    "ema", ("samples",), _ema, _ema_naive, summary="alpha = 2 / (n + 1), started at the oldest sample."
)
