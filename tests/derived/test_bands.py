"""Band correlations against polars and numpy, missing days included."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from monitor.derived.bands import band_correlations, band_samples, log_returns, pairwise


def walk(seed: int, days: int = 60, shared: float = 0.0) -> list[float]:
    market = np.random.default_rng(0).standard_normal(days)
    own = np.random.default_rng(seed).standard_normal(days)
    closes: list[float] = (100 * np.exp(np.cumsum(0.02 * (shared * market + (1 - shared) * own)))).tolist()
    return closes


def test_pairwise_is_polars_correlation() -> None:
    closes = {f"C{n}": walk(n, shared=0.5) for n in range(5)}
    frame = pl.DataFrame({coin: np.diff(np.log(rows)) for coin, rows in closes.items()})
    matrix = pairwise(np.array([log_returns(rows) for rows in closes.values()]))
    for i, a in enumerate(closes):
        for j, b in enumerate(closes):
            assert matrix[i, j] == pytest.approx(frame.select(pl.corr(a, b)).item())


def test_missing_days_are_left_out_in_pairs() -> None:
    a, b = walk(1), walk(2, shared=0.3)
    a[10] = float("nan")
    x, y = log_returns(a), log_returns(b)
    both = np.isfinite(x) & np.isfinite(y)
    assert pairwise(np.array([x, y]))[0, 1] == pytest.approx(np.corrcoef(x[both], y[both])[0, 1])


def test_bands_and_the_distance_between_them() -> None:
    large = {f"L{n}": walk(10 + n, shared=0.9) for n in range(10)}
    small = {f"S{n}": walk(50 + n) for n in range(10)}
    ranks = [*large, *(f"none{n}" for n in range(39)), *small]
    found = band_correlations(large | small, ranks)
    assert found["1-10"] > 0.9
    assert abs(found["50-100"]) < 0.2
    assert abs(found["1-10:50-100"]) < 0.3
    (first, *_) = band_samples(found, 5, 9)
    assert (first.series, first.labels, first.backfill) == ("band_correlation", (("band", "1-10"),), True)


def test_nothing_known_says_nothing() -> None:
    assert band_correlations({}, ["A", "B"]) == {}
    flat = {"A": [1.0] * 30, "B": [1.0] * 30}
    assert band_correlations(flat, ["A", "B"]) == {}
    assert band_correlations({"A": walk(1, 5), "B": walk(2, 5)}, ["A", "B"]) == {}
