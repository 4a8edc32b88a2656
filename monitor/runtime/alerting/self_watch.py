"""What the monitor measures of itself, as the series ``self`` that rules can read: disk, memory, event loop, outbox, tape."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from monitor.clock import NS_PER_S, Clock, SteadyClock
from monitor.events import Sample
from monitor.runtime.alerting.worker import SinkStats
from monitor.telemetry.views.program import TapeView

EVERY_S = 1.0
SERIES, SOURCE = "self", "monitor"
_RESIDENT = Path("/proc/self/statm")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
Reading = tuple[str, str, float]
"""What, the name of whose it is, and the value."""


class Loop(Protocol):
    """How the event loop fares; NaN while unknown."""

    loop_lag_s: float
    saturation_ratio: float


class Outbox(Protocol):
    """What is known of the sinks, by name."""

    stats: dict[str, SinkStats]
    write_failures: int


class SelfWatch:
    """Looks at the process once a second.

    Args:
        data_dir: The folder whose disk is watched.
        loop: How the event loop fares.
        outbox: What waits for each sink.
        clock: Paces the looks.
        emit: Takes the samples, on the event loop.
        tape: How the recorder fares; None: nothing is recorded.
        own_ns: Our own time by the clock's, which stamps the samples: they must not move the instant of market data.
    """

    def __init__(
        self,
        data_dir: Path,
        loop: Loop,
        outbox: Outbox,
        clock: Clock,
        emit: Callable[[Sequence[Sample]], None],
        *,
        tape: Callable[[], TapeView | None] = lambda: None,
        own_ns: Callable[[int], int] = lambda now_ns: now_ns,
    ) -> None:
        self._own_ns = own_ns
        self._tape = tape
        self._dropped_before = 0
        self._data_dir = data_dir
        self._loop = loop
        self._outbox = outbox
        self._clock = clock
        self._emit = emit
        self._limit = memory_limit()
        self._failures_before = 0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            disk = await asyncio.to_thread(disk_readings, self._data_dir)  # a network disk may not answer
            self.emit(disk)
            await self._clock.sleep_until(self._clock.mono_ns() + int(EVERY_S * NS_PER_S))

    def emit(self, disk: Sequence[Reading]) -> None:
        """Hand over everything that is known now."""
        now_ns = self._clock.wall_ns()
        own_ns = self._own_ns(now_ns)
        self._emit(
            [
                Sample(SERIES, (("name", name), ("what", what)), value, own_ns, now_ns, SOURCE)
                for what, name, value in (*disk, *self._readings())
                if math.isfinite(value)
            ]
        )

    def _readings(self) -> Iterator[Reading]:
        yield "loop_lag_seconds", "process", self._loop.loop_lag_s
        yield "busy_ratio", "process", self._loop.saturation_ratio
        if isinstance(self._clock, SteadyClock):
            yield "clock_ahead_seconds", "process", self._clock.ahead_ns() / NS_PER_S
        yield "state_write_failures", "process", float(self._outbox.write_failures - self._failures_before)
        self._failures_before = self._outbox.write_failures
        yield from self._tape_readings()
        yield from memory_readings(self._limit)
        yield from outbox_readings(self._outbox.stats)

    def _tape_readings(self) -> Iterator[Reading]:
        """What was not recorded since the last look, and how full the queue to the disk is."""
        tape = self._tape()
        if tape is None:
            return
        dropped = sum(tape.dropped.values())
        yield "tape_dropped", "tape", float(dropped - self._dropped_before)
        yield "tape_queue_ratio", "tape", tape.waiting_bytes / tape.queue_bytes
        self._dropped_before = dropped


def outbox_readings(stats: Mapping[str, SinkStats]) -> Iterator[Reading]:
    """What waits for each sink, and what was given up since the start."""
    for name, sink in stats.items():
        yield "outbox_depth", name, float(sink.depth)
        yield "dead_letters", name, float(sink.outcomes["dead"])


def disk_readings(folder: Path) -> list[Reading]:
    """Free space where the state is kept; nothing when the system does not say."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return []
    return [
        ("disk_free_bytes", "data_dir", float(usage.free)),
        ("disk_free_ratio", "data_dir", usage.free / usage.total if usage.total else math.nan),
    ]


def memory_readings(limit_bytes: float) -> Iterator[Reading]:
    """Resident memory, and its share of what the process may use; nothing where the system is not Linux."""
    try:
        pages = int(_RESIDENT.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return
    used = float(pages * os.sysconf("SC_PAGE_SIZE"))
    yield "memory_bytes", "process", used
    yield "memory_ratio", "process", used / limit_bytes


def memory_limit(files: Sequence[Path] = _LIMITS) -> float:
    """Bytes that the process may use: the machine's, or less where a control group limits it; NaN: unknown."""
    found = [_number(path) for path in files]
    try:
        found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    except (ValueError, OSError):
        found.append(math.nan)
    return min((value for value in found if value > 0), default=math.nan)


def _number(path: Path) -> float:
    """The number in a file; NaN when there is none (``max`` is no limit)."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return math.nan
