"""What funds have taken in or paid out since the first day of the month. Pure; daily flows in, running sums out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from monitor.clock import NS_PER_S
from monitor.events import Labels, Sample

ZONE = ZoneInfo("America/New_York")
"""Months are those of the session: 21:00 UTC on the 31st belongs to the old one, and so does 03:00 UTC on the 1st."""

Month = tuple[int, int]
Days = dict[int, tuple[int, float]]
"""By day of the month: time and value of its flow."""


class MonthToDate:
    """Sums ``etf_flow`` by asset and fund over the newest month that is known, as ``etf_flow_month``.

    A day has one flow: told again, at whatever hour and by whomever, it counts with its new value. A day of an earlier
    month changes nothing that is shown; a month begins anew with its first day, because of no flow it is not known
    whether it was none or is not yet published.
    """

    def __init__(self) -> None:
        self._days: dict[Labels, tuple[Month, Days]] = {}

    def take(self, sample: Sample) -> Sample | None:
        """Take a day's flow; returns the month's sum as it now stands, None where nothing that is shown changed."""
        if sample.series != "etf_flow":
            return None
        when = datetime.fromtimestamp(sample.ts_ns // NS_PER_S, UTC).astimezone(ZONE)
        month = when.year, when.month
        known, days = self._days.get(sample.labels, (month, {}))
        if month < known:
            return None
        days = days if month == known else {}
        days[when.day] = sample.ts_ns, sample.value
        self._days[sample.labels] = month, days
        total = sum(value for _, value in days.values())
        newest_ns = max(ts_ns for ts_ns, _ in days.values())
        return Sample("etf_flow_month", sample.labels, total, newest_ns, sample.recv_ns, sample.source, sample.backfill)

    def memory(self) -> list[Any]:
        """The days of each month that is known, as JSON."""
        return [[list(map(list, labels)), month, list(days.items())] for labels, (month, days) in self._days.items()]

    def recall(self, kept: Iterable[Any]) -> None:
        """Know the days of a former run.

        Raises:
            TypeError, ValueError: It is no `memory`.
        """
        for labels, (year, month), days in kept:
            key: Labels = tuple((str(name), str(value)) for name, value in labels)
            known = {int(day): (int(ts_ns), float(value)) for day, (ts_ns, value) in days}
            self._days[key] = (int(year), int(month)), known
