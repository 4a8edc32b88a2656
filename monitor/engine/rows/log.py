"""The shared columnar log: every row of a series once, in event-time order; windows are pointers into it.

Rows have absolute positions that never change meaning while the log is trimmed at the front. A late row is merged into
its place; readers that had already passed that place are told, and correct what they hold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from monitor.window import Ints

CHUNK = 1 << 15
"""Rows of a full chunk: the first ones are smaller."""
SPARE = 2
"""How many forgotten chunks are kept to be filled again."""
OLDEST_NS = -(1 << 62)
FEW = 32
"""Below so many rows plain Python is faster than a handful of numpy calls."""

Members = npt.NDArray[np.int32]
Column = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


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

    def leave(self, position: int) -> None:
        """Rows before an absolute position are about to be dropped though windows reach them: take them out now."""
        ...

    def cut(self) -> None:
        """They have been dropped: nothing may depend on them any more."""
        ...


class Chunk:
    """Some consecutive rows; `base` is the absolute position of the first.

    ``piece`` is the number under which its rows were copied last; 0 when they have changed since.
    """

    __slots__ = ("base", "columns", "first_ns", "piece", "size", "ts")

    def __init__(self, capacity: int, dtypes: Sequence[npt.DTypeLike]) -> None:
        self.columns: tuple[Column, ...] = tuple(np.empty(capacity, dtype) for dtype in dtypes)
        self.ts: Ints = self.columns[0]
        self.base = self.size = self.piece = 0
        self.first_ns = 0

    @property
    def end(self) -> int:
        """Absolute position after the last row."""
        return self.base + self.size

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return len(self.ts) - self.size

    def write(self, at: int, columns: Sequence[Column], start: int, count: int) -> None:
        """Put rows ``start:start + count`` of `columns` at row `at`; the chunk ends after them."""
        stop = at + count
        for mine, new in zip(self.columns, columns, strict=True):
            mine[at:stop] = new[start : start + count]
        self.size, self.piece = stop, 0
        if not at:
            self.first_ns = int(self.ts[0])

    def squeeze_in(self, at: int, columns: Sequence[Column]) -> None:
        """Insert one row at row `at`."""
        size = self.size
        for mine, new in zip(self.columns, columns, strict=True):
            mine[at + 1 : size + 1] = mine[at:size]
            mine[at] = new[0]
        self.size, self.piece = size + 1, 0
        if not at:
            self.first_ns = int(self.ts[0])


class Standing:
    """The newest forgotten row of every member: a gauge's value is what it was, whatever became of its row."""

    __slots__ = ("ts", "values")

    def __init__(self) -> None:
        self.ts: Ints = np.empty(0, np.int64)
        self.values: Column = np.empty(0)

    def take(self, ts: Ints, members: Members, values: Column) -> None:
        """Take over rows that are about to be forgotten, in time order."""
        more = int(members.max(initial=-1)) + 1 - len(self.ts)
        if more > 0:
            self.ts = np.concatenate((self.ts, np.full(more, OLDEST_NS, np.int64)))
            self.values = np.concatenate((self.values, np.full(more, np.nan)))
        newer = ts >= self.ts[members]  # a row that came late may be older than one that is gone
        self.ts[members[newer]] = ts[newer]
        self.values[members[newer]] = values[newer]

    def keep(self, stay: Bools) -> None:
        """Drop the members that do not stay; the others are numbered anew, in the same order."""
        chosen = np.flatnonzero(stay[: len(self.ts)])
        self.ts, self.values = self.ts[chosen], self.values[chosen]

    def rows(self) -> tuple[Ints, Members, Column]:
        """(ts, member, value) in time order."""
        members = np.flatnonzero(self.ts > OLDEST_NS)
        members = members[np.argsort(self.ts[members], kind="stable")]
        return self.ts[members], members.astype(np.int32), self.values[members]


class Log:
    """Struct of arrays (ts, member, value, optionally count), sorted by ts; equal times keep their order of arrival.

    The rows lie in chunks, so that a log neither moves what it holds when it grows nor holds much more than its rows:
    the chunks that it forgets are those that it fills next.

    In a `unique` log (a gauge's) there is one row per member and time: a later word replaces the earlier one in place.

    Attributes:
        revisions: Rises whenever a row's value was replaced.
        cut_ns: Rows at or before this instant were dropped though windows may reach them.
        dropped: How many were.
        standing: What the rows that were forgotten leave behind, in a `unique` log.
        arrived: Rows that ever came in, by their count where there is one.
        amount: Sum of the whole-numbered values that ever came in.
        signed: Whether a value below zero has come in, so that a row that leaves may raise a total.
    """

    def __init__(
        self, dtype: npt.DTypeLike = np.int64, *, counted: bool = False, unique: bool = False, capacity: int = 1024
    ) -> None:
        self.counted, self.unique = counted, unique
        self.revisions = 0
        self.cut_ns = OLDEST_NS
        self.dropped = 0
        self.standing = Standing()
        self.arrived, self.amount = Meter(), Meter()
        self.signed = False
        self._whole = np.dtype(dtype).kind == "i"
        self._dtypes = (np.int64, np.int32, dtype, np.int64) if counted else (np.int64, np.int32, dtype)
        self._chunks = [Chunk(capacity, self._dtypes)]
        self._spare: list[Chunk] = []
        self._first = self._end = 0
        self._newest_ns = OLDEST_NS
        self.readers: list[Reader] = []

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def first(self) -> int:
        """Absolute position of the oldest row kept."""
        return self._first

    @property
    def end(self) -> int:
        """Absolute position after the newest row."""
        return self._end

    @property
    def newest_ns(self) -> int:
        """Time of the newest row, forgotten ones that still stand among them; 0 where there is none."""
        return max(self._newest_ns if self._end > self._first else 0, int(self.standing.ts.max(initial=0)))

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(column.nbytes for chunk in (*self._chunks, *self._spare) for column in chunk.columns)

    def position(self, time_ns: int) -> int:
        """Absolute position after the last row at or before `time_ns`."""
        if self._newest_ns <= time_ns or self._end == self._first:
            return self._end
        chunk = self._chunks[-1]
        if chunk.first_ns > time_ns:
            chunk = self._chunks[max(bisect_right(self._chunks, time_ns, key=_first_ns) - 1, 0)]
        start = max(self._first, chunk.base)  # what is forgotten may be newer than what came late
        return start + int(chunk.ts[start - chunk.base : chunk.size].searchsorted(time_ns, side="right"))

    def time_at(self, position: int) -> int:
        """Time of the row at an absolute position."""
        chunk = self._chunks[self._chunk_at(position)]
        return int(chunk.ts[position - chunk.base])

    def full(self) -> Sequence[Chunk]:
        """The chunks before the one that is being filled: only a late or revised row still changes them."""
        return self._chunks[:-1]

    def rows(self, start: int, end: int) -> tuple[Ints, Members, Column]:
        """(ts, member, value) of the absolute positions [start, end): views where they lie in one chunk."""
        ts, members, values = self._read(start, end, 0, 3)
        return ts, members, values

    def strike(self, members: Bools) -> None:
        """Take out those that have a row; without joining the chunks."""
        for chunk in self._chunks:
            members[chunk.columns[1][max(self._first - chunk.base, 0) : chunk.size]] = False

    def counts(self, start: int, end: int) -> Ints | None:
        """The count column of [start, end); None where every row counts as one."""
        return self._read(start, end, 3, 4)[0] if self.counted else None

    def insert(self, ts: Ints, members: Members, values: Column, counts: Ints | None = None) -> None:
        """Add rows, sorted by ts; appends when they are the newest, else merges; replaces where the log is unique."""
        if self.unique and len(ts):
            ts, members, values = self._new(*last_words(ts, members, values))
        size = len(ts)
        if not size:
            return
        columns = (ts, members, values) if counts is None else (ts, members, values, counts)
        if self._first == self._end:
            self._newest_ns = OLDEST_NS
        if ts[0] < self._newest_ns:
            self._merge(columns)
        else:
            self._append(columns)
        self.arrived.value += size if counts is None else int(counts.sum())
        if self._whole:
            self.amount.value += int(np.add.reduce(values))
            self.signed = self.signed or bool(np.minimum.reduce(values) < 0)
        for reader in self.readers:
            reader.late(self, ts, members, values, counts)

    def shrink(self, most: int) -> bool:
        """Keep the newest `most` rows, whatever windows still reach; True when any had to go."""
        size = len(self)
        if size <= most:
            return False
        self.cut_ns = self.time_at(self.end - most - 1)
        first = self.position(self.cut_ns)
        for reader in self.readers:
            reader.leave(first)
        self.trim(self.cut_ns)
        self.dropped += size - len(self)
        for reader in self.readers:
            reader.cut()
        return True

    def trim(self, before_ns: int) -> None:
        """Forget rows at or before `before_ns`; no reader may still need them."""
        first = self.position(before_ns)
        if self.unique and first > self._first:
            self.standing.take(*self.rows(self._first, first))
        self._first = first
        gone = self._chunk_at(self._first)
        if gone:
            self._spare = (self._spare + self._chunks[:gone])[-SPARE:]
            del self._chunks[:gone]

    def renumber(self, numbers: Ints, stay: Bools) -> None:
        """Give members new numbers; those that do not stay have no row. Nobody may read on without beginning anew."""
        for chunk in self._chunks:
            rows = slice(max(self._first - chunk.base, 0), chunk.size)
            chunk.columns[1][rows] = numbers[chunk.columns[1][rows]]
            chunk.piece = 0
        self.standing.keep(stay)

    def _chunk_at(self, position: int) -> int:
        """Which chunk holds an absolute position; the last one for the log's end."""
        if position >= self._chunks[-1].base:
            return len(self._chunks) - 1
        if position < self._chunks[0].end:
            return 0
        return bisect_right(self._chunks, position, key=_base) - 1

    def _read(self, start: int, end: int, a: int, b: int) -> list[Column]:
        start, end = max(start, self._first), min(end, self._end)
        at = self._chunk_at(start)
        chunk = self._chunks[at]
        low = start - chunk.base
        if end <= chunk.end:
            return [column[low : max(end - chunk.base, low)] for column in chunk.columns[a:b]]
        parts = []
        while chunk.base < end:
            parts.append([column[low : min(chunk.size, end - chunk.base)] for column in chunk.columns[a:b]])
            at, low = at + 1, 0
            if at == len(self._chunks):
                break
            chunk = self._chunks[at]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _append(self, columns: Sequence[Column]) -> None:
        size, done = len(columns[0]), 0
        while done < size:
            chunk = self._chunks[-1]
            if not chunk.room:
                chunk = self._another()
            count = min(chunk.room, size - done)
            chunk.write(chunk.size, columns, done, count)
            done += count
        self._end += size
        self._newest_ns = int(columns[0][-1])

    def _another(self) -> Chunk:
        capacity = min(2 * len(self._chunks[-1].ts), CHUNK)
        spare = self._spare.pop() if self._spare else None
        chunk = spare if spare is not None and len(spare.ts) >= capacity else Chunk(capacity, self._dtypes)
        chunk.base, chunk.size = self._chunks[-1].end, 0
        self._chunks.append(chunk)
        return chunk

    def _merge(self, columns: Sequence[Column]) -> None:
        """Put rows in their places: those after the first of them are written again."""
        at = self.position(int(columns[0][0]))
        chunk = self._chunks[-1]
        if len(columns[0]) == 1 and at >= chunk.base and chunk.room:
            chunk.squeeze_in(at - chunk.base, columns)
            self._end += 1
            return
        tail = self._read(at, self._end, 0, len(columns))
        merged = [np.concatenate(pair) for pair in zip(tail, columns, strict=True)]
        order = np.argsort(merged[0], kind="stable")
        self._cut(at)
        self._append([column[order] for column in merged])

    def _cut(self, position: int) -> None:
        """Drop the rows from a position on."""
        at = self._chunk_at(position)
        self._spare = (self._spare + self._chunks[at + 1 :])[-SPARE:]
        del self._chunks[at + 1 :]
        chunk = self._chunks[at]
        chunk.size, chunk.piece = position - chunk.base, 0
        self._end = position

    def _new(self, ts: Ints, members: Members, values: Column) -> tuple[Ints, Members, Column]:
        """The rows that are not there yet; those that are get their new values."""
        if ts[0] > self._newest_ns or not len(self):
            return ts, members, values
        at = self._places(ts, members)
        known = np.flatnonzero(at >= 0)
        if not len(known):
            return ts, members, values
        differ = known[self._replace(at[known], values[known])]
        if len(differ):
            self.revisions += 1
            for reader in self.readers:
                reader.revised(self, ts[differ], members[differ], values[differ])
        fresh = at < 0
        return ts[fresh], members[fresh], values[fresh]

    def _replace(self, positions: Ints, values: Column) -> Bools:
        """Set values at absolute positions; says which were other ones before."""
        differ = np.zeros(len(positions), np.bool_)
        for row, position in enumerate(positions.tolist()):
            chunk = self._chunks[self._chunk_at(position)]
            column, at = chunk.columns[2], position - chunk.base
            differ[row] = column[at] != values[row]
            column[at], chunk.piece = values[row], 0
        return differ

    def _places(self, ts: Ints, members: Members) -> Ints:
        """Absolute position of the row of each (ts, member), -1 where there is none."""
        start = self.position(int(ts[0]) - 1)
        kept, owners, _ = self.rows(start, self._end)
        low, high = (kept.searchsorted(ts, side=side) for side in ("left", "right"))
        at = np.full(len(ts), -1, np.int64)
        for row in (high > low).nonzero()[0].tolist():
            a = int(low[row])
            found = np.flatnonzero(owners[a : high[row]] == members[row])
            if len(found):
                at[row] = start + a + int(found[0])
        return at


def _first_ns(chunk: Chunk) -> int:
    return chunk.first_ns


def _base(chunk: Chunk) -> int:
    return chunk.base


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
