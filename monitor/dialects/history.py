"""Rows of REST history: which columns hold the time and the value; what candles, rates and open interest share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.errors import DecodeError
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS
from monitor.wire import gauge, ms_ns, read

_ROWS: msgspec.json.Decoder[list[list[Any]]] = msgspec.json.Decoder(list[list[Any]])
_RECORDS: msgspec.json.Decoder[list[dict[str, Any]]] = msgspec.json.Decoder(list[dict[str, Any]])

BARS: Mapping[int, str] = {MINUTE_NS: "1m", 5 * MINUTE_NS: "5m", HOUR_NS: "1h", DAY_NS: "1d"}
"""Distances of candles as most venues write them."""
HOURS: Mapping[int, str] = {5 * MINUTE_NS: "5m", HOUR_NS: "1h", DAY_NS: "1d"}
"""Distances of open interest as most venues write them."""
SETTLEMENTS: Mapping[int, str] = {HOUR_NS: ""}
"""Funding is settled every hour at the oftenest."""


def arrays(
    body: bytes | msgspec.Raw, time: int, value: int, later_ns: int = 0, unit_ns: int = NS_PER_MS
) -> Iterator[tuple[int, float]]:
    """(unix ns, value) of rows that are arrays; `time` and `value` are columns.

    Args:
        body: A JSON array of arrays.
        time: Column of the time; a candle's opening.
        value: Column of the value.
        later_ns: From that time to when the value held: a candle's length.
        unit_ns: The unit of the time; milliseconds.

    Raises:
        DecodeError: The reply has another shape.
    """
    for row in read(_ROWS, body):
        if len(row) <= max(time, value):
            raise DecodeError("missing_field", f"a row of {len(row)} columns")
        yield ms_ns(number(row[time]) * unit_ns / NS_PER_MS) + later_ns, number(row[value])


def records(
    body: bytes | msgspec.Raw, time: str, value: str, later_ns: int = 0, unit_ns: int = NS_PER_MS
) -> Iterator[tuple[int, float]]:
    """As `arrays`, of rows that are objects; `unit_ns` is the unit of the time.

    Raises:
        DecodeError: The reply has another shape.
    """
    for row in read(_RECORDS, body):
        if time not in row or value not in row:
            raise DecodeError("missing_field", f"a row without {time} or {value}")
        if row[value] is not None:
            yield ms_ns(number(row[time]) * unit_ns / NS_PER_MS) + later_ns, number(row[value])


def listed_rows(body: bytes | msgspec.Raw) -> list[dict[str, Any]]:
    """Rows as they are.

    Raises:
        DecodeError: It is no array of objects.
    """
    return read(_RECORDS, body)


def number(value: Any) -> float:
    """A number that has to be there.

    Raises:
        DecodeError: It is missing, no number, or one that no market can have.
    """
    found = gauge(
        value if isinstance(value, float | str) or value is None else float(value) if isinstance(value, int) else "?"
    )
    if found is None:
        raise DecodeError("missing_field", "a row without its value")
    return found


def iso_ms(ts_ns: int) -> str:
    """A time to the millisecond as ISO 8601 in UTC, fit for an address."""
    moment = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).replace(microsecond=ts_ns // 1000 % 1_000_000)
    return quote(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def settled(values: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Settlements on their whole minute: venues note them some milliseconds late."""
    for ts_ns, value in values:
        yield round(ts_ns / MINUTE_NS) * MINUTE_NS, value
