"""Damage golden frames and check that every feed gives events or a counted decode error, whatever the bytes.

    python scripts/fuzz_feeds.py --frames 1000000 [--seed 1] [--venue bybit]

Every frame is damaged anew from the golden sessions of all venues in the registry. A venue's session is replaced every
thousand frames. Prints frames tried, events and decode errors per venue; exits 1 at the first exception that is not a
`DecodeError`, with the frame that caused it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitor.errors import DecodeError
from monitor.feeds import FEEDS
from tests.feeds.support import NOW_NS, Opened
from tests.feeds.test_golden_frames import CASES, mutate, session

SESSION_FRAMES = 1_000
HOSTILE: tuple[Any, ...] = (
    None, True, "", "0", "-1", 0, -1, 1e308, 10**30, -(10**30), "NaN", "Infinity", "1e999999999", "-1e-999999999", "x" * 300,
    "\ud800", "\x00", [], {}, [[]], [None], {"a": {}}, "BTCUSDT", "BTC-USDT-SWAP", 1763700000000, "1763700000000", 2**63, "snapshot",
)  # fmt: skip


def attempt(opened: Opened, frame: bytes, packed: bool, counts: Counter[str]) -> None:  # noqa: FBT001  # a flag of the venue
    """Decode one frame and count what came of it."""
    counts["frames"] += 1
    try:
        counts["events"] += len(opened.session.on_frame(gzip.compress(frame, 1) if packed else frame, NOW_NS))
    except DecodeError:
        counts["decode errors"] += 1
    counts["notices"] += len(opened.session.notices)
    opened.session.notices.clear()


def respell(frame: bytes, dice: random.Random) -> bytes:
    """Valid JSON with a value in one or two places replaced: reaches further than damaged bytes."""
    try:
        value = json.loads(frame)
    except ValueError:
        return frame[::-1]
    for _ in range(dice.randint(1, 2)):
        value = replace(value, dice)
    return json.dumps(value).encode()


def replace(value: Any, dice: random.Random) -> Any:
    """The value with one part of it changed, at a random depth."""
    if isinstance(value, dict) and value and dice.random() < 0.95:
        name = dice.choice(list(value))
        return {**value, name: replace(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.95:
        at = dice.randrange(len(value))
        return [*value[:at], replace(value[at], dice), *value[at + 1 :]]
    return dice.choice(HOSTILE)


def fuzz(path: Path, frames: int, dice: random.Random) -> Counter[str]:
    """Damage the frames of one golden session so many times."""
    counts: Counter[str] = Counter()
    golden = path.read_bytes().splitlines()
    opened = session(path)
    for number in range(frames):
        if number % SESSION_FRAMES == 0:
            opened = session(path)
            for line in golden:
                attempt(opened, line, path.parent.name == "htx", counts)
        line = dice.choice(golden)
        damaged = mutate(line, dice) if number % 2 else respell(line, dice)
        try:
            attempt(opened, damaged, path.parent.name == "htx", counts)
        except Exception:
            print(f"{path.parent.name}: uncaught, from the frame\n{damaged!r}", file=sys.stderr)
            raise
    return counts


def main() -> int:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--venue", choices=FEEDS, default=None)
    options = parser.parse_args()
    cases = [path for path in CASES if options.venue in {None, path.parent.name}]
    missing = set(FEEDS) - {path.parent.name for path in CASES}
    started, total = time.perf_counter(), Counter[str]()
    for path in cases:
        counts = fuzz(path, options.frames // len(cases), random.Random(f"{options.seed} {path}"))
        total += counts
        print(
            f"{path.parent.name + '/' + path.stem:32}"
            + "  ".join(f"{name} {count:>9,}" for name, count in counts.items())
        )
    seconds = time.perf_counter() - started
    print(
        f"{total['frames']:,} frames tried on {len(cases)} sessions in {seconds:.0f} s, none uncaught; seed {options.seed}"
    )
    if missing:
        print(f"no golden frames: {', '.join(sorted(missing))}")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
