r"""The one format of what users push in: rows of name, value, time, unit, source and revision. Pure.

As JSON lines, a JSON array, CSV with a header, or Parquet. A bad row is refused by itself, with its number and a reason;
the good ones are kept. ``docs/inlet.md`` is the users' page.

A ``name`` that is a gauge of `monitor.series` with its labels in braces goes to that series; any other name becomes
``external{name="..."}``::

    {"name": "etf_flow{asset=\"BTC\"}", "value": -903000000, "ts": "2025-11-20T21:00:00Z", "unit": "USD", "source": "desk"}
    {"name": "spx", "value": 6538.76, "ts": 1763672400, "unit": "price", "source": "desk"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any

import msgspec

from monitor.clock import NS_PER_S
from monitor.events import Labels, Sample
from monitor.inlets.payloads import MAX_ROWS, RowRefused, open_payload
from monitor.series import NEVER_NEGATIVE, SERIES, SeriesSpec, Unit

AHEAD_NS = 300 * NS_PER_S
EARLIEST_NS = 946_684_800 * NS_PER_S
FRESH_NS = 2 * NS_PER_S

COLUMNS = ("name", "value", "ts", "unit", "source", "revision")
PUSHED = (
    "external",
    "etf_flow",
    "market_cap",
    "sector_cap",
    "stablecoin_supply",
    "stablecoin_price",
    "tvl",
    "long_short_ratio",
)
"""Series that rows may name; the page for users lists them."""
TOO_MANY = RowRefused("too_large", f"more than {MAX_ROWS} rows")
UNITS = frozenset(unit.value for unit in Unit)

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.:/^-]{0,63})(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*([a-z_][a-z0-9_]*)\s*=\s*"([^"\\]{0,100})"\s*(?:,|$)')
_DIGITS = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)

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


class Row(msgspec.Struct, frozen=True, gc=False):
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
    try:
        raw = list(islice(open_payload(payload, kind), MAX_ROWS + 1))
    except RowRefused as error:
        return unreadable(error)
    if len(raw) > MAX_ROWS:
        return unreadable(TOO_MANY)
    return read_rows(raw, recv_ns, default_source)


def unreadable(error: RowRefused) -> Reading:
    """A payload of which nothing is taken."""
    return Reading(refused=(Refusal(0, error.reason, error.detail),))


def read_rows(raw: Iterable[object], recv_ns: int, default_source: str = "inlet", first: int = 1) -> Reading:
    """Validate decoded rows one by one; a `RowRefused` in the place of a row is a refusal. The numbers begin with `first`."""
    rows, refused = [], []
    for number, item in enumerate(raw, start=first):
        try:
            rows.append(Row(number, *_row(item, recv_ns, default_source)))
        except RowRefused as error:
            refused.append(Refusal(number, error.reason, error.detail))
    return Reading(tuple(rows), tuple(refused))


def in_time_order(row: Row) -> tuple[int, int]:
    """Order in which rows are taken: of one time, the higher revision later."""
    return row.sample.ts_ns, row.revision


@dataclass(slots=True)
class Revisions:
    """Keeps the newest revision of every value, so that a file may be read again and a correction may follow.

    The same value again is passed over in silence (counted in ``repeats``); another value needs a higher revision, and a
    name of the user's own keeps the unit that it was first given. Bounded: of each label set the newest `keep` times are
    remembered, and at most as many more; the label sets themselves are `most` at most, because the engine keeps a place
    for each.
    """

    keep: int = 1000
    most: int = 10_000
    repeats: int = 0
    _known: dict[tuple[str, Labels], dict[int, tuple[int, float]]] = field(default_factory=dict)
    _units: dict[tuple[str, Labels], str] = field(default_factory=dict)

    def accept(self, reading: Reading) -> tuple[list[Row], list[Refusal]]:
        """Rows to take in time order, and refusals with those of the reading first."""
        taken, refused = [], list(reading.refused)
        for row in sorted(reading.rows, key=in_time_order):
            key = row.sample.series, row.sample.labels
            unit = self._units.get(key, row.unit)
            if row.unit not in ("", unit):
                detail = f"{dict(row.sample.labels).get('name', row.sample.series)} was given in {unit}, not {row.unit}"
                refused.append(Refusal(row.number, "bad_unit", detail))
                continue
            if key not in self._known and len(self._known) >= self.most:
                detail = f"{self.most:,} names with their labels are known, and no further one is taken"
                refused.append(Refusal(row.number, "too_many_names", detail))
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
            if len(times) > 2 * self.keep:  # seldom, and then many: looking for the oldest costs as much for one
                for old_ns in sorted(times)[: -self.keep]:
                    del times[old_ns]
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
    if not isinstance(source, str) or len(source) > 100 or not source.isprintable():
        raise RowRefused("bad_source", "source must be a printable text of at most 100 characters")
    series, labels = _target(_required(item, "name"), source)
    unit = _unit(item.get("unit"), SERIES[series])
    value = _value(_required(item, "value"))
    if value < 0 and series in NEVER_NEGATIVE:
        raise RowRefused("bad_value", f"{series} is never negative")
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
    if word not in PUSHED:
        raise RowRefused("not_yours", f"{word} comes from feeds or is worked out from others, and cannot be pushed in")
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
        if not match[2].isprintable():
            raise RowRefused("bad_labels", f"the label {match[1]} holds characters that do not print")
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
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise RowRefused("bad_value", "value must be a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise RowRefused("bad_value", f"not a number: {value[:40]!r}")
    try:
        number = float(value)
    except OverflowError:
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
    try:
        number = float(value)
    except OverflowError:
        raise RowRefused("bad_time", "ts is too large") from None
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
