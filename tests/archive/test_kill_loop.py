"""A short run of the loop that kills exports; the long one is `scripts/archive_kill_loop.py --rounds 100`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).parents[2] / "scripts" / "archive_kill_loop.py"


def test_a_short_kill_loop() -> None:
    run = subprocess.run([sys.executable, LOOP, "--rounds", "7"], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "nothing double, nothing half, nothing left behind" in run.stdout
