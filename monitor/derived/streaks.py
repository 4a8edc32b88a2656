"""Trading days in a row beyond a limit, as listing rules count them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from monitor.clock import NS_PER_S
from monitor.derived.holidays import SATURDAY, new_york_holidays
from monitor.derived.treasuries import is_number
from monitor.events import Labels, Sample

NEW_YORK = "America/New_York"

Closes = dict[str, tuple[int, float]]
"""By day: time and value of its last value."""


@dataclass(frozen=True, slots=True)
class StreakSpec:
    """Closes of ``external{name}`` on one side of a limit.

    Days are those of ``zone``. Weekends do not count, nor do ``holidays`` (ISO dates), nor, in New York, the holidays of
    its exchanges.
    """

    name: str
    limit: float
    side: Literal["below", "above"] = "below"
    zone: str = NEW_YORK
    holidays: Sequence[str | date] = ()

    def __post_init__(self) -> None:
        if not is_number(self.limit):
            raise ValueError(f"streak {self.name}: limit must be a number")
        if self.side not in ("below", "above"):
            raise ValueError(f"streak {self.name}: side must be below or above, not {self.side!r}")
        if self.zone not in available_timezones():
            raise ValueError(f"streak {self.name}: {self.zone!r} is no time zone, such as America/New_York")
        try:
            _dates(self.holidays)
        except (TypeError, ValueError):
            raise ValueError(f"streak {self.name}: holidays must be a list of dates, such as [2025-12-24]") from None

    def beyond(self, value: float) -> bool:
        """Whether a close is on the side that is counted."""
        return value < self.limit if self.side == "below" else value > self.limit


class Streak:
    """Counts trading days, for each giver of the series by itself.

    A day's close is its last value; a correction of a past day is taken into account. A trading day without any value
    neither lengthens nor ends a streak: missing is not a close.
    """

    def __init__(self, spec: StreakSpec, keep_days: int = 400) -> None:
        self.spec = spec
        self._zone = ZoneInfo(spec.zone)
        self._holidays = _dates(spec.holidays)
        self._keep = keep_days
        self._closes: dict[Labels, Closes] = {}

    def take(self, sample: Sample) -> Sample | None:
        """Take a value of the watched series; returns the streak as it now stands, None for any other sample."""
        if sample.series != "external" or dict(sample.labels).get("name") != self.spec.name:
            return None
        day = datetime.fromtimestamp(sample.ts_ns // NS_PER_S, UTC).astimezone(self._zone).date()
        if not self._trades(day):
            return None
        closes = self._closes.setdefault(sample.labels, {})
        known = closes.get(day.isoformat())
        if known is None or sample.ts_ns >= known[0]:
            closes[day.isoformat()] = sample.ts_ns, sample.value
        if len(closes) > self._keep:
            del closes[min(closes)]
        newest_ns = max(ts_ns for ts_ns, _ in closes.values())
        days = float(self._days(closes))
        return Sample("streak", sample.labels, days, newest_ns, sample.recv_ns, sample.source, sample.backfill)

    def memory(self) -> list[Any]:
        """The closes, as JSON."""
        return [[list(map(list, labels)), closes] for labels, closes in self._closes.items()]

    def recall(self, kept: Iterable[Any]) -> None:
        """Know the closes of a former run.

        Raises:
            TypeError, ValueError, AttributeError: It is no `memory`.
        """
        for labels, closes in kept:
            key: Labels = tuple((str(name), str(value)) for name, value in labels)
            self._closes[key] = {str(day): (int(ts_ns), float(value)) for day, (ts_ns, value) in closes.items()}

    def _trades(self, day: date) -> bool:
        closed = self.spec.zone == NEW_YORK and day in new_york_holidays(day.year)
        return day.weekday() < SATURDAY and not closed and day not in self._holidays

    def _days(self, closes: Closes) -> int:
        """Trading days in a row up to the newest."""
        newest_first = [closes[day][1] for day in sorted(closes, reverse=True)]
        return next((n for n, value in enumerate(newest_first) if not self.spec.beyond(value)), len(newest_first))


def _dates(days: Sequence[str | date]) -> frozenset[date]:
    if isinstance(days, str):
        raise TypeError(days)
    return frozenset(day if isinstance(day, date) else date.fromisoformat(day) for day in days)
