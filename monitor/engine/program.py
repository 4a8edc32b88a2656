"""Compiled rules: what to pull each tick, and how an `Evaluation` is made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from monitor.engine.compile import Compiler
from monitor.engine.cover.coverage import Ledger
from monitor.engine.memory import Memory
from monitor.engine.nodes.align import Places, carried
from monitor.engine.nodes.base import Alarm, Bools, ConditionNode, Node, Tick, covers, padded, row_of, take
from monitor.engine.nodes.vector import relabelled
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.log import Log
from monitor.engine.rows.retention import Footprint
from monitor.engine.store import Store
from monitor.events import Labels
from monitor.expression import Expr
from monitor.language import to_text
from monitor.reading import FALSE, TRUE, UNKNOWN, Evaluation, Truth
from monitor.rule import Level, Override, Recording, Rule
from monitor.window import Floats, Ints


class Aligned:
    """A condition read at the rows of another one."""

    def __init__(self, base: Index, node: ConditionNode) -> None:
        self.node = node
        self._places = Places(base, node.index, partial(row_of, node))

    def update(self) -> Ints:
        """The row of `node` for each base row, -1 where it has none."""
        return self._places.update()

    def truth(self) -> Truth:
        """Truth at every base row."""
        return take(self.node.truth, self.update(), np.int8(self.node.default_truth))


@dataclass(slots=True)
class _Ladder:
    """Conditions of a ladder's levels; a level with a `clear` holds until that is true."""

    name: str
    base: Index
    steps: list[tuple[Aligned, Aligned | None]]
    held: list[Truth]
    remembered: Memory | None

    def level(self, size: int) -> Truth:
        """Index of the highest level that holds, -1 for none."""
        if self.remembered is not None:
            self.held = [self.remembered.column(str(at), self.base, FALSE) for at in range(len(self.steps))]
            self.remembered = None
        out = np.full(size, -1, np.int8)
        for number, (step, clear) in enumerate(self.steps):
            truth = step.truth()
            if clear is not None:
                before = np.concatenate((self.held[number], np.zeros(size - len(self.held[number]), np.int8)))
                truth = np.where((truth == TRUE) | ((before == TRUE) & (clear.truth() != TRUE)), TRUE, truth).astype(
                    np.int8
                )
            self.held[number] = truth
            out[truth == TRUE] = number
        return out

    def threshold(self, first: Floats) -> Floats:
        """What a row is compared with: by the highest level whose condition is true, else by the first.

        A level that only waits for its `clear` is not named: the value is back on this side of it.
        """
        for step, _ in self.steps[1:]:
            own = take(step.node.threshold, step.update(), np.nan)
            first = np.where(step.truth() == TRUE, own, first)
        return first

    def memory(self) -> Memory:
        """Which levels hold."""
        size = min(map(len, self.held), default=0)
        columns = {str(number): held[:size] for number, held in enumerate(self.held)}
        return self.remembered or Memory(self.base.labels[:size], columns)


class _Case:
    """The default conditions of a rule, or those of one override."""

    def __init__(self, compiler: Compiler, base: Index | None, source: Rule | Override, wanted: Labels) -> None:
        self.expr = source.expr
        self.node = compiler.condition(source.expr)
        base = base or self.node.index
        self.main = Aligned(base, self.node)
        self.clear = Aligned(base, compiler.condition(source.clear)) if source.clear else None
        steps = [self._step(compiler, base, level) for level in source.levels]
        self.ladder = self._ladder(compiler, base, source, steps) if steps else None
        self.wanted = set(wanted)

    @staticmethod
    def _ladder(
        compiler: Compiler, base: Index, source: Rule | Override, steps: list[tuple[Aligned, Aligned | None]]
    ) -> _Ladder:
        texts = [to_text(part) for level in source.levels for part in (level.expr, level.clear) if part]
        name = "ladder|" + "|".join((to_text(source.expr), *texts))
        return _Ladder(name, base, steps, [np.empty(0, np.int8) for _ in steps], compiler.store.memories.get(name))

    @staticmethod
    def _step(compiler: Compiler, base: Index, level: Level) -> tuple[Aligned, Aligned | None]:
        clear = Aligned(base, compiler.condition(level.clear)) if level.clear else None
        return Aligned(base, compiler.condition(level.expr)), clear

    def nodes(self) -> list[Node]:
        """Every root that this case reads."""
        found: list[Node] = [self.node]
        if self.clear:
            found.append(self.clear.node)
        for step, clear in self.ladder.steps if self.ladder else []:
            found.extend([step.node] if clear is None else [step.node, clear.node])
        return found


class Reasons(Mapping[int, str]):
    """Why rows are unknown, by row; put into words only when looked at, which is soon or never."""

    __slots__ = ("_at_ns", "_rule", "_truth")

    def __init__(self, rule: CompiledRule, truth: Truth, at_ns: int) -> None:
        self._rule, self._truth, self._at_ns = rule, truth, at_ns

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < len(self._truth) or self._truth[row] != UNKNOWN:
            raise KeyError(row)
        return self._rule.reason(row, self._at_ns)

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._truth == UNKNOWN).tolist())

    def __len__(self) -> int:
        return int((self._truth == UNKNOWN).sum())

    def __repr__(self) -> str:
        return repr(dict(self))


class CompiledRule:
    """One alert rule.

    Attributes:
        latest: The newest evaluation.
        attended: Whether somebody follows its values, because it has an alert.
    """

    def __init__(self, rule: Rule, compiler: Compiler) -> None:
        self.rule = rule
        self.attended = False
        self._id = rule.id
        self.base = _Case(compiler, None, rule, ())
        self.index = self.base.node.index
        self.cases = [_Case(compiler, self.index, override, override.labels) for override in rule.overrides]
        self.roots = [node for case in (self.base, *self.cases) for node in case.nodes()]
        self.latest: Evaluation | None = None
        self._parts: list[Node] = []
        self._versions: list[int] = []
        self._labels: tuple[Labels, ...] = ()
        self._mine: list[Bools] = [np.empty(0, np.bool_) for _ in self.cases]
        self._told: list[int] = []
        self._looks: list[bytes | float] = []

    def evaluate_changed(self, tick: Tick) -> Evaluation | None:
        """As `evaluate`, but None also when only values moved and nobody attends to them.

        It keeps its own account of what it has said: that somebody looked in between (`evaluate`) changes nothing here.
        """
        versions = [root.pull(tick) for root in self.roots]
        if versions == self._told:
            return None
        self._told = versions
        seen = [look for root in self.roots for look in looks(root)]
        if seen == self._looks and not self.attended:
            return None
        self._looks, self._versions = seen, versions
        self.latest = self._read(tick)
        return self.latest

    def evaluate(self, tick: Tick) -> Evaluation | None:
        """The rule's readings, or None when nothing that it reads has changed."""
        versions = [root.pull(tick) for root in self.roots]
        if versions == self._versions:
            return None
        self._versions = versions
        self.latest = self._read(tick)
        return self.latest

    def shown(self, reading: Node, low: Floats, high: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Bounds of the rule's rows as those of a reading's rows, where that is what the rule shows.

        Args:
            reading: One side of a comparison.
            low: A bound per row that was there when last asked; later ones have none.
            high: The same.
        """
        size = len(self.index)
        low, high = padded(low, size, -np.inf), padded(high, size, np.inf)
        others = np.zeros(size, np.bool_)
        for case, known in zip(self.cases, self._mine, strict=True):
            mine = np.append(known, np.zeros(size - len(known), np.bool_))
            others |= mine
            bounds = np.where(mine, low, -np.inf), np.where(mine, high, np.inf)
            shown = case.node.shown(*carried(case.main.update(), len(case.node.values), *bounds))
            yield from ((lower, upper) for node, lower, upper in shown if node is reading)
        rows = slice(len(self.base.node.values))
        shown = self.base.node.shown(np.where(others, -np.inf, low)[rows], np.where(others, np.inf, high)[rows])
        yield from ((lower, upper) for node, lower, upper in shown if node is reading)

    def footprint(self) -> Footprint:
        """What the rule keeps in memory."""
        if not self._parts:
            self._parts = walk(self.roots)
        held = {id(one): one for node in self._parts for one in node.holdings()}.values()
        size = sum(int(node.values.nbytes) for node in self._parts) + sum(one.nbytes for one in held)
        size += sum(lane.nbytes for node in self._parts for lane in getattr(node, "lanes", ()))
        dropped = sum(one.dropped for one in held if isinstance(one, Log))
        return Footprint(size, sum(map(len, held)), dropped)

    def latched(self) -> Iterator[Labels]:
        """Label sets for which a level of a ladder holds."""
        for ladder in (case.ladder for case in (self.base, *self.cases) if case.ladder):
            for held in ladder.held:
                yield from (ladder.base.labels[row] for row in np.flatnonzero(held == TRUE).tolist())

    def memories(self) -> dict[str, Memory]:
        """What the ladders remember."""
        ladders = [case.ladder for case in (self.base, *self.cases) if case.ladder]
        return {ladder.name: ladder.memory() for ladder in ladders}

    def next_edge_ns(self) -> int:
        """When the readings may next change by themselves."""
        return min(root.next_edge_ns() for root in self.roots)

    def _read(self, tick: Tick) -> Evaluation:
        node, size = self.base.node, len(self.index)
        if fresh := self.index.labels[len(self._labels) :]:
            self._labels = tuple(self.index.labels)
            self._mine = [
                np.append(mine, [case.wanted <= set(labels) for labels in fresh])
                for case, mine in zip(self.cases, self._mine, strict=True)
            ]
        truth, values, threshold = node.truth, node.values, node.threshold
        coverage, sound = covers(node), node.sound
        clear = self.base.clear.truth() if self.base.clear else None
        level = self.base.ladder.level(size) if self.base.ladder else None
        threshold = self.base.ladder.threshold(threshold) if self.base.ladder else threshold
        for case, mine in zip(self.cases, self._mine, strict=True):
            rows, other = case.main.update(), case.node
            truth = np.where(mine, case.main.truth(), truth)
            values = np.where(mine, take(other.values, rows, np.nan), values)
            own = take(other.threshold, rows, np.nan)
            threshold = np.where(mine, case.ladder.threshold(own) if case.ladder else own, threshold)
            coverage = np.where(mine, take(covers(other), rows, 1.0), coverage)
            sound = np.where(mine, take(other.sound, rows, default=False), sound)
            clear, level = self._override(case, mine, clear, level)
        return Evaluation(
            rule=self._id,
            at_ns=tick.now_ns,
            labels=self._labels,
            truth=truth,
            value=values,
            threshold=threshold,
            coverage=coverage,
            lower_bound=sound,
            clear=clear,
            level=level,
            reasons=Reasons(self, truth, tick.now_ns),
        )

    @staticmethod
    def _override(
        case: _Case, mine: Bools, clear: Truth | None, level: Truth | None
    ) -> tuple[Truth | None, Truth | None]:
        """`clear` and `level` with an override's own for the rows that are its."""
        if case.clear is not None:
            base = clear if clear is not None else np.full(len(mine), UNKNOWN, np.int8)
            clear = np.where(mine, case.clear.truth(), base)
        if case.ladder is not None:
            base = level if level is not None else np.full(len(mine), -1, np.int8)
            level = np.where(mine, case.ladder.level(len(mine)), base)
        return clear, level

    def reason(self, row: int, now_ns: int) -> str:
        """Why a row is unknown."""
        case = self._case_of(row)
        return case.node.reason(row if case is self.base else int(case.main.update()[row]), now_ns)

    def expr_of(self, row: int) -> Expr:
        """The condition by which a row is judged: the rule's, or that of its override."""
        return self._case_of(row).expr

    def _case_of(self, row: int) -> _Case:
        """Of several overrides that fit the last is taken."""
        labels = set(self.index.labels[row])
        return next((case for case in reversed(self.cases) if case.wanted <= labels), self.base)


def looks(root: Node) -> tuple[bytes | float, bytes | float]:
    """What an alert's life depends on besides values: truth and coverage of every row."""
    assert isinstance(root, ConditionNode)
    coverage = root.coverage
    return root.truth.tobytes(), coverage if isinstance(coverage, float) else coverage.tobytes()


class CompiledRecording:
    """One recording rule: its values become rows of a gauge series."""

    def __init__(self, recording: Recording, compiler: Compiler) -> None:
        self.recording = recording
        self.node = compiler.node(recording.expr)
        self.extra = tuple(sorted(recording.labels.items()))
        self.label_names = tuple(sorted({*self.node.label_names, *recording.labels}))
        self._version = self._seen_ledger = -1
        self._alarm: Alarm | None = None
        self._written: Floats = np.empty(0)
        self._before: dict[Labels, float] = {}

    def resume(self, store: Store) -> None:
        """Go on after what an earlier run, or the same rule before a reload, has written."""
        log = store.logs.get((self.recording.name, 0))
        if log is not None:
            labels = store.catalog.series(self.recording.name).labels
            for _, members, values in (log.standing.rows(), log.rows(log.first, log.end)):
                said = zip(members.tolist(), values.tolist(), strict=True)
                self._before |= {labels[member]: value for member, value in said}

    def evaluate(self, tick: Tick, ledger: Ledger) -> list[tuple[Labels, float]]:
        """Values that changed, by label set. NaN says that the value is missing from now on."""
        if self._alarm is not None and ledger.version == self._seen_ledger and not self._alarm.rings(tick.now_ns):
            return []
        version = self.node.pull(tick)
        self._seen_ledger = ledger.version
        self._alarm = self.node.still() if version == self._version else None  # while it moves it will move again
        if version == self._version:
            return []
        self._version = version
        values = self.node.values
        if isinstance(self.node, ConditionNode):
            values = np.where(self.node.truth == UNKNOWN, np.nan, self.node.truth.astype(np.float64))
        before, self._written = self._written, values
        same = (values[: len(before)] == before) | (np.isnan(values[: len(before)]) & np.isnan(before))
        rows = [*np.flatnonzero(~same).tolist(), *range(len(before), len(values))]
        found = [(relabelled(self.node.index.labels[row], self.extra), float(values[row])) for row in rows]
        if self._before:
            found = [(labels, value) for labels, value in found if not self._said(labels, value)]
        return found

    def _said(self, labels: Labels, value: float) -> bool:
        """Whether this is what was last written before a restart."""
        before = self._before.pop(labels, None)
        return before is not None and (before == value or (math.isnan(before) and math.isnan(value)))


def walk(roots: Sequence[Node]) -> list[Node]:
    """Every node below `roots`, once."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            stack.extend(node.children)
    return list(seen.values())
