"""History that arrives late: samples whose instants have passed are worked out again, and filled in where none is live.

Backfilled gauge rows are kept apart from the live ones (`Refill.past`), whole, so that every pass works from all of
them and what comes first does not matter. A pass runs the sampled expressions over that past, instant by instant, on
readers of its own. Totals of events are different: a late event belongs into a total that was already taken, so the
samples since are worked out from the live log, as far as that still reaches back. So are the samples of a slow series
of which a value is revised or late, and totals over a time of which it turns out that it was not seen, or was after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.compile import Compiler
from monitor.engine.nodes.base import FAR_NS, NAN, Bools, Tick, padded
from monitor.engine.nodes.windows import PairNode, SamplesNode
from monitor.engine.past.history import Grid, Sampler, splice
from monitor.engine.program import walk
from monitor.engine.rows.log import Log
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Domain, Store
from monitor.events import FeedGap, MarketEvent
from monitor.expression import Expr, Range, Selector, children
from monitor.window import Floats, Ints

Grids = Mapping[int, tuple[Grid, Compiler]]


class Refill:
    """The past as it was fetched, and the passes over it.

    Attributes:
        past: Backfilled rows by gauge series, in time order, whatever the order in which they came.
        samples: Samples that were filled in or corrected so far.
        stale: Samples of slow series that a revision would have changed and could not: the rows that they were taken from
            are forgotten.
        passes: Finished passes.
        newest_ns: Time of the newest backfilled row by series.
    """

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self.past: dict[str, Log] = {}
        self.samples = self.stale = 0
        self.passes = 0
        self.newest_ns: dict[str, int] = {}
        self._store, self._settings = store, settings
        self._dirty: dict[str, int] = {}
        self._told: dict[str, int] = {}
        """Slow series, and the earliest instant of which another value was told."""
        self._running: Iterator[bool] | None = None

    @property
    def due(self) -> bool:
        """Whether a pass is under way or wanted."""
        return self._running is not None or bool(self._dirty or self._told)

    @property
    def running(self) -> bool:
        """Whether a pass is under way."""
        return self._running is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the past."""
        return sum(log.nbytes for log in self.past.values())

    def take(self, events: Sequence[MarketEvent], grids: Grids, seen_ns: int) -> None:
        """Keep the rows of backfilled events that some sample reads.

        Args:
            events: Only backfilled ones, already in the store's logs.
            grids: Of the rules as they are now.
            seen_ns: The last evaluation, 0 before the first: samples since a row was true may have to be taken again.
        """
        wanted = frozenset().union(*(sampler.series for sampler in _samplers(grids)))
        rows: dict[str, list[tuple[int, int, float]]] = {}
        for event in events:
            for series, member, value in self._store.catalog.rows(event):
                self.newest_ns[series] = max(self.newest_ns.get(series, 0), event.ts_ns)
                if series in wanted and value - value == 0:
                    rows.setdefault(series, []).append((event.ts_ns, member, value))
        for series, found in rows.items():
            if self._store.specs[series].form == "gauge":
                self._keep(series, found)
            first_ns = min(ts_ns for ts_ns, _, _ in found)
            if first_ns <= seen_ns:
                self._dirty[series] = min(self._dirty.get(series, first_ns), first_ns)
        self._mark(_samplers(grids))

    def _mark(self, samplers: Iterable[Sampler]) -> None:
        for sampler in samplers:
            sampler.behind = not sampler.series.isdisjoint(self._dirty)

    def again(self, samples: Sequence[MarketEvent], gaps: Sequence[FeedGap], grids: Grids) -> None:
        """Note what makes samples that were taken wrong: values of slow series for their time, and what was not seen."""
        said = ((series, event.ts_ns) for event in samples for series, _, _ in self._store.catalog.rows(event))
        for series, ts_ns in said:
            if self._sampled_since(series, ts_ns, grids):
                self._told[series] = min(self._told.get(series, ts_ns), ts_ns)
        for gap in gaps:
            for series in self._unseen_by(gap, grids):
                self._dirty[series] = min(self._dirty.get(series, gap.start_ns), gap.start_ns)

    def _sampled_since(self, series: str, ts_ns: int, grids: Grids) -> bool:
        mine = [sampler for sampler in _samplers(grids) if series in sampler.series]
        return any(len(sampler.history) and sampler.history.times[-1] >= ts_ns for sampler in mine)

    def _unseen_by(self, gap: FeedGap, grids: Grids) -> set[str]:
        """Event series with a sample of whose window nothing may be left after a gap, or was before it was filled."""
        spans = self._store.ledger.spans.get((gap.venue, gap.channel))
        dark_ns = FAR_NS if gap.filled or spans is None else spans.dark_ns(gap.end_ns)
        return {
            series
            for sampler in _samplers(grids)
            for series in sampler.series
            if self._store.specs[series].channel is gap.channel
            and self._store.specs[series].form == "events"
            and dark_ns >= shortest_ns(sampler.key[0], series)
            and self._sampled_since(series, gap.start_ns, grids)
        }

    def work(self, grids: Grids, now_ns: int, steps: int = 0) -> bool:
        """Do some of a pass: so many instants, all of them with 0. True when samples have changed."""
        if self._running is None:
            if any(sampler.next_ns is None for sampler in _samplers(grids)):
                return False  # of rules that were not evaluated yet; they begin with the next evaluation
            self._running = self._pass(grids, now_ns)
        changed = False
        for number, step in enumerate(self._running, start=1):
            changed |= step
            if number == steps:
                return changed
        self._running = None
        self.passes += 1
        return changed

    def forget(self, grids: Grids) -> None:
        """Break off a pass: the rules that it was for are gone; all that is kept is looked at again, for these."""
        self._running = None
        self._dirty = {series: log.time_at(log.first) for series, log in self.past.items() if len(log)}
        self._mark(_samplers(grids))

    def _keep(self, series: str, found: list[tuple[int, int, float]]) -> None:
        log = self.past.setdefault(series, Log(np.float64))
        found.sort(key=lambda row: row[0])
        ts, members, values = zip(*found, strict=True)
        log.insert(np.array(ts, np.int64), np.array(members, np.int32), np.array(values, np.float64))

    def _pass(self, grids: Grids, now_ns: int) -> Iterator[bool]:
        """One pass over every grid; yields after each instant whether samples have changed with it."""
        dirty, self._dirty = self._dirty, {}
        told, self._told = self._told, {}
        self._trim(grids, now_ns)
        for grid, mine, kind, since in _jobs(grids, dirty, told):
            since_ns = min(since[series] for sampler in mine for series in sampler.series & since.keys())
            work = kind(self, grid, mine, since_ns)
            yield from work.run()
            self.samples += work.samples
            self.stale += work.stale
            self._mark(mine)

    def _trim(self, grids: Grids, now_ns: int) -> None:
        reach_ns = max((sampler.keep_ns + 2 * sampler.step_ns for sampler in _samplers(grids)), default=0)
        for log in self.past.values():
            log.trim(now_ns - reach_ns)

    @property
    def store(self) -> Store:
        """The engine's own."""
        return self._store

    @property
    def settings(self) -> EngineSettings:
        """The engine's own."""
        return self._settings

    def view(self) -> Store:
        """A store whose logs are the past; names, series and coverage are the engine's own."""
        view = Store({})
        view.catalog, view.ledger, view.sources, view.specs = (
            self._store.catalog, self._store.ledger, self._store.sources, self._store.specs,
        )  # fmt: skip
        view.logs = {(series, 0): log for series, log in self.past.items()}
        return view


class _Shadow:
    """Samplers compiled once more, over another store or another stretch of time, with histories of their own."""

    def __init__(self, refill: Refill, grid: Grid, samplers: Sequence[Sampler], since_ns: int) -> None:
        store = self._reads(refill)
        self.store, self.settings, self.since_ns = store, refill.settings, since_ns
        self.grid = Grid(Domain(store), grid.step_ns)
        compiler = Compiler(store, refill.settings, self.grid, histories={})
        self.pairs = [(real, compiler.sampler(real.key[0], real.step_ns, real.keep_ns, real.link)) for real in samplers]
        self.until_ns = max((real.next_ns or 0) - real.step_ns for real in samplers)
        self.nested = any(isinstance(node, SamplesNode | PairNode) for _, s in self.pairs for node in walk([s.node]))
        self.samples = self.stale = 0
        self._serial = 0

    @staticmethod
    def _reads(refill: Refill) -> Store:
        """Whose rows are read: by default the live ones."""
        return refill.store

    def run(self) -> Iterator[bool]:
        """Work through the instants; yields after each one whether samples have changed with it."""
        raise NotImplementedError

    def every(self, first_ns: int, last_ns: int) -> list[int]:
        """All instants from the first to the last at which a sampler is due, also those that others read."""
        due: set[int] = set()
        for step_ns in {sampler.step_ns for sampler in self.grid.samplers}:
            due.update(range(-(-first_ns // step_ns) * step_ns, last_ns + 1, step_ns))
        return sorted(due)

    def take(self, at_ns: int) -> None:
        """One sample of every sampler whose grid holds this instant."""
        self.grid.domain.seek(at_ns)
        self._serial += 1
        tick = Tick(self._serial, at_ns)
        for sampler in self.grid.samplers:
            if at_ns % sampler.step_ns == 0:
                sampler.take(tick, filled=True)


class _Past(_Shadow):
    """Gauges over the backfilled rows: fills what is not live."""

    @staticmethod
    def _reads(refill: Refill) -> Store:
        return refill.view()

    def run(self) -> Iterator[bool]:
        """See `_Shadow`."""
        instants = self._instants()
        if not (instants >= self.since_ns).any():
            self._close()
            return
        self.store.roll(int(instants[-1]) + 1)
        ends: list[dict[int, Any]] = [{} for _ in self.pairs]
        for at_ns, next_ns in pairwise([*instants.tolist(), self.until_ns + self.grid.step_ns]):
            self.take(at_ns)
            for (real, shadow), found in zip(self.pairs, ends, strict=True):
                low, high = real.history.between(at_ns, next_ns)
                if high > low and shadow.history.snapshot is not None:
                    found[at_ns] = shadow.history.snapshot
            yield False
        for (real, shadow), found in zip(self.pairs, ends, strict=True):
            self.samples += len(shadow.history)
            real.history.fill(shadow.history, real.link, _Splices(real, shadow, found))
        self._close()
        yield True

    def _close(self) -> None:
        """Nobody but a pass reads the past, and there is one pass at a time."""
        for log in self.store.logs.values():
            log.readers.clear()

    def _instants(self) -> Ints:
        """Grid instants at which the past may say something and a sampler has nothing live."""
        step_ns = self.grid.step_ns
        keep_ns = max(real.keep_ns for real, _ in self.pairs)
        begin_ns = -(-(self.until_ns - keep_ns) // step_ns) * step_ns
        every: Ints = np.array(self.every(begin_ns, self.until_ns), np.int64)
        if self.nested or not len(every):
            return every
        wanted = np.zeros(len(every), np.bool_)
        for real, _ in self.pairs:
            wanted |= self._spoken_for(real, every) & ~np.isin(every, real.history.live_times())
        chosen: Ints = every[wanted]
        return chosen

    def _spoken_for(self, real: Sampler, every: Ints) -> Bools:
        """Instants that a row may reach: until it is stale, or has left every window inside the expression."""
        change = np.zeros(len(every) + 1, np.int64)
        step_ns, begin_ns = self.grid.step_ns, int(every[0])
        for series in real.series:
            log = self.store.logs.get((series, 0))
            if log is None:
                continue
            ts = log.rows(log.first, log.end)[0]
            span_ns = self._stale_ns(series) + reach_of(real.key[0])
            first = (-(-(ts - begin_ns) // step_ns)).clip(0, len(every))
            last = ((ts + span_ns - begin_ns) // step_ns + 1).clip(0, len(every))
            np.add.at(change, first, 1)
            np.add.at(change, np.maximum(last, first), -1)
        spoken: Bools = np.cumsum(change[:-1]) > 0
        return spoken

    def _stale_ns(self, series: str) -> int:
        spec = self.store.specs[series]
        limits = [limit for (_, channel), limit in self.settings.stale_s.items() if channel == spec.channel]
        return int(max([spec.stale_s, *limits]) * NS_PER_S)


class _Splices:
    """The jump from the last filled sample to the live one after it, by the members present at both."""

    def __init__(self, real: Sampler, shadow: Sampler, ends: Mapping[int, Any]) -> None:
        self._real, self._shadow, self._ends = real, shadow, ends
        self._openings = dict(real.history.openings)
        self._live = {int(at_ns): values for at_ns, values in zip(real.history.times, real.history.values, strict=True)}
        self._filled = dict(zip(shadow.history.times.tolist(), shadow.history.values, strict=True))
        self._known: dict[tuple[int, int], Floats] = {}

    def __call__(self, last_ns: int, after_ns: int) -> Floats:
        """A factor or difference per row of the filled history; NaN where nobody is known to be present at both."""
        key = (last_ns, after_ns)
        if key not in self._known:
            self._known[key] = self._jump(last_ns, after_ns)
        return self._known[key]

    def _jump(self, last_ns: int, after_ns: int) -> Floats:
        labels = self._shadow.history.index.labels
        if last_ns not in self._ends or after_ns not in self._openings:
            return np.full(len(labels), NAN)
        then, now = self._shadow.node.between(self._ends[last_ns], self._openings[after_ns])
        ids = self._real.history.index.ids
        live = np.append(self._live[after_ns], NAN)
        rows = np.array([ids[item] if ids[item] < len(live) - 1 else -1 for item in labels], np.int64)
        known = padded(self._filled[last_ns][: len(labels)], len(labels))
        size = len(labels)
        return splice(self._real.link, known, live[rows], padded(then, size)[:size], padded(now, size)[:size])


class _Live(_Shadow):
    """Samples worked out once more from the live rows, as far back as those still reach.

    One sample more is taken in front, for the members that the first is spliced to; of samples of samples all that the
    outer ones read.
    """

    def run(self) -> Iterator[bool]:
        """See `_Shadow`."""
        begin_ns = max(self.since_ns, self._whole_ns())
        for at_ns in self.every(begin_ns - self._lead_ns(), self.until_ns):
            self.take(at_ns)
            yield False
        count = sum(self.put(real, shadow, begin_ns) for real, shadow in self.pairs)
        self.samples += count
        self.grid.domain.close()
        yield bool(count)

    def put(self, real: Sampler, shadow: Sampler, begin_ns: int) -> int:
        """Take over what was worked out since an instant; how many samples it changed."""
        raise NotImplementedError

    def _lead_ns(self) -> int:
        reach_ns = max(reach_of(real.key[0]) for real, _ in self.pairs) if self.nested else 0
        return max(shadow.step_ns for shadow in self.grid.samplers) + reach_ns

    def _whole_ns(self) -> int:
        """The first instant whose windows the logs still hold in full."""
        reach_ns = max(reach_of(real.key[0]) for real, _ in self.pairs)
        read = [*self.grid.domain.banks, *self.grid.domain.lasts]
        panes = {series: pane_ns for series, pane_ns, _ in read if pane_ns}
        whole = [0]
        for series, pane_ns, _ in read:
            floor_ns = self.store.floors.get((series, pane_ns))
            if floor_ns is not None:
                whole.append(floor_ns + (2 * panes[series] if series in panes and not pane_ns else reach_ns))
        return max(whole)


class _Totals(_Live):
    """Totals of events: corrects what was taken too early, or over a time of which more, or less, was seen."""

    def put(self, real: Sampler, shadow: Sampler, begin_ns: int) -> int:
        """See `_Live`."""
        shadow.history.forget(begin_ns)
        return real.history.revise(shadow.history)


class _Again(_Live):
    """Slow gauges of which a value was revised or late."""

    def put(self, real: Sampler, shadow: Sampler, begin_ns: int) -> int:
        """See `_Live`."""
        low, high = real.history.times.searchsorted((self.since_ns, begin_ns))
        self.stale += int(high - low)
        real.history.stood.update(real.history.times[low:high].tolist())
        return real.history.replace(shadow.history, begin_ns, real.link)


def shortest_ns(expr: Expr, series: str) -> int:
    """The shortest window in which an expression reads a series; nothing is shorter where it reads none."""
    if isinstance(expr, Range) and isinstance(expr.inner, Selector):
        return expr.window_ns if expr.inner.series == series else FAR_NS
    return min((shortest_ns(child, series) for child in children(expr)), default=FAR_NS)


def reach_of(expr: Expr) -> int:
    """How far back an expression looks from its instant."""
    inner = max((reach_of(child) for child in children(expr)), default=0)
    if isinstance(expr, Range):
        return inner + expr.window_ns + expr.offset_ns
    return inner + expr.offset_ns if isinstance(expr, Selector) else inner


def _jobs(
    grids: Grids, dirty: Mapping[str, int], told: Mapping[str, int]
) -> list[tuple[Grid, list[Sampler], type[_Shadow], Mapping[str, int]]]:
    """What a pass has to do, the fewest instants first: a week of hours does not wait for a year of them."""
    jobs = [
        (grid, group, kind, since)
        for grid, _ in grids.values()
        for kind, of_events, since in ((_Past, False, dirty), (_Totals, True, dirty), (_Again, False, told))
        for group in _by_length(s for s in grid.samplers if s.of_events is of_events and s.series & since.keys())
    ]
    return sorted(jobs, key=lambda job: _length(job[1][0]))


def _by_length(samplers: Iterable[Sampler]) -> list[list[Sampler]]:
    return [list(group) for _, group in groupby(sorted(samplers, key=_length), _length)]


def _length(sampler: Sampler) -> int:
    """How many instants its history holds."""
    return sampler.keep_ns // sampler.step_ns


def _samplers(grids: Grids) -> list[Sampler]:
    return [sampler for grid, _ in grids.values() for sampler in grid.samplers]


__all__ = ["Refill", "reach_of"]
