"""Looks at the rules on a grid of time, whatever arrives: windows empty in silence, values go stale, timers run out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.runtime.steps.pump import Pump

LATE_NS = NS_PER_S // 50
"""A tick that comes so late lets the sockets be read first;"""
READ_TURNS = 8
"""from a readable socket to the engine's batch it takes four turns of the event loop."""
READ_MOST = 200
READ_LONGEST_NS = NS_PER_S // 2
"""Where the sockets never fall quiet and each turn is long, a tick waits no longer than this: timers must run under load, too."""


class Ticker:
    """Ticks for ever.

    Args:
        tick: Gets the time; an exception of it is counted with the pump's and logged, for it must not end the program.
        pump: Holds what waits.
        clock: Time.
        interval_ns: Step of the grid.
    """

    def __init__(self, tick: Callable[[int], None], pump: Pump, clock: Clock, interval_ns: int) -> None:
        self._tick = tick
        self._pump = pump
        self._clock = clock
        self._interval_ns = interval_ns
        self._log = structlog.get_logger("monitor.ticker")

    async def run(self) -> None:
        """Tick on the grid; a late turn is not made up for, the next instant covers it."""
        clock, interval_ns = self._clock, self._interval_ns
        due_ns = clock.mono_ns() + interval_ns - clock.wall_ns() % interval_ns
        while True:
            await clock.sleep_until(due_ns)
            if clock.mono_ns() - due_ns > LATE_NS:
                await self._let_read()
            try:
                self._tick(clock.wall_ns())
            except Exception:  # noqa: BLE001  # as in the pump: the engine's bug must not end the program
                self._pump.dropped["engine_error"] += 1
                self._log.exception("app.tick_failed")
            now_ns = clock.mono_ns()
            due_ns += max(1, -(-(now_ns - due_ns) // interval_ns)) * interval_ns

    async def _let_read(self) -> None:
        """Nobody ran for a while: what the sockets hold is older than now, and is read first, until nothing more comes.

        The pump may be resting after the turn in which the process stood still; what waits in it is not left for after.
        """
        quiet, batches = 0, self._pump.batches
        until_ns = self._clock.mono_ns() + READ_LONGEST_NS
        for _ in range(READ_MOST):
            await asyncio.sleep(0)  # turns of the event loop, not time
            quiet = 0 if len(self._pump) or self._pump.batches != batches else quiet + 1
            batches = self._pump.batches
            if quiet == READ_TURNS or self._clock.mono_ns() >= until_ns:
                break
        self._pump.drain()
