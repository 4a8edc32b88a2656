"""Latency histograms that cost next to nothing to feed: fixed bounds, six per decade, from 10 µs to 10 s."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.clock import NS_PER_S

_STEPS = (10, 15, 20, 30, 50, 70)

BOUNDS_NS: tuple[int, ...] = (*(step * 10**power * 1_000 for power in range(6) for step in _STEPS), 10 * NS_PER_S)
"""Upper bounds of the buckets in nanoseconds, each inclusive as Prometheus wants; one more bucket takes the rest."""

_BOUNDS = np.array(BOUNDS_NS, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation that stands for its bucket: labels that lead to it, and its value.

    It has no time of its own: the monitor's clock may be a demo's, and Prometheus then takes the time of the scrape.
    """

    labels: Mapping[str, str]
    value_s: float


class LatencyHistogram:
    """Counts durations by bucket. Not thread-safe; a negative duration (a clock was set) counts as zero.

    Attributes:
        counts: Observations per bucket, the last one without a bound.
        sum_ns: Sum of all observations.
        exemplars: The newest exemplar of a bucket, by bucket index.
    """

    __slots__ = ("counts", "exemplars", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0
        self.exemplars: dict[int, Exemplar] = {}

    @property
    def count(self) -> int:
        """Observations in all."""
        return sum(self.counts)

    def observe(self, duration_ns: int) -> None:
        """Count one duration."""
        duration_ns = max(duration_ns, 0)
        self.counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self.sum_ns += duration_ns

    def observe_times(self, duration_ns: int, times: int) -> None:
        """Count one duration `times` times: every event of a batch shares the batch's stage time."""
        duration_ns = max(duration_ns, 0)
        self.counts[bisect_left(BOUNDS_NS, duration_ns)] += times
        self.sum_ns += duration_ns * times

    def observe_many(self, durations_ns: npt.NDArray[np.int64] | Iterable[int]) -> None:
        """Count a batch of durations."""
        column = np.maximum(np.asarray(durations_ns, dtype=np.int64), 0)
        found = np.bincount(_BOUNDS.searchsorted(column, side="left"), minlength=len(self.counts))
        self.counts = [old + new for old, new in zip(self.counts, found.tolist(), strict=True)]
        self.sum_ns += int(column.sum())

    def add(self, other: LatencyHistogram) -> None:
        """Count what another histogram has counted."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum_ns += other.sum_ns

    def observe_exemplar(self, duration_ns: int, labels: Mapping[str, str]) -> None:
        """Count one duration and keep it as its bucket's exemplar (at most 128 characters of labels)."""
        self.observe(duration_ns)
        bucket = bisect_left(BOUNDS_NS, max(duration_ns, 0))
        self.exemplars[bucket] = Exemplar(dict(labels), max(duration_ns, 0) / NS_PER_S)

    def quantile_s(self, q: float) -> float:
        """Estimate a quantile in seconds by linear interpolation inside its bucket; NaN without observations.

        Observations beyond the last bound count as the last bound, as in Prometheus' ``histogram_quantile``.
        """
        total = self.count
        if total == 0:
            return float("nan")
        rank, below = q * total, 0
        for bucket, count in enumerate(self.counts[:-1]):
            if count and below + count >= rank:
                low = BOUNDS_NS[bucket - 1] if bucket else 0
                return (low + (BOUNDS_NS[bucket] - low) * (rank - below) / count) / NS_PER_S
            below += count
        return BOUNDS_NS[-1] / NS_PER_S
