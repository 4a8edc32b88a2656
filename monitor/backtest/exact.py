"""``--exact``: the evaluations that the recording monitor made, at its own instants, under the rules asked about.

A grid finds the same alerts at most one step later. Here they come to the nanosecond, but only from a tape that a
monitor wrote while it ran (`monitor.runtime.steps.rerun`), from its start to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.backtest.histories.tape import TapeHistory, knows
from monitor.backtest.history import Missing, Stretch
from monitor.backtest.journal import Journal
from monitor.backtest.report import Report, make_report
from monitor.backtest.run import SAMPLES, Counts, Progress, Run, expected
from monitor.backtest.watch import Liveness, Watch
from monitor.engine import Engine
from monitor.errors import TapeError
from monitor.runtime.load import Loaded
from monitor.runtime.steps.rerun import Rerunner, RerunReport, Rules, rerun
from monitor.tape.course import HEARD, REMEMBERED, read_events
from monitor.tape.facts import read_states
from monitor.tape.folder import read_blocks, some_files
from monitor.tape.format import Row
from monitor.tape.reader import Loss

PROGRESS_EVERY = 2000


@dataclass(slots=True)
class _Rerun:
    """One rerun as a report sees it: where it came from, and what it left behind."""

    note: str
    watch: Watch
    journal: Journal = field(default_factory=Journal)
    counts: Counts = field(default_factory=Counts)
    told: RerunReport | None = None
    kind: str = "tape, exact"

    def missing(self) -> Missing:
        """What the tape did not give, and what of the program's course could not be followed."""
        told = self.told
        assert told is not None
        tape = told.tape
        found = Missing(
            [str(loss) for loss in tape.losses],
            tape.lost_frames,
            tape.skipped + told.odd,
            tape.decode_errors,
            tape.steps_back,
        )
        if told.short:
            found.losses.append(f"{told.short} events that the recording monitor had taken are not on the tape")
        if told.cold:
            found.losses.append("the tape begins in the middle: the recording monitor's windows were full, these not")
        return found


def exact(loaded: Loaded, folder: Path, progress: Progress | None = None, *, charts: bool = False) -> Report:
    """Run the rules of a configuration over a whole tape, at its instants.

    Raises:
        TapeError: There is no tape, or none of a running monitor.
    """
    if not knows(folder):
        raise TapeError("--exact needs a tape that a running monitor wrote", str(folder))
    history = TapeHistory(folder, loaded)
    stretch = history.stretch
    min_coverage = loaded.source.config.engine.min_coverage
    found = _Rerun(history.note, Watch(Engine(loaded.rules), loaded.rules, min_coverage, charts=charts))
    run = Run(stretch, stretch.start_ns, 0, ())
    look = _Look(found.watch, stretch, progress)
    found.told = rerun(
        loaded, _heard(read_blocks(some_files(folder)), run.liveness), found.journal, rules=Rules.GIVEN, watcher=look
    )
    run.instants = found.told.steps
    found.counts = _counts(found.told)
    if look.monitor is not None:
        found.journal.refresh(look.monitor.desk.lifecycle.alerts())
    run.liveness.finish(stretch, expected(loaded))
    return make_report(run, found, found)


def _counts(told: RerunReport) -> Counts:
    return Counts(told.events, told.late, told.too_late, told.invalid, told.clock_rejected)


def _heard(blocks: Iterable[list[Row] | Loss], liveness: Liveness) -> Iterator[list[Row] | Loss]:
    """The blocks as they are, with liveness noted in passing."""
    for block in blocks:
        if not isinstance(block, Loss):
            for _, name, kind, payload, _ in block:
                if kind == "state":
                    liveness.hear(read_states(payload))
                elif name in {HEARD, REMEMBERED}:  # what was remembered says which gaps were filled
                    liveness.hear(read_events(payload))
        yield block


class _Look:
    """Samples readings between steps; the engine is a new one after each start on the tape."""

    def __init__(self, watch: Watch, stretch: Stretch, progress: Progress | None) -> None:
        self.monitor: Rerunner | None = None
        self._watch = watch
        self._progress = progress
        self._every_ns = max(1, stretch.length_ns // SAMPLES)
        self._next_ns = 0
        self._steps = 0

    def __call__(self, monitor: Rerunner, now_ns: int) -> None:
        """A step is over."""
        self.monitor = monitor
        self._steps += 1
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + self._every_ns
            self._watch.follow(monitor.engine)
            self._watch.sample(now_ns)
        if self._progress is not None and self._steps % PROGRESS_EVERY == 0:
            self._progress(now_ns)
