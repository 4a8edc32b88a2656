from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("script", ["kill_loop.py", "alert_path_kill_loop.py"])
def test_a_short_kill_loop(script: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, "--rounds", "4", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differences 0" in done.stdout
