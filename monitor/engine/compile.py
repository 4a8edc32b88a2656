"""From typed trees to nodes. Equal sub-expressions become one node, for all rules together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.cover.slow_coverage import SLOW, SlowNeed, part_label
from monitor.engine.memory import Memory
from monitor.engine.nodes.base import NAN, ConditionNode, ConstantNode, Node
from monitor.engine.nodes.gauges import ChangeNode, GaugeNode, WeightedNode
from monitor.engine.nodes.logic import CompareNode, KOfNode, LogicNode, NotNode
from monitor.engine.nodes.members import Members, PairWeights, Weights
from monitor.engine.nodes.need import Need
from monitor.engine.nodes.temporal import AbsentNode, CrossNode, HeldNode, SinceNode, ThenNode
from monitor.engine.nodes.totals import TotalNode
from monitor.engine.nodes.vector import ArithmeticNode, CountTrueNode, FoldNode, NegateNode, TopKNode, kept_labels
from monitor.engine.nodes.windows import EXTREMES, PairNode, RowsNode, SamplesNode
from monitor.engine.past.history import Grid, History, Link, Sampler
from monitor.engine.rows.panes import history_distance, pane_of
from monitor.engine.rows.projection import Projection, matches
from monitor.engine.rows.sums import Edge
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Domain, Store
from monitor.events import Labels
from monitor.expression import (
    UNTYPED,
    Arithmetic,
    Call,
    Compare,
    Expr,
    Folded,
    Grouping,
    KOf,
    Logic,
    Matcher,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Then,
    selectors,
    series_names,
)
from monitor.language import to_text
from monitor.series import Fold, SeriesSpec, Unit
from monitor.window import WindowFunction
from monitor.windows import PAIRS, WINDOWS

ALL = Grouping()
LABEL_AGGREGATES = frozenset({"sum", "avg", "mean", "min", "max", "count", "stddev", "spread", "median"})


class NotComputable(ValueError):
    """The tree asks for something that has no meaning here; the language layer refuses such rules earlier."""


class Compiler:
    """Builds nodes over one domain."""

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        grid: Grid | None = None,
        histories: dict[object, History] | None = None,
    ) -> None:
        """Make a compiler: at the top without a `grid`; with one, for the expressions that are sampled on it.

        `histories` is where samples are kept, by default in the store.
        """
        self.store, self.settings = store, settings
        self.histories = store.histories if histories is None else histories
        self.domain = grid.domain if grid else Domain(store)
        self.grids: dict[int, tuple[Grid, Compiler]] = {}
        self._grid = grid
        self.nodes: dict[Expr, Node] = {}
        self._projections: dict[object, Projection] = {}
        self._members: dict[object, Members] = {}

    def node(self, expr: Expr) -> Node:
        """The node of an expression."""
        found = self.nodes.get(expr)
        if found is None:
            found = self.nodes[expr] = self._build(expr)
            if self.store.memories:
                self._remind(expr, found)
        return found

    def samplers(self) -> list[Sampler]:
        """Every sampler of every grid."""
        return [sampler for grid, _ in self.grids.values() for sampler in grid.samplers]

    def all_members(self) -> Iterable[Members]:
        """Whoever is asked for present values."""
        return self._members.values()

    def memories(self) -> dict[str, Memory]:
        """What the nodes remember, by expression and the grid that it is sampled on."""
        found = {self._name(expr): memory for expr, node in self.nodes.items() if (memory := node.memory()) is not None}
        for _, compiler in self.grids.values():
            found |= compiler.memories()
        return found

    def _remind(self, expr: Expr, node: Node) -> None:
        memory = self.store.memories.get(self._name(expr))
        if memory is not None:
            node.recall(memory)

    def _name(self, expr: Expr) -> str:
        return f"{self._grid.step_ns if self._grid else 0}|{to_text(expr)}"

    def condition(self, expr: Expr) -> ConditionNode:
        """The node of a condition."""
        node = self.node(expr)
        if not isinstance(node, ConditionNode):
            raise NotComputable(f"not a condition: {type(expr).__name__}")
        return node

    def _build(self, expr: Expr) -> Node:
        match expr:
            case Number(value=value):
                node: Node = ConstantNode(value)
            case Selector():
                node = self.gauge(expr, None)
            case Folded(inner=inner, grouping=grouping):
                node = self._folded(inner, grouping)
            case Call():
                node = self._call(expr)
            case Arithmetic(op=op, left=left, right=right, matching=matching):
                node = ArithmeticNode(op, self.node(left), self.node(right), matching, labels_of(expr))
            case Negate(inner=inner):
                node = NegateNode(self.node(inner))
            case Range():
                raise NotComputable("a range stands outside of a function over time")
            case _:
                node = self._condition(expr)
        return node

    def _condition(self, expr: Expr) -> ConditionNode:
        match expr:
            case Compare(op=op, left=left, right=right, matching=matching):
                return CompareNode(op, self.node(left), self.node(right), matching, labels_of(expr))
            case Logic(op=op, left=left, right=right, matching=matching):
                return LogicNode(op, self.condition(left), self.condition(right), matching, labels_of(expr))
            case Not(inner=inner):
                return NotNode(self.condition(inner))
            case KOf(k=k, conditions=conditions):
                return KOfNode(k, [self.condition(item) for item in conditions])
            case Then(first=first, second=second, within_ns=within_ns):
                return ThenNode(self.condition(first), self.condition(second), within_ns, labels_of(expr))
            case _:
                raise NotComputable(f"unknown expression {type(expr).__name__}")

    def _folded(self, inner: Expr, grouping: Grouping) -> Node:
        if isinstance(inner, Selector):
            return self.gauge(inner, grouping)
        return FoldNode("mean", self.node(inner), grouping)

    def _call(self, call: Call) -> Node:
        special = SPECIAL.get(call.name)
        if special is not None:
            return special(self, call)
        subject = call.args[-1]
        if isinstance(subject, Range):
            return self._over_time(call, subject)
        if call.name == "quantile":
            return FoldNode("quantile", self.node(subject), call.grouping, cast("Number", call.args[0]).value)
        if call.name == "last" and isinstance(subject, Selector):
            return self.gauge(subject, call.grouping)
        if call.name == "count" and isinstance(self.node(subject), ConditionNode):
            return CountTrueNode(self.condition(subject), call.grouping)
        if call.name in LABEL_AGGREGATES:
            return FoldNode(call.name, self.node(subject), call.grouping)
        raise NotComputable(f"{call.name} needs a range")

    def _over_time(self, call: Call, subject: Range) -> Node:
        inner = subject.inner
        if isinstance(inner, Selector) and not subject.step_ns:
            spec = self.spec(inner.series)
            if spec.form == "events" and call.name in ("sum", "count", "rate", "mean"):
                return self._total(call, subject, inner)
            if spec.form == "gauge" and call.name in ("change", "delta", "rate"):
                return self._change(call, subject, inner)
        if call.name in PAIRS:
            return self._pair(call)
        function = WINDOWS.get(call.name)
        if function is None:
            raise NotComputable(f"{call.name} is not a function over time")
        rows = isinstance(inner, Selector) and not subject.step_ns and set(function.sources) != {"samples"}
        if rows and isinstance(inner, Selector) and self._as_rows(call, inner):
            return self._rows(call, function, subject, inner)
        q = cast("Number", call.args[0]).value if call.name == "quantile" else NAN
        return self._samples(function, call, subject, q)

    def _as_rows(self, call: Call, selector: Selector) -> bool:
        """Events and unfolded gauges are read row by row, and so are totals of a gauge's rows; the rest is sampled."""
        events = self.spec(selector.series).form == "events"
        return events or call.grouping is None or call.name in ("sum", "count")

    def _rows(self, call: Call, function: WindowFunction, subject: Range, selector: Selector) -> Node:
        spec = self.spec(selector.series)
        delay_ns = subject.offset_ns + selector.offset_ns
        events = spec.form == "events"
        grouping = (call.grouping or ALL) if events else call.grouping
        projection = self.projection(selector, grouping)
        every_row = events or call.name in ("sum", "count")  # panes keep a gauge's turns, not its rows
        pane_ns = 0 if every_row else pane_of(subject.window_ns + delay_ns)
        self.store.need(selector.series, pane_ns, subject.window_ns + delay_ns + pane_ns)
        logs = tuple(self.store.log(selector.series, width) for width in ((pane_ns, 0) if pane_ns else (0,)))
        names = spec.labels if grouping is None else kept_labels(spec.labels, grouping)
        need = self.need(selector, subject.window_ns, delay_ns, projection, names)
        need.logs = logs
        gauge = None
        if not events:
            start = self.members(selector.series, delay_ns + subject.window_ns)
            gauge = (self.gauge(selector, grouping, subject.offset_ns), start)
        q = cast("Number", call.args[0]).value if call.name == "quantile" else NAN
        window = (subject.window_ns, delay_ns, pane_ns)
        extremes = None
        if call.name in EXTREMES and not pane_ns:
            ufunc = np.minimum if call.name == "min" else np.maximum
            extremes = self.domain.extreme(selector.series, projection, ufunc, subject.window_ns, delay_ns)
        node = RowsNode(function, logs, projection, need, window, q=q, gauge=gauge, extremes=extremes)
        node.label_names = names
        return node

    def _pair(self, call: Call) -> Node:
        function = PAIRS[call.name]
        sides = []
        for arg in call.args:
            assert isinstance(arg, Range)
            step_ns = arg.step_ns or function.step_ns
            sides.append(self._samples(None, call, replace(arg, step_ns=step_ns), NAN))
        return PairNode(function, sides[0], sides[1], labels_of(call))

    def _samples(self, function: WindowFunction | None, call: Call, subject: Range, q: float) -> SamplesNode:
        inner, link = self._sampled(subject.inner, call.grouping)
        step_ns = subject.step_ns or (function.step_ns if function else 0) or grid_of(subject.window_ns)
        keep_ns = subject.window_ns + subject.offset_ns
        sampler = self.sampler(inner, step_ns, keep_ns, link)
        node = SamplesNode(function, self.node(inner), sampler, subject.window_ns, subject.offset_ns, q=q)
        first = next(selectors(inner), None)
        if first is not None:
            projection = self.projection(first, call.grouping or ALL)
            node.need = self.need(first, keep_ns, 0, projection, ())
        return node

    def _sampled(self, inner: Expr, grouping: Grouping | None) -> tuple[Expr, Link]:
        """What to sample: the inner expression, its labels folded first; and how to splice it."""
        if grouping is not None:
            link = self._link(inner.series) if isinstance(inner, Selector) else ""
            return Folded(inner=inner, grouping=grouping), link
        folded = isinstance(inner, Folded) and isinstance(inner.inner, Selector)
        return inner, self._link(inner.inner.series) if folded else ""  # type: ignore[attr-defined]

    def _link(self, series: str) -> Link:
        """How samples of a folded series are spliced where its members change: amounts by ratio, rates by difference."""
        ratio = self.spec(series).unit in (Unit.USD, Unit.PRICE, Unit.NUMBER, Unit.COUNT)
        return "ratio" if ratio else "difference"

    def sampler(self, inner: Expr, step_ns: int, keep_ns: int, link: Link) -> Sampler:
        """One sampler per expression and step. Samplers of one step share their readers; nested ones join the outer's."""
        if self._grid is not None:
            grid, compiler = self._grid, self
        else:
            if step_ns not in self.grids:
                grid = Grid(Domain(self.store), step_ns)
                self.grids[step_ns] = (grid, Compiler(self.store, self.settings, grid))
            grid, compiler = self.grids[step_ns]
        key = (inner, step_ns, link, grid.step_ns)
        for sampler in grid.samplers:
            if sampler.key == key:
                sampler.keep_ns = max(sampler.keep_ns, keep_ns)
                return sampler
        node = compiler.node(inner)
        history = self.histories.setdefault(key, History())
        of_events = any(self.spec(series).form == "events" for series in series_names(inner))
        sampler = Sampler(key, node, step_ns=step_ns, keep_ns=keep_ns, link=link, history=history, of_events=of_events)
        grid.samplers.append(sampler)
        return sampler

    def advance(self, now_ns: int) -> None:
        """Take the samples that are due, then move every reader to `now_ns`."""
        for grid, _ in self.grids.values():
            grid.advance(now_ns)
        self.domain.seek(now_ns)

    def settle(self) -> None:
        """Let every reader catch up, so that the logs may forget what is behind all windows."""
        for domain in self._domains():
            domain.settle()

    def close(self) -> None:
        """Stop reading the logs."""
        for domain in self._domains():
            domain.close()

    def _domains(self) -> list[Domain]:
        return [self.domain, *(grid.domain for grid, _ in self.grids.values())]

    def spec(self, series: str) -> SeriesSpec:
        """What is known about a series."""
        return self.store.specs[series]

    def projection(self, selector: Selector, grouping: Grouping | None) -> Projection:
        """Which members a selector takes, and their groups; shared."""
        spec = self.spec(selector.series)
        given = {matcher.label for matcher in selector.matchers}
        grouped = set(grouping.labels) if grouping and not grouping.without else set()
        defaults = tuple(Matcher(k, "=", v) for k, v in spec.defaults if k not in given | grouped)
        prefer = selector.series == "price" and not {"kind"} & (given | grouped)
        key = (selector.series, selector.matchers, grouping)
        if key not in self._projections:
            members = self.store.catalog.series(selector.series)
            found = Projection(members, (*selector.matchers, *defaults), grouping, prefer_kinds=prefer)
            self._projections[key] = found
        return self._projections[key]

    def need(
        self, selector: Selector, window_ns: int, delay_ns: int, projection: Projection, names: tuple[str, ...]
    ) -> Need:
        """The coverage that a reading of a selector depends on."""
        accept_labels = matches([m for m in selector.matchers if m.label == "venue"])
        by_venue = projection.index if "venue" in names else None
        channel = self.spec(selector.series).channel
        slow = self._slow_need(selector, names) if channel in SLOW else None
        return Need(
            self.store.ledger,
            channel,
            lambda venue: accept_labels((("venue", venue),)),
            window_ns,
            delay_ns=delay_ns,
            by_venue=by_venue,
            slow=slow,
        )

    def _slow_need(self, selector: Selector, names: tuple[str, ...]) -> SlowNeed:
        """The parts of a slow series that a selector takes."""
        spec = self.spec(selector.series)
        label = part_label(spec)
        chosen = [matcher for matcher in selector.matchers if matcher.label == label]
        if not chosen and label not in names:
            chosen = [Matcher(name, "=", value) for name, value in spec.defaults if name == label]
        accept = matches(chosen)
        return SlowNeed(selector.series, lambda part: accept(((label, part),)))

    def _total(self, call: Call, subject: Range, selector: Selector) -> Node:
        grouping = call.grouping or ALL
        projection = self.projection(selector, grouping)
        delay_ns = subject.offset_ns + selector.offset_ns
        pane_ns = pane_of(subject.window_ns)
        parts = [(pane_ns, Edge(length_ns=subject.window_ns))]
        if pane_ns:
            parts.append((0, Edge(pane_ns=pane_ns)))
        banks, lanes = [], []
        for width_ns, edge in parts:
            bank = self.domain.bank(selector.series, width_ns, delay_ns)
            banks.append(bank)
            lanes.append(bank.lane(edge, projection))
        self.store.need(selector.series, pane_ns, subject.window_ns + delay_ns + pane_ns)
        names = kept_labels(self.spec(selector.series).labels, grouping)
        need = self.need(selector, subject.window_ns, delay_ns, projection, names)
        need.logs = tuple(bank.log for bank in banks)
        node = TotalNode(call.name, lanes, banks, need, subject.window_ns)  # type: ignore[arg-type]
        node.label_names = names
        return node

    def members(self, series: str, delay_ns: int, stale_ns: float | None = None, reach_ns: int = 0) -> Members:
        """Present values of a series as of `delay_ns` ago; `stale_ns` replaces the channel's limit.

        Where the past is kept in panes, a value of then may be older by the distance at which history is fetched: a
        week ago is known to the hour, two months ago to the day.
        """
        key = (series, delay_ns, stale_ns)
        if key not in self._members:
            pane_ns = pane_of(max(delay_ns, reach_ns))
            slack_ns = history_distance(delay_ns) if delay_ns and pane_ns else 0
            self.store.need(series, pane_ns, delay_ns + 2 * pane_ns + slack_ns)
            last = self.domain.last(series, pane_ns, delay_ns)
            stale_of = self._stale_of(series, slack_ns) if stale_ns is None else lambda _: stale_ns
            self._members[key] = Members(last, self.store.catalog.series(series), stale_of, delay_ns, series=series)
        return self._members[key]

    def _stale_of(self, series: str, slack_ns: int = 0) -> Callable[[Labels], float]:
        """A feed's limit; never less than the series' own where a source may give it under the same venue's name."""
        spec = self.spec(series)
        least_s = spec.stale_s if spec.channel in SLOW else 0.0

        def stale_of(labels: Labels) -> float:
            limit_s = self.settings.stale_s.get((dict(labels).get("venue", ""), spec.channel), spec.stale_s)
            return max(limit_s, least_s) * NS_PER_S + slack_ns

        return stale_of

    def weights(self, fold: Fold, series: str, delay_ns: int) -> Weights | None:
        """Open interest as weights, for the folds that want it."""
        if fold is not Fold.OI_MEAN:
            return None
        return Weights(self.members("open_interest", delay_ns), self.store.catalog.series(series))

    def gauge(self, selector: Selector, grouping: Grouping | None, extra_delay_ns: int = 0) -> GaugeNode:
        """Present values of a gauge, folded by its natural fold where labels are folded away."""
        spec = self.spec(selector.series)
        if spec.form == "events":
            raise NotComputable(f"{selector.series} are events and need a window")
        delay_ns = selector.offset_ns + extra_delay_ns
        projection = self.projection(selector, grouping)
        names = spec.labels if grouping is None else kept_labels(spec.labels, grouping)
        weights = self.weights(spec.fold, selector.series, delay_ns) if grouping is not None else None
        need = self.need(selector, 0, delay_ns, projection, names)
        node = GaugeNode(self.members(selector.series, delay_ns), projection, spec.fold, weights, need)
        node.label_names = names
        return node

    def _change(self, call: Call, subject: Range, selector: Selector) -> Node:
        now = self.gauge(selector, call.grouping, subject.offset_ns)
        delay_ns = now.members.delay_ns + subject.window_ns
        then = self.members(selector.series, delay_ns)
        weights = None if now.weights is None else self.weights(now.fold, selector.series, delay_ns)
        node = ChangeNode(call.name, now, then, weights)  # type: ignore[arg-type]
        node.label_names = now.label_names
        return node

    def weighted(self, call: Call) -> Node:
        """``weighted_avg(x, w)``."""
        x, w = call.args
        if not (isinstance(x, Selector) and isinstance(w, Selector)):
            raise NotComputable("weighted_avg takes two series")
        grouping = call.grouping or ALL
        projection = self.projection(x, grouping)
        shared = tuple(name for name in self.spec(x.series).labels if name in self.spec(w.series).labels)
        weights = PairWeights(
            self.members(w.series, w.offset_ns), self.projection(w, None), self.store.catalog.series(x.series), shared
        )
        names = kept_labels(self.spec(x.series).labels, grouping)
        need = self.need(x, 0, x.offset_ns, projection, names)
        node = WeightedNode(self.members(x.series, x.offset_ns), projection, weights, need)
        node.label_names = names
        return node

    def absent(self, call: Call) -> Node:
        """``absent(x[w])``."""
        subject = call.args[0]
        if isinstance(subject, Selector):
            subject = Range(inner=subject, window_ns=int(self.spec(subject.series).stale_s * NS_PER_S))
        assert isinstance(subject, Range)
        assert isinstance(subject.inner, Selector)
        selector, delay_ns = subject.inner, subject.offset_ns + subject.inner.offset_ns
        pane_ns = 0
        self.store.need(selector.series, pane_ns, subject.window_ns + delay_ns)
        bank = self.domain.bank(selector.series, pane_ns, delay_ns)
        lane = bank.lane(Edge(length_ns=subject.window_ns), self.projection(selector, call.grouping or ALL))
        node = AbsentNode(lane, bank, subject.window_ns, self.store.sources, delay_ns=delay_ns)
        node.label_names = kept_labels(self.spec(selector.series).labels, call.grouping or ALL)
        return node

    def cross(self, call: Call) -> Node:
        """``crosses_above`` and ``crosses_below``."""
        left, right = (self.node(arg) for arg in call.args)
        return CrossNode("above" if call.name == "crosses_above" else "below", left, right, labels_of(call))

    def top(self, call: Call) -> Node:
        """``topk(k, x)``."""
        k = cast("Number", call.args[0])
        inner = self.node(call.args[1])
        return TopKNode(int(k.value), inner, call.grouping)


def labels_of(expr: Expr) -> tuple[str, ...] | None:
    """Labels of an operator's result as the checker found them; None for a tree that was made without it."""
    return None if expr.type is UNTYPED else expr.type.labels


def grid_of(window_ns: int) -> int:
    """Distance of samples where the rule names none: 1 s for windows up to an hour, else one pane."""
    return pane_of(window_ns) or NS_PER_S


SPECIAL: dict[str, Callable[[Compiler, Call], Node]] = {
    "weighted_avg": Compiler.weighted,
    "absent": Compiler.absent,
    "crosses_above": Compiler.cross,
    "crosses_below": Compiler.cross,
    "topk": Compiler.top,
    "held": lambda compiler, call: HeldNode(compiler.condition(call.args[0])),
    "since": lambda compiler, call: SinceNode(compiler.condition(call.args[0])),
}
