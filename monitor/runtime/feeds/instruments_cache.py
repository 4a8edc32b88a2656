"""Instrument metadata on disk: one file per venue, so that a start without the venue's REST endpoint works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from monitor.errors import StateError
from monitor.instruments import Instrument
from monitor.runtime.files import write_atomically

VERSION = 1


class _File(msgspec.Struct, frozen=True):
    version: int
    venue: str
    written_ns: int
    instruments: list[Instrument]


@dataclass(frozen=True, slots=True)
class Cached:
    """Instruments of one venue as they were at unix time ``written_ns``."""

    instruments: list[Instrument]
    written_ns: int


class InstrumentsCache:
    """``<data_dir>/instruments/<venue>.json``."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir / "instruments"

    def path(self, venue: str) -> Path:
        """Where a venue's instruments are kept."""
        return self._dir / f"{venue}.json"

    def store(self, venue: str, instruments: list[Instrument], now_ns: int) -> None:
        """Replace a venue's file.

        Raises:
            OSError: It cannot be written.
        """
        self._dir.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(venue), msgspec.json.encode(_File(VERSION, venue, now_ns, instruments)))

    def load(self, venue: str) -> Cached | None:
        """What is kept of a venue; None when there is nothing.

        Raises:
            StateError: The file is corrupt or of another version.
            OSError: It cannot be read.
        """
        try:
            data = self.path(venue).read_bytes()
        except FileNotFoundError:
            return None
        try:
            file = msgspec.json.decode(data, type=_File)
        except msgspec.MsgspecError as error:
            raise StateError(f"{self.path(venue)}: {error}") from error
        if file.version != VERSION or file.venue != venue:
            raise StateError(f"{self.path(venue)}: version {file.version} of {file.venue}")
        return Cached(file.instruments, file.written_ns)
