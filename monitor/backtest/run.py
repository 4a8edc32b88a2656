"""Drives the live parts over a history: the same engine, alert desk and derived series as the running monitor.

Every grid instant is evaluated with what had been received by then. What is not live is the clock, which stands at the
instant, and the outbox, whose place a journal takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from monitor.alert import AlertState
from monitor.alerts.lifecycle import Lifecycle
from monitor.alerts.machine import NEVER
from monitor.backtest.history import Columns, History, Step, Stretch
from monitor.backtest.journal import Journal
from monitor.backtest.watch import Liveness, Series, Watch
from monitor.clock import StillClock
from monitor.derived.desk import DerivedDesk, read_derived
from monitor.engine import Engine, IngestReport
from monitor.events import Event, Sample
from monitor.expression import Expr, series_names
from monitor.reading import Evaluation
from monitor.rule import Override, Recording, Rule, RuleSet
from monitor.runtime.alerting.alert_desk import AlertDesk, lifecycle_settings
from monitor.runtime.app import engine_settings
from monitor.runtime.load import Loaded
from monitor.runtime.steps.settling import SETTLES_NS, Settling
from monitor.sinks import sink_options

SAMPLES = 480
"""Readings per line of a chart, about."""
PROGRESS_EVERY = 200
DERIVED = frozenset(
    {"basket", "price_peak", "treasury_pnl", "treasury_distance", "band_correlation", "streak", "etf_flow_month"}
)
"""What `monitor.derived` makes of other series."""

Progress = Callable[[int], None]
"""Told now and then how far (unix nanoseconds) the run has come."""


@dataclass(slots=True)
class Counts:
    """What went in, and what of it the engine could not use as it was."""

    events: int = 0
    late: int = 0
    too_late: int = 0
    invalid: int = 0
    clock_rejected: int = 0

    def add(self, report: IngestReport) -> None:
        """Add one batch's report."""
        self.events += report.taken.total()
        self.late += report.late.total()
        self.too_late += report.too_late.total()
        self.invalid += report.invalid.total()
        self.clock_rejected += report.clock_rejected.total()


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes.

    Attributes:
        grid_ns: Distance of two evaluations.
        live_from_ns: Alerts are raised from here on.
        sample_ns: Distance of two points of a chart.
    """

    grid_ns: int
    live_from_ns: int
    sample_ns: int


class Lane:
    """One set of rules on its way through the history.

    Args:
        loaded: Configuration and rules; its routes and sinks say what would have been sent.
        trials: Further rules, whose alerts are noted and not routed (the values of a sweep).
        charts: Whether what only charts show is kept, too.
    """

    def __init__(self, loaded: Loaded, trials: Sequence[Rule] = (), *, charts: bool = False) -> None:
        self.loaded = loaded
        every = RuleSet((*loaded.rules.alerts, *trials), loaded.rules.recordings)
        self.engine = Engine(every, expected=loaded.expected(), settings=engine_settings(loaded))
        self.journal, self.trial_journal = Journal(), Journal()
        self.clock = StillClock()
        self.desk = AlertDesk(
            loaded,
            routing=loaded.routing,
            sinks=[sink_options(entry) for entry in loaded.source.config.sinks],
            engine=self.engine,
            store=None,
            delivery=self.journal,
            clock=self.clock,
        )
        self._trials = (
            Lifecycle(trials, lifecycle_settings(loaded), latest=self.engine.latest, attend=self.engine.attend)
            if trials
            else None
        )
        min_coverage = loaded.source.config.engine.min_coverage
        self.watch = Watch(self.engine, loaded.rules, min_coverage, charts=charts)
        self.counts = Counts()
        self._live = False
        self._sample_ns = 0
        self._settling = Settling()

    def follow(self, step: Step, events: Sequence[Event], pace: Pace) -> None:
        """Take in what was received and evaluate each instant, as far as it may have anything to say.

        Args:
            step: What was received.
            events: The same step's events, with what follows from those before it.
            pace: How the run goes.
        """
        if events:
            self._take(events, step.now_ns)
        columns = step.columns
        if columns is None:
            self._evaluate(step.now_ns, pace)
            return
        instants = columns.instants
        number = 0 if events else self._leap(columns, 0, pace)
        while number < len(instants):
            before_ns = instants[number - 1] if number else instants[number]
            for now_ns in range(before_ns + pace.grid_ns, instants[number], pace.grid_ns):
                self._evaluate(now_ns, pace)
            self.counts.add(columns.feed(self.engine, number))
            self._evaluate(instants[number], pace)
            number = self._leap(columns, number + 1, pace)

    def _take(self, events: Sequence[Event], now_ns: int) -> None:
        """Take in events, among which late history may be."""
        waiting = self.engine.past.due
        report = self.engine.ingest(events)
        self.counts.add(report)
        if report.history:
            self._settling.came(now_ns, waiting=waiting)

    def _leap(self, columns: Columns, number: int, pace: Pace) -> int:
        """Go on from an instant to the next one at which a rule, a timer or a chart may have something to say."""
        due_ns = pace.live_from_ns
        if self._live:
            due_ns = min(self._sample_ns, self.desk.next_due_ns(), self._trials.next_due_ns if self._trials else NEVER)
        number, report = columns.leap(self.engine, number, due_ns)
        if report is not None:
            self.counts.add(report)
        return number

    def _evaluate(self, now_ns: int, pace: Pace) -> None:
        """Evaluate an instant. Before the stretch begins windows warm and no alert is raised."""
        if self.engine.past.due and (pace.grid_ns >= SETTLES_NS or self._settling.over(now_ns)):
            self.engine.refill(0)  # no more of it can come before the next instant of a coarse grid
        evaluations = self.engine.evaluate(now_ns, changed_only=True)
        if now_ns < pace.live_from_ns:
            return
        if not self._live:
            self._live = True
            evaluations = self._everything()
        self.clock.now_ns = now_ns
        self.watch.hear(evaluations)
        self.desk.step(evaluations, self.engine.now_ns)
        if self._trials is not None:
            self.trial_journal.hear(self._trials.step(evaluations, self.engine.now_ns))
        if now_ns >= self._sample_ns:
            self._sample_ns = now_ns + pace.sample_ns
            self.watch.sample(now_ns)

    def finish(self) -> None:
        """Note how far alerts that are not over have come."""
        self.journal.refresh(self.desk.lifecycle.alerts())
        if self._trials is not None:
            self.trial_journal.refresh(self._trials.alerts())

    def _everything(self) -> list[Evaluation]:
        """Readings of all rules: what was true before the stretch began is news when it begins."""
        found = (self.engine.latest(rule.id) for rule in self.engine.ruleset.alerts)
        return [replace(evaluation, at_ns=self.engine.now_ns) for evaluation in found if evaluation is not None]

    @property
    def active(self) -> int:
        """Alerts that fire or are held now."""
        return sum(alert.state in {AlertState.FIRING, AlertState.HELD} for alert in self.desk.lifecycle.alerts())


@dataclass(slots=True)
class Run:
    """A finished run: what the lanes hold, and what the history did not.

    Attributes:
        stretch: What was looked at.
        warm_from_ns: Where reading began, to fill the windows.
        instants: Evaluations made.
    """

    stretch: Stretch
    warm_from_ns: int
    grid_ns: int
    lanes: Sequence[Lane]
    liveness: Liveness = field(default_factory=Liveness)
    instants: int = 0


def drive(
    lanes: Sequence[Lane],
    history: History,
    stretch: Stretch,
    grid_ns: int,
    *,
    warm_from_ns: int,
    progress: Progress | None = None,
) -> Run:
    """Run lanes side by side over a stretch of history, in one pass over its data.

    Args:
        lanes: Fresh.
        history: Where the data comes from.
        stretch: Alerts are raised in it.
        grid_ns: Distance of two evaluations.
        warm_from_ns: Windows are filled from here on.
        progress: Told how far it has come.
    """
    run = Run(stretch, warm_from_ns, grid_ns, lanes)
    whole = Stretch(warm_from_ns, stretch.end_ns)
    derive = _Derive(lanes)
    pace = Pace(grid_ns, stretch.start_ns, max(grid_ns, -(-stretch.length_ns // SAMPLES // grid_ns) * grid_ns))
    told = 0
    for step in derive.steps(_every_instant(history.steps(whole, grid_ns), whole, grid_ns)):
        events = derive.before(step)
        run.liveness.hear(step.events)
        for lane in lanes:
            lane.follow(step, events, pace)
        derive.after(events, step.now_ns)
        run.instants += (step.last_ns - step.now_ns) // grid_ns + 1
        if progress is not None and run.instants >= told + PROGRESS_EVERY:
            told = run.instants
            progress(step.last_ns)
    for lane in lanes:
        lane.finish()
    run.liveness.finish(stretch, expected(lanes[0].loaded))
    return run


class _Derive:
    """Derived series, which follow from a step and come with the next one, as live; nothing where nobody reads them."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._desk = DerivedDesk(read_derived(lanes[0].loaded.source.config.derived))
        self._read = any(DERIVED & series_read(lane.loaded) for lane in lanes)
        self._waiting: list[Sample] = []

    def steps(self, steps: Iterable[Step]) -> Iterable[Step]:
        """A step for each instant, where what follows from one comes with the next."""
        return chain.from_iterable(step.singly() for step in steps) if self._read else steps

    def before(self, step: Step) -> Sequence[Event]:
        """The step's events with what followed from the step before."""
        waiting, self._waiting = self._waiting, []
        return [*waiting, *step.events] if waiting else step.events

    def after(self, events: Sequence[Event], now_ns: int) -> None:
        """Note what follows."""
        if self._read:
            self._waiting = self._desk.take(events) + self._desk.tick(now_ns)


def _every_instant(steps: Iterable[Step], stretch: Stretch, grid_ns: int) -> Iterator[Step]:
    """Steps with data, and empty ones for the grid instants between them, to the end of the stretch.

    What a source hands over of the time before the stretch is not followed by empty steps.
    """
    first_ns = -(-stretch.start_ns // grid_ns) * grid_ns
    before_ns = 0
    for step in chain(steps, [Step(-(-(stretch.end_ns - 1) // grid_ns) * grid_ns)]):
        if before_ns:
            yield from map(Step, range(max(before_ns + grid_ns, first_ns), step.now_ns, grid_ns))
        if step.now_ns > before_ns:
            yield step
        before_ns = max(before_ns, step.last_ns)


def expected(loaded: Loaded) -> Iterator[Series]:
    """Channels that the configuration wants from each venue."""
    for channel, venues in loaded.expected().items():
        for venue in venues:
            yield venue, channel


def chosen(loaded: Loaded, names: Sequence[str]) -> Loaded:
    """Only the rules of these names or identities, all where none is given, and the recordings that they read."""
    alerts = loaded.rules.alerts
    if names:
        alerts = tuple(rule for rule in alerts if rule.name in names or rule.id in names)
    return replace(loaded, rules=RuleSet(alerts, tuple(_read_by(alerts, loaded.rules.recordings))))


def series_read(loaded: Loaded) -> set[str]:
    """Every series that a rule reads, or a recording that some rule reads."""
    rules = chosen(loaded, ()).rules
    trees = [tree for rule in rules.alerts for tree in expressions(rule)] + [item.expr for item in rules.recordings]
    return {name for tree in trees for name in series_names(tree)}


def _read_by(alerts: Iterable[Rule], recordings: Sequence[Recording]) -> Iterator[Recording]:
    """Recordings that rules read, directly or through others, in their order."""
    needed = {name for rule in alerts for expr in expressions(rule) for name in series_names(expr)}
    for recording in reversed(recordings):
        if recording.name in needed:
            needed |= series_names(recording.expr)
    yield from (recording for recording in recordings if recording.name in needed)


def expressions(rule: Rule) -> Iterator[Expr]:
    """Every condition of a rule."""
    cases: tuple[Rule | Override, ...] = (rule, *rule.overrides)
    for case in cases:
        yield case.expr
        yield from filter(None, (case.clear,))
        for level in case.levels:
            yield level.expr
            yield from filter(None, (level.clear,))
