"""What a data file must hold to be what its manifest says; words for what is wrong, empty where nothing is.

A file that some other program rewrote has a right checksum all the same: a dollar amount that became text, a null or a row
out of order must be an error with its place, not a wrong number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from monitor.archive.manifest import Part
from monitor.archive.schema import COMMON, Table, polars_schema

if TYPE_CHECKING:
    import polars as pl


def wrong_columns(schema: Mapping[str, pl.DataType], table: Table) -> str:
    """What is wrong with the columns of a file; those that nobody asks for may be there, too."""
    import polars as pl

    for name, wanted in _schema(table).items():
        found = schema.get(name)
        if found is None:
            return f"no column {name!r}, which {table.name} have"
        texts = isinstance(wanted, pl.Enum) and found in (pl.String, pl.Enum, pl.Categorical)
        if found != wanted and not texts:
            return f"column {name!r} is {found}, expected {wanted}"
    return ""


def with_words(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The rows with every text that is one of some words as just that.

    Raises:
        polars.exceptions.PolarsError: A text is none of them.
    """
    import polars as pl

    words = {name: kind for name, kind in _schema(table).items() if isinstance(kind, pl.Enum) and name in frame.columns}
    return frame.cast(words)  # type: ignore[arg-type]  # a mapping is invariant in its keys


def wrong_rows(frame: pl.DataFrame, part: Part) -> str:
    """What is wrong with rows that follow each other in a file."""
    empty = [column.name for column in frame if column.null_count()]
    if empty:
        return f"column {empty[0]!r} has no value in some row"
    if not frame["at_ns"].is_sorted() or not frame["seq"].is_sorted():
        return "its rows are not in the order of arrival"
    if len(frame) and (frame["at_ns"][0] < part.first_ns or frame["at_ns"][-1] > part.last_ns):
        return "it has rows of another time than its manifest says"
    return ""


def _schema(table: Table) -> dict[str, pl.DataType]:
    return polars_schema([(column.name, column.kind) for column in (*COMMON, *table.columns)])
