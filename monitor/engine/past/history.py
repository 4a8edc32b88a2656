"""Samples of an expression on an aligned grid, kept per expression: what ``expr[7d:5m]`` and long folded gauges read.

A linked history is chain-linked: where the set of members behind a value changes, the step between two samples is that
of the members present at both, so that a feed that comes or goes is no move.

A sample is *live* when it was taken as time passed, *filled* when it was worked out later from history that arrived
after its instant (`monitor.engine.past.refill`). A filled sample never replaces a live one.

What was not seen is missing: a total whose window no feed covered is NaN, never 0. A label set that comes later had at
each instant before what any label set without a row had then (`History.others`): 0 of a total that was seen, else NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.nodes.base import NAN, Bools, Node, Tick, covers, padded
from monitor.engine.rows.catalog import Index
from monitor.engine.store import Domain
from monitor.events import Labels
from monitor.expression import Expr, Range, Selector, children, series_names
from monitor.window import Floats, Ints

Link = Literal["", "ratio", "difference"]
Jump = Callable[[int, int], Floats]
"""Of a filled sample's instant and the next live one's: by how much the members alone changed the value, per row."""
CATCH_UP_NS = 3600 * NS_PER_S
"""After a silence so much is sampled at least, so that conditions with a memory below a sample go on as if without it."""


class History:
    """A time, a row of values and a row of running links per sample, as growing arrays; label sets by `index`."""

    def __init__(self) -> None:
        self.index = Index()
        self.known: Floats = np.empty(0)
        self.snapshot: Any = None
        self.openings: dict[int, Any] = {}
        """Who was present at the first live sample after each break, for splicing to what is filled in before it."""
        self.stood: set[int] = set()
        """Instants of samples that a revision should have changed, whose rows were forgotten."""
        self.due_ns: int | None = None
        """The instant of the next live sample; None until sampling has begun."""
        self.version = 0
        self._start = self._end = 0
        self._times: Ints = np.empty(16, np.int64)
        self._values: Floats = np.full((16, 0), NAN)
        self._links: Floats = np.full((16, 0), NAN)
        self._filled: Bools = np.zeros((16, 0), np.bool_)
        self._others: Floats = np.full(16, NAN)
        self._width = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def value(self) -> int:
        """The version, for whoever waits for the next change."""
        return self.version

    @property
    def times(self) -> Ints:
        """Instants of the samples; a view."""
        return self._times[self._start : self._end]

    @property
    def values(self) -> Floats:
        """Samples by time and row of `index`; a view."""
        return self._values[self._start : self._end]

    @property
    def others(self) -> Floats:
        """What a label set without a row had, by time; a view."""
        return self._others[self._start : self._end]

    @property
    def links(self) -> Floats:
        """Running links by time and row; NaN before a row existed; a view."""
        return self._links[self._start : self._end]

    @property
    def filled(self) -> Bools:
        """Whether a value was filled in from history, by time and row; a view."""
        return self._filled[self._start : self._end]

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return int(self._times.nbytes + self._values.nbytes + self._links.nbytes + self._filled.nbytes)

    def append(self, at_ns: int, values: Floats, links: Floats, *, others: float = NAN, filled: bool = False) -> None:
        """Add a sample; rows that are new to `index` come last, and had before what others had."""
        if self._end == len(self._times) or len(values) > self._values.shape[1]:
            self._resize(len(values))
        if len(values) > self._width:
            self.values[:, self._width : len(values)] = self.others[:, None]
            self._width = len(values)
        self._times[self._end] = at_ns
        self._others[self._end] = others
        self._values[self._end, : len(values)] = values
        self._links[self._end, : len(links)] = links
        self._filled[self._end] = filled
        self._end += 1
        self.version += 1

    def repeat(self, at_ns: int, *, filled: bool = False) -> None:
        """Add a sample equal to the last."""
        last = self._end - 1
        width = self._width
        self.append(
            at_ns, self._values[last, :width], self._links[last, :width], others=self._others[last], filled=filled
        )

    def restore(  # noqa: PLR0917  # the columns, in the order in which they are saved
        self, labels: list[Labels], times: Ints, values: Floats, links: Floats, known: Floats, filled: Bools, others: Floats
    ) -> None:  # fmt: skip
        """Put back samples that were saved."""
        for item in labels:
            self.index.add(item)
        self._put(times.copy(), values.copy(), links.copy(), filled.copy(), others.copy())
        self.known = known

    def _put(self, times: Ints, values: Floats, links: Floats, filled: Bools, others: Floats) -> None:
        self._times, self._values, self._links, self._filled, self._others = times, values, links, filled, others
        self._start, self._end, self._width = 0, len(times), min(len(self.index), values.shape[1])
        self.version += 1

    @property
    def width(self) -> int:
        """How many rows of `index` have values; those that were added since have none yet."""
        return self._width

    def keep(self, rows: Ints) -> None:
        """Keep these of the rows that have values, drop the others."""
        labels, self.index = self.index.labels, Index()
        for row in rows.tolist():
            self.index.add(labels[row])
        self.known = padded(self.known, len(labels))[rows]
        self._values, self._links = self._values[:, rows], self._links[:, rows]
        self._filled = self._filled[:, rows]
        self._width = len(rows)
        self.version += 1

    def forget(self, before_ns: int) -> None:
        """Drop samples before an instant."""
        gone = int(self.times.searchsorted(before_ns))
        if gone:
            self._start += gone
            self.version += 1
            self.openings = {at_ns: who for at_ns, who in self.openings.items() if at_ns >= before_ns}
            self.stood = {at_ns for at_ns in self.stood if at_ns >= before_ns}

    def opens(self, step_ns: int, at_ns: int) -> bool:
        """Whether a live sample at `at_ns` would come after a break: nothing is known of one step before it."""
        if not len(self) or int(self.times[-1]) != at_ns - step_ns:
            return True
        return bool((np.isnan(self.values[-1]) | self.filled[-1]).all())

    def live_times(self) -> Ints:
        """Instants at which every row is known from live data: nothing can be filled in there."""
        whole = ~(np.isnan(self.values) | self.filled).any(axis=1)
        return self.times[whole] if self.values.shape[1] else np.empty(0, np.int64)

    def fill(self, other: History, link: Link, jump: Jump) -> None:
        """Take in samples that were worked out from history, where no live one stands.

        Args:
            other: The filled samples; they replace earlier filled ones of the same label sets.
            link: How values are spliced.
            jump: Splices a run of filled samples to the live one that follows it.
        """
        for labels in other.index.labels:
            self.index.add(labels)
        rows = np.array([self.index.ids[labels] for labels in other.index.labels], np.int64)
        times = np.union1d(self.times, other.times)
        mine, theirs = self._spread(times), other._spread(times)
        width = max(mine[0].shape[1], len(self.index))
        values, links, filled = (_wider(column, width) for column in mine)
        others = self._others_with(other, times)
        mine_too = np.isin(times, self.times)
        values[mine_too, self._width : len(self.index)] = others[mine_too, None]
        for row, source in enumerate(rows.tolist()):
            live = ~np.isnan(values[:, source]) & ~filled[:, source]
            new = ~np.isnan(theirs[0][:, row]) & ~live
            if not new.any():
                continue
            values[:, source] = np.where(live, values[:, source], np.where(new, theirs[0][:, row], NAN))
            filled[:, source] = new
            if link:
                chain = _Chain(link, times, values[:, source], live, new)
                links[:, source] = chain.joined(links[:, source], theirs[1][:, row], _at(jump, row))
        strangers = np.setdiff1d(np.arange(len(self.index)), rows)
        values[np.ix_(~mine_too, strangers)] = others[~mine_too, None]
        filled[np.ix_(~mine_too, strangers)] = True
        self._put(times, values, links, filled, others)
        self._carry_on(other, rows)

    def _others_with(self, other: History, times: Ints) -> Floats:
        """What label sets without a row had at `times`, by whose sample stands there; own ones first."""
        others = np.full(len(times), NAN)
        others[times.searchsorted(other.times)] = other.others
        others[times.searchsorted(self.times)] = self.others
        return others

    def revise(self, other: History) -> int:
        """Replace values of samples that are there by ones worked out again; how many differ."""
        count = 0
        mine, theirs = self._rows_of_both(other)
        for at_ns, values, others in zip(other.times.tolist(), other.values, other.others.tolist(), strict=True):
            at = int(self.times.searchsorted(at_ns))
            if at == len(self) or self.times[at] != at_ns:
                continue
            row = self.values[at]
            differ = ~np.isclose(row[mine], values[theirs], rtol=0, atol=0, equal_nan=True)
            row[mine[differ]] = values[theirs[differ]]
            self.filled[at, mine[differ]] = True
            self.others[at] = others
            count += int(differ.sum())
        self.version += bool(count)
        return count

    def replace(self, other: History, from_ns: int, link: Link) -> int:
        """Put samples that were taken again in the place of those since an instant; how many values differ.

        The other's links go on from the last sample before, which both have, or begin anew where there is none.
        """
        both = np.intersect1d(self.times[self.times >= from_ns], other.times)
        mine, theirs = self._rows_of_both(other)
        if not len(both) or not len(mine):
            return 0
        to, of = self.times.searchsorted(both), other.times.searchsorted(both)
        values = other.values[np.ix_(of, theirs)]
        differ = ~np.isclose(self.values[np.ix_(to, mine)], values, rtol=0, atol=0, equal_nan=True)
        self.values[np.ix_(to, mine)] = values
        if link:
            links = other.links[np.ix_(of, theirs)]
            if to[0] and of[0]:
                links = _met(link, links, self.links[to[0] - 1, mine], other.links[of[0] - 1, theirs])
            self.links[np.ix_(to, mine)] = links
            if both[-1] == self.times[-1]:
                self.snapshot = other.snapshot
                self.known = padded(self.known, len(self.index))
                self.known[mine] = padded(other.known, len(other.index))[theirs]
        self.version += 1
        return int(differ.sum())

    def _rows_of_both(self, other: History) -> tuple[Ints, Ints]:
        """The rows of the label sets that both histories have, in this one and in the other."""
        pairs = [(self.index.ids.get(labels, -1), row) for row, labels in enumerate(other.index.labels)]
        found = np.array([pair for pair in pairs if 0 <= pair[0] < self._width], np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _spread(self, times: Ints) -> tuple[Floats, Floats, Bools]:
        """Values, links and flags at `times`, NaN where there is no sample."""
        at = times.searchsorted(self.times)
        columns: list[Any] = []
        for column, empty in ((self.values, NAN), (self.links, NAN), (self.filled, False)):
            spread = np.full((len(times), column.shape[1]), empty, column.dtype)
            spread[at] = column
            columns.append(spread)
        return columns[0], columns[1], columns[2]

    def _carry_on(self, other: History, rows: Ints) -> None:
        """Where what was filled in is the newest that is known, the next live sample is spliced to that."""
        live = (~np.isnan(self.values) & ~self.filled).any(axis=1)
        if not len(other) or (live.any() and self.times[live][-1] > other.times[-1]):
            return
        self.snapshot = other.snapshot
        self.known = padded(self.known, len(self.index))
        self.known[rows] = padded(other.known, len(rows))

    def between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Positions of the samples with start < time <= end."""
        low, high = self.times.searchsorted((start_ns, end_ns), side="right")
        return int(low), int(high)

    def _resize(self, columns: int) -> None:
        live, capacity = len(self), len(self._times)
        rows = capacity if 2 * live < capacity else max(16, 2 * capacity)
        width = self._values.shape[1] if columns <= self._values.shape[1] else columns + columns // 2 + 4
        times, values, links = np.empty(rows, np.int64), np.full((rows, width), NAN), np.full((rows, width), NAN)
        filled = np.zeros((rows, width), np.bool_)
        others = np.full(rows, NAN)
        filled[:live, : self._filled.shape[1]] = self.filled
        times[:live], others[:live] = self.times, self.others
        values[:live, : self._values.shape[1]] = self.values
        links[:live, : self._links.shape[1]] = self.links
        self._times, self._values, self._links, self._filled, self._others = times, values, links, filled, others
        self._start, self._end = 0, live


class _Chain:
    """The running links of one row, of live and filled samples joined.

    The links of live samples stay as they are. Each run of filled samples is hung onto the live sample that follows
    it; a last run, with nothing live after it, onto the one before.
    """

    def __init__(self, link: Link, times: Ints, values: Floats, live: Bools, new: Bools) -> None:
        self.ratio = link == "ratio"
        self.times, self.values, self.live, self.new = times, values, live, new

    def joined(self, mine: Floats, theirs: Floats, jump: Callable[[int, int], float]) -> Floats:
        """Links at every instant, carried on where nothing is known."""
        out = np.where(self.live, mine, NAN)
        for first, last, after in self._runs():
            anchor = self._before(out, theirs, first) if after < 0 else self._after(out, theirs, last, after, jump)
            run = slice(first, last + 1)
            moved = theirs[run] * anchor if self.ratio else theirs[run] + anchor
            out[run] = np.where(self.new[run], moved, NAN)
        return _carried(out)

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """First and last position of each run of filled samples, and the live position after it (-1: none)."""
        known = np.flatnonzero(self.live | self.new)
        edges = np.flatnonzero(np.diff(self.new[known].astype(np.int8)))
        for first, last in zip(np.r_[0, edges + 1], np.r_[edges, len(known) - 1], strict=True):
            if self.new[known[first]]:
                yield int(known[first]), int(known[last]), int(known[last + 1]) if last + 1 < len(known) else -1

    def _after(self, out: Floats, theirs: Floats, last: int, after: int, jump: Callable[[int, int], float]) -> float:
        by = jump(int(self.times[last]), int(self.times[after]))
        if np.isnan(by):  # nobody is known to be present at both: members changed, the market did not move
            by = self.values[after] / self.values[last] if self.ratio else self.values[after] - self.values[last]
        if self.ratio:
            anchor = out[after] / (by * theirs[last]) if by * theirs[last] else 1.0
            return float(anchor) if np.isfinite(anchor) and anchor > 0 else 1.0
        return float(out[after] - by - theirs[last])

    def _before(self, out: Floats, theirs: Floats, first: int) -> float:
        earlier = np.flatnonzero(self.live[:first])
        neutral = 1.0 if self.ratio else 0.0
        if not len(earlier):
            return neutral
        at = int(earlier[-1])
        if not self.ratio:
            return float(out[at] + self.values[first] - self.values[at] - theirs[first])
        factor = out[at] * self.values[first] / self.values[at] / theirs[first] if self.values[at] else neutral
        return float(factor) if np.isfinite(factor) and factor > 0 else neutral


def _met(link: Link, links: Floats, here: Floats, there: Floats) -> Floats:
    """Running links in the terms of others, which have the value `here` where these have `there`."""
    if link == "ratio":
        factor = here / there
        return links * np.where(np.isfinite(factor) & (factor > 0), factor, 1.0)
    return links + np.where(np.isnan(here - there), 0.0, here - there)


def _at(jump: Jump, row: int) -> Callable[[int, int], float]:
    return lambda last_ns, after_ns: float(jump(last_ns, after_ns)[row])


def _carried(links: Floats) -> Floats:
    """NaN replaced by the last link before it."""
    at = np.where(np.isnan(links), -1, np.arange(len(links)))
    at = np.maximum.accumulate(at)
    return np.where(at < 0, NAN, links[at])


def _wider(column: Any, width: int) -> Any:
    more = width - column.shape[1]
    if more <= 0:
        return column
    empty = np.full((len(column), more), False if column.dtype == np.bool_ else NAN, column.dtype)
    return np.concatenate((column, empty), axis=1)


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


def seen_values(node: Node) -> Floats:
    """Values of a node that reads events, NaN where no feed was live in any of its window."""
    cover = covers(node)
    return node.values if cover.all() else np.where(cover > 0, node.values, NAN)


class Sampler:
    """Takes one sample of a node at every grid instant."""

    def __init__(
        self,
        key: tuple[Any, ...],
        node: Node,
        *,
        step_ns: int,
        keep_ns: int,
        link: Link,
        history: History,
        of_events: bool = False,
    ) -> None:
        """Sample `node`; with `of_events` a value is missing where no feed was live in any of its window."""
        self.key, self.of_events = key, of_events
        self.node, self.step_ns, self.keep_ns, self.link, self.history = node, step_ns, keep_ns, link, history
        self.series = series_names(key[0])
        self.behind = False
        """Whether history has come that is not in these samples yet."""
        self.next_ns: int | None = None
        self._sizes = (-1, -1)
        self._versions = (-1, -1)
        """Of the node and of the history when the last sample was taken: both the same, and the next equals it."""
        self._map: Ints = np.empty(0, np.int64)

    @property
    def neutral(self) -> float:
        """The link that changes nothing."""
        return 1.0 if self.link == "ratio" else 0.0

    def start(self, first_ns: int, now_ns: int, lead_ns: int = 0) -> None:
        """Set the first grid instant: the one that was due when sampling broke off, or where the data begins.

        After a longer silence only what is kept, or `CATCH_UP_NS`, is sampled. `lead_ns` is how far back others, that
        are yet to be sampled themselves, read these samples.
        """
        due_ns = self.history.due_ns
        if due_ns is None:
            begin = max(first_ns, now_ns - self.keep_ns)
        else:
            begin = max(due_ns, now_ns - max(self._kept_ns + lead_ns, CATCH_UP_NS))
        self._wait_for(-(-begin // self.step_ns) * self.step_ns)

    @property
    def _kept_ns(self) -> int:
        """For how long a sample is kept: also one before the oldest window, and one more."""
        return self.keep_ns + 2 * self.step_ns

    def skip_to(self, at_ns: int) -> None:
        """Leave out the instants before `at_ns`."""
        self._wait_for(max(self.next_ns or 0, -(-at_ns // self.step_ns) * self.step_ns))

    def _wait_for(self, at_ns: int) -> None:
        self.next_ns = self.history.due_ns = at_ns

    def take(self, tick: Tick, *, filled: bool = False) -> None:
        """Store the node's values as of `tick`."""
        history = self.history
        opens = not filled and bool(self.link) and history.opens(self.step_ns, tick.now_ns)
        version = self.node.pull(tick)
        if (version, history.version) == self._versions and len(history):
            history.repeat(tick.now_ns, filled=filled)
        else:
            values, others = self._mapped()
            links = self._splice(values) if self.link else np.empty(0)
            history.append(tick.now_ns, values, links, others=others, filled=filled)
        if opens and not np.isnan(history.values[-1]).all():
            history.openings[tick.now_ns] = self.node.snapshot()
        history.forget(tick.now_ns - self._kept_ns)
        self._versions = (version, history.version)
        self._wait_for(tick.now_ns + self.step_ns)

    def _mapped(self) -> tuple[Floats, float]:
        """The values by row of the history, and what label sets without a row have; NaN where nothing was seen."""
        sizes = (len(self.node.index), len(self.history.index))
        if sizes != self._sizes:
            self._map = np.array([self.history.index.add(labels) for labels in self.node.index.labels], np.int64)
            self._sizes = (len(self.node.index), len(self.history.index))
        seen = seen_values(self.node) if self.of_events else self.node.values
        unseen = len(seen) > 0 and self.of_events and not covers(self.node).any()
        others = NAN if unseen else self.node.default
        values = np.full(len(self.history.index), others)
        values[self._map] = seen
        return values, others

    def _steady(self) -> bool:
        """Whether no member came or went since the last sample, and nobody has touched it since."""
        return self.history.version == self._versions[1] and self.node.steady(self.history.snapshot)

    def _splice(self, values: Floats) -> Floats:
        history, size = self.history, len(self.history.index)
        last = history.links[-1][:size] if len(history) else np.empty(0)
        link = np.where(np.isnan(padded(last, size)), self.neutral, padded(last, size))
        known = padded(history.known, size)
        if history.snapshot is not None and not self._steady():
            then, now = (np.full(size, NAN) for _ in range(2))
            then[self._map], now[self._map] = self.node.against(history.snapshot)
            jump = splice(self.link, known, values, then, now)
            link = link * jump if self.link == "ratio" else link + jump
        history.known = np.where(np.isnan(values), known, values)
        history.snapshot = self.node.snapshot(history.snapshot)
        return link


class Grid:
    """The samplers of one step, over readers of their own that stand at grid instants while the rest of the engine goes on."""

    FOLLOW_NS = 60 * NS_PER_S
    """The readers are no further behind than this, between two samples; so long rows must be kept for them."""

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
            history = at_ns < self.domain.store.sources.started_ns
            for sampler in self.samplers:
                if sampler.next_ns == at_ns:
                    sampler.take(tick, filled=history)
        if now_ns - self.domain.now_ns > self.FOLLOW_NS:
            self.domain.seek(now_ns)

    def next_edge_ns(self) -> int:
        """When the next sample is due."""
        return min((s.next_ns for s in self.samplers if s.next_ns is not None), default=1 << 62)

    def _start(self, now_ns: int) -> None:
        fresh = [sampler for sampler in self.samplers if sampler.next_ns is None]
        if not fresh:
            return
        longest_ns = max(sampler.keep_ns for sampler in self.samplers)
        for sampler in fresh:
            lead_ns = longest_ns if sampler.step_ns != self.step_ns else 0
            sampler.start(max(self._first_ns(sampler, now_ns), self.domain.now_ns), now_ns, lead_ns)
            sampler.skip_to(self._whole_ns(sampler))

    def _whole_ns(self, sampler: Sampler) -> int:
        """The first instant at which no event that a total counts has been forgotten: a rule may be new to old rows."""
        store = self.domain.store
        events = [series for series in sampler.series if store.specs[series].form == "events"]
        floors = {series: store.floors.get((series, self._coarsest_ns(series)), 0) for series in events}
        return max((floor + counted_ns(sampler.key[0], series) for series, floor in floors.items() if floor), default=0)

    def _coarsest_ns(self, series: str) -> int:
        """Width of the panes from which totals of a series are read; the rows after them are there whenever these are."""
        return max((pane_ns for name, pane_ns, _ in self.domain.banks if name == series), default=0)

    def _first_ns(self, sampler: Sampler, now_ns: int) -> int:
        """Where the data that a sampler reads begins; for events the latest beginning: before it no total is known."""
        store = self.domain.store
        begins = {
            series: min(
                (log.time_at(log.first) for (name, _), log in store.logs.items() if name == series and len(log)),
                default=now_ns,
            )
            for series in sampler.series
        }
        events = [begin for series, begin in begins.items() if store.specs[series].form == "events"]
        return max(events) if events else min(begins.values(), default=now_ns)


def counted_ns(expr: Expr, series: str) -> int:
    """How far back an expression itself reads the rows of an event series; what it has sampled is kept elsewhere."""
    if isinstance(expr, Range) and isinstance(expr.inner, Selector):
        return expr.window_ns + expr.offset_ns + expr.inner.offset_ns if expr.inner.series == series else 0
    return max((counted_ns(child, series) for child in children(expr)), default=0)
