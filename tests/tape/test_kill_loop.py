from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "tape_kill_loop.py"


def test_a_short_kill_loop() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "4", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kills" in done.stdout
