"""``import``: take history that others recorded (CSV or Parquet) into an archive, by a mapping of its columns."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor import __version__
from monitor.archive.manifest import Lost, Manifest, origin_name
from monitor.archive.mapping import Mapping, load_mapping
from monitor.archive.outside import Importer, Outcome, first_few
from monitor.archive.sheets import read_rows
from monitor.archive.standing import held
from monitor.archive.writer import ArchiveWriter
from monitor.clock import Clock, SystemClock
from monitor.commands.arguments import Parser
from monitor.commands.export import plain, text
from monitor.errors import ConfigError, TapeError

EPILOG = """examples:
  python -m monitor import --mapping candles.yaml BTCUSDT-1h.csv --out archive
  python -m monitor import --mapping liquidations.yaml liquidations.parquet --out archive --keep-good
then: python -m monitor backtest --tape archive
A mapping, for candles:
  version: 1
  kind: candles                # candles, funding, open_interest or liquidations
  venue: binance_usdm
  symbol: BTCUSDT
  interval: 1h
  hold: 1h                     # a close stands until the next one
  columns: {time: {name: open_time, unit: ms}, close: close}

exit codes: 0 every row was taken, 1 some were left out (--keep-good), 2 a row or the mapping is wrong: nothing is written
"""


def run(argv: Sequence[str], clock: Clock | None = None) -> int:
    """Read, check, write."""
    options = _parser().parse_args(argv)
    plan = load_mapping(options.mapping)
    columns, rows = read_rows(options.file)
    found = Importer(plan, str(options.file), (clock or SystemClock()).wall_ns()).run(columns, rows)
    problems = first_few(found.problems, found.bad)
    if problems and (found.bad == found.rows or not options.keep_good):
        raise ConfigError(problems)
    if not found.rows:
        raise TapeError("there is no row in it", str(options.file))
    manifest = _write(options, plan, found)
    for problem in problems:
        sys.stderr.write(f"{problem.render()}\n")
    if options.json:
        print(json.dumps({**plain(manifest), "rows_read": found.rows, "rows_left_out": found.bad}, indent=2))
    else:
        print("\n".join(text(manifest, options.out)))
        print(f"{found.rows} rows read, {found.bad} left out")
    return 1 if found.bad else 0


def _write(options: argparse.Namespace, plan: Mapping, found: Outcome) -> Manifest:
    path: Path = options.file.resolve()
    origin = origin_name(path.stem, hashlib.sha256(f"{plan.kind} {path}".encode()).hexdigest())
    source = f"import of {options.file} ({plan.kind})"
    note = options.note or ""
    with ArchiveWriter(
        options.out, origin, source, note=note, program=f"monitor {__version__}", replace=options.replace
    ) as writer:
        for at_ns, event in held(found.arrivals, plan.kind, plan.hold):
            writer.add(at_ns, (event,))
        lost = Lost(tuple(found.holes), skipped={"bad_row": found.bad} if found.bad else {})
        return writer.commit(found.arrivals[0][0], writer.last_ns + 1, lost)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor import", description=__doc__, epilog=EPILOG)
    parser.add_argument("file", type=Path, metavar="FILE", help="a .csv with a header, or a .parquet")
    parser.add_argument("--mapping", type=Path, required=True, metavar="FILE.yaml", help="what its columns mean")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the archive")
    parser.add_argument("--keep-good", action="store_true", help="leave bad rows out instead of refusing the file")
    parser.add_argument("--note", metavar="TEXT", help="shown with every result, such as: synthetic")
    parser.add_argument("--replace", action="store_true", help="remove other origins of the same data from the archive")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser
