"""Exact sliding sums and counts: one log, one head, one tail pointer per window; add at the head, subtract at the tails.

A *lane* is one (window, projection): int64 totals per group. All lanes of a log lie in one flat array, and a table
gives for each member its slot in every lane, so that any number of rows enters or leaves all lanes with one gather and
two scatter-adds, whatever the number of windows and groupings. Slot 0 takes what a lane does not select. A lane of one
group that selects everything is *flat*: it needs no slots, only the rows' sum.

Integers never drift, but run over: months of every venue's trades are more than 2**63 micro-dollars. Banks of long windows
therefore keep the totals as floats beside them, for what is too large to be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.engine.rows.kernels import NUMPY, ONES, Kernels
from monitor.engine.rows.log import Column, Log, Members
from monitor.engine.rows.projection import Projection
from monitor.window import Floats, Ints

SCALAR_UPDATES = 4
"""At or below so many slot updates, plain Python is faster than four numpy calls (measured: 0.25 us each against 5 us)."""
CHUNK = 1 << 16
BACKLOG = 1024
"""How many rows may wait to be counted: counting them takes a small part of a millisecond."""
AHEAD = 1024
"""How many rows at a window's tail are looked at to know how long a total lasts."""
CROWD = 256
"""Among more rows than this, every lane is taken to be touched."""
FAR_NS = 1 << 62
Rows = tuple[Members, Column, Ints | None]
"""Members, values and counts (None: one each)."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a window begins: `length_ns` before the instant, or at the instant floored to `pane_ns`."""

    length_ns: int = 0
    pane_ns: int = 0

    def at(self, now_ns: int) -> int:
        """The exclusive start of the window that ends at `now_ns`."""
        return now_ns // self.pane_ns * self.pane_ns if self.pane_ns else now_ns - self.length_ns


class Lane:
    """Totals of one window by one projection."""

    __slots__ = ("_bank", "edge", "offset", "projection", "room", "version")

    def __init__(self, bank: Bank, edge: Edge, projection: Projection) -> None:
        self._bank = bank
        self.edge, self.projection = edge, projection
        self.offset = 0
        self.room = 0
        self.version = 0

    @property
    def sums(self) -> Ints:
        """Total value per group; a view."""
        return self._bank.sums[self.offset : self.offset + len(self.projection.index)]

    @property
    def counts(self) -> Ints:
        """Number of rows per group; a view."""
        return self._bank.counts[self.offset : self.offset + len(self.projection.index)]

    @property
    def rough(self) -> Floats | None:
        """Total value per group as floats; a view. None where the integers cannot have run over."""
        rough = self._bank.rough
        return None if rough is None else rough[self.offset : self.offset + len(self.projection.index)]

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        return 16 * self.room + 8 * len(self.projection.group)


class _Slots:
    """Where rows go in some lanes: a table with the slot of each member (row) in each lane (column), but for flat ones."""

    __slots__ = ("columns", "flat", "table")

    def __init__(self, lanes: Sequence[Lane] = ()) -> None:
        self.flat = [lane for lane in lanes if lane.projection.everything]
        self.columns = [lane for lane in lanes if not lane.projection.everything]
        self.table = _slot_table(self.columns)


class _Window:
    """One tail pointer, and the lanes that it serves."""

    __slots__ = ("edge", "lanes", "slots", "tail")

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.tail = 0
        self.lanes: list[Lane] = []
        self.slots = _Slots()


class Bank:
    """All lanes over one log at one instant: `seek` moves the instant forward, `settle` the totals after it.

    Rows wait in the log until somebody reads a lane: many are cheaper to count at once than one by one.
    """

    def __init__(self, log: Log, *, amounts: bool = True, vast: bool = False, kernels: Kernels = NUMPY) -> None:
        self.log = log
        self._kernels = kernels
        self.now_ns = -(1 << 62)
        self._due_ns = self.now_ns
        self._amounts = amounts
        self._vast = vast and amounts
        self._clear(1)
        self._windows: dict[Edge, _Window] = {}
        self._lanes: list[Lane] = []
        self._slots = _Slots()
        """Of all windows: what enters one enters all."""
        self._head = log.first
        self._placed = -1
        log.readers.append(self)

    def lane(self, edge: Edge, projection: Projection) -> Lane:
        """The lane of a window and projection, made on first use; the whole bank is then counted anew."""
        window = self._windows.setdefault(edge, _Window(edge))
        for lane in window.lanes:
            if lane.projection is projection:
                return lane
        lane = Lane(self, edge, projection)
        window.lanes.append(lane)
        self._lanes = [lane for window in self._windows.values() for lane in window.lanes]
        self.reset()
        return lane

    def reset(self) -> None:
        """Forget all totals; the next `settle` counts the log from its start."""
        self.now_ns = -(1 << 62)
        self._head = self.log.first
        self._placed = -1
        self._clear(1)
        for window in self._windows.values():
            window.tail = self.log.first
            for lane in window.lanes:
                lane.offset = lane.room = 0
                lane.version += 1

    def _clear(self, room: int) -> None:
        self.sums: Ints = np.zeros(room, np.int64)
        self.counts: Ints = np.zeros(room, np.int64)
        self.rough: Floats | None = np.zeros(room) if self._vast else None

    def leave(self, position: int) -> None:
        """Take the rows before a position out of every window; those that nobody had come by never enter one."""
        self.settle()
        for window in self._windows.values():
            self._leave_until(window, min(position, self._head))
            window.tail = max(window.tail, position)
        self._head = max(self._head, position)

    def cut(self) -> None:
        """Nothing to do: the rows have left already."""

    def seek(self, now_ns: int) -> None:
        """Move the instant (not before the last one); the rows in between are counted when a lane is read, or too many."""
        self._due_ns = now_ns
        if self.log.end - self._head > BACKLOG:
            self.settle()

    def settle(self) -> None:
        """Make every lane hold exactly the rows of its window as of the instant last sought."""
        self._place()
        now_ns = self._due_ns
        if now_ns <= self.now_ns:
            return
        self.now_ns = now_ns
        head, self._head = self._head, self.log.position(now_ns)
        if self._fresh(head, self._head):
            head = self._jump(now_ns)
        self._enter(head, self._head)
        for window in self._windows.values():
            self._leave(window, window.edge.at(now_ns))

    def _enter(self, head: int, new_head: int) -> None:
        for start in range(head, new_head, CHUNK):
            self._update(self._rows(start, min(start + CHUNK, new_head)), self._slots, 1)

    def _leave(self, window: _Window, edge_ns: int) -> None:
        log, tail = self.log, window.tail
        if tail < self._head and log.time_at(tail) <= edge_ns:
            self._leave_until(window, log.position(edge_ns))

    def _leave_until(self, window: _Window, position: int) -> None:
        for start in range(window.tail, position, CHUNK):
            self._update(self._rows(start, min(start + CHUNK, position)), window.slots, -1)
        window.tail = max(window.tail, position)

    def next_edge_ns(self) -> int | None:
        """When the next row leaves a window."""
        self.settle()
        edges = [
            self.log.time_at(window.tail) + window.edge.length_ns
            for window in self._windows.values()
            if window.tail < self._head and not window.edge.pane_ns
        ]
        return min(edges, default=None)

    def keeps_until_ns(self, edge: Edge, amount: int, *, rows: bool) -> int:
        """Until when at most `amount` (of value, or of rows) will have left a window, as far as a look ahead tells."""
        window, log = self._windows[edge], self.log
        stop = min(window.tail + AHEAD, self._head)
        if window.tail >= stop:
            return FAR_NS if stop == self._head else self.now_ns
        ts, _, values = log.rows(window.tail, stop)
        counts = log.counts(window.tail, stop)
        if rows:
            values = np.ones(len(ts), np.int64) if counts is None else counts
        beyond = int(values.cumsum().searchsorted(amount, side="right"))
        if beyond < len(ts):
            return int(ts[beyond]) + edge.length_ns
        return FAR_NS if stop == self._head else int(ts[-1]) + edge.length_ns

    def occupied_until_ns(self, lane: Lane) -> int:
        """Before this instant every group of a lane that has rows keeps one: the newest of it has not left."""
        occupied, size = lane.counts > 0, AHEAD
        tail = self._windows[lane.edge].tail
        newest = np.full(len(occupied), -FAR_NS)
        while occupied.any():
            start = max(self._head - size, tail)
            ts, members, _ = self.log.rows(start, self._head)
            group = lane.projection.group[members]
            newest[group[group >= 0]] = ts[group >= 0]  # rows lie in the order of time: the last one counts
            oldest_ns = int(newest[occupied].min())
            if start == tail or oldest_ns > -FAR_NS:
                return oldest_ns + lane.edge.length_ns
            size *= 4
        return FAR_NS

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        """Take in merged rows that lie before the instant up to which this bank has counted."""
        del log
        if ts[0] > self.now_ns:
            return
        self._place()
        passed = int(ts.searchsorted(self.now_ns, side="right"))
        self._head += passed
        for window in self._windows.values():
            gone = int(ts.searchsorted(window.edge.at(self.now_ns), side="right"))
            window.tail += gone
            if gone < passed:
                weights = None if counts is None else counts[gone:passed]
                rows = members[gone:passed], values[gone:passed], weights
                self._update(rows, window.slots, 1)

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        """Nothing to do: only gauges are revised, and of these a bank only counts the rows."""

    def _fresh(self, head: int, new_head: int) -> bool:
        return (
            head == self.log.first and new_head - head > CHUNK and all(w.tail == head for w in self._windows.values())
        )

    def _jump(self, now_ns: int) -> int:
        """Skip rows that every window has already left (a long log, counted for the first time)."""
        oldest = min((self.log.position(w.edge.at(now_ns)) for w in self._windows.values()), default=self._head)
        for window in self._windows.values():
            window.tail = oldest
        return oldest

    def _rows(self, start: int, end: int) -> Rows:
        _, members, values = self.log.rows(start, end)
        return members, values, self.log.counts(start, end)

    def _update(self, rows: Rows, slots: _Slots, sign: int) -> None:
        """Add rows to, or take them from, the lanes of some slots."""
        if self.rough is None:
            self._update_exact(rows, slots, sign)
            return
        with np.errstate(over="ignore"):
            self._update_exact(rows, slots, sign)
        amounts = sign * rows[1].astype(np.float64)
        if slots.columns:
            places = slots.table.take(rows[0], axis=0).ravel()
            np.add.at(self.rough, places, amounts.repeat(len(slots.columns)))
        self.rough[[lane.offset for lane in slots.flat]] += amounts.sum()

    def _update_exact(self, rows: Rows, slots: _Slots, sign: int) -> None:
        if slots.columns and len(rows[0]) * len(slots.columns) <= SCALAR_UPDATES:
            self._update_scalar(rows, slots, sign)
        elif slots.columns:
            self._update_vector(rows, slots, sign)
        if slots.flat:
            self._update_flat(rows, slots.flat, sign)

    def _update_vector(self, rows: Rows, slots: _Slots, sign: int) -> None:
        members, values, counts = rows
        weighed = members, values if self._amounts else ONES, ONES if counts is None else counts
        self._kernels.move((self.sums, self.counts), slots.table, weighed, sign)
        few = len(members) <= CROWD
        touched = slots.table.take(members, axis=0).max(axis=0).tolist() if few else [1] * len(slots.columns)
        for lane, slot in zip(slots.columns, touched, strict=True):
            lane.version += slot > 0

    def _update_scalar(self, rows: Rows, slots: _Slots, sign: int) -> None:
        members, values, counts = rows
        for row, member in enumerate(members.tolist()):
            weight = sign if counts is None else sign * int(counts[row])
            for lane, slot in zip(slots.columns, slots.table[member].tolist(), strict=True):
                if self._amounts:
                    self.sums[slot] += sign * values[row]
                self.counts[slot] += weight
                lane.version += slot > 0

    def _update_flat(self, rows: Rows, flat: Sequence[Lane], sign: int) -> None:
        members, values, counts = rows
        amount = sign * int(values.sum()) if self._amounts else 0
        weight = sign * (len(members) if counts is None else int(counts.sum()))
        for lane in flat:
            self.sums[lane.offset] += amount
            self.counts[lane.offset] += weight
            lane.version += 1

    def _place(self) -> None:
        """Give every group a slot and every member its row in the slot table."""
        placed = len(self._lanes[0].projection.members) if self._lanes else 0
        if placed == self._placed:
            return
        self._placed, lanes = placed, self._lanes
        for lane in lanes:
            lane.projection.update()
        if any(len(lane.projection.index) > lane.room or not lane.offset for lane in lanes):
            self._grow(lanes)
        self._slots = _Slots(lanes)
        for window in self._windows.values():
            window.slots = _Slots(window.lanes)

    def _grow(self, lanes: list[Lane]) -> None:
        rooms = [max(lane.room, 8, 2 * len(lane.projection.index)) for lane in lanes]
        held = self.sums, self.counts, self.rough
        self._clear(1 + sum(rooms))
        at = 1
        for lane, room in zip(lanes, rooms, strict=True):
            for old, new in zip(held, (self.sums, self.counts, self.rough), strict=True):
                if old is not None and new is not None:
                    new[at : at + lane.room] = old[lane.offset : lane.offset + lane.room]
            lane.offset, lane.room = at, room
            at += room


def _slot_table(lanes: Sequence[Lane]) -> Ints:
    """The slot of each member (row) in each lane (column); 0 where a lane does not select it."""
    if not lanes:
        return np.zeros((0, 0), np.int64)
    columns = [np.where(lane.projection.group < 0, 0, lane.projection.group + lane.offset) for lane in lanes]
    return np.ascontiguousarray(np.stack(columns, axis=1))
