"""Profit of holdings; streaks of trading days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.derived.streaks import Streak, StreakSpec
from monitor.derived.treasuries import Holding, treasury_samples
from monitor.events import Sample


def test_the_commentarys_holding_is_over_four_billion_under_water() -> None:
    holding = Holding("a treasury company", "ETH", 3_560_000, 4_000.0)
    profit, distance = treasury_samples([holding, Holding("b", "ZEC", 1, 1)], {"ETH": 2_800.0}, 7)
    assert profit.value == pytest.approx(-4.272e9)
    assert distance.series == "treasury_distance"
    assert distance.value == pytest.approx(-0.3)
    assert dict(profit.labels) == dict(distance.labels) == {"holder": "a treasury company", "base": "ETH"}
    with pytest.raises(ValueError, match="quantity must be positive"):
        Holding("x", "BTC", 0, 1)


def test_coins_that_cost_nothing_have_no_distance_to_their_cost() -> None:
    (profit,) = treasury_samples([Holding("miner", "BTC", 10, 0)], {"BTC": 90_000.0}, 7)
    assert (profit.series, profit.value) == ("treasury_pnl", 900_000.0)


def close(day: datetime, value: float, name: str = "co") -> Sample:
    ts = int(day.timestamp()) * 10**9
    return Sample("external", (("name", name), ("source", "desk")), value, ts, ts, "desk")


def days(streak: Streak, day: datetime, value: float, name: str = "co") -> float | None:
    said = streak.take(close(day, value, name))
    return None if said is None else said.value


def test_thirty_trading_days_skip_weekends_and_the_exchanges_holidays_even_if_a_value_comes() -> None:
    """A watcher that repeats the last price on every day of November and December 2025: 27 November and Christmas are none."""
    streak = Streak(StreakSpec("co", 1.00))
    said = {}
    for n in range(47):
        day = datetime(2025, 11, 10, 21, tzinfo=UTC) + timedelta(days=n)
        said[day.date().isoformat()] = days(streak, day, 0.90)
    assert {day for day, count in said.items() if count is None} == {
        *(f"2025-11-{n}" for n in (15, 16, 22, 23, 27, 29, 30)),
        *(f"2025-12-{n:02}" for n in (6, 7, 13, 14, 20, 21, 25)),
    }
    assert (said["2025-11-10"], said["2025-12-22"], said["2025-12-23"]) == (1.0, 30.0, 31.0)
    assert days(streak, datetime(2025, 12, 29, 21, tzinfo=UTC), 1.05) == 0.0


def test_other_holidays_are_named_and_another_zone_has_none_of_new_yorks() -> None:
    thanksgiving = datetime(2025, 11, 27, 7, tzinfo=UTC)
    assert days(Streak(StreakSpec("co", 1.0, zone="Asia/Hong_Kong")), thanksgiving, 0.9) == 1.0
    for holiday in ("2025-11-27", thanksgiving.date()):
        assert days(Streak(StreakSpec("co", 1.0, zone="Asia/Hong_Kong", holidays=[holiday])), thanksgiving, 0.9) is None


def test_midnight_in_utc_is_the_evening_before_in_new_york() -> None:
    monday = datetime(2025, 11, 24, tzinfo=UTC)
    assert days(Streak(StreakSpec("co", 1.0)), monday, 0.9) is None, "a Sunday evening"
    assert days(Streak(StreakSpec("co", 1.0, zone="UTC")), monday, 0.9) == 1.0


def test_two_givers_of_a_price_do_not_make_each_others_streak() -> None:
    streak = Streak(StreakSpec("co", 1.00))
    for n, value in enumerate((0.90, 0.95, 0.80)):
        day = datetime(2025, 11, 18 + n, 21, tzinfo=UTC)
        assert days(streak, day, value) == n + 1
        other = close(day + timedelta(minutes=5), 9.0)
        said = streak.take(Sample("external", (("name", "co"), ("source", "typo")), 9.0, other.ts_ns, other.ts_ns))
        assert said is not None
        assert (said.value, dict(said.labels)["source"]) == (0.0, "typo")


def test_a_days_close_is_its_last_value_and_a_correction_counts() -> None:
    streak = Streak(StreakSpec("co", 1.00))
    monday = datetime(2025, 11, 17, 15, tzinfo=UTC)
    assert days(streak, monday, 1.20) == 0
    assert days(streak, monday + timedelta(hours=6), 0.95) == 1
    assert days(streak, monday + timedelta(days=1), 0.90) == 2
    assert days(streak, monday + timedelta(hours=7), 1.01) == 1
    assert days(streak, monday, 0.5, name="other") is None


def test_above_counts_too() -> None:
    assert days(Streak(StreakSpec("vix", 20.0, side="above")), datetime(2025, 11, 20, 21, tzinfo=UTC), 26.4, "vix") == 1
