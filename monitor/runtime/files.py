"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` in one step, with the data on the disk before its name changes hands.

    Raises:
        OSError: It cannot be written; the old file stays.
    """
    part = path.with_name(f"{path.name}.part")  # always the same name: a killed process leaves no more than one
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
