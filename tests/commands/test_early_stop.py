"""A service that is stopped while it still loads ends as one that is stopped later: with 0, and without a word too much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = """
listen: 127.0.0.1:0
backfill: false
rules: []
feeds: [{venue: bybit, symbols: [BTCUSDT], ws_url: "ws://127.0.0.1:9", rest_url: "http://127.0.0.1:9"}]
"""


def catches_sigterm(process: subprocess.Popen[str]) -> bool:
    """Whether the process has a handler for it, as the kernel says."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(mask >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc says when the handler is there")
@pytest.mark.parametrize(
    "arguments",
    [["--config", "config.yaml"], ["record", "--out", "tape"], ["demo", "--listen", "127.0.0.1:0"]],
    ids=str,
)
def test_sigterm_while_loading_is_success(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "monitor", *arguments]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not catches_sigterm(process):
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=90)
    assert process.returncode == 0, words
    assert "Traceback" not in words
