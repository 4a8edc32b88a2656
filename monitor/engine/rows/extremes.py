"""Sliding maxima and minima without rescans: fine panes in blocks, and a cached aggregate of what lies between the ends.

The window is cut into about `FINE` panes; `BLOCK` of them make a block. A reading joins five parts: the rows of the
pane that the window's edge cuts (from the log, so that the edge is exact), the panes after it in its block, the whole
blocks (cached until the edge or the head enters another block), the panes of the head's block, and nothing else.
"""

from __future__ import annotations

import numpy as np

from monitor.engine.rows.log import Column, Log, Members
from monitor.engine.rows.projection import Projection
from monitor.window import Floats, Ints

FINE, BLOCK = 256, 16
RING = FINE + 3 * BLOCK
SPARE = 8
"""One part in so many of the groups' room is kept for groups that are yet to appear."""
NEVER_NS = -(1 << 62)


class Extremes:
    """Greatest (``np.maximum``) or smallest (``np.minimum``) value per group over one window of one log."""

    def __init__(self, log: Log, projection: Projection, ufunc: np.ufunc, window_ns: int, scale: float) -> None:
        self.log, self.projection, self.ufunc, self.window_ns, self.scale = log, projection, ufunc, window_ns, scale
        self.empty = -np.inf if ufunc is np.maximum else np.inf
        self.pane_ns = max(1, -(-window_ns // FINE))
        self.now_ns = self._due_ns = NEVER_NS
        self._head = log.first
        self._room: Floats = np.full((RING, 0), self.empty)
        self._panes: Floats = self._room
        self._newest = 0
        self._middle: tuple[tuple[int, int], Floats] | None = None
        self._tail: tuple[int, Floats] | None = None
        log.readers.append(self)

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        return int(self._room.nbytes)

    def reset(self) -> None:
        """Forget everything."""
        self.now_ns, self._head = NEVER_NS, self.log.first
        self._panes = self._room = np.full((RING, 0), self.empty)
        self._middle = self._tail = None

    def leave(self, position: int) -> None:
        """Nothing to do yet: an extreme cannot be subtracted."""

    def cut(self) -> None:
        """Empty the panes of what was dropped, and count anew the one through which the cut goes."""
        self._head, cut_ns = max(self._head, self.log.first), self.log.cut_ns
        if self.now_ns == NEVER_NS or cut_ns <= self.now_ns - self.window_ns:
            return
        last = min(self._pane(cut_ns), self._newest)
        for gone in range(max(self._pane(self.now_ns - self.window_ns), self._newest - RING + 1), last + 1):
            self._panes[gone % RING] = self.empty
        self._put(*self.log.rows(self.log.first, min(self.log.position((last + 1) * self.pane_ns), self._head)))
        self._middle = self._tail = None

    def seek(self, now_ns: int) -> None:
        """Move the instant; the rows up to it are taken in when somebody reads."""
        self._due_ns = now_ns

    def settle(self) -> None:
        """Take in rows up to the instant last sought."""
        if self._due_ns > self.now_ns:
            self._take(self._due_ns)

    def _take(self, now_ns: int) -> None:
        self.projection.update()
        self._widen()
        pane = self._pane(now_ns)
        if self.now_ns == NEVER_NS:
            self._newest = pane
            self._head = max(self._head, self.log.position(now_ns - self.window_ns))
        for fresh in range(max(self._newest + 1, pane - RING + 1), pane + 1):
            self._panes[fresh % RING] = self.empty
        self._newest, self.now_ns = pane, now_ns
        end = self.log.position(now_ns)
        if end > self._head:
            ts, members, values = self.log.rows(self._head, end)
            self._put(ts, members, values)
            self._head = end

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        """Take in merged rows: an extreme only ever grows."""
        del log, counts
        if ts[0] > self.now_ns:
            return
        self.projection.update()
        self._widen()
        passed = int(ts.searchsorted(self.now_ns, side="right"))
        self._head += passed
        inside = int(ts.searchsorted(self.now_ns - self.window_ns, side="right"))
        self._put(ts[inside:passed], members[inside:passed], values[inside:passed])
        self._middle = self._tail = None

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        """Count the window anew when a row of it was replaced: an extreme may have been taken back."""
        del log, members, values
        if ((ts > self.now_ns - self.window_ns) & (ts <= self.now_ns)).any():
            self.reset()

    def read(self) -> Floats:
        """The extreme of (now - window, now] per group; NaN for a group without rows."""
        self.settle()
        self._widen()
        start_ns = self.now_ns - self.window_ns
        cut = start_ns // self.pane_ns
        edge_block, head_block = (cut + 1) // BLOCK, self._newest // BLOCK
        out = self._cut_rows(start_ns, (cut + 1) * self.pane_ns)
        if edge_block == head_block:
            return self._known(self._join(out, cut + 1, self._newest + 1))
        self.ufunc(out, self._suffix(cut + 1), out=out)
        self.ufunc(out, self._blocks(edge_block + 1, head_block), out=out)
        return self._known(self._join(out, head_block * BLOCK, self._newest + 1))

    def _pane(self, ts_ns: int) -> int:
        return (ts_ns - 1) // self.pane_ns

    def _put(self, ts: Ints, members: Members, values: Column) -> None:
        group = self.projection.group[members]
        keep = (group >= 0) & (ts > self.now_ns - self.window_ns) & ~np.isnan(values)
        panes = (ts[keep] - 1) // self.pane_ns % RING
        places = panes * self._room.shape[1] + group[keep]  # one index into flat memory is several times as fast as two
        self.ufunc.at(self._room.reshape(-1), places, values[keep].astype(np.float64))

    def _cut_rows(self, start_ns: int, end_ns: int) -> Floats:
        """Rows of the pane that the edge cuts."""
        out = np.full(self._panes.shape[1], self.empty)
        _, members, values = self.log.rows(self.log.position(start_ns), self.log.position(min(end_ns, self.now_ns)))
        if len(members):
            group = self.projection.group[members]
            keep = (group >= 0) & ~np.isnan(values)
            self.ufunc.at(out, group[keep], values[keep].astype(np.float64))
        return out

    def _join(self, out: Floats, low: int, high: int) -> Floats:
        if high > low:
            rows = np.arange(low, high) % RING
            self.ufunc(out, self.ufunc.reduce(self._panes[rows], axis=0), out=out)
        return out

    def _suffix(self, pane: int) -> Floats:
        """Panes from `pane` to the end of its block: changes once per pane."""
        if self._tail is None or self._tail[0] != pane:
            end = (pane // BLOCK + 1) * BLOCK
            self._tail = (pane, self._join(np.full(self._panes.shape[1], self.empty), pane, end))
        return self._tail[1]

    def _blocks(self, low: int, high: int) -> Floats:
        """Whole blocks: changes once per block."""
        if self._middle is None or self._middle[0] != (low, high):
            empty = np.full(self._panes.shape[1], self.empty)
            self._middle = ((low, high), self._join(empty, low * BLOCK, high * BLOCK))
        return self._middle[1]

    def _known(self, values: Floats) -> Floats:
        return np.where(values == self.empty, np.nan, values / self.scale)

    def _widen(self) -> None:
        size, known = len(self.projection.index), self._panes.shape[1]
        if size == known:
            return
        if size > self._room.shape[1]:  # with some to spare: groups appear one by one
            self._room = np.full((RING, size + size // SPARE), self.empty)
            self._room[:, :known] = self._panes
        self._panes = self._room[:, :size]
        self._middle = self._tail = None
