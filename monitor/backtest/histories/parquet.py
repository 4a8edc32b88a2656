"""History from an archive: normalised events in Parquet, handed to the engine in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from monitor.archive.manifest import is_archive
from monitor.archive.reader import Archive, Frames, Span
from monitor.archive.schema import BACK, BACKFILL, INSTRUMENT, TABLES, TS, Table
from monitor.backtest.ahead import ahead
from monitor.backtest.history import Missing, Step, Stretch
from monitor.backtest.run import series_read
from monitor.clock import NS_PER_S
from monitor.engine import Engine, IngestReport
from monitor.engine.rows.bulk import Block, MarketRow, Rows, Subjects
from monitor.events import Channel, Event, FeedState
from monitor.runtime.load import Loaded
from monitor.window import Ints

if TYPE_CHECKING:
    import polars as pl

WORDS = {"liquidations": "side", "trades": "side", "prices": "kind"}
"""The column that stands in the labels, by table."""
VALUES: dict[str, tuple[str, ...]] = {
    "liquidations": ("usd_micros",),
    "trades": ("usd_micros",),
    "prices": ("value",),
    "funding": ("rate", "interval_h"),
    "open_interest": ("usd",),
    "depth": ("bid_usd", "ask_usd", "spread_ratio"),
}
"""What an engine takes in as columns; all other tables come as events."""
DERIVED_FROM_PRICES = frozenset({"basket", "price_peak", "treasury_pnl", "treasury_distance", "band_correlation"})
TOGETHER = 512
"""Most instants that one step hands over."""
NOT_READ = frozenset({"symbol", "base"})
"""Said by the instrument, too."""


def knows(folder: Path) -> bool:
    """Whether there is an archive in a folder."""
    return is_archive(folder)


class ParquetHistory:
    """An archive. All of it is history, whatever feeds the configuration has.

    Args:
        folder: Where the archive is.
        loaded: Its rules may read series that are derived from prices; prices then come as events, too.

    Raises:
        TapeError: There is none, or it cannot be read.
    """

    kind = "parquet"

    def __init__(self, folder: Path, loaded: Loaded | None = None) -> None:
        self._archive = Archive(folder)
        derives = loaded is not None and not DERIVED_FROM_PRICES.isdisjoint(series_read(loaded))
        self._values = {name: values for name, values in VALUES.items() if not (derives and name == "prices")}
        manifests = self._archive.manifests
        self.stretch = self._asked = Stretch(min(m.start_ns for m in manifests), max(m.end_ns for m in manifests))
        self.note = next((manifest.note for manifest in manifests if manifest.note), "")
        self._subjects = {name: Subjects(_words(TABLES[name])) for name in VALUES}
        for subjects in self._subjects.values():
            for instrument in self._archive.instruments:
                subjects.add(instrument)

    def steps(self, stretch: Stretch, grid_ns: int) -> Iterator[Step]:
        """See `monitor.backtest.history.History`."""
        self._asked = stretch
        first_ns, carried = -(-stretch.start_ns // grid_ns) * grid_ns, self._carried(stretch.start_ns)
        steps = self._steps(stretch, grid_ns)
        first = next(steps, None)
        if first is not None and first.now_ns == first_ns:
            yield replace(first, events=[*carried, *first.events])
        else:
            yield Step(first_ns, carried)
            if first is not None:
                yield first
        yield from steps

    def _steps(self, stretch: Stretch, grid_ns: int) -> Iterator[Step]:
        span = Span(stretch.start_ns, stretch.end_ns)
        columns = {name: [column.name for column in table.columns] for name, table in TABLES.items()}
        if not self._archive.backfilled(span, TABLES):
            columns |= {name: _bulk_columns(name) for name in self._values}
        columns = {name: [one for one in names if one not in NOT_READ] for name, names in columns.items()}
        batches = self._archive.batches(span, grid_ns, columns)
        for steps in ahead(list(self._steps_of(frames, grid_ns)) for frames in batches):
            yield from steps

    def missing(self) -> Missing:
        """See `monitor.backtest.history.History`; counts are of whole exports, those of which any part was asked for."""
        found, asked = Missing(), self._asked
        for manifest in self._archive.manifests:
            if manifest.end_ns <= asked.start_ns or manifest.start_ns >= asked.end_ns:
                continue
            lost = manifest.lost
            found.losses += [f"{manifest.origin}: {loss}" for loss in lost.losses_of(asked.start_ns, asked.end_ns)]
            found.dropped += Counter(lost.dropped)
            found.skipped += Counter(lost.skipped)
            found.undecoded += Counter(lost.undecoded)
            found.steps_back += lost.steps_back
        return found

    def _carried(self, start_ns: int) -> list[Event]:
        """The liveness of every channel as it was at the start."""
        last: dict[tuple[str, Channel], Event] = {}
        columns = {"states": [column.name for column in TABLES["states"].columns]}
        for frames in self._archive.batches(Span(end_ns=start_ns), NS_PER_S, columns):
            found = self._archive.events_of(frames)
            last |= {(event.venue, event.channel): event for _, event in found if isinstance(event, FeedState)}
        return list(last.values())

    def _steps_of(self, frames: Frames, grid_ns: int) -> Iterator[Step]:
        steps = {name: -(-frame["at_ns"].to_numpy() // grid_ns) for name, frame in frames.items()}
        instants = np.unique(np.concatenate([found[_changes(found)] for found in steps.values()]))
        whole = _steps_with_backfill(frames, steps)
        events = self._events(frames, steps, whole, grid_ns)
        block = Block(
            [
                self._rows(name, frame, steps[name], instants, whole)
                for name, frame in frames.items()
                if name in self._values
            ],
            instants * grid_ns,
        )
        for first, stop in _runs(instants, events):
            columns = _Slice(block, first, stop)
            yield Step(columns.instants[0], events.get(int(instants[first]), ()), columns if columns.rows else None)

    def _events(
        self, frames: Frames, steps: dict[str, Ints], whole: Ints, grid_ns: int
    ) -> Mapping[int, Sequence[Event]]:
        """By step, what comes as events: tables that are not for columns, and everything of the steps in `whole`."""
        chosen: Frames = {name: frame for name, frame in frames.items() if name not in self._values}
        if len(whole):
            chosen |= {
                name: frames[name].filter(np.isin(steps[name], whole)) for name in frames if name in self._values
            }
        found: dict[int, list[Event]] = {}
        for at_ns, event in self._archive.events_of(chosen):
            found.setdefault(-(-at_ns // grid_ns), []).append(event)
        return found

    def _rows(self, name: str, frame: pl.DataFrame, steps: Ints, instants: Ints, whole: Ints) -> Rows:
        if len(whole):
            keep = ~np.isin(steps, whole)
            frame, steps = frame.filter(keep), steps[keep]
        subjects = self._subjects[name]
        codes = frame["item"].to_numpy().astype(np.int64) * len(subjects.words)
        if name in WORDS:
            codes += _codes(frame[WORDS[name]], subjects.words)
        return Rows(
            cast("type[MarketRow]", TABLES[name].event),
            subjects,
            codes=codes,
            recv_ns=frame["at_ns"].to_numpy() - frame["back_ns"].to_numpy(),
            ts_ns=frame["ts_ns"].to_numpy(),
            values=[frame[column].to_numpy() for column in VALUES[name]],
            ends=np.searchsorted(steps, instants, side="right"),
        )


@dataclass(frozen=True, slots=True)
class _Slice:
    """Some steps of a block: ``first`` to ``stop``, the end exclusive."""

    block: Block
    first: int
    stop: int

    @property
    def instants(self) -> Sequence[int]:
        """See `monitor.backtest.history.Columns`."""
        found: list[int] = self.block.instants[self.first : self.stop].tolist()
        return found

    @property
    def rows(self) -> int:
        """See `monitor.backtest.history.Columns`."""
        return self.block.size(self.first, self.stop)

    def only(self, number: int) -> _Slice:
        """See `monitor.backtest.history.Columns`."""
        return _Slice(self.block, self.first + number, self.first + number + 1)

    def feed(self, engine: Engine, number: int) -> IngestReport:
        """See `monitor.backtest.history.Columns`."""
        return engine.ingest_block(self.block, self.first + number)

    def leap(self, engine: Engine, number: int, until_ns: int) -> tuple[int, IngestReport | None]:
        """See `monitor.backtest.history.Columns`."""
        reached, report = engine.leap(self.block, self.first + number, self.stop, until_ns)
        return reached - self.first, report


def _runs(instants: Ints, events: Mapping[int, Sequence[Event]]) -> Iterator[tuple[int, int]]:
    """Steps that can be handed over together: events come first in each, and nobody waits long for news of the progress."""
    starts = {*range(0, len(instants), TOGETHER), *instants.searchsorted(sorted(events)).tolist()}
    return pairwise([*sorted(starts), len(instants)])


def _bulk_columns(table: str) -> list[str]:
    """What has to be read of a table of which no row is taken in as an event."""
    words = [WORDS[table]] if table in WORDS else []
    return [BACK.name, TS.name, INSTRUMENT.name, *words, *VALUES[table]]


def _words(table: Table) -> Sequence[str]:
    """What the column that stands in the labels can say."""
    kinds = {column.name: column.kind for column in table.columns}
    words = kinds[WORDS[table.name]] if table.name in WORDS else ("",)
    assert not isinstance(words, str)
    return words


def _codes(series: pl.Series, words: Sequence[str]) -> Ints:
    """The number of each text among `words`."""
    import polars as pl

    return series.cast(pl.Enum(words)).to_physical().to_numpy().astype(np.int64)


def _changes(steps: Ints) -> Ints:
    """Rows at which a new step begins."""
    return np.flatnonzero(np.diff(steps, prepend=-1))


def _steps_with_backfill(frames: Frames, steps: dict[str, Ints]) -> Ints:
    """Steps that history was fetched in: taken in as events, all of them, so that the order stays what it was."""
    found = [
        steps[name][frame[BACKFILL.name].to_numpy()] for name, frame in frames.items() if BACKFILL.name in frame.columns
    ]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
