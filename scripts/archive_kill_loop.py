"""Kill an export at random moments, also while it replaces what was there, and read what it left.

    python scripts/archive_kill_loop.py --rounds 100

A tape of synthetic numbered trades grows from round to round. A child exports it into an archive (``--replace`` in some
rounds, into another origin), and is killed (SIGKILL). The archive must then be what it was before the round or what the
round would have made of it: every number once, in order, nothing double and nothing half. Every few rounds the child may
finish, and then no file may be left that no manifest names.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from monitor.archive.manifest import Lost, is_archive, read_manifests
from monitor.archive.reader import Archive
from monitor.archive.writer import ArchiveWriter, Limits
from monitor.clock import NS_PER_S
from monitor.events import Event, Trade
from monitor.instruments import Instrument

START_NS = 1_763_683_200 * NS_PER_S
ITEM = Instrument(venue="toy", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
WHOLE_EVERY = 7


def event(number: int) -> Event:
    """The trade of a number: a day has some hundreds."""
    at_ns = START_NS + number * 100 * NS_PER_S
    return Trade(ITEM, "buy", number, 1.0, at_ns, at_ns)


def child(folder: Path, origin: str, first: int, count: int) -> None:
    """Export numbers from `first` on, `count` of them; says so when the files begin to move and when it is done."""
    with ArchiveWriter(
        folder, origin, "kill loop", note="synthetic", limits=Limits(64, 128, 64), replace=True
    ) as writer:
        for number in range(first, first + count):
            writer.add(START_NS + number * 100 * NS_PER_S, (event(number),))
        print("written", flush=True)
        writer.commit(START_NS, writer.last_ns + 1, Lost())
    print("done", flush=True)


def numbers(folder: Path) -> list[int]:
    """What the archive says, every file of it read."""
    if not is_archive(folder):
        return []
    return [found.usd_micros for _, found in Archive(folder).events() if isinstance(found, Trade)]


def round_(folder: Path, origin: str, span: tuple[int, int], wait_s: float | None) -> str:
    """One child, killed `wait_s` after its files were written; None: it may finish. What the archive is then.

    Raises:
        AssertionError: It is neither what it was nor what it should be.
    """
    before, wanted = numbers(folder), list(range(span[0], span[0] + span[1]))
    words = [sys.executable, __file__, "--child", str(folder), origin, str(span[0]), str(span[1])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        if wait_s is not None:
            time.sleep(wait_s)
            process.kill()
        process.stdout.read()
    after = numbers(folder)
    assert after in (before, wanted), (
        f"neither the {len(before)} of before nor the {len(wanted)} wanted, but {len(after)}"
    )
    if wait_s is None:
        assert after == wanted
        named = {name for manifest in read_manifests(folder) for name in manifest.paths}
        files = (path.relative_to(folder) for path in folder.rglob("*.parquet"))
        left = {str(path) for path in files if not path.parts[0].startswith(".writing-")} - named
        assert not left, f"left behind: {sorted(left)[:3]}"
        return "finished"
    return "as before" if after == before else "as wanted"


def main() -> int:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        folder, origin, first, count = options.child
        child(Path(folder), origin, int(first), int(count))
        return 0
    rng = random.Random(options.seed)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for number in range(1, options.rounds + 1):
            origin = rng.choice(["one", "other"])
            span = (rng.randrange(0, 50), 500 + 10 * number)
            wait_s = None if number % WHOLE_EVERY == 0 else rng.uniform(0.0, 0.03)
            found[round_(Path(name) / "archive", origin, span, wait_s)] += 1
    print(f"{options.rounds} rounds: {dict(sorted(found.items()))}; nothing double, nothing half, nothing left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
