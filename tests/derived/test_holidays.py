"""The exchanges' holidays against their published calendars."""

from __future__ import annotations

import pytest

from monitor.derived.holidays import new_york_holidays

PUBLISHED = {
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
}


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_rule_gives_the_published_days(year: int) -> None:
    assert sorted(f"{day:%m-%d}" for day in new_york_holidays(year)) == PUBLISHED[year].split()
    assert all(day.weekday() < 5 for day in new_york_holidays(year))
