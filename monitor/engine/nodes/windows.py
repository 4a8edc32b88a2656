"""Nodes for functions over time: over the rows of a window, or over the samples of an expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.engine.cover.coverage import duration_text, rounded
from monitor.engine.nodes.align import Join, Places
from monitor.engine.nodes.base import FAR_NS, Alarm, Holding, Node, Tick, eased, joint, padded
from monitor.engine.nodes.gauges import GaugeNode, log_room
from monitor.engine.nodes.members import Members
from monitor.engine.nodes.need import Need
from monitor.engine.nodes.totals import MICROS
from monitor.engine.nodes.vector import joined_coverage
from monitor.engine.past.history import Sampler, columns_of, seen_values, splice
from monitor.engine.rows.extremes import Extremes
from monitor.engine.rows.gauges import NAN
from monitor.engine.rows.log import Log
from monitor.engine.rows.projection import Projection
from monitor.expression import Matching
from monitor.window import Columns, Floats, Ints, PairFunction, Source, WindowFunction

EXTREMES: dict[str, np.ufunc] = {"max": np.fmax, "min": np.fmin, "drawdown": np.fmax}
TIMED = frozenset({"mean", "sma", "stddev", "zscore"})
"""Functions of a gauge that change as time passes, without a new row."""


READ_NOW = frozenset({"change", "delta", "rate", "zscore", "drawdown", "last", "max", "min"})
"""Functions of samples that the value now takes part in."""


def _drawdown_bounds(now: Floats, values: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """One plus the drawdown is the value now over a peak: what the value now is when the drawdown is at its bounds."""
    peak = np.where(values > -1, now, NAN) / (values + 1)
    return np.where(low == high, now, peak * (low + 1)), np.where(high > 0, np.inf, peak * (high + 1))


def _max_bounds(now: Floats, values: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """A greatest value that a sample holds falls no further, and one that holds now falls to the next sample at most."""
    return np.where(now < values, -np.inf, low), high


def _min_bounds(now: Floats, values: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return low, np.where(now > values, np.inf, high)


NOW_BOUNDS = {"drawdown": _drawdown_bounds, "max": _max_bounds, "min": _min_bounds}


class RowsNode(Node):
    """A window function over the rows themselves: of events per group, of a gauge per label set."""

    def __init__(
        self,
        function: WindowFunction,
        logs: tuple[Log, ...],
        projection: Projection,
        need: Need,
        window: tuple[int, int, int],
        *,
        q: float = NAN,
        gauge: tuple[GaugeNode, Members] | None = None,
        extremes: Extremes | None = None,
    ) -> None:
        """Take the parts of the window.

        Args:
            function: What to compute.
            logs: The raw log, or the coarse one and the raw one.
            projection: Which members, in which groups.
            need: Coverage.
            window: Length, delay and pane width in ns.
            q: The share of ``quantile``.
            gauge: Present values, and the members' values as of the window's start.
            extremes: The window's extremes, where the function wants no more.
        """
        super().__init__((gauge[0],) if gauge else ())
        self.function, self.logs, self.projection, self.need = function, logs, projection, need
        self.source: Source = "gauge" if gauge else "events"
        self.window_ns, self.delay_ns, self.pane_ns = window
        self.q, self.gauge, self.extremes = q, gauge, extremes
        self.index = projection.index
        self.monotone = function.monotone if self.source == "events" else 0
        self._key: tuple[int, ...] = ()

    def refresh(self, tick: Tick) -> bool:
        """Compute again when rows came or went, or as time passes for functions that weigh by it."""
        self.pull_children(tick)
        self.projection.update()
        self.coverage, moved = self.need.share(tick.now_ns)
        end_ns = tick.now_ns - self.delay_ns
        spans = self._spans(end_ns)
        timed = tick.now_ns if self.source == "gauge" and self.function.name in TIMED else 0
        revisions = sum(log.revisions for log in self.logs)
        key = (*spans, revisions, self.projection.version, timed, *self._gauge_versions(tick))
        if key == self._key:
            return moved
        self._key = key
        self.values = self.function.compute(self._columns(spans, end_ns))
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """A drawdown deepens by what prices fall, and by what they rise before; old peaks that leave only lift it."""
        if self.function.name != "drawdown" or self.gauge is None or self.extremes is None or self.delay_ns:
            return None
        if not np.isposinf(high[~np.isnan(self.values)]).all():
            return None
        room = log_room(self.values + 1, low + 1, high)
        return self.gauge[0].drift_alarm(room / 2, [self.gauge[0].members], self.need)

    def still(self) -> Alarm | None:
        """Until a row comes or goes, or rows give way to their pane; never where time alone moves the value."""
        if self.delay_ns or (self.source == "gauge" and self.function.name in TIMED):
            return None
        until_ns = min(self.need.until_ns, self._oldest_leaves_ns())
        if self.pane_ns:
            until_ns = min(until_ns, (self.need.asked_ns // self.pane_ns + 1) * self.pane_ns)
        marks = [(log.arrived, log.arrived.value) for log in self.logs]
        own = Alarm(until_ns, (*marks, (self.projection.members, len(self.projection.members))))
        return joint([own, self.gauge[0].still(), self.gauge[1].still()] if self.gauge else [own])

    def next_edge_ns(self) -> int:
        """When the oldest row leaves."""
        return min(self._oldest_leaves_ns(), super().next_edge_ns())

    def reason(self, row: int, now_ns: int) -> str:
        """Silent feeds, or an empty window."""
        if self.gauge and row >= 0 and np.isnan(self.gauge[0].values[row]):
            return self.gauge[0].reason(row, now_ns)
        return self.need.silent(now_ns) or f"too few values in the last {duration_text(self.window_ns)}"

    def holdings(self) -> Sequence[Holding]:
        """The rows, or the panes and the rows after them."""
        return self.logs

    def _oldest_leaves_ns(self) -> int:
        log, start = self.logs[0], self._key[0] if self._key else 0
        return log.time_at(start) + self.window_ns + self.delay_ns if log.first <= start < log.end else FAR_NS

    def _gauge_versions(self, tick: Tick) -> tuple[int, ...]:
        return (self.gauge[0].version, self.gauge[1].update(tick.now_ns)) if self.gauge else ()

    def _spans(self, end_ns: int) -> tuple[int, ...]:
        start_ns = end_ns - self.window_ns
        if len(self.logs) == 1:
            return self.logs[0].position(start_ns), self.logs[0].position(end_ns)
        floor_ns = end_ns // self.pane_ns * self.pane_ns
        coarse, raw = self.logs
        return coarse.position(start_ns), coarse.position(floor_ns), raw.position(floor_ns), raw.position(end_ns)

    def _columns(self, spans: tuple[int, ...], end_ns: int) -> Columns:
        ts, values, counts = self._extreme_rows(end_ns) if self.extremes else self._rows(spans)
        missing = np.full(len(self.index), NAN)
        now, before, stale = self._ends() if self.gauge else (missing, missing, missing)
        return Columns(
            ts=ts,
            values=values,
            offsets=np.concatenate(([0], np.cumsum(counts))),
            start_ns=end_ns - self.window_ns,
            end_ns=end_ns,
            stale_ns=stale,
            now=now,
            before=before,
            source=self.source,
            q=self.q,
        )

    def _rows(self, spans: tuple[int, ...]) -> tuple[Ints, Floats, Ints]:
        """The window's rows by group, then time."""
        parts = [log.rows(spans[2 * at], spans[2 * at + 1]) for at, log in enumerate(self.logs)]
        ts, members, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        group = self.projection.group[members]
        keep = (group >= 0) & ~np.isnan(values)
        ts, group, values = ts[keep], group[keep], values[keep]
        order = np.argsort(group, kind="stable")
        counts = np.bincount(group, minlength=len(self.index))
        return ts[order], values[order] / (MICROS if self.source == "events" else 1.0), counts

    def _extreme_rows(self, end_ns: int) -> tuple[Ints, Floats, Ints]:
        """One row per group that has any: its extreme."""
        assert self.extremes is not None
        values = self.extremes.read()
        known = ~np.isnan(values)
        return np.full(int(known.sum()), end_ns), values[known], known.astype(np.int64)

    def _ends(self) -> tuple[Floats, Floats, Floats]:
        """Value now, value when the window began, and staleness limit per group (of one member each)."""
        assert self.gauge is not None
        now, then = self.gauge
        chosen = np.flatnonzero(self.projection.group >= 0)
        group, size = self.projection.group[chosen], len(self.index)
        before, stale = np.full(size, NAN), np.full(size, np.inf)
        before[group] = padded(then.present, len(self.projection.group))[chosen]
        stale[group] = padded(then.stale_ns, len(self.projection.group))[chosen]
        return padded(now.values, size), before, stale


class SamplesNode(Node):
    """A window function over samples of an expression, and its value now."""

    def __init__(
        self,
        function: WindowFunction | None,
        inner: Node,
        sampler: Sampler,
        window_ns: int,
        delay_ns: int,
        *,
        q: float = NAN,
    ) -> None:
        super().__init__((inner,))
        self.function, self.inner, self.sampler, self.q = function, inner, sampler, q
        self.window_ns, self.delay_ns = window_ns, delay_ns
        self.index, self.label_names = inner.index, inner.label_names
        self._places = Places(inner.index, sampler.history.index)
        self.need: Need | None = None
        self._key: tuple[int, ...] = ()
        self._spliced = self._was_behind = False
        self._matrix_key: tuple[int, ...] = ()
        self._matrix: Floats = np.empty((0, 0))

    def refresh(self, tick: Tick) -> bool:
        """Compute again when a sample was taken or left, or the value now changed."""
        changed = self.pull_children(tick)
        moved = self._cover(tick)
        history, end_ns = self.sampler.history, tick.now_ns - self.delay_ns
        low, high = history.between(end_ns - self.window_ns, end_ns)
        on_grid = high > 0 and history.times[high - 1] == end_ns
        key = (low, high, history.version, len(self.index), int(on_grid))
        if key == self._key and not changed:
            return moved
        self._key = key
        if self.function is not None:
            self.values = self.function.compute(self._columns(low, high, end_ns))
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """Between two samples only the value now moves the result, by what the function makes of it."""
        bounds = None if self.function is None or self._spliced else self._now_bounds(low, high)
        if bounds is None:
            return None
        moving = self.inner.alarm(*bounds) or self.inner.still()
        return joint([self.unmoved(), moving])

    def still(self) -> Alarm | None:
        """Until a sample comes or goes, or the value now moves."""
        return joint([self.unmoved(), self.inner.still()])

    def unmoved(self) -> Alarm:
        """Until a sample comes or goes."""
        history, low, high = self.sampler.history, *self._key[:2]
        until_ns = FAR_NS if self.need is None else self.need.until_ns
        if low < len(history):
            until_ns = min(until_ns, int(history.times[low]) + self.window_ns + self.delay_ns)
        if high < len(history):
            until_ns = min(until_ns, int(history.times[high]) + self.delay_ns)
        if self._key[4]:  # a sample was taken at this very instant: the value now counts beside it from the next one on
            until_ns = min(until_ns, int(history.times[high - 1]) + self.delay_ns + 1)
        return Alarm(until_ns, ((history, history.version),))

    def _now_bounds(self, low: Floats, high: Floats) -> tuple[Floats, Floats] | None:
        """Between which bounds the value now has to stay; None where that is not known of the function."""
        assert self.function is not None
        name, now, size = self.function.name, self.inner.values, len(self.index)
        if name not in READ_NOW or self.delay_ns:
            return np.full(size, -np.inf), np.full(size, np.inf)
        bounds = NOW_BOUNDS.get(name)
        if bounds is None or self.sampler.of_events:
            return None
        lower, upper = bounds(now, self.values, low, high)
        return eased(now, np.where(np.isnan(self.values), now, lower), np.where(np.isnan(self.values), now, upper))

    def next_edge_ns(self) -> int:
        """When the next sample is due."""
        return min(self.sampler.next_ns or FAR_NS, super().next_edge_ns())

    def reason(self, row: int, now_ns: int) -> str:
        """The inner expression's reason, or too few samples."""
        low, high = (*self._key[:2], 0, 0)[:2]
        words = f"too few samples: {high - low} in {duration_text(self.window_ns)}"
        inner_missing = row >= 0 and row < len(self.inner.values) and np.isnan(self.inner.values[row])
        return (self.inner.reason(row, now_ns) if inner_missing else "") or words

    def filled(self, row: int) -> tuple[int, int]:
        """How many of a row's samples in the window were filled in from history, and how many there are."""
        low, high = (*self._key[:2], 0, 0)[:2]
        history = self.sampler.history
        column = history.index.ids.get(self.index.labels[row], -1) if 0 <= row < len(self.index) else -1
        if not 0 <= column < history.values.shape[1]:
            return 0, 0
        known = ~np.isnan(history.values[low:high, column])
        return int((history.filled[low:high, column] & known).sum()), int(known.sum())

    def stood(self) -> int:
        """How many samples of the window are as they were before a revision, because their rows were forgotten."""
        low, high = (*self._key[:2], 0, 0)[:2]
        return len(self.sampler.history.stood.intersection(self.sampler.history.times[low:high].tolist()))

    def holdings(self) -> Sequence[Holding]:
        """The samples."""
        return [self.sampler.history]

    def matrix(self, low: int, high: int) -> Floats:
        """Samples as rows of this node's label sets, spliced to the units of the last sample; low - 1 comes first."""
        history = self.sampler.history
        key = (low, high, history.version, len(self.index))
        if key != self._matrix_key:
            self._matrix_key = key
            columns = self._places.update()
            rows = slice(max(low - 1, 0), high)
            self._matrix = columns_of(history.values[rows], columns)
            self._matrix[:, columns < 0] = history.others[rows, None]  # of label sets that were not there yet
            if self.sampler.link and high > max(low - 1, 0):
                self._matrix = self._linked(self._matrix, low, high, columns)
        return self._matrix

    def _linked(self, matrix: Floats, low: int, high: int, columns: Ints) -> Floats:
        sampler = self.sampler
        links = columns_of(sampler.history.links[max(low - 1, 0) : high], columns)
        links[np.isnan(links)] = sampler.neutral
        linked: Floats = matrix * (links[-1] / links) if sampler.link == "ratio" else matrix + (links[-1] - links)
        return linked

    def _columns(self, low: int, high: int, end_ns: int) -> Columns:
        history, size = self.sampler.history, len(self.index)
        matrix = self.matrix(low, high)
        has_before = low > 0
        rows, times = matrix[1:] if has_before else matrix, history.times[low:high]
        start_ns = end_ns - self.window_ns
        before = np.full(size, NAN)
        if has_before and start_ns - history.times[low - 1] < self.sampler.step_ns:
            before = matrix[0]
        if self.delay_ns:
            now = rows[-1] if len(rows) else np.full(size, NAN)
        else:
            now = seen_values(self.inner) if self.sampler.of_events else self.inner.values
            rows, before = self._to_now(rows, before, now)
        if self.function is not None and self.function.name in EXTREMES and len(rows):
            with np.errstate(invalid="ignore"):
                rows, times = EXTREMES[self.function.name].reduce(rows, axis=0)[None, :], times[-1:]
        known = ~np.isnan(rows.T)
        return Columns(
            ts=np.broadcast_to(times, known.shape)[known],
            values=rows.T[known],
            offsets=np.concatenate(([0], np.cumsum(known.sum(axis=1)))),
            start_ns=start_ns,
            end_ns=end_ns,
            stale_ns=np.full(size, np.inf),
            now=now,
            before=before,
            source="samples",
            step_ns=self.sampler.step_ns,
            q=self.q,
        )

    def _to_now(self, rows: Floats, before: Floats, now: Floats) -> tuple[Floats, Floats]:
        """Splice the samples to the members that are present now."""
        history, link = self.sampler.history, self.sampler.link
        self._spliced = False
        if not link or history.snapshot is None:
            return rows, before
        columns = self._places.update()
        known = np.append(padded(history.known, len(history.index)), NAN)[columns]
        then, current = self.inner.against(history.snapshot)
        self._spliced = not ((then == known) & (current == now) | np.isnan(known) | np.isnan(now)).all()
        jump = splice(link, known, now, then, current)
        if (jump == self.sampler.neutral).all():
            return rows, before
        return (rows * jump, before * jump) if link == "ratio" else (rows + jump, before + jump)

    def _cover(self, tick: Tick) -> bool:
        if self.need is None:
            share, moved = self.inner.coverage, False
        else:
            share, moved = self.need.share(tick.now_ns)
        if not (self.sampler.behind or self._was_behind):
            self.coverage = share
            return moved
        before, self._was_behind = self.coverage, self.sampler.behind
        self.coverage = np.minimum(share, self._reach(tick.now_ns)) if self.sampler.behind else share
        return not np.array_equal(before, self.coverage)

    def _reach(self, now_ns: int) -> float:
        """Share of the window that the samples span: what was fetched is no use before it is among them."""
        times, end_ns = self.sampler.history.times, now_ns - self.delay_ns
        low, high = self.sampler.history.between(end_ns - self.window_ns, end_ns)
        span_ns = int(times[high - 1] - times[low]) + self.sampler.step_ns if high > low else 0
        return rounded(min(1.0, span_ns / self.window_ns))


class PairNode(Node):
    """``corr`` and ``beta``: two sampled expressions on one grid, met on their labels."""

    def __init__(
        self, function: PairFunction, left: SamplesNode, right: SamplesNode, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__((left.inner, right.inner))
        self.function, self.left, self.right = function, left, right
        self.join = Join(left, right, Matching(), labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        self._key: tuple[int, ...] = ()
        self._samples = 0

    def refresh(self, tick: Tick) -> bool:
        """Compute again when a sample was taken."""
        self.pull_children(tick)
        for side in (self.left, self.right):
            side.pull(tick)
        self.join.update()
        before, self.coverage = self.coverage, joined_coverage(self.join)
        moved = not np.array_equal(before, self.coverage)
        spans = [self._span(side, tick.now_ns) for side in (self.left, self.right)]
        key = (
            *spans[0],
            *spans[1],
            self.left.sampler.history.version,
            self.right.sampler.history.version,
            len(self.left.index),
            len(self.right.index),
        )
        if key == self._key:
            return moved
        self._key = key
        x, y = (self._rows(side, span) for side, span in zip((self.left, self.right), spans, strict=True))
        size = min(len(x), len(y))
        self._samples = size
        rows = self.join.rows_left, self.join.rows_right
        a, b = (columns_of(side[len(side) - size :], at) for side, at in zip((x, y), rows, strict=True))
        self.values = self.function.compute(a, b)
        return True

    def still(self) -> Alarm | None:
        """Until a sample comes or goes on either side."""
        sides = self.left, self.right
        return joint([*(side.unmoved() for side in sides), *(side.inner.framed() for side in sides)])

    def reason(self, row: int, now_ns: int) -> str:
        """Too few samples."""
        return super().reason(row, now_ns) or f"too few returns: {self._samples} samples"

    def holdings(self) -> Sequence[Holding]:
        """The samples of both sides."""
        return [self.left.sampler.history, self.right.sampler.history]

    @staticmethod
    def _span(side: SamplesNode, now_ns: int) -> tuple[int, int]:
        end_ns = now_ns - side.delay_ns
        return side.sampler.history.between(end_ns - side.window_ns, end_ns)

    @staticmethod
    def _rows(side: SamplesNode, span: tuple[int, int]) -> Floats:
        matrix = side.matrix(*span)
        return matrix[1:] if span[0] > 0 else matrix
