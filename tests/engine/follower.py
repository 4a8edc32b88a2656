"""Somebody who follows readings as the life cycle of alerts does, and hears only of what is worse than all before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.engine import Engine
from monitor.reading import Evaluation


class Follower:
    """An alert on every row that was ever true: of half of the rules the greatest value counts, of the others the smallest.

    Attributes:
        worst: Of each rule, by row; NaN where it had none while it was true.
        open: Which rows were ever true.
    """

    def __init__(self) -> None:
        self.worst: dict[str, np.ndarray] = {}
        self.open: dict[str, np.ndarray] = {}
        self._opened = 0

    def rises(self, rule: str) -> bool:
        return sum(rule.encode()) % 2 == 0

    def hear(self, evaluation: Evaluation) -> None:
        rule, true = evaluation.rule, evaluation.truth == 1
        worst, opened = self.worst.get(rule, np.empty(0)), self.open.get(rule, np.empty(0, np.bool_))
        worst = np.append(worst, np.full(len(true) - len(worst), np.nan))
        extreme = np.fmax if self.rises(rule) else np.fmin
        self.worst[rule] = np.where(true, extreme(worst, evaluation.value), worst)
        self.open[rule] = true | np.append(opened, np.zeros(len(true) - len(opened), np.bool_))

    def attend(self, engine: Engine, evaluations: Sequence[Evaluation]) -> None:
        """Hear what an engine says; where a row becomes true for the first time, say that it is followed now."""
        for evaluation in evaluations:
            self.hear(evaluation)
        opened = sum(int(rows.sum()) for rows in self.open.values())
        if opened > self._opened:
            self._opened = opened
            engine.attend(self.indifferent, [rule for rule, rows in self.open.items() if rows.any()])

    def indifferent(self, rule: str) -> tuple[np.ndarray, np.ndarray]:
        """Values that are no worse; the first of all is always worse. Whatever it is where no row was ever true."""
        worst, rises = self.worst[rule], self.rises(rule)
        worst = np.where(np.isnan(worst), -np.inf if rises else np.inf, worst)
        low, high = (-np.inf, np.nextafter(worst, np.inf)) if rises else (np.nextafter(worst, -np.inf), np.inf)
        opened = self.open[rule]
        return np.where(opened, low, -np.inf), np.where(opened, high, np.inf)
