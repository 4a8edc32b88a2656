"""``export``: turn a raw tape into an archive of normalised events in Parquet, by day and venue."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor import __version__
from monitor.archive.export import Choice, export
from monitor.archive.manifest import Manifest
from monitor.commands.arguments import Once, Parser, time_ns
from monitor.feeds import FEEDS
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.load import load

EPILOG = """examples:
  python -m monitor export --tape data/tape --out archive
  python -m monitor export --tape data/tape --out archive --from 2025-11-21 --to 2025-11-22
  python -m monitor export --tape data/tape --out archive --venue bybit --venue okx --json
then: python -m monitor backtest --tape archive      and SELECT ... FROM 'archive/trades/**/*.parquet' in DuckDB

exit codes: 0 all of it, 1 written but something was missing on the tape, 2 wrong input, no tape, no room
The same command again replaces what it wrote before. Times are UTC unless they say otherwise, or unix seconds.
The feeds are those that the tape names; --config gives them for a tape of an older program, which names none.
"""
_BAR = 30


def run(argv: Sequence[str]) -> int:
    """Export, and say what was written and what was missing."""
    options = _parser().parse_args(argv)
    venues = frozenset(options.venue) if options.venue else None
    manifest = export(
        options.tape,
        options.out,
        feeds=load(options.config, os.environ).feeds if options.config else None,
        repeats=lambda: Repeats().is_new,
        choice=Choice(options.start, options.end, venues),
        program=f"monitor {__version__}",
        replace=options.replace,
        progress=_show if sys.stderr.isatty() else None,
    )
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    if options.json:
        print(json.dumps(plain(manifest), indent=2))
    else:
        print("\n".join(text(manifest, options.out)))
    return 1 if manifest.lost.total else 0


def plain(manifest: Manifest) -> dict[str, object]:
    """What was written, for machines."""
    lost = manifest.lost
    return {
        "origin": manifest.origin,
        "source": manifest.source,
        "note": manifest.note,
        "start_ns": manifest.start_ns,
        "end_ns": manifest.end_ns,
        "rows": manifest.rows,
        "files": [part.path for part in manifest.parts],
        "venues": sorted({part.venue for part in manifest.parts}),
        "losses": list(lost.losses),
        "dropped": lost.dropped,
        "skipped": lost.skipped,
        "undecoded": lost.undecoded,
        "steps_back": lost.steps_back,
    }


def text(manifest: Manifest, out: Path) -> list[str]:
    """What was written, for people."""
    lost = manifest.lost
    rows = ", ".join(f"{count} {table}" for table, count in manifest.rows.items())
    lines = [f"{sum(manifest.rows.values())} rows in {len(manifest.parts)} files of {out}: {rows}"]
    if manifest.note:
        lines.append(manifest.note)
    lines += [f"MISSING {loss}" for loss in lost.losses]
    for what, counts in (
        ("frames dropped", lost.dropped),
        ("records skipped", lost.skipped),
        ("not decoded", lost.undecoded),
    ):
        lines += [f"MISSING {count} {what}: {reason}" for reason, count in counts.items()]
    if lost.steps_back:
        lines.append(f"the recorder's clock was set back {lost.steps_back} times")
    return lines


def _show(share: float, events: int) -> None:
    done = int(share * _BAR)
    sys.stderr.write(f"\r[{'#' * done}{'.' * (_BAR - done)}] {share:4.0%}  {events} events\033[K")


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor export", description=__doc__, epilog=EPILOG)
    parser.add_argument("--tape", action=Once, type=Path, required=True, metavar="DIR", help="folder of the tape")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the archive")
    parser.add_argument("--from", dest="start", type=time_ns, metavar="TIME", help="leave out what is before")
    parser.add_argument("--to", dest="end", type=time_ns, metavar="TIME", help="leave out what comes then")
    parser.add_argument("--venue", action="append", choices=sorted(FEEDS), metavar="VENUE", help="only this; repeat")
    parser.add_argument("--config", type=Path, metavar="FILE", help="feeds, where the tape does not name them")
    parser.add_argument("--replace", action="store_true", help="remove other exports of the same data from the archive")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser
