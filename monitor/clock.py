"""The only place that reads the time; everything else takes a `Clock` or a ``now_ns`` argument."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Wall time for events, monotonic time for deadlines, both in nanoseconds."""

    def wall_ns(self) -> int:
        """Unix time."""
        ...

    def mono_ns(self) -> int:
        """A time that never runs backwards; its origin means nothing."""
        ...

    async def sleep_until(self, mono_ns: int) -> None:
        """Return when `mono_ns` has been reached; at once if it has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""
        return time.monotonic_ns()

    async def sleep_until(self, mono_ns: int) -> None:
        """Sleep on the event loop until `mono_ns`."""
        await asyncio.sleep(max(0, mono_ns - self.mono_ns()) / NS_PER_S)


class SteadyClock(SystemClock):
    """The machine's clock, but never set back: what the monitor's windows and timers run on.

    Were time set back by minutes, every event would be too late until the old time is reached again, and windows would
    empty as if the market had calmed. Set forward, or after the machine slept, this clock follows at once. Set back, it
    goes on at nine tenths of real time until the machine's clock has caught up; meanwhile the offset to the venues shows.
    """

    _SLOWER = 10

    def __init__(self) -> None:
        self._shown_ns, self._read_ns = super().wall_ns(), self.mono_ns()

    def wall_ns(self) -> int:
        """Unix time in nanoseconds; no call gives less than one before."""
        machine_ns, mono_ns = super().wall_ns(), self.mono_ns()
        passed_ns, self._read_ns = max(0, mono_ns - self._read_ns), mono_ns
        slowed_ns = self._shown_ns + passed_ns - passed_ns // self._SLOWER
        self._shown_ns = max(machine_ns, slowed_ns)
        return self._shown_ns

    def ahead_ns(self) -> int:
        """How far this clock is before the machine's: 0, but after that was set back."""
        return self.wall_ns() - super().wall_ns()


class StillClock:
    """Stands where it is put: for what is run over recorded time, in which nothing waits."""

    def __init__(self) -> None:
        self.now_ns = 0

    def wall_ns(self) -> int:
        """The instant."""
        return self.now_ns

    def mono_ns(self) -> int:
        """The instant."""
        return self.now_ns

    async def sleep_until(self, mono_ns: int) -> None:
        """Refused: a clock that stands would be waited for in vain.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError


class ScaledClock(SystemClock):
    """Market time that runs ``speed`` times as fast as real time, from ``start_ns``; drives the demo.

    Only the wall clock is the market's. Monotonic time stays real, so that deadlines of sockets and requests, which
    cost real time whatever the market does, are not cut short. A clock that is made ``waiting`` is no faster than real
    time until `set_off`.
    """

    def __init__(self, start_ns: int, speed: float, *, waiting: bool = False) -> None:
        if speed <= 0:
            msg = f"speed must be positive, not {speed}"
            raise ValueError(msg)
        self.speed = speed
        self._pace = min(speed, 1.0) if waiting else speed
        self._start_ns = start_ns
        self._origin_ns = self.mono_ns()

    def set_off(self) -> None:
        """Go on at full speed from here."""
        self._start_ns, self._origin_ns, self._pace = self.wall_ns(), self.mono_ns(), self.speed

    def wall_ns(self) -> int:
        """Market time: unix nanoseconds on the scenario's calendar."""
        return self._start_ns + int((self.mono_ns() - self._origin_ns) * self._pace)
