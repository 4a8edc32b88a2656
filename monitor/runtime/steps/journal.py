"""Writes down the program's own course beside the frames, so that a tape gives the same alerts again, not only the same events.

Everything goes through the tap that hears the wire, and so stands among the frames where it happened. Without a tap
nothing is written and every call is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.alert import MemoryRow, SavedAlert
from monitor.engine.persist import Copied, pack
from monitor.events import Event
from monitor.runtime.feeds.desk import Tap
from monitor.runtime.load import Loaded
from monitor.tape import course

PART_BYTES = 8 * 1024 * 1024
EVENTS_AT_ONCE = 4000

NotesOf = Callable[[str], tuple[str, ...]]


class Journal:
    """See `monitor.tape.course` for what each record means.

    Args:
        tap: Takes the records; None where nothing is recorded.
    """

    def __init__(self, tap: Tap | None = None) -> None:
        self._tap = tap
        self._notes: course.Notes | None = None

    # -- at the start, and at a reload ---------------------------------------------------------------------------------

    def started(self, loaded: Loaded, now_ns: int) -> None:
        """The program starts with these rules and empty windows."""
        if self._tap is not None:
            self._tap(course.START, "config", course.write_setting(setting(loaded)), now_ns)

    def reloaded(self, loaded: Loaded, now_ns: int) -> None:
        """These rules, routes and feeds are in force from now on."""
        if self._tap is not None:
            self._tap(course.RELOAD, "config", course.write_setting(setting(loaded)), now_ns)

    def windows(self, copied: Copied | None, now_ns: int) -> None:
        """The engine took up these windows, if there were any."""
        if self._tap is not None and copied is not None:
            data = pack(copied)
            for start in range(0, len(data), PART_BYTES):
                self._tap(course.WINDOWS, "memory", data[start : start + PART_BYTES], now_ns)

    def alerts(self, saved: Sequence[SavedAlert], rows: Sequence[MemoryRow], now_ns: int) -> None:
        """Life cycle and routing took up what the last run left."""
        if self._tap is not None:
            self._tap(course.ALERTS, "memory", course.write_alerts(saved), now_ns)
            self._tap(course.TOLD, "memory", course.write_told(rows), now_ns)

    # -- what came by other ways than a feed ---------------------------------------------------------------------------

    def remembered(self, events: Sequence[Event], now_ns: int) -> None:
        """The engine took these in without evaluating: the past."""
        self._events(course.REMEMBERED, events, now_ns)

    def heard(self, events: Sequence[Event], now_ns: int) -> None:
        """These were put in line: a source's, an inlet's."""
        self._events(course.HEARD, events, now_ns)

    def derived(self, events: Sequence[Event], now_ns: int) -> None:
        """These follow from the step before, and were put in line."""
        self._events(course.DERIVED, events, now_ns)

    def _events(self, name: str, events: Sequence[Event], now_ns: int) -> None:
        if self._tap is not None:
            for start in range(0, len(events), EVENTS_AT_ONCE):
                part = events[start : start + EVENTS_AT_ONCE]
                self._tap(name, "events", course.write_events(part), now_ns)

    # -- the engine's steps --------------------------------------------------------------------------------------------

    def noting(self, notes_of: NotesOf) -> NotesOf:
        """Have what `notes_of` answers during a step written with it, one answer for each rule."""
        if self._tap is None:
            return notes_of

        def note(rule: str) -> tuple[str, ...]:
            if self._notes is None:
                return notes_of(rule)
            if rule not in self._notes:
                self._notes[rule] = notes_of(rule)
            return self._notes[rule]

        return note

    def begin(self) -> None:
        """A step begins; what is explained to people in between belongs to none."""
        self._notes = {}

    def turn(self, events: int, now_ns: int, own_ns: int | None = None) -> None:
        """A step took so many events, and evaluated at `now_ns`, or at another time of our own."""
        self._end(course.TURN, events, now_ns, own_ns)

    def tick(self, now_ns: int) -> None:
        """A step was due by time alone."""
        self._end(course.TICK, 0, now_ns)

    def _end(self, name: str, events: int, now_ns: int, own_ns: int | None = None) -> None:
        notes, self._notes = self._notes, None
        if self._tap is not None:
            self._tap(name, "turn", course.write_turn(events, notes, own_ns), now_ns)

    def merged(self, events: int, now_ns: int) -> None:
        """The first `events` in line were put in order of time."""
        if self._tap is not None:
            self._tap(course.MERGED, "turn", course.write_turn(events), now_ns)

    def relieved(self, now_ns: int) -> None:
        """Of the gauges in line only the newest were kept."""
        if self._tap is not None:
            self._tap(course.RELIEVED, "turn", course.write_turn(0), now_ns)

    # -- people --------------------------------------------------------------------------------------------------------

    def act(self, act: course.Act, now_ns: int) -> None:
        """Somebody did something."""
        if self._tap is not None:
            self._tap(course.ACT, "act", course.write_act(act), now_ns)


def setting(loaded: Loaded) -> course.Setting:
    """What a replay must know of a configuration."""
    return course.Setting(
        loaded.digest,
        loaded.rule_texts,
        loaded.source.config.routes,
        tuple((feed.spec.venue, feed.options) for feed in loaded.feeds),
        loaded.source.config.page_address,
    )
