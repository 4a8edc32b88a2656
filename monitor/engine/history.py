"""Samples of an expression on an aligned grid, kept per expression: what ``expr[7d:5m]`` and long folded gauges read.

A linked history is chain-linked: where the set of members behind a value changes, the step between two samples is that
of the members present at both, so that a feed that comes or goes is no move.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from monitor.engine.catalog import Index
from monitor.engine.nodes.base import NAN, Node, Tick, padded
from monitor.engine.store import Domain
from monitor.window import Floats, Ints

Link = Literal["", "ratio", "difference"]


@dataclass(slots=True)
class History:
    """Times, one row of values per time, and the running link of each row; label sets by `index`."""

    index: Index = field(default_factory=Index)
    times: list[int] = field(default_factory=list)
    rows: list[Floats] = field(default_factory=list)
    links: list[Floats] = field(default_factory=list)
    known: Floats = field(default_factory=lambda: np.empty(0))
    snapshot: Any = None
    version: int = 0
    dropped: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of samples."""
        return sum(row.nbytes for row in self.rows) + sum(link.nbytes for link in self.links)

    def forget(self, before_ns: int) -> None:
        """Drop samples before an instant."""
        at = bisect_right(self.times, before_ns - 1)
        if at > 64:
            del self.times[:at], self.rows[:at], self.links[:at]
            self.dropped += at
            self.version += 1

    def between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Positions of the samples with start < time <= end."""
        return bisect_right(self.times, start_ns), bisect_right(self.times, end_ns)

    def matrix(self, low: int, high: int, columns: Ints) -> Floats:
        """Samples low..high, for the given rows of `index` (-1: missing), in the units of sample high - 1."""
        out = np.full((high - low, len(columns)), NAN)
        for at in range(low, high):
            row = np.append(padded(self.rows[at], len(self.index)), NAN)
            out[at - low] = row[columns]
        return out

    def link_matrix(self, low: int, high: int, columns: Ints, neutral: float) -> Floats:
        """Running links of samples low..high; `neutral` before a row existed."""
        out = np.full((high - low, len(columns)), neutral)
        for at in range(low, high):
            link = self.links[at]
            links = np.append(np.concatenate((link, np.full(len(self.index) - len(link), neutral))), neutral)
            out[at - low] = links[columns]
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

    def __init__(self, key: object, node: Node, step_ns: int, keep_ns: int, link: Link, history: History) -> None:
        self.key = key
        self.node, self.step_ns, self.keep_ns, self.link, self.history = node, step_ns, keep_ns, link, history
        self.next_ns: int | None = None
        self._sizes = (-1, -1)
        self._map: Ints = np.empty(0, np.int64)

    @property
    def neutral(self) -> float:
        """The link that changes nothing."""
        return 1.0 if self.link == "ratio" else 0.0

    def start(self, first_ns: int, now_ns: int) -> None:
        """Set the first grid instant: after the last sample kept, or where the data begins."""
        begin = max(first_ns, now_ns - self.keep_ns)
        if self.history.times:
            begin = max(begin, self.history.times[-1] + 1)
        self.next_ns = -(-begin // self.step_ns) * self.step_ns

    def take(self, tick: Tick) -> None:
        """Store the node's values as of `tick`."""
        self.node.pull(tick)
        history, values = self.history, self._mapped()
        if self.link:
            self._splice(values)
        history.times.append(tick.now_ns)
        history.rows.append(values)
        history.version += 1
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

    def _splice(self, values: Floats) -> None:
        history, size = self.history, len(self.history.index)
        last = history.links[-1] if history.links else np.empty(0)
        link = np.concatenate((last, np.full(size - len(last), self.neutral)))
        known = padded(history.known, size)
        if history.snapshot is not None:
            then, now = (np.full(size, NAN) for _ in range(2))
            then[self._map], now[self._map] = self.node.against(history.snapshot)
            jump = splice(self.link, known, values, then, now)
            link = link * jump if self.link == "ratio" else link + jump
        history.links.append(link)
        history.known = np.where(np.isnan(values), known, values)
        history.snapshot = self.node.snapshot(history.snapshot)


class Grid:
    """All samplers, over readers of their own that stand at grid instants while the rest of the engine goes on."""

    FOLLOW_NS = 60_000_000_000

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
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
