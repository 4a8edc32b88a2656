"""The worst value of every active row of a rule, as arrays: one comparison for all of them. Pure."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from monitor.reading import TRUE, Evaluation, Values

Rows = npt.NDArray[np.int64]


class Peaks:
    """Per row, the value farthest beyond the threshold since its alert began; NaN where there is none."""

    def __init__(self) -> None:
        self._worst: Values = np.zeros(0)
        self._rising: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def __getitem__(self, row: int) -> float:
        return float(self._worst[row])

    def is_rising(self, row: int) -> bool:
        """Whether higher is worse."""
        return bool(self._rising[row])

    def fit(self, rows: int) -> None:
        """Grow to so many rows."""
        fresh = rows - len(self._worst)
        self._worst = np.concatenate([self._worst, np.full(fresh, np.nan)])
        self._rising = np.concatenate([self._rising, np.ones(fresh, np.bool_)])

    def move(self, old: Rows, new: Rows, rows: int) -> None:
        """Number the rows anew: each of `old` is the one of `new` beside it now, of so many."""
        worst, rising = self._worst[old], self._rising[old]
        self._worst, self._rising = np.full(rows, np.nan), np.ones(rows, np.bool_)
        self._worst[new], self._rising[new] = worst, rising

    def begin(self, row: int, value: float | None, *, rising: bool) -> None:
        """An alert began."""
        self._rising[row] = rising
        self._worst[row] = value if value is not None else (-math.inf if rising else math.inf)

    def end(self, row: int) -> None:
        """An alert is over."""
        self._worst[row] = math.nan

    def track(self, evaluation: Evaluation, truth: npt.NDArray[np.int8]) -> None:
        """Take in what is worse while the condition holds: what ends it is no peak, nor is NaN."""
        worse = np.where(self._rising, evaluation.value > self._worst, evaluation.value < self._worst)
        np.copyto(self._worst, evaluation.value, where=worse & (truth == TRUE))

    def indifferent(self) -> tuple[Values, Values]:
        """Between which values (bounds excluded) each row's may move and be no worse than its alert's worst."""
        worst, rising = self._worst, self._rising
        low = np.where(np.isnan(worst) | rising, -np.inf, np.nextafter(worst, -np.inf))
        return low, np.where(np.isnan(worst) | ~rising, np.inf, np.nextafter(worst, np.inf))
