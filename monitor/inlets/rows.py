r"""The one format of what users push in: rows of name, value, time, unit, source and revision. Pure.

As JSON lines, a JSON array, CSV with a header, or Parquet. A bad row is refused by itself, with its number and a reason;
the good ones are kept. ``docs/inlet.md`` is the users' page.

A ``name`` that is a gauge of `monitor.series` with its labels in braces goes to that series; any other name becomes
``external{name="..."}``::

    {"name": "etf_flow{asset=\"BTC\"}", "value": -903000000, "ts": "2025-11-20T21:00:00Z", "unit": "USD", "source": "desk"}
    {"name": "spx", "value": 6538.76, "ts": 1763672400, "unit": "price", "source": "desk"}
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from typing import Any

import msgspec

from monitor.clock import NS_PER_S
from monitor.events import Labels, Sample
from monitor.series import SERIES, SeriesSpec, Unit

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 100_000
AHEAD_NS = 300 * NS_PER_S
EARLIEST_NS = 946_684_800 * NS_PER_S
FRESH_NS = 2 * NS_PER_S

COLUMNS = ("name", "value", "ts", "unit", "source", "revision")
UNITS = frozenset(unit.value for unit in Unit)

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.:/^-]{0,63})(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*([a-z_][a-z0-9_]*)\s*=\s*"([^"\\]{0,100})"\s*(?:,|$)')
_DIGITS = re.compile(r"-?\d+(\.\d+)?")

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "One row of the inlet",
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "value", "ts"],
    "properties": {
        "name": {
            "type": "string",
            "description": 'a series with labels, as etf_flow{asset="BTC"}, or a name of your own',
        },
        "value": {"type": ["number", "string"], "description": "a finite number"},
        "ts": {"type": ["number", "string"], "description": "ISO 8601 with a zone, or unix s, ms, us or ns"},
        "unit": {"type": "string", "enum": sorted(UNITS), "description": "checked against the series' unit"},
        "source": {"type": "string", "maxLength": 100, "description": "who says so; shown in alerts"},
        "revision": {
            "type": ["integer", "string"],
            "description": "0 at first; a higher one replaces an earlier value",
        },
    },
}
"""JSON schema of a row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A good row: its number as in `Refusal`, the sample, which revision of its value it is, and the unit it names."""

    number: int
    sample: Sample
    revision: int
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not taken: its number (from 1; a CSV's header is not counted), a metric label, and why."""

    number: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one payload."""

    rows: tuple[Row, ...] = ()
    refused: tuple[Refusal, ...] = ()


class RowRefused(Exception):
    """One row is bad; caught per row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_payload(payload: bytes, kind: str, recv_ns: int, default_source: str = "inlet") -> Reading:
    """Read one payload.

    Args:
        payload: The bytes as they came.
        kind: ``json`` (an object, an array, or one object a line), ``csv`` or ``parquet``.
        recv_ns: Time of receipt.
        default_source: Where rows do not name their source.

    Returns:
        Good rows and refusals. A payload that cannot be read at all is one refusal with number 0.
    """
    if len(payload) > MAX_BYTES:
        return Reading(refused=(Refusal(0, "too_large", f"{len(payload)} bytes; at most {MAX_BYTES}"),))
    readers = {"json": _json_rows, "csv": _csv_rows, "parquet": _parquet_rows}
    try:
        raw = list(islice(readers[kind](payload), MAX_ROWS + 1))
    except RowRefused as error:
        return Reading(refused=(Refusal(0, error.reason, error.detail),))
    if len(raw) > MAX_ROWS:
        return Reading(refused=(Refusal(0, "too_large", f"more than {MAX_ROWS} rows"),))
    return read_rows(raw, recv_ns, default_source)


def read_rows(raw: Iterable[object], recv_ns: int, default_source: str = "inlet") -> Reading:
    """Validate decoded rows one by one; a `RowRefused` in the place of a row is a refusal."""
    rows, refused = [], []
    for number, item in enumerate(raw, start=1):
        try:
            rows.append(Row(number, *_row(item, recv_ns, default_source)))
        except RowRefused as error:
            refused.append(Refusal(number, error.reason, error.detail))
    return Reading(tuple(rows), tuple(refused))


@dataclass(slots=True)
class Revisions:
    """Keeps the newest revision of every value, so that a file may be read again and a correction may follow.

    The same value again is passed over in silence (counted in ``repeats``); another value needs a higher revision, and a
    name of the user's own keeps the unit that it was first given. Bounded: of each label set the newest `keep` times are
    remembered.
    """

    keep: int = 1000
    repeats: int = 0
    _known: dict[tuple[str, Labels], dict[int, tuple[int, float]]] = field(default_factory=dict)
    _units: dict[tuple[str, Labels], str] = field(default_factory=dict)

    def accept(self, reading: Reading) -> tuple[list[Row], list[Refusal]]:
        """Rows to take in time order, and refusals with those of the reading first."""
        taken, refused = [], list(reading.refused)
        for row in sorted(reading.rows, key=lambda row: (row.sample.ts_ns, row.revision)):
            key = row.sample.series, row.sample.labels
            unit = self._units.get(key, row.unit)
            if row.unit not in ("", unit):
                detail = f"{dict(row.sample.labels).get('name', row.sample.series)} was given in {unit}, not {row.unit}"
                refused.append(Refusal(row.number, "bad_unit", detail))
                continue
            times = self._known.setdefault(key, {})
            known = times.get(row.sample.ts_ns)
            if known == (row.revision, row.sample.value):
                self.repeats += 1
                continue
            if known is not None and row.revision <= known[0]:
                detail = f"another value is known as revision {known[0]}; send a higher revision to correct it"
                refused.append(Refusal(row.number, "old_revision", detail))
                continue
            times[row.sample.ts_ns] = row.revision, row.sample.value
            if len(times) > self.keep:
                del times[min(times)]
            if unit:
                self._units[key] = unit
            taken.append(row)
        return taken, refused


def written(row: Row) -> dict[str, Any]:
    """The row as it could have been pushed; reading that gives the row again."""
    sample, labels = row.sample, dict(row.sample.labels)
    said = ", ".join(f'{name}="{value}"' for name, value in sample.labels)
    name = labels["name"] if sample.series == "external" else f"{sample.series}{{{said}}}"
    item = {"name": name, "value": sample.value, "ts": sample.ts_ns, "source": sample.source, "revision": row.revision}
    return item | {"unit": row.unit} if row.unit else item


def _row(item: object, recv_ns: int, default_source: str) -> tuple[Sample, int, str]:
    if isinstance(item, RowRefused):
        raise item
    if not isinstance(item, Mapping):
        raise RowRefused("wrong_type", f"a row must be an object, not {type(item).__name__}")
    unknown = sorted(str(key) for key in item if key not in COLUMNS)
    if unknown:
        raise RowRefused("unknown_field", f"unknown field {', '.join(unknown)[:100]}")
    source = item.get("source") or default_source
    if not isinstance(source, str) or len(source) > 100:
        raise RowRefused("bad_source", "source must be a text of at most 100 characters")
    series, labels = _target(_required(item, "name"), source)
    unit = _unit(item.get("unit"), SERIES[series])
    value = _value(_required(item, "value"))
    ts_ns = _time_ns(_required(item, "ts"), recv_ns)
    revision = _revision(item.get("revision"))
    backfill = recv_ns - ts_ns > FRESH_NS
    return Sample(series, labels, value, min(ts_ns, recv_ns), recv_ns, source, backfill), revision, unit


def _required(item: Mapping[Any, Any], name: str) -> object:
    value = item.get(name)
    if value is None or value == "":
        raise RowRefused("missing_field", f"{name} is missing")
    return value


def _target(name: object, source: str) -> tuple[str, Labels]:
    """Series and labels that a name stands for."""
    match = _NAME.fullmatch(name.strip()) if isinstance(name, str) else None
    if match is None:
        raise RowRefused("bad_name", f"not a name: {str(name)[:60]!r}")
    word, written = match[1], match[2]
    spec = SERIES.get(word)
    if spec is None or word == "external":
        if written is not None:
            raise RowRefused("unknown_series", f"{word} is no series; labels are only for series")
        return "external", (("name", word), ("source", source))
    if spec.form == "events" or spec.channel.value != "reference" or word in ("feed_up", "self"):
        raise RowRefused("not_yours", f"{word} comes from feeds and cannot be pushed in")
    labels = dict(spec.defaults) | _labels(written or "")
    unknown = sorted(set(labels) - set(spec.labels))
    missing = sorted(set(spec.labels) - set(labels) - {"name"})
    if unknown or missing:
        raise RowRefused("bad_labels", f"{word} takes the labels {', '.join(spec.labels)}")
    return word, tuple(sorted(labels.items()))


def _labels(written: str) -> dict[str, str]:
    found, at = {}, 0
    while at < len(written.rstrip()):
        match = _LABEL.match(written, at)
        if match is None:
            raise RowRefused("bad_labels", f"cannot read the labels {written[:60]!r}")
        found[match[1]] = match[2]
        at = match.end()
    return found


def _unit(unit: object, spec: SeriesSpec) -> str:
    """The unit that a row names; empty where it names none."""
    if unit is None or unit == "":
        return ""
    if not isinstance(unit, str) or unit not in UNITS:
        raise RowRefused("bad_unit", f"{str(unit)[:30]!r} is none of {', '.join(sorted(UNITS))}")
    if Unit.ANY not in {spec.unit, Unit(unit)} and unit != spec.unit.value:
        raise RowRefused("bad_unit", f"{spec.name} is in {spec.unit.value}, not {unit}")
    return unit


def _value(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RowRefused("bad_value", "value must be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise RowRefused("bad_value", f"not a number: {str(value)[:40]!r}") from None
    if not isfinite(number):
        raise RowRefused("bad_value", "value must be finite")
    return number


def _time_ns(value: object, recv_ns: int) -> int:
    ts_ns = _parse_time(value)
    if ts_ns > recv_ns + AHEAD_NS:
        raise RowRefused("bad_time", "ts is in the future")
    if ts_ns < EARLIEST_NS:
        raise RowRefused("bad_time", "ts is before the year 2000")
    return ts_ns


def _parse_time(value: object) -> int:
    if isinstance(value, datetime):
        return _zoned_ns(value)
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        try:
            return _zoned_ns(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            raise RowRefused("bad_time", f"not an ISO time: {value[:40]!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RowRefused("bad_time", "ts must be an ISO time or a unix time")
    return _unix_ns(value)


def _unix_ns(value: float | str) -> int:
    """Seconds, milliseconds, microseconds or nanoseconds, told apart by size."""
    number = float(value)
    if not isfinite(number):
        raise RowRefused("bad_time", "ts must be finite")
    for unit_ns, below in ((NS_PER_S, 1e11), (1_000_000, 1e14), (1_000, 1e17), (1, 1e20)):
        if abs(number) < below:
            return int(value) * unit_ns if isinstance(value, int) else round(number * unit_ns)
    raise RowRefused("bad_time", "ts is too large")


def _zoned_ns(when: datetime) -> int:
    if when.tzinfo is None:
        raise RowRefused("bad_time", "an ISO time needs its zone, such as Z or +01:00")
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1000


def _revision(value: object) -> int:
    if value is None or value == "":
        return 0
    if not isinstance(value, bool) and isinstance(value, int | str) and re.fullmatch(r"\d{1,9}", str(value)):
        return int(value)
    raise RowRefused("bad_revision", "revision must be a whole number from 0")


def _json_rows(payload: bytes) -> Iterator[object]:
    """A JSON array, or JSON objects one a line (a single object is one line)."""
    if payload.lstrip()[:1] == b"[":
        yield from _decoded(payload, list[Any])
        return
    for line in payload.splitlines():
        if line.strip():
            try:
                yield _decoded(line, Any)
            except RowRefused as error:
                yield error


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RowRefused("malformed", f"not JSON: {str(error)[:100]}") from None


def _csv_rows(payload: bytes) -> Iterator[object]:
    try:
        text = payload.decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [name for name in ("name", "value", "ts") if name not in (reader.fieldnames or ())]
        if missing:
            raise RowRefused("malformed", f"the header lacks {', '.join(missing)}")
        for row in reader:
            yield row if None not in row else RowRefused("malformed", "more fields than the header")
    except (UnicodeDecodeError, csv.Error) as error:
        raise RowRefused("malformed", f"not CSV in UTF-8: {str(error)[:100]}") from None


def _parquet_rows(payload: bytes) -> Iterator[object]:
    import polars as pl  # heavy, and only needed for this format

    try:
        count = pl.scan_parquet(io.BytesIO(payload)).select(pl.len()).collect().item()  # of the file's foot: cheap
        if count > MAX_ROWS:  # a few kilobytes can hold a billion equal rows
            raise RowRefused("too_large", f"{count} rows; at most {MAX_ROWS}")
        yield from pl.read_parquet(io.BytesIO(payload)).iter_rows(named=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise RowRefused("malformed", f"not Parquet: {str(error)[:100]}") from None
