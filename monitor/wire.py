"""What the bytes of all venues share: numbers and times within bounds, and rows of which a bad one fails alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from monitor.clock import NS_PER_MS
from monitor.errors import DecodeError
from monitor.events import MarketEvent
from monitor.feed import Bad
from monitor.instruments import Instrument

T = TypeVar("T")

Number = float | str | None
"""A gauge on the wire: a JSON number, a decimal string, or nothing (null and the empty string)."""

_LATEST_MS = 4_102_444_800_000  # the year 2100: later times are garbage and would not fit signed nanoseconds
_LARGEST_POWER = 15  # one quantity or price; keeps every product within signed 64-bit micro-dollars or detectably out
_LARGEST_GAUGE = 1e15


def exact(value: Decimal) -> Decimal:
    """Check a quantity or price before arithmetic.

    Raises:
        DecodeError: It is not a number, not finite, or absurdly large.
    """
    if not value.is_finite() or value.adjusted() > _LARGEST_POWER:
        raise DecodeError("out_of_range", f"{value!s:.40}")
    return value


def positive(value: Decimal) -> Decimal:
    """`exact`, and greater than zero.

    Raises:
        DecodeError: It is not.
    """
    if exact(value) <= 0:
        raise DecodeError("out_of_range", f"{value!s:.40} is not positive")
    return value


def gauge(value: Number) -> float | None:
    """A finite float; None for null and for the empty string, which venues write for "does not apply".

    Raises:
        DecodeError: The text is no number, or one that no market can have.
    """
    if isinstance(value, float):
        number = value
    elif value is None or value == "":
        return None
    else:
        try:
            number = float(value)
        except ValueError:
            raise DecodeError("wrong_type", f"{value!r:.40} is no number") from None
    if not -_LARGEST_GAUGE < number < _LARGEST_GAUGE:  # false for what is not a number, too
        raise DecodeError("out_of_range", f"{value!r:.40}")
    return number


def ms_ns(value: float | str) -> int:
    """Unix milliseconds, possibly as text, to nanoseconds.

    Raises:
        DecodeError: It is no number or not between 1970 and 2100.
    """
    try:
        ms = int(value)
    except (ValueError, OverflowError):
        raise DecodeError("wrong_type", f"{value!r:.40} is no time") from None
    if not 0 <= ms < _LATEST_MS:
        raise DecodeError("out_of_range", f"time {value!r:.40}")
    return ms * NS_PER_MS


def iso_ns(text: str) -> int:
    """An ISO 8601 time (UTC where it names no zone) to unix nanoseconds, to the microsecond.

    Raises:
        DecodeError: It is no time or not between 1970 and 2100.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError("wrong_type", f"{text!r:.40} is no time") from None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    ns = round(seconds * 1e6) * 1_000  # a float holds the microseconds of this century exactly enough to round
    if not 0 <= ns < _LATEST_MS * NS_PER_MS:
        raise DecodeError("out_of_range", f"time {text!r:.40}")
    return ns


def read(decoder: msgspec.json.Decoder[T], data: bytes | str | msgspec.Raw) -> T:
    """Decode JSON into the decoder's type.

    Raises:
        DecodeError: ``malformed``, ``missing_field`` or ``wrong_type``; nothing else escapes, whatever the bytes.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        words = str(error)
        raise DecodeError("missing_field" if "missing required" in words else "wrong_type", words) from None
    except (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError) as error:
        raise DecodeError("malformed", str(error)[:200]) from None


class Rows(Generic[T]):
    """Decodes a JSON array of rows at once, and row by row only when one of them is bad.

    Args:
        row: What one is.
        strict: Whether a number in a string is a wrong type, as it is unless a field says `Number`.
    """

    def __init__(self, row: type[T], *, strict: bool = True) -> None:
        self._all = msgspec.json.Decoder(list[row], strict=strict)  # type: ignore[valid-type]  # the class is a value here
        self._raw = msgspec.json.Decoder(list[msgspec.Raw])
        self._one: msgspec.json.Decoder[T] = msgspec.json.Decoder(row, strict=strict)

    def decode(self, data: msgspec.Raw | bytes, bad: Bad) -> list[T]:
        """The good rows; each bad one is given to `bad`.

        Raises:
            DecodeError: It is no array.
        """
        try:
            return self._all.decode(data)
        except (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError):
            return self._salvage(data, bad)

    def readable(self, data: msgspec.Raw | bytes) -> list[T]:
        """The good rows of a listing; what a bad one describes stays unknown, and its events are counted as such.

        Raises:
            DecodeError: It is no array.
        """
        return self.decode(data, leave_out)

    def strict(self, data: msgspec.Raw | bytes) -> list[T]:
        """All rows.

        Raises:
            DecodeError: It is no array, or a row is bad.
        """
        return self.decode(data, _refuse)

    def _salvage(self, data: msgspec.Raw | bytes, bad: Bad) -> list[T]:
        rows = []
        for raw in read(self._raw, data):
            try:
                rows.append(read(self._one, raw))
            except DecodeError as error:
                bad(error)
        return rows


def row_by_row(rows: Iterable[T], build: Callable[[T], Iterable[MarketEvent]], bad: Bad) -> list[MarketEvent]:
    """Events of every row; a row with impossible values is given to `bad`."""
    events: list[MarketEvent] = []
    for row in rows:
        try:
            events += build(row)
        except DecodeError as error:
            bad(error)
    return events


def leave_out(error: DecodeError) -> None:
    """Of a listing or a ranking: what the row describes is not known; see `Rows.readable`."""


def _refuse(error: DecodeError) -> None:
    raise error


def listed(rows: Iterable[T], build: Callable[[T], Instrument]) -> list[Instrument]:
    """An instrument for each row that makes one; a row with impossible values is left out, as in `Rows.readable`."""
    found = []
    for row in rows:
        with suppress(DecodeError, ArithmeticError):
            found.append(build(row))
    return found
