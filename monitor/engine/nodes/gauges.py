"""Nodes that read gauges: last values folded into groups, weighted means, and the change over a window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.cover.coverage import duration_text
from monitor.engine.memory import Side
from monitor.engine.nodes.base import FAR_NS, ROUNDING, Alarm, Growing, Holding, Node, Tick, joint, padded
from monitor.engine.nodes.members import Members, PairWeights, Weights
from monitor.engine.nodes.need import Need
from monitor.engine.rows.gauges import DRIFT_UNITS, NAN, Folder, Recent, fold_groups, weighted_mean
from monitor.engine.rows.projection import Projection
from monitor.series import Fold
from monitor.window import Floats

PAUSE_NS = 3600 * NS_PER_S
"""For so long a member may be missing from a group that goes on without it, and be compared with its last value."""


Kept = tuple[Floats, Floats | None, Floats]
"""Of each member the value and weight that a crossing compares with, and when it went missing while its group went on."""


class MembersNode(Node):
    """A node that folds present members of a gauge into groups, perhaps by a weight."""

    members: Members
    projection: Projection
    weights: Weights | PairWeights | None
    need: Need

    def still(self) -> Alarm | None:
        """Until the next value or weight."""
        weights = self.weights.still() if self.weights else None
        own = self.members.still(), Alarm(self.need.until_ns, ())
        return joint(own if weights is None else (*own, weights))

    def _present(self) -> Floats:
        return padded(self.members.present, len(self.projection.group))

    def _both_present(self) -> tuple[Floats, Floats | None]:
        """Values and weights of the members that have both; NaN of the others."""
        values, weights = self._present(), self.weights.aligned() if self.weights else None
        if weights is None:
            return values, None
        gone = np.isnan(values) | np.isnan(weights)
        return np.where(gone, NAN, values), np.where(gone, NAN, weights)

    def kept(self, before: Kept | None) -> Kept:
        """See `Node`; a group that goes on without a member keeps it for `PAUSE_NS`, one without a value all that it had."""
        values, weights = self._both_present()
        missing = np.isnan(values)
        goes_on = np.append(~np.isnan(self.values), True)[self.projection.group]
        since = np.where(missing & goes_on, self._ends(), np.inf)
        if before is None:
            return values, weights, since
        size = len(values)
        values = np.where(missing, padded(before[0], size), values)
        if weights is not None and before[1] is not None:
            weights = np.where(missing, padded(before[1], size), weights)
        return values, weights, since

    def since_kept(self, then: Kept) -> tuple[Floats, Floats]:
        """See `Node`."""
        size = len(self.projection.group)
        now, now_weights = self._both_present()
        back_ns = np.where(np.isnan(now), NAN, self.members.now_ns)
        with np.errstate(invalid="ignore"):
            gone = np.isnan(now) | (back_ns - padded(then[2], size, np.inf) > PAUSE_NS)
        before = np.where(gone, NAN, padded(then[0], size))
        gone |= np.isnan(before)
        before_weights = None if now_weights is None else padded(cast("Floats", then[1]), size)
        return self._folded(before, before_weights), self._folded(np.where(gone, NAN, now), now_weights)

    def packed(self, snapshot: Kept) -> list[Side]:
        """Values, weights and times by member."""
        values, weights, since = snapshot
        by = self.members.series
        return [(by, values), (by, np.empty(0) if weights is None else weights), (by, since)]

    def unpacked(self, sides: Iterator[Side]) -> Kept:
        """The same again."""
        (_, values), (_, weights), (_, since) = next(sides), next(sides), next(sides)
        return values, weights if self.weights else None, since

    def _ends(self) -> Floats:
        ends = padded(self.members.ends(), len(self.projection.group))
        return np.fmin(ends, padded(self.weights.ends(), len(ends))) if self.weights else ends

    def _folded(self, values: Floats, weights: Floats | None) -> Floats:
        """Members to groups."""
        raise NotImplementedError


class GaugeNode(MembersNode):
    """Present values of a gauge, folded into groups; each label set of its own when nothing is folded."""

    def __init__(
        self, members: Members, projection: Projection, fold: Fold, weights: Weights | None, need: Need
    ) -> None:
        super().__init__()
        self.members, self.projection, self.fold, self.weights, self.need = members, projection, fold, weights, need
        self.index = projection.index
        self._inputs: tuple[int, ...] = ()
        self._folder = Folder(fold)
        self._recent = Recent()

    def refresh(self, tick: Tick) -> bool:
        """Fold again when a value arrived or one went stale."""
        self.projection.update()
        self.coverage, moved = self.need.share(tick.now_ns)
        weight_version = self.weights.update(tick.now_ns) if self.weights else 0
        inputs = (self.members.update(tick.now_ns), weight_version, self.projection.version)
        if inputs == self._inputs:
            return moved
        self._inputs = inputs
        old, present = self.values, self._present()
        self.values = self._fold(present, self.weights.aligned() if self.weights else None, self._folder)
        if self._folds and self.values is not old:
            self._recent.note(present, self.projection, self.values)
        return moved or self.values is not old

    def holdings(self) -> Sequence[Holding]:
        """Where the last values come from."""
        return [self.members.last.log]

    def snapshot(self, before: tuple[Floats, Floats | None] | None = None) -> tuple[Floats, Floats | None]:
        """Who was present, and with what weight; a group without a value keeps the members and weights that it last had."""
        present, weights = self._present(), self.weights.aligned() if self.weights else None
        if before is None:
            return present, weights
        return self._kept(present, before[0]), None if weights is None else self._kept(weights, before[1])

    def _kept(self, now: Floats, before: Floats | None) -> Floats:
        group = self.projection.group
        known = np.append(~np.isnan(self.values), True)[group]
        return now if before is None else np.where(known, now, padded(before, len(group)))

    def steady(self, then: tuple[Floats, Floats | None]) -> bool:
        """See `Node`."""
        if self.weights is not None or len(then[0]) != len(self.projection.group):
            return False
        return bool((np.isnan(then[0]) == np.isnan(self._present())).all())

    def folders(self) -> tuple[Folder, Folder]:
        """Then's and now's, for a caller that compares with the same instant's values again and again."""
        return Folder(self.fold), Folder(self.fold)

    def against(
        self, then: tuple[Floats, Floats | None], folders: tuple[Folder, Folder] | None = None
    ) -> tuple[Floats, Floats]:
        """Fold then and now over the members present at both."""
        size = len(self.projection.group)
        before, now = padded(then[0], size), self._present()
        before_weights = now_weights = None
        if self.weights and then[1] is not None:
            before_weights, now_weights = padded(then[1], size), self.weights.aligned()
            both = ~(np.isnan(before_weights) | np.isnan(now_weights))
            before, now = np.where(both, before, NAN), np.where(both, now, NAN)
        gone = np.isnan(before) != np.isnan(now)
        if gone.any():
            before, now = np.where(gone, NAN, before), np.where(gone, NAN, now)
        first, second = folders or self.folders()
        return self._known(before, before_weights, first), self._known(now, now_weights, second)

    def between(self, then: tuple[Floats, Floats | None], now: tuple[Floats, Floats | None]) -> tuple[Floats, Floats]:
        """Fold two snapshots over the members present at both."""
        size = len(self.projection.group)
        before, after = padded(then[0], size), padded(now[0], size)
        weights = [None if side[1] is None else padded(side[1], size) for side in (then, now)]
        gone = np.isnan(before) | np.isnan(after)
        for weight in weights:
            gone |= False if weight is None else np.isnan(weight)
        first, second = self.folders()
        return (
            self._fold(np.where(gone, NAN, before), weights[0], first),
            self._fold(np.where(gone, NAN, after), weights[1], second),
        )

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """A fold of values above zero moves no further than they do."""
        if self.weights is not None:
            return None
        return self.drift_alarm(log_room(self.values, low, high), [self.members], self.need)

    def drift_alarm(self, room: float, moving: Sequence[Members], need: Need) -> Alarm | None:
        """For a reading that moves, as a logarithm, no further than the members of several series do together."""
        marks: list[tuple[Growing, int]] = [(self.projection.members, len(self.projection.members))]
        for members in moving:
            if not members.positive():
                return None
            last = members.last
            last.meter(members.least_stale_ns)
            room_units = max(int((room - ROUNDING) / len(moving) * DRIFT_UNITS), 0) if room < np.inf else FAR_NS
            marks += [(last.breaks, last.breaks.value), (last.drift, last.drift.value + room_units)]
        return Alarm(min(need.until_ns, *(members.fresh_until_ns() for members in moving)), tuple(marks))

    def next_edge_ns(self) -> int:
        """When the next value goes stale."""
        return int(min(self.members.next_stale_ns + 1 + self.members.delay_ns, FAR_NS))

    def reason(self, row: int, now_ns: int) -> str:
        """Silent feeds, a missing weight, or a value that is too old."""
        if row >= 0 and self.weights is not None:
            values = self._present()[self.projection.of_group(row)]
            if not np.isnan(values).all():
                return "no open interest to weight by"
        return self.need.silent(now_ns) or "no value, or the last one is stale"

    def _folded(self, values: Floats, weights: Floats | None) -> Floats:
        return self._fold(values, weights, Folder(self.fold))

    @property
    def _folds(self) -> bool:
        """Whether folding by values alone is more than copying."""
        return self.weights is None and not self.projection.single

    def _known(self, values: Floats, weights: Floats | None, folder: Folder) -> Floats:
        """As `_fold`, of values that were perhaps folded a moment ago."""
        found = self._recent.find(values, self.projection) if self._folds else None
        return self._fold(values, weights, folder) if found is None else found

    def _fold(self, values: Floats, weights: Floats | None, folder: Folder) -> Floats:
        if self.projection.single and self.weights is None:
            return self.projection.copied(values)
        if weights is None:
            return folder.fold(values, self.projection)
        return fold_groups(self.fold, values, self.projection.group, len(self.index), weights)


class WeightedNode(MembersNode):
    """``weighted_avg(x, w)``: of the label sets of x that have a weight, matched on the labels that both carry."""

    weights: PairWeights

    def __init__(self, x: Members, projection: Projection, w: PairWeights, need: Need) -> None:
        super().__init__()
        self.members, self.projection, self.weights, self.need = x, projection, w, need
        self.index = projection.index
        self._inputs: tuple[int, ...] = ()

    def refresh(self, tick: Tick) -> bool:
        """Average again when a value or weight arrived or went stale."""
        self.projection.update()
        self.coverage, moved = self.need.share(tick.now_ns)
        inputs = (self.members.update(tick.now_ns), self.weights.update(tick.now_ns), self.projection.version)
        if inputs == self._inputs:
            return moved
        self._inputs = inputs
        self.values = self._average(self._present(), self.weights.aligned())
        return True

    def holdings(self) -> Sequence[Holding]:
        """Where the last values come from."""
        return [self.members.last.log]

    def snapshot(self, before: tuple[Floats, Floats] | None = None) -> tuple[Floats, Floats]:
        """Who was present, and with what weight; a group without a value keeps the members that it last had."""
        present, weights = self._present(), self.weights.aligned()
        if before is None:
            return present, weights
        known = np.append(~np.isnan(self.values), True)[self.projection.group]
        size = len(known)
        return np.where(known, present, padded(before[0], size)), np.where(known, weights, padded(before[1], size))

    def against(self, then: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Average then and now over the members that had value and weight at both."""
        size = len(self.projection.group)
        x0, w0 = padded(then[0], size), padded(then[1], size)
        x1, w1 = self._present(), self.weights.aligned()
        gone = np.isnan(x0) | np.isnan(w0) | np.isnan(x1) | np.isnan(w1)
        return self._average(np.where(gone, NAN, x0), w0), self._average(np.where(gone, NAN, x1), w1)

    def between(self, then: tuple[Floats, Floats], now: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Average two snapshots over the members that had value and weight at both."""
        size = len(self.projection.group)
        (x0, w0), (x1, w1) = ((padded(x, size), padded(w, size)) for x, w in (then, now))
        gone = np.isnan(x0) | np.isnan(w0) | np.isnan(x1) | np.isnan(w1)
        return self._average(np.where(gone, NAN, x0), w0), self._average(np.where(gone, NAN, x1), w1)

    def next_edge_ns(self) -> int:
        """When the next value or weight goes stale."""
        return int(min(self.members.next_stale_ns + 1, self.weights.next_stale_ns + 1, FAR_NS))

    def reason(self, row: int, now_ns: int) -> str:
        """Silent feeds, or nothing that has both value and weight."""
        del row
        return self.need.silent(now_ns) or "no member has both a value and a weight"

    def _folded(self, values: Floats, weights: Floats | None) -> Floats:
        assert weights is not None
        return self._average(values, weights)

    def _average(self, x: Floats, w: Floats) -> Floats:
        return weighted_mean(x, padded(w, len(x)), self.projection.group, len(self.index))


class ChangeNode(Node):
    """``change`` (ratio) or ``delta`` of a gauge against its value at t - w, over members present at both ends."""

    def __init__(
        self, what: Literal["change", "delta", "rate"], now: GaugeNode, then: Members, then_weights: Weights | None
    ) -> None:
        super().__init__((now,))
        self.what, self.gauge, self.then, self.then_weights = what, now, then, then_weights
        self.index = now.index
        self.need = now.need
        self._then_version = -1
        self._folders = now.folders()

    def refresh(self, tick: Tick) -> bool:
        """Compare again when either end changed."""
        changed = self.pull_children(tick)
        version = self.then.update(tick.now_ns) + (self.then_weights.update(tick.now_ns) if self.then_weights else 0)
        if not changed and version == self._then_version:
            return False
        self._then_version = version
        self.coverage = self.gauge.coverage
        before, now = self.gauge.against(
            (self.then.present, self.then_weights.aligned() if self.then_weights else None), self._folders
        )
        if self.what == "change":
            out = np.full(len(now), NAN)
            np.divide(now, before, out=out, where=before != 0)
            self.values = out - 1.0
        else:
            self.values = now - before
            if self.what == "rate":
                self.values /= (self.then.delay_ns - self.gauge.members.delay_ns) / NS_PER_S
        return True

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """One plus the change is a quotient: it moves no further than both ends do together."""
        if self.what != "change" or self.gauge.weights is not None:
            return None
        room = log_room(self.values + 1, low + 1, high + 1)
        return self.gauge.drift_alarm(room, [self.gauge.members, self.then], self.need)

    def still(self) -> Alarm | None:
        """Until either end moves."""
        weights = [self.then_weights.still()] if self.then_weights else []
        return joint([self.gauge.still(), self.then.still(), *weights])

    def next_edge_ns(self) -> int:
        """When the older end next moves, or either goes stale."""
        log = self.then.last.log
        older = log.time_at(self.then.last.head) + self.then.delay_ns if self.then.last.head < log.end else FAR_NS
        return int(min(super().next_edge_ns(), self.then.next_stale_ns + 1 + self.then.delay_ns, older))

    def holdings(self) -> Sequence[Holding]:
        """Where the older end comes from."""
        return [self.then.last.log]

    def reason(self, row: int, now_ns: int) -> str:
        """History that does not reach back far enough, or a missing end."""
        needed = self.then.delay_ns - self.gauge.members.delay_ns
        log = self.then.last.log
        if not log.end:
            return self.gauge.reason(row, now_ns)
        is_whole = not log.first  # else older rows were forgotten: history reaches back as far as it must
        if is_whole and (has := now_ns - log.time_at(log.first)) < self.then.delay_ns:
            return f"needs {duration_text(needed)} of history, has {duration_text(has)}"
        if row >= 0 and np.isnan(self.gauge.values[row]):
            return self.gauge.reason(row, now_ns)
        return f"no value {duration_text(needed)} ago to compare with"


def log_room(values: Floats, low: Floats, high: Floats) -> float:
    """How far, as a logarithm, all values above zero may move before one passes its `low` or `high`; 0 where one is not."""
    known = ~np.isnan(values)
    values, low, high = values[known], low[known], high[known]
    if not (values > 0).all():
        return 0.0
    room = np.minimum(high, 1e300) / values
    with np.errstate(divide="ignore"):
        room = np.minimum(room, np.where(low > 0, values / low, np.inf))
    least = float(room.min(initial=np.inf))
    return math.log(least) if 0 < least < np.inf else np.inf if least > 0 else 0.0
