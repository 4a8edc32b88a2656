"""Curves through dated points: how the scenario's timeline becomes a number for any instant. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp, log
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.clock import NS_PER_S

Floats = npt.NDArray[np.float64]

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


def at(text: str) -> int:
    """Unix nanoseconds of ``2025-11-21`` or ``2025-11-21T07:00`` in UTC.

    >>> at("1970-01-02")
    86400000000000
    """
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points in time order, flat outside them.

    ``log`` joins the points by equal ratios (prices, capitalisations); else by equal steps (rates, shares).
    """

    times_ns: tuple[int, ...]
    values: tuple[float, ...]
    log: bool = False

    def __call__(self, ts_ns: int) -> float:
        """The value at one instant."""
        place = bisect_right(self.times_ns, ts_ns)
        if place in (0, len(self.times_ns)):
            return self.values[max(place - 1, 0)]
        (t0, t1), (v0, v1) = self.times_ns[place - 1 : place + 1], self.values[place - 1 : place + 1]
        way = (ts_ns - t0) / (t1 - t0)
        return exp(log(v0) + (log(v1) - log(v0)) * way) if self.log else v0 + (v1 - v0) * way

    def many(self, ts_ns: npt.NDArray[Any]) -> Floats:
        """The values at many instants."""
        known = np.log(self.values) if self.log else np.asarray(self.values, dtype=np.float64)
        line: Floats = np.interp(ts_ns.astype(np.float64), np.asarray(self.times_ns, dtype=np.float64), known)
        return np.exp(line) if self.log else line


def curve(points: Sequence[tuple[str, float]], *, log: bool = False) -> Curve:
    """A curve through ``(date, value)`` points."""
    return Curve(tuple(at(when) for when, _ in points), tuple(value for _, value in points), log)


def bridge(rng: np.random.Generator, length: int, anchors: Sequence[int], sigma: float | Floats) -> Floats:
    """A random walk of `length` steps that is 0 at each of the `anchors` (sorted indexes) and outside them.

    Args:
        rng: Source of the steps.
        length: Number of points.
        anchors: Where the walk is tied down.
        sigma: Standard deviation of one step, one number or one per point.
    """
    walk = np.cumsum(rng.standard_normal(length) * sigma)
    ties = np.asarray(anchors)
    drift: Floats = np.interp(np.arange(length), ties, walk[ties])
    tied = walk - drift
    tied[: ties[0]] = 0.0
    tied[ties[-1] :] = 0.0
    return tied
