"""Nodes that read the logs: sums and counts of events, last values of gauges, and their change over a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.catalog import Index
from monitor.engine.coverage import STEP, Ledger, duration_text, rounded
from monitor.engine.gauges import DRIFT_UNITS, NAN, Folder, LastValues, fold_groups, weighted_mean
from monitor.engine.log import OLDEST_NS, Log
from monitor.engine.memory import Side
from monitor.engine.nodes.base import FAR_NS, Alarm, Coverage, Growing, Holding, Node, Tick, padded
from monitor.engine.projection import Projection
from monitor.engine.slow_coverage import SlowNeed
from monitor.engine.sums import Bank, Lane
from monitor.events import Channel, Labels
from monitor.series import Fold
from monitor.window import Floats, Ints

MICROS = 1e6
PAUSE_NS = 3600 * NS_PER_S
"""For so long a member may be missing from a group that goes on without it, and be compared with its last value."""
ROUNDING = 1e-9
"""What arithmetic in floats may lose, of a value; far more than it does."""


class Need:
    """The coverage that a reading of one series depends on, per row when the rows carry a venue."""

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        accept: Callable[[str], bool],
        window_ns: int,
        *,
        delay_ns: int,
        by_venue: Index | None,
        slow: SlowNeed | None = None,
    ) -> None:
        self.ledger, self.channel, self.accept, self.slow = ledger, channel, accept, slow
        self.window_ns, self.delay_ns = window_ns, delay_ns
        self._by_venue = by_venue
        self._venues: list[str] = []
        self._version = self._rows = -1
        self._until_ns = 0
        self._value: Coverage = 1.0
        self.logs: tuple[Log, ...] = ()
        """The rows that the window is read from, of which some may have been dropped."""

    def share(self, now_ns: int) -> tuple[Coverage, bool]:
        """Coverage, and whether it changed since the last call."""
        rows = len(self._by_venue) if self._by_venue is not None else 0
        if now_ns < self._until_ns and self.ledger.version == self._version and rows == self._rows:
            return self._value, False
        self._version, self._rows = self.ledger.version, rows
        old = self._value
        self._value, until_ns = self._kept(*self._work_out(now_ns - self.delay_ns), now_ns - self.delay_ns)
        self._until_ns = until_ns + self.delay_ns
        return self._value, not np.array_equal(old, self._value)

    @property
    def until_ns(self) -> int:
        """Until when the share that was last asked for holds, if the ledger and the rows stay as they are."""
        return self._until_ns

    def silent(self, now_ns: int) -> str:
        """Feeds that are not live now."""
        return self.ledger.silent(self.channel, self.accept, now_ns, self.slow)

    def _kept(self, share: Coverage, until_ns: int, end_ns: int) -> tuple[Coverage, int]:
        """Less coverage where rows of the window were dropped to bound the memory."""
        gone_ns = max((log.cut_ns for log in self.logs), default=OLDEST_NS) - (end_ns - self.window_ns)
        if gone_ns <= 0 or not self.window_ns:
            return share, until_ns
        left = max(0.0, rounded(1.0 - gone_ns / self.window_ns))
        return share * left, min(until_ns, end_ns + max(1, self.window_ns // STEP))

    def _work_out(self, end_ns: int) -> tuple[Coverage, int]:
        """Coverage, and until when it holds if the ledger stays as it is."""
        start_ns = end_ns - self.window_ns
        if self._by_venue is None:
            return self.ledger.share(self.channel, self.accept, start_ns, end_ns, self.slow)
        self._venues += [dict(labels).get("venue", "") for labels in self._by_venue.labels[len(self._venues) :]]
        shares = {
            venue: self.ledger.share(self.channel, venue.__eq__, start_ns, end_ns)
            for venue in dict.fromkeys(self._venues)
        }
        until_ns = min((until for _, until in shares.values()), default=FAR_NS)
        return np.array([shares[venue][0] for venue in self._venues], np.float64), until_ns


class ConstantNode(Node):
    """A literal."""

    monotone = None

    def __init__(self, value: float) -> None:
        super().__init__()
        self.index = Index()
        self.index.add(())
        self.values = np.array([value])
        self.default = value

    def refresh(self, tick: Tick) -> bool:
        """Nothing ever changes."""
        del tick
        return self.version == 0


EventTotal = Literal["sum", "count", "rate", "mean"]


class TotalNode(Node):
    """``sum``, ``count``, ``rate`` (per second) or ``mean`` of events, exact to the event or to the closed pane."""

    def __init__(
        self, what: EventTotal, lanes: Sequence[Lane], banks: Sequence[Bank], need: Need, window_ns: int
    ) -> None:
        super().__init__()
        self.what, self.lanes, self.banks, self.need = what, tuple(lanes), tuple(banks), need
        self.projection = lanes[0].projection
        self.index = self.projection.index
        self.window_ns = window_ns
        self.default = NAN if what == "mean" else 0.0
        self.monotone = 0 if what == "mean" else 1
        self._lane_versions: tuple[int, ...] = ()

    def refresh(self, tick: Tick) -> bool:
        """Read the lanes again when a row entered or left one of them."""
        for bank in self.banks:
            bank.settle()
        self.coverage, moved = self.need.share(tick.now_ns)
        versions = (len(self.index), *(lane.version for lane in self.lanes))
        if versions == self._lane_versions:
            return moved
        self._lane_versions = versions
        self.values = self._read()
        return True

    def holdings(self) -> Sequence[Holding]:
        """The rows, and the panes of a long window."""
        return [bank.log for bank in self.banks]

    def _read(self) -> Floats:
        counts = self._total("counts") if self.what in ("count", "mean") else None
        if self.what == "count":
            assert counts is not None
            return counts.astype(np.float64)
        sums = self._total("sums") / MICROS
        if self.what == "rate":
            return sums / (self.window_ns / NS_PER_S)
        if counts is None:
            return sums
        with np.errstate(invalid="ignore"):
            return sums / counts

    def _total(self, name: Literal["sums", "counts"]) -> Ints:
        total: Ints = getattr(self.lanes[0], name)
        for lane in self.lanes[1:]:
            total = total + getattr(lane, name)
        return total

    def alarm(self, low: Floats, high: Floats) -> Alarm | None:
        """A total rises by what comes in, and falls by what is known to leave."""
        logs = [bank.log for bank in self.banks]
        if self.what == "mean" or self.need.delay_ns or any(log.signed for log in logs):
            return None
        scale = {"count": 1.0, "sum": MICROS, "rate": MICROS * self.window_ns / NS_PER_S}[self.what]
        slack = ROUNDING * float(np.abs(self.values).max(initial=0.0))
        up, down = (
            (float(room.min(initial=np.inf)) - slack) * scale for room in (high - self.values, self.values - low)
        )
        until_ns = self.need.until_ns
        if down < np.inf:
            until_ns = min(until_ns, self._keeps_until_ns(short_of(down)))
        marks: list[tuple[Growing, int]] = [(self.projection.members, len(self.projection.members))]
        if up < np.inf:  # what enters the raw log enters the panes later
            meters = [log.arrived if self.what == "count" else log.amount for log in logs]
            marks += [(meter, meter.value + short_of(up / len(logs))) for meter in meters]
        return Alarm(until_ns, tuple(marks))

    def _keeps_until_ns(self, amount: int) -> int:
        """Until when no more than `amount` leaves the window; what leaves the raw rows for the panes only moves."""
        rows = self.what == "count"
        return min(
            bank.keeps_until_ns(lane.edge, amount, rows=rows)
            for bank, lane in zip(self.banks, self.lanes, strict=True)
            if lane.edge.length_ns
        )

    def next_edge_ns(self) -> int:
        """When the next event leaves the window."""
        edges = [bank.next_edge_ns() for bank in self.banks]
        return min((edge for edge in edges if edge is not None), default=FAR_NS)

    def reason(self, row: int, now_ns: int) -> str:
        """A mean of nothing, or feeds that are down."""
        del row
        return self.need.silent(now_ns) or ("no events in the window" if self.what == "mean" else "")


@dataclass(slots=True)
class Members:
    """Last values of a series' members with their staleness limits: who is present at an instant, and with what."""

    last: LastValues
    index: Index
    stale_of: Callable[[Labels], float]
    delay_ns: int = 0
    present: Floats = field(default_factory=lambda: np.empty(0))
    next_stale_ns: float = float(FAR_NS)
    least_stale_ns: float = float(FAR_NS)
    version: int = 0
    _stale: Floats = field(default_factory=lambda: np.empty(0))
    _seen: tuple[int, int, int] = (-1, -1, -1)
    _all_fresh: bool = False
    _at_ns: int = 0
    _now_ns: int = 0

    def update(self, now_ns: int) -> int:
        """Work out who is present at `now_ns` less the delay; the version rises when that changed."""
        at_ns, last, self._now_ns = now_ns - self.delay_ns, self.last, now_ns
        seen = (last.version, last.lates, len(last.values))
        if seen == self._seen and at_ns <= self.next_stale_ns:
            return self.version
        fresh_until_ns = min(self.next_stale_ns, self._at_ns + self.least_stale_ns)
        only_newer = self._all_fresh and seen[1:] == self._seen[1:] and at_ns <= fresh_until_ns
        self._seen = seen
        if only_newer:  # nobody was stale, and nobody is
            self.present, self.next_stale_ns = last.values.copy(), fresh_until_ns
        else:
            self._judge(at_ns)
        self._at_ns = at_ns
        self.version += 1
        return self.version

    def fresh_until_ns(self) -> float:
        """Until when nobody goes stale, whatever comes in."""
        return min(self.next_stale_ns, self._at_ns + self.least_stale_ns) + self.delay_ns

    def positive(self) -> bool:
        """Whether every present value is above zero."""
        return bool(np.fmin.reduce(self.present, initial=np.inf) > 0)

    def _judge(self, at_ns: int) -> None:
        self._extend()
        expires = self.last.ts + self._stale
        self.present = np.where(expires >= at_ns, self.last.values, NAN)
        known = ~np.isnan(self.last.values)
        alive = expires[(expires >= at_ns) & known]
        self.next_stale_ns = float(alive.min()) if len(alive) else float(FAR_NS)
        self._all_fresh = len(alive) == int(known.sum())

    def ends(self) -> Floats:
        """When each value goes missing, or did."""
        self._extend()
        return np.where(np.isnan(self.last.values), self.last.ts, self.last.ts + self._stale) + self.delay_ns

    @property
    def now_ns(self) -> int:
        """The instant of the last update, without the delay."""
        return self._now_ns

    @property
    def stale_ns(self) -> Floats:
        """Staleness limit per member."""
        self._extend()
        return self._stale

    def _extend(self) -> None:
        new = self.index.labels[len(self._stale) : len(self.last.values)]
        if new:
            self._stale = np.concatenate((self._stale, [self.stale_of(labels) for labels in new]))
            self.least_stale_ns = float(self._stale.min())


def short_of(room: float) -> int:
    """The greatest whole number below `room`, at least 0: so much may happen before a constant is reached."""
    return max(math.ceil(room) - 1, 0)


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


class Weights:
    """Open interest per member of another series, met by venue and symbol."""

    def __init__(self, weights: Members, members: Index) -> None:
        self._weights, self._members = weights, members
        self._of: dict[tuple[str, str], int] = {}
        self._markets: list[tuple[str, str]] = []
        self._known = 0
        self._map: Ints = np.empty(0, np.int64)

    def update(self, now_ns: int) -> int:
        """Bring the weights up to date."""
        return self._weights.update(now_ns)

    def aligned(self) -> Floats:
        """The present weight per member, NaN where there is none."""
        return self._by_member(self._weights.present)

    def ends(self) -> Floats:
        """When each member's weight goes missing, or did."""
        return self._by_member(self._weights.ends())

    def _by_member(self, values: Floats) -> Floats:
        labels = self._weights.index.labels
        if self._known < len(labels) or len(self._map) < len(self._members):
            for member in range(self._known, len(labels)):
                self._of[_market(labels[member])] = member
            self._known = len(labels)
            self._markets += map(_market, self._members.labels[len(self._markets) :])
            self._map = np.array([self._of.get(market, -1) for market in self._markets], np.int64)
        found: Floats = np.append(padded(values, len(labels)), NAN)[self._map]
        return found


def _market(labels: Labels) -> tuple[str, str]:
    table = dict(labels)
    return table.get("venue", ""), table.get("symbol", "")


Kept = tuple[Floats, Floats | None, Floats]
"""Of each member the value and weight that a crossing compares with, and when it went missing while its group went on."""


class MembersNode(Node):
    """A node that folds present members of a gauge into groups, perhaps by a weight."""

    members: Members
    projection: Projection
    weights: Weights | PairWeights | None

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
        return [(None, snapshot[0]), (None, np.empty(0) if snapshot[1] is None else snapshot[1]), (None, snapshot[2])]

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

    def refresh(self, tick: Tick) -> bool:
        """Fold again when a value arrived or one went stale."""
        self.projection.update()
        self.coverage, moved = self.need.share(tick.now_ns)
        weight_version = self.weights.update(tick.now_ns) if self.weights else 0
        inputs = (self.members.update(tick.now_ns), weight_version, self.projection.version)
        if inputs == self._inputs:
            return moved
        self._inputs = inputs
        old = self.values
        self.values = self._fold(self._present(), self.weights.aligned() if self.weights else None, self._folder)
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
        return self._fold(before, before_weights, first), self._fold(now, now_weights, second)

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


class PairWeights:
    """Weights of one series for the members of another, met on the labels that both series carry."""

    def __init__(self, weights: Members, accepted: Projection, members: Index, shared: tuple[str, ...]) -> None:
        self._weights, self._accepted, self._members = weights, accepted, members
        self._shared = frozenset(shared)
        self._keys: list[Labels] = []
        self._weight_keys: list[Labels] = []
        self._sizes = (-1, -1)
        self._map: Ints = np.empty(0, np.int64)

    @property
    def next_stale_ns(self) -> float:
        """When the next weight goes stale."""
        return self._weights.next_stale_ns

    def update(self, now_ns: int) -> int:
        """Bring the weights up to date."""
        self._accepted.update()
        return self._weights.update(now_ns)

    def aligned(self) -> Floats:
        """A weight per member of the other series, NaN where there is none."""
        return self._by_member(self._weights.present)

    def ends(self) -> Floats:
        """When each member's weight goes missing, or did."""
        return self._by_member(self._weights.ends())

    def _by_member(self, values: Floats) -> Floats:
        labels = self._weights.index.labels
        sizes = (len(labels), len(self._members))
        if sizes != self._sizes:
            self._sizes = sizes
            self._keys += map(self._key, self._members.labels[len(self._keys) :])
            self._weight_keys += map(self._key, labels[len(self._weight_keys) :])
            chosen = np.flatnonzero(self._accepted.group >= 0).tolist()
            member_of = {self._weight_keys[member]: member for member in chosen}
            self._map = np.array([member_of.get(key, -1) for key in self._keys], np.int64)
        found: Floats = np.append(padded(values, len(labels)), NAN)[self._map]
        return found

    def _key(self, labels: Labels) -> Labels:
        return tuple(pair for pair in labels if pair[0] in self._shared)


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
        if not len(log):
            return self.gauge.reason(row, now_ns)
        has = now_ns - log.time_at(log.first)
        if has < self.then.delay_ns:
            return f"needs {duration_text(needed)} of history, has {duration_text(has)}"
        if row >= 0 and np.isnan(self.gauge.values[row]):
            return self.gauge.reason(row, now_ns)
        return f"no value {duration_text(needed)} ago to compare with"
