"""Decode speed per venue: frames a second through a feed's session, beside `json.loads` of the same frames, in one run.

    python benchmarks/decode.py [--seconds 0.3] [--venue bybit]

Each line takes one typical small frame of a venue's golden session (as bytes, the way frames arrive) and decodes it
over and over on one core: typed decoding, instrument look-up, side and US dollars included. `json.loads` only parses.
Medians over 21 turns in which the two alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitor.errors import DecodeError
from monitor.events import MarketEvent
from monitor.feeds import FEEDS
from tests.feeds.support import NOW_NS
from tests.feeds.test_golden_frames import CASES, session

SMALL = 700
WANTED = ("Trade", "Price", "Funding", "Liquidation", "OpenInterest")
ROUNDS = 21


def typical(path: Path) -> dict[str, bytes]:
    """The smallest frame of a session for each kind of event that comes first in it."""
    found: dict[str, bytes] = {}
    opened = session(path)
    for line in path.read_bytes().splitlines():
        frame = gzip.compress(line) if path.parent.name == "htx" else line
        try:
            events: list[MarketEvent] = opened.session.on_frame(frame, NOW_NS)
        except DecodeError:
            continue
        kind = type(events[0]).__name__ if events else ""
        if kind in WANTED and len(line) < SMALL and (kind not in found or len(line) < len(found[kind])):
            found[kind] = frame
    return found


def timed(call: Callable[[], object], count: int) -> float:
    """Calls per second of processor time: what others do on the machine hardly counts."""
    started = time.process_time()
    for _ in range(count):
        call()
    return count / (time.process_time() - started)


def side_by_side(ours: Callable[[], object], plain: Callable[[], object], seconds: float) -> tuple[float, float, float]:
    """Medians of frames per second of both, and of their ratio, over short turns that alternate.

    A busy machine slows neighbouring turns alike, so the ratio holds where the absolute figures do not.
    """
    count = max(20, int(timed(ours, 200) * seconds / ROUNDS / 2))
    turns = [(timed(ours, count), timed(plain, count)) for _ in range(ROUNDS)]
    return (
        statistics.median(mine for mine, _ in turns),
        statistics.median(other for _, other in turns),
        statistics.median(mine / other for mine, other in turns),
    )


def measure(path: Path, seconds: float) -> None:
    """Print a line per kind of frame."""
    for kind, frame in typical(path).items():
        opened = session(path)
        for line in path.read_bytes().splitlines():  # a delta means something only after its snapshot
            with contextlib.suppress(DecodeError):
                opened.session.on_frame(gzip.compress(line) if path.parent.name == "htx" else line, NOW_NS)
        decode, notices = opened.session.on_frame, opened.session.notices
        events = len(decode(frame, NOW_NS))

        def ours(decode: Callable[..., object] = decode, frame: bytes = frame) -> object:
            return decode(frame, NOW_NS)

        def plain(frame: bytes = frame, packed: bool = path.parent.name == "htx") -> object:  # noqa: FBT001  # bound early
            return json.loads(gzip.decompress(frame) if packed else frame)

        speed, reference, ratio = side_by_side(ours, plain, seconds)
        notices.clear()
        name = f"{path.parent.name}/{path.stem.removeprefix('on-')}"
        print(
            f"{name:26} {kind:13} {len(frame):5}  {events:6}  {speed / 1e6:11.2f}  {reference / 1e6:13.2f}  {ratio:6.1f}"
        )


def main() -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="per line (default: %(default)s)")
    parser.add_argument("--venue", choices=FEEDS, default=None)
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {platform.machine()}, one core; golden frames (synthetic); million frames/s"
    )
    print(f"{'session':26} {'frame':13} bytes  events  this program  json.loads (M)  ratio")
    for path in CASES:
        if options.venue in {None, path.parent.name}:
            measure(path, options.seconds)


if __name__ == "__main__":
    main()
