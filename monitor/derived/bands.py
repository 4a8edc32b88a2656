"""Do the large coins move as one, and do the small ones follow? Mean pairwise correlation by band of ranks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from monitor.events import Sample

Band = tuple[int, int]
"""First and last rank, from 1, both included."""

BANDS: tuple[Band, ...] = ((1, 10), (50, 100))
LEAST_RETURNS = 10


def log_returns(closes: Sequence[float]) -> npt.NDArray[np.float64]:
    """Log returns of closes in time order; NaN where a close is missing (NaN) or not positive."""
    values = np.asarray(closes, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log(values), np.nan)
    return np.diff(logs)


def pairwise(returns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pearson correlation of every two rows over the times at which both are known.

    NaN on fewer than `LEAST_RETURNS` common times, and for a row that does not move.
    """
    known = np.isfinite(returns)
    ones = known.astype(np.float64)
    filled = np.where(known, returns, 0.0)
    count = ones @ ones.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x = filled @ ones.T / count
        covariance = filled @ filled.T / count - mean_x * mean_x.T
        variance = filled**2 @ ones.T / count - mean_x**2
        correlation = covariance / np.sqrt(variance * variance.T)
    correlation[(count < LEAST_RETURNS) | (variance <= 1e-18) | (variance.T <= 1e-18)] = np.nan
    return np.clip(correlation, -1.0, 1.0)


def band_correlations(
    closes: Mapping[str, Sequence[float]], ranks: Sequence[str], bands: Sequence[Band] = BANDS
) -> dict[str, float]:
    """Mean pairwise correlation inside each band and between every two.

    Args:
        closes: Closes by coin on common dates, NaN where missing. A coin without closes takes no part.
        ranks: Coins from the largest down, without stablecoins and wrapped coins.
        bands: Which ranks belong together.

    Returns:
        By name (``1-10``, ``1-10:50-100``). A band with fewer than two coins is left out.
    """
    members = {_name(band): [c for c in ranks[band[0] - 1 : band[1]] if c in closes] for band in bands}
    coins = list(dict.fromkeys(coin for group in members.values() for coin in group))
    if not coins:
        return {}
    place = {coin: row for row, coin in enumerate(coins)}
    matrix = pairwise(np.array([log_returns(closes[coin]) for coin in coins]))
    found: dict[str, float] = {}
    names = list(members)
    for i, name in enumerate(names):
        rows = [place[coin] for coin in members[name]]
        inner = matrix[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        _put(found, name, inner)
        for other in names[i + 1 :]:
            _put(found, f"{name}:{other}", matrix[np.ix_(rows, [place[coin] for coin in members[other]])])
    return found


def band_samples(correlations: Mapping[str, float], ts_ns: int, now_ns: int) -> list[Sample]:
    """The correlations as values of ``band_correlation``."""
    return [
        Sample("band_correlation", (("band", band),), value, ts_ns, now_ns, "derived", backfill=now_ns > ts_ns)
        for band, value in correlations.items()
    ]


def _put(found: dict[str, float], name: str, values: npt.NDArray[np.float64]) -> None:
    known = values[np.isfinite(values)]
    if known.size:
        found[name] = float(known.mean())


def _name(band: Band) -> str:
    return f"{band[0]}-{band[1]}"
