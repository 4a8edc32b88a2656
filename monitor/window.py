"""What a window function is: a vectorised answer over many keys, and its slow, obvious twin.

A function sees the part of a series that lies in its window (start, end], for many keys at once, as `Columns`: rows
sorted by key, then time, with one offset per key. The engine cuts the window; a function knows no log, no clock.
Three sources are told apart, because the same word means different arithmetic on them:

``events``   amounts (USD of a liquidation): each row is one event, and an empty window is a fact.
``gauge``    a step function: each row holds until the next; ``before`` is the value carried in at ``start_ns``.
``samples``  values of an expression taken on an aligned grid: ``expr[7d:5m]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from monitor.series import Unit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Source = Literal["events", "gauge", "samples"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of one window for many keys.

    Attributes:
        ts: Unix nanoseconds, ascending within a key.
        values: USD for events, the gauge's own unit else; never NaN.
        offsets: Key k owns rows ``offsets[k]:offsets[k + 1]``.
        start_ns: The window is (start_ns, end_ns].
        end_ns: The instant of evaluation.
        stale_ns: How long a gauge's value holds without a new row, per key.
        now: The value at ``end_ns`` per key, NaN when missing (samples: the expression's value now).
        before: The value in force at ``start_ns`` per key, NaN when there was none; always NaN for events.
        source: Which of the three.
        step_ns: Distance of samples; 0 for other sources.
        q: The share that ``quantile`` asks for.
    """

    ts: Ints
    values: Floats
    offsets: Ints
    start_ns: int
    end_ns: int
    stale_ns: Floats
    now: Floats
    before: Floats
    source: Source
    step_ns: int = 0
    q: float = float("nan")

    @property
    def counts(self) -> Ints:
        """Rows per key."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class Path:
    """The rows of one window for one key, as plain lists: what the naive twins work on."""

    times: Sequence[int]
    values: Sequence[float]
    start_ns: int
    end_ns: int
    source: Source
    stale_ns: float = float("inf")
    now: float = float("nan")
    before: float = float("nan")
    step_ns: int = 0
    q: float = float("nan")


UnitRule = Literal["same"] | Unit
"""What unit comes out: that of the series, or a fixed one."""


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """One function over time.

    Attributes:
        name: The word in rules.
        sources: What it can be asked of.
        compute: One float per key; NaN where it is not defined (too few rows, division by zero).
        naive: The same for one key, written to be obviously right.
        unit: Unit of the result.
        step_ns: When not 0, the function works on samples only, and this is their distance unless the rule says one.
        monotone: +1 when more data can only raise the result of an event series, -1 when it can only lower it.
        summary: One line for the reference: formula, estimator, what an empty window gives.
    """

    name: str
    sources: tuple[Source, ...]
    compute: Callable[[Columns], Floats]
    naive: Callable[[Path], float]
    unit: UnitRule = "same"
    step_ns: int = 0
    monotone: int = 0
    summary: str = ""


@dataclass(frozen=True, slots=True)
class PairFunction:
    """A function of two sampled series on one grid (``corr``, ``beta``); rows are aligned, one column per key."""

    name: str
    compute: Callable[[Floats, Floats], Floats]
    naive: Callable[[Sequence[float], Sequence[float]], float]
    unit: Unit = Unit.NUMBER
    step_ns: int = 300_000_000_000
    summary: str = ""


def reduce_by_key(function: np.ufunc, columns: Columns, empty: float = float("nan")) -> Floats:
    """``function.reduce`` of each key's rows; `empty` for a key without rows."""
    counts = columns.counts
    out = np.full(len(counts), empty)
    filled = np.flatnonzero(counts)
    if len(filled):
        out[filled] = function.reduceat(columns.values, columns.offsets[filled])
    return out


def add_by_key(keys: Ints, weights: Floats, size: int) -> Floats:
    """Sum of `weights` per key; floats even when there are none (``bincount`` alone gives integers then)."""
    return np.bincount(keys, weights=weights, minlength=size).astype(np.float64, copy=False)


def key_of_row(columns: Columns) -> Ints:
    """The key number of every row."""
    counts = columns.counts
    return np.repeat(np.arange(len(counts)), counts)


def with_before(columns: Columns) -> Columns:
    """The same rows, with the value carried in as a first row at ``start_ns``."""
    keys = np.flatnonzero(~np.isnan(columns.before))
    if not len(keys):
        return columns
    at = columns.offsets[keys]
    added = np.zeros(len(columns.counts), np.int64)
    added[keys] = 1
    return replace(
        columns,
        ts=np.insert(columns.ts, at, columns.start_ns),
        values=np.insert(columns.values, at, columns.before[keys]),
        offsets=columns.offsets + np.concatenate(([0], np.cumsum(added))),
    )


def holding_ns(columns: Columns) -> Floats:
    """How long each row of a gauge holds inside the window: to the next row, the window's end, or until stale."""
    if not len(columns.ts):
        return np.empty(0)
    until = np.empty_like(columns.ts)
    until[:-1] = columns.ts[1:]
    until[columns.offsets[1:][columns.counts > 0] - 1] = columns.end_ns
    stale = np.repeat(columns.stale_ns, columns.counts)
    return np.maximum(np.minimum((until - columns.ts).astype(np.float64), stale), 0.0)


def path_with_before(path: Path) -> Path:
    """`with_before` for one key."""
    if path.before != path.before:
        return path
    return replace(path, times=[path.start_ns, *path.times], values=[path.before, *path.values])


def holding_naive(path: Path) -> list[float]:
    """`holding_ns` for one key."""
    if not path.times:
        return []
    ends = [*path.times[1:], path.end_ns]
    return [max(0.0, min(float(end - time), path.stale_ns)) for time, end in zip(path.times, ends, strict=True)]
