"""The rolling-window engine: events in, three-valued rule readings out. Pure: time is an argument, nothing is awaited.

The instant of an evaluation is the later of `now_ns` and the newest event, and never runs backwards. Windows are
(t - w, t]. What is read depends on the events and on t alone, not on how the events were batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from monitor.engine.compile import Compiler
from monitor.engine.explain import explain, stages
from monitor.engine.fences import Indifferent, Watch
from monitor.engine.leap import LEAST, Calm, Leaper, evaluated
from monitor.engine.leaving.gone import Leaving, Spoken
from monitor.engine.leaving.renumber import renumber, renumbered
from monitor.engine.leaving.worth import Census
from monitor.engine.memory import Memory
from monitor.engine.nodes.base import ConditionNode, Tick, covers, joint
from monitor.engine.past.history import Grid
from monitor.engine.past.refill import Refill
from monitor.engine.persist import Columns, Copied, Pieces, gather, gather_pieces, load, pack, unpack
from monitor.engine.program import CompiledRecording, CompiledRule
from monitor.engine.provenance import provenance
from monitor.engine.rows.bulk import Block
from monitor.engine.rows.crowd import Crowd
from monitor.engine.rows.intake import IngestReport, insert_sorted
from monitor.engine.rows.kernels import kernels
from monitor.engine.rows.retention import Footprint, KeptRows, KeptSamples
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Store
from monitor.events import Channel, Event, Labels, Sample
from monitor.expression import Expr
from monitor.language import to_text
from monitor.reading import UNKNOWN, Evaluation, Explanation
from monitor.rule import Recording, RuleSet
from monitor.series import SeriesSpec
from monitor.window import Ints

TRIM_EVERY = 256
LEAST_LEAVING = 1000
"""So many label sets must be able to leave at once,"""
LEAVING_SHARE = 0.25
"""and such a share of all: everything that reads is made anew then."""
NEVER_STALE_S = 1e18


class Engine:
    """All windows and all rules.

    Args:
        rules: What to evaluate.
        expected: Venues that should carry each channel; a reading's coverage is the share of its window in which they
            were live. Empty and without any `FeedState`: coverage is not tracked, and 1.
        settings: Limits of time and trust.
    """

    def __init__(
        self,
        rules: RuleSet,
        *,
        expected: Mapping[Channel, Sequence[str]] | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.store = Store(expected or {}, kernels(self.settings.kernels))
        self.now_ns = 0
        self._newest_ns = 0
        self._serial = self._untidied = 0
        self._leaper = Leaper()
        self.forgotten = 0
        """Label sets that left so far."""
        self._followers: dict[Indifferent, frozenset[str]] = {}
        self._intake = Crowd(self.store, self.settings)
        self._compiler = Compiler(self.store, self.settings)
        self._rules: dict[str, CompiledRule] = {}
        self.past = Refill(self.store, self.settings)
        self._compile(rules)

    def replace_rules(self, rules: RuleSet, expected: Mapping[Channel, Sequence[str]] | None = None) -> None:
        """Compile other rules over the same logs: what they share with the old ones keeps its history and memory.

        With `expected` other feeds are counted on, too.
        """
        if expected is not None:
            self.store.ledger.expect(expected)
        self.store.memories = self._memories()
        self._compile(rules)

    def compact(self, spoken_of: Spoken) -> int:
        """Let label sets leave of which nothing is left, once they are many; no reading of the others changes.

        The rows of rules are numbered anew; who follows readings has to `attend` again. Not while a block is being fed.

        Args:
            spoken_of: Label sets by rule that must stay, because there is an alert on them.

        Returns:
            How many left.
        """
        members = self.store.catalog.size
        if members < LEAST_LEAVING or not self._serial or self.past.due or self.store.memories:
            return 0
        self._compiler.settle()
        compilers = [self._compiler, *(compiler for _, compiler in self._compiler.grids.values())]
        if any(node.remembered is not None for compiler in compilers for node in compiler.nodes.values()):
            return 0  # a memory of the last run waits for the rows that it is of
        leaving = Leaving(self.store, compilers, list(self._rules.values()), self._recordings, self.past.past)
        stay = leaving.stay(self.now_ns, spoken_of)
        gone = members - sum(int(chosen.sum()) for chosen in stay.values())
        if gone < max(LEAST_LEAVING, members * LEAVING_SHARE):
            return 0
        self.store.memories = renumbered(self._memories(), stay)
        renumber(self.store, self.past.past, stay)
        self._intake = Crowd(self.store, self.settings)
        self._followers.clear()
        self._build(self.ruleset)
        self._compiler.advance(self.now_ns)
        self.forgotten += gone
        return gone

    def _compile(self, rules: RuleSet) -> None:
        self._build(rules)
        self.past.forget(self._compiler.grids)

    def _build(self, rules: RuleSet) -> None:
        self.ruleset = rules
        self._compiler.close()
        self._compiler = Compiler(self.store, self.settings)
        self._recordings: list[CompiledRecording] = []
        for recording in rules.recordings:
            self._add_recording(recording)
        self._rules = {rule.id: CompiledRule(rule, self._compiler) for rule in rules.alerts}
        self._watch = Watch(list(self._rules.values()), self.store.ledger)
        self._attend()
        self.store.memories = {}
        self._want()

    def _memories(self) -> dict[str, Memory]:
        found = self._compiler.memories()
        for compiled in self._rules.values():
            found |= compiled.memories()
        return found

    def _add_recording(self, recording: Recording) -> None:
        compiled = CompiledRecording(recording, self._compiler)
        compiled.resume(self.store)
        self._recordings.append(compiled)
        self.store.specs[recording.name] = SeriesSpec(
            recording.name,
            "gauge",
            recording.expr.type.unit,
            compiled.label_names,
            recording.fold,
            Channel.REFERENCE,
            f"Recorded: {recording.text}",
            stale_s=NEVER_STALE_S,
        )

    def _want(self) -> None:
        recorded = {item.recording.name for item in self._recordings}
        self.store.catalog.wanted = frozenset(name for name, _ in self.store.logs) - recorded

    def ingest(self, events: Sequence[Event]) -> IngestReport:
        """Take in events in any order; they are read at the next `evaluate`."""
        report = self._intake.take(events, self.now_ns)
        self._saw(report.newest_ns)
        if self._serial and (report.behind or report.gaps):
            self.past.again(report.behind, report.gaps, self._compiler.grids)
        if report.history:
            self.past.take(report.history, self._compiler.grids, self.now_ns if self._serial else 0)
            if self._serial and not all(isinstance(event, Sample) for event in report.history):
                self._rebase()
        return report

    def refill(self, steps: int) -> bool:
        """Work late history into the samples, `steps` instants at most; True while there is more to do.

        For a caller that set `EngineSettings.refill_in_background`.
        """
        if self.past.due and self.past.work(self._compiler.grids, self.now_ns, steps):
            self._rebase()
        return self.past.due

    def _rebase(self) -> None:
        """Read everything anew at the instant of the last evaluation: what history moved is no crossing and no onset."""
        self._serial += 1
        tick = Tick(self._serial, self.now_ns, refilled=True)
        for compiled in self._rules.values():
            for root in compiled.roots:
                root.pull(tick)

    def member(self, series: str, labels: Labels) -> int:
        """The number of a label set (sorted by name), for `ingest_columns`."""
        return self.store.catalog.series(series).add(labels)

    def ingest_columns(self, series: str, members: np.ndarray, ts_ns: Ints, values: np.ndarray) -> None:
        """Take in ready columns (replay): int64 micro-dollars for event series, floats for gauges. No clock policy."""
        if series in self.store.catalog.wanted and len(ts_ns):
            insert_sorted(self.store, series, ts_ns, members, values)
            self._saw(int(ts_ns.max()))

    def ingest_block(self, block: Block, step: int) -> IngestReport:
        """Take in one step of a block of columns, to the same effect as `ingest` of its events."""
        report = block.feed(self.store, self.settings, step, self.now_ns)
        self._saw(report.newest_ns)
        return report

    def leap(self, block: Block, step: int, stop: int, until_ns: int) -> tuple[int, IngestReport | None]:
        """Take in steps of a block at once, as far as certainly no rule has anything to say (`monitor.engine.leap`).

        What follows is the same as after `ingest_block` and `evaluate` (with ``changed_only``) at each instant on the way,
        which would have returned nothing.

        Args:
            block: It knows its instants.
            step: The first step that has not been taken in.
            stop: The step after the last that may be taken in.
            until_ns: The caller has something to do at this instant: no step from there on is taken in.

        Returns:
            The first step that was not taken in, and what became of the events of those before it, if there were any.
        """
        alarm = self._watch.asleep()
        if alarm is None or self.past.due or not self._leaper.ready():
            return step, None
        if self._recordings and (alarm := joint([alarm, *(item.node.still() for item in self._recordings)])) is None:
            return step, None
        ready = block.ready(self.store, self.settings)
        grid = block.instants[step:stop]
        instants = evaluated(ready, step, grid[: grid.searchsorted(until_ns)], self.now_ns)
        calm = Calm(alarm, self.store, self._compiler.domain, [grid for grid, _ in self._compiler.grids.values()])
        reached = calm.reach(ready, step, instants, self.settings.max_rows)
        self._leaper.landed(reached - step)
        if reached - step < min(LEAST, len(instants) - 1):
            self._watch.renew()
        if reached - step < LEAST:
            return step, None
        report = ready.feed_all(step, reached)
        self._saw(report.newest_ns)
        self._serial += reached - step - 1
        self._advance(int(block.instants[reached - 1]))
        self._tidy(reached - step)
        return reached, report

    def evaluate(self, now_ns: int, *, changed_only: bool = False) -> list[Evaluation]:
        """Evaluate every rule of which something changed; recordings first, in order.

        Args:
            now_ns: Our time.
            changed_only: Leave out rules whose truth and coverage have not changed anywhere: only values may have moved,
                to which nobody attends, and `latest` works those out when asked. Many times faster.
        """
        if self.past.due and not self.settings.refill_in_background:
            self.refill(0)
        tick = self._advance(now_ns)
        self._record(tick)
        if changed_only:
            found = self._watch.evaluate(tick)
        else:
            found = [seen for rule in self._rules.values() if (seen := rule.evaluate(tick)) is not None]
        self._tidy(1)
        return found

    def _tidy(self, evaluations: int) -> None:
        """Forget now and then what no window reaches any more: by evaluations alone, so that a rerun forgets the same."""
        self._untidied += evaluations
        if self._untidied < TRIM_EVERY:
            return
        self._untidied = 0
        self._compiler.settle()
        self.store.trim(self.now_ns, max(self.settings.lateness_ns, Grid.FOLLOW_NS))
        self.store.shrink(self.settings.max_rows)

    def attend(self, follower: Indifferent, rules: Iterable[str]) -> None:
        """Give a rule's readings with ``changed_only`` also when a value moves that somebody follows: it has an alert.

        To be called again whenever the follower's rules, or the rows that it follows, are others.

        Args:
            follower: Asked for a rule between which values its rows may move untold; one call replaces the one before.
            rules: Which rules it follows.
        """
        self._followers[follower] = frozenset(rules)
        self._attend()

    def _attend(self) -> None:
        followed: dict[str, list[Indifferent]] = {}
        for follower, rules in self._followers.items():
            for rule in rules & self._rules.keys():
                followed.setdefault(rule, []).append(follower)
        self._watch.attend(followed)

    def latest(self, rule_id: str) -> Evaluation | None:
        """A rule's readings as of the last `evaluate`; None before the first, and of a rule that is not there."""
        rule = self._rules.get(rule_id)
        if rule is not None and self._serial:
            rule.evaluate(Tick(self._serial, self.now_ns))
        return None if rule is None else rule.latest

    def newest_ns(self, series: str) -> int:
        """Time of the newest value of a series that a rule reads; 0 where there is none."""
        return max((log.newest_ns for (name, _), log in self.store.logs.items() if name == series), default=0)

    def next_edge_ns(self) -> int | None:
        """When a reading may next change without a new event; None when nothing is pending."""
        edges = [compiled.next_edge_ns() for compiled in self._rules.values()]
        edge = min(edges, default=1 << 62)
        return None if edge >= 1 << 61 else max(edge, self.now_ns)

    def query(self, expr: Expr, now_ns: int) -> list[tuple[Labels, float | None, float]]:
        """Evaluate one expression now: (labels, value or None, coverage) per element; a condition's value is 1 or 0.

        Series and windows that no rule reads have no history: such elements come out missing or empty.
        """
        node = self._compiler.node(expr)
        tick = self._advance(now_ns)
        self._want()
        node.pull(tick)
        values = node.values
        if isinstance(node, ConditionNode):
            values = np.where(node.truth == UNKNOWN, np.nan, node.truth.astype(np.float64))
        return [
            (labels, None if value != value else value, cover)  # noqa: PLR0124 - NaN is not itself
            for labels, value, cover in zip(node.index.labels, values.tolist(), covers(node).tolist(), strict=True)
        ]

    def explain(self, rule_id: str, row: int) -> Explanation:
        """What stands behind one row of a rule's newest evaluation."""
        compiled = self._rules[rule_id]
        compiled.evaluate(Tick(self._serial, self.now_ns))  # the nodes of a rule that sleeps hold older values
        expr, labels = compiled.expr_of(row), compiled.index.labels[row]
        history = provenance(self._compiler, self.past.newest_ns, expr, labels, self.now_ns)
        notes = (*stages(self._compiler, expr, labels), *history)
        return replace(explain(self.store, self._compiler, expr, labels, self.now_ns), notes=notes)

    def expr_of(self, rule_id: str, row: int) -> Expr:
        """The condition by which a row of a rule is judged: an override has its own."""
        return self._rules[rule_id].expr_of(row)

    def state_size(self) -> dict[str, int]:
        """Bytes of state per rule (what it shares with others counted for each), and ``total``."""
        sizes = {rule_id: compiled.footprint().bytes for rule_id, compiled in self._rules.items()}
        sizes["total"] = sum(log.nbytes for log in self.store.logs.values())
        sizes["total"] += sum(history.nbytes for history in self.store.histories.values())
        sizes["total"] += sum(bank.sums.nbytes + bank.counts.nbytes for bank in self._compiler.domain.banks.values())
        return sizes

    def footprint(self, rule_id: str) -> Footprint:
        """What a rule keeps in memory, and what was dropped of it."""
        return self._rules[rule_id].footprint()

    def retention(self) -> list[str]:
        """What is kept for all rules together, a line each: rows by series and resolution, samples by expression."""
        store = self.store
        found: list[KeptRows | KeptSamples] = [
            KeptRows(store.specs[series], pane_ns, store.keep_ns.get((series, pane_ns), 0))
            for series, pane_ns in sorted(store.logs)
        ]
        found += [KeptSamples(to_text(s.key[0]), s.step_ns, s.keep_ns) for s in self._compiler.samplers()]
        return [*(one.text(self.settings) for one in found), *self._staying()]

    def _staying(self) -> list[str]:
        """Which groups of label sets stay although nothing is heard of them any more."""
        catalog = self.store.catalog
        names = {id(catalog.series(name)): name for name in catalog.names()}
        kept = Census(self._rules.values(), self._recordings).kept.values()
        said = {f"{names[id(one.members)]}{one.by}" for one in kept}
        return sorted(f"label sets, of each {group} one for ever: rules count those that were seen" for group in said)

    def gather(self, pieces: Pieces | None = None) -> Copied:
        """A copy of all state but the pieces that the caller keeps, for `monitor.engine.persist.pack` on another thread."""
        return gather(self.store, self._memories(), self.now_ns, pieces)

    def gather_pieces(self, pieces: Pieces, most: int) -> dict[int, Columns]:
        """Up to so many pieces that the caller does not keep yet; empty when it keeps all of them."""
        return gather_pieces(self.store, pieces, most)

    def dump(self) -> bytes:
        """All state, for `load` after a restart."""
        return pack(self.gather())

    def load(self, data: bytes) -> None:
        """Take in dumped state; call once, before the first event.

        Raises:
            StateError: The data is damaged or of another version.
        """
        self.take_up(unpack(data))

    def take_up(self, copied: Copied) -> None:
        """Take in copied state with all its pieces; call once, before the first event.

        Raises:
            StateError: Something is missing in it.
        """
        self.now_ns = load(self.store, copied)
        self._compile(self.ruleset)

    def _saw(self, ts_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, ts_ns)

    def _advance(self, now_ns: int) -> Tick:
        self.now_ns = max(self.now_ns, now_ns, self._newest_ns)
        if not self.store.sources.started_ns:
            self.store.sources.started_ns = self.now_ns
        self._serial += 1
        self.store.roll(self.now_ns)
        self._compiler.advance(self.now_ns)
        return Tick(self._serial, self.now_ns)

    def _record(self, tick: Tick) -> None:
        for compiled in self._recordings:
            rows = compiled.evaluate(tick, self.store.ledger)
            name = compiled.recording.name
            if not rows or (name, 0) not in self.store.logs:
                continue
            index = self.store.catalog.series(name)
            members = np.array([index.add(labels) for labels, _ in rows], np.int32)
            ts = np.full(len(rows), tick.now_ns, np.int64)
            self.store.log(name).insert(ts, members, np.array([value for _, value in rows]))


__all__ = ["Engine", "EngineSettings", "IngestReport"]
