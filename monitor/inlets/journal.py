"""Keeps what was pushed in over a restart, as rows of the inlet's own format: JSON, one object a line.

Who pushed a value was told that it was taken, and will not push it again. Two files, the older of which is replaced when
the newer one is full, so that the disk use is bounded; a line that was cut by a crash is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import msgspec

from monitor.inlets.rows import Reading, Row, read_rows, written

FULL_BYTES = 8 * 1024 * 1024


class Journal:
    """A file that rows are appended to, and the one before it.

    Args:
        path: The file; its predecessor has ``.1`` at the end.
        full_bytes: Size at which a new one is begun.
    """

    def __init__(self, path: Path, full_bytes: int = FULL_BYTES) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.1")
        self._full_bytes = full_bytes

    def keep(self, rows: Iterable[Row]) -> None:
        """Append rows; the process may be killed right after.

        Raises:
            OSError: The disk refuses.
        """
        lines = b"".join(msgspec.json.encode(written(row)) + b"\n" for row in rows)
        if not lines:
            return
        with self._path.open("ab") as file:
            file.write(lines)
            full = file.tell() >= self._full_bytes
        if full:
            self._path.replace(self._before)

    def read(self, recv_ns: int) -> Reading:
        """Every row that was kept, oldest first; refused are lines that cannot be read."""
        return read_rows(chain.from_iterable(_rows(path) for path in (self._before, self._path)), recv_ns)


def _rows(path: Path) -> Iterable[object]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield line
