"""Where a reading stands among those recorded so far: "higher than 99.2% of 10,080 readings since 21 November". Pure.

Readings are counted in buckets whose edges grow by 2 %, so that a year of a rule takes a few kilobytes and a rank is
exact to about that much of the value. Missing readings are not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from monitor import format as fmt
from monitor.errors import StateError
from monitor.events import Labels
from monitor.reading import Evaluation

ENOUGH = 60
"""Fewer readings than this are no past to compare with."""
MAX_ROWS = 5_000
MAX_ROWS_PER_RULE = 500
_GROWTH = math.log(1.02)
_SMALLEST = 1e-12
VERSION = 1


@dataclass(slots=True)
class Sketch:
    """How often a row's value fell into each bucket since ``since_ns``."""

    since_ns: int
    total: int = 0
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, value: float) -> None:
        """Count one reading."""
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total += 1

    def below(self, value: float) -> float:
        """Share of the readings that were lower; those in the same bucket count half."""
        bucket = bucket_of(value)
        lower = sum(count for other, count in self.counts.items() if other < bucket)
        return (lower + self.counts.get(bucket, 0) / 2) / self.total


class _Saved(msgspec.Struct):
    version: int
    rows: list[tuple[str, Labels, Sketch]]


def bucket_of(value: float) -> int:
    """The bucket of a finite value; buckets are in the order of the values.

    >>> bucket_of(-5.0) < bucket_of(0.0) == 0 < bucket_of(0.1) < bucket_of(5.0)
    True
    """
    if abs(value) < _SMALLEST:
        return 0
    number = 1 + int(math.log(abs(value) / _SMALLEST) / _GROWTH)
    return number if value > 0 else -number


class Ranks:
    """The recorded past of every row of every rule, as far as it is bounded: `MAX_ROWS` in all."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Labels], Sketch] = {}
        self.left_out = 0

    def observe(self, evaluation: Evaluation) -> None:
        """Count a reading of each row of a rule."""
        rows = min(len(evaluation.labels), MAX_ROWS_PER_RULE)
        for labels, value in zip(evaluation.labels[:rows], evaluation.value[:rows].tolist(), strict=True):
            if math.isfinite(value):
                self._count((evaluation.rule, labels), value, evaluation.at_ns)

    def _count(self, key: tuple[str, Labels], value: float, at_ns: int) -> None:
        sketch = self._rows.get(key)
        if sketch is None:
            if len(self._rows) >= MAX_ROWS:
                self.left_out += 1
                return
            sketch = self._rows[key] = Sketch(at_ns)
        sketch.add(value)

    def words(self, rule: str, labels: Labels, value: float) -> str:
        """Where a value stands, in words; empty without a value or enough of a past."""
        sketch = self._rows.get((rule, labels))
        if sketch is None or sketch.total < ENOUGH or not math.isfinite(value):
            return ""
        below = sketch.below(value)
        side, share = ("higher", below) if below >= 0.5 else ("lower", 1 - below)
        since = fmt.utc_time(sketch.since_ns)
        return f"{side} than {share:.1%} of {sketch.total:,} readings since {since}"

    def dump(self) -> bytes:
        """Everything, for `load`."""
        return msgspec.msgpack.encode(_Saved(VERSION, [(*key, sketch) for key, sketch in self._rows.items()]))

    def load(self, data: bytes) -> None:
        """Go on from what was dumped.

        Raises:
            StateError: The data is damaged or of another version.
        """
        try:
            saved = msgspec.msgpack.decode(data, type=_Saved)
        except msgspec.DecodeError as error:
            raise StateError(f"recorded ranks are damaged: {error}") from None
        if saved.version != VERSION:
            raise StateError(f"recorded ranks are of version {saved.version}, this program reads {VERSION}")
        self._rows = {(rule, labels): sketch for rule, labels, sketch in saved.rows[:MAX_ROWS]}
