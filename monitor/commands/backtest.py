"""``backtest``: run rules over recorded history and say when each alert would have been pending, fired and resolved."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from monitor import format as fmt
from monitor.backtest.ask import Answer, Ask, answer, only, stretch_of, sweep_text
from monitor.backtest.compare import difference_text, with_rules
from monitor.backtest.exact import exact
from monitor.backtest.histories import open_history
from monitor.backtest.history import Stretch
from monitor.backtest.page import as_html
from monitor.backtest.run import Progress
from monitor.backtest.sweep import parse_sweep
from monitor.backtest.text import as_text
from monitor.backtest.verdict import parse_verdict
from monitor.clock import NS_PER_S, Clock, SystemClock
from monitor.commands.arguments import Once, Parser, duration_ns, time_ns
from monitor.errors import ConfigError, Problem, TapeError
from monitor.runtime.load import Loaded, load

EPILOG = """examples:
  python -m monitor backtest --config config.yaml --tape data/tape
  python -m monitor backtest --tape data/tape --from 2025-11-21 --to 2025-11-22 --html report.html
  python -m monitor backtest --tape data/tape --rule LiquidationsOver1BillionPerHour --sweep threshold=200M..2B
  python -m monitor backtest --tape data/tape --compare new-rules/*.yaml
  python -m monitor backtest --tape data/tape --json --fail-if "fired_per_week > 20 or missing > 0"

exit codes: 0 it ran, 1 the condition of --fail-if holds, 2 wrong input, a rule that does not exist, an empty stretch
Times are UTC unless they say otherwise, or unix seconds.
"""
_BAR = 30
_PACE_NS = 20 * NS_PER_S
"""Over so long the pace is taken; a tenth of it has to pass first."""


def run(argv: Sequence[str]) -> int:
    """Run, print, judge."""
    options = _parser().parse_args(argv)
    sweep = parse_sweep(options.sweep) if options.sweep else None
    loaded = load(options.config, os.environ)
    if options.rules:
        loaded = with_rules(loaded, options.rules, "--rules")
    named = set(options.rule)
    known = {rule.name: rule for rule in loaded.rules.alerts if not named or not named.isdisjoint({rule.name, rule.id})}
    verdict = parse_verdict(options.fail_if, known) if options.fail_if else None
    if options.html:
        _try_out(options.html)
    history = open_history(options.tape, loaded)
    ask = Ask(
        rules=tuple(options.rule),
        start_ns=options.start,
        end_ns=options.end,
        grid_ns=options.grid,
        others=tuple(options.compare),
        sweep=sweep,
        reference=options.reference,
        charts=options.html is not None,
    )
    progress = Bar(sys.stderr, stretch_of(history, ask), SystemClock()) if sys.stderr.isatty() else None
    found = _exact(loaded, options, ask, progress) if options.exact else answer(loaded, history, ask, progress)
    if progress is not None:
        progress.clear()
    if options.html:
        _write(options.html, as_html(found))
    print(json.dumps(found.plain(), indent=2) if options.json else _text(found))
    if verdict is not None and verdict(found.report):
        sys.stderr.write(f"monitor backtest: this holds: {options.fail_if}\n")
        return 1
    return 0


def _exact(loaded: Loaded, options: argparse.Namespace, ask: Ask, progress: Progress | None) -> Answer:
    """Refuse what has no meaning at the recorded instants, and run."""
    others: dict[str, object] = {"--from": ask.start_ns, "--to": ask.end_ns, "--grid": ask.grid_ns}
    others |= {"--compare": ask.others or None, "--sweep": ask.sweep}
    problems = [
        Problem(name, 0, 0, "cannot be had with --exact", "which runs a whole tape as it was recorded")
        for name, value in others.items()
        if value is not None
    ]
    if problems:
        raise ConfigError(problems)
    return Answer(exact(only(loaded, ask.rules), options.tape, progress, charts=ask.charts))


def _text(found: Answer) -> str:
    parts = [as_text(found.report)]
    if found.difference is not None:
        parts.append(difference_text(found.difference))
    if found.table is not None:
        parts.append("\n".join(sweep_text(found.table)))
    return "\n\n".join(parts)


def _try_out(path: Path) -> None:
    """Better to know now that it cannot be written; what was there stays, and nothing empty is left behind."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        was_there = path.exists()
        path.open("a").close()
        if not was_there:
            path.unlink()
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(path)) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(path)) from None


class Bar:
    """How far it has come, and how long the rest will take, in one line of a terminal.

    Filling the windows is a part of the way, too. The time to go is that of the rest at the pace of the last seconds.

    Args:
        out: The terminal.
        stretch: Where the way ends, and alerts begin to count.
        clock: Tells how much time has passed.
    """

    def __init__(self, out: TextIO, stretch: Stretch, clock: Clock) -> None:
        self._out, self._stretch, self._clock = out, stretch, clock
        self._from_ns: int | None = None
        self._marks: deque[tuple[int, int]] = deque()
        self._shown = ""

    def __call__(self, now_ns: int) -> None:
        """Show an instant."""
        if self._from_ns is None:
            self._from_ns = min(now_ns, self._stretch.start_ns)
        way_ns = self._stretch.end_ns - self._from_ns
        share = min(1.0, (now_ns - self._from_ns) / way_ns)
        what = fmt.utc_time(now_ns) if now_ns >= self._stretch.start_ns else "filling the windows"
        line = f"[{'=' * int(share * _BAR):<{_BAR}}] {share:4.0%}  {what}{self._to_go(now_ns)}"
        if line != self._shown:
            self._shown = line
            self._out.write(f"\r\x1b[K{line}")
            self._out.flush()

    def _to_go(self, now_ns: int) -> str:
        """How long the rest takes at the pace of the last seconds; nothing until there is one."""
        read_ns = self._clock.mono_ns()
        self._marks.append((read_ns, now_ns))
        while read_ns - self._marks[0][0] > _PACE_NS and len(self._marks) > 2:
            self._marks.popleft()
        then_ns, at_ns = self._marks[0]
        if read_ns - then_ns < _PACE_NS // 10 or now_ns <= at_ns:
            return ""
        left_s = (self._stretch.end_ns - now_ns) * (read_ns - then_ns) / (now_ns - at_ns) / NS_PER_S
        return f", {fmt.duration(math.ceil(left_s) * NS_PER_S)} to go" if left_s > 0 else ""

    def clear(self) -> None:
        """Leave the line empty."""
        self._out.write("\r\x1b[K")
        self._out.flush()


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor backtest", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)")
    add("--tape", action=Once, type=Path, required=True, metavar="DIR", help="folder of the history")
    add("--from", dest="start", type=time_ns, metavar="TIME", help="alerts count from here on; windows fill before")
    add("--to", dest="end", type=time_ns, metavar="TIME", help="where it ends")
    add("--rules", nargs="+", default=[], metavar="FILE", help="these rule files instead of the configuration's")
    add("--rule", action="append", default=[], metavar="NAME", help="only this rule; may be repeated")
    add("--grid", type=duration_ns, metavar="TIME", help="evaluate so often (default: as live, coarser over weeks)")
    add("--exact", action="store_true", help="evaluate a whole tape at the very instants of the monitor that wrote it")
    add("--compare", nargs="+", default=[], metavar="FILE", help="what would change with these rule files")
    add("--sweep", metavar="NAME=LOW..HIGH[:STEPS]", help="try values of a parameter, or of the threshold, of one rule")
    add("--reference", default="", metavar="RULE", help="measure the lead of a sweep against this rule")
    add("--fail-if", metavar="CONDITION", help="end with 1 if this holds, such as 'fired > 10 or missing > 0'")
    add("--html", type=Path, metavar="FILE", help="write a report with charts, one file that needs nothing else")
    add("--json", action="store_true", help="print everything, for machines")
    return parser
