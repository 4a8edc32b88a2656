"""Prometheus' two text formats, written fast: label text is rendered once per row, and only changed lines again.

Formats: text 0.0.4 (`render_text`) and OpenMetrics 1.0.0 (`render_openmetrics`), which alone carries exemplars.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.clock import NS_PER_S
from monitor.telemetry.latency import BOUNDS_NS, LatencyHistogram

Column = npt.NDArray[np.float64]
Kind = Literal["counter", "gauge", "histogram", "info"]
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_]")
_BUCKETS = tuple(repr(bound / NS_PER_S) for bound in BOUNDS_NS)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family as documented: ``labels`` are the names that each of its series carries."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Family:
    """A metric family ready to write: ``lines`` (an entry may hold several) without the exemplars, these by entry."""

    spec: MetricSpec
    lines: Sequence[str]
    exemplars: Mapping[int, str] = field(default_factory=dict)


def escape(value: str) -> str:
    """Escape a label value."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@lru_cache(maxsize=1024)
def label_name(name: str) -> str:
    """A label name of a rule as Prometheus accepts it: one bad name must not spoil the whole scrape."""
    safe = _NOT_IN_NAME.sub("_", name)
    return safe if safe[:1].isalpha() or safe[:1] == "_" else f"_{safe}"


@lru_cache(maxsize=8192)
def label_text(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """``{a="1",b="2"}``, or nothing without labels."""
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def number_text(value: float) -> str:
    """A number as both formats want it; whole numbers without a fraction."""
    if value != value:  # noqa: PLR0124 - NaN, without a call
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else _encoded([float(value)])[0]


def seconds(at_ns: int) -> float:
    """An instant or a span in seconds; missing (NaN) where it is 0, which stands for never."""
    return at_ns / NS_PER_S if at_ns else math.nan


def counts(found: Mapping[str, int], always: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Counters by reason, born at zero for the usual ones: a series that appears at 5 has no increase."""
    for reason in {**dict.fromkeys(always, 0), **found}:
        yield reason, found.get(reason, 0)


def simple_family(spec: MetricSpec, rows: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """A family from (label values, value) pairs; a missing value (NaN) leaves its line out."""
    lines = [
        f"{spec.name}{label_text(spec.labels, values)} {number_text(value)}"
        for values, value in rows
        if value == value  # noqa: PLR0124 - NaN
    ]
    return Family(spec, lines)


def labelled_family(spec: MetricSpec, rows: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """As `simple_family`, for series whose label names differ from row to row."""
    lines = []
    for labels, value in rows:
        if value == value:  # noqa: PLR0124 - NaN
            text = label_text(tuple(map(label_name, labels)), tuple(labels.values()))
            lines.append(f"{spec.name}{text} {number_text(value)}")
    return Family(spec, lines)


def histogram_family(spec: MetricSpec, rows: Iterable[tuple[tuple[str, ...], LatencyHistogram]]) -> Family:
    """A histogram family in seconds, with the exemplars that there are."""
    lines: list[str] = []
    exemplars: dict[int, str] = {}
    for values, histogram in rows:
        prefix = label_text(spec.labels, values)[1:-1]
        total = 0
        for bucket, count in enumerate(histogram.counts):
            total += count
            if bucket in histogram.exemplars:
                seen = histogram.exemplars[bucket]
                labels = label_text(tuple(seen.labels), tuple(seen.labels.values())) or "{}"
                exemplars[len(lines)] = f" # {labels} {seen.value_s!r}"
            le = _BUCKETS[bucket] if bucket < len(_BUCKETS) else "+Inf"
            lines.append(f'{spec.name}_bucket{{{prefix},le="{le}"}} {total}')
        lines.append(f"{spec.name}_sum{{{prefix}}} {histogram.sum_ns / NS_PER_S!r}")
        lines.append(f"{spec.name}_count{{{prefix}}} {total}")
    return Family(spec, lines, exemplars)


class ColumnFamily:
    """A family whose values come as one numpy column: lines are kept and only those that changed are written again."""

    def __init__(self, spec: MetricSpec) -> None:
        self.spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget the rows: their labels changed."""
        self._prefixes: list[str] = []
        self._lines: list[str] = []
        self._last: Column = np.empty(0)
        self._family = Family(self.spec, ())

    def update(self, keys: Sequence[tuple[str, ...]], values: Column) -> Family:
        """Take the column as it is now; rows may only have been appended since the last call."""
        known = len(self._prefixes)
        render = label_text.__wrapped__  # rows are kept here; they need no second cache
        self._prefixes += [f"{self.spec.name}{render(self.spec.labels, key)} " for key in keys[known:]]
        self._lines += [""] * (len(keys) - known)
        changed = self._changed(values)
        if len(changed):
            self._write(changed, values[changed])
            self._family = Family(self.spec, ["\n".join(filter(None, self._lines))] if any(self._lines) else ())
        self._last = values.copy()
        return self._family

    def _changed(self, values: Column) -> npt.NDArray[np.intp]:
        old = self._last
        common = values[: len(old)]
        different = np.ones(len(values), dtype=bool)
        different[: len(old)] = (common != old) & ~(np.isnan(common) & np.isnan(old))
        return np.flatnonzero(different)

    def _write(self, rows: npt.NDArray[np.intp], values: Column) -> None:
        texts = _number_texts(values)
        if len(rows) == len(self._lines):
            self._lines = [prefix + text if text else "" for prefix, text in zip(self._prefixes, texts, strict=True)]
            return
        for row, text in zip(rows.tolist(), texts, strict=True):
            self._lines[row] = self._prefixes[row] + text if text else ""


def _number_texts(values: Column) -> list[str]:
    """`number_text` of a column, nothing for a missing value; quick where all are whole or none is."""
    whole = (np.trunc(values) == values) & (np.abs(values) < 1e15)
    if whole.all():
        return _encoded(values.astype(np.int64).tolist())
    if not whole.any() and np.isfinite(values).all():
        return _encoded(values.tolist())
    return ["" if value != value else number_text(value) for value in values.tolist()]  # noqa: PLR0124 - NaN


def _encoded(numbers: Sequence[float]) -> list[str]:
    """The shortest text of each number that reads back as the same: JSON's, several times as fast as `repr`."""
    return msgspec.json.encode(numbers)[1:-1].decode().split(",") if numbers else []


def _head_text(spec: MetricSpec) -> str:
    kind = "gauge" if spec.kind == "info" else spec.kind
    return f"# HELP {spec.name} {spec.help}\n# TYPE {spec.name} {kind}\n"


def _head_openmetrics(spec: MetricSpec) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(spec.kind, "")
    base = spec.name.removesuffix(suffix)
    return f"# HELP {base} {spec.help}\n# TYPE {base} {spec.kind}\n"


def _body(families: Iterable[Family], head: Callable[[MetricSpec], str], *, exemplars: bool) -> list[str]:
    parts: list[str] = []
    for family in families:
        parts.append(head(family.spec))
        if not family.lines:
            continue
        lines = family.lines
        if exemplars and family.exemplars:
            lines = [line + family.exemplars.get(index, "") for index, line in enumerate(lines)]
        parts += ("\n".join(lines), "\n")
    return parts


def render_text(families: Iterable[Family]) -> bytes:
    """Text format 0.0.4."""
    return "".join(_body(families, _head_text, exemplars=False)).encode()


def render_openmetrics(families: Iterable[Family]) -> bytes:
    """OpenMetrics 1.0.0, with exemplars."""
    return "".join([*_body(families, _head_openmetrics, exemplars=True), "# EOF\n"]).encode()
