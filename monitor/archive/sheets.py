"""Rows of a CSV or Parquet file, each with its place, so that what is wrong with one can be shown."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from monitor.errors import ConfigError, Problem

_OTHER_CODE = "it has bytes that are not UTF-8: save it as UTF-8"
_PLAIN = "%Y-%m-%dT%H:%M:%S%.9f"
_ZONED = f"{_PLAIN}%:z"


class Raw(NamedTuple):
    """One row of the file.

    Attributes:
        number: The line of a CSV file, the row of a Parquet file; both from 1.
        text: The line, if there is one.
        values: By the file's columns.
        fault: Not empty when the row as a whole is wrong.
    """

    number: int
    text: str
    values: Mapping[str, Any]
    fault: str = ""


def read_rows(path: Path) -> tuple[list[str], Iterator[Raw]]:
    """Columns and rows of a CSV (``.csv``) or Parquet (``.parquet``) file.

    Raises:
        ConfigError: It cannot be read, or is neither.
    """
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise ConfigError([Problem(str(path), 0, 0, f"{path.suffix or 'no suffix'}: expected .csv or .parquet")])
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"cannot read it: {error.strerror or error}")]) from None


def _csv_rows(path: Path) -> tuple[list[str], Iterator[Raw]]:
    with _opened(path) as file:
        try:
            columns = next(csv.reader(file), [])
        except csv.Error as error:
            raise ConfigError([Problem(str(path), 1, 0, f"not CSV in UTF-8: {error}")]) from None
    if not columns or len(set(columns)) < len(columns):
        raise ConfigError([Problem(str(path), 1, 1, "expected a header with the names of the columns, each once")])
    if not _is_text(columns):
        raise ConfigError([Problem(str(path), 1, 0, _OTHER_CODE)])
    return columns, _csv_body(path, columns)


def _opened(path: Path) -> TextIO:
    """With bytes that are not UTF-8 kept, so that they are the fault of their row and not of the file."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _is_text(fields: Iterable[str]) -> bool:
    whole = "".join(fields)
    return whole.isascii() or not any("\ud800" <= char <= "\udfff" for char in whole)


def _csv_body(path: Path, columns: Sequence[str]) -> Iterator[Raw]:
    with _opened(path) as file:
        lines = _Lines(file)
        reader = csv.reader(lines)
        next(reader, None)
        try:
            for row in reader:
                if row:
                    text = lines.text.encode(errors="backslashreplace").decode()
                    yield Raw(reader.line_num, text, dict(zip(columns, row, strict=False)), _fault(row, columns))
        except csv.Error as error:
            raise ConfigError([Problem(str(path), reader.line_num, 0, f"not CSV: {error}")]) from None


def _fault(row: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with a row as a whole; empty where nothing is."""
    if len(row) != len(columns):
        return f"{len(row)} fields, but the header has {len(columns)}"
    return "" if _is_text(row) else _OTHER_CODE


class _Lines:
    """The lines of a file, the last one kept."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self.text = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.text = line.rstrip("\r\n")
            yield line


def _parquet_rows(path: Path) -> tuple[list[str], Iterator[Raw]]:
    import polars as pl

    try:
        columns = list(pl.read_parquet_schema(path))
        frame = pl.read_parquet(path, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        words = str(error).splitlines()[0]
        raise ConfigError([Problem(str(path), 0, 0, f"not Parquet: {words}")]) from None
    frame = frame.with_columns(
        pl.col(name).dt.strftime(_ZONED if kind.time_zone else _PLAIN)  # a `datetime` has no nanoseconds
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Datetime)
    )
    rows = (Raw(number, "", row) for number, row in enumerate(frame.iter_rows(named=True), start=1))
    return columns, rows


def field_span(line: str, place: int) -> tuple[int, int]:
    """Where the field at a place begins in a line of CSV, and how wide it is.

    >>> field_span('a,"b,c",d', 2), field_span('a,"b,c",d', 1)
    ((8, 1), (2, 5))
    """
    start, number, quoted = 0, 0, False
    for at, char in enumerate(line):
        quoted ^= char == '"'
        if char == "," and not quoted:
            if number == place:
                return start, at - start
            start, number = at + 1, number + 1
    return (start, len(line) - start) if number == place else (max(len(line) - 1, 0), 1)
