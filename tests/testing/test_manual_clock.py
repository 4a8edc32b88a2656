from __future__ import annotations

import asyncio

from monitor.clock import NS_PER_S
from monitor.testing.manual_clock import ManualClock


async def test_loop_that_sleeps_again_sees_every_period() -> None:
    clock, seen = ManualClock(start_ns=0), list[int]()

    async def loop() -> None:
        while True:
            await clock.sleep_until(clock.mono_ns() + 10 * NS_PER_S)
            seen.append(clock.wall_ns() // NS_PER_S)

    task = asyncio.create_task(loop())
    await clock.advance(35)
    assert seen == [10, 20, 30]
    assert clock.mono_ns() == 35 * NS_PER_S
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clock.advance(10)


async def test_sleepers_wake_in_order_of_their_deadlines() -> None:
    clock, seen = ManualClock(), list[int]()

    async def sleeper(seconds: int) -> None:
        await clock.sleep_until(seconds * NS_PER_S)
        seen.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2, 0):
            tasks.create_task(sleeper(seconds))
        await clock.advance(5)
    assert seen == [0, 1, 2, 3]


def test_wall_clock_can_jump_alone() -> None:
    clock = ManualClock(start_ns=0)
    clock.jump_wall(-5)
    assert clock.wall_ns() == -5 * NS_PER_S
    assert clock.mono_ns() == 0
