"""The engine's steps in their order, live and in a replay: evaluate, act, derive. Live they are written into the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.clock import NS_PER_S
from monitor.events import Event, Sample
from monitor.runtime.alert_desk import AlertDesk
from monitor.runtime.engine_room import EngineRoom
from monitor.runtime.journal import Journal

Observe = Callable[[Sequence[Event], int], list[Sample]]
PAST_SETTLES_NS = NS_PER_S
"""History is worked into the samples when no more of it has come for so long,"""
REFILL_STEPS = 64
"""and of it so many instants in one step, counted so that a replay does the same: ten to twenty milliseconds of one core."""

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
        self._past_ns = 0

    def remember(self, events: Sequence[Event], now_ns: int) -> None:
        """Take in the past: before the first step, what is sampled over time starts where it begins; later it is filled in."""
        self._journal.remembered(events, now_ns)
        self._room.take_past(events)
        self._past_ns = now_ns

    def hear(self, events: Sequence[Event], now_ns: int) -> None:
        """Put in line what came by another way than a feed."""
        self._journal.heard(events, now_ns)
        self._put(events)

    def take_in(self, events: Sequence[Event], now_ns: int) -> None:
        """Take in what waited, and see what follows."""
        self._journal.begin()
        try:
            self._room.flush(events, now_ns)
        finally:
            self._journal.turn(len(events), now_ns)
        self._derive(events, now_ns)

    def tick(self, now_ns: int) -> None:
        """See what follows from time alone."""
        self._journal.begin()
        try:
            if now_ns - self._past_ns >= PAST_SETTLES_NS:
                self._room.engine.refill(REFILL_STEPS)
            self._room.tick(now_ns)
        finally:
            self._journal.tick(now_ns)
        self._derive((), now_ns)
        self._desk.tick(now_ns)

    def _derive(self, events: Sequence[Event], now_ns: int) -> None:
        """What follows from a batch goes the same way as the batch, in the next step."""
        derived = self._observe(events, now_ns)
        if derived:
            self._journal.derived(derived, now_ns)
            self._put(derived)
