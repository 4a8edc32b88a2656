"""``replay``: run the monitor that recorded again, as fast as it goes, and give its alert log again, byte for byte."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import count, zip_longest
from pathlib import Path

from monitor import format as fmt
from monitor.backtest.again import run_again
from monitor.backtest.histories import open_history
from monitor.clock import NS_PER_S, Clock, SystemClock
from monitor.commands.arguments import Once, Parser
from monitor.commands.backtest import Bar
from monitor.errors import ConfigError, Problem, TapeError
from monitor.language.problems import did_you_mean
from monitor.runtime.load import Loaded, load
from monitor.runtime.steps.rerun import AlertLog, Rerunner, RerunReport, Rules, Watcher
from monitor.sink import SinkOptions
from monitor.sinks import sink_options

EPILOG = """examples:
  python -m monitor replay --config config.yaml --tape data/tape --out alerts.jsonl
  python -m monitor replay --config config.yaml --tape data/tape --against data/alerts.jsonl     is it what was sent?
  python -m monitor replay --config config.yaml --tape archive --against data/alerts.jsonl       the same from Parquet
  python -m monitor replay --config other.yaml --tape data/tape --rules given                    under other rules

The log is what one sink was given, one JSON line each, as the file sink writes it: the first file sink, or --sink NAME.
It needs what a running monitor wrote (`record:` in the configuration, or `demo --record`), or an export of that. Rules,
routes, reloads and the feeds' options are those of the recording; sinks and the engine's limits are the configuration's.
exit codes: 0 the same again, 1 something is missing or it differs from --against, 2 wrong input
"""
EVERY = 2000
"""Steps between two looks at the progress bar."""
MOST_FIELDS = 12
"""Of a line that differs: one that is another notification altogether differs in all."""


def run(argv: Sequence[str], clock: Clock | None = None) -> int:
    """Run it again, write the log, say how faithful it is."""
    options = _parser().parse_args(argv)
    clock = clock or SystemClock()
    loaded = load(options.config, os.environ)
    sink = _sink(loaded, options.sink)
    live = _read(options.against) if options.against else None
    stretch = open_history(options.tape, loaded).stretch
    bar = Bar(sys.stderr, stretch, clock) if sys.stderr.isatty() else None
    log, began_ns = AlertLog(), clock.mono_ns()
    report = run_again(loaded, options.tape, log, rules=Rules(options.rules), watcher=_moving(bar) if bar else None)
    took_s = (clock.mono_ns() - began_ns) / NS_PER_S
    if bar is not None:
        bar.clear()
    lines = list(log.lines(sink))
    _write(options.out, lines)
    differs = _difference(lines, live) if live is not None else ""
    told = _plain(report, len(log.transitions), len(lines), sink, differs if live is not None else None)
    if options.json:
        sys.stderr.write(json.dumps(told, indent=2) + "\n")
    else:
        speed = stretch.length_ns / NS_PER_S / max(took_s, 1e-9)
        what = f"{report.steps:,} steps, {_taken(report)}, {len(log.transitions):,} transitions"
        took = f"{fmt.duration(stretch.length_ns)} in {took_s:.1f} s ({speed:,.0f} times as fast)"
        words = [f"{took}: {what}, {len(lines):,} lines of {sink!r}", *_missing(report)]
        if live is not None:
            words.append(differs or f"the same as {options.against}, byte for byte")
        sys.stderr.write("\n".join(words) + "\n")
    return 0 if report.exact and not differs else 1


def _sink(loaded: Loaded, name: str) -> str:
    """Whose notifications are the log."""
    known: list[SinkOptions] = [sink_options(entry) for entry in loaded.source.config.sinks]
    names = {sink.name or sink.type: sink.type for sink in known}
    if name and name not in names:
        hint = did_you_mean(name, names) or f"there are: {', '.join(names) or 'none'}"
        raise ConfigError([Problem("--sink", 1, 1, f"no sink {name!r}", hint, name, len(name))])
    if not names:
        raise ConfigError([Problem("--sink", 0, 0, "the configuration has no sink", "add: sinks: [{type: console}]")])
    return name or next((own for own, kind in names.items() if kind == "file"), next(iter(names)))


def _moving(bar: Bar) -> Watcher:
    """Moves the bar now and then."""
    steps = count(1)

    def look(_monitor: Rerunner, now_ns: int) -> None:
        if next(steps) % EVERY == 0:
            bar(now_ns)

    return look


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(path)) from None


def _write(path: Path | None, lines: Sequence[bytes]) -> None:
    if path is None:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.flush()
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(path)) from None


def _difference(lines: Sequence[bytes], live: bytes) -> str:
    """Where the two logs part, in words; empty where they do not."""
    theirs = live.splitlines(keepends=True)
    for number, (own, other) in enumerate(zip_longest(lines, theirs), start=1):
        if own != other:
            where = f"DIFFERS at line {number} ({len(lines)} here, {len(theirs)} there):"
            return "\n".join([where, *_parted(own, other)])
    return ""


def _parted(own: bytes | None, other: bytes | None) -> list[str]:
    """In what two lines differ: their fields, or what there is of them where one is none of the log's."""
    here, there = _fields(own), _fields(other)
    if not here or not there:
        return [f"  here   {_shown(own)}", f"  there  {_shown(other)}"]
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if not names:
        return ["  in how it is written, not in what it says"]
    words = [f"  {name}: {here.get(name, 'nothing')} here, {there.get(name, 'nothing')} there" for name in names]
    more = len(words) - MOST_FIELDS
    return [*words[:MOST_FIELDS], f"  and {more} more fields"] if more > 0 else words


def _fields(line: bytes | None) -> dict[str, str]:
    """The values of a line by their place in it (``alerts.0.value``); empty for what is no line of a log."""
    try:
        return dict(_leaves("", json.loads(line or b"")))
    except (ValueError, RecursionError):
        return {}


def _leaves(place: str, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict | list) or not value:
        yield place, json.dumps(value)
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(f"{place}.{name}" if place else str(name), inner)


def _shown(line: bytes | None) -> str:
    return "nothing" if line is None else line.decode("utf-8", "replace").rstrip("\n")


def _taken(report: RerunReport) -> str:
    history = f" ({report.history:,} of them history)" if report.history else ""
    return f"{report.events:,} events{history}"


def _missing(report: RerunReport) -> Iterator[str]:
    """What stands between this and the live run."""
    tape = report.tape
    yield from (f"MISSING {loss if loss.size else loss.reason}" for loss in tape.losses)
    for what, counts in (
        ("frames dropped", tape.lost_frames),
        ("records skipped", tape.skipped),
        ("records that cannot be used", report.odd),
    ):
        yield from (f"MISSING {count} {what}: {reason}" for reason, count in counts.items())
    if report.short:
        yield f"MISSING {report.short} events that the recording monitor had taken"
    if report.engine_errors:
        yield f"MISSING {report.engine_errors} events of batches at which the engine failed, as it does live"
    if report.cold:
        yield "MISSING what was before: it begins in the middle, so windows were empty that were full"
    if report.reloads["ignored"]:
        yield f"other rules: {report.reloads['ignored']} reloads were left out"


def _plain(report: RerunReport, transitions: int, lines: int, sink: str, differs: str | None) -> dict[str, object]:
    """How it went, for machines."""
    return {
        "exact": report.exact,
        "starts": report.starts,
        "steps": report.steps,
        "events": report.events,
        "history": report.history,
        "reloads": dict(report.reloads),
        "transitions": transitions,
        "sink": sink,
        "lines": lines,
        "same": None if differs is None else not differs,
        "difference": differs or None,
        "missing": list(_missing(report)),
    }


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor replay", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)")
    add(
        "--tape",
        action=Once,
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the tape, or of an archive exported from it",
    )
    add("--out", type=Path, metavar="FILE", help="write the log there instead of printing it")
    add("--against", type=Path, metavar="FILE", help="compare with what the file sink wrote live")
    add("--sink", default="", metavar="NAME", help="whose log (default: the first file sink)")
    add(
        "--rules",
        choices=[rules.value for rules in Rules],
        default="recorded",
        help="whose rules run (default: recorded)",
    )
    add("--json", action="store_true", help="say how it went in JSON, on standard error")
    return parser
