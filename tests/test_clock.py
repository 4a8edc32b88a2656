"""Clocks that are more than the system's."""

from __future__ import annotations

import pytest

from monitor.clock import NS_PER_S, ScaledClock


class Stepped(ScaledClock):
    """A scaled clock over monotonic time that a test moves."""

    now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


def test_market_time_runs_as_many_times_faster_as_it_was_told() -> None:
    clock = Stepped(1000 * NS_PER_S, 60.0)
    clock.now_ns = 2 * NS_PER_S
    assert clock.wall_ns() == 1120 * NS_PER_S


def test_a_waiting_clock_keeps_real_time_until_it_sets_off_and_never_jumps() -> None:
    clock = Stepped(1000 * NS_PER_S, 60.0, waiting=True)
    clock.now_ns = 2 * NS_PER_S
    assert clock.wall_ns() == 1002 * NS_PER_S
    clock.set_off()
    assert clock.wall_ns() == 1002 * NS_PER_S
    clock.now_ns = 3 * NS_PER_S
    assert clock.wall_ns() == 1062 * NS_PER_S


def test_a_slow_clock_does_not_hurry_while_it_waits() -> None:
    clock = Stepped(0, 0.5, waiting=True)
    clock.now_ns = 2 * NS_PER_S
    assert clock.wall_ns() == NS_PER_S


def test_a_speed_is_positive() -> None:
    with pytest.raises(ValueError, match="speed must be positive, not 0"):
        ScaledClock(0, 0)
