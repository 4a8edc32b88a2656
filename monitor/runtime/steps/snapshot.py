"""Windows over a restart: a copy of the engine's state on disk, made off the hot path. Time without the program is a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.engine import Engine
from monitor.engine.persist import Columns, Copied, Pieces, pack, pack_columns, unpack, unpack_columns
from monitor.errors import StateError
from monitor.runtime.files import write_atomically

Found = TypeVar("Found")

AT_ONCE = 8
"""Pieces that are copied without letting go of the event loop: some six megabytes."""
AHEAD_NS = 60 * NS_PER_S
HEAD = "head.zst"
ROWS = "rows-*.zst"


class Snapshots:
    """Keeps the engine's windows in a folder: a file for each full piece of a log, and a head that names them.

    The event loop only copies what is new since the last time; compression and writing happen on a thread. The head
    takes its place last and in one step, so that a kill at any moment leaves the windows of the last copy. What came
    later is missing from coverage, never counted as zero.

    Attributes:
        last_copy_s: How long the longest step of the last copy held the event loop.
        last_bytes: Size of all files after the last copy.
        last_written_bytes: Size of those that it wrote.
    """

    def __init__(self, engine: Engine, folder: Path, clock: Clock, every_s: float = 60.0) -> None:
        self.folder = folder
        self.last_copy_s = 0.0
        self.last_bytes = self.last_written_bytes = 0
        self._engine = engine
        self._clock = clock
        self._every_ns = int(every_s * NS_PER_S)
        self._sizes = dict[int, int]()
        self._pieces = Pieces(max(map(_number, folder.glob(ROWS)), default=0))
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.get_logger("monitor.snapshot")

    def restore(self) -> Copied | None:
        """Take up the windows of the last run, and return them; a folder that cannot be read is set aside."""
        if not (self.folder / HEAD).exists():
            return None
        try:
            copied = self._read()
            self._engine.take_up(copied)
        except (StateError, OSError) as error:
            aside = self.folder.with_name(f"{self.folder.name}.corrupt-{self._clock.wall_ns()}")
            self.folder.rename(aside)
            self._log.error("snapshot.set_aside", error=str(error), moved_to=str(aside))
            return None
        return copied

    def _read(self) -> Copied:
        copied = unpack((self.folder / HEAD).read_bytes())
        if copied.now_ns > self._clock.wall_ns() + AHEAD_NS:
            raise StateError("the windows are of a time that has not come yet; was the clock set back?")
        pieces = {number: unpack_columns(self._file(number).read_bytes()) for number in copied.needed()}
        return replace(copied, pieces=pieces)

    async def run(self) -> None:
        """Write every so often, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + self._every_ns)
            await self.write()

    async def write(self) -> None:
        """Write now; a full disk is logged and tried again next time."""
        async with self._one_at_a_time:
            try:
                await self._write_ahead()
                copied = self._timed(lambda: self._engine.gather(self._pieces))
                await asyncio.to_thread(self._write, copied)
            except OSError as error:
                self._log.error("snapshot.not_written", error=str(error))

    async def _write_ahead(self) -> None:
        """Write what is new in short steps, so that the copy itself finds next to nothing."""
        self.last_written_bytes, self.last_copy_s = 0, 0.0
        while new := self._timed(lambda: self._engine.gather_pieces(self._pieces, AT_ONCE)):
            await asyncio.to_thread(self._write_pieces, new)

    def _timed(self, copy: Callable[[], Found]) -> Found:
        started_ns = self._clock.mono_ns()
        found = copy()
        self.last_copy_s = max(self.last_copy_s, (self._clock.mono_ns() - started_ns) / NS_PER_S)
        return found

    def _write(self, copied: Copied) -> None:
        self._write_pieces(copied.pieces)
        head = pack(replace(copied, pieces={}))
        write_atomically(self.folder / HEAD, head)
        self.last_written_bytes += len(head)
        self._forget(copied.needed())
        self.last_bytes = len(head) + sum(self._sizes.values())

    def _write_pieces(self, pieces: Mapping[int, Columns]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, rows in pieces.items():
            data = pack_columns(rows)
            write_atomically(self._file(number), data)
            self._sizes[number] = len(data)
            self.last_written_bytes += len(data)
            self._pieces.kept.add(number)

    def _forget(self, needed: Iterable[int]) -> None:
        """Remove the pieces that the head does not name, those of the last run among them."""
        for path in self.folder.glob(ROWS):
            if (number := _number(path)) not in needed:
                path.unlink()
                self._pieces.kept.discard(number)
                self._sizes.pop(number, None)

    def _file(self, number: int) -> Path:
        return self.folder / ROWS.replace("*", str(number))


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("rows-"))
