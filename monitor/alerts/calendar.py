"""Recurring spans of time in a time zone, in the shape of Alertmanager's time intervals."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")

Span = tuple[int, int]
"""First and last, both included."""


def _minutes(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None or text > "24:00":
        raise ValueError(f"{text!r} is no time of day; write 09:30, up to 24:00")
    return int(found[1]) * 60 + int(found[2])


def _spans(names: tuple[str, ...], first: int, last: int) -> Any:
    def number(text: str) -> int:
        if text in names:
            return names.index(text) + 1
        if re.fullmatch(r"-?\d+", text) and first <= int(text) <= last and int(text) != 0:
            return int(text)
        raise ValueError(f"{text!r} is none of {', '.join(names) if names else f'{first} to {last}'}")

    def span(text: Any) -> Span:
        begin, _, end = str(text).lower().partition(":")
        low = number(begin.strip())
        high = number(end.strip()) if end else low
        if (low > 0) == (high > 0) and low > high:
            raise ValueError(f"{text!r} ends before it begins")
        return low, high

    return BeforeValidator(lambda texts: tuple(span(text) for text in ([texts] if isinstance(texts, str) else texts)))


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}; write one of the IANA database, such as Europe/Berlin") from None
    return name


class TimeRange(BaseModel):
    """Part of a day, ``start_time`` included, ``end_time`` (up to 24:00) not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_time: Annotated[int, BeforeValidator(_minutes)]
    end_time: Annotated[int, BeforeValidator(_minutes)]


class TimeInterval(BaseModel):
    """All given fields must hold; a field that is left out holds always. ``location`` is an IANA time zone.

    Days of the month may count from its end: -1 is the last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    times: tuple[TimeRange, ...] = ()
    weekdays: Annotated[tuple[Span, ...], _spans(WEEKDAYS, 1, 7)] = ()
    days_of_month: Annotated[tuple[Span, ...], _spans((), -31, 31)] = ()
    months: Annotated[tuple[Span, ...], _spans(MONTHS, 1, 12)] = ()
    years: Annotated[tuple[Span, ...], _spans((), 1970, 9999)] = ()
    location: Annotated[str, AfterValidator(_known_zone)] = "UTC"

    def contains(self, now_ns: int) -> bool:
        """Whether the instant lies in it."""
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).astimezone(ZoneInfo(self.location))
        minute = now.hour * 60 + now.minute
        return (
            (not self.times or any(part.start_time <= minute < part.end_time for part in self.times))
            and _within(self.weekdays, now.isoweekday())
            and _within(self.months, now.month)
            and _within(self.years, now.year)
            and _day_within(self.days_of_month, now)
        )


def _within(spans: tuple[Span, ...], number: int) -> bool:
    return not spans or any(low <= number <= high for low, high in spans)


def _day_within(spans: tuple[Span, ...], now: datetime) -> bool:
    first_of_next = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    length = (first_of_next - datetime(now.year, now.month, 1, tzinfo=UTC)).days

    def day(number: int) -> int:
        return number if number > 0 else length + 1 + number

    return not spans or any(day(low) <= now.day <= day(high) for low, high in spans)
