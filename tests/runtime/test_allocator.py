"""Freed blocks of some size leave the process, also after a larger one was freed."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from monitor.runtime.allocator import give_back_large_blocks

SCRIPT = """
import os, sys
import numpy as np
from monitor.runtime.allocator import give_back_large_blocks

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

if sys.argv[1] == "held":
    assert give_back_large_blocks()
np.ones(3_000_000).sum()  # 24 MB, freed at once: glibc now takes everything below from the heap
before = resident()
blocks = [np.ones(100_000) for _ in range(80)]  # 64 MB
pins = [bytes(1000) for _ in range(1)] + [np.ones(100_000)]
del blocks
print(resident() - before)
"""


def left_mib(mode: str) -> float:
    run = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_blocks_of_a_megabyte_do_not_stay() -> None:
    assert left_mib("as ever") > 30
    assert left_mib("held") < 10


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not give_back_large_blocks()


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not give_back_large_blocks()
