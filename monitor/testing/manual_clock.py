"""A clock that moves only when a test moves it."""

from __future__ import annotations

import asyncio
import heapq

from monitor.clock import NS_PER_S

_TURNS = 8


class ManualClock:
    """A `monitor.clock.Clock` under the test's hand.

    Wall and monotonic time advance together. Sleepers wake in order of their deadlines, each with the clock at its own
    deadline, so that a coroutine which sleeps again in a loop sees every period.
    """

    def __init__(self, start_ns: int = 1_763_700_000 * NS_PER_S) -> None:
        self._wall_ns = start_ns
        self._mono_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._wall_ns

    def mono_ns(self) -> int:
        """Nanoseconds since this clock was made."""
        return self._mono_ns

    async def sleep_until(self, mono_ns: int) -> None:
        """Wait until the test has moved the clock to `mono_ns`."""
        if mono_ns <= self._mono_ns:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (mono_ns, self._number, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time on and let everything run that becomes due on the way."""
        target_ns = self._mono_ns + int(seconds * NS_PER_S)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target_ns:
            due_ns, _, future = heapq.heappop(self._sleepers)
            self._move_to(due_ns)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self._move_to(target_ns)
        await self.settle()

    def jump_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as a correction by NTP does."""
        self._wall_ns += int(seconds * NS_PER_S)

    @staticmethod
    async def settle() -> None:
        """Give every ready task a few turns of the loop."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _move_to(self, mono_ns: int) -> None:
        self._wall_ns += mono_ns - self._mono_ns
        self._mono_ns = mono_ns
