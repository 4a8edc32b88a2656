"""Gauges: the last value of every member as of an instant, and the natural folds of members into groups."""

from __future__ import annotations

import math

import numpy as np

from monitor.engine.rows.catalog import Index
from monitor.engine.rows.kernels import NUMPY, Kernels
from monitor.engine.rows.log import Column, Log, Members, Meter
from monitor.engine.rows.projection import Projection
from monitor.series import Fold
from monitor.window import Floats, Ints, add_by_key

NEVER_NS, FAR_NS = -(1 << 62), 1 << 62
NAN = float("nan")
DRIFT_UNITS = 1e12
"""Parts of a logarithm in which `LastValues.drift` counts; each step is rounded up by one."""


class LastValues:
    """Value and time of the last row at or before an instant, per member.

    Attributes:
        version: Rises whenever a value changed.
        lates: Rises whenever something else happened than that newer rows came in.
        drift: How far values have moved in all: the sum over all turns of the greatest logarithm of new over old.
        breaks: How often something happened that `drift` cannot tell: a value appeared or may have been stale, vanished,
            was not above zero, was revised, or came after a newer one.
        metered_ns: Staleness limit of those who read `drift` and `breaks`, the smallest; 0 when nobody does.
    """

    def __init__(self, log: Log, members: Index, kernels: Kernels = NUMPY) -> None:
        self.log = log
        self._kernels = kernels
        self.now_ns = NEVER_NS
        self.version = 0
        self.lates = 0
        self.values: Floats = np.empty(0)
        self.ts: Ints = np.empty(0, np.int64)
        self.drift, self.breaks = Meter(), Meter()
        self.metered_ns = 0.0
        self.members = members
        self.head = log.first
        self._next_ns = NEVER_NS
        """No row after the head is older."""
        self._standing = log.standing.rows()
        log.readers.append(self)

    @property
    def value(self) -> int:
        """The version, for whoever waits for the next change."""
        return self.version

    @property
    def whole(self) -> bool:
        """Whether every member is here, and nothing that stands by a forgotten row is still to be taken up."""
        return len(self.values) == len(self.members) and not len(self._standing[0])

    def seek(self, now_ns: int) -> None:
        """Move forward to `now_ns`."""
        self.now_ns = now_ns
        if len(self.members) > len(self.values):
            self._grow()
        if now_ns >= self._next_ns:
            self._go_on()
        if len(self._standing[0]):
            self._take_up()

    def _go_on(self) -> None:
        """Take in the rows up to this instant."""
        end = self.log.position(self.now_ns)
        if end > self.head:
            self._hold(*self.log.rows(self.head, end))
            self.head = end
            self.version += 1
        self._next_ns = self.log.time_at(end) if end < self.log.end else FAR_NS

    def _take_up(self) -> None:
        """Hold what stands by rows that were forgotten before this reader began, each from its own instant on."""
        ts, members, values = self._standing
        passed = int(ts.searchsorted(self.now_ns, side="right"))
        self._standing = ts[passed:], members[passed:], values[passed:]
        ts, members, values = ts[:passed], members[:passed], values[:passed]
        newer = ts > self.ts[members]
        self.ts[members[newer]] = ts[newer]
        self.values[members[newer]] = values[newer]
        self._broken()

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        """Take in merged rows that are at or before this instant and newer than what is held."""
        del log, counts
        passed = int(ts.searchsorted(self.now_ns, side="right"))
        if passed < len(ts):
            self._next_ns = min(self._next_ns, int(ts[passed]))
        if not passed:
            return
        self._grow()
        self.head += passed
        ts, members, values = ts[:passed], members[:passed], values[:passed]
        newer = ts >= self.ts[members]
        if not newer.all():
            self.breaks.value += 1
            ts, members, values = ts[newer], members[newer], values[newer]
        self._hold(ts, members, values)
        self.lates += 1
        self.version += 1

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        """Take in another value for a row that is held."""
        del log
        held = (ts <= self.now_ns) & (members < len(self.ts))
        ts, members, values = ts[held], members[held], values[held]
        mine = ts == self.ts[members]
        self.values[members[mine]] = values[mine]
        self._broken()

    def meter(self, stale_ns: float) -> None:
        """Count `drift` and `breaks` from now on."""
        self.metered_ns = min(self.metered_ns or stale_ns, stale_ns)

    def _broken(self) -> None:
        self.breaks.value += 1
        self.lates += 1
        self.version += 1

    def _hold(self, ts: Ints, members: Members, values: Column) -> None:
        """Take in newer values, and note how far they moved; several rows of a member all count from its value before."""
        if not self.metered_ns or not len(ts):  # none where a full log forgot them before this reader came by
            self.values[members] = values
            self.ts[members] = ts
            return
        oldest_ns = max(self.now_ns - int(self.metered_ns), NEVER_NS)
        low, high = self._kernels.hold(self.values, self.ts, (ts, members, values), oldest_ns)
        if low > 0 and high < math.inf:  # not so when one was missing
            self.drift.value += int(max(math.log(high), -math.log(low)) * DRIFT_UNITS) + 1
        else:
            self.breaks.value += 1

    def leave(self, position: int) -> None:
        """Nothing to do: a last value outlives its row."""

    def cut(self) -> None:
        """Hold what the forgotten rows left standing, where this reader had not come by them yet."""
        if self.head < self.log.first:
            self._standing, self.head = self.log.standing.rows(), self.log.first

    def _grow(self) -> None:
        more = len(self.members) - len(self.values)
        if more > 0:
            self.values = np.concatenate((self.values, np.full(more, NAN)))
            self.ts = np.concatenate((self.ts, np.full(more, NEVER_NS, np.int64)))


class Folder:
    """Folds of values that change little: only groups of which a member changed are folded again."""

    FEW = 8
    """Up to how many changed members plain Python does; a median of groups takes fifteen numpy calls."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._version = -1
        self._seen: Floats = np.empty(0)
        self._out: Floats = np.empty(0)
        self._members: dict[int, list[int]] = {}

    def fold(self, values: Floats, projection: Projection) -> Floats:
        """`fold_groups` of `values` (which the caller must not change later); the same array when nothing changed."""
        changed = self._changed(values, projection)
        if changed is None:
            self._version, self._members = projection.version, {}
            self._out = fold_groups(self._fold, values, projection.group, len(projection.index))
        elif changed:
            self._out = self._again(values, projection, changed)
        self._seen = values
        return self._out

    def _changed(self, values: Floats, projection: Projection) -> set[int] | None:
        """Groups to be folded again; None for all."""
        if self._version != projection.version or len(values) != len(self._seen):
            return None
        rows = np.flatnonzero(values.view(np.int64) != self._seen.view(np.int64))
        if not len(rows):
            return set()
        if self._fold is not Fold.MEDIAN or len(rows) > self.FEW:
            return None
        return set(projection.group[rows].tolist()) - {-1}

    def _again(self, values: Floats, projection: Projection, groups: set[int]) -> Floats:
        out = self._out.copy()
        for group in groups:
            members = self._members.get(group)
            if members is None:
                members = self._members[group] = projection.of_group(group).tolist()
            out[group] = median(values[members].tolist())
        return out


class Recent:
    """The newest folds of one projection: what is compared with the instant before was mostly folded already."""

    MOST = 2

    def __init__(self) -> None:
        self._known: list[tuple[Ints, int, Floats]] = []

    def note(self, values: Floats, projection: Projection, folded: Floats) -> None:
        """Keep a fold of `values` (which the caller must not change later)."""
        self._known = [(values.view(np.int64), projection.version, folded), *self._known[: self.MOST - 1]]

    def find(self, values: Floats, projection: Projection) -> Floats | None:
        """The fold of the very same values, missing ones included; None where it is not among the newest."""
        bits = values.view(np.int64)
        for known, version, folded in self._known:
            if version == projection.version and len(known) == len(bits) and (known == bits).all():
                return folded
        return None


def median(values: list[float]) -> float:
    """Of the values that are there, by the arithmetic of `quantile_of_groups`."""
    known = sorted(value for value in values if value == value)  # noqa: PLR0124 - NaN is not itself
    if not known:
        return NAN
    rank = 0.5 * (len(known) - 1)
    low = int(rank)
    below, above = known[low], known[min(low + 1, len(known) - 1)]
    return below + (above - below) * (rank - low)


def fold_groups(fold: Fold, values: Floats, group: Ints, size: int, weights: Floats | None = None) -> Floats:
    """One value per group of the members that have one; NaN for a group without any.

    Args:
        fold: How.
        values: Per member, NaN when missing.
        group: Group row per member, -1 to leave it out.
        size: Number of groups.
        weights: Per member, for `Fold.OI_MEAN`; a member without a weight is left out.
    """
    keep = (group >= 0) & ~np.isnan(values)
    if fold is Fold.OI_MEAN:
        assert weights is not None
        return weighted_mean(values, weights, group, size)
    group, values = group[keep], values[keep]
    if fold is Fold.MEDIAN:
        return quantile_of_groups(values, group, size, 0.5)
    if fold in (Fold.MIN, Fold.MAX):
        return _extreme_of_groups(values, group, size, fold)
    counts = np.bincount(group, minlength=size)
    sums = add_by_key(group, values, size)
    if fold is Fold.MEAN:
        with np.errstate(invalid="ignore"):
            return sums / counts
    sums[counts == 0] = NAN
    return sums


def weighted_mean(values: Floats, weights: Floats, group: Ints, size: int) -> Floats:
    """Sum of value times weight over sum of weight, of the members that have both; NaN where weights add up to 0."""
    keep = (group >= 0) & ~np.isnan(values) & ~np.isnan(weights)
    group = group[keep]
    total = add_by_key(group, weights[keep], size)
    product = add_by_key(group, values[keep] * weights[keep], size)
    out = np.full(size, NAN)
    np.divide(product, total, out=out, where=total != 0)
    return out


def quantile_of_groups(values: Floats, group: Ints, size: int, q: float) -> Floats:
    """Quantile with linear interpolation between order statistics (type 7); NaN for an empty group."""
    order = np.lexsort((values, group))
    values = values[order]
    counts = np.bincount(group, minlength=size)
    starts = np.cumsum(counts) - counts
    out = np.full(size, NAN)
    filled = np.flatnonzero(counts)
    if len(filled):
        rank = q * (counts[filled] - 1)
        low = np.floor(rank).astype(np.int64)
        high = np.minimum(low + 1, counts[filled] - 1)
        below, above = values[starts[filled] + low], values[starts[filled] + high]
        out[filled] = below + (above - below) * (rank - low)
    return out


def _extreme_of_groups(values: Floats, group: Ints, size: int, fold: Fold) -> Floats:
    ufunc, empty = (np.minimum, np.inf) if fold is Fold.MIN else (np.maximum, -np.inf)
    out = np.full(size, empty)
    ufunc.at(out, group, values)
    out[np.bincount(group, minlength=size) == 0] = NAN
    return out
