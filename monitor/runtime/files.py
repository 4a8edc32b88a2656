"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace `path` in one step, with the data on the disk before its name changes hands.

    Without `sync` nothing waits for the disk: the file is whole after the process is killed, but may be empty after a power cut.

    Raises:
        OSError: It cannot be written; the old file stays.
    """
    part = path.with_name(f"{path.name}.part")  # always the same name: a killed process leaves no more than one
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
