"""One backtest from question to answer: which rules, which stretch, how often to look, and what else to find out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monitor import format as fmt
from monitor.backtest.compare import Difference, compare, plain_difference, with_rules
from monitor.backtest.history import History, Stretch
from monitor.backtest.report import Report, as_plain, make_report
from monitor.backtest.run import Lane, Progress, chosen, drive, expressions
from monitor.backtest.sweep import Row, Sweep, plain_rows, rows, trials
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError, Problem
from monitor.expression import Expr, Range, Selector, Then, children
from monitor.language.problems import did_you_mean
from monitor.rule import Rule
from monitor.runtime.load import Loaded

MOST_INSTANTS = 3_000_000
COARSER_S = (1, 5, 15, 60, 300, 900, 3600)
"""Grids for histories of weeks and years, where nobody says how often to look."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user wants to know.

    Attributes:
        rules: Names of rules; empty: all.
        start_ns: From when on alerts count; None: from the start of the history.
        end_ns: Until when; None: to its end.
        grid_ns: Distance of two evaluations; None: as live, coarser where there would be very many.
        others: Patterns of other rule files to compare with.
        sweep: Values of a number of one rule to try.
        reference: Name of the rule that a sweep's lead is measured against; empty: the rule itself as it is.
        charts: Whether a page with charts will be made of the answer.
    """

    rules: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    grid_ns: int | None = None
    others: tuple[str, ...] = ()
    sweep: Sweep | None = None
    reference: str = ""
    charts: bool = False


@dataclass(frozen=True, slots=True)
class SweepTable:
    """A sweep's outcome."""

    sweep: Sweep
    rule: Rule
    reference: Rule
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out."""

    report: Report
    difference: Difference | None = None
    table: SweepTable | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        found = as_plain(self.report)
        if self.difference is not None:
            found["compare"] = plain_difference(self.difference)
        if self.table is not None:
            table = self.table
            found["sweep"] = plain_rows(table.sweep, table.rule, table.reference, table.rows)
        return found


def answer(loaded: Loaded, history: History, ask: Ask, progress: Progress | None = None) -> Answer:
    """Run a backtest.

    Raises:
        ConfigError: A rule does not exist, the stretch is empty, or a sweep makes no sense for its rule.
        TapeError: The history cannot be read.
    """
    if ask.reference and ask.sweep is None:
        raise ConfigError([Problem("--reference", 0, 0, "a reference is for a sweep", "give --sweep NAME=VALUES, too")])
    subject = _one_rule(loaded, ask.rules) if ask.sweep is not None else None
    reference = _named(loaded, ask.reference, "--reference") if ask.reference else subject
    names = (*ask.rules, *([ask.reference] if ask.reference and ask.rules else []))
    tried = trials(loaded, subject, ask.sweep) if subject is not None and ask.sweep is not None else []
    if ask.others:
        before, after = _both(loaded, with_rules(loaded, ask.others), names)
        lanes = [Lane(before, tried, charts=ask.charts), Lane(after)]
    else:
        lanes = [Lane(only(loaded, names), tried, charts=ask.charts)]
    stretch = stretch_of(history, ask)
    grid_ns = ask.grid_ns or default_grid_ns(int(loaded.source.config.engine.interval * NS_PER_S), stretch)
    reach_ns = max(reach(lane.loaded.rules.alerts) for lane in lanes)
    warm_from_ns = max(min(history.stretch.start_ns, stretch.start_ns), stretch.start_ns - reach_ns)
    run = drive(lanes, history, stretch, grid_ns, warm_from_ns=warm_from_ns, progress=progress)
    report = make_report(run, history, lanes[0])
    difference = compare(report, make_report(run, history, lanes[1])) if ask.others else None
    table = None
    if subject is not None and reference is not None and ask.sweep is not None:
        theirs = [episode for episode in lanes[0].journal.episodes if episode.rule == reference.id]
        found = rows(ask.sweep, tried, lanes[0].trial_journal.episodes, theirs, stretch)
        table = SweepTable(ask.sweep, subject, reference, tuple(found))
    return Answer(report, difference, table)


def only(loaded: Loaded, names: Sequence[str]) -> Loaded:
    """The rules of these names, all where none is given.

    Raises:
        ConfigError: A name is no rule's.
    """
    for name in names:
        _named(loaded, name, "--rule")
    return chosen(loaded, names)


def _both(loaded: Loaded, others: Loaded, names: Sequence[str]) -> tuple[Loaded, Loaded]:
    """The rules of these names in either; a rule may be only in one of the two."""
    every = [rule for one in (loaded, others) for rule in one.rules.alerts]
    for name in names:
        if not any(name in (rule.name, rule.id) for rule in every):
            raise _no_rule(name, [rule.name for rule in every], "--rule")
    return chosen(loaded, names), chosen(others, names)


def _one_rule(loaded: Loaded, names: Sequence[str]) -> Rule:
    if len(names) == 1:
        return _named(loaded, names[0], "--rule")
    if not names and len(loaded.rules.alerts) == 1:
        return loaded.rules.alerts[0]
    raise ConfigError([Problem("--sweep", 0, 0, "a sweep is of one rule", "name it with --rule NAME")])


def _named(loaded: Loaded, name: str, option: str) -> Rule:
    for rule in loaded.rules.alerts:
        if name in (rule.name, rule.id):
            return rule
    raise _no_rule(name, [rule.name for rule in loaded.rules.alerts], option)


def _no_rule(name: str, known: Iterable[str], option: str) -> ConfigError:
    return ConfigError([Problem(option, 1, 1, f"no rule {name!r}", did_you_mean(name, known), name, len(name))])


def stretch_of(history: History, ask: Ask) -> Stretch:
    """What is asked for of what there is.

    Raises:
        ConfigError: Nothing is.
    """
    whole = history.stretch
    if ask.start_ns is not None and ask.end_ns is not None and ask.start_ns >= ask.end_ns:
        times = f"from {fmt.utc_time(ask.start_ns)} to {fmt.utc_time(ask.end_ns)}"
        raise ConfigError([Problem("--from, --to", 0, 0, f"it ends before it begins: {times}")])
    start_ns = whole.start_ns if ask.start_ns is None else max(whole.start_ns, ask.start_ns)
    end_ns = whole.end_ns if ask.end_ns is None else min(whole.end_ns, ask.end_ns)
    if start_ns >= end_ns:
        covers = f"the history covers {fmt.utc_time(whole.start_ns)} to {fmt.utc_time(whole.end_ns)}"
        raise ConfigError([Problem("--from, --to", 0, 0, "nothing was recorded in this stretch", covers)])
    return Stretch(start_ns, end_ns)


def default_grid_ns(interval_ns: int, stretch: Stretch) -> int:
    """The live grid, or the finest round one with a bearable number of evaluations."""
    candidates = (interval_ns, *(seconds * NS_PER_S for seconds in COARSER_S if seconds * NS_PER_S > interval_ns))
    fine = (grid_ns for grid_ns in candidates if stretch.length_ns <= grid_ns * MOST_INSTANTS)
    return next(fine, candidates[-1])


def reach(rules: Iterable[Rule]) -> int:
    """How far back rules look, in nanoseconds."""
    return max((_reach(expr) for rule in rules for expr in expressions(rule)), default=0)


def _reach(expr: Expr) -> int:
    inner = max((_reach(child) for child in children(expr)), default=0)
    match expr:
        case Range(window_ns=window_ns, offset_ns=offset_ns):
            return inner + window_ns + offset_ns
        case Selector(offset_ns=offset_ns):
            return offset_ns
        case Then(within_ns=within_ns):
            return inner + within_ns
        case _:
            return inner


def sweep_text(table: SweepTable) -> Iterator[str]:
    """The table of a sweep, for a terminal."""
    yield f"{table.rule.name} with {table.sweep.name} at {len(table.rows)} values; lead against {table.reference.name}"
    cells = [sweep_heads(), *(sweep_cells(row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def sweep_heads() -> tuple[str, ...]:
    """What the columns of `sweep_cells` are."""
    return ("value", "fired", "per week", "time firing", "longest", "median lead", "caught", "without it")


def sweep_cells(row: Row) -> tuple[str, ...]:
    """One value's outcome in words."""
    lead = row.lead
    median = "-" if lead.median_ns is None else ("+" if lead.median_ns > 0 else "") + fmt.duration(lead.median_ns)
    return (
        row.text,
        str(row.fired),
        fmt.num(row.per_week),
        fmt.duration(row.firing_ns),
        fmt.duration(row.longest_ns),
        median,
        f"{lead.caught}/{lead.of}",
        str(lead.alone),
    )
