"""Long windows: closed panes of the raw log become rows of a coarser log of the same structure.

Event series: one row per (pane, member) with sum and count, stamped with the pane's end. Gauges: per pane and member
the first, lowest, highest and last change, each at its own time, so that extremes survive the thinning. A window over
a coarse log is exact but for its oldest pane: the error at the edge is at most one pane, see `edge_error_ns`.
"""

from __future__ import annotations

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.rows.log import Column, Log, Members
from monitor.window import Ints

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
EXACT_NS = HOUR_NS
MONTHS_NS = 60 * DAY_NS
NEVER_NS = -(1 << 62)


def pane_of(window_ns: int) -> int:
    """Width of the panes that a window is kept in; 0 for windows that are exact to the event."""
    if window_ns <= EXACT_NS:
        return 0
    if window_ns <= DAY_NS:
        return MINUTE_NS
    return 10 * MINUTE_NS if window_ns <= 7 * DAY_NS else HOUR_NS


def history_distance(window_ns: int) -> int:
    """How far apart values of the past are fetched for a window: minutes, hours beyond a day, days from two months on."""
    if window_ns >= MONTHS_NS:
        return DAY_NS
    return HOUR_NS if window_ns > DAY_NS else MINUTE_NS


def edge_error_ns(window_ns: int) -> int:
    """By how much the older edge of a window may lie too early: 0 up to one hour, else one pane at most."""
    return pane_of(window_ns)


class PaneFeed:
    """Moves closed panes from a raw log to a coarse one, and late rows of closed panes after them."""

    def __init__(self, raw: Log, coarse: Log, pane_ns: int) -> None:
        self.raw, self.coarse, self.pane_ns = raw, coarse, pane_ns
        self.closed_ns = NEVER_NS
        self._position = raw.first
        raw.readers.append(self)

    def roll(self, now_ns: int) -> None:
        """Close every pane that ends at or before `now_ns`."""
        edge_ns = now_ns // self.pane_ns * self.pane_ns
        if edge_ns <= self.closed_ns:
            return
        self.closed_ns = edge_ns
        end = self.raw.position(edge_ns)
        if end > self._position:
            self._move(*self.raw.rows(self._position, end))
            self._position = end

    def resume(self, closed_ns: int) -> None:
        """Go on where a loaded coarse log ends: panes up to `closed_ns` are in it already."""
        self.closed_ns = closed_ns
        self._position = self.raw.position(closed_ns)

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        """Pass on rows whose pane is already closed."""
        del log, counts
        closed = int(ts.searchsorted(self.closed_ns, side="right"))
        if closed:
            self._position += closed
            self._move(ts[:closed], members[:closed], values[:closed])

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        """Thin the closed panes of replaced rows anew: another row may now be the lowest or highest."""
        del members, values
        for end_ns in np.unique(pane_end(ts, self.pane_ns)).tolist():
            if end_ns <= self.closed_ns:
                self._move(*log.rows(log.position(end_ns - self.pane_ns), log.position(end_ns)))

    def leave(self, position: int) -> None:
        """Nothing to do: what is closed has been moved, and what is not is lost with its rows."""

    def cut(self) -> None:
        """Go on with what is left; panes that are closed have been moved."""
        self._position = max(self._position, self.raw.first)

    def _move(self, ts: Ints, members: Members, values: Column) -> None:
        if self.coarse.counted:
            self.coarse.insert(*pane_totals(ts, members, values, self.pane_ns))
        else:
            keep = pane_turns(ts, members, values, self.pane_ns)
            self.coarse.insert(ts[keep], members[keep], values[keep])


def pane_end(ts: Ints, pane_ns: int) -> Ints:
    """End of the pane (start, end] that each time falls into."""
    return -(-ts // pane_ns) * pane_ns


def pane_totals(ts: Ints, members: Members, values: Column, pane_ns: int) -> tuple[Ints, Members, Column, Ints]:
    """Rows of (pane end, member, sum, count)."""
    ends = pane_end(ts, pane_ns)
    order = np.lexsort((members, ends))
    ends, members, values = ends[order], members[order], values[order]
    first = np.flatnonzero(np.r_[True, (ends[1:] != ends[:-1]) | (members[1:] != members[:-1])])
    counts = np.diff(np.r_[first, len(ends)])
    return ends[first], members[first], np.add.reduceat(values, first), counts


def pane_turns(ts: Ints, members: Members, values: Column, pane_ns: int) -> Ints:
    """Row numbers of the first, lowest, highest and last row of each (pane, member), in time order."""
    ends = pane_end(ts, pane_ns)
    by_time = np.lexsort((ts, members, ends))
    by_value = np.lexsort((values, members, ends))
    keys, owners = ends[by_time], members[by_time]
    first = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])])
    last = np.r_[first[1:], len(keys)] - 1
    return np.unique(np.concatenate((by_time[first], by_time[last], by_value[first], by_value[last])))
