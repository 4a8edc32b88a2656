"""What a rule sees: an evaluation after coverage has been weighed, all rows at once or one of them. Pure.

All rows are turned into one number each, which differs whenever an input of the state machine does; so the rows that have to
be looked at are found by comparing two arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor import format as fmt
from monitor.reading import TRUE, UNKNOWN, Evaluation
from monitor.rule import Rule

Codes = npt.NDArray[np.int16]
Signs = npt.NDArray[np.int8]

NO_CLEAR = 2
"""The sign of a rule without a condition to clear."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One row of an evaluation after coverage has been weighed."""

    at_ns: int
    truth: int
    clear: int
    level: int
    value: float | None
    threshold: float | None
    coverage: float | None
    lower_bound: bool
    reason: str

    @classmethod
    def of(cls, evaluation: Evaluation, row: int, truth: int, clear: Signs | None) -> Sight:
        """A row, with its weighed truth and all rows' weighed conditions to clear."""
        return cls(
            at_ns=evaluation.at_ns,
            truth=truth,
            clear=NO_CLEAR if clear is None else int(clear[row]),
            level=-1 if evaluation.level is None else int(evaluation.level[row]),
            value=number(evaluation.value[row]),
            threshold=number(evaluation.threshold[row]),
            coverage=number(evaluation.coverage[row]),
            lower_bound=bool(evaluation.lower_bound[row]),
            reason=unknown_reason(evaluation, row),
        )

    @property
    def why_true(self) -> str:
        """Why an alert fires, in words."""
        if self.lower_bound and self.coverage is not None and self.coverage < 1:
            return "the condition holds on the data that is there; more can only add to it"
        return "the condition holds"


def weigh(evaluation: Evaluation, rule: Rule, min_coverage: float) -> tuple[Signs, Signs | None]:
    """Truth after coverage: what incomplete data cannot prove is unknown; then ``on_unknown``."""
    effective, clear = evaluation.truth, evaluation.clear
    thin = evaluation.coverage < min_coverage
    if thin.any():
        unproven = thin & ~((effective == TRUE) & evaluation.lower_bound)
        effective = np.where(unproven, np.int8(UNKNOWN), effective)
        if clear is not None:
            clear = np.where(thin, np.int8(UNKNOWN), clear)
    if rule.on_unknown == "fire":
        effective = np.where(effective == UNKNOWN, np.int8(TRUE), effective)
    return effective, clear


def encode_one(truth: int, clear: int, level: int) -> int:
    """The number of one row; see `encode`."""
    return (truth + 1) + 4 * (clear + 1) + 16 * (level + 1)


def encode(truth: Signs, clear: Signs | None, level: Signs | None) -> Codes:
    """One number per row that differs whenever an input of the state machine does; never negative."""
    codes = truth.astype(np.int16)
    codes += 1 + 4 * (NO_CLEAR + 1) if clear is None else 1
    if clear is not None:
        codes += 4 * (clear.astype(np.int16) + 1)
    if level is not None:
        codes += 16 * (level.astype(np.int16) + 1)
    return codes


def number(value: float) -> float | None:
    """A finite number, or None."""
    return float(value) if math.isfinite(value) else None


def unknown_reason(evaluation: Evaluation, row: int) -> str:
    """Why a row is unknown, in words."""
    reason = evaluation.reasons.get(row)
    return reason or f"only {fmt.share(float(evaluation.coverage[row]))} of the data is there"
