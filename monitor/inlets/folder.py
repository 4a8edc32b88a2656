"""A watched folder: CSV, Parquet and JSON-lines files that people and scripts drop or append to."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.inlets.door import Door
from monitor.inlets.payloads import MAX_BYTES
from monitor.inlets.rows import Refusal

KINDS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json"}

Stamp = tuple[int, int, int]
"""Size, and times of the last change of the content and of the file: a copy may keep the former."""


class FolderInlet:
    """Reads every file of a folder when it appears and whenever it has changed.

    A file is read once its size and time have stayed the same between two looks, so that one that is being written is
    left alone. Files are never moved or deleted. Links and hidden files are passed over; a file larger than the inlet's limit is refused.

    Args:
        door: Where rows go; the file's name without its ending is their source where they name none.
        path: The folder; it may appear later.
        clock: Paces the looks.
        every_s: Seconds between two looks.
    """

    def __init__(self, door: Door, path: Path, clock: Clock, every_s: float = 2.0) -> None:
        self._door = door
        self._path = path
        self._clock = clock
        self._every_ns = int(every_s * NS_PER_S)
        self._seen: dict[Path, Stamp] = {}
        self._read: dict[Path, Stamp] = {}
        self._log = structlog.get_logger("monitor.inlet.folder")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep_until(self._clock.mono_ns() + self._every_ns)

    async def look(self) -> None:
        """Look once."""
        for path, payload in await asyncio.to_thread(self._changed):
            if payload is None:
                self._too_large(path)
                continue
            taken, refused = await self._door.take(
                "folder", payload, KINDS[path.suffix.lower()], self._clock.wall_ns(), path.stem, where=path.name
            )
            if refused:
                first = f"row {refused[0].number}: {refused[0].detail}"
                self._log.warning("inlet.rows_refused", file=path.name, taken=taken, refused=len(refused), first=first)

    def _too_large(self, path: Path) -> None:
        detail = f"{path.name} is larger than {MAX_BYTES} bytes; split it"
        self._door.refuse("folder", [Refusal(0, "too_large", detail)], path.name)
        self._log.warning("inlet.file_too_large", file=path.name, most_bytes=MAX_BYTES)

    def _changed(self) -> list[tuple[Path, bytes | None]]:
        """Files that changed and have settled, with their content; without it where that is too large."""
        now = self._stamps()
        settled = [path for path, stamp in now.items() if self._seen.get(path) == stamp != self._read.get(path)]
        self._seen = now
        self._read = {path: stamp for path, stamp in self._read.items() if path in now}
        found: list[tuple[Path, bytes | None]] = []
        for path in settled:
            try:
                found.append((path, path.read_bytes() if now[path][0] <= MAX_BYTES else None))
            except OSError as error:
                self._log.warning("inlet.file_unreadable", file=path.name, reason=error.strerror)
            self._read[path] = now[path]
        return found

    def _stamps(self) -> dict[Path, Stamp]:
        stamps = {}
        for path in sorted(self._path.glob("[!.]*")):
            with contextlib.suppress(OSError):  # it has gone, or may not be looked at
                if path.suffix.lower() in KINDS and path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    stamps[path] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        return stamps
