"""``change`` and ``delta``: now against the value in force when the window began."""

from __future__ import annotations

import math

import numpy as np

from monitor.series import Unit
from monitor.window import Columns, Floats, Path, WindowFunction


def _change(columns: Columns) -> Floats:
    out = np.full(len(columns.now), np.nan)
    np.divide(columns.now, columns.before, out=out, where=columns.before != 0)
    return out - 1.0


def _change_naive(path: Path) -> float:
    return path.now / path.before - 1.0 if path.before != 0 else math.nan


CHANGE = WindowFunction(
    "change", ("gauge", "samples"), _change, _change_naive, Unit.RATIO, summary="x(now) / x(now - w) - 1."
)
DELTA = WindowFunction(
    "delta",
    ("gauge", "samples"),
    lambda columns: columns.now - columns.before,
    lambda path: path.now - path.before,
    summary="x(now) - x(now - w).",
)
