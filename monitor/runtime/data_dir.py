"""The folder of what the program keeps: state, tapes, caches. For its user alone."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.errors import ConfigError, Problem


def make_data_dir(path: Path) -> None:
    """Make it if it is not there: alerts and thresholds are not for every user of the machine. A folder that is there stays as it is.

    Raises:
        ConfigError: When it cannot be made, or cannot be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"data_dir cannot be created: {error.strerror}")]) from None
    if not os.access(path, os.W_OK):
        raise ConfigError([Problem(str(path), 0, 0, "data_dir is not writable")])
