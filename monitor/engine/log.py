"""The shared columnar log: every row of a series once, in event-time order; windows are pointers into it.

Rows have absolute positions that never change meaning while the log is trimmed at the front. A late row is merged into
its place; readers that had already passed that place are told, and correct what they hold.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor.window import Ints

FEW = 32
"""Below so many rows plain Python is faster than a handful of numpy calls."""

Members = npt.NDArray[np.int32]
Column = npt.NDArray[Any]


class Meter:
    """A whole number that only grows: who knows how far it may grow without consequence need not look before."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Reader(Protocol):
    """Holds something computed from a log's rows up to an instant of its own."""

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        """Rows were merged in; those with ``ts`` at or before the reader's instant must be accounted for."""
        ...

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        """Rows kept their place and got other values; those at or before the reader's instant must be accounted for."""
        ...


class Log:
    """Struct of arrays (ts, member, value, optionally count), sorted by ts; equal times keep their order of arrival.

    In a `unique` log (a gauge's) there is one row per member and time: a later word replaces the earlier one in place.

    Attributes:
        revisions: Rises whenever a row's value was replaced.
        arrived: Rows that ever came in, by their count where there is one.
        amount: Sum of the whole-numbered values that ever came in.
        signed: Whether a value below zero has come in, so that a row that leaves may raise a total.
    """

    def __init__(
        self, dtype: npt.DTypeLike = np.int64, *, counted: bool = False, unique: bool = False, capacity: int = 1024
    ) -> None:
        self._ts = np.empty(capacity, np.int64)
        self._member = np.empty(capacity, np.int32)
        self._value = np.empty(capacity, dtype)
        self._count = np.empty(capacity if counted else 0, np.int64)
        self.counted, self.unique = counted, unique
        self.revisions = 0
        self.arrived, self.amount = Meter(), Meter()
        self.signed = False
        self._whole = np.dtype(dtype).kind == "i"
        self._start = 0
        self._end = 0
        self._base = 0
        self.readers: list[Reader] = []

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def first(self) -> int:
        """Absolute position of the oldest row kept."""
        return self._base + self._start

    @property
    def end(self) -> int:
        """Absolute position after the newest row."""
        return self._base + self._end

    @property
    def newest_ns(self) -> int:
        """Time of the newest row; 0 when empty."""
        return int(self._ts[self._end - 1]) if self._end > self._start else 0

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return int(self._ts.nbytes + self._member.nbytes + self._value.nbytes + self._count.nbytes)

    def position(self, time_ns: int) -> int:
        """Absolute position after the last row at or before `time_ns`."""
        end = self._end
        if end == self._start or self._ts[end - 1] <= time_ns:
            return self._base + end
        return self._base + self._start + int(self._ts[self._start : end].searchsorted(time_ns, side="right"))

    def time_at(self, position: int) -> int:
        """Time of the row at an absolute position."""
        return int(self._ts[position - self._base])

    def rows(self, start: int, end: int) -> tuple[Ints, Members, Column]:
        """Views of (ts, member, value) of the absolute positions [start, end)."""
        a, b = max(start - self._base, self._start), end - self._base
        return self._ts[a:b], self._member[a:b], self._value[a:b]

    def counts(self, start: int, end: int) -> Ints | None:
        """View of the count column of [start, end); None where every row counts as one."""
        if not self.counted:
            return None
        return self._count[max(start - self._base, self._start) : end - self._base]

    def insert(self, ts: Ints, members: Members, values: Column, counts: Ints | None = None) -> None:
        """Add rows, sorted by ts; appends when they are the newest, else merges; replaces where the log is unique."""
        if self.unique and len(ts):
            ts, members, values = self._new(*last_words(ts, members, values))
        size = len(ts)
        if not size:
            return
        self._reserve(size)
        at, end = self._end, self._end
        if end > self._start and ts[0] < self._ts[end - 1]:
            at = self._start + int(self._ts[self._start : end].searchsorted(ts[0], side="right"))
        self._write(at, ts, members, values, counts)
        self._end = end + size
        self.arrived.value += size if counts is None else int(counts.sum())
        if self._whole:
            self.amount.value += int(np.add.reduce(values))
            self.signed = self.signed or bool(np.minimum.reduce(values) < 0)
        for reader in self.readers:
            reader.late(self, ts, members, values, counts)

    def _new(self, ts: Ints, members: Members, values: Column) -> tuple[Ints, Members, Column]:
        """The rows that are not there yet; those that are get their new values."""
        if not len(self) or ts[0] > self._ts[self._end - 1]:
            return ts, members, values
        at = self._places(ts, members)
        known = np.flatnonzero(at >= 0)
        if not len(known):
            return ts, members, values
        differ = known[self._value[at[known]] != values[known]]
        if len(differ):
            self._value[at[differ]] = values[differ]
            self.revisions += 1
            for reader in self.readers:
                reader.revised(self, ts[differ], members[differ], values[differ])
        fresh = at < 0
        return ts[fresh], members[fresh], values[fresh]

    def _places(self, ts: Ints, members: Members) -> Ints:
        """Index of the row of each (ts, member), -1 where there is none."""
        kept = self._ts[self._start : self._end]
        low, high = (kept.searchsorted(ts, side=side) + self._start for side in ("left", "right"))
        at = np.full(len(ts), -1, np.int64)
        for row in (high > low).nonzero()[0].tolist():
            a = int(low[row])
            found = np.flatnonzero(self._member[a : high[row]] == members[row])
            if len(found):
                at[row] = a + int(found[0])
        return at

    def trim(self, before_ns: int) -> None:
        """Forget rows at or before `before_ns`; no reader may still need them."""
        self._start = self.position(before_ns) - self._base

    def _write(self, at: int, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        end = self._end
        stop = end + len(ts)
        columns: list[tuple[Column, Column]] = [(self._member, members), (self._value, values)]
        if counts is not None:
            columns.append((self._count, counts))
        if at == end:
            self._ts[end:stop] = ts
            for column, new in columns:
                column[end:stop] = new
            return
        if len(ts) == 1:
            for column, new in ((self._ts, ts), *columns):
                column[at + 1 : stop] = column[at:end]
                column[at] = new[0]
            return
        merged = np.concatenate((self._ts[at:end], ts))
        order = np.argsort(merged, kind="stable")
        self._ts[at:stop] = merged[order]
        for column, new in columns:
            column[at:stop] = np.concatenate((column[at:end], new))[order]

    def _reserve(self, size: int) -> None:
        if self._end + size <= len(self._ts):
            return
        live = len(self)
        capacity = len(self._ts)
        while capacity < 2 * (live + size):
            capacity *= 2
        for name in ("_ts", "_member", "_value", "_count") if self.counted else ("_ts", "_member", "_value"):
            old = getattr(self, name)
            new = old if capacity == len(old) else np.empty(capacity, old.dtype)
            new[:live] = old[self._start : self._end].copy()
            setattr(self, name, new)
        self._base += self._start
        self._start, self._end = 0, live


def last_words(ts: Ints, members: Members, values: Column) -> tuple[Ints, Members, Column]:
    """Rows sorted by ts without those that a later row of the same member and time replaces."""
    size = len(ts)
    if size < FEW and len(set(zip(ts.tolist(), members.tolist(), strict=True))) == size:
        return ts, members, values
    if size < 2 or not (ts[1:] == ts[:-1]).any():
        return ts, members, values
    order = np.lexsort((members, ts))
    last = np.r_[(ts[order][1:] != ts[order][:-1]) | (members[order][1:] != members[order][:-1]), True]
    keep = np.sort(order[last])
    return ts[keep], members[keep], values[keep]
