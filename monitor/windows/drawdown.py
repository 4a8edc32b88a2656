"""``drawdown``: now against the peak inside the window; 0 at a new peak, negative below."""

from __future__ import annotations

import math

import numpy as np

from monitor.series import Unit
from monitor.window import Columns, Floats, Path, WindowFunction
from monitor.windows.extremes import extreme, known_naive


def _drawdown(columns: Columns) -> Floats:
    peak = np.fmax(extreme(np.fmax, columns), columns.now)
    out = np.full(len(peak), np.nan)
    np.divide(columns.now, peak, out=out, where=peak > 0)
    return out - 1.0


def _drawdown_naive(path: Path) -> float:
    if math.isnan(path.now):
        return math.nan
    peak = max([*known_naive(path), path.now])
    return path.now / peak - 1.0 if peak > 0 else math.nan


DRAWDOWN = WindowFunction(
    "drawdown",
    ("gauge", "samples"),
    _drawdown,
    _drawdown_naive,
    Unit.RATIO,
    summary="x(now) / max over the window - 1.",
)
