"""Ticks on a grid, and what must have been read before one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from monitor.clock import NS_PER_S
from monitor.events import FeedState
from monitor.runtime.steps.pump import Pump
from monitor.runtime.steps.ticker import LATE_NS, READ_LONGEST_NS, Ticker
from monitor.testing.manual_clock import ManualClock
from tests.toy_venue import StreamEvent

STEP_NS = NS_PER_S // 4
WAITS: list[StreamEvent] = [FeedState("toy", "price", up=True, ts_ns=1)]  # type: ignore[arg-type]


class Stalling:
    """A clock of a process that stands still for `late_ns` whenever it sleeps."""

    def __init__(self, late_ns: int) -> None:
        self.now_ns = 0
        self.late_ns = late_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def mono_ns(self) -> int:
        return self.now_ns

    async def sleep_until(self, mono_ns: int) -> None:
        self.now_ns = max(self.now_ns, mono_ns) + self.late_ns
        await asyncio.sleep(0)


async def first_tick(pump: Pump, clock: Stalling, happened: list[str]) -> None:
    ended = asyncio.Event()

    def tick(_now_ns: int) -> None:
        happened.append("tick")
        ended.set()

    task = asyncio.create_task(Ticker(tick, pump, clock, STEP_NS).run())
    await ended.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("late_ns", "order"), [(2 * STEP_NS, ["read", "tick"]), (LATE_NS, ["tick"])])
async def test_a_late_tick_comes_after_what_waits_even_if_the_pump_rests(late_ns: int, order: list[str]) -> None:
    """Found by the kill loop: the turn in which the process had stood still was long, so the pump rested, and the tick
    took the instants between for seen before their prices were."""
    happened: list[str] = []
    clock = Stalling(late_ns)
    pump = Pump(lambda _events, _now_ns: happened.append("read"), clock, rests=True)
    pump._rest_until_s = asyncio.get_running_loop().time() + 3600
    pump.append(WAITS)
    await first_tick(pump, clock, happened)
    assert happened == order


async def test_a_tick_comes_soon_even_where_the_sockets_never_fall_quiet_and_every_turn_is_long() -> None:
    """Found in an overloaded demo: 200 turns of 100 ms, for 20 s nothing was done that is due by time alone."""
    happened: list[str] = []
    clock, turn_ns = Stalling(2 * STEP_NS), NS_PER_S // 10

    def read(_events: object, _now_ns: int) -> None:
        clock.now_ns += turn_ns
        happened.append("read")
        if "tick" not in happened:
            asyncio.get_running_loop().call_soon(pump.append, WAITS)

    pump = Pump(read, clock)
    pump.append(WAITS)
    await first_tick(pump, clock, happened)
    assert 0 < happened.index("tick") <= READ_LONGEST_NS // turn_ns + 1


async def test_ticks_are_on_the_grid_and_a_failing_one_is_counted() -> None:
    clock = ManualClock(start_ns=1_763_700_000 * NS_PER_S + STEP_NS // 3)
    pump = Pump(lambda _events, _now_ns: None, clock)
    seen: list[int] = []

    def tick(now_ns: int) -> None:
        seen.append(now_ns)
        raise ValueError

    task = asyncio.create_task(Ticker(tick, pump, clock, STEP_NS).run())
    await clock.advance(1.0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert [now_ns % STEP_NS for now_ns in seen] == [0] * 4
    assert pump.dropped["engine_error"] == 4
