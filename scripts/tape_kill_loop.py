"""Kill a recording process at random moments and read what it left: every block but the torn end must come back.

    python scripts/tape_kill_loop.py --rounds 100

The child records synthetic frames that are numbered without a hole, and prints how many are on the disk for sure. The
parent kills it (SIGKILL), reads the tape and compares: numbers without a hole from 0, none lost that was on the disk,
at most one torn end, and the reader says where it is.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from monitor.clock import SystemClock
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.folder import read_folder, tape_files
from monitor.tape.reader import Loss
from monitor.tape.writer import TapeLimits, TapeWriter


def child(folder: Path) -> None:
    """Record until killed."""
    clock = SystemClock()
    writer = TapeWriter(folder, TapeLimits(file_bytes=400_000), program="kill loop", note="synthetic")
    noise = random.Random(1)
    number = 0
    with Recorder(writer, clock, block_bytes=60_000, flush_s=0.02) as tap:
        while True:
            for _ in range(200):
                tap("toy/0#1", "in", f'{{"n":{number},"noise":"{noise.getrandbits(400):x}"}}', number)
                number += 1
            print(tap.recorded, flush=True)
            time.sleep(0.002)


def check(folder: Path, promised: int) -> tuple[int, int]:
    """How many records came back, and how many torn ends there were.

    Raises:
        AssertionError: A record is missing that must not be.
    """
    if not promised and not tape_files(folder):
        return 0, 0  # killed before the first block was due
    numbers, losses = [], []
    for item in read_folder(folder):
        if isinstance(item, Loss):
            losses.append(item)
        else:
            numbers.append(item.recv_ns)
    assert numbers == list(range(len(numbers))), "a hole"
    assert len(numbers) >= promised, f"{promised} were on the disk, {len(numbers)} came back"
    assert all(loss.torn for loss in losses), losses
    assert len(losses) <= 1, losses
    return len(numbers), len(losses)


def round_(seconds: float) -> tuple[int, int]:
    """One process, killed after `seconds` of recording."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with subprocess.Popen(
            [sys.executable, __file__, "--child", name], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(seconds)
            process.kill()
            rest = process.stdout.read().splitlines()
        whole = [int(line) for line in rest[:-1]]
        return check(folder, max(whole, default=0))


def main() -> int:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child)
    rng = random.Random(options.seed)
    results = [round_(rng.uniform(0.0, 0.5)) for _ in range(options.rounds)]
    records, torn = (sum(column) for column in zip(*results, strict=True))
    print(f"{options.rounds} kills: {records} records read back without a hole, {torn} torn ends, all located")
    return 0


if __name__ == "__main__":
    sys.exit(main())
