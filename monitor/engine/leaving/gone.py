"""Which label sets may leave: no window holds a row of them, no value of them stands, nothing remembers or speaks of them.

A group of label sets that some rule would miss (`Census`), or of which an alert, a condition with a memory or a sample
still speaks, keeps one of its label sets: a row exists as long as one member does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.compile import Compiler
from monitor.engine.leaving.worth import Census, projections
from monitor.engine.nodes.align import key_of
from monitor.engine.nodes.base import Bools, Node
from monitor.engine.nodes.gauges import PAUSE_NS, GaugeNode
from monitor.engine.nodes.temporal import CrossNode
from monitor.engine.past.history import History
from monitor.engine.program import CompiledRecording, CompiledRule
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.log import Log
from monitor.engine.rows.projection import Projection
from monitor.engine.store import Store
from monitor.events import Labels
from monitor.window import Ints

WEEK_NS = 7 * 24 * 3600 * NS_PER_S
"""For so long a value that is missing is kept for a crossing to compare with: an outage is no reason to leave."""
AT_ONCE = 256
"""Rows of samples that are looked at together: a table of flags for all of them would be large."""
Spoken = Mapping[str, Iterable[Labels]]
"""By identity of a rule, the label sets of which there is an alert."""
Mentioned = Iterator[tuple[Node, Iterable[Labels]]]
"""Nodes, and rows of them that must go on existing."""


class Leaving:
    """Works out who may leave.

    Args:
        store: The rows.
        compilers: Those of the rules and of their samples.
        rules: The rules that are evaluated.
        recordings: The series that rules make.
        past: Rows that are kept apart, by series.
    """

    def __init__(
        self,
        store: Store,
        compilers: Sequence[Compiler],
        rules: Sequence[CompiledRule],
        recordings: Sequence[CompiledRecording],
        past: Mapping[str, Log],
    ) -> None:
        self._store, self._compilers, self._rules, self._past = store, compilers, rules, past
        self._nodes = [node for compiler in compilers for node in compiler.nodes.values()]
        self._recordings = recordings
        self._gone: dict[int, Bools] = {}
        crossings = [node for node in self._nodes if isinstance(node, CrossNode)]
        self._crossed = {id(one.members) for node in crossings for one in projections(node)}

    def stay(self, now_ns: int, spoken_of: Spoken) -> dict[str, Bools]:
        """For each series whether each of its members stays."""
        catalog = self._store.catalog
        found = {name: self._over(name, now_ns) for name in catalog.names()}
        self._gone = {id(catalog.series(name)): gone for name, gone in found.items()}
        self._keep_kinds_together()
        self._keep_spliced()
        for projection in Census(self._rules, self._recordings).kept.values():
            self._keep(projection, self._dying(projection))
        for node, labels in self._mentioned(now_ns, spoken_of):
            self._keep_rows(node, labels)
        return {name: ~gone for name, gone in found.items()}

    def _over(self, series: str, now_ns: int) -> Bools:
        """Of which members no row and no value is left, also for a crossing that waits for them to come back."""
        index = self._store.catalog.series(series)
        gone = np.ones(len(index), np.bool_)
        logs = [log for (name, _), log in self._store.logs.items() if name == series]
        for log in (*logs, *(log for name, log in self._past.items() if name == series)):
            log.strike(gone)
        silent_ns = WEEK_NS if id(index) in self._crossed else PAUSE_NS
        for members in (one for compiler in self._compilers for one in compiler.all_members() if one.index is index):
            ends = members.ends()
            gone[: len(ends)] &= ends + silent_ns < now_ns
        return gone

    def _keep_kinds_together(self) -> None:
        """A price that went missing must not give way to one of another kind of the same instrument."""
        for projection in {id(one): one for node in self._nodes for one in projections(node)}.values():
            if projection.prefers:
                labels, gone = projection.members.labels, self._gone[id(projection.members)]
                keys = [tuple([pair for pair in one if pair[0] != "kind"]) for one in labels]
                living = {keys[member] for member in np.flatnonzero(~gone).tolist()}
                gone[[member for member, key in enumerate(keys) if key in living]] = False

    def _keep_spliced(self) -> None:
        """Members that a fold had when it last had a value: its samples go on from them when they come back."""
        for sampler in (one for compiler in self._compilers for one in compiler.samplers()):
            node, history = sampler.node, sampler.history
            if isinstance(node, GaugeNode) and isinstance(history.snapshot, tuple):
                node.projection.update()
                present = history.snapshot[0]
                groups = tells(history, node.index)[node.projection.group[: len(present)]]
                self._gone[id(node.projection.members)][: len(present)][groups & ~np.isnan(present)] = False

    def _dying(self, projection: Projection) -> Ints:
        """Groups of which every member would leave."""
        projection.update()
        group, gone = projection.group, self._gone[id(projection.members)]
        size = len(projection.index)
        living = np.bincount(group[(group >= 0) & ~gone], minlength=size)
        leaving = np.bincount(group[(group >= 0) & gone], minlength=size)
        return np.flatnonzero((living == 0) & (leaving > 0))

    def _keep(self, projection: Projection, groups: Ints) -> None:
        """Have the first member of each of these groups stay."""
        if len(groups):
            chosen, first = np.unique(projection.group, return_index=True)
            self._gone[id(projection.members)][first[np.isin(chosen, groups)]] = False

    def _keep_rows(self, node: Node, labels: Iterable[Labels]) -> None:
        """Have these rows of a node go on existing."""
        wanted = _Wanted(labels)
        mine = frozenset(node.label_names)
        for projection in projections(node) if wanted else ():
            dying, found = self._dying(projection), projection.index.labels
            self._keep(projection, dying[[wanted.on(found[group], mine) for group in dying.tolist()]])

    def _mentioned(self, now_ns: int, spoken_of: Spoken) -> Mentioned:
        for node in self._nodes:
            yield node, rows_of(node.index, node.latched(now_ns))
        for rule in self._rules:
            spoken = [*spoken_of.get(rule.rule.id, ()), *rule.latched()]
            yield from ((root, spoken) for root in rule.roots)
        for sampler in (one for compiler in self._compilers for one in compiler.samplers()):
            yield sampler.node, rows_of(sampler.history.index, says(sampler.history))


class _Wanted:
    """Label sets that are looked for by what others share with them."""

    def __init__(self, labels: Iterable[Labels]) -> None:
        self._labels = list(labels)
        self._keys: dict[frozenset[str], set[Labels]] = {}

    def __bool__(self) -> bool:
        return bool(self._labels)

    def on(self, labels: Labels, names: frozenset[str]) -> bool:
        """Whether one of them has the same values for all of these names that `labels` has; there must be one."""
        shared = names & {name for name, _ in labels}
        if shared not in self._keys:
            self._keys[shared] = {key_of(one, shared) for one in self._labels} if shared else set()
        return key_of(labels, shared) in self._keys[shared]


def rows_of(index: Index, chosen: Bools) -> list[Labels]:
    """The label sets of the chosen rows."""
    return [index.labels[row] for row in np.flatnonzero(chosen).tolist()]


def says(history: History) -> Bools:
    """Which rows have a sample that tells anything else than what a label set without a row had."""
    others, told = history.others[:, None], np.zeros(history.width, np.bool_)
    for start in range(0, history.width, AT_ONCE):
        values = history.values[:, start : min(start + AT_ONCE, history.width)]
        silent = (values == others) | (np.isnan(values) & np.isnan(others))
        told[start : start + AT_ONCE] = ~silent.all(axis=0)
    return told


def tells(history: History, index: Index) -> Bools:
    """By row of another index, and False at the end for none: whether its label set has a sample that `says` something."""
    told = dict(zip(history.index.labels, says(history).tolist(), strict=False))
    return np.array([*(told.get(labels, False) for labels in index.labels), False], np.bool_)
