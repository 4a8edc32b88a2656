"""Sums and counts of events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from monitor.clock import NS_PER_S
from monitor.engine.nodes.base import FAR_NS, ROUNDING, Alarm, Growing, Holding, Node, Tick
from monitor.engine.nodes.need import Need
from monitor.engine.rows.gauges import NAN
from monitor.engine.rows.sums import Bank, Lane
from monitor.window import Floats, Ints

MICROS = 1e6
SURE_MICROS = 2.0**62
"""Up to here, 4.6 trillion dollars, integers are exact; twice as far they run over."""
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
        sums = self._micros() / MICROS
        if self.what == "rate":
            return sums / (self.window_ns / NS_PER_S)
        if counts is None:
            return sums
        with np.errstate(invalid="ignore"):
            return sums / counts

    def _micros(self) -> Floats:
        """Micro-dollars: exact, or to fifteen digits where there are too many for 63 bits."""
        parts = [(lane.sums, lane.rough) for lane in self.lanes]
        with np.errstate(over="ignore"):
            exact = self._total("sums").astype(np.float64)
        if all(rough is None for _, rough in parts):
            return exact
        rough = np.sum([sums if rough is None else rough for sums, rough in parts], axis=0, dtype=np.float64)
        return np.where(np.abs(rough) > SURE_MICROS, rough, exact)

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
        marks: list[tuple[Growing, int]] = [(self.projection, self.projection.value)]
        if up < np.inf:  # what enters the raw log enters the panes later
            meters = [log.arrived if self.what == "count" else log.amount for log in logs]
            marks += [(meter, meter.value + short_of(up / len(logs))) for meter in meters]
        return Alarm(until_ns, tuple(marks))

    def still(self) -> Alarm | None:
        """Until the next row comes or goes."""
        if self.need.delay_ns:
            return None
        logs = [bank.log for bank in self.banks]
        marks = [(log.arrived, log.arrived.value) for log in logs]
        return Alarm(
            min(self.need.until_ns, self.next_edge_ns()),
            (*marks, (self.projection.members, len(self.projection.members))),
        )

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


def short_of(room: float) -> int:
    """The greatest whole number below `room`, at least 0: so much may happen before a constant is reached."""
    return math.ceil(room) - 1 if room > 0 else 0
