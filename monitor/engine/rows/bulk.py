"""Bulk intake: history that lies in columns goes into the logs step by step, without an object per event.

A `Block` holds the rows of some grid steps, one `Rows` per type of event, in the order of arrival. `Block.feed` has the
same effect on an engine, to the last bit, as `Engine.ingest` of the events of that step: the same clock policy, the same
lateness, members numbered in the same order and not before their first event. What can be worked out for all steps at
once (times, order, counts) is worked out once per engine; a step is then a handful of slices, and so are many steps of
which it is known that nothing out of the ordinary happens in them (`monitor.engine.leap`). Backfilled events, samples and
liveness are rare, and are taken in as events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from monitor.engine.rows.catalog import HOURS_8, HOURS_YEAR, Catalog, member_labels
from monitor.engine.rows.intake import IngestReport
from monitor.engine.rows.log import Column, Members
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Store
from monitor.events import Depth, Funding, Labels, Liquidation, OpenInterest, Price, Trade
from monitor.instruments import Instrument
from monitor.window import Ints

Bools = npt.NDArray[np.bool_]
MarketRow = Liquidation | Trade | Price | Funding | OpenInterest | Depth
FAR_NS = FAR_STEP = 1 << 62
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
    """Some steps' worth of rows.

    Args:
        rows: By type of event.
        instants: When each step is to be evaluated (unix nanoseconds), for a caller that leaps.
    """

    def __init__(self, rows: Sequence[Rows], instants: Ints | None = None) -> None:
        self.rows = rows
        self.instants: Ints = np.empty(0, np.int64) if instants is None else instants
        self._ready: WeakKeyDictionary[Store, Ready] = WeakKeyDictionary()

    def size(self, step: int, stop: int) -> int:
        """Events of the steps ``step:stop``."""
        return sum(int(rows.ends[stop - 1]) - (int(rows.ends[step - 1]) if step else 0) for rows in self.rows)

    def feed(self, store: Store, settings: EngineSettings, step: int, now_ns: int) -> IngestReport:
        """Put one step into the logs; `now_ns` is the instant of the last evaluation."""
        return self.ready(store, settings).feed(step, now_ns)

    def ready(self, store: Store, settings: EngineSettings) -> Ready:
        """The block worked out for one engine."""
        ready = self._ready.get(store)
        if ready is None:
            ready = self._ready[store] = Ready(self.rows, store, settings)
        return ready


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
"""What columns say, as `monitor.engine.rows.catalog.Catalog.rows` has it for events."""


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
            self.members[key] = self._catalog.series(self._reading.series).add(self.labels(key))

    def labels(self, key: int) -> Labels:
        """The label set of a key."""
        code, word = divmod(key, len(self._reading.words))
        number, own = divmod(code, len(self._subjects.words))
        extra = self._reading.words[word] or self._subjects.words[own]
        return member_labels(self._subjects.instruments[number], self._reading.series, extra)


class Stream:
    """What a table's rows say about one series, each step's rows in time order.

    Attributes:
        series: Its name.
        log: Where it goes.
    """

    def __init__(self, rows: Rows, ts: Ints, steps: Ints, reading: Reading, store: Store) -> None:
        self.series, self.log = reading.series, store.log(reading.series)
        self._numbers = rows.subjects.numbers(store.catalog, reading)
        keys, steps, ts, values = _said(rows, ts, steps, reading)
        self.ends: Ints = np.searchsorted(steps, np.arange(len(rows.ends)), side="right")
        self._ends: list[int] = self.ends.tolist()
        fresh = np.sort(self._first_rows(keys))
        self._births: tuple[Ints, Ints] = steps[fresh], keys[fresh]
        self._fresh = set(self._births[0].tolist())
        self._dropping = False
        self._arrival = _time_order(ts, steps)
        if self._arrival is not None:
            keys, ts, values = keys[self._arrival], ts[self._arrival], values[self._arrival]
        self._keys, self._ts, self._values = keys, ts, values
        self._ordered = not (self._ts[1:] < self._ts[:-1]).any()
        self._valid = None if self._values.dtype == np.int64 else np.isfinite(self._values)
        if self._valid is not None and self._valid.all():
            self._valid = None
        self._odd: Ints | None = None
        self._summed: Ints | None = None
        self._falls = False

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
        self.log.insert(self._ts[rows], members, self._values[rows])

    def rows(self, step: int, stop: int) -> tuple[Ints, Members, Column]:
        """(ts, member, value) of the steps ``step:stop``, each step's rows in time order."""
        rows = self._slice(step, stop)
        return self._ts[rows], self._numbers.members[self._keys[rows]], self._values[rows]

    def _slice(self, step: int, stop: int) -> slice:
        return slice(self._ends[step - 1] if step else 0, self._ends[stop - 1])

    def step_of(self, row: int, first: int) -> int:
        """The step of a row, counted from the first row of step `first`."""
        before = self._ends[first - 1] if first else 0
        return int(self.ends.searchsorted(before + row, side="right"))

    def count(self, step: int, stop: int) -> int:
        """How many rows the steps ``step:stop`` have."""
        return self._ends[stop - 1] - (self._ends[step - 1] if step else 0)

    def filled_by(self, step: int, stop: int, amount: float) -> int | None:
        """The row, counted from the first row of `step`, with which more than `amount` has come in; None where none does.

        Where some amounts are negative that is the first row.
        """
        rows = self._slice(step, stop)
        if self._summed is None:
            self._summed = np.concatenate(([0], self._values.cumsum()))
            self._falls = bool(len(self._values) and self._values.min() < 0)
        summed = self._summed[rows.start + 1 : rows.stop + 1]
        most = amount + int(self._summed[rows.start])
        if self._falls or not len(summed) or summed[-1] <= most:
            return 0 if self._falls and len(summed) else None
        return int(summed.searchsorted(most, side="right"))

    def insert_all(self, step: int, stop: int) -> None:
        """Put steps in which nothing is odd into the log."""
        if len(self._births[0][self._born(step, stop)]):
            self._numbers.join(self._in_order_of_arrival(self._slice(step, stop)))
        ts, members, values = self.rows(step, stop)
        if not self._ordered and (ts[1:] < ts[:-1]).any():
            order = np.argsort(ts, kind="stable")
            ts, members, values = ts[order], members[order], values[order]
        self.log.insert(ts, members, values)

    def next_odd(self, step: int) -> int:
        """The next step with a row that is no number, or one of a gauge that is not its newest."""
        if self._dropping:
            return step
        if self._odd is None:
            self._odd = np.unique(self._odd_rows())
        at = int(self._odd.searchsorted(step))
        return int(self._odd[at]) if at < len(self._odd) else FAR_STEP

    def births(self, step: int, stop: int) -> Iterator[tuple[int, Labels]]:
        """The steps among ``step:stop`` with the first row of a label set, and which that is."""
        born = self._born(step, stop)
        for number, key in zip(*(column[born].tolist() for column in self._births), strict=True):
            yield number, self._numbers.labels(key)

    def _born(self, step: int, stop: int) -> slice:
        low, high = self._births[0].searchsorted((step, stop)).tolist()
        return slice(low, high)

    def _odd_rows(self) -> Ints:
        odd = np.zeros(len(self._keys), np.bool_) if self._valid is None else ~self._valid
        if self.log.unique and len(odd):
            order = np.argsort(_narrow(self._keys), kind="stable")
            keys, ts = self._keys[order], self._ts[order]
            odd[order[1:]] |= (keys[1:] == keys[:-1]) & (ts[1:] <= ts[:-1])
        return self.ends.searchsorted(np.flatnonzero(odd), side="right")

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


class Ready:
    """A block worked out for one engine."""

    def __init__(self, rows: Sequence[Rows], store: Store, settings: EngineSettings) -> None:
        self._tables = [_Table(item, store, settings) for item in rows if len(item)]
        self.streams = [stream for table in self._tables for stream in table.streams]

    def feed(self, step: int, now_ns: int) -> IngestReport:
        """Put one step into the logs."""
        report = IngestReport()
        for table in self._tables:
            table.feed(step, now_ns, report)
        return report

    def feed_all(self, step: int, stop: int) -> IngestReport:
        """Put the steps ``step:stop`` into the logs at once: nothing in them is odd, nothing is late."""
        report = IngestReport()
        for table in self._tables:
            table.count(step, stop, report)
        for stream in self.streams:
            stream.insert_all(step, stop)
        return report

    def newest(self, step: int, stop: int) -> Ints:
        """Time of the newest row of each step; 0 for one without rows."""
        times = [table.newest[step:stop] for table in self._tables]
        return np.max(times, axis=0) if times else np.zeros(stop - step, np.int64)

    def oldest(self, step: int, stop: int) -> int:
        """Time of the oldest row of some steps."""
        return min((table.oldest_of(step, stop) for table in self._tables), default=FAR_NS)

    def first_late(self, step: int, stop: int, before: Ints) -> int:
        """The first step with a row that comes late, given the instant of the evaluation before each; `stop` for none."""
        return min((table.first_late(step, stop, before) for table in self._tables), default=stop)


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
        self.oldest = _by_step(np.minimum, self._ts, rows.ends, sizes)
        self.newest = _by_step(np.maximum, self._ts, rows.ends, sizes)
        self._taken = self._counts(steps, self._venue)
        self._rejected = self._counts(steps[rejected], self._venue[rejected]) if rejected.any() else None
        self._filled: Bools = sizes > 0
        self.streams = [
            Stream(rows, self._ts, steps, reading, store)
            for reading in READINGS[rows.event]
            if reading.series in store.catalog.wanted
        ]

    def count(self, step: int, stop: int, report: IngestReport) -> None:
        """Count the rows of some steps, none of which is late."""
        self._add(report.taken, self._taken[step:stop].sum(axis=0).tolist())
        if self._rejected is not None:
            self._add(report.clock_rejected, self._rejected[step:stop].sum(axis=0).tolist())
        report.newest_ns = max(report.newest_ns, int(self.newest[step:stop].max()))

    def oldest_of(self, step: int, stop: int) -> int:
        """Time of the oldest row of some steps."""
        return int(self.oldest[step:stop].min(initial=FAR_NS, where=self._filled[step:stop]))

    def first_late(self, step: int, stop: int, before: Ints) -> int:
        """See `Ready.first_late`."""
        late = self._filled[step:stop] & (before - self.oldest[step:stop] > self._settings.late_after_ns)
        return step + int(late.argmax()) if late.any() else stop

    def feed(self, step: int, now_ns: int, report: IngestReport) -> None:
        """Put one step's rows into the logs, and count what is out of the ordinary."""
        a, b = self._ends[step - 1] if step else 0, self._ends[step]
        if a == b:
            return
        self._add(report.taken, self._taken[step].tolist())
        if self._rejected is not None:
            self._add(report.clock_rejected, self._rejected[step].tolist())
        newest_ns, gone_ns = int(self.newest[step]), ALL_KEPT_NS
        if now_ns - int(self.oldest[step]) > self._settings.late_after_ns:
            newest_ns, gone_ns = self._late(a, b, now_ns, report)
        report.newest_ns = max(report.newest_ns, newest_ns)
        for stream in self.streams:
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


def _said(rows: Rows, ts: Ints, steps: Ints, reading: Reading) -> tuple[Ints, Ints, Ints, Column]:
    """Key, step, time and value of each thing that rows say about a series; TradFi instruments are left out."""
    width, values = len(reading.words), reading.values(rows)
    left_out = rows.subjects.fact(rows.codes, TRADFI)
    if width == 1 and not left_out.any():
        return rows.codes, steps, ts, values
    keep = np.repeat(~left_out, width)
    keys = np.repeat(rows.codes * width, width) + np.tile(np.arange(width), len(rows))
    return keys[keep], np.repeat(steps, width)[keep], np.repeat(ts, width)[keep], values[keep]


def _by_step(ufunc: np.ufunc, values: Ints, ends: Ints, sizes: Ints) -> Ints:
    """The extreme of each step; 0 for a step without rows."""
    out = np.zeros(len(ends), np.int64)
    filled = np.flatnonzero(sizes)
    if len(filled):
        out[filled] = ufunc.reduceat(values, (ends - sizes)[filled])
    return out


def _narrow(keys: Ints) -> Ints:
    """The same numbers in 16 bits where they fit: sorting those is ten times as fast."""
    return keys.astype(np.uint16) if keys.max() <= np.iinfo(np.uint16).max else keys


def _time_order(ts: Ints, steps: Ints) -> Ints | None:
    """Row numbers in the order of time within each step; None where the rows are in that order."""
    if ((ts[1:] < ts[:-1]) & (steps[1:] == steps[:-1])).any():
        return np.lexsort((ts, steps))
    return None
