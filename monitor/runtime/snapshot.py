"""Windows over a restart: a copy of the engine's state on disk, made off the hot path. Time without the program is a gap."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.engine import Engine
from monitor.engine.persist import pack, taken_ns
from monitor.errors import StateError
from monitor.runtime.files import write_atomically

AHEAD_NS = 60 * NS_PER_S


class Snapshots:
    """Keeps the engine's windows in one file.

    The event loop only copies the columns; compression and writing happen on a thread. After a kill the windows are
    those of the last copy, and what came later is missing from coverage, never counted as zero.
    """

    def __init__(self, engine: Engine, path: Path, clock: Clock, every_s: float = 60.0) -> None:
        self.path = path
        self.last_copy_s = 0.0
        self.last_bytes = 0
        self._engine = engine
        self._clock = clock
        self._every_ns = int(every_s * NS_PER_S)
        self._log = structlog.get_logger("monitor.snapshot")

    def restore(self) -> bytes | None:
        """Take up the windows of the last run, and return them; a file that cannot be read is set aside."""
        if not self.path.exists():
            return None
        try:
            data = self.path.read_bytes()
            self._load(data)
        except (StateError, OSError) as error:
            aside = self.path.with_suffix(f".corrupt-{self._clock.wall_ns()}")
            self.path.rename(aside)
            self._log.error("snapshot.set_aside", error=str(error), moved_to=str(aside))
            return None
        return data

    def _load(self, data: bytes) -> None:
        if taken_ns(data) > self._clock.wall_ns() + AHEAD_NS:
            raise StateError("the windows are of a time that has not come yet; was the clock set back?")
        self._engine.load(data)

    async def run(self) -> None:
        """Write every so often, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + self._every_ns)
            await self.write()

    async def write(self) -> None:
        """Write now; a full disk is logged and tried again next time."""
        started_ns = self._clock.mono_ns()
        copied = self._engine.gather()
        self.last_copy_s = (self._clock.mono_ns() - started_ns) / NS_PER_S
        try:
            data = await asyncio.to_thread(pack, copied)
            await asyncio.to_thread(write_atomically, self.path, data)
        except OSError as error:
            self._log.error("snapshot.not_written", error=str(error))
            return
        self.last_bytes = len(data)
