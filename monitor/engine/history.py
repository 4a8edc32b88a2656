"""Samples of an expression on an aligned grid, kept per expression: what ``expr[7d:5m]`` and long folded gauges read.

A linked history is chain-linked: where the set of members behind a value changes, the step between two samples is that
of the members present at both, so that a feed that comes or goes is no move.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from monitor.engine.catalog import Index
from monitor.engine.nodes.base import NAN, Node, Tick, padded
from monitor.engine.store import Domain
from monitor.events import Labels
from monitor.window import Floats, Ints

Link = Literal["", "ratio", "difference"]


class History:
    """A time, a row of values and a row of running links per sample, as growing arrays; label sets by `index`."""

    def __init__(self) -> None:
        self.index = Index()
        self.known: Floats = np.empty(0)
        self.snapshot: Any = None
        self.version = 0
        self._start = self._end = 0
        self._times: Ints = np.empty(16, np.int64)
        self._values: Floats = np.full((16, 0), NAN)
        self._links: Floats = np.full((16, 0), NAN)

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def times(self) -> Ints:
        """Instants of the samples; a view."""
        return self._times[self._start : self._end]

    @property
    def values(self) -> Floats:
        """Samples by time and row of `index`; a view."""
        return self._values[self._start : self._end]

    @property
    def links(self) -> Floats:
        """Running links by time and row; NaN before a row existed; a view."""
        return self._links[self._start : self._end]

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return int(self._times.nbytes + self._values.nbytes + self._links.nbytes)

    def append(self, at_ns: int, values: Floats, links: Floats) -> None:
        """Add a sample; rows that are new to `index` come last."""
        if self._end == len(self._times) or len(values) > self._values.shape[1]:
            self._resize(len(values))
        self._times[self._end] = at_ns
        self._values[self._end, : len(values)] = values
        self._links[self._end, : len(links)] = links
        self._end += 1
        self.version += 1

    def repeat(self, at_ns: int) -> None:
        """Add a sample equal to the last."""
        self.append(at_ns, self._values[self._end - 1], self._links[self._end - 1])

    def restore(self, labels: list[Labels], times: Ints, values: Floats, links: Floats, known: Floats) -> None:
        """Put back samples that were saved."""
        for item in labels:
            self.index.add(item)
        self._times, self._values, self._links, self.known = times.copy(), values.copy(), links.copy(), known
        self._start, self._end = 0, len(times)
        self.version += 1

    def forget(self, before_ns: int) -> None:
        """Drop samples before an instant."""
        gone = int(self.times.searchsorted(before_ns))
        if gone:
            self._start += gone
            self.version += 1

    def between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Positions of the samples with start < time <= end."""
        low, high = self.times.searchsorted((start_ns, end_ns), side="right")
        return int(low), int(high)

    def _resize(self, columns: int) -> None:
        live, capacity = len(self), len(self._times)
        rows = capacity if 2 * live < capacity else max(16, 2 * capacity)
        width = self._values.shape[1] if columns <= self._values.shape[1] else columns + columns // 2 + 4
        times, values, links = np.empty(rows, np.int64), np.full((rows, width), NAN), np.full((rows, width), NAN)
        times[:live] = self.times
        values[:live, : self._values.shape[1]] = self.values
        links[:live, : self._links.shape[1]] = self.links
        self._times, self._values, self._links = times, values, links
        self._start, self._end = 0, live


def columns_of(matrix: Floats, columns: Ints) -> Floats:
    """Chosen columns of a matrix; NaN for -1 and for columns that it does not have."""
    safe = np.where(columns < matrix.shape[1], columns, -1)
    if not matrix.shape[1]:
        return np.full((len(matrix), len(columns)), NAN)
    out: Floats = matrix[:, safe]
    out[:, safe < 0] = NAN
    return out


def splice(link: Link, known: Floats, full: Floats, then: Floats, now: Floats) -> Floats:
    """By how much a value jumped for a change of members alone: a factor, or a difference; neutral where unknown.

    Args:
        link: ``ratio`` or ``difference``.
        known: The last value before.
        full: The value after, of all members.
        then: The value before, of the members present at both.
        now: The value after, of the same.
    """
    none = np.isnan(then) | np.isnan(now)
    same = (then == known) & (now == full)
    if link == "ratio":
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(none, full / known, (full / known) / (now / then))
        bad = same | ~np.isfinite(factor) | (factor <= 0)
        return np.where(bad, 1.0, factor)
    shift = np.where(none, full - known, (full - known) - (now - then))
    return np.where(same | ~np.isfinite(shift), 0.0, shift)


class Sampler:
    """Takes one sample of a node at every grid instant."""

    def __init__(self, key: object, node: Node, *, step_ns: int, keep_ns: int, link: Link, history: History) -> None:
        self.key = key
        self.node, self.step_ns, self.keep_ns, self.link, self.history = node, step_ns, keep_ns, link, history
        self.next_ns: int | None = None
        self._sizes = (-1, -1)
        self._version = -1
        self._map: Ints = np.empty(0, np.int64)

    @property
    def neutral(self) -> float:
        """The link that changes nothing."""
        return 1.0 if self.link == "ratio" else 0.0

    def start(self, first_ns: int, now_ns: int) -> None:
        """Set the first grid instant: after the last sample kept, or where the data begins."""
        begin = max(first_ns, now_ns - self.keep_ns)
        if len(self.history):
            begin = max(begin, int(self.history.times[-1]) + 1)
        self.next_ns = -(-begin // self.step_ns) * self.step_ns

    def take(self, tick: Tick) -> None:
        """Store the node's values as of `tick`."""
        history = self.history
        version = self.node.pull(tick)
        if version == self._version and len(history):
            history.repeat(tick.now_ns)
        else:
            values = self._mapped()
            history.append(tick.now_ns, values, self._splice(values) if self.link else np.empty(0))
        self._version = version
        history.forget(tick.now_ns - self.keep_ns - 2 * self.step_ns)
        self.next_ns = tick.now_ns + self.step_ns

    def _mapped(self) -> Floats:
        sizes = (len(self.node.index), len(self.history.index))
        if sizes != self._sizes:
            self._map = np.array([self.history.index.add(labels) for labels in self.node.index.labels], np.int64)
            self._sizes = (len(self.node.index), len(self.history.index))
        values = np.full(len(self.history.index), NAN)
        values[self._map] = self.node.values
        return values

    def _splice(self, values: Floats) -> Floats:
        history, size = self.history, len(self.history.index)
        last = history.links[-1][:size] if len(history) else np.empty(0)
        link = np.where(np.isnan(padded(last, size)), self.neutral, padded(last, size))
        known = padded(history.known, size)
        if history.snapshot is not None:
            then, now = (np.full(size, NAN) for _ in range(2))
            then[self._map], now[self._map] = self.node.against(history.snapshot)
            jump = splice(self.link, known, values, then, now)
            link = link * jump if self.link == "ratio" else link + jump
        history.known = np.where(np.isnan(values), known, values)
        history.snapshot = self.node.snapshot(history.snapshot)
        return link


class Grid:
    """The samplers of one step, over readers of their own that stand at grid instants while the rest of the engine goes on."""

    FOLLOW_NS = 60_000_000_000

    def __init__(self, domain: Domain, step_ns: int) -> None:
        self.domain = domain
        self.step_ns = step_ns
        self.samplers: list[Sampler] = []
        self._serial = 0

    def advance(self, now_ns: int) -> None:
        """Take every sample that is due up to `now_ns`, in order of time; none sees an event after its own instant."""
        if not self.samplers:
            return
        self._start(now_ns)
        while True:
            at_ns = min(sampler.next_ns or 0 for sampler in self.samplers)
            if at_ns > now_ns:
                break
            self.domain.seek(at_ns)
            self._serial += 1
            tick = Tick(self._serial, at_ns)
            for sampler in self.samplers:
                if sampler.next_ns == at_ns:
                    sampler.take(tick)
        if now_ns - self.domain.now_ns > self.FOLLOW_NS:
            self.domain.seek(now_ns)

    def next_edge_ns(self) -> int:
        """When the next sample is due."""
        return min((s.next_ns for s in self.samplers if s.next_ns is not None), default=1 << 62)

    def _start(self, now_ns: int) -> None:
        fresh = [sampler for sampler in self.samplers if sampler.next_ns is None]
        if not fresh:
            return
        logs = [log for log in self.domain.store.logs.values() if len(log)]
        first_ns = min((log.time_at(log.first) for log in logs), default=now_ns)
        for sampler in fresh:
            sampler.start(max(first_ns, self.domain.now_ns), now_ns)
