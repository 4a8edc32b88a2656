"""The sources of history: one file each, and one line in `HISTORIES`.

An entry says whether a folder is one of its own, and opens it. The first that knows a folder takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitor.backtest.histories import parquet, tape
from monitor.backtest.history import History
from monitor.errors import TapeError
from monitor.runtime.load import Loaded
from monitor.tape.folder import may_read


@dataclass(frozen=True, slots=True)
class Kind:
    """A registered source of history."""

    knows: Callable[[Path], bool]
    open: Callable[[Path, Loaded], History]


HISTORIES: dict[str, Kind] = {
    "tape": Kind(tape.knows, tape.TapeHistory),
    "parquet": Kind(parquet.knows, parquet.ParquetHistory),
}


def open_history(folder: Path, loaded: Loaded) -> History:
    """Open whatever is in a folder.

    Raises:
        TapeError: Nothing there is known, or it cannot be read.
    """
    if not folder.is_dir():
        raise TapeError("there is no such folder", str(folder))
    if not may_read(folder):
        raise TapeError("it may not be read", str(folder))
    for kind in HISTORIES.values():
        if kind.knows(folder):
            return kind.open(folder, loaded)
    raise TapeError(f"no history here (looked for: {', '.join(HISTORIES)})", str(folder))
