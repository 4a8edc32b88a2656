"""How many trading days in a row a pushed-in series closed beyond a limit, as listing rules count them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from monitor.clock import NS_PER_S
from monitor.derived.treasuries import is_number
from monitor.events import Sample

SATURDAY = 5


@dataclass(frozen=True, slots=True)
class StreakSpec:
    """Closes of ``external{name}`` on one side of a limit; days are those of ``zone``, weekends do not count."""

    name: str
    limit: float
    side: Literal["below", "above"] = "below"
    zone: str = "America/New_York"

    def __post_init__(self) -> None:
        if not is_number(self.limit):
            raise ValueError(f"streak {self.name}: limit must be a number")
        if self.side not in ("below", "above"):
            raise ValueError(f"streak {self.name}: side must be below or above, not {self.side!r}")
        if self.zone not in available_timezones():
            raise ValueError(f"streak {self.name}: {self.zone!r} is no time zone, such as America/New_York")


class Streak:
    """Counts trading days. A day's close is its last value; a correction of a past day is taken into account.

    A weekday without any value neither lengthens nor ends a streak: it may be a holiday, and missing is not a close.
    """

    def __init__(self, spec: StreakSpec, keep_days: int = 400) -> None:
        self.spec = spec
        self._zone = ZoneInfo(spec.zone)
        self._keep = keep_days
        self._closes: dict[str, tuple[int, float]] = {}

    def take(self, sample: Sample) -> Sample | None:
        """Take a value of the watched series; returns the streak as it now stands, None for any other sample."""
        if sample.series != "external" or dict(sample.labels).get("name") != self.spec.name:
            return None
        when = datetime.fromtimestamp(sample.ts_ns // NS_PER_S, UTC).astimezone(self._zone)
        if when.weekday() >= SATURDAY:
            return None
        day = when.date().isoformat()
        known = self._closes.get(day)
        if known is None or sample.ts_ns >= known[0]:
            self._closes[day] = sample.ts_ns, sample.value
        if len(self._closes) > self._keep:
            del self._closes[min(self._closes)]
        newest_ns = max(ts_ns for ts_ns, _ in self._closes.values())
        return Sample(
            "streak", sample.labels, float(self.days), newest_ns, sample.recv_ns, sample.source, sample.backfill
        )

    def memory(self) -> dict[str, Any]:
        """The closes, as JSON."""
        return dict(self._closes)

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Know the closes of a former run.

        Raises:
            TypeError, ValueError: It is no `memory`.
        """
        self._closes = {str(day): (int(ts_ns), float(value)) for day, (ts_ns, value) in kept.items()}

    @property
    def days(self) -> int:
        """Trading days in a row up to the newest."""
        count = 0
        for day in sorted(self._closes, reverse=True):
            value = self._closes[day][1]
            if not (value < self.spec.limit if self.spec.side == "below" else value > self.spec.limit):
                break
            count += 1
        return count
