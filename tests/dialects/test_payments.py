"""Which interval a funding rate stands for, when the venue changes it while it is watched."""

from __future__ import annotations

import pytest

from monitor.dialects.payments import Payments

HOUR = 3_600_000
DAY = 20_413 * 24 * HOUR
"""Midnight of 21 November 2025, UTC."""


def at(hours: float) -> int:
    return DAY + round(hours * HOUR)


def told(listed_h: float | None, *frames: tuple[float, float]) -> list[float]:
    """Intervals after each frame of (hour of day, hour of the next payment)."""
    payments = Payments()
    return [payments.interval_h(at(next_h), at(now_h), listed_h) for now_h, next_h in frames]


def test_the_listing_holds_while_nothing_contradicts_it() -> None:
    assert told(8.0, (4, 8), (7.9, 8), (8, 16), (16, 24)) == [8.0] * 4
    assert told(4.0, (4, 8), (8, 12), (12, 16)) == [4.0] * 3


@pytest.mark.parametrize("hours", [8.0, 4.0, 2.0, 1.0])
def test_what_is_neither_listed_nor_contradicted_is_the_longest(hours: float) -> None:
    assert told(None, (0.5, hours)) == [hours]


def test_funding_interval_of_eight_hours_that_becomes_one_counts_at_once() -> None:
    """At 10:05 the next payment moves from 16:00 to 11:00: the rate is an eighth, and nothing has happened."""
    assert told(8.0, (8.1, 16), (10.1, 11), (11, 12), (14, 15), (15, 16)) == [8.0, 1.0, 1.0, 1.0, 1.0]


def test_funding_interval_of_one_hour_that_becomes_eight_is_not_the_hours_until_then() -> None:
    assert told(1.0, (10, 11), (11, 16), (15.9, 16), (16, 24)) == [1.0, 8.0, 8.0, 8.0]


def test_an_outage_of_some_payments_is_no_longer_interval() -> None:
    assert told(1.0, (10, 11), (15.5, 16)) == [1.0, 1.0]
    assert told(8.0, (2, 8), (23, 24)) == [8.0, 8.0]


def test_a_stale_listing_gives_way_to_two_payments() -> None:
    assert told(8.0, (15, 16), (16, 20), (20, 24), (23, 24)) == [8.0, 4.0, 4.0, 4.0]


def test_a_listing_that_changed_is_newer_than_what_was_seen() -> None:
    payments = Payments()
    assert payments.interval_h(at(8), at(1), 8.0) == 8.0
    assert payments.interval_h(at(16), at(8), 8.0) == 8.0
    assert payments.interval_h(at(16), at(13), 4.0) == 4.0


def test_payments_some_seconds_late_are_on_their_hour() -> None:
    payments = Payments()
    assert payments.interval_h(at(8) + 7_000, at(4), 4.0) == 4.0
    assert payments.interval_h(at(12) - 7_000, at(8) + 8_000, 4.0) == 4.0
