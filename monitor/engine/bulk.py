"""Bulk intake: history that lies in columns goes into the logs step by step, without an object per event.

A `Block` holds the rows of some grid steps, one `Rows` per type of event, in the order of arrival. `Block.feed` has the
same effect on an engine, to the last bit, as `Engine.ingest` of the events of that step: the same clock policy, the same
lateness, members numbered in the same order and not before their first event. What can be worked out for all steps at
once (times, order, counts) is worked out once per engine; a step is then a handful of slices. Backfilled events, samples
and liveness are rare, and are taken in as events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from monitor.engine.catalog import HOURS_8, HOURS_YEAR, Catalog, member_labels
from monitor.engine.intake import IngestReport
from monitor.engine.log import Column, Members
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Store
from monitor.events import Depth, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.window import Ints

Bools = npt.NDArray[np.bool_]
MarketRow = Liquidation | Trade | Price | Funding | OpenInterest | Depth
FAR_NS = 1 << 62
ALL_KEPT_NS = -FAR_NS


class Fact(NamedTuple):
    """Something about an instrument."""

    read: Callable[[Instrument], Any]
    dtype: npt.DTypeLike


TRADFI = Fact(lambda item: item.asset_class == "tradfi", np.bool_)
BASE_UNITS = Fact(lambda item: item.base_units, np.int64)


class Subjects:
    """What the rows of one history are about. A row's code is ``instrument's number * len(words) + word's number``.

    Args:
        words: What an event's own label can be (``long``, ``short``; the kinds of prices); ``""`` where it has none.
    """

    def __init__(self, words: Sequence[str] = ("",)) -> None:
        self.words = tuple(words)
        self.instruments: list[Instrument] = []
        self.venues: list[str] = []
        self._venue = Fact(lambda item: self.venues.index(item.venue), np.int64)
        self._facts: dict[Fact, Column] = {}
        self._numbers: WeakKeyDictionary[Catalog, dict[str, _Numbers]] = WeakKeyDictionary()

    def add(self, instrument: Instrument) -> int:
        """Take in an instrument and return its number."""
        if instrument.venue not in self.venues:
            self.venues.append(instrument.venue)
        self.instruments.append(instrument)
        return len(self.instruments) - 1

    def fact(self, codes: Ints, fact: Fact) -> Column:
        """One fact of each row's instrument; worked out once per instrument."""
        known = self._facts.get(fact, np.empty(0, fact.dtype))
        if fresh := self.instruments[len(known) :]:
            known = self._facts[fact] = np.append(known, np.array(list(map(fact.read, fresh)), fact.dtype))
        return known[codes // len(self.words)]

    def venue(self, codes: Ints) -> Ints:
        """The place in `venues` of each row's venue."""
        return self.fact(codes, self._venue)

    def numbers(self, catalog: Catalog, reading: Reading) -> _Numbers:
        """Member ids of one series; kept from block to block."""
        known = self._numbers.setdefault(catalog, {})
        found = known.get(reading.series)
        if found is None:
            found = known[reading.series] = _Numbers(self, catalog, reading)
        found.grow()
        return found


class Rows:
    """The rows of one type of event, in the order of arrival.

    Args:
        event: Their type.
        subjects: What `codes` stand for.
        codes: Instrument and word per row.
        recv_ns: Time of receipt.
        ts_ns: The venue's time.
        values: The event's own columns in the order of its fields: micro-dollars (int64) of liquidations and trades; the
            value of prices; rate and interval_h of funding; usd of open interest; bid_usd, ask_usd, spread_ratio of depth.
        ends: For each step of the block, the row after its last.
    """

    def __init__(
        self,
        event: type[MarketRow],
        subjects: Subjects,
        *,
        codes: Ints,
        recv_ns: Ints,
        ts_ns: Ints,
        values: Sequence[Column],
        ends: Ints,
    ) -> None:
        self.event, self.subjects, self.codes = event, subjects, codes
        self.recv_ns, self.ts_ns, self.values, self.ends = recv_ns, ts_ns, tuple(values), ends

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def steps(self) -> Ints:
        """The step that each row belongs to."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))


class Block:
    """Some steps' worth of rows."""

    def __init__(self, rows: Sequence[Rows]) -> None:
        self.rows = rows
        self._ready: WeakKeyDictionary[Store, _Ready] = WeakKeyDictionary()

    def size(self, step: int) -> int:
        """Events of one step."""
        return sum(int(rows.ends[step]) - (int(rows.ends[step - 1]) if step else 0) for rows in self.rows)

    def feed(self, store: Store, settings: EngineSettings, step: int, now_ns: int) -> IngestReport:
        """Put one step into the logs; `now_ns` is the instant of the last evaluation."""
        ready = self._ready.get(store)
        if ready is None:
            ready = self._ready[store] = _Ready(self.rows, store, settings)
        return ready.feed(step, now_ns)


@dataclass(frozen=True, slots=True)
class Reading:
    """One series that a type of event speaks about.

    With several `words` each row gives as many values, one after the other; with the one word ``""`` the row's own
    word (its side, its kind) stands in the labels.
    """

    series: str
    values: Callable[[Rows], Column]
    words: tuple[str, ...] = ("",)


def _price(rows: Rows) -> Column:
    return rows.values[0] / rows.subjects.fact(rows.codes, BASE_UNITS)


def _per_hour(rows: Rows) -> Column:
    rate, hours = rows.values
    out: Column = np.full(len(rate), np.nan)
    np.divide(rate, hours, out=out, where=hours != 0)
    return out


READINGS: dict[type[MarketRow], tuple[Reading, ...]] = {
    Liquidation: (Reading("liquidations", lambda rows: rows.values[0]),),
    Trade: (Reading("trades", lambda rows: rows.values[0]),),
    Price: (Reading("price", _price),),
    Funding: (
        Reading("funding", lambda rows: rows.values[0]),
        Reading("funding_8h", lambda rows: _per_hour(rows) * HOURS_8),
        Reading("funding_apr", lambda rows: _per_hour(rows) * HOURS_YEAR),
    ),
    OpenInterest: (Reading("open_interest", lambda rows: rows.values[0]),),
    Depth: (
        Reading("depth", lambda rows: np.stack(rows.values[:2], axis=1).ravel(), ("bid", "ask")),
        Reading("spread", lambda rows: rows.values[2]),
    ),
}
"""What columns say, as `monitor.engine.catalog.Catalog.rows` has it for events."""


class _Numbers:
    """Member ids of one series by key (``code * len(reading.words) + word``), -1 for what has not joined yet."""

    def __init__(self, subjects: Subjects, catalog: Catalog, reading: Reading) -> None:
        self._subjects, self._catalog, self._reading = subjects, catalog, reading
        self.members: Members = np.empty(0, np.int32)

    def grow(self) -> None:
        """Make room for instruments that were added."""
        subjects = self._subjects
        size = len(subjects.instruments) * len(subjects.words) * len(self._reading.words)
        if size > len(self.members):
            self.members = np.concatenate((self.members, np.full(size - len(self.members), -1, np.int32)))

    def venue(self, key: int) -> str:
        """Whose key it is."""
        return self._subjects.instruments[key // len(self._reading.words) // len(self._subjects.words)].venue

    def join(self, keys: Ints) -> None:
        """Make these keys members, in this order."""
        for key in dict.fromkeys(keys[self.members[keys] < 0].tolist()):
            code, word = divmod(key, len(self._reading.words))
            number, own = divmod(code, len(self._subjects.words))
            extra = self._reading.words[word] or self._subjects.words[own]
            labels = member_labels(self._subjects.instruments[number], self._reading.series, extra)
            self.members[key] = self._catalog.series(self._reading.series).add(labels)


class _Stream:
    """What a table's rows say about one series, each step's rows in time order."""

    def __init__(self, rows: Rows, ts: Ints, steps: Ints, reading: Reading, store: Store) -> None:
        self._series = reading.series
        self._store = store
        self._numbers = rows.subjects.numbers(store.catalog, reading)
        width, size = len(reading.words), len(rows)
        keep = np.repeat(~rows.subjects.fact(rows.codes, TRADFI), width)
        keys = (np.repeat(rows.codes * width, width) + np.tile(np.arange(width), size))[keep]
        steps = np.repeat(steps, width)[keep]
        self._ends = np.searchsorted(steps, np.arange(len(rows.ends)), side="right").tolist()
        self._fresh = set(steps[self._first_rows(keys)].tolist())
        self._dropping = False
        columns: tuple[Column, ...]
        columns = (keys, np.repeat(ts, width)[keep], reading.values(rows)[keep])
        self._arrival = _time_order(columns[1], steps)
        if self._arrival is not None:
            columns = tuple(column[self._arrival] for column in columns)
        self._keys, self._ts, self._values = columns
        self._valid = None if self._values.dtype == np.int64 else np.isfinite(self._values)
        if self._valid is not None and self._valid.all():
            self._valid = None

    def insert(self, step: int, gone_ns: int, report: IngestReport) -> None:
        """Put one step into the series' log, without rows older than `gone_ns`."""
        a, b = self._ends[step - 1] if step else 0, self._ends[step]
        if a == b:
            return
        rows: slice | Ints = slice(a, b)
        if gone_ns != ALL_KEPT_NS:
            rows = a + np.flatnonzero(self._ts[a:b] >= gone_ns)
            self._dropping = self._dropping or len(rows) < b - a
        if self._dropping or step in self._fresh:
            self._numbers.join(self._in_order_of_arrival(rows))
        if self._valid is not None:
            rows = self._only_numbers(rows, report)
        members = self._numbers.members[self._keys[rows]]
        self._store.log(self._series).insert(self._ts[rows], members, self._values[rows])

    def _first_rows(self, keys: Ints) -> Ints:
        """The first row of each key that is no member yet."""
        first = np.full(len(self._numbers.members), -1, np.int64)
        first[keys[::-1]] = np.arange(len(keys))[::-1]
        fresh: Ints = first[(first >= 0) & (self._numbers.members < 0)]
        return fresh

    def _in_order_of_arrival(self, rows: slice | Ints) -> Ints:
        keys: Ints = self._keys[rows]
        return keys if self._arrival is None else keys[np.argsort(self._arrival[rows])]

    def _only_numbers(self, rows: slice | Ints, report: IngestReport) -> Ints:
        """Leave out rows whose value is not a finite number, and count them."""
        assert self._valid is not None
        chosen = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        known = self._valid[chosen]
        report.invalid.update(map(self._numbers.venue, self._keys[chosen[~known]].tolist()))
        return chosen[known]


class _Ready:
    """A block worked out for one engine."""

    def __init__(self, rows: Sequence[Rows], store: Store, settings: EngineSettings) -> None:
        self._tables = [_Table(item, store, settings) for item in rows if len(item)]
        steps = len(rows[0].ends) if rows else 0
        self._taken: list[dict[str, int]] = [{} for _ in range(steps)]
        for table in self._tables:
            table.count(self._taken)

    def feed(self, step: int, now_ns: int) -> IngestReport:
        """Put one step into the logs."""
        report = IngestReport()
        report.taken.update(self._taken[step])
        for table in self._tables:
            table.feed(step, now_ns, report)
        return report


class _Table:
    """The rows of one type of event, worked out for one engine."""

    def __init__(self, rows: Rows, store: Store, settings: EngineSettings) -> None:
        self._settings = settings
        self._ends = rows.ends.tolist()
        self._venues = rows.subjects.venues
        self._venue = rows.subjects.venue(rows.codes)
        self._ts, rejected = event_time(rows, settings)
        steps = rows.steps
        sizes = np.diff(rows.ends, prepend=0)
        self._oldest = _by_step(np.minimum, self._ts, rows.ends, sizes)
        self._newest = _by_step(np.maximum, self._ts, rows.ends, sizes)
        self._rejected = self._counts(steps[rejected], self._venue[rejected]).tolist() if rejected.any() else None
        self._streams = [
            _Stream(rows, self._ts, steps, reading, store)
            for reading in READINGS[rows.event]
            if reading.series in store.catalog.wanted
        ]

    def count(self, taken: list[dict[str, int]]) -> None:
        """Add the rows of each step by venue."""
        counts = self._counts(np.repeat(np.arange(len(self._ends)), np.diff(self._ends, prepend=0)), self._venue)
        for step, venue in zip(*(place.tolist() for place in counts.nonzero()), strict=True):
            name = self._venues[venue]
            taken[step][name] = taken[step].get(name, 0) + int(counts[step, venue])

    def feed(self, step: int, now_ns: int, report: IngestReport) -> None:
        """Put one step's rows into the logs, and count what is out of the ordinary."""
        a, b = self._ends[step - 1] if step else 0, self._ends[step]
        if a == b:
            return
        if self._rejected is not None:
            self._add(report.clock_rejected, self._rejected[step])
        newest_ns, gone_ns = self._newest[step], ALL_KEPT_NS
        if now_ns - self._oldest[step] > self._settings.late_after_ns:
            newest_ns, gone_ns = self._late(a, b, now_ns, report)
        report.newest_ns = max(report.newest_ns, newest_ns)
        for stream in self._streams:
            stream.insert(step, gone_ns, report)

    def _late(self, a: int, b: int, now_ns: int, report: IngestReport) -> tuple[int, int]:
        """Count rows of the past; the newest row's time, and before which time rows are left out."""
        ts, venue = self._ts[a:b], self._venue[a:b]
        gone_ns = now_ns - self._settings.lateness_ns
        gone = ts < gone_ns
        late = ~gone & (now_ns - ts > self._settings.late_after_ns)
        self._add(report.late, self._tally(venue[late]))
        if not gone.any():
            return int(ts.max()), ALL_KEPT_NS
        lost = self._tally(venue[gone])
        self._add(report.too_late, lost)
        self._add(report.taken, [-count for count in lost])
        return int(ts[~gone].max(initial=0)), gone_ns

    def _tally(self, venue: Ints) -> list[int]:
        counts: list[int] = np.bincount(venue, minlength=len(self._venues)).tolist()
        return counts

    def _counts(self, steps: Ints, venue: Ints) -> Ints:
        """Rows by step and venue."""
        width = len(self._venues)
        counts: Ints = np.bincount(steps * width + venue, minlength=len(self._ends) * width)
        return counts.reshape(-1, width)

    def _add(self, counter: Counter[str], counts: Sequence[int]) -> None:
        for venue, count in zip(self._venues, counts, strict=True):
            if count:
                counter[venue] += count
                if not counter[venue]:
                    del counter[venue]


def event_time(rows: Rows, settings: EngineSettings) -> tuple[Ints, Bools]:
    """The time at which each row counts, and which of them had a venue's time too far from receipt."""
    behind = rows.recv_ns - rows.ts_ns
    rejected = (behind < -settings.max_ahead_ns) | (behind > settings.max_behind_ns)
    return np.where(rejected, rows.recv_ns, rows.ts_ns), rejected


def _by_step(ufunc: np.ufunc, values: Ints, ends: Ints, sizes: Ints) -> list[int]:
    """The extreme of each step; 0 for a step without rows."""
    out = np.zeros(len(ends), np.int64)
    filled = np.flatnonzero(sizes)
    if len(filled):
        out[filled] = ufunc.reduceat(values, (ends - sizes)[filled])
    return out.tolist()


def _time_order(ts: Ints, steps: Ints) -> Ints | None:
    """Row numbers in the order of time within each step; None where the rows are in that order."""
    if ((ts[1:] < ts[:-1]) & (steps[1:] == steps[:-1])).any():
        return np.lexsort((ts, steps))
    return None
