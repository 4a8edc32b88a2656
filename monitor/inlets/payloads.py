"""Bytes of one payload into its rows as they stand, one by one: JSON, CSV, Parquet. Pure.

A row that cannot be read stands in the stream as the `RowRefused` that says why, so that those after it are read. Opening may
take long for a large payload; what comes out of it is read as far as it is asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 100_000
LONGEST_TEXT = 2000
"""Nothing that is longer can be right; a few kilobytes of Parquet can hold a gigabyte of it."""

_BOM = b"\xef\xbb\xbf"


class RowRefused(Exception):
    """One row is bad; caught per row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def open_payload(payload: bytes, kind: str) -> Iterator[object]:
    """The rows of a payload.

    Args:
        payload: The bytes as they came.
        kind: ``json`` (an object, an array, or one object a line), ``csv`` or ``parquet``.

    Raises:
        RowRefused: It cannot be read at all, or is too large.
    """
    if len(payload) > MAX_BYTES:
        raise RowRefused("too_large", f"{len(payload)} bytes; at most {MAX_BYTES}")
    readers: dict[str, Callable[[bytes], Iterator[object]]] = {"json": _json, "csv": _csv, "parquet": _parquet}
    return readers[kind](payload)


def _json(payload: bytes) -> Iterator[object]:
    """An array, one object that may take several lines, or one object a line."""
    payload = payload.removeprefix(_BOM)
    if payload.lstrip()[:1] == b"[":
        return map(_element, _decoded(payload, list[msgspec.Raw]))
    try:
        return iter([_decoded(payload, dict[str, Any])])
    except RowRefused:
        return map(_element, filter(bytes.strip, payload.splitlines()))


def _element(data: bytes | msgspec.Raw) -> object:
    try:
        return _decoded(data, Any)
    except RowRefused as error:
        return error


def _decoded(data: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RowRefused("malformed", f"not JSON: {str(error)[:100]}") from None


def _csv(payload: bytes) -> Iterator[object]:
    """Bytes that are no UTF-8 cost the row that they stand in."""
    text = payload.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = list(reader.fieldnames or ())
    except csv.Error as error:
        raise RowRefused("malformed", f"not CSV in UTF-8: {error}") from None
    missing = [name for name in ("name", "value", "ts") if name not in names]
    if missing:
        raise RowRefused("malformed", f"the header lacks {', '.join(missing)}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RowRefused("malformed", f"the header has {', '.join(twice)[:100]} twice")
    return _csv_rows(reader)


def _csv_rows(reader: csv.DictReader[str]) -> Iterator[object]:
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowRefused("malformed", f"not CSV: {str(error)[:100]} (line {reader.reader.line_num})")
            continue
        if None in row:
            yield RowRefused("malformed", f"more fields than the header (line {reader.reader.line_num})")
        elif any(value is not None and not value.isascii() and _is_broken(value) for value in row.values()):
            yield RowRefused("malformed", f"not UTF-8 (line {reader.reader.line_num})")
        else:
            yield row


def _is_broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _parquet(payload: bytes) -> Iterator[object]:
    import polars as pl  # heavy, and only needed for this format

    try:
        lazy = pl.scan_parquet(io.BytesIO(payload))
        count = lazy.select(pl.len()).collect().item()  # of the file's foot: cheap
        if count > MAX_ROWS:  # a few kilobytes can hold a billion equal rows
            raise RowRefused("too_large", f"{count} rows; at most {MAX_ROWS}")
        return lazy.with_columns(pl.col(pl.String).str.slice(0, LONGEST_TEXT)).collect().iter_rows(named=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise RowRefused("malformed", f"not Parquet: {str(error)[:100]}") from None
