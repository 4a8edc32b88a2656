"""Clocks that are more than the system's."""

from __future__ import annotations

import pytest

from monitor.clock import NS_PER_S, ScaledClock, SteadyClock


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


class Machine:
    """A machine's two clocks: ``wall`` can be set, ``mono`` only runs."""

    wall = 1_000_000 * NS_PER_S
    mono = 5 * NS_PER_S

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("monitor.clock.time.time_ns", lambda: self.wall)
        monkeypatch.setattr("monitor.clock.time.monotonic_ns", lambda: self.mono)

    def run(self, seconds: float) -> None:
        self.wall += int(seconds * NS_PER_S)
        self.mono += int(seconds * NS_PER_S)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_steady_clock_is_the_machines(machine: Machine) -> None:
    clock = SteadyClock()
    for seconds in (0, 0.001, 1, 3600):
        machine.run(seconds)
        assert clock.wall_ns() == machine.wall


def test_a_clock_that_is_set_back_goes_on_slower_until_the_machines_has_caught_up(machine: Machine) -> None:
    clock = SteadyClock()
    first_ns = clock.wall_ns()
    machine.wall -= 600 * NS_PER_S
    assert clock.wall_ns() == first_ns
    shown = []
    for _ in range(6000):
        machine.run(1)
        shown.append(clock.wall_ns())
    assert shown[0] == first_ns + NS_PER_S * 9 // 10
    assert shown == sorted(shown)
    assert shown[5998] > machine.wall - NS_PER_S
    assert shown[5999] == machine.wall


def test_a_clock_says_how_far_it_is_ahead_of_the_machines(machine: Machine) -> None:
    clock = SteadyClock()
    assert clock.ahead_ns() == 0
    machine.wall -= 600 * NS_PER_S
    assert clock.ahead_ns() == 600 * NS_PER_S
    machine.run(1000)
    assert clock.ahead_ns() == 500 * NS_PER_S
    machine.run(5000)
    assert clock.ahead_ns() == 0


def test_a_clock_that_is_set_forward_or_slept_follows_at_once(machine: Machine) -> None:
    clock = SteadyClock()
    machine.wall += 86_400 * NS_PER_S
    assert clock.wall_ns() == machine.wall
