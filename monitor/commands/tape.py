"""``tape``: what is on a tape, what is missing from it, and cutting a piece out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor import __version__
from monitor.commands.arguments import Parser, time_ns
from monitor.commands.status import bytes_text
from monitor.errors import TapeError
from monitor.feeds import named_feeds
from monitor.format import utc_time
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.load import load
from monitor.tape.cut import cut
from monitor.tape.folder import DAMAGED, FileInfo, inspect, inspect_files, some_files, tape_files
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter

EPILOG = """examples:
  python -m monitor tape info tapes
  python -m monitor tape info tapes --verify --json
  python -m monitor tape cut tapes --from 2025-11-21T04:40 --to 2025-11-21T05:10 --out incident
Times are UTC unless they say otherwise, or unix seconds.
exit code: 0 when the tape is whole, 1 when `info` finds something missing, 2 for wrong input or no tape
"""


def run(argv: Sequence[str]) -> int:
    """Print or cut."""
    options = _parser().parse_args(argv)
    return _cut(options) if options.action == "cut" else _info(options)


def _info(options: argparse.Namespace) -> int:
    found = inspect_files(some_files(options.folder), deep=options.verify)
    if options.json:
        print(json.dumps({"files": [_plain(info) for info in found]}, indent=2))
    else:
        _print(found)
    return 0 if all(info.is_whole for info in found) else 1


def _plain(info: FileInfo) -> dict[str, object]:
    losses = [
        {"offset": loss.offset, "bytes": loss.size, "records": loss.records, "torn": loss.torn, "reason": loss.reason}
        for loss in info.losses
    ]
    return {
        "file": str(info.path),
        "bytes": info.size,
        "raw_bytes": info.raw_bytes,
        "blocks": info.blocks,
        "records": info.records,
        "first_ns": info.first_ns,
        "last_ns": info.last_ns,
        "venues": sorted(info.venues),
        "note": info.note,
        "losses": losses,
        "dropped": dict(info.dropped),
    }


def _print(found: Sequence[FileInfo]) -> None:
    for info in found:
        span = f"{_shown(info.first_ns)} to {_shown(info.last_ns)}"
        print(f"{info.path.name}  {span}  {info.records:,} records, {bytes_text(info.size)} in {info.blocks:,} blocks")
        print(f"    {', '.join(sorted(info.venues))}{'  ' + info.note if info.note else ''}")
        for loss in info.losses:
            print(f"    MISSING {loss}")
        for reason, count in info.dropped.items():
            print(f"    MISSING {dropped_text(count, reason)}")
    records, size, raw = (sum(getattr(info, name) for info in found) for name in ("records", "size", "raw_bytes"))
    ratio = f", 1:{raw / size:.1f}" if size else ""
    losses, dropped = sum(len(info.losses) for info in found), sum(info.dropped.total() for info in found)
    never = f", {dropped:,} records never written" if dropped else ""
    print(
        f"{len(found)} file{'' if len(found) == 1 else 's'}, {records:,} records, {bytes_text(size)}{ratio}, {losses:,} losses{never}"
    )


def dropped_text(count: int, reason: str) -> str:
    """What the recorder could not write, in words."""
    why = {
        "slow": "the disk was too slow",
        "disk": "the disk refused",
        DAMAGED: "damaged on the tape that this was cut from",
    }
    return f"{count} records that were never written: {why.get(reason, reason)}"


def _shown(moment_ns: int | None) -> str:
    return "-" if moment_ns is None else utc_time(moment_ns)


def _cut(options: argparse.Namespace) -> int:
    some_files(options.folder)
    if tape_files(options.out):
        raise TapeError("there is a tape here already; give an empty folder", str(options.out))
    try:
        writer = TapeWriter(options.out, program=f"monitor {__version__}", note=_note(options.folder))
        try:
            report = cut(options.folder, writer, options.start, options.end, _replay(options))
        finally:
            writer.close()
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(options.out)) from None
    for loss in report.losses:
        sys.stderr.write(f"MISSING {loss}\n")
    for reason, count in report.dropped.items():
        sys.stderr.write(f"MISSING {dropped_text(count, reason)}\n")
    if report.unknown:
        sys.stderr.write(
            f"{report.unknown} connections were open before, and what they had said is unknown: "
            "the tape names no feeds for them (give --config)\n"
        )
    print(f"{report.records} records, and {report.carried} of before, to {options.out}; {len(report.losses)} losses")
    return 1 if report.losses or report.dropped else 0


def _replay(options: argparse.Namespace) -> Replay:
    """Reads what lies before the piece, with the feeds that the tape names or those of a configuration."""
    feeds = load(options.config, os.environ).feeds if options.config else ()
    return Replay(feeds, lambda: Repeats().is_new, None if options.config else named_feeds)


def _note(folder: Path) -> str:
    return next((info.note for info in map(inspect, some_files(folder)) if info.note), "")


def _action(actions: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    """A parser whose own help has the examples and exit codes, too."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=purpose, description=f"``tape {name}``: {purpose}.", epilog=EPILOG
    )
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor tape", description=__doc__, epilog=EPILOG)
    actions = parser.add_subparsers(dest="action", required=True)
    info = _action(actions, "info", "files, times, venues, losses")
    info.add_argument("folder", type=Path, metavar="DIR", help="folder of the tape")
    info.add_argument("--json", action="store_true", help="print JSON instead of text")
    info.add_argument("--verify", action="store_true", help="read every block, not just the index")
    piece = _action(actions, "cut", "copy a stretch into a tape of its own")
    piece.add_argument("folder", type=Path, metavar="DIR", help="folder of the tape")
    piece.add_argument("--from", dest="start", type=time_ns, metavar="TIME", help="where the piece begins")
    piece.add_argument("--to", dest="end", type=time_ns, metavar="TIME", help="where it ends")
    piece.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder for it")
    piece.add_argument("--config", type=Path, metavar="FILE", help="feeds, where the tape does not name them")
    return parser
