"""Days on which the exchanges of New York are closed, by their published rule. Pure.

`Rule 7.2 <https://www.nyse.com/markets/hours-calendars>`_: a holiday on a Saturday is kept on the Friday before, one on a Sunday
on the Monday after; a New Year's Day on a Saturday is not made up for, because the Friday closes the year. Days of mourning
and storms follow no rule: they are named in the configuration.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6
JUNETEENTH_SINCE = 2022


@lru_cache(maxsize=64)
def new_york_holidays(year: int) -> frozenset[date]:
    """The weekdays of a year without trading.

    >>> sorted(new_york_holidays(2025))[-2:]
    [datetime.date(2025, 11, 27), datetime.date(2025, 12, 25)]
    """
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    new_year = date(year, 1, 1)
    if new_year.weekday() != SATURDAY:
        fixed.append(new_year)
    return frozenset(
        {
            *map(_kept_on, fixed),
            _nth(year, 1, MONDAY, 3),  # Martin Luther King
            _nth(year, 2, MONDAY, 3),  # Washington
            easter(year) - timedelta(days=2),  # Good Friday
            _nth(year, 6, MONDAY, 1) - timedelta(days=7),  # Memorial Day, the last Monday of May
            _nth(year, 9, MONDAY, 1),  # Labor Day
            _nth(year, 11, THURSDAY, 4),  # Thanksgiving
        }
    )


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm, as in Meeus, Astronomical Algorithms, chapter 8)."""
    century, rest = divmod(year, 100)
    skipped, leaps = century - century // 4 - (century - (century + 8) // 25 + 1) // 3, century % 4
    moon = (19 * (year % 19) + skipped + 15) % 30
    week = (32 + 2 * leaps + 2 * (rest // 4) - moon - rest % 4) % 7
    late = (year % 19 + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _kept_on(day: date) -> date:
    return day + timedelta(days={SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0))
