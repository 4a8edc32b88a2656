"""How far history can be taken in at once, because no rule has anything to say at any instant on the way.

A market is calm most of the time: every rule sleeps, and an `Alarm` says how much has to happen before one can wake
(`monitor.engine.fences`). Live, each turn looks at the meters. History lies in columns, so it is known beforehand what the
next hundred steps bring: where the first of them is that could ring the alarm. The steps before it go into the logs at
once and are not evaluated, since the evaluations would have said nothing. What happens is the same; only the looking at
meters that stand still is left out.

A step in which anything out of the ordinary happens (a row that is late or no number, a gauge's new label set or a new group,
a pane that closes, a sample that is due, a value that was stale) ends the leap, and goes the way of every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.engine.nodes.base import Alarm, Growing
from monitor.engine.past.history import Grid
from monitor.engine.rows.bulk import Ready, Stream
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.gauges import DRIFT_UNITS, LastValues
from monitor.engine.rows.log import Column, Members
from monitor.engine.rows.projection import Projection
from monitor.engine.store import Domain, Store
from monitor.window import Ints

LEAST = 4
"""Fewer steps are cheaper one by one."""
PATIENCE = 16
"""After leaps that came to nothing, so many steps at most are taken one by one before the next try."""
MOST_ROOM = 80.0
"""As a logarithm: a greater move than this always ends a leap, so that nothing overflows."""


@dataclass(frozen=True, slots=True)
class Calm:
    """The engine while all rules sleep: what would wake them, and what reads the logs."""

    alarm: Alarm
    store: Store
    domain: Domain
    grids: Sequence[Grid]

    def until_ns(self) -> int:
        """Before this instant nothing happens by time alone."""
        closings = [feed.closed_ns + feed.pane_ns for feed in self.store.feeds.values()]
        samples = [
            min(grid.next_edge_ns(), grid.domain.now_ns + Grid.FOLLOW_NS) for grid in self.grids if grid.samplers
        ]
        return int(min([self.alarm.until_ns, *closings, *samples]))

    def reach(self, ready: Ready, step: int, instants: Ints, max_rows: int) -> int:
        """The first step from `step` on at which something might happen; ``step + len(instants)`` where nothing does.

        Args:
            ready: The block, worked out for this engine.
            step: The first step to look at.
            instants: Of the evaluations: the one before, then one for each step.
            max_rows: So many of a series are kept; where more have to go, it is done at its own pace.
        """
        if not self._understood():
            return step
        stop = step + int(instants[1:].searchsorted(self.until_ns()))
        stop = ready.first_late(step, stop, instants[: stop - step])
        delays = [delay_ns for _, _, delay_ns in self.domain.lasts if delay_ns]
        if delays:  # what comes in must lie after what readers of some time ago come by
            stop = step + int(instants[1 : stop - step + 1].searchsorted(ready.oldest(step, stop) + min(delays)))
        for stream in ready.streams:
            stop = min(stop, stream.next_odd(step), stream.step_of(max_rows - len(stream.log), step))
            stop = self._appears(stream, step, stop)
        for stream in ready.streams:
            if stop - step >= LEAST and ready.oldest(step, stop) <= self._closed_ns(stream.series):
                stop = self._closed(stream, step, stop)
            if stop - step >= LEAST:
                stop = self._along(stream, step, stop, int(instants[stop - step]))
        for (_, _, delay_ns), last in self.domain.lasts.items():
            if stop - step >= LEAST and delay_ns:
                stop = step + self._behind(last, delay_ns, instants[1 : stop - step + 1])
        return stop

    def _understood(self) -> bool:
        """Whether it is known of every meter that the alarm looks at when it grows."""
        lasts = self.domain.lasts.values()
        if not all(last.whole for last in lasts):
            return False
        known = {id(meter) for log in self.store.logs.values() for meter in (log.arrived, log.amount)}
        known |= {id(meter) for last in lasts for meter in (last, last.drift, last.breaks)}
        known |= {id(sampler.history) for grid in self.grids for sampler in grid.samplers}  # none is due on the way
        return all(isinstance(meter, Index | Projection) or id(meter) in known for meter, _ in self.alarm.marks)

    def _appears(self, stream: Stream, step: int, stop: int) -> int:
        """The first step with a label set's first row that is more than one more in a group; `stop` where there is none."""
        index = self.store.catalog.series(stream.series)
        watching = [
            meter for meter, _ in self.alarm.marks if meter is index or getattr(meter, "members", None) is index
        ]
        for number, labels in stream.births(step, stop):
            if stream.log.unique or any(not isinstance(one, Projection) or one.gains(labels) for one in watching):
                return number
        return stop

    def _along(self, stream: Stream, step: int, stop: int, end_ns: int) -> int:
        """The first step of a stream whose rows could ring the alarm, up to `stop`, which is evaluated at `end_ns`."""
        bad = [self._fills(stream, step, stop)]
        now = self.domain.lasts.get((stream.series, 0, 0))
        if now is not None:
            bad.append(_first(~self._steady(now, *stream.rows(step, stop), end_ns)))
        rows = [row for row in bad if row is not None]
        return min(stop, stream.step_of(min(rows), step)) if rows else stop

    def _closed(self, stream: Stream, step: int, stop: int) -> int:
        """The first step of a stream with a row that would change a closed pane; `stop` where there is none."""
        ts, _, _ = stream.rows(step, stop)
        row = _first(ts <= self._closed_ns(stream.series))
        return stop if row is None else stream.step_of(row, step)

    def _closed_ns(self, series: str) -> int:
        """Rows up to this instant would change closed panes."""
        return max((feed.closed_ns for (name, _), feed in self.store.feeds.items() if name == series), default=-1)

    def _fills(self, stream: Stream, step: int, stop: int) -> int | None:
        """The first row of events with which more dollars or rows have come in than the alarm allows."""
        found = [stream.filled_by(step, stop, self._room(stream.log.amount))] if not stream.log.unique else []
        rows = self._room(stream.log.arrived)
        if rows < stream.count(step, stop):
            found.append(int(rows))
        return min((row for row in found if row is not None), default=None)

    def _behind(self, last: LastValues, delay_ns: int, instants: Ints) -> int:
        """The first of some instants that brings a value of `delay_ns` ago which could ring the alarm."""
        end_ns = int(instants[-1]) - delay_ns
        ts, members, values = last.log.rows(last.head, last.log.position(end_ns))
        row = _first(~self._steady(last, ts, members, values, end_ns))
        return len(instants) if row is None else int(instants.searchsorted(int(ts[row]) + delay_ns))

    def _steady(self, last: LastValues, ts: Ints, members: Members, values: Column, end_ns: int) -> Column:
        """Rows that follow a value which holds until `end_ns`, and move it less than the alarm allows."""
        if self._mark(last) < math.inf or last.breaks.value > self._mark(last.breaks):
            return np.zeros(len(ts), np.bool_)
        if not last.metered_ns:
            return np.ones(len(ts), np.bool_)
        most = math.exp(min(max(self._room(last.drift) - 1, 0) / DRIFT_UNITS, MOST_ROOM))
        held, since = last.values[members], last.ts[members]
        steady: Column = (since < ts) & (since + last.metered_ns >= end_ns) & (held > 0)
        return steady & (values < held * most) & (values * most > held)

    def _room(self, meter: Growing) -> float:
        """How far a meter may still grow."""
        return self._mark(meter) - meter.value

    def _mark(self, meter: Growing) -> float:
        return next((mark for mine, mark in self.alarm.marks if mine is meter), math.inf)


class Leaper:
    """Decides when a leap is worth a try: after one that came to nothing it waits, ever longer."""

    def __init__(self) -> None:
        self._wait = 0
        self._tired = 1

    def ready(self) -> bool:
        """Whether to try now; to be asked once for each step."""
        self._wait -= 1
        return self._wait < 0

    def landed(self, steps: int) -> None:
        """A try led so many steps further."""
        self._tired = 1 if steps >= LEAST else min(2 * self._tired, PATIENCE)
        self._wait = 0 if steps >= LEAST else self._tired


def evaluated(ready: Ready, step: int, instants: Ints, now_ns: int) -> Ints:
    """Instants of the evaluation before `step` and of those of each step after it: never before the newest row."""
    times = np.maximum(instants, ready.newest(step, step + len(instants)))
    return np.maximum.accumulate(np.concatenate(([now_ns], times)))


def _first(found: Column) -> int | None:
    """The first row that is true."""
    row = int(found.argmax()) if len(found) else 0
    return row if len(found) and found[row] else None


__all__ = ["LEAST", "Calm", "Leaper", "evaluated"]
