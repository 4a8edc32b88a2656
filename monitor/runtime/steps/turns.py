"""The engine's steps in their order, live and in a replay: evaluate, act, derive. Live they are written into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from monitor.events import Event, Sample
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.steps import backlog
from monitor.runtime.steps.clearing import Clearing
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.journal import Journal
from monitor.runtime.steps.settling import Settling

Observe = Callable[[Sequence[Event], int], list[Sample]]
REFILL_STEPS = 64
"""So many instants of history in one step, counted so that a replay does the same: ten to twenty milliseconds of one core."""

Put = Callable[[Sequence[Event]], None]


class Turns:
    """What one step consists of.

    Args:
        room: Takes events in and evaluates.
        desk: Does what is due by time alone.
        observe: Gives the derived series that follow from a batch.
        put: Puts events at the end of the line.
        journal: Gets every step.
    """

    def __init__(self, room: EngineRoom, desk: AlertDesk, observe: Observe, put: Put, journal: Journal) -> None:
        self._room = room
        self._desk = desk
        self._observe = observe
        self._put = put
        self._journal = journal
        self._settling = Settling()
        self._clearing = Clearing(room.engine, desk.lifecycle)
        self._begun = self._over = False

    def remember(self, events: Sequence[Event], now_ns: int) -> None:
        """Take in the past: before the first step, what is sampled over time starts where it begins; later it is filled in."""
        self._journal.remembered(events, now_ns)
        self._settling.came(now_ns, waiting=self._room.engine.past.due)
        self._room.take_past(events)

    def hear(self, events: Sequence[Event], now_ns: int) -> None:
        """Put in line what came by another way than a feed."""
        self._journal.heard(events, now_ns)
        self._put(events)

    def end(self) -> None:
        """No step is taken any more. What still comes (feeds that we stop are down) is kept for the next run, and decides nothing."""
        self._over = True

    def take_in(self, events: Sequence[Event], now_ns: int) -> None:
        """Take in what waited, and see what follows; what came late is read in pieces, as if it had come in time."""
        if self._over:
            self._room.take_past(events)
            return
        failed = None
        for part in self._parts(events, now_ns):
            try:
                self.step(part.events, now_ns, part.own_ns)
            except Exception as error:  # noqa: BLE001 - raised below: what comes after the piece is taken in all the same
                failed = failed or error
        if failed is not None:
            raise failed
        self._derive(events, now_ns)

    def _parts(self, events: Sequence[Event], now_ns: int) -> Iterable[backlog.Part]:
        """The whole of it, unless it holds more of the market's time than nobody would miss something in."""
        pace, seen_ns = self._room.pace, self._seen_ns
        self._begun = True
        if seen_ns and events and pace.late(seen_ns, backlog.newest_ns(events)):
            ordered = backlog.merged(events)
            if ordered != events:
                self._journal.merged(len(events), now_ns)
            return backlog.parts(ordered, pace, seen_ns, pace.own_ns(now_ns))
        return (backlog.Part(events, None),)

    def step(self, events: Sequence[Event], now_ns: int, own_ns: int | None = None) -> None:
        """Take events in and evaluate at `own_ns` of our own time (by the clock), or at the newest event if that is later."""
        self._journal.begin()
        try:
            self._room.flush(events, now_ns, own_ns)
        finally:
            self._journal.turn(len(events), now_ns, own_ns)

    def tick(self, now_ns: int) -> None:
        """See what follows from time alone; a tick that comes late does those that it missed, too."""
        if self._over:
            return
        pace = self._room.pace
        for own_ns in pace.missed(self._seen_ns, pace.own_ns(now_ns) - 1):
            self.step((), now_ns, own_ns)
        self._begun = True
        self.pass_time(now_ns)

    @property
    def _seen_ns(self) -> int:
        """The instant of the last evaluation of this process; that of a former one is not made up for."""
        return self._room.engine.now_ns if self._begun else 0

    def pass_time(self, now_ns: int) -> None:
        """Evaluate now, and do what is due."""
        self._journal.begin()
        try:
            self._fill_in(now_ns)
            self._clearing.pass_time(now_ns)
            self._room.tick(now_ns)
        finally:
            self._journal.tick(now_ns)
        self._derive((), now_ns)
        self._desk.tick(now_ns)

    def _fill_in(self, now_ns: int) -> None:
        """Work some of the history into the samples, once it has settled or waited long enough."""
        engine = self._room.engine
        if not self._settling.over(now_ns):
            return
        passes = engine.past.passes
        engine.refill(REFILL_STEPS)
        if engine.past.passes > passes:
            self._settling.worked(now_ns)

    def _derive(self, events: Sequence[Event], now_ns: int) -> None:
        """What follows from a batch goes the same way as the batch, in the next step."""
        derived = self._observe(events, now_ns)
        if derived:
            self._journal.derived(derived, now_ns)
            self._put(derived)
