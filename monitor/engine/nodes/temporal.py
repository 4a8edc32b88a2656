"""Conditions with a memory from one evaluation to the next: crossings, held, since, then, absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from monitor.engine.cover.coverage import duration_text
from monitor.engine.memory import Memory
from monitor.engine.nodes.align import Join
from monitor.engine.nodes.base import (
    FAR_NS,
    NAN,
    Alarm,
    Bools,
    ConditionNode,
    Holding,
    Node,
    Sources,
    Tick,
    joint,
    row_of,
    take,
)
from monitor.engine.nodes.vector import joined_coverage
from monitor.engine.rows.sums import Bank, Lane
from monitor.events import Labels
from monitor.expression import Matching
from monitor.reading import FALSE, TRUE, UNKNOWN
from monitor.window import Floats, Ints

NEVER_NS = -(1 << 62)


class CrossNode(ConditionNode):
    """``crosses_above(x, y)``: x was at or below y at the previous evaluation and is above it now.

    Both instants are read over the same members, so that a member that comes or goes is no move: those present at both,
    and those that come back after a pause (`monitor.engine.nodes.gauges.PAUSE_NS`) with their last value before it.
    """

    def __init__(
        self, direction: Literal["above", "below"], left: Node, right: Node, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__((left, right))
        self.sign = 1.0 if direction == "above" else -1.0
        self.left, self.right = left, right
        self.join = Join(left, right, Matching(), labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        self._then: tuple[Any, Any] | None = None

    def refresh(self, tick: Tick) -> bool:
        """Compare with the previous evaluation; a crossing is true for one evaluation."""
        changed = self.pull_children(tick)
        if not changed and self._then is not None and not (self.truth != FALSE).any():
            return False
        self.join.update()
        self._take_up()
        a, b = self.join.rows_left, self.join.rows_right
        self.values = take(self.left.values, a, self.left.default)
        self.threshold = take(self.right.values, b, self.right.default)
        self.truth = self._crossed(a, b) if self._then else np.full(len(self.index), UNKNOWN, np.int8)
        if tick.refilled:
            self.truth[self.truth == TRUE] = FALSE
        left, right = self._then or (None, None)
        self._then = (self.left.kept(left), self.right.kept(right))
        self.coverage = joined_coverage(self.join)
        self.sound = np.zeros(len(self.index), np.bool_)
        return True

    def still(self) -> Alarm | None:
        """Until either side moves; a crossing, and what came from nowhere, are taken back at the next evaluation."""
        missing = np.isnan(self.values) | np.isnan(self.threshold)
        missing[list(self.join.ambiguous)] = True
        stays = (self.truth == FALSE) | ((self.truth == UNKNOWN) & missing)
        return joint((self.left.still(), self.right.still())) if stays.all() else None

    def memory(self) -> Memory | None:
        """Both sides as of the newest evaluation."""
        if self._then is None:
            return self.remembered
        left, right = self._then
        return Memory(sides=[*self.left.packed(left), *self.right.packed(right)])

    def _take_up(self) -> None:
        if self.remembered is not None:
            sides = iter(self.remembered.sides)
            self._then = (self.left.unpacked(sides), self.right.unpacked(sides))
            self.remembered = None

    def _crossed(self, a: Ints, b: Ints) -> Any:
        assert self._then is not None
        left_then, left_now = self.left.since_kept(self._then[0])
        right_then, right_now = self.right.since_kept(self._then[1])
        left, right = self.left.default, self.right.default
        before = self.sign * (take(left_then, a, left) - take(right_then, b, right))
        now = self.sign * (take(left_now, a, left) - take(right_now, b, right))
        truth = ((before <= 0) & (now > 0)).astype(np.int8)
        truth = np.where(np.isnan(before) | np.isnan(now), np.int8(UNKNOWN), truth)
        truth[list(self.join.ambiguous)] = UNKNOWN
        return truth

    def next_edge_ns(self) -> int:
        """The next evaluation, when a crossing has to be taken back."""
        return NEVER_NS if (self.truth == TRUE).any() else super().next_edge_ns()

    def reason(self, row: int, now_ns: int) -> str:
        """A missing side, or no earlier evaluation."""
        return super().reason(row, now_ns) or "no earlier value to cross from"


class HeldNode(Node):
    """``held(cond)``: how long the condition has been true without a break, in ns; 0 while false.

    While it is unknown the value stays where it was; when it is true again, the clock has gone on.
    """

    def __init__(self, condition: ConditionNode) -> None:
        super().__init__((condition,))
        self.condition = condition
        self.index, self.label_names = condition.index, condition.label_names
        self.default = 0.0 if condition.default_truth == FALSE else NAN
        self._since: Ints = np.empty(0, np.int64)

    def refresh(self, tick: Tick) -> bool:
        """Time passes, so this changes at every evaluation while anything is true."""
        changed = self.pull_children(tick)
        truth = self.condition.truth
        if not changed and not (truth == TRUE).any():
            return False
        self._take_up()
        more = len(truth) - len(self._since)
        self._since = np.concatenate((self._since, np.full(more, NEVER_NS, np.int64)))
        starts = (truth == TRUE) & (self._since == NEVER_NS)
        self._since[starts] = tick.now_ns
        self._since[truth == FALSE] = NEVER_NS
        held = np.where(truth == TRUE, tick.now_ns - self._since, 0).astype(np.float64)
        last = np.concatenate((self.values, np.full(len(truth) - len(self.values), NAN)))
        self.values = np.where(truth == UNKNOWN, last, held)
        self.coverage = self.condition.coverage
        return True

    def still(self) -> Alarm | None:
        """While nothing is true no time is counted."""
        return None if (self.condition.truth == TRUE).any() else self.condition.stands()

    def latched(self, now_ns: int) -> Bools:
        """While it holds, or stands at how long it did."""
        del now_ns
        return np.asarray((self._since != NEVER_NS) | ~(np.isnan(self.values) | (self.values == 0)), np.bool_)

    def memory(self) -> Memory | None:
        """Since when it holds, and the values, which stay while it is unknown."""
        columns = {"since": self._since, "value": self.values}
        return self.remembered or Memory(self.index.labels[: len(self._since)], columns)

    def _take_up(self) -> None:
        if self.remembered is not None:
            self._since = self.remembered.column("since", self.index, NEVER_NS)
            self.values = self.remembered.column("value", self.index, NAN)
            self.remembered = None


class SinceNode(Node):
    """``since(cond)``: time since the condition was last true, in ns; 0 while true, missing if it never was."""

    def __init__(self, condition: ConditionNode) -> None:
        super().__init__((condition,))
        self.condition = condition
        self.index, self.label_names = condition.index, condition.label_names
        self._last: Ints = np.empty(0, np.int64)

    def refresh(self, tick: Tick) -> bool:
        """Time passes."""
        self.pull_children(tick)
        truth = self.condition.truth
        if self.remembered is not None:
            self._last = self.remembered.column("last", self.index, NEVER_NS)
            self.remembered = None
        more = len(truth) - len(self._last)
        self._last = np.concatenate((self._last, np.full(more, NEVER_NS, np.int64)))
        self._last[truth == TRUE] = tick.now_ns
        self.values = np.where(self._last == NEVER_NS, NAN, (tick.now_ns - self._last).astype(np.float64))
        self.coverage = self.condition.coverage
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """The time since then only grows, until it is true again."""
        del low
        if (self.condition.truth == TRUE).any():
            return None
        known = self._last != NEVER_NS
        until_ns = float((self._last + np.maximum(high, 0))[known].min(initial=FAR_NS))
        return joint((self.condition.stands(), Alarm(until_ns, ())))

    def still(self) -> Alarm | None:
        """As long as it never was true."""
        return self.condition.stands() if (self._last == NEVER_NS).all() else None

    def latched(self, now_ns: int) -> Bools:
        """Once it was true."""
        del now_ns
        return np.asarray(self._last != NEVER_NS, np.bool_)

    def memory(self) -> Memory | None:
        """When it was last true."""
        return self.remembered or Memory(self.index.labels[: len(self._last)], {"last": self._last})

    def reason(self, row: int, now_ns: int) -> str:
        """It never was true, as far as is known."""
        return super().reason(row, now_ns) or "was never true since the start"


class ThenNode(ConditionNode):
    """``first then second within w``, per label set.

    Becomes true when `second` becomes true at most w after `first` was; stays so while `second` holds.
    """

    def __init__(
        self, first: ConditionNode, second: ConditionNode, within_ns: int, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__((first, second))
        self.first, self.second, self.within_ns = first, second, within_ns
        self.join = Join(first, second, Matching(), labels)
        self.index, self.label_names = self.join.index, self.join.label_names
        self.default_truth = FALSE if second.default_truth == FALSE else UNKNOWN
        self.first_at: Ints = np.empty(0, np.int64)
        self.second_at: Ints = np.empty(0, np.int64)
        self._armed = np.empty(0, np.bool_)

    def refresh(self, tick: Tick) -> bool:
        """Note each stage's time and judge the sequence."""
        changed = self.pull_children(tick)
        if not changed and not (self.first.truth == TRUE).any() and not (self.truth == UNKNOWN).any():
            return False
        self.join.update()
        self._take_up()
        self._grow(len(self.index))
        first = take(self.first.truth, self.join.rows_left, np.int8(self.first.default_truth))
        second = take(self.second.truth, self.join.rows_right, np.int8(self.second.default_truth))
        self.first_at[first == TRUE] = tick.now_ns
        starts = (second == TRUE) & (self.second_at == NEVER_NS)
        self.second_at[starts] = tick.now_ns
        self.second_at[second == FALSE] = NEVER_NS
        recent = (self.first_at != NEVER_NS) & (tick.now_ns - self.first_at <= self.within_ns)
        if tick.refilled:  # history says that it holds, not that it has begun to
            recent &= ~starts
        self._armed = np.where(starts, recent, self._armed & (second != FALSE))
        unknown = (second == UNKNOWN) & (self._armed | recent)
        self.truth = np.where(unknown, np.int8(UNKNOWN), (self._armed & (second == TRUE)).astype(np.int8))
        self.values = take(self.second.values, self.join.rows_right, NAN)
        self.threshold = take(self.second.threshold, self.join.rows_right, NAN)
        self.coverage = joined_coverage(self.join)
        self.sound = self._armed & take(self.second.sound, self.join.rows_right, default=False)
        return True

    def times(self, labels: Labels) -> tuple[int | None, int | None]:
        """When the first stage last held, and since when the second does; None: it has not been seen, or does not."""
        row = row_of(self, labels)
        known = (self.first_at, self.second_at) if 0 <= row < len(self.first_at) else ()
        first, second = (int(times[row]) for times in known) if known else (NEVER_NS, NEVER_NS)
        return (None if first == NEVER_NS else first), (None if second == NEVER_NS else second)

    def next_edge_ns(self) -> int:
        """When a first stage grows too old for a second one that is still unknown."""
        waiting = (self.truth == UNKNOWN) & ~self._armed & (self.first_at != NEVER_NS)
        own = int(self.first_at[waiting].min()) + self.within_ns + 1 if waiting.any() else FAR_NS
        return min(own, super().next_edge_ns())

    def still(self) -> Alarm | None:
        """As long as both stages are."""
        return None if self._counts() else joint((self.first.still(), self.second.still()))

    def stands(self) -> Alarm | None:
        """As long as both stages stand."""
        return None if self._counts() else joint((self.first.stands(), self.second.stands()))

    def _counts(self) -> bool:
        """Whether time matters: the first stage holds, or a second one that is unknown waits."""
        return bool((self.first.truth == TRUE).any() or (self.truth == UNKNOWN).any())

    def latched(self, now_ns: int) -> Bools:
        """While the second stage may follow, or followed in time and is not over."""
        return np.asarray(self._armed | (self.first_at >= now_ns - self.within_ns), np.bool_)

    def memory(self) -> Memory | None:
        """The times of both stages."""
        columns = {"first": self.first_at, "second": self.second_at, "armed": self._armed}
        return self.remembered or Memory(self.index.labels[: len(self.first_at)], columns)

    def _take_up(self) -> None:
        if self.remembered is not None:
            self.first_at = self.remembered.column("first", self.index, NEVER_NS)
            self.second_at = self.remembered.column("second", self.index, NEVER_NS)
            self._armed = self.remembered.column("armed", self.index, empty=False)
            self.remembered = None

    def _grow(self, size: int) -> None:
        more = size - len(self.first_at)
        self.first_at, self.second_at = (
            np.concatenate((times, np.full(more, NEVER_NS, np.int64))) for times in (self.first_at, self.second_at)
        )
        self._armed = np.concatenate((self._armed, np.zeros(more, np.bool_)))


class AbsentNode(ConditionNode):
    """``absent(x[w])``: no row arrived in the window, per group seen before; unknown until the engine has run for w."""

    def __init__(self, lane: Lane, bank: Bank, window_ns: int, sources: Sources, *, delay_ns: int = 0) -> None:
        super().__init__()
        self.lane, self.bank, self.window_ns, self.sources = lane, bank, window_ns, sources
        self.delay_ns = delay_ns
        self.index = lane.projection.index
        self._key: tuple[int, int, bool] | None = None

    def refresh(self, tick: Tick) -> bool:
        """Judge again when a row entered or left, or the engine has run long enough."""
        self.bank.settle()
        ran = tick.now_ns - self.sources.started_ns >= self.window_ns
        key = (self.lane.version, len(self.index), ran)
        if key == self._key:
            return False
        self._key = key
        counts = self.lane.counts
        empty = np.int8(TRUE if ran else UNKNOWN)
        self.truth = np.where(counts > 0, np.int8(FALSE), empty)
        self.values = counts.astype(np.float64)
        self.threshold = np.zeros(len(counts))
        self.sound = np.zeros(len(counts), np.bool_)
        return True

    def still(self) -> Alarm | None:
        """Until a row comes or goes, or the engine has run long enough."""
        edge_ns = self.bank.next_edge_ns()
        return self._quiet(FAR_NS if edge_ns is None else edge_ns)

    def stands(self) -> Alarm | None:
        """Until the newest row of some group leaves; while one has none, until a row comes."""
        if (self.truth != FALSE).any():
            return self.still()
        groups = self.lane.projection
        until_ns = self.bank.occupied_until_ns(self.lane)
        return None if self.delay_ns else Alarm(until_ns, ((groups, groups.value),))

    def _quiet(self, until_ns: int) -> Alarm | None:
        """Until an instant, or a row comes, or the engine has run long enough."""
        if (self.truth == UNKNOWN).any():
            until_ns = min(until_ns, self.sources.started_ns + self.window_ns)
        arrived, members = self.bank.log.arrived, self.lane.projection.members
        marks = ((arrived, arrived.value), (members, len(members)))
        return None if self.delay_ns else Alarm(until_ns, marks)

    def holdings(self) -> Sequence[Holding]:
        """The rows that are counted."""
        return [self.bank.log]

    def next_edge_ns(self) -> int:
        """When the engine has run for the whole window, or the next row leaves it."""
        if (self.truth == UNKNOWN).any():
            return self.sources.started_ns + self.window_ns
        edge = self.bank.next_edge_ns()
        return FAR_NS if edge is None else edge

    def reason(self, row: int, now_ns: int) -> str:
        """Too early to say."""
        del row
        ran = max(0, now_ns - self.sources.started_ns)
        return f"needs {duration_text(self.window_ns)} of history, has {duration_text(ran)}"
