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


def test_thirty_trading_days_skip_weekends_and_holidays() -> None:
    streak = Streak(StreakSpec("co", 1.00))
    day = datetime(2025, 10, 1, 21, tzinfo=UTC)
    counted = 0
    while counted < 30:
        weekend, holiday = day.weekday() >= 5, day.day == 13
        if not holiday:
            result = streak.take(close(day, 0.90))
            assert (result is None) == weekend
            counted += not weekend
        day += timedelta(days=1)
    assert streak.days == 30
    back = streak.take(close(day + timedelta(days=7 - day.weekday()), 1.05))
    assert back is not None
    assert back.value == 0.0


def test_a_days_close_is_its_last_value_and_a_correction_counts() -> None:
    streak = Streak(StreakSpec("co", 1.00))
    monday = datetime(2025, 11, 17, 15, tzinfo=UTC)
    streak.take(close(monday, 1.20))
    streak.take(close(monday + timedelta(hours=6), 0.95))
    streak.take(close(monday + timedelta(days=1), 0.90))
    assert streak.days == 2
    streak.take(close(monday + timedelta(hours=7), 1.01))
    assert streak.days == 1
    assert streak.take(close(monday, 0.5, name="other")) is None


def test_above_counts_too() -> None:
    streak = Streak(StreakSpec("vix", 20.0, side="above"))
    streak.take(close(datetime(2025, 11, 20, 21, tzinfo=UTC), 26.4, name="vix"))
    assert streak.days == 1
