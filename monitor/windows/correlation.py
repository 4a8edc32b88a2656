"""``corr`` and ``beta`` of two sampled series: log returns between neighbouring samples at which both are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monitor.window import Floats, PairFunction

MIN_RETURNS = 3
ROUNDING = 1e-24


def _returns(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Log returns of both, NaN in both where either is unknown at either end."""
    known = (x > 0) & (y > 0)
    steps = known[1:] & known[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (np.diff(np.log(np.where(known, column, np.nan)), axis=0) for column in (x, y))
    return np.where(steps, a, np.nan), np.where(steps, b, np.nan)


def _moments(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Covariance and both variances per column (population); NaN with too few returns."""
    a, b = _returns(x, y)
    steps = ~np.isnan(a)
    count = steps.sum(axis=0)
    divisor = np.where(count >= MIN_RETURNS, count, np.nan)
    a, b = (column - np.nansum(column, axis=0) / np.maximum(count, 1) for column in (a, b))
    return tuple(np.nansum(product, axis=0) / divisor for product in (a * b, a * a, b * b))


def _corr(x: Floats, y: Floats) -> Floats:
    both, first, second = _moments(x, y)
    out = np.full(len(both), np.nan)
    np.divide(both, np.sqrt(first * second), out=out, where=(first > ROUNDING) & (second > ROUNDING))
    return out


def _beta(x: Floats, y: Floats) -> Floats:
    both, _, second = _moments(x, y)
    out = np.full(len(both), np.nan)
    np.divide(both, second, out=out, where=second > ROUNDING)
    return out


def _moments_naive(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float] | None:
    pairs = [
        (math.log(x[i] / x[i - 1]), math.log(y[i] / y[i - 1]))
        for i in range(1, len(x))
        if all(value > 0 for value in (x[i - 1], x[i], y[i - 1], y[i]))
    ]
    if len(pairs) < MIN_RETURNS:
        return None
    mean_a, mean_b = (math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return (
        math.fsum((a - mean_a) * (b - mean_b) for a, b in pairs) / len(pairs),
        math.fsum((a - mean_a) ** 2 for a, _ in pairs) / len(pairs),
        math.fsum((b - mean_b) ** 2 for _, b in pairs) / len(pairs),
    )


def _corr_naive(x: Sequence[float], y: Sequence[float]) -> float:
    moments = _moments_naive(x, y)
    if moments is None or moments[1] <= ROUNDING or moments[2] <= ROUNDING:
        return math.nan
    return moments[0] / math.sqrt(moments[1] * moments[2])


def _beta_naive(x: Sequence[float], y: Sequence[float]) -> float:
    moments = _moments_naive(x, y)
    return math.nan if moments is None or moments[2] <= ROUNDING else moments[0] / moments[2]


CORR = PairFunction("corr", _corr, _corr_naive, summary="Pearson correlation of log returns between samples.")
BETA = PairFunction("beta", _beta, _beta_naive, summary="Covariance of log returns over the second's variance.")
