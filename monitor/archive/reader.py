"""Reads an archive back in the order of arrival, whole grid steps at a time, in bounded memory.

The rows of one origin, table and venue are a stream. A batch ends at the last grid step that every stream is known to
have passed, so that a step is never torn; of each stream no more than one row group waits (or what one step holds).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.archive.check import with_words, wrong_columns, wrong_rows
from monitor.archive.manifest import Manifest, Part, is_itself, read_manifests
from monitor.archive.schema import (
    ALL_TABLES,
    BACKFILL,
    COURSE,
    INSTRUMENT,
    INSTRUMENT_COLUMNS,
    NO_VENUE,
    TABLES,
    CourseRow,
    Table,
    instrument_of,
    polars_schema,
)
from monitor.archive.writer import ROW_GROUP
from monitor.errors import TapeError
from monitor.events import Event
from monitor.instruments import Instrument
from monitor.window import Ints

if TYPE_CHECKING:
    import polars as pl

Frames = dict[str, "pl.DataFrame"]
"""Rows by table, in the order of arrival, with ``rank`` (the origin's place) and ``venue``; of market data instead of this
and of its own number of the instrument, ``item``: the number in `Archive.instruments`."""
_FAR_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that arrived in [start_ns, end_ns)."""

    start_ns: int = 0
    end_ns: int = _FAR_NS

    def touches(self, part: Part) -> bool:
        """Whether rows of a file may lie in it."""
        return part.last_ns >= self.start_ns and part.first_ns < self.end_ns


class Archive:
    """An archive, opened for reading.

    Attributes:
        manifests: What was put into it, in the order of time.
        instruments: Every instrument of every origin; rows name them by number.

    Raises:
        TapeError: There is none, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = read_manifests(folder)
        if not self.manifests:
            raise TapeError("there is no archive here", str(folder))
        self.instruments: list[Instrument] = []
        self._first_item: list[int] = []
        self._whole: set[Path] = set()
        for manifest in self.manifests:
            self._first_item.append(len(self.instruments))
            self.instruments += self._read_instruments(manifest)

    def batches(
        self, span: Span, grid_ns: int, columns: Mapping[str, Sequence[str]], row_group: int = ROW_GROUP
    ) -> Iterator[Frames]:
        """Rows of the chosen tables, each batch of whole grid steps, the next batch's later.

        Args:
            span: Which rows.
            grid_ns: Length of a step; a step holds what arrived in (previous instant, instant].
            columns: By table, the columns to read besides ``seq`` and ``at_ns``.
            row_group: Rows of a stream to read at a time.

        Raises:
            TapeError: A file is missing, damaged or not what its manifest says.
        """
        streams = self._streams(span, columns, row_group)
        while True:
            for stream in streams:
                stream.fill()
            waiting = [stream for stream in streams if stream.more]
            limit_ns = min((stream.last_ns for stream in waiting), default=_FAR_NS)
            edge_ns = _FAR_NS if limit_ns == _FAR_NS else (limit_ns - 1) // grid_ns * grid_ns
            taken = [(stream, stream.take(edge_ns)) for stream in streams]
            frames = _joined([(stream.table, frame) for stream, frame in taken if len(frame)])
            if frames:
                yield frames
            if edge_ns == _FAR_NS:
                return
            for stream in waiting:
                if stream.last_ns == limit_ns:
                    stream.wants_more = True

    def events(self, span: Span | None = None) -> Iterator[tuple[int, Event]]:
        """Everything as events, each with its time of arrival, in the order of arrival.

        Raises:
            TapeError: As `batches`.
        """
        yield from self._rows(TABLES, span or Span())

    @property
    def has_course(self) -> bool:
        """Whether what the program that recorded did with its events is here, too."""
        return any(part.table == COURSE.name for manifest in self.manifests for part in manifest.parts)

    def course(self, span: Span | None = None) -> Iterator[Event | CourseRow]:
        """As `events`, with what the program that recorded did in between.

        Raises:
            TapeError: As `batches`.
        """
        for _, row in self._rows(ALL_TABLES, span or Span()):
            yield row

    def backfilled(self, span: Span, tables: Container[str]) -> bool:
        """Whether any row of these tables, in the files that a span touches, is history that was fetched later.

        Raises:
            TapeError: As `batches`.
        """
        import polars as pl

        marked = [
            part
            for manifest in self.manifests
            for part in manifest.parts
            if part.table in tables and BACKFILL in ALL_TABLES[part.table].columns and span.touches(part)
        ]
        return any(self._select(part, [pl.col(BACKFILL.name).any()], 0, part.rows).item() for part in marked)

    def _rows(self, tables: Mapping[str, Table], span: Span) -> Iterator[tuple[int, Any]]:
        columns = {name: [column.name for column in table.columns] for name, table in tables.items()}
        for frames in self.batches(span, 1_000_000_000, columns):
            yield from self.events_of(frames)

    def events_of(self, frames: Frames) -> list[tuple[int, Any]]:
        """The rows of a batch, with all their columns, as events in the order of arrival."""
        found: list[tuple[int, int, int, Any]] = []
        for name, frame in frames.items():
            make = ALL_TABLES[name].make
            for row in frame.iter_rows(named=True):
                row["recv_ns"] = row["at_ns"] - row.get("back_ns", 0)
                instrument = self.instruments[row.get("item", 0)] if self.instruments else _NOBODY
                found.append((row["at_ns"], row["rank"], row["seq"], make(row, instrument)))
        found.sort(key=lambda item: item[:3])
        return [(at_ns, event) for at_ns, _, _, event in found]

    def _streams(self, span: Span, columns: Mapping[str, Sequence[str]], row_group: int) -> list[_Stream]:
        found: dict[tuple[int, str, str], _Stream] = {}
        for rank, manifest in enumerate(self.manifests):
            for part in sorted(manifest.parts, key=lambda part: (part.first_ns, part.path)):
                if part.table in columns and span.touches(part):
                    key = (rank, part.table, part.venue)
                    stream = found.get(key)
                    if stream is None:
                        stream = found[key] = _Stream(self, rank, part, span, columns[part.table], row_group)
                    stream.parts.append(part)
        return list(found.values())

    def read(self, part: Part, columns: Sequence[str | pl.Expr], offset: int, rows: int) -> pl.DataFrame:
        """Some rows of one file.

        Raises:
            TapeError: It is missing, damaged, or has other columns or rows than it should.
        """
        frame = self._select(part, columns, offset, rows)
        path = str(self.folder / part.path)
        if len(frame) != min(rows, part.rows - offset):
            raise TapeError(f"{offset + len(frame)} rows, but its manifest says {part.rows}", path)
        if wrong := wrong_rows(frame, part):
            raise TapeError(wrong, path)
        return frame

    def _select(self, part: Part, columns: Sequence[str | pl.Expr], offset: int, rows: int) -> pl.DataFrame:
        import polars as pl

        path, table = self.folder / part.path, ALL_TABLES[part.table]
        self._verify(path, table)
        try:
            lazy = pl.scan_parquet(path, hive_partitioning=False, glob=False)
            return with_words(lazy.slice(offset, rows).select(columns).collect(), table)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TapeError(f"not readable: {str(error).splitlines()[0]}", str(path)) from None

    def _verify(self, path: Path, table: Table | None = None) -> None:
        """Read a file through before its first use: Parquet's readers take a flipped bit for a value."""
        import polars as pl

        if path in self._whole:
            return
        try:
            wrong = "" if is_itself(path) else "damaged: its checksum is not the one in its name"
            if table is not None and not wrong:
                wrong = wrong_columns(pl.read_parquet_schema(path), table)
        except OSError as error:
            wrong = f"not readable: {error.strerror or error}"
        except pl.exceptions.PolarsError as error:
            wrong = f"not readable: {str(error).splitlines()[0]}"
        if wrong:
            raise TapeError(wrong, str(path))
        self._whole.add(path)

    def first_item(self, rank: int) -> int:
        """The number of the first instrument of an origin."""
        return self._first_item[rank]

    def has_items(self, rank: int, items: pl.Series) -> bool:
        """Whether rows name instruments of their origin only."""
        ends = [*self._first_item[1:], len(self.instruments)]
        return bool(items.is_between(self._first_item[rank], ends[rank], closed="left").all())

    def _read_instruments(self, manifest: Manifest) -> list[Instrument]:
        import polars as pl

        path = self.folder / manifest.items
        self._verify(path)
        try:
            frame = pl.read_parquet(path, hive_partitioning=False)
            rows = frame.cast(polars_schema([(name, kind) for name, kind, _ in INSTRUMENT_COLUMNS]))  # type: ignore[arg-type]
            if rows["instrument"].to_list() != list(range(len(rows))):
                raise TapeError("its instruments are not numbered from 0 on", str(path))
            return [instrument_of(row) for row in rows.iter_rows(named=True)]
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise TapeError(f"not readable: {str(error).splitlines()[0]}", str(path)) from None


_NOBODY = Instrument(venue=NO_VENUE, symbol="", base="", quote="", settle="", kind="spot")


@dataclass(slots=True)
class _Stream:
    """The rows of one origin, table and venue, read one row group at a time."""

    archive: Archive
    rank: int
    first: Part
    span: Span
    columns: Sequence[str]
    row_group: int
    parts: list[Part] = field(default_factory=list)
    wants_more: bool = True
    _waiting: pl.DataFrame | None = None
    _times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    _part: int = 0
    _offset: int = 0

    @property
    def table(self) -> str:
        """Its table."""
        return self.first.table

    @property
    def more(self) -> bool:
        """Whether there is something left in its files."""
        return self._part < len(self.parts)

    @property
    def last_ns(self) -> int:
        """The newest row in hand; nothing later is known of the stream."""
        return int(self._times[-1]) if len(self._times) else 0

    def fill(self) -> None:
        """Have rows in hand; one row group more if they did not reach the end of a step."""
        import polars as pl

        while self.more and (self.wants_more or not len(self._times)):
            frame = self._next()
            self._waiting = (
                pl.concat([self._waiting, frame]) if self._waiting is not None and len(self._times) else frame
            )
            self._times = self._waiting["at_ns"].to_numpy()
            self.wants_more = False

    def take(self, edge_ns: int) -> pl.DataFrame:
        """Rows that arrived up to `edge_ns`."""
        import polars as pl

        if self._waiting is None:
            return pl.DataFrame()
        count = int(self._times.searchsorted(edge_ns, side="right"))
        found, self._waiting, self._times = self._waiting[:count], self._waiting[count:], self._times[count:]
        return found

    def _next(self) -> pl.DataFrame:
        import polars as pl

        part = self.parts[self._part]
        about = pl.lit(self.first.venue).alias("venue")
        if INSTRUMENT.name in self.columns:
            about = (pl.col(INSTRUMENT.name) + self.archive.first_item(self.rank)).alias("item")
        own = [name for name in self.columns if name != INSTRUMENT.name]
        rank = pl.lit(self.rank, pl.Int32).alias("rank")
        frame = self.archive.read(part, ["seq", "at_ns", *own, about, rank], self._offset, self.row_group)
        if INSTRUMENT.name in self.columns and not self.archive.has_items(self.rank, frame["item"]):
            raise TapeError("it names an instrument that is not in its archive", str(self.archive.folder / part.path))
        self._offset += self.row_group
        if self._offset >= part.rows:
            self._part, self._offset = self._part + 1, 0
        if part.first_ns < self.span.start_ns or part.last_ns >= self.span.end_ns:
            frame = frame.filter(pl.col("at_ns").is_between(self.span.start_ns, self.span.end_ns, closed="left"))
        return frame


def _joined(parts: Sequence[tuple[str, pl.DataFrame]]) -> Frames:
    """Streams of one table as one frame in the order of arrival."""
    import polars as pl

    by_table: dict[str, list[pl.DataFrame]] = {}
    for table, frame in parts:
        by_table.setdefault(table, []).append(frame)
    return {
        table: frames[0] if len(frames) == 1 else _in_order(pl.concat(frames)) for table, frames in by_table.items()
    }


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order of arrival; those of each stream are in order."""
    keys = [frame[name].to_numpy() for name in ("seq", "rank", "at_ns")]
    if (keys[1] == keys[1][0]).all():
        return frame[np.argsort(keys[0], kind="stable")]
    return frame[np.lexsort(keys)]
