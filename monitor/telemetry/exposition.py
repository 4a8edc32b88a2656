"""Prometheus' two text formats, written fast: label text is rendered once per row, and only changed lines again.

Formats: text 0.0.4 (`render_text`) and OpenMetrics 1.0.0 (`render_openmetrics`), which alone carries exemplars.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from monitor.telemetry.latency import BOUNDS_NS, NS_PER_S, LatencyHistogram

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
    """A metric family ready to write: ``lines`` without the exemplars, ``exemplars`` by line index."""

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


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
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
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def simple_family(spec: MetricSpec, rows: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """A family from (label values, value) pairs; a missing value (NaN) leaves its line out."""
    lines = [
        f"{spec.name}{label_text(spec.labels, values)} {number_text(value)}"
        for values, value in rows
        if value == value  # noqa: PLR0124
    ]
    return Family(spec, lines)


def labelled_family(spec: MetricSpec, rows: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """As `simple_family`, for series whose label names differ from row to row."""
    lines = []
    for labels, value in rows:
        if value == value:  # noqa: PLR0124 - NaN
            text = label_text([label_name(name) for name in labels], tuple(labels.values()))
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
        self._prefixes: list[str] = []
        self._lines: list[str] = []
        self._last = np.empty(0)

    def reset(self) -> None:
        """Forget the rows: their labels changed."""
        self._prefixes, self._lines, self._last = [], [], np.empty(0)

    def update(self, keys: Sequence[tuple[str, ...]], values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Family:
        """Take the column as it is now; rows may only have been appended since the last call."""
        known = len(self._prefixes)
        self._prefixes += [f"{self.spec.name}{label_text(self.spec.labels, key)} " for key in keys[known:]]
        self._lines += [""] * (len(keys) - known)
        column = values[: len(keys)]
        same = np.zeros(len(keys), dtype=bool)
        old = self._last
        same[: len(old)] = (column[: len(old)] == old) | (np.isnan(column[: len(old)]) & np.isnan(old))
        changed = np.flatnonzero(~same)
        whole = (column[changed] % 1 == 0) & (np.abs(column[changed]) < 1e15)
        self._write(changed.tolist(), column[changed].tolist(), whole.tolist())
        self._last = column.copy()
        return Family(self.spec, [line for line in self._lines if line])

    def _write(self, rows: list[int], values: list[float], whole: list[bool]) -> None:
        lines, prefixes = self._lines, self._prefixes
        for row, value, is_whole in zip(rows, values, whole, strict=True):
            if is_whole:
                lines[row] = f"{prefixes[row]}{int(value)}"
            elif value == value:  # noqa: PLR0124 - NaN: missing is not exposed
                lines[row] = f"{prefixes[row]}{value!r}"
            else:
                lines[row] = ""


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
