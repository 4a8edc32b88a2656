"""Writes an archive: bounded memory however long the day, and nothing half-written under its final name.

Events wait as objects, then packed as columns, then go to a file of at most `Limits.part_rows` rows in a folder beside.
`commit` moves the files to their places and writes the manifest last. A file's name bears a checksum of what is in it,
so that a new one never takes the place of another that a manifest still names: whenever the process is killed, the
archive is what it was before or what it should be. The same origin again replaces what it wrote before; another origin
with the same market data of the same time is refused, because rows would count twice.
"""

from __future__ import annotations

import os
import re
import shutil
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from monitor.archive.manifest import (
    FOLDER,
    INSTRUMENTS,
    Lost,
    Manifest,
    Part,
    checksum,
    manifest_path,
    overlaps,
    read_all,
    read_manifests,
)
from monitor.archive.schema import (
    ALL_TABLES,
    BACK,
    COMMON,
    COURSE,
    INSTRUMENT,
    INSTRUMENT_COLUMNS,
    TABLE_OF,
    VENUE,
    VERSION,
    CourseRow,
    Table,
    instrument_row,
    polars_schema,
)
from monitor.clock import NS_PER_S
from monitor.errors import TapeError
from monitor.events import Event
from monitor.instruments import Instrument

if TYPE_CHECKING:
    import polars as pl

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DAY_NS = 86_400 * NS_PER_S
ROW_GROUP = 65_536
"""Rows that a reader takes from one file at a time."""
_LEVEL = 3
_MOST_OBJECTS = 100_000
_OURS = re.compile(r".+-[0-9a-f]{8}(-\d{4})?\.parquet")
"""Names that a writer gives: what else lies there is its owner's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits in memory.

    Attributes:
        events: Events as objects, all tables together (some 300 bytes each).
        rows: Packed rows, all tables together (some 80 bytes each).
        part_rows: Rows of one file.
    """

    events: int = 131_072
    rows: int = 3_000_000
    part_rows: int = 1_000_000


@dataclass(slots=True)
class _Partition:
    """The rows of one table, day and venue that wait, and how many files it has."""

    table: Table
    day: int
    venue: str
    events: list[Event | CourseRow] = field(default_factory=list)
    seq: array[int] = field(default_factory=lambda: array("q"))
    at_ns: array[int] = field(default_factory=lambda: array("q"))
    packed: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0
    files: int = 0

    @property
    def folder(self) -> str:
        """Where its files go, as Hive names partitions."""
        return f"{self.table.name}/date={_date(self.day)}/venue={self.venue}"


class ArchiveWriter:
    """One export or import into an archive; use as a context manager, and `commit` at the end.

    Args:
        folder: The archive; made if it is not there.
        origin: Name of this export; the same name again replaces the earlier one.
        source: Where the data comes from, in words.
        note: Not empty when the market was made up.
        program: What writes.
        limits: How much waits in memory.
        replace: Remove overlapping exports of other origins instead of refusing.
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        source: str,
        *,
        note: str = "",
        program: str = "",
        limits: Limits | None = None,
        replace: bool = False,
    ) -> None:
        self._folder, self.origin, self._source = folder, origin, source
        self._note, self._program, self._replace = note, program, replace
        self._limits = limits or Limits()
        self._staging = folder / f".writing-{origin}"
        self._partitions: dict[tuple[str, int, str], _Partition] = {}
        self._instruments: dict[tuple[Any, ...], int] = {}
        self._numbers: dict[Instrument, int] = {}
        self._parts: list[Part] = []
        self._waiting = self._packed = self._seq = 0
        self.events = 0
        self.last_ns = 0

    def __enter__(self) -> Self:
        try:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging.mkdir(parents=True)
        except OSError as error:
            raise TapeError(error.strerror or str(error), str(self._folder)) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, at_ns: int, events: Sequence[Event | CourseRow]) -> None:
        """Add events that arrived at `at_ns`; a time before the one before counts as that.

        Raises:
            TapeError: The archive cannot be written, or a venue has no proper name.
        """
        self.last_ns = at_ns = max(at_ns, self.last_ns)
        day = at_ns // DAY_NS
        for event in events:
            table = TABLE_OF[type(event)]
            key = (table.name, day, table.venue(event))
            partition = self._partitions.get(key)
            if partition is None:
                if not VENUE.fullmatch(key[2]):
                    raise TapeError(f"not the name of a venue: {key[2][:60]!r}", self._source)
                partition = self._partitions[key] = _Partition(table, day, key[2])
            partition.events.append(event)
            partition.seq.append(self._seq)
            partition.at_ns.append(at_ns)
            self._seq += 1
            self._waiting += 1
            self.events += table is not COURSE
        if self._waiting >= self._limits.events:
            self._relieve()

    def commit(self, start_ns: int, end_ns: int, lost: Lost | None = None) -> Manifest:
        """Put everything in its place; the data covers [start_ns, end_ns).

        Raises:
            TapeError: The archive cannot be written, or holds the same data from another origin.
        """
        for partition in self._partitions.values():
            self._pack(partition)
            self._flush(partition)
        self._write_instruments()
        try:
            names = {path: self._final(path) for path in self._staged()}
            manifest = Manifest(
                origin=self.origin,
                source=self._source,
                note=self._note,
                program=self._program,
                start_ns=start_ns,
                end_ns=end_ns,
                parts=tuple(
                    sorted(
                        (msgspec.structs.replace(part, path=names[part.path]) for part in self._parts),
                        key=lambda part: part.path,
                    )
                ),
                instruments=names[self._items],
                lost=lost or Lost(),
            )
            return self._publish(manifest, names)
        except OSError as error:
            raise TapeError(error.strerror or str(error), str(self._folder)) from None

    def _relieve(self) -> None:
        for partition in self._partitions.values():
            self._pack(partition)
        while self._packed > self._limits.rows:
            self._flush(max(self._partitions.values(), key=lambda item: item.rows))
        for partition in self._partitions.values():
            if partition.rows >= self._limits.part_rows:
                self._flush(partition)

    def _pack(self, partition: _Partition) -> None:
        if partition.events:
            partition.packed.append(self._frame(partition))
            partition.rows += len(partition.events)
            self._packed += len(partition.events)
            self._waiting -= len(partition.events)
            partition.events, partition.seq, partition.at_ns = [], array("q"), array("q")

    def _frame(self, partition: _Partition) -> pl.DataFrame:
        import polars as pl

        table, events = partition.table, partition.events
        columns: dict[str, Any] = {"seq": partition.seq, "at_ns": partition.at_ns}
        for column in table.columns:
            columns[column.name] = self._column(column.name, partition) or [column.read(event) for event in events]
        schema = polars_schema([(column.name, column.kind) for column in (*COMMON[1:], *table.columns)])
        return pl.DataFrame(columns, schema=schema).select(pl.lit(self.origin).alias("origin"), pl.all())

    def _column(self, name: str, partition: _Partition) -> list[int] | None:
        """What only the writer knows; None for what the events say."""
        events: list[Any] = partition.events
        if name == BACK.name:
            return [at_ns - event.recv_ns for at_ns, event in zip(partition.at_ns, events, strict=True)]
        if name == INSTRUMENT.name:
            return [self._number(event.instrument) for event in events]
        return None

    def _number(self, instrument: Instrument) -> int:
        """An instrument's number: one for all objects that say the same."""
        number = self._numbers.get(instrument)
        if number is None:
            number = self._instruments.setdefault(msgspec.structs.astuple(instrument), len(self._instruments))
            if len(self._numbers) >= _MOST_OBJECTS:
                self._numbers.clear()
            self._numbers[instrument] = number
        return number

    def _flush(self, partition: _Partition) -> None:
        """Write what is packed of one partition to a file beside."""
        import polars as pl

        if not partition.packed:
            return
        frame = pl.concat(partition.packed)
        partition.files += 1
        path = f"{partition.folder}/{self.origin}-{partition.files:04d}.parquet"
        self._write(path, frame, partition.table.name)
        at_ns = frame["at_ns"]
        self._parts.append(Part(path, partition.table.name, partition.venue, len(frame), int(at_ns[0]), int(at_ns[-1])))
        self._packed -= partition.rows
        partition.packed, partition.rows = [], 0

    def _write(self, path: str, frame: pl.DataFrame, table: str) -> None:
        import polars as pl

        target = self._staging / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(
                target,
                compression="zstd",
                compression_level=_LEVEL,
                row_group_size=ROW_GROUP,
                statistics=True,
                metadata={"monitor.version": str(VERSION), "monitor.table": table, "monitor.origin": self.origin},
            )
            with target.open("rb") as file:
                os.fsync(file.fileno())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TapeError(str(error), str(self._folder / path)) from None

    def _staged(self) -> list[str]:
        """What was written beside."""
        return sorted(str(path.relative_to(self._staging)) for path in self._staging.rglob("*.parquet"))

    def _final(self, path: str) -> str:
        """The name of a staged file in the archive."""
        return f"{path.removesuffix('.parquet')}-{checksum(self._staging / path):08x}.parquet"

    def _publish(self, manifest: Manifest, names: Mapping[str, str]) -> Manifest:
        """Move the files, then let the manifest say so, then remove what it replaces; one process at a time."""
        with _alone(self._folder):
            return self._published(manifest, names)

    def _published(self, manifest: Manifest, names: Mapping[str, str]) -> Manifest:
        counting = read_manifests(self._folder)
        double = overlaps(manifest, counting)
        if double and not self._replace:
            raise TapeError(_twice(double[0]), str(self._folder))
        others = {digest: other for digest, other in read_all(self._folder).items() if other.origin != self.origin}
        gone = {digest: other for digest, other in others.items() if other in double or other not in counting}
        manifest = msgspec.structs.replace(manifest, replaces=tuple(sorted(gone)))
        for staged, name in names.items():
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self._staging / staged).replace(target)
        for folder in sorted({(self._folder / name).parent for name in names.values()}):
            _sync_folder(folder)
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        _write_whole(manifest_path(self._folder, self.origin), data)
        self._tidy(gone.values())
        return manifest

    def _tidy(self, gone: Iterable[Manifest]) -> None:
        """Remove what counts no more: manifests that were replaced, then files that no manifest names."""
        for manifest in gone:
            manifest_path(self._folder, manifest.origin).unlink(missing_ok=True)
        named = {name for manifest in read_all(self._folder).values() for name in manifest.paths}
        for table in (INSTRUMENTS, *ALL_TABLES):
            for path in (self._folder / table).rglob("*.parquet"):
                if _OURS.fullmatch(path.name) and str(path.relative_to(self._folder)) not in named:
                    path.unlink(missing_ok=True)

    def _write_instruments(self) -> None:
        import polars as pl

        names = Instrument.__struct_fields__
        rows = [
            instrument_row(self.origin, number, dict(zip(names, facts, strict=True)))
            for facts, number in self._instruments.items()
        ]
        schema = polars_schema([(name, kind) for name, kind, _ in INSTRUMENT_COLUMNS])
        self._write(self._items, pl.DataFrame(rows, schema=schema, orient="row"), "instruments")

    @property
    def _items(self) -> str:
        """Where the instruments are written beside."""
        return f"{INSTRUMENTS}/{self.origin}.parquet"


def _twice(other: Manifest) -> str:
    return (
        f"rows would count twice: {other.origin} ({other.source}) holds the same data for part of this time; "
        "give another folder, or --replace"
    )


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process puts files into the archive meanwhile, where the system has locks that die with their holder."""
    with (folder / ".lock").open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """Have the disk keep the names in a folder, against a loss of power, where the system can say so."""
    if hasattr(os, "O_DIRECTORY"):
        fd = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _date(day: int) -> str:
    import datetime as dt

    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


__all__ = ["FOLDER", "ArchiveWriter", "Limits"]
